"""Both Vid-LLM stages as commands: two gloo processes train as one does, and a killed run goes on to the same end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import free_port, history
from safetensors.torch import load_file
from tiny_vid_llm import build_vid_llm
from transformers import SiglipVisionConfig, SiglipVisionModel
from waiting import wait_until

from igep.trainers.loop.complete_checkpoint import what_is_missing
from igep.trainers.package_files import PACKAGE


pytestmark = pytest.mark.slow

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
FILES = ("model.safetensors", "training_heads.safetensors")


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    model, processor = build_vid_llm(frame_size=(32, 32))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def command(stage: str, base: Path, output: Path, processes: int, batch_size: int, *flags: str) -> list[str]:
    """7 steps of a global batch of 4 over 16 rows, among them scenes without questions."""
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
    return [
        *(*launcher, f"trainers/{stage}.py", "--model_name_or_path", str(base), "--output_dir", str(output)),
        *("--num_rooms", "6", "--geometry_only_ratio", "0.25", "--geometry_size", "32", "32", "--optim", "sgd"),
        *("--per_device_train_batch_size", str(batch_size), "--max_steps", "7", "--save_steps", "5"),
        *("--logging_steps", "2", "--learning_rate", "1e-3", "--report_to", "none", "--disable_tqdm", "true"),
        *("--use_cpu", *flags),
    ]


def train(*arguments) -> Path:
    done = subprocess.run(
        command(*arguments), cwd=PACKAGE, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return arguments[2] / "checkpoint-7"


def check_equal(both: Path, single: Path) -> None:
    """Logs and weights of two processes are those of one."""
    assert len(history(single)) == len(history(both)) == 3
    for mine, theirs in zip(history(both), history(single), strict=True):
        assert mine.keys() == theirs.keys()
        assert mine == pytest.approx(theirs, rel=2e-4, abs=1e-6)
    for name in FILES:
        for key, value in load_file(single / name).items():
            torch.testing.assert_close(load_file(both / name)[key], value, rtol=1e-3, atol=1e-5)


def test_two_processes_equal_one_where_parts_have_no_loss(tmp_path):
    """A pooling head, the camera head, what writes to the geometry stream's reader: nothing awaits their gradients."""
    fields = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    vision = SiglipVisionModel(SiglipVisionConfig(image_size=32, patch_size=8, **fields))
    model, processor = build_vid_llm(frame_size=(32, 32), vision=vision, tie_word_embeddings=False)
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    weightless = ("--camera_weight", "0", "--points_weight", "0")
    single = train("joint", tmp_path / "base", tmp_path / "single", 1, 4, *weightless)
    both = train("joint", tmp_path / "base", tmp_path / "both", 2, 2, *weightless)
    check_equal(both, single)
    trained, base = load_file(both / "model.safetensors"), load_file(tmp_path / "base" / "model.safetensors")
    stayed = {key for key, value in base.items() if torch.equal(trained[key], value)}
    assert any("camera_head" in key for key in stayed)
    assert any("vision.head" in key for key in stayed)
    assert not any("depth_decoder" in key or "causal_lm.model.layers" in key for key in stayed)


@pytest.mark.parametrize("stage", ["distill", "joint"])
def test_two_processes_equal_one_and_a_killed_run_resumes(base, tmp_path, stage):
    single = train(stage, base, tmp_path / "single", 1, 4)
    both = train(stage, base, tmp_path / "both", 2, 2)
    check_equal(both, single)

    # Killed once its first checkpoint is whole, wherever it is by then.
    output = tmp_path / "killed"
    killed = subprocess.Popen(
        command(stage, base, output, 1, 4),
        cwd=PACKAGE,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(
            lambda: killed.poll() is not None or what_is_missing(output / "checkpoint-5") is None,
            "a checkpoint is whole",
        )
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    resumed = train(stage, base, output, 1, 4, "--resume_from_checkpoint", "true")
    assert history(resumed) == history(single)
    for name in FILES:
        expected, found = load_file(single / name), load_file(resumed / name)
        assert expected.keys() == found.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())
