"""The wheel holds what it should and nothing else, and works where there is no checkout, from an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from igep import __version__
from igep.trainers.package_files import PACKAGE


pytestmark = pytest.mark.slow
NEW_ROOM = "trainers/new_room/deeper/new_file.py"
STRAYS = (
    *("outputs/model/weights.py", ".venv/lib/module.py", "trainers/__pycache__/sft.cpython-311.pyc"),
    *("trainers/recipes/notes.txt", "spaces/scene_qa/__pycache__/app.cpython-311.pyc", "hub_cards/__pycache__/a.pyc"),
)


def run(*command: str | Path, cwd: Path) -> str:
    """Runs a command that knows nothing of the checkout; returns what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), check=False, cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """The files of the checkout that git knows."""
    if not (PACKAGE / ".git").exists() or shutil.which("git") is None:
        pytest.skip("what must be in the wheel is what git knows, and this is no git checkout")
    listed = run("git", "ls-files", "-z", cwd=PACKAGE).split("\0")
    return [file for file in listed if file and os.path.lexists(PACKAGE / file)]


@pytest.fixture(scope="module")
def wheel(tracked, tmp_path_factory) -> Path:
    """Built from a copy of the checkout, in which a new room and files that are none of ours were left lying."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for file in tracked:
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / file, source / file, follow_symlinks=False)
    for file in (NEW_ROOM, *STRAYS):
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).touch()
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", built]
    run(sys.executable, "-m", "pip", "wheel", *options, source, cwd=built)
    (file,) = built.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """Python of an environment with the wheel, and with the packages that the tests have, but not the checkout."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel, cwd=folder)
    packages = [path for path in sys.path if Path(path).name == "site-packages"]
    (installed,) = folder.glob("lib/*/site-packages")
    (installed / "packages_of_the_tests.pth").write_text(
        "\n".join(packages) + "\n"
    )  # which reads no .pth file in them
    return python


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    """A working directory with nothing in it but a folder that bears the package's name."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "igep").mkdir()
    return folder


def test_the_wheel_holds_what_git_knows_of_the_package(tracked, wheel):
    roots = ("hub_cards/", "spaces/scene_qa/", "trainers/")
    expected = [file for file in tracked if file.startswith(roots) or (file.endswith(".py") and "/" not in file)]
    assert {"__init__.py", "modeling_igep.py", "trainers/tiny_base/model.safetensors"} <= set(expected)
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert sorted(names) == sorted(f"igep/{file}" for file in [*expected, NEW_ROOM])
        for file in expected:
            assert archive.read(f"igep/{file}") == (PACKAGE / file).read_bytes(), file
    assert wheel.name == f"igep-{__version__}-py3-none-any.whl"


def test_the_installed_package_is_the_one_imported(python, empty):
    place = Path(run(python, "-c", "import igep; print(igep.__file__)", cwd=empty).strip())
    assert place.is_relative_to(python.parent.parent)
    assert run(python.parent / "igep", "--version", cwd=empty) == f"igep {__version__}\n"
    assert "quickstart" in run(python.parent / "igep", "--help", cwd=empty)


def test_a_launch_plan_is_found_from_an_empty_folder(python, empty):
    shown = run(python.parent / "igep", "launch", "cpu.yaml", "sft", "--help", cwd=empty)
    assert "--geometry_weight" in shown


def test_recipe_and_tiny_base_are_found_from_an_empty_folder(python, empty):
    small = ["--max_steps", "1", "--num_rooms", "8", "--per_device_train_batch_size", "2", "--save_strategy", "no"]
    small += ["--dataloader_num_workers", "0", "--use_cpu", "true", "--lr_scheduler_type", "constant"]
    small += ["--lr_scheduler_kwargs", "{}", "--output_dir", "model"]
    run(python, "-m", "igep.trainers.sft", "--config", "quickstart.yaml", *small, cwd=empty)
    made = json.loads((empty / "model" / "training_run.json").read_text())
    assert made["base_model"]["name"] == made["recipe"]["model_name_or_path"] == "tiny_base"

    igep = python.parent / "igep"
    printed = run(igep, "publish", "--model", "model", "--repo-id", "user/rooms", "--space", "--dry-run", cwd=empty)
    assert "Nothing was uploaded." in printed
    assert (empty / "outputs" / "dry_run" / "space" / "examples" / "room_1.mp4").is_file()
