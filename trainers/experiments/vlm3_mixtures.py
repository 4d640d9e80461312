"""How should datasets be mixed, and does an arrow in the image say better than text which pixel is meant? VLM3 at toy scale.

    igep vlm3-mixtures --output outputs/vlm3_mixtures     # the two tables of docs/vlm3.md

One model learns metric depth and correspondence together, from a quarter as many correspondence rows as depth rows, under
each weighting of a mixture. Beside them two models learn depth from one question per image: one reads the pixel as text, the
other sees DepthLM's red arrow in the image and a prompt without coordinates. All start from the tiny base with VLM3's words
and train for the same number of steps by the recipe `vlm3_rooms.yaml`; the questions are about rooms nobody has seen.
"""

import argparse
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from tokenizers import AddedToken

from igep.trainers import sft
from igep.trainers.cards.markdown import markdown_table
from igep.trainers.data.mixture import MixtureDataset, MixturePart
from igep.trainers.data.row_source import RowSource
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.training_rows import RowOptions, SceneTableCache, load_rows, values_of
from igep.trainers.evaluation.answering import AnsweringOptions
from igep.trainers.evaluation.benchmarks.vlm3_tasks import ExampleGroups, task_scores
from igep.trainers.evaluation.load_vlm import load_for_answers
from igep.trainers.experiments.side_by_side import side_by_side, start, wait
from igep.trainers.experiments.tiny_vlm3 import STEPS, vlm3_base
from igep.trainers.package_files import RECIPES
from igep.trainers.scoring.answer_groups import answer_groups
from igep.trainers.sft_trainer import IGEPSFTTrainer


RECIPE = RECIPES / "vlm3_rooms.yaml"
WEIGHTINGS = ("uniform", "size", "custom")
CUSTOM = {"depth": 1.0, "correspondence": 2.0}
CORRESPONDENCE_PERCENT = 25.0  # of the rows: with equal sets, by size would be uniform
POINTERS = ("text", "arrow")
ARMS = (*WEIGHTINGS, *POINTERS)
HELD_OUT_SEED = 777_006
ARROW_PIXELS = 5
ARROW_QUESTION = (
    "Given this image, how far is the point pointed by the red arrow from the camera? Output the thinking process in <think> "
    "</think> and final answer (the meter number only, without the unit) in <answer> </answer> tags."
)
RED = (255, 0, 0)


