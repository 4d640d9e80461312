"""Two gloo processes train as one process does on the same global batch, and resume as exactly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import free_port, history
from safetensors.torch import load_file

from igep.trainers.package_files import PACKAGE


pytestmark = pytest.mark.slow


def train(base: Path, output: Path, processes: int, batch_size: int, *flags: str) -> Path:
    """Runs 7 steps of a global batch of 4 over 16 rows, including scenes without questions; returns the checkpoint."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += [
            "-m",
            "torch.distributed.run",
            "--nproc_per_node",
            str(processes),
            "--master_port",
            str(free_port()),
        ]
    command = [
        *(*launcher, "trainers/sft.py", "--model_name_or_path", str(base), "--output_dir", str(output)),
        *("--num_rooms", "6", "--geometry_only_ratio", "0.25", "--geometry_size", "16", "16", "--optim", "sgd"),
        *("--per_device_train_batch_size", str(batch_size), "--max_steps", "7", "--save_steps", "5"),
        *("--logging_steps", "2", "--learning_rate", "1e-2", "--report_to", "none", "--disable_tqdm", "true"),
        *("--use_cpu", "--no_gradient_checkpointing", *flags),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=PACKAGE, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return output / "checkpoint-7"


@pytest.fixture(scope="module")
def base(checkpoint_folders) -> Path:
    return checkpoint_folders["llava_onevision"]


@pytest.fixture(scope="module")
def single(base, tmp_path_factory) -> Path:
    return train(base, tmp_path_factory.mktemp("single"), 1, 4)


def assert_same(found: Path, expected: Path) -> None:
    assert len(history(found)) == len(history(expected)) == 3
    for mine, theirs in zip(history(found), history(expected), strict=True):
        assert mine.keys() == theirs.keys()
        assert mine == pytest.approx(theirs, rel=2e-4, abs=1e-6)
    for name in ("model.safetensors", "training_heads.safetensors"):
        for key, value in load_file(expected / name).items():
            torch.testing.assert_close(load_file(found / name)[key], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("find_unused", ["true", "false"])
def test_two_processes_equal_one(base, single, tmp_path, find_unused):
    assert_same(train(base, tmp_path, 2, 2, "--ddp_find_unused_parameters", find_unused), single)


def test_two_processes_with_accumulation_resume_exactly(base, single, tmp_path):
    """Interrupted in the second epoch, between two logs; on each rank a micro-batch of one sample."""
    flags = ("--gradient_accumulation_steps", "2")
    whole = train(base, tmp_path, 2, 1, *flags)
    assert_same(whole, single)
    expected = {name: load_file(whole / name) for name in ("model.safetensors", "training_heads.safetensors")}
    logs = history(whole)
    whole.rename(tmp_path / "whole")
    resumed = train(base, tmp_path, 2, 1, *flags, "--resume_from_checkpoint", "true")
    assert history(resumed) == logs
    for name, tensors in expected.items():
        found = load_file(resumed / name)
        assert all(torch.equal(found[key], value) for key, value in tensors.items())
