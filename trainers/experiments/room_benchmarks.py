"""Benchmarks of ScanNet and VSI-Bench from files to a table, on synthetic rooms: the path of real data, in minutes.

    igep room-benchmarks --output outputs/room_benchmarks   # the table of docs/scoring.md

Rooms are written as a ScanNet download with the annotation files of the benchmarks, `igep prepare scannet` makes
tables of them, `sft.py` trains the tiny base on all tasks at once, and `score.py` scores the saved model on held-out
rooms. Beside it stand answers that look at no image: to each question the typical answer to the training questions of
its form.
"""

import argparse
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from igep.text_boxes import TextBox, box_answer, parse_boxes
from igep.trainers import sft
from igep.trainers.cards.made_base import write_made_by
from igep.trainers.cards.markdown import markdown_table
from igep.trainers.commands import prepare
from igep.trainers.data.rooms.room_benchmarks import RoomBenchmarkFiles, write_room_benchmarks
from igep.trainers.data.rooms.room_renderer import COLOURS, SHAPES
from igep.trainers.data.text_box_dataset import TEXT_BOXES
from igep.trainers.data.training_rows import SceneTableCache
from igep.trainers.evaluation.benchmarks.all_benchmarks import BENCHMARKS
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.grounding_benchmark import GroundingBenchmark
from igep.trainers.experiments.handed_flags import check_flags
from igep.trainers.experiments.side_by_side import start, wait
from igep.trainers.experiments.tiny_benchmarks import benchmark_base
from igep.trainers.package_files import RECIPES


RECIPE = RECIPES / "room_benchmarks.yaml"
SEED = 2026
NUM_FRAMES = 2
QUESTIONS_PER_ROOM = 6
SHORT, SENTENCE, ONE_BOX, BOXES = ({"max_new_tokens": tokens} for tokens in (8, 24, 48, 192))
PROPOSALS = {"geometry_inputs": "pose", "ground_proposals": "detected"}  # as the recipe trains the ground head
# Per benchmark the figures of the table, in the order of the metric.
FIGURES = {
    "scanqa": ("exact_match, standard", "cider, standard"),
    "sqa3d": ("exact_match, standard",),
    "scan2cap": ("cider_50, standard", "bleu_4_50, standard"),
    "scanrefer": ("accuracy_25, standard", "accuracy_50, standard"),
    "multi3drefer": ("f1_25, standard", "f1_50, standard"),
    "scanrefer_boxes": ("accuracy_25, standard", "accuracy_50, standard"),
    "multi3drefer_boxes": ("f1_25, standard", "f1_50, standard"),
    "vsi_bench": (
        *("object_counting, standard", "object_abs_distance, standard", "object_size_estimation, standard"),
        *("room_size_estimation, standard", "object_rel_distance, standard", "object_rel_direction, standard"),
        "overall, standard",
    ),
}
OF_A_ROOM = re.compile(rf"\b({'|'.join((*COLOURS, *SHAPES))})(es|s)?\b")


@dataclass(frozen=True)
class RoomTask:
    """A benchmark and the options that name its rows, to train on and to score.

    Args:
        benchmark (`str`): As `score.py` calls it.
        options (`dict[str, Any]`): Options of scenes and questions.
        training (`dict[str, Any]`): What else its entry in the mixture says: its share of the rows, the questions of a
            row.
        scoring (`dict[str, Any]`): What else is said when it is scored.
    """

    benchmark: str
    options: dict[str, Any]
    training: dict[str, Any]
    scoring: dict[str, Any]

    def mixture_entry(self) -> str:
        """As an entry of a recipe's mixture."""
        return json.dumps({"name": self.benchmark, **self.options, **self.training})

    def score_options(self) -> list[str]:
        """As words of `score.py --data`."""
        return [f"{self.benchmark}.{name}={value}" for name, value in (self.options | self.scoring).items()]


