"""What `trainers/publish.py` is given in its tests: what a short run leaves, and how it is tried."""

import shutil
from pathlib import Path

import pytest
from peft import LoraConfig
from tiny_training import make_trainer


LORA = LoraConfig(r=4, target_modules=r".*\.(q_proj|v_proj|qkv)", task_type="CAUSAL_LM")


@pytest.fixture(scope="module")
def base(checkpoint_folders) -> Path:
    """The base of the run."""
    return checkpoint_folders["llava_onevision"]


@pytest.fixture(scope="module")
def saved(base, tmp_path_factory) -> Path:
    """What a short run leaves, checkpoints included. Read only."""
    folder = tmp_path_factory.mktemp("publish") / "my_model"
    trainer = make_trainer(base, folder, save_strategy="steps", save_steps=2)
    trainer.train()
    trainer.save_model()
    return folder


@pytest.fixture
def model(saved, tmp_path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(saved, tmp_path / "my_model"))


@pytest.fixture
def real_loading():
    """For tests of what a folder loads as."""


@pytest.fixture
def loaded_once(request, monkeypatch):
    """Loading in a new process takes seconds: tests that are about something else go without."""
    if "real_loading" not in request.fixturenames:
        monkeypatch.setattr("igep.trainers.publish.try_model", lambda folder, frames_as: 1)
