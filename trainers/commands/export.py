"""`igep export`: the plain base VLM of a saved model."""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `igep export`.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `int`: 0.

    Raises:
        ValueError: The model is plain already, or the folder holds something.
        OSError: There is no model of the name.
    """
    parser = argparse.ArgumentParser(
        prog="igep export",
        description="Write the plain base VLM with its processor: what `transformers serve` and vLLM load.",
        allow_abbrev=False,
    )
    parser.add_argument("model", help="directory or Hub id of a model that igep trained; code it brings is run")
    parser.add_argument("output", help="new folder to write to")
    options = parser.parse_args(arguments)
    # Imported here: loading transformers takes seconds, and `--help` needs none of it.
    from igep.trainers.commands.export_vlm import export_vlm
    from igep.trainers.evaluation.load_vlm import is_igep, is_vid_llm, load_for_answers
    from igep.trainers.publishing.published_folder import check_new_folder

    output = Path(options.output)
    check_new_folder(output)
    with contextlib.redirect_stdout(sys.stderr):
        model, processor = load_for_answers(options.model, "cpu")
    if not is_igep(model.config) and not is_vid_llm(model.config):  # which `export_vlm` refuses with the reason
        raise ValueError(f"{options.model} is a plain {model.config.model_type} already: serve it as it is.")
    export_vlm(model, output, processor)
    if model.config.to_dict().get("ground_head"):  # of models from before there was one, no field
        print(
            f"igep export: {options.model} is exported without its ground head: the plain VLM answers in words and "
            "cannot point at boxes.",
            file=sys.stderr,
        )
    print(output)
    return 0
