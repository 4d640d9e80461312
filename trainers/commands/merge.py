"""`igep merge`: an adapter alone becomes a whole model."""

import argparse
import contextlib
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `igep merge`.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `int`: 0.

    Raises:
        ValueError: The folder holds no adapter alone, the output something, or the base is of another architecture.
        OSError: There is no base of the name.
    """
    parser = argparse.ArgumentParser(
        prog="igep merge",
        description="Merge an adapter, as training with merge_adapter_at_save: false saves it, into its base.",
        allow_abbrev=False,
    )
    parser.add_argument("model", help="folder that training saved")
    parser.add_argument("output", help="new folder to write to")
    parser.add_argument("--base", help="folder or Hub id of the base (default: what training named)")
    options = parser.parse_args(arguments)
    # Imported here: loading transformers takes seconds, and `--help` needs none of it.
    from igep.trainers.commands.merge_adapter import merge_adapter

    with contextlib.redirect_stdout(sys.stderr):
        merge_adapter(options.model, options.output, options.base)
    print(options.output)
    return 0
