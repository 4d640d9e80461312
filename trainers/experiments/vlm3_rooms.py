"""Does a VLM learn 3D from text alone? VLM3 at toy scale: the tiny base, trained on metric depth and correspondence.

    igep vlm3-rooms --output outputs/vlm3_rooms                     # the two tables of docs/vlm3.md
    igep vlm3-rooms --output outputs/vlm3_rooms --ablation focal    # with and without focal unification

The base gets the words of VLM3's prompts and is trained once per task, side by side, by `sft.py` with the recipe
`vlm3_rooms.yaml`. Saved models, the base before training and predictors that look at no image then answer the same
questions about rooms that nobody has seen.
"""

import argparse
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from igep.spatial_prompts import correspondence_answer, depth_answer
from igep.trainers import sft
from igep.trainers.cards.made_base import write_made_by
from igep.trainers.cards.markdown import markdown_table
from igep.trainers.data.training_rows import SceneTableCache, load_rows
from igep.trainers.evaluation.benchmarks.vlm3_tasks import task_scores
from igep.trainers.experiments import focal_ablation
from igep.trainers.experiments.handed_flags import check_flags
from igep.trainers.experiments.side_by_side import side_by_side
from igep.trainers.experiments.tiny_vlm3 import STEPS, vlm3_base
from igep.trainers.package_files import RECIPES


RECIPE = RECIPES / "vlm3_rooms.yaml"
TASKS = ("depth", "correspondence")
HELD_OUT_SEED = 777_002
PRIOR_ROOMS = 512  # training rooms that the constant predictors are taken from
PLACES = 8  # cells along each side of the image for the predictor that knows the place alone
COLUMNS = {
    "depth": {"delta_1": "delta_1", "AbsRel": "abs_rel", "unparsed": "unparsed"},
    "correspondence": {
        f"mean error (of {STEPS})": "end_point_error_mean",
        f"median error (of {STEPS})": "end_point_error_median",
        "within 5 %": "pck_5",
        "within 10 %": "pck_10",
        "unparsed": "unparsed",
    },
}


def asked_pixel(question: str) -> tuple[int, int]:
    """The coordinates that a question of either task is about."""
    x, y = re.search(r"\((\d+), (\d+)\)", question).groups()
    return int(x), int(y)


def depth_priors(questions: Sequence[str], metres: Sequence[float]) -> dict[str, np.ndarray]:
    """What can be said about depth without looking, from training rooms.

    Args:
        questions (`Sequence[str]`): Training questions.
        metres (`Sequence[float]`): Their answers.

    Returns:
        `dict[str, np.ndarray]`: Per predictor, (PLACES, PLACES) metres for each cell of the image, row first: the
        median of all, the constant of the best delta_1, and the median of each cell.
    """
    metres = np.asarray(metres, dtype=np.float64)
    constants = np.quantile(metres, np.linspace(0.01, 0.99, 99))
    within = [np.mean(np.maximum(metres / constant, constant / metres) < 1.25) for constant in constants]
    cells = np.array([asked_pixel(question) for question in questions]) * PLACES // STEPS
    by_place = np.full((PLACES, PLACES), np.median(metres))
    for column, row in np.unique(cells, axis=0):
        by_place[row, column] = np.median(metres[(cells == (column, row)).all(1)])
    return {
        "constant: training median": np.full((PLACES, PLACES), np.median(metres)),
        "constant: best delta_1": np.full((PLACES, PLACES), constants[np.argmax(within)]),
        "median at the asked place": by_place,
    }


