"""Fixtures shared by the tests: tiny checkpoints of every first-class family, written once per session."""

import os
from pathlib import Path

import pytest


os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports huggingface_hub: no test may reach the network
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # tensors are tiny: threads that wait for each other took twenty times longer

from tiny_checkpoints import FAMILIES, save_checkpoint


@pytest.fixture(scope="session")
def checkpoint_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Returns family name -> folder with a tiny random base VLM and its processor. Read only: never write there."""
    root = tmp_path_factory.mktemp("tiny_checkpoints")
    return {family: save_checkpoint(family, root / family) for family in FAMILIES}
