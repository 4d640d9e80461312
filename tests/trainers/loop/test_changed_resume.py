"""Resuming under other options: what differs is said, another run is refused, and a full disk ends in one line."""

import errno
import json
import logging
import signal

import pytest
import torch
from line_training import make_line_trainer
from peft import LoraConfig
from tiny_training import SlantedWalls, logged, make_trainer
from transformers import TrainerCallback

from igep.trainers import sft
from igep.trainers.loop.complete_checkpoint import what_is_missing
from igep.trainers.loop.run_options import FREE_OPTIONS, OPTIONS_FILE, SAID_OPTIONS, ChangedRunError
from igep.trainers.loop.training_heads_file import load_heads, load_weights
from igep.trainers.loop.write_failure import WriteFailedError
from igep.trainers.sft_inherited_options import REFUSED, WORKS


OPTIONS = {"max_steps": 2, "per_device_train_batch_size": 2, "save_strategy": "steps", "save_steps": 1}
LORA = LoraConfig(r=4, target_modules=r".*\.(q_proj|v_proj)", task_type="CAUSAL_LM")


@pytest.fixture(scope="module")
def base(checkpoint_folders):
    return checkpoint_folders["llava_onevision"]


@pytest.fixture(scope="module")
def run(base, tmp_path_factory):
    """The folder of a run with a checkpoint after each of its two steps."""
    folder = tmp_path_factory.mktemp("run")
    make_trainer(base, folder, **OPTIONS).train()
    return folder


def resume(base, run, tmp_path, **fields):
    """Goes on from the first checkpoint, with everything that is written in another folder."""
    trainer = make_trainer(base, tmp_path, **(OPTIONS | fields))
    trainer.train(resume_from_checkpoint=str(run / "checkpoint-1"))
    return trainer


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        ({"seed": 7}, r"seed +42 +7"),
        ({"oracle_grid": 4}, r"oracle_grid +8 +4"),
        ({"geometry_weight": 0.5}, r"geometry_weight +1\.0 +0\.5"),
        ({"learning_rate": 1e-3}, r"learning_rate +0\.01 +0\.001"),
        ({"heads_learning_rate": 1e-3}, r"heads_learning_rate +- +0\.001"),
        ({"lr_scheduler_type": "cosine"}, r"lr_scheduler_type +constant +cosine"),
        ({"per_device_train_batch_size": 4}, r"samples_per_step +2 +4"),
        ({"frames_as": "images"}, r"frames_as +video +images"),
        (
            {"neighbour_window": 2, "uncertainty_alpha": 0.1},
            r"uncertainty_alpha +0\.2 +0\.1\n +neighbour_window +1 +2",
        ),
        ({"dataset": SlantedWalls(6)}, r"data: training rows +.*8 rows.* +.*6 rows"),
    ],
    ids=lambda part: next(iter(part)) if isinstance(part, dict) else None,
)
def test_another_run_is_refused_with_a_table(base, run, tmp_path, fields, row):
    with pytest.raises(
        ChangedRunError,
        match=rf"(?s)checkpoint-1 was written under other options.*option .*{row}.*allow_changed_resume",
    ):
        resume(base, run, tmp_path, **fields)


def test_what_changes_nothing_of_what_is_learned_may_change(base, run, tmp_path, caplog):
    fields = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "logging_steps": 2, "save_steps": 2}
    resumed = resume(base, run, tmp_path, **fields, max_steps=2, dataloader_num_workers=1)
    assert "other options" not in caplog.text
    assert (resumed.state.logging_steps, resumed.state.save_steps) == (2, 2), "the new intervals hold"
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]


def test_a_longer_run_is_said(base, run, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        trainer = resume(base, run, tmp_path, max_steps=3)
    assert trainer.state.global_step == 3
    assert "with other options:" in caplog.text
    assert "max_steps  2           3" in caplog.text


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"verifier_channels": 4}, r"of another size \(depth_verifier\..*verifier_channels +8 +4"),
        ({"freeze": ["language"]}, r"train no more \(vlm\..*freeze +\[\] +\[\"language\"\]"),
        ({"global_weight": 0.0}, r"train no more \(teacher_projector\..*global_weight +0\.5 +0\.0"),
        ({"supervise": "llm", "verifier_taps": 1}, r"verifier_taps +2 +1"),
        ({"peft_config": LORA}, r"are new \(vlm\..*lora_A"),
    ],
)
def test_other_parameters_cannot_be_resumed_at_all(base, run, tmp_path, fields, found):
    """In place of a traceback about the sizes of tensors."""
    with pytest.raises(
        ChangedRunError, match=rf"(?s)checkpoint-1 holds the state of other parameters than train now: .*{found}"
    ):
        resume(base, run, tmp_path, allow_changed_resume=True, **fields)


def test_changed_supervision_of_equal_size_is_another_run(base, run, tmp_path):
    with pytest.raises(ChangedRunError, match=r"supervise +encoder +llm"):
        resume(base, run, tmp_path, supervise="llm")


def test_allowed_changes_hold(base, run, tmp_path, caplog):
    """The state of the optimizer brings the rates it was written under; the new ones are those of the run."""
    fields = {"learning_rate": 1e-3, "heads_learning_rate": 2e-3, "weight_decay": 0.1, "lr_scheduler_type": "linear"}
    trainer = resume(base, run, tmp_path, allow_changed_resume=True, max_steps=4, **fields)
    assert "learning_rate        0.01        0.001" in caplog.text
    assert logged(trainer, "learning_rate")[1:] == pytest.approx([1e-3 * left / 4 for left in (3, 2, 1)])
    groups = trainer.optimizer.param_groups
    assert {group["initial_lr"] for group in groups} == {1e-3, 2e-3}
    assert {group["weight_decay"] for group in groups} == {0.0, 0.1}


