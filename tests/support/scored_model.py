"""A saved model that answers quickly, and the flags that score it on a few small rooms."""

import json
import os
import subprocess
import sys
from pathlib import Path

from processes import free_port
from tiny_vid_llm import build_vid_llm

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.package_files import PACKAGE, TINY_BASE


ROOM_QUESTIONS = ("--dataset", "synthetic_rooms", "--num_rooms", "5", "--room_seed", "3", "--questions_per_room", "3")


def save_tiny(folder: Path) -> Path:
    """The tiny base as an IGEP model."""
    IGEPForConditionalGeneration.from_base(TINY_BASE).save_pretrained(folder)
    IGEPProcessor.from_base(TINY_BASE).save_pretrained(folder)
    return folder


def save_vid_llm(folder: Path) -> Path:
    """A tiny random Vid-LLM."""
    model, processor = build_vid_llm()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def scored_as(output: Path) -> dict:
    """What a results file says, without what depends on the clock and the number of processes."""
    found = json.loads(output.read_text())
    del found["facts"]
    for benchmark in found["benchmarks"].values():
        benchmark["facts"].pop("answers_per_second", None)
    return found


def lines_of(output: Path) -> list[dict]:
    """The predictions beside a results file."""
    return [json.loads(line) for line in predictions_of(output).read_text().splitlines()]


def predictions_of(output: Path) -> Path:
    return output.with_name(output.stem + "_predictions.jsonl")


def score_on_two_processes(flags: list[str], output: Path) -> None:
    """Runs the scorer on two processes of this machine; the test fails with the end of their log where they do."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    launch += ["--master_port", str(free_port()), "trainers/score.py"]
    done = subprocess.run(
        [*launch, *flags, "--output", str(output), "--device", "cpu"],
        cwd=PACKAGE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
