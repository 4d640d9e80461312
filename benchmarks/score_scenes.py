"""Answers a second of the scorer with the questions of a scene on one encoding and one prefix, and with each alone.

    python benchmarks/score_scenes.py

Both go through `igep score` as a user starts it: VSI-Bench's questions about videos, read from its file, answers of at
most 16 tokens, predictions written and scored. "Alone" is `--share_prefix false --batch_size 1`. Time is that of the
processor, which does not depend on what else runs, less what loading the model takes. The predictions of both are
compared, word by word.

The models are random, with the proportions of Qwen3-VL-4B and LLaVA-OneVision-7B between vision tower and language
model, and the videos as long as that papers report: 32 frames of 640 x 480, some thousand tokens before a question of
about 40. Random models use up the 16 tokens, where trained ones mostly end after the letter or the number: the least
that sharing gains.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image

from igep.benchmarks.models.random_vlm import FAMILIES, build
from igep.trainers.cards.results_file import predictions_file
from igep.trainers.data.vsi_bench import vsi_bench_question
from igep.trainers.evaluation.load_vlm import load_for_answers
from igep.trainers.scoring.score_model import score
from igep.trainers.scoring.score_options import parse


THINGS = ("chair", "table", "lamp", "sofa", "door", "monitor", "pillow", "bin", "sink", "bed", "shelf", "window")


WAYS = {"alone": ("--share_prefix", "false", "--batch_size", "1"), "shared": ()}


def question(number: int) -> tuple[str, str, list[str] | None, str]:
    """Type, text, options and answer of a question in the benchmark's words: every other one has choices."""
    first, second = (THINGS[(step * number + step) % len(THINGS)] for step in (1, 5))
    if number % 2:
        text = (
            "Measuring from the closest point of each object, what is the distance between "
            f"the {first} and the {second} (in meters)?"
        )
        return "object_abs_distance", text, None, f"{1 + number / 10}"
    third = THINGS[number % 7]
    text = f"If I am standing by the {first} and facing the {second}, is the {third} to my left, right, or back?"
    return "object_rel_direction_medium", text, ["A. left", "B. right", "C. back"], "A"


def write_video(file: Path, frames: int, size: tuple[int, int]) -> None:
    """A camera that moves over a slanted surface under the noise of a sensor."""
    height, width = size
    ramp = np.add.outer(np.arange(height), 2 * np.arange(width))
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=2)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for number in range(frames):
            noise = np.random.default_rng(number).normal(scale=6, size=(height, width, 3))
            pixels = (((ramp[..., None] // (4, 5, 6)) + 9 * number) % 256 + noise).clip(0, 255).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def write_benchmark(folder: Path, options: argparse.Namespace) -> Path:
    """A file in VSI-Bench's form with its videos."""
    (folder / "scannet").mkdir()
    rows = []
    for scene in range(options.scenes):
        write_video(folder / "scannet" / f"scene{scene}.mp4", options.num_frames, tuple(options.size))
        for number in range(options.questions):
            kind, text, choices, answer = question(number)
            row = {"id": len(rows), "dataset": "scannet", "scene_name": f"scene{scene}", "question_type": kind}
            rows.append(row | {"question": text, "options": choices, "ground_truth": answer})
    file = folder / "test.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def write_model(folder: Path, family: str, options: argparse.Namespace) -> tuple[int, int]:
    """Saves a random model knowing the questions' words; returns the tokens before a question, and of the longest."""
    asked = [vsi_bench_question(text, choices) for _, text, choices, _ in map(question, range(options.questions))]
    model, processor = build(family, asked)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    frames = [Image.new("RGB", tuple(options.size)[::-1])] * options.num_frames
    prefix, questions = processor.packed_question_inputs(frames, asked)
    return prefix["input_ids"].shape[1], max(map(len, questions))


def seconds(job: Callable[[], Any]) -> float:
    """Processor time."""
    begin = time.process_time()
    job()
    return time.process_time() - begin


def score_seconds(model: Path, questions: Path, output: Path, num_frames: int, way: str) -> float:
    """Scores the model as the command does."""
    read = f"--benchmark vsi_bench --dataset vsi_bench --num_frames {num_frames} --restart true --device cpu".split()
    places = ["--model", str(model), "--dataset_path", str(questions), "--output", str(output)]
    return seconds(lambda: score(*parse([*read, *places, *WAYS[way]])))


def answers(output: Path) -> list[tuple[str, str]]:
    lines = map(json.loads, predictions_file(output).read_text(encoding="utf-8").splitlines())
    return [(line["sample_id"], line["prediction"]) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--scenes", type=int, default=1)
    parser.add_argument("--questions", type=int, default=10, help="questions about each scene")
    parser.add_argument("--num_frames", type=int, default=32, help="frames of a scene")
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), metavar=("H", "W"), help="of a frame")
    parser.add_argument("--repeats", type=int, default=3, help="rounds; the median is reported")
    parser.add_argument("--threads", type=int, default=1, help="threads of the processor")
    parser.add_argument("--family", nargs="+", choices=FAMILIES, default=FAMILIES)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.scenes} scenes, {options.questions} questions about each, {options.num_frames} frames\n")
    print(
        "| model | tokens before a question | tokens of a question | alone, answers/s | shared, answers/s "
        "| shared / alone |"
    )
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        questions = write_benchmark(folder, options)
        for family in options.family:
            before, asked = write_model(folder / family, family, options)
            outputs = {way: folder / f"{family}_{way}.json" for way in WAYS}
            times: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(options.repeats):
                loading = seconds(lambda folder=folder / family: load_for_answers(folder, "cpu"))
                for way, output in outputs.items():
                    taken = score_seconds(folder / family, questions, output, options.num_frames, way)
                    times[way].append(taken - loading)
            if answers(outputs["alone"]) != answers(outputs["shared"]):
                raise AssertionError("answers from one prefix are not those of questions alone")
            alone, shared = (options.scenes * options.questions / statistics.median(times[way]) for way in WAYS)
            print(
                f"| {family} | {before} | {asked} | {alone:.3f} | {shared:.3f} | {shared / alone:.1f}x |", flush=True
            )


if __name__ == "__main__":
    main()
