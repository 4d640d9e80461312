"""Trains the tiny model that the Space can show everything with: room questions and distances of points, in minutes.

    igep demo-rooms --output outputs/demo_rooms
    igep demo --model outputs/demo_rooms/model

Both methods at once: the base gets the words of VLM3's prompts, then the recipe `demo_rooms.yaml` trains it on the
quickstart's questions and VLM3's depth questions, under IGEP's losses.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from igep.trainers import sft
from igep.trainers.cards.made_base import write_made_by
from igep.trainers.experiments.handed_flags import check_flags
from igep.trainers.experiments.tiny_vlm3 import vlm3_base
from igep.trainers.package_files import RECIPES


RECIPE = RECIPES / "demo_rooms.yaml"


def write_base(folder: Path) -> None:
    """Writes the tiny base with the words of VLM3, and the card that states its licence and where it comes from."""
    model, processor = vlm3_base()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    write_made_by(folder, "igep demo-rooms")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="demo_rooms.py",
        description=__doc__.split("\n")[0],
        epilog="Any other flag goes to sft.py.",
        allow_abbrev=False,
    )
    parser.add_argument("--output", type=Path, default=Path("outputs/demo_rooms"), help="folder for base and model")
    options, overrides = parser.parse_known_args(arguments)
    check_flags(overrides, (sft.parse, RECIPE))
    base, model = options.output / "tiny_base_vlm3", options.output / "model"
    write_base(base)
    sft.main(
        ["--config", str(RECIPE), "--model_name_or_path", str(base), "--output_dir", str(model), *overrides],
    )
    print(f"Show it: igep demo --model {model}")


if __name__ == "__main__":
    main()
