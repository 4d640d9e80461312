"""A mixture is the same sequence on 1, 2 and 4 gloo processes and after a resume, and trains to the same weights."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import free_port, history
from safetensors.torch import load_file

from igep.trainers import sft
from igep.trainers.package_files import PACKAGE


STEPS, STEP_SAMPLES = 7, 4
MIXTURE = (
    "{name: asked, task: questions, num_rooms: 5, weight: 2}",
    "{name: depth, task: depth, num_rooms: 6, questions_per_image: 3, focal_pixels: null, weight: 3}",
    "{name: pose, task: pose, num_rooms: 6, focal_pixels: null, weight: 1}",
)

pytestmark = pytest.mark.slow


def flags(base: Path, output: Path, batch_size: int, *more: str) -> list[str]:
    """An epoch is 15 samples, rounded up to 4 steps of 4: the checkpoint of step 5 is in the second epoch."""
    return [
        *("--model_name_or_path", str(base), "--output_dir", str(output), "--mixture", *MIXTURE),
        *("--mixture_weights", "custom", "--mixture_samples_per_epoch", "15", "--frames_as", "images"),
        *("--pack_questions", "--geometry_size", "16", "16", "--optim", "sgd", "--learning_rate", "1e-2"),
        *("--per_device_train_batch_size", str(batch_size), "--max_steps", str(STEPS), "--save_steps", "5"),
        *("--logging_steps", "1", "--report_to", "none", "--disable_tqdm", "true", "--use_cpu"),
        *("--no_gradient_checkpointing", *more),
    ]


def train(
    base: Path, folder: Path, processes: int, accumulation: int = 1, *more: str
) -> tuple[Path, list[list[str]], str]:
    """Returns the last checkpoint, the sample ids of each step in the order of the ranks, and what was printed."""
    recorded = folder / "samples"
    shutil.rmtree(recorded, ignore_errors=True)
    recorded.mkdir(parents=True)
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
        launcher += ["--master_port", str(free_port())]
    batch_size = STEP_SAMPLES // processes // accumulation
    more = ("--gradient_accumulation_steps", str(accumulation), *more)
    command = flags(base, folder / "run", batch_size, *more)
    done = subprocess.run(
        [*launcher, "tests/support/recording_sft.py", *command],
        cwd=PACKAGE,
        env=os.environ | {"OMP_NUM_THREADS": "1", "RECORDED_SAMPLES": str(recorded)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    ranks = [
        [json.loads(line) for line in (recorded / f"rank-{rank}.jsonl").read_text().splitlines()]
        for rank in range(processes)
    ]
    steps: dict[int, list[str]] = {}
    for batches in zip(*ranks, strict=True):
        for batch in batches:
            steps.setdefault(batch["step"], []).extend(batch["samples"])
    return folder / "run" / f"checkpoint-{STEPS}", [steps[step] for step in sorted(steps)], done.stdout


@pytest.fixture(scope="module")
def base(checkpoint_folders) -> Path:
    return checkpoint_folders["llava_onevision"]


@pytest.fixture(scope="module")
def expected(base, tmp_path_factory) -> list[list[str]]:
    """The sequence without any trainer."""
    script_args, training_args, _ = sft.parse(flags(base, tmp_path_factory.mktemp("unused"), STEP_SAMPLES))
    mixture, _ = sft.load_datasets(script_args, training_args)
    assert len(mixture) == 16
    names = []
    for epoch in range(2):
        mixture.set_epoch(epoch)
        names += [mixture.sample_id(index) for index in range(len(mixture))]
    assert {name.split("/")[0] for name in names} == {"asked", "depth", "pose"}
    return [names[step * STEP_SAMPLES : (step + 1) * STEP_SAMPLES] for step in range(STEPS)]


@pytest.fixture(scope="module")
def single(base, tmp_path_factory) -> tuple[Path, list[list[str]], str]:
    return train(base, tmp_path_factory.mktemp("single"), 1)


def test_one_process_reads_the_order_and_reports_the_counts(single, expected):
    checkpoint, samples, printed = single
    assert samples == expected
    drawn = [name.split("/")[0] for step in samples for name in step]
    table = printed[printed.index("mixture ") :].splitlines()
    for name, line in zip(("asked", "depth", "pose"), table[1:4], strict=True):
        assert line.split()[0] == name
        assert int(line.split()[2]) == drawn.count(name)
        assert history(checkpoint)[-1][f"samples_{name}"] == drawn.count(name)


def assert_learnt_the_same(found: Path, expected: Path) -> None:
    for mine, theirs in zip(history(found), history(expected), strict=True):
        assert mine == pytest.approx(theirs, rel=2e-4, abs=1e-6)
    for key, value in load_file(expected / "model.safetensors").items():
        torch.testing.assert_close(load_file(found / "model.safetensors")[key], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("processes", "accumulation"), [(2, 2), (4, 1)])
def test_more_processes_see_the_same_samples_and_learn_the_same(
    base, single, expected, tmp_path, processes, accumulation
):
    checkpoint, samples, _ = train(base, tmp_path, processes, accumulation)
    assert samples == expected
    assert_learnt_the_same(checkpoint, single[0])


@pytest.mark.parametrize("processes", [1, 2])
def test_resumed_in_the_second_epoch(base, single, expected, tmp_path, processes):
    """What one process began goes on with the next sample, on one or on two."""
    shutil.copytree(single[0].parent, tmp_path / "run", ignore=shutil.ignore_patterns(single[0].name))
    checkpoint, samples, printed = train(base, tmp_path, processes, 1, "--resume_from_checkpoint", "true")
    assert samples == expected[5:]
    assert (
        printed[printed.index("mixture ") :].splitlines()[1:4]
        == single[2][single[2].index("mixture ") :].splitlines()[1:4]
    )
    assert_learnt_the_same(checkpoint, single[0])
    if processes == 1:
        assert history(checkpoint) == history(single[0])


def test_clips_and_single_frames_train_as_videos_where_every_batch_is_of_one_part(base, tmp_path):
    """LLaVA-OneVision's processor cannot stack both, and each process has batches of its own."""
    _, samples, _ = train(base, tmp_path, 2, 1, "--frames_as", "video", "--mixture_one_part_per_batch")
    batches = [tuple(name.split("/")[0] for name in step[start : start + 2]) for step in samples for start in (0, 2)]
    assert all(first == second for first, second in batches)
    assert {first for first, _ in batches} == {"asked", "depth", "pose"}