def test_a_checkpoint_without_optimizer_state_is_no_place_to_resume(base, tmp_path):
    make_trainer(base, tmp_path, **OPTIONS, save_only_model=True).train()
    with pytest.raises(ChangedRunError, match="checkpoint-1 holds no optimizer state, as save_only_model writes it"):
        resume(base, tmp_path, tmp_path)


def test_checkpoints_from_before_options_were_kept(base, tmp_path, caplog):
    make_trainer(base, tmp_path, **OPTIONS).train()
    folder = tmp_path / "checkpoint-1"
    (folder / OPTIONS_FILE).unlink()
    marker = folder / "checkpoint_complete.json"
    files = json.loads(marker.read_text())["files"]
    del files[OPTIONS_FILE]
    marker.write_text(json.dumps({"files": files}))
    trainer = make_trainer(base, tmp_path, **OPTIONS, verifier_channels=8)
    trainer.train(resume_from_checkpoint=str(folder))
    assert "was written before options were kept in checkpoints" in caplog.text
    other = make_trainer(base, tmp_path, **OPTIONS, verifier_channels=4)
    with pytest.raises(ValueError, match=r"other heads: depth_verifier\..* of size .* there and of size .* here"):
        load_heads(other.training_heads, folder)
    other.igep_model.vlm.resize_token_embeddings(12)
    with pytest.raises(ValueError, match="holds another model: .* of size .* there and of size"):
        load_weights(other.igep_model, folder, other.training_heads)


def test_any_trainer_compares_its_options(tmp_path):
    make_line_trainer(tmp_path).train()
    trainer = make_line_trainer(tmp_path)
    trainer.args.seed += 1
    with pytest.raises(ChangedRunError, match="seed"):
        trainer.train(resume_from_checkpoint=True)


def test_free_options_are_options():
    assert (FREE_OPTIONS | SAID_OPTIONS) - {"dataset_kwargs", "do_eval"} <= WORKS
    assert not FREE_OPTIONS & SAID_OPTIONS
    assert {"dataset_kwargs", "do_eval"} <= REFUSED.keys()


# ---- damage and full disks


def test_equal_sized_damage_falls_back(base, tmp_path, caplog):
    make_trainer(base, tmp_path, **OPTIONS).train()
    weights = tmp_path / "checkpoint-2" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)
    trainer = make_trainer(base, tmp_path, **OPTIONS)
    trainer.train(resume_from_checkpoint=True)
    assert "Resuming from checkpoint-1: checkpoint-2 is not whole, the contents of model.safetensors" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:863] . PytorchStreamWriter failed writing file data/0"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 4832320 vs 4832208"),
    ],
    ids=["os", "torch", "torch-end"],
)
def test_a_full_disk_ends_in_one_line(base, tmp_path, monkeypatch, error):
    trainer = make_trainer(base, tmp_path, **OPTIONS)
    save = torch.save

    def full(value, file, *args, **kwargs):
        if "checkpoint-2" in str(file):
            raise error
        save(value, file, *args, **kwargs)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(WriteFailedError) as failed:
        trainer.train()
    message = str(failed.value)
    assert message.startswith(f"{tmp_path / 'checkpoint-2'} could not be written: ")
    assert f"The last whole checkpoint, {tmp_path / 'checkpoint-1'}, is kept" in message
    assert "\n" not in message
    assert ("the disk is full" in message) == isinstance(error, OSError)
    assert what_is_missing(tmp_path / "checkpoint-1") is None
    monkeypatch.setattr(torch, "save", save)
    resumed = make_trainer(base, tmp_path, **OPTIONS)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 2


def test_a_full_disk_at_the_end_names_the_output_folder(base, run, tmp_path, monkeypatch):
    trainer = make_trainer(base, tmp_path, max_steps=1)
    trainer.train()

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(trainer.igep_model), "save_pretrained", full)
    with pytest.raises(
        WriteFailedError, match="could not be written: the disk is full. There is no whole checkpoint yet"
    ):
        trainer.save_model()


class Terminate(TrainerCallback):
    """Sends the signal with which clusters take a machine back."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 1:
            signal.raise_signal(signal.SIGTERM)


def test_a_checkpoint_on_sigterm_is_whole(base, tmp_path):
    options = {"save_strategy": "steps", "save_steps": 500, "max_steps": 500, "enable_jit_checkpoint": True}
    trainer = make_trainer(base, tmp_path, callbacks=[Terminate()], **options)
    for callback in trainer.callback_handler.callbacks:
        manager = vars(callback).get("jit_manager")
        if manager is not None:
            manager.kill_wait = 0
    trainer.train()
    assert trainer.state.global_step < 500
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    assert what_is_missing(checkpoint) is None


# ---- the command


def test_the_command_compares_the_data_too(base, tmp_path, capsys):
    flags = [
        *(
            "--model_name_or_path",
            str(base),
            "--output_dir",
            str(tmp_path),
            "--use_cpu",
            "--geometry_size",
            "16",
            "16",
        ),
        *("--max_steps", "2", "--per_device_train_batch_size", "2", "--save_steps", "1", "--report_to", "none"),
        *("--disable_tqdm", "true", "--no_gradient_checkpointing"),
    ]
    sft.main([*flags, "--num_rooms", "4"])
    changed = [*flags, "--num_rooms", "4", "--room_seed", "9", "--resume_from_checkpoint", "true"]
    with pytest.raises(
        SystemExit, match=r"(?s)^igep sft: error: .*checkpoint-2 was written under .*\n +room_seed +0 +9\n"
    ):
        sft.main(changed)
    sft.main([*changed, "--allow_changed_resume", "--max_steps", "3", "--logging_steps", "1"])
    assert "step 3" in capsys.readouterr().out
