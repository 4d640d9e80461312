"""Resuming is exact: weights, heads, optimizer and every later log are those of the run that was not interrupted."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file
from tiny_checkpoints import FAMILIES
from tiny_training import SlantedWalls, make_trainer, weights
from waiting import wait_until

from igep.trainers.loop import resumable_trainer
from igep.trainers.loop.complete_checkpoint import mark_complete
from igep.trainers.package_files import PACKAGE


TIMES = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos")
TIMES += ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "eval_model_preparation_time")
LORA = LoraConfig(r=4, lora_dropout=0.1, target_modules=r".*\.(q_proj|v_proj)", task_type="CAUSAL_LM")


def history(trainer, after: int) -> list[dict]:
    """Logs after a step, without what a clock measured."""
    logs = [entry for entry in trainer.state.log_history if entry["step"] > after]
    return [{name: value for name, value in entry.items() if name not in TIMES} for entry in logs]


def assert_same_run(resumed, whole, after: int) -> None:
    expected = weights(whole)
    assert weights(resumed).keys() == expected.keys()
    different = [name for name, value in weights(resumed).items() if not torch.equal(value, expected[name])]
    assert not different
    assert history(resumed, after) == history(whole, after)
    states = [trainer.optimizer.state_dict() for trainer in (resumed, whole)]
    assert states[0]["param_groups"] == states[1]["param_groups"]
    for index, state in states[1]["state"].items():
        for name, value in state.items():
            assert torch.equal(states[0]["state"][index][name], value)


@pytest.mark.parametrize("family", FAMILIES)
def test_resume_is_bit_identical(checkpoint_folders, tmp_path, family):
    """In the middle of the second epoch, between two logs, with accumulation, schedule, evaluation and workers."""
    options = {
        "max_steps": 6,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 2,
        "dataset": SlantedWalls(5),
        "eval_dataset": SlantedWalls(2),
        "eval_strategy": "steps",
        "eval_steps": 3,
        "logging_steps": 3,
        "save_strategy": "steps",
        "save_steps": 4,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 2,
        "heads_learning_rate": 3e-2,
    }
    whole = make_trainer(checkpoint_folders[family], tmp_path, **options)
    whole.train()
    resumed = make_trainer(checkpoint_folders[family], tmp_path, **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert_same_run(resumed, whole, after=4)
    assert next(entry["step"] for entry in history(resumed, 4)) == 6


def test_resume_of_lora_is_bit_identical(checkpoint_folders, tmp_path):
    options = {"max_steps": 5, "save_strategy": "steps", "save_steps": 3, "logging_steps": 2, "peft_config": LORA}
    whole = make_trainer(checkpoint_folders["qwen2_5_vl"], tmp_path, **options)
    whole.train()
    resumed = make_trainer(checkpoint_folders["qwen2_5_vl"], tmp_path, **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert_same_run(resumed, whole, after=3)


def test_checkpoint_holds_the_heads_beside_the_weights(checkpoint_folders, tmp_path):
    trainer = make_trainer(checkpoint_folders["llava_onevision"], tmp_path, save_strategy="steps", save_steps=2)
    trainer.train()
    heads = load_file(tmp_path / "checkpoint-2" / "training_heads.safetensors")
    live = {name: value for name, value in weights(trainer).items() if not name.startswith("vlm.")}
    assert heads.keys() == live.keys()
    assert all(torch.equal(heads[name], live[name]) for name in live)
    assert not any("verifier" in name for name in load_file(tmp_path / "checkpoint-2" / "model.safetensors"))


def test_best_model_comes_back_with_its_heads(checkpoint_folders, tmp_path):
    """`Trainer` would load the file's own keys, which leaves Qwen2.5-VL as it was at the end."""
    saved = {}

    def keep(trainer):
        saved[trainer.state.global_step] = weights(trainer)

    trainer = make_trainer(
        checkpoint_folders["qwen2_5_vl"],
        tmp_path,
        max_steps=3,
        eval_dataset=SlantedWalls(2),
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="steps",
        save_steps=1,
        load_best_model_at_end=True,
        metric_for_best_model="eval_num_steps",
        greater_is_better=False,
    )
    evaluate = trainer.evaluate

    def scored(*args, **kwargs):
        keep(trainer)
        return evaluate(*args, **kwargs) | {"eval_num_steps": trainer.state.global_step}

    trainer.evaluate = scored
    trainer.train()
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-1")
    assert all(torch.equal(value, saved[1][name]) for name, value in weights(trainer).items())
    assert not all(torch.equal(value, saved[3][name]) for name, value in weights(trainer).items())


