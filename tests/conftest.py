"""Fixtures shared by the tests: tiny checkpoints of every first-class family, written once per session."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from waiting import LIMIT_SECONDS


os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports huggingface_hub: no test may reach the network
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # tensors are tiny: threads that wait for each other took twenty times longer
os.environ.setdefault("READING_SECONDS", str(LIMIT_SECONDS))  # of the Space: how long it reads a video
# How long an example takes says more about what else the machine does than about the example.
settings.register_profile("igep", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("igep")

from tiny_checkpoints import FAMILIES, save_checkpoint


@pytest.fixture(scope="session")
def checkpoint_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Returns family name -> folder with a tiny random base VLM and its processor. Read only: never write there."""
    root = tmp_path_factory.mktemp("tiny_checkpoints")
    return {family: save_checkpoint(family, root / family) for family in FAMILIES}
