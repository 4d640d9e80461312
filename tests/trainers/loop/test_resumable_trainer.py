"""The shared trainer under a method of its own, of which it knows nothing: killed, resumed, split and saved."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import line_training
import numpy as np
import pytest
import torch
from line_training import LineConfig, LineModel, LineTrainer, make_line_trainer
from processes import history
from safetensors.torch import load_file
from transformers import TrainerCallback

from igep.trainers.loop.complete_checkpoint import MARKER
from igep.trainers.loop.non_finite import NonFiniteLossError


def tensors(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Weights and heads of a checkpoint, each in its file alone."""
    weights, heads = (load_file(checkpoint / f"{name}.safetensors") for name in ("model", "training_heads"))
    assert not weights.keys() & heads.keys()
    return weights | heads


def logged(trainer, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


# ---- resuming


@pytest.mark.slow
def test_resume_after_sigkill(tmp_path):
    """Killed for real two steps after a checkpoint, in the second epoch and between two logs."""
    command = [sys.executable, line_training.__file__]
    subprocess.run([*command, tmp_path / "whole"], check=True, stdout=subprocess.DEVNULL)
    killed = subprocess.Popen(
        [*command, tmp_path / "killed", "--hold", "8"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    while not (tmp_path / "killed" / "checkpoint-6" / MARKER).exists():
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    killed.stdin.close()
    assert not (tmp_path / "killed" / "checkpoint-9").exists()
    subprocess.run([*command, tmp_path / "killed", "--resume"], check=True, stdout=subprocess.DEVNULL)

    whole, resumed = (tmp_path / run / "checkpoint-12" for run in ("whole", "killed"))
    expected, found = tensors(whole), tensors(resumed)
    assert (
        found.keys()
        == expected.keys()
        == {
            *("features.weight", "features.bias", "line.weight", "line.bias"),
            *("slope_head.weight", "slope_head.bias"),
        }
    )
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    clocks = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
    logs = [
        [{k: v for k, v in entry.items() if k not in clocks} for entry in history(run)] for run in (whole, resumed)
    ]
    assert logs[0] == logs[1]
    states = [torch.load(run / "optimizer.pt")["state"] for run in (whole, resumed)]
    for index, state in states[0].items():
        assert all(torch.equal(states[1][index][name], value) for name, value in state.items())


def test_resume_reads_the_head_and_not_another(tmp_path):
    make_line_trainer(tmp_path, max_steps=3).train()
    heads = tmp_path / "checkpoint-3" / "training_heads.safetensors"
    resumed = make_line_trainer(tmp_path, max_steps=3)
    torch.nn.init.zeros_(resumed.unwrapped_model.slope_head.weight)
    resumed.train(resume_from_checkpoint=True)
    assert torch.equal(resumed.unwrapped_model.slope_head.weight, load_file(heads)["slope_head.weight"])

    class Renamed(LineTrainer):
        training_heads = property(lambda self: {"angle_head": self.unwrapped_model.slope_head})

    with pytest.raises(ValueError, match=r"has the heads \['slope_head'\], the options ask for \['angle_head'\]"):
        make_line_trainer(tmp_path, kind=Renamed).train(resume_from_checkpoint=True)


def test_checkpoint_of_another_model_is_refused(tmp_path):
    make_line_trainer(tmp_path, max_steps=3).train()
    other = make_line_trainer(tmp_path, max_steps=3)
    other.unwrapped_model.more = torch.nn.Linear(4, 4)
    with pytest.raises(
        ValueError, match=r"checkpoint-3 holds the state of other parameters than train now: 2 are new \(more"
    ):
        other.train(resume_from_checkpoint=True)


# ---- loss and logs


def test_the_split_of_a_batch_changes_nothing(tmp_path):
    """10 rows: the last step of an epoch has 2, whatever the size of the micro-batches."""
    runs = []
    for size, steps in ((4, 1), (2, 2), (1, 4)):
        torch.manual_seed(0)
        model = LineModel(LineConfig(dropout=0.0))  # which is drawn per micro-batch
        options = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps, "logging_steps": 1}
        trainer = make_line_trainer(tmp_path, model=model, save_strategy="no", optim="sgd", max_steps=6, **options)
        trainer.train()
        runs.append(trainer)
    for run in runs[1:]:
        for name in ("loss", "loss_line", "loss_slope", "grad_norm"):
            np.testing.assert_allclose(logged(run, name), logged(runs[0], name), rtol=1e-4)


def test_terms_are_logged_and_evaluated_by_name(tmp_path):
    trainer = make_line_trainer(tmp_path, logging_steps=1, save_strategy="no", max_steps=6)
    trainer.train()
    total = [
        line + 0.5 * slope
        for line, slope in zip(logged(trainer, "loss_line"), logged(trainer, "loss_slope"), strict=True)
    ]
    assert logged(trainer, "loss") == pytest.approx(total, rel=1e-5)
    metrics = trainer.evaluate()
    assert metrics["eval_loss"] == pytest.approx(
        metrics["eval_loss_line"] + 0.5 * metrics["eval_loss_slope"], rel=1e-5
    )


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    class Poison(TrainerCallback):
        def on_step_begin(self, args, state, control, model, **kwargs):
            if state.global_step == 4:
                model.slope_head.bias.data.fill_(torch.nan)

    trainer = make_line_trainer(tmp_path, callbacks=[Poison()])
    with pytest.raises(NonFiniteLossError, match=r"step 5 is not finite .*loss_slope nan.*'point-\d'"):
        trainer.train()
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-3"]


def test_weights_of_other_losses_than_the_model_returns(tmp_path):
    class Other(LineTrainer):
        loss_weights = {"loss_curve": 1.0}

    trainer = make_line_trainer(tmp_path, kind=Other)
    with pytest.raises(ValueError, match=r"none of loss_weights=\['loss_curve'\].*\['loss_line', 'loss_slope'\]"):
        trainer.train()


# ---- what is saved


def test_saved_model_holds_no_head_and_no_pickle(tmp_path):
    trainer = make_line_trainer(tmp_path, max_steps=1, save_strategy="no")
    trainer.train()
    trainer.save_model()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    trained = trainer.unwrapped_model.state_dict()
    saved = load_file(tmp_path / "model.safetensors")
    assert trained.keys() - saved.keys() == {"slope_head.weight", "slope_head.bias"}
    assert all(torch.equal(trained[name], value) for name, value in saved.items())


# ---- bad input


def test_what_cannot_be_trained_is_refused(tmp_path):
    with pytest.raises(TypeError, match="model is a Linear: give a PreTrainedModel"):
        make_line_trainer(tmp_path, model=torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="compute_metrics: evaluations keep no predictions"):
        make_line_trainer(tmp_path, compute_metrics=lambda predictions: {})
    model = LineModel(LineConfig())
    with pytest.raises(ValueError, match="the optimizer lacks the training heads"):
        make_line_trainer(tmp_path, model=model, optimizers=(torch.optim.SGD(model.parameters(), lr=0.1), None))