def draw_arrow(frame: Image.Image, column: int, row: int) -> Image.Image:
    """Draws DepthLM's arrow to the left of a pixel, which stays as it is.

    Args:
        frame (`PIL.Image.Image`): RGB image.
        column (`int`): Of the pixel.
        row (`int`): Of the pixel.

    Returns:
        `PIL.Image.Image`: A copy with a red shaft of five pixels and a head of two on either side.

    Raises:
        ValueError: The arrow would leave the image.
    """
    if not has_room(frame.size, column, row):
        raise ValueError(
            f"an arrow to pixel {column} {row} leaves the image of {frame.width} x {frame.height} pixels."
        )
    drawn = frame.copy()
    for away in range(1, ARROW_PIXELS + 1):
        drawn.putpixel((column - away, row), RED)
    for away in range(1, ARROW_PIXELS // 2 + 1):
        drawn.putpixel((column - 1 - away, row - away), RED)
        drawn.putpixel((column - 1 - away, row + away), RED)
    return drawn


def has_room(size: tuple[int, int], column: int, row: int) -> bool:
    """Whether an arrow to a pixel stays inside an image of a width and height."""
    width, height = size
    reach = ARROW_PIXELS // 2
    return ARROW_PIXELS <= column < width and reach <= row < height - reach


class PointedRows:
    """One depth question per image, at a place that an arrow can point to: as text, or with the arrow in the image.

    Args:
        rows (`RowSource`): Depth rows of images whose text pixels are their pixels.
        arrow (`bool`): Draw the arrow and ask without coordinates.
    """

    usage: dict = {}  # nobody else asks these models

    def __init__(self, rows: RowSource, *, arrow: bool):
        self._rows, self._arrow = rows, arrow
        self.sample_ids = rows.sample_ids
        self.task = f"metric depth of a pixel named by {'an arrow' if arrow else 'text'}"

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> SpatialExample:
        return self.example(row, 0)

    def example(self, row: int, draw: int) -> SpatialExample:
        """The row's first question whose pixel an arrow can point to.

        Raises:
            ValueError: It has none.
        """
        example = self._rows.example(row, draw)
        (frame,) = example.frames
        for place, (question, answer) in enumerate(example.conversation):
            column, line = (int(number) for number in re.search(r"\((\d+), (\d+)\)", question).groups())
            if has_room(frame.size, column, line):
                shown = draw_arrow(frame, column, line) if self._arrow else frame
                return SpatialExample(
                    sample_id=example.sample_id,
                    scene_id=example.scene_id,
                    frame_ids=example.frame_ids,
                    frames=(shown,),
                    depth_metres=None,
                    intrinsics=None,
                    world_from_camera=None,
                    conversation=((ARROW_QUESTION if self._arrow else question, answer),),
                    question_types=(example.question_types[place],),
                    references=(example.references[place],),
                )
        raise ValueError(f"{example.sample_id}: no arrow can point to any of its {len(example.conversation)} places.")


def rows_of(arm: str, options: RowOptions, seed: int) -> list[MixturePart]:
    """The parts that an arm trains on, or is asked about.

    Args:
        arm (`str`): One of `ARMS`.
        options (`RowOptions`): Rooms and questions.
        seed (`int`): Of the questions.

    Returns:
        `list[MixturePart]`: Depth and correspondence, or depth alone.
    """
    tables = SceneTableCache()

    def load(task: str) -> RowSource:
        chosen = RowOptions(**values_of(RowOptions, options) | {"task": task})
        return load_rows(chosen, (STEPS // 2, STEPS // 2), seed, tables)[0]

    if arm in POINTERS:
        return [MixturePart("depth", PointedRows(load("depth"), arrow=arm == "arrow"))]
    weights = CUSTOM if arm == "custom" else dict.fromkeys(CUSTOM)
    percents = {"depth": 100.0, "correspondence": CORRESPONDENCE_PERCENT}
    return [
        MixturePart(task, load(task), weight=weights[task], percent=percents[task])
        for task in ("depth", "correspondence")
    ]


def run_arm(arm: str, base: Path, output: Path, held_out_rooms: int, overrides: Sequence[str]) -> dict:
    """Trains one arm and scores it.

    Args:
        arm (`str`): One of `ARMS`.
        base (`Path`): Folder of the tiny base with the words of all prompts.
        output (`Path`): Folder for the model.
        held_out_rooms (`int`): Rooms to score on.
        overrides (`Sequence[str]`): Flags of `sft.py` that change the recipe.

    Returns:
        `dict`: Scores per task; under `shares` the samples of each task.
    """
    arguments = ["--config", str(RECIPE), "--model_name_or_path", str(base), "--output_dir", str(output)]
    # One image and two cannot share a batch as videos.
    arguments += ["--frames_as", "images", *overrides]
    script_args, training_args, model_args = sft.parse(arguments)
    train = MixtureDataset(
        rows_of(arm, script_args, training_args.seed),
        weighting=arm if arm in WEIGHTINGS else "size",
        samples_per_step=training_args.samples_per_step,
        seed=training_args.seed,
    )
    trainer = IGEPSFTTrainer(
        model=sft.load_model(model_args, training_args),
        args=training_args,
        train_dataset=train,
        processing_class=sft.load_processor(script_args, model_args),
    )
    trainer.train()
    trainer.save_model(str(output))
    model, processor = load_for_answers(output)
    held_out = RowOptions(
        **values_of(RowOptions, script_args) | {"num_rooms": held_out_rooms, "room_seed": HELD_OUT_SEED}
    )
    scores = {}
    for part in rows_of(arm, held_out, training_args.seed):
        groups = ExampleGroups(part.dataset)
        answered = answer_groups(
            model,
            processor,
            groups,
            AnsweringOptions(max_new_tokens=16),
            frames_as=training_args.frames_as,
            progress=f"{arm}: {part.name}",
            total=len(groups),
        )
        turns = [
            group.row(question, text)
            for group, texts in answered
            for question, text in zip(group.questions, texts, strict=True)
        ]
        scores[part.name] = task_scores(part.name, turns, STEPS)
    return scores | {
        "shares": {part.name: share for part, share in zip(train.parts, train.shares.tolist(), strict=True)}
    }


def save_base(folder: Path) -> None:
    """Writes the tiny base with the words of VLM3 and one for the prompt of the arrow, as its other fixed parts have."""
    model, processor = vlm3_base()
    processor.tokenizer.add_tokens([AddedToken(ARROW_QUESTION, lstrip=True, rstrip=True, normalized=False)])
    torch.manual_seed(0)  # of the new row
    model.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def compare(output: Path, held_out_rooms: int, overrides: Sequence[str]) -> dict:
    """Runs all arms from the same base, two at a time.

    Args:
        output (`Path`): Folder for models and scores.
        held_out_rooms (`int`): Rooms to score on.
        overrides (`Sequence[str]`): Flags of `sft.py` for all arms alike.

    Returns:
        `dict`: Scores per arm.
    """
    save_base(output / "base")
    script = ["trainers/experiments/vlm3_mixtures.py", "--output", str(output)]
    commands = {arm: [*script, "--held_out_rooms", str(held_out_rooms), "--arm", arm, *overrides] for arm in ARMS}
    side_by_side(commands["text"], commands["arrow"], output / "arrow.log")
    side_by_side(commands["uniform"], commands["size"], output / "size.log")
    wait(start(commands["custom"]))
    return {arm: json.loads((output / f"{arm}_scores.json").read_text()) for arm in ARMS}


def as_tables(scores: dict) -> str:
    """Weightings and pointers as Markdown tables, one row each."""
    weightings = [
        ["weighting", "share of depth", "delta_1", "AbsRel", f"mean error (of {STEPS})", "within 10 %", "unparsed"]
    ]
    for arm in WEIGHTINGS:
        depth, correspondence = scores[arm]["depth"], scores[arm]["correspondence"]
        figures = (scores[arm]["shares"]["depth"], depth["delta_1"], depth["abs_rel"])
        figures += (correspondence["end_point_error_mean"], correspondence["pck_10"])
        figures += (max(depth["unparsed"], correspondence["unparsed"]),)
        weightings.append([arm, *(f"{value:.3f}" for value in figures)])
    pointers = [["pixel named by", "delta_1", "AbsRel", "unparsed"]]
    for arm in POINTERS:
        depth = scores[arm]["depth"]
        pointers.append([arm, *(f"{depth[key]:.3f}" for key in ("delta_1", "abs_rel", "unparsed"))])
    return markdown_table(weightings) + "\n\n" + markdown_table(pointers)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="vlm3_mixtures.py",
        description=__doc__.split("\n")[0],
        epilog="Any other flag goes to sft.py, for all arms alike.",
        allow_abbrev=False,
    )
    parser.add_argument("--output", type=Path, default=Path("outputs/vlm3_mixtures"), help="folder for everything")
    parser.add_argument("--held_out_rooms", type=int, default=256, help="rooms to score on")
    parser.add_argument("--arm", choices=ARMS, help="run this arm alone, on the base that lies in the folder")
    options, overrides = parser.parse_known_args(arguments)
    output = options.output.resolve()
    if options.arm is not None:
        scores = run_arm(options.arm, output / "base", output / options.arm, options.held_out_rooms, overrides)
        (output / f"{options.arm}_scores.json").write_text(json.dumps(scores, indent=2) + "\n")
        return
    begin = time.perf_counter()
    scores = compare(output, options.held_out_rooms, overrides)
    seconds = round(time.perf_counter() - begin, 1)
    (output / "results.json").write_text(json.dumps({"scores": scores, "seconds": seconds}, indent=2) + "\n")
    (output / "results.md").write_text(as_tables(scores) + "\n")
    print(f"\n{options.held_out_rooms} held-out rooms, saved models, RGB only, {seconds:.0f} s in all\n")
    print(as_tables(scores))


if __name__ == "__main__":
    main()
