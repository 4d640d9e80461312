"""A model for the Space, trained for real on a few rooms, the Space serving it, and files it refuses: a pytest plugin.

The model knows room questions and VLM3's depth points.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from space_server import SpaceServer, write_bad_videos

from igep.trainers.experiments.tiny_vlm3 import vlm3_base
from igep.trainers.package_files import PACKAGE


STEPS = 100  # at 60 no depth answer has a number, at 80 each has
TRAINING = {
    "config": "trainers/recipes/demo_rooms.yaml",
    "num_rooms": 512,
    "max_steps": STEPS,
    "warmup_steps": 5,
    "lr_scheduler_kwargs": json.dumps({"num_decay_steps": STEPS // 2, "min_lr_ratio": 0.02}),
    "gradient_accumulation_steps": 8,
}
USAGE = {
    "tasks": ["questions", "depth"],
    "num_frames": 2,
    "frames_as": "video",
    "focal_pixels": None,
    "text_pixel_steps": 64,
    "multi_turn": False,
    "where_questions": ["What is the 3D centre of the {object}?", "How many metres tall is the {object}?"],
    "examples": ["How many metres away is the box in red?", "How many spheres are there?"],
}


@pytest.fixture(scope="session")
def space_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of the trained model; that in the environment's `SPACE_MODEL`, where it names one."""
    if "SPACE_MODEL" in os.environ:
        return Path(os.environ["SPACE_MODEL"]).resolve()
    # Processes of one test run share it: the first one trains, the others wait.
    folder = (
        tmp_path_factory.getbasetemp().parent / f"space_model_{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
    )
    with FileLock(f"{folder}.lock"):
        if not (folder / "model" / "training_run.json").exists():
            train_model(folder)
    return folder / "model"


def train_model(folder: Path) -> None:
    """Trains the model, in a process of its own, into `folder/model`."""
    folder.mkdir()
    model, processor = vlm3_base()
    model.save_pretrained(folder / "base")
    processor.save_pretrained(folder / "base")
    options = TRAINING | {"model_name_or_path": folder / "base", "output_dir": folder / "model"}
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, "trainers/sft.py", *arguments]
    done = subprocess.run(command, cwd=PACKAGE, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    run = folder / "model" / "training_run.json"
    if not run.exists():
        run.write_text(json.dumps({"usage": USAGE}))


@pytest.fixture(scope="session")
def bare_model(space_model: Path):
    """The same model without the Space's page, queue and process: the Space's own class, asked directly."""
    from scene_model import SceneModel

    return SceneModel(str(space_model))


@pytest.fixture(scope="session")
def space_server(space_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpaceServer]:
    """The Space with this model, shared by the tests of its page and of its endpoints."""
    with SpaceServer(space_model, tmp_path_factory.mktemp("space")) as server:
        yield server


@pytest.fixture(scope="session")
def bad_videos(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """Returns files that the Space cannot use, and what it says about each. Read only."""
    return write_bad_videos(tmp_path_factory.mktemp("bad_videos"))
