"""Heads that another run trained: taken bit by bit, resumed exactly, and never those of other options."""

import logging
import shutil

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import make_trainer, weights

from igep.trainers.cards.training_run import read_training_run


FREEZE = ["vision", "projector", "language"]
STEPS = {"save_strategy": "steps", "save_steps": 1}


@pytest.fixture(scope="module")
def base(checkpoint_folders):
    return checkpoint_folders["llava_onevision"]


@pytest.fixture(scope="module")
def pretrained(base, tmp_path_factory):
    """The folder of a run that trained its verifier alone."""
    folder = tmp_path_factory.mktemp("heads")
    trainer = make_trainer(base, folder, freeze=FREEZE, cross_view_weight=0, global_weight=0, **STEPS)
    before = weights(trainer)
    trainer.train()
    trainer.save_model()
    after = weights(trainer)
    assert {name for name, value in after.items() if not torch.equal(value, before[name])} == {
        name for name in after if name.startswith("depth_verifier.")
    }
    return folder


def heads_of(checkpoint):
    return load_file(checkpoint / "training_heads.safetensors")


def test_a_run_begins_with_the_heads_of_another_and_resumes_exactly(base, pretrained, tmp_path, caplog):
    options = {"heads_from_folder": str(pretrained), "max_steps": 3, **STEPS}
    with caplog.at_level(logging.WARNING):
        whole = make_trainer(base, tmp_path, **options)
    assert "has no teacher_projector: begins at random" in caplog.text  # the other run had no teacher
    trained, own = heads_of(pretrained / "checkpoint-2"), weights(whole)
    assert set(trained) == {name for name in own if name.startswith("depth_verifier.")}
    assert all(torch.equal(own[name], value) for name, value in trained.items())
    plain = weights(make_trainer(base, tmp_path / "plain", max_steps=3))
    assert all(torch.equal(own[name], value) for name, value in plain.items() if name not in trained)
    whole.train()
    assert not all(torch.equal(weights(whole)[name], value) for name, value in trained.items())  # it trains on

    resumed = make_trainer(base, tmp_path, **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(resumed).items())
    with pytest.raises(ValueError, match="heads_from_folder"):  # without them it is another run
        make_trainer(base, tmp_path, max_steps=3).train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))

    whole.save_model()
    assert read_training_run(tmp_path)["pretrained_heads"] == {"names": ["depth_verifier"], "steps": 2}
    card = (tmp_path / "README.md").read_text()
    assert "Taken over from another run before the first step: depth verifier, trained for 2 steps." in card
    assert str(pretrained) not in card
    assert not any("verifier" in name for name in load_file(tmp_path / "model.safetensors"))
    assert "Taken over" not in (pretrained / "README.md").read_text()


def test_one_checkpoint_of_the_run_can_be_named(base, pretrained, tmp_path):
    trainer = make_trainer(base, tmp_path, heads_from_folder=str(pretrained / "checkpoint-1"))
    assert trainer.pretrained_heads.steps == 1
    assert all(
        torch.equal(weights(trainer)[name], value) for name, value in heads_of(pretrained / "checkpoint-1").items()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"verifier_channels": 12}, r"verifier_channels=8, this run asks for 12\. Give the run whose heads"),
        ({"verifier_max_depth_metres": 9.0}, r"verifier_max_depth_metres=20\.0, this run asks for 9\.0"),
        (
            {"geometry_weight": 0, "cross_view_weight": 0},
            r"has the heads \['depth_verifier'\], this run has \['teacher",
        ),
        ({"geometry_weight": 0, "cross_view_weight": 0, "global_weight": 0}, "this run has no training heads"),
    ],
    ids=["width", "range", "none in common", "no heads"],
)
def test_heads_of_other_options_are_refused(base, pretrained, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        make_trainer(base, tmp_path, heads_from_folder=str(pretrained), **options)


def test_a_folder_without_heads_is_told(base, pretrained, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There are no heads in .*nowhere: give the output folder of a run"):
        make_trainer(base, tmp_path, heads_from_folder=str(tmp_path / "nowhere"))
    broken = tmp_path / "broken"
    shutil.copytree(pretrained / "checkpoint-1", broken)
    (broken / "training_heads.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"is not a whole checkpoint: training_heads\.safetensors is missing"):
        make_trainer(base, tmp_path, heads_from_folder=str(broken))


def test_heads_of_another_encoder_are_refused(pretrained, tmp_path, checkpoint_folders):
    with pytest.raises(
        ValueError, match=r"depth_verifier\.\S+ is of size .* there and of size .* here\. Give the run"
    ):
        make_trainer(checkpoint_folders["qwen3_vl"], tmp_path, heads_from_folder=str(pretrained))