def room_tasks(files: Path, prepared: Path, split: str) -> list[RoomTask]:
    """The benchmarks on a split of the rooms.

    Args:
        files (`Path`): Folder that `write_room_benchmarks` filled.
        prepared (`Path`): Folder that `igep prepare` made of it.
        split (`str`): `train` or `val`.

    Returns:
        `list[RoomTask]`
    """
    names = RoomBenchmarkFiles(split)

    def rows(weight: int, questions: int) -> dict[str, Any]:
        return {"weight": weight, "questions_per_row": questions}

    def scans(dataset: str, file: str) -> dict[str, Any]:
        return {"dataset": dataset, "dataset_path": str(prepared), "annotation_file": str(files / file)}

    boxes = {"task": TEXT_BOXES}
    video = {"dataset": "vsi_bench", "dataset_path": str(files / names.vsi_bench)}
    return [  # so many questions per row that rows are about equally long
        RoomTask("scanqa", scans("scanqa", names.scanqa), rows(3, 6), SHORT),
        RoomTask("sqa3d", scans("sqa3d", names.sqa3d), rows(3, 4), SHORT),
        RoomTask("scan2cap", scans("scan2cap", names.scanrefer), rows(3, 6), SENTENCE),
        RoomTask("scanrefer", scans("scanrefer", names.scanrefer), rows(2, 9), PROPOSALS),
        RoomTask("multi3drefer", scans("multi3drefer", names.multi3drefer), rows(2, 6), PROPOSALS),
        RoomTask("scanrefer_boxes", scans("scanrefer", names.scanrefer), rows(1, 3) | boxes, ONE_BOX),
        RoomTask("multi3drefer_boxes", scans("multi3drefer", names.multi3drefer), rows(1, 2) | boxes, BOXES),
        RoomTask("vsi_bench", video, rows(4, 4), SHORT),
    ]


def write_rooms(files: Path, prepared: Path, train_rooms: int, held_out_rooms: int) -> None:
    """Writes the rooms as a download and prepares it; those of an earlier run are taken as they are.

    Args:
        files (`Path`): Folder of the download.
        prepared (`Path`): Folder of its tables.
        train_rooms (`int`): Rooms to train on.
        held_out_rooms (`int`): Rooms to score on.

    Raises:
        ValueError: The folders hold other rooms, or were not finished.
    """
    wanted = {"train_rooms": train_rooms, "held_out_rooms": held_out_rooms, "seed": SEED}
    written = prepared / "rooms.json"
    if files.exists():
        if written.is_file() and json.loads(written.read_text()) == wanted:
            print(f"rooms of an earlier run: {files}")
            return
        raise ValueError(f"{files.parent} holds other rooms, or unfinished ones: give another --output, or remove it.")
    with tqdm(total=train_rooms + held_out_rooms, desc="writing rooms", unit="room") as bar:
        write_room_benchmarks(
            files,
            train_rooms=train_rooms,
            held_out_rooms=held_out_rooms,
            seed=SEED,
            questions_per_room=QUESTIONS_PER_ROOM,
            progress=lambda: bar.update(1),
        )
    prepare.main(["scannet", "--root", str(files), "--out", str(prepared), "--scenes_per_shard", "256"])
    written.write_text(json.dumps(wanted))


def asked(task: RoomTask) -> Iterator[tuple[str, str, str, str]]:
    """Id, type, text and first true answer of each question of a task, read as the scorer reads them."""
    options = BenchmarkOptions(num_frames=NUM_FRAMES, **task.options)
    for group in BENCHMARKS[task.benchmark].groups(options, SceneTableCache()):
        for question in group.questions:
            yield question.sample_id, question.question_type, question.question, question.answer


def form_of(question: str) -> str:
    """A question without what differs from room to room: colours, shapes, choices and numbers."""
    return re.sub(r"\d+(\.\d+)?", "#", OF_A_ROOM.sub("*", question.split("\nOptions:")[0]))


def typical_answer(counted: Counter[str]) -> str:
    """The most frequent answer; where each is one box, the box of the medians, in the most frequent frame.

    Args:
        counted (`Counter[str]`): Answers, at least one.

    Returns:
        `str`
    """
    found = [parse_boxes(answer, NUM_FRAMES) for answer in counted.elements()]
    if any(len(each.boxes) != 1 for each in found):
        return counted.most_common(1)[0][0]
    frames = Counter(each.boxes[0].frame for each in found)
    box = np.median([each.boxes[0].box for each in found], 0)
    return box_answer([TextBox(frames.most_common(1)[0][0], tuple(box.tolist()))])


def blind_proposals(held_out: RoomTask) -> list[dict[str, str]]:
    """Choices among proposals that look at no image: the first, as good as any, where one object is meant, else none.

    Args:
        held_out (`RoomTask`): Questions to answer.

    Returns:
        `list[dict]`: Lines for `score.py --predictions`.
    """
    options = BenchmarkOptions(num_frames=NUM_FRAMES, **held_out.options, **held_out.scoring)
    benchmark = BENCHMARKS[held_out.benchmark]
    lines = []
    for group in benchmark.groups(options, SceneTableCache()):
        found = {"boxes": []} if benchmark.any_number else {"box": group.proposals[0].tolist()}
        for question in group.questions:
            line = {"benchmark": held_out.benchmark, "sample_id": question.sample_id}
            lines.append({**line, "prediction": json.dumps(found)})
    return lines


