"""What a published model consists of: the files that go to the Hub, checked before they do."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from igep.modeling_igep import HEAD_NAMES


PUBLISHED = ("*.safetensors", "*.json", "*.py", "*.jinja", "vocab.*", "merges.txt", "*.model")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5", ".npz", ".joblib")
NEEDED = ("config.json", "processor_config.json", "modeling_igep.py", "configuration_igep.py", "processing_igep.py")
SECRET = re.compile(r"\bhf_[A-Za-z0-9]{30,}")
LOAD = """
import json, sys
from transformers import AutoModelForImageTextToText, AutoProcessor
AutoProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)
model, loading = AutoModelForImageTextToText.from_pretrained(
    sys.argv[1], trust_remote_code=True, dtype="auto", output_loading_info=True
)
wrong = {name: sorted(str(key) for key in keys) for name, keys in loading.items() if keys}
report = {"class": type(model).__name__, "parameters": model.num_parameters(), "wrong": wrong}
print("\\n" + json.dumps(report))
"""


class PublishError(ValueError):
    """A folder that must not be published as it is; the message names the file and the remedy."""


@dataclass(frozen=True)
class CheckedModel:
    """What a folder was found to hold.

    Args:
        files (`tuple[str, ...]`): Names of the files to publish, README.md aside.
        left_out (`tuple[str, ...]`): What else lies in the folder.
        parameters (`int`): Parameters of the model that loads from it.
    """

    files: tuple[str, ...]
    left_out: tuple[str, ...]
    parameters: int


def check_folder(folder: Path) -> CheckedModel:
    """Makes sure that a folder holds a whole model, nothing of its training heads, and no pickle.

    The model is loaded in a process of its own, through the Auto classes and its own code, without network.

    Args:
        folder (`Path`): What `trainers/sft.py` saved.

    Returns:
        `CheckedModel`

    Raises:
        PublishError: Something is missing, must not be there, or does not load.
    """
    if not folder.is_dir():
        raise PublishError(f"{folder} is no folder: give the output folder of a training run.")
    names = sorted(path.name for path in folder.iterdir())
    if "adapter" in names and "config.json" not in names:
        raise PublishError(
            f"{folder} holds an adapter and no whole model: train with merge_adapter_at_save, or load the card's code, call "
            "merge_and_unload() and save_pretrained() into a new folder."
        )
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise PublishError(f"{folder} lacks {', '.join(missing)}: it is no model that igep saved. Save it again.")
    pickles = [name for name in names if Path(name).suffix.lower() in PICKLES]
    if pickles:
        raise PublishError(f"{folder} holds {', '.join(pickles)}, which runs code when loaded: move it away.")
    _check_weights(folder)
    files = sorted({path.name for pattern in PUBLISHED for path in folder.glob(pattern) if path.is_file()})
    for name in files:
        if not name.endswith(".safetensors") and SECRET.search((folder / name).read_text(encoding="utf-8")):
            raise PublishError(f"{folder / name} holds what looks like an access token: remove and revoke it.")
    left_out = tuple(name for name in names if name not in files and name != "README.md")
    return CheckedModel(tuple(files), left_out, _load_anew(folder))


def stage_model(folder: Path, files: tuple[str, ...], card: str, target: Path) -> None:
    """Lays out what goes to the Hub.

    Args:
        folder (`Path`): The saved model.
        files (`tuple[str, ...]`): Names of its files.
        card (`str`): README.md.
        target (`Path`): An empty folder.
    """
    for name in files:
        if name.endswith(".safetensors"):
            _link_or_copy(folder / name, target / name)
        else:
            shutil.copyfile(folder / name, target / name)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    (target / "config.json").write_text(json.dumps(_without_paths(config), indent=2) + "\n", encoding="utf-8")
    (target / "README.md").write_text(card, encoding="utf-8")


def _check_weights(folder: Path) -> None:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise PublishError(f"{folder} has no weights (*.safetensors): training has not saved a model here.")
    for file in weights:
        try:
            with safe_open(file, framework="pt") as tensors:
                names = list(tensors.keys())
        except (SafetensorError, OSError) as error:
            raise PublishError(f"{file} cannot be read as safetensors ({error}): save the model again.") from error
        heads = [name for name in names if set(name.split(".")) & set(HEAD_NAMES)]
        if heads:
            raise PublishError(
                f"{file} holds training heads ({heads[0]} and {len(heads) - 1} more): it is a checkpoint. Publish what "
                "save_model writes."
            )


def _load_anew(folder: Path) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": scratch}
        command = [sys.executable, "-c", LOAD, str(folder.resolve())]
        done = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        raise PublishError(f"{folder} does not load through the Auto classes in a new process: {reason}")
    report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if report["wrong"]:
        kind, keys = next(iter(report["wrong"].items()))
        raise PublishError(f"{folder} loads with {kind.replace('_', ' ')} ({keys[0]} ...): save the model again.")
    return report["parameters"]


def _link_or_copy(source: Path, target: Path) -> None:
    """Weights are many gigabytes: they are linked where the file system can."""
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, target)


def _without_paths(value: Any) -> Any:
    """A configuration whose `_name_or_path` names no folder of this machine."""
    if isinstance(value, dict):
        return {
            name: Path(part).name if name == "_name_or_path" and _is_local(part) else _without_paths(part)
            for name, part in value.items()
        }
    return [_without_paths(part) for part in value] if isinstance(value, list) else value


def _is_local(name: Any) -> bool:
    # An id on the Hub has at most one slash and does not begin with one.
    return isinstance(name, str) and (Path(name).is_absolute() or Path(name).exists() or name.count("/") > 1)