def blind_answers(task: str, questions: Sequence[str], priors: dict[str, np.ndarray]) -> dict[str, list[str]]:
    """Answers of the predictors that see no image, as text like those of a model.

    Args:
        task (`str`): `depth` or `correspondence`.
        questions (`Sequence[str]`): Held-out questions.
        priors (`dict[str, np.ndarray]`): What `depth_priors` returned.

    Returns:
        `dict[str, list[str]]`: One list of answers per predictor.
    """
    pixels = [asked_pixel(question) for question in questions]
    if task == "depth":
        cells = [(y * PLACES // STEPS, x * PLACES // STEPS) for x, y in pixels]
        return {name: [depth_answer(metres[cell]) for cell in cells] for name, metres in priors.items()}
    return {
        "the same pixel": [correspondence_answer(pixel) for pixel in pixels],
        "the image centre": [correspondence_answer((STEPS // 2, STEPS // 2))] * len(pixels),
    }


def training_priors(overrides: Sequence[str]) -> dict[str, np.ndarray]:
    """`depth_priors` of some of the rooms that the recipe trains on."""
    arguments = ["--config", str(RECIPE), "--task", "depth", *overrides]
    script_args, training_args, _ = sft.parse(arguments)
    script_args.num_rooms = min(script_args.num_rooms, PRIOR_ROOMS)
    rows, _ = load_rows(script_args, tuple(training_args.geometry_size), training_args.seed, SceneTableCache())
    questions, metres = [], []
    for number in range(len(rows)):
        example = rows.example(number, 0)
        questions += [question for question, _ in example.conversation]
        metres += example.references
    return depth_priors(questions, metres)


def compare(output: Path, held_out_rooms: int, overrides: Sequence[str]) -> dict:
    """Trains both tasks and scores all predictors.

    Args:
        output (`Path`): Folder for models, scores and predictions.
        held_out_rooms (`int`): Rooms to score on.
        overrides (`Sequence[str]`): Flags of `sft.py` for both tasks alike.

    Returns:
        `dict`: Scores per task and predictor.
    """
    model, processor = vlm3_base()
    model.save_pretrained(output / "base")
    processor.save_pretrained(output / "base")
    write_made_by(output / "base", "igep vlm3-rooms")
    train, evaluate, evaluate_base = ({}, {}, {})
    for task in TASKS:
        options = ["--task", task, "--model_name_or_path", str(output / "base"), "--output_dir", str(output / task)]
        train[task] = ["trainers/sft.py", "--config", str(RECIPE), *options, *overrides]
        rooms = ["--num_rooms", str(held_out_rooms), "--room_seed", str(HELD_OUT_SEED), "--max_new_tokens", "16"]
        scored = ["trainers/score.py", "--config", str(RECIPE), "--benchmark", task, "--restart", *rooms]
        evaluate[task] = [*scored, "--model", str(output / task), "--output", str(output / f"{task}_trained.json")]
        evaluate_base[task] = [*scored, "--model", str(output / "base"), "--output", str(output / f"{task}_base.json")]
    for name, commands in (("train", train), ("evaluate", evaluate), ("evaluate_base", evaluate_base)):
        side_by_side(commands["depth"], commands["correspondence"], output / f"{name}_correspondence.log")
    priors = training_priors(overrides)
    return {task: score_all(task, output, priors) for task in TASKS}


def score_all(task: str, output: Path, priors: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Scores of the trained model, the base and the blind predictors on the questions that the models answered."""
    scores = {}
    for title, name in (("trained", "trained"), ("the base before training", "base")):
        figures = json.loads((output / f"{task}_{name}.json").read_text())["benchmarks"][task]["figures"]
        scores[title] = {title: figure["value"] for title, figure in figures.items()}
        scores[title]["count"] = figures["unparsed"]["n"]
    lines = (output / f"{task}_trained_predictions.jsonl").read_text().splitlines()
    asked = [json.loads(line) for line in lines]
    for name, answers in blind_answers(task, [row["question"] for row in asked], priors).items():
        scores[name] = task_scores(
            task, [row | {"prediction": text} for row, text in zip(asked, answers, strict=True)], STEPS
        )
    return scores


def as_table(task: str, scores: dict[str, dict[str, float]]) -> str:
    """All predictors of a task as a Markdown table, one row each."""
    columns = COLUMNS[task]
    table = [[task, *columns]]
    table += [
        [name, *("-" if figures[key] is None else f"{figures[key]:.3f}" for key in columns.values())]
        for name, figures in scores.items()
    ]
    return markdown_table(table)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="vlm3_rooms.py",
        description=__doc__.split("\n")[0],
        epilog="Any other flag goes to sft.py, for all runs alike.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/vlm3_rooms"), help="folder for everything written"
    )
    parser.add_argument("--held_out_rooms", type=int, default=256, help="rooms to score on")
    parser.add_argument(
        "--ablation",
        choices=["focal"],
        help="compare with and without focal unification instead; further flags are those of `igep focal-ablation`",
    )
    options, overrides = parser.parse_known_args(arguments)
    output = options.output.resolve()
    begin = time.perf_counter()
    if options.ablation == "focal":
        focal_ablation.main(
            ["--output", str(output / "focal"), "--held_out_rooms", str(options.held_out_rooms), *overrides]
        )
        return
    check_flags(overrides, (sft.parse, RECIPE))
    results = compare(output, options.held_out_rooms, overrides)
    tables = "\n\n".join(as_table(task, scores) for task, scores in results.items())
    seconds = round(time.perf_counter() - begin, 1)
    (output / "results.json").write_text(json.dumps({"scores": results, "seconds": seconds}, indent=2) + "\n")
    (output / "results.md").write_text(tables + "\n")
    questions = " and ".join(f"{scores['trained']['count']} ({task})" for task, scores in results.items())
    print(f"\n{options.held_out_rooms} held-out rooms, {questions} questions, saved models, RGB only\n")
    print(tables)
    print(f"\n{seconds:.0f} s in all. In {options.output}: results.json, results.md, every prediction in *.jsonl")


if __name__ == "__main__":
    main()