def blind_answers(train: RoomTask, held_out: RoomTask) -> list[dict[str, str]]:
    """Answers that look at no image: the typical one to training questions of the same form, else of the same type.

    Args:
        train (`RoomTask`): Questions to count.
        held_out (`RoomTask`): Questions to answer, of the same benchmark.

    Returns:
        `list[dict]`: Lines for `score.py --predictions`.
    """
    if isinstance(BENCHMARKS[held_out.benchmark], GroundingBenchmark):
        return blind_proposals(held_out)
    of_form, of_type = defaultdict(Counter), defaultdict(Counter)
    for _, question_type, question, answer in asked(train):
        of_form[form_of(question)][answer] += 1
        of_type[question_type][answer] += 1
    lines = []
    for sample_id, question_type, question, _ in asked(held_out):
        prediction = typical_answer(of_form.get(form_of(question)) or of_type[question_type])
        lines.append({"benchmark": held_out.benchmark, "sample_id": sample_id, "prediction": prediction})
    return lines


def train_model(output: Path, overrides: Sequence[str]) -> None:
    """Gives the tiny base the words of the training questions and trains it on them.

    Args:
        output (`Path`): Folder that holds `rooms` and `prepared`; `base` and `model` go there.
        overrides (`Sequence[str]`): Flags of `sft.py`.
    """
    tasks = room_tasks(output / "rooms", output / "prepared", "train")
    model, processor = benchmark_base([text for task in tasks for _, _, *texts in asked(task) for text in texts])
    model.save_pretrained(output / "base")
    processor.save_pretrained(output / "base")
    write_made_by(output / "base", "igep room-benchmarks")
    places = ["--model_name_or_path", str(output / "base"), "--output_dir", str(output / "model")]
    mixture = [task.mixture_entry() for task in tasks]
    _run("trainers/sft.py", "--config", str(RECIPE), *places, "--mixture", *mixture, *overrides)


def score(output: Path) -> dict[str, dict[str, Any]]:
    """Scores the model, and answers that look at no image.

    Args:
        output (`Path`): Folder that holds `rooms`, `prepared` and `model`.

    Returns:
        `dict[str, dict]`: The results of `score.py` for `trained` and `blind`.
    """
    train, held_out = (room_tasks(output / "rooms", output / "prepared", split) for split in ("train", "val"))
    lines = [line for pair in zip(train, held_out, strict=True) for line in blind_answers(*pair)]
    answers = output / "blind_answers.jsonl"
    answers.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    command = ["trainers/score.py", "--num_frames", f"{NUM_FRAMES}", "--restart", "--device", "cpu", "--benchmark"]
    command += [task.benchmark for task in held_out]
    command += ["--data", *(word for task in held_out for word in task.score_options())]
    scored = {"trained": ("--model", output / "model"), "blind": ("--predictions", answers)}
    results = {}
    for name, (flag, source) in scored.items():
        file = output / f"{name}_scores.json"
        _run(*command, flag, str(source), "--output", str(file))
        results[name] = json.loads(file.read_text())
    return results


def as_table(results: dict[str, dict[str, Any]]) -> str:
    """Both columns as a Markdown table, one row per figure."""
    rows = [["benchmark", "figure", "unit", "answers", *results]]
    for benchmark, names in FIGURES.items():
        figures = [each["benchmarks"][benchmark]["figures"] for each in results.values()]
        for name in names:
            if name in figures[0]:  # a few rooms do not offer questions of every type
                own = [each[name] for each in figures]
                values = [f"{each['value']:.1f}" for each in own]
                rows.append([benchmark, name, own[0]["unit"], f"{own[0]['n']}", *values])
    return markdown_table(rows)


def _run(*command: str) -> None:
    wait(start(list(command)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="room_benchmarks.py",
        description=__doc__.split("\n")[0],
        epilog="Any other flag goes to sft.py.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/room_benchmarks"), help="folder for everything written"
    )
    parser.add_argument("--train_rooms", type=int, default=1024, help="rooms to train on")
    parser.add_argument("--held_out_rooms", type=int, default=80, help="rooms to score on")
    options, overrides = parser.parse_known_args(arguments)
    check_flags(overrides, (sft.parse, RECIPE))
    output = options.output.resolve()
    begin = time.perf_counter()
    write_rooms(output / "rooms", output / "prepared", options.train_rooms, options.held_out_rooms)
    train_model(output, overrides)
    results = score(output)
    seconds = round(time.perf_counter() - begin, 1)
    table = as_table(results)
    (output / "results.json").write_text(json.dumps({**results, "seconds": seconds}, indent=2) + "\n")
    (output / "results.md").write_text(table + "\n")
    print(
        f"\n{options.held_out_rooms} held-out rooms, saved model, RGB (and poses for proposals); blind: the most "
        "frequent answer\n"
    )
    print(table)
    print(f"\n{seconds:.0f} s in all. In {options.output}: results.json, results.md, every prediction in *.jsonl")


if __name__ == "__main__":
    main()