def test_old_checkpoints_go_only_when_the_new_one_is_whole(checkpoint_folders, tmp_path, monkeypatch):
    options = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1, "save_total_limit": 1}
    trainer = make_trainer(checkpoint_folders["llava_onevision"], tmp_path, **options)
    seen = []

    def mark(folder):
        seen.append(sorted(path.name for path in tmp_path.glob("checkpoint-*")))
        mark_complete(folder)

    monkeypatch.setattr(resumable_trainer, "mark_complete", mark)
    trainer.train()
    assert seen == [["checkpoint-1"], ["checkpoint-1", "checkpoint-2"]]
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]


def test_broken_checkpoint_is_not_resumed_from(tmp_path, checkpoint_folders):
    trainer = make_trainer(checkpoint_folders["llava_onevision"], tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-7"))
    (tmp_path / "checkpoint-3").mkdir()
    with pytest.raises(FileNotFoundError, match=r"checkpoint-3: .*was not written to the end"):
        trainer.train(resume_from_checkpoint=True)


# ---- a process that is killed


def run_sft(base: Path, output: Path, *flags: str) -> list[str]:
    """The command of a short run on synthetic rooms."""
    return [
        *(sys.executable, "trainers/sft.py", "--model_name_or_path", str(base), "--output_dir", str(output)),
        *(
            "--num_rooms",
            "8",
            "--geometry_size",
            "16",
            "16",
            "--use_cpu",
            "--report_to",
            "none",
            "--disable_tqdm",
            "true",
        ),
        *("--per_device_train_batch_size", "2", "--max_steps", "24", "--save_steps", "4", "--logging_steps", "3"),
        *("--learning_rate", "1e-2", "--no_gradient_checkpointing", *flags),
    ]


@pytest.mark.slow
def test_resume_after_sigkill(checkpoint_folders, tmp_path):
    """Killed for real in the middle of the run, resumed with the same command: the end is that of the whole run."""
    base = checkpoint_folders["llava_onevision"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    whole = subprocess.run(
        run_sft(base, tmp_path / "whole"), cwd=PACKAGE, env=environment, capture_output=True, text=True, check=False
    )
    assert whole.returncode == 0, whole.stderr[-3000:]

    killed = subprocess.Popen(
        run_sft(base, tmp_path / "killed"),
        cwd=PACKAGE,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until((tmp_path / "killed" / "checkpoint-8").exists, "the second checkpoint", every_seconds=0.001)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model.safetensors").exists()

    resumed = subprocess.run(
        run_sft(base, tmp_path / "killed", "--resume_from_checkpoint", "true"),
        cwd=PACKAGE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    for name in ("model.safetensors", "training_heads.safetensors"):
        expected, found = (load_file(tmp_path / run / "checkpoint-24" / name) for run in ("whole", "killed"))
        assert all(torch.equal(found[key], value) for key, value in expected.items())
    published = [load_file(tmp_path / run / "model.safetensors") for run in ("whole", "killed")]
    assert all(torch.equal(published[1][key], value) for key, value in published[0].items())
    logs = [
        json.loads((tmp_path / run / "checkpoint-24" / "trainer_state.json").read_text())["log_history"]
        for run in ("whole", "killed")
    ]
    assert logs[0] == logs[1]
