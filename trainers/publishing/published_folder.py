"""What a published model consists of: the files that go to the Hub, checked before they do."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from igep.configuration_igep import IGEPConfig
from igep.trainers.cards.saved_config import name_bases
from igep.trainers.cards.saved_weights import INDEX, WEIGHTS, weights_files
from igep.trainers.cards.training_run import RUN_FILE
from igep.trainers.package_files import PACKAGE
from igep.trainers.publishing.last_net import LeakError, check_published
from igep.trainers.publishing.shipped_code import AUTO_MAPS, code_of
from igep.training_heads import HEAD_NAMES


SETTINGS = (
    *("config.json", "generation_config.json", "processor_config.json", "preprocessor_config.json", RUN_FILE),
    *("video_preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "chat_template.json", "chat_template.jinja", "vocab.json", "vocab.txt", "merges.txt"),
)
BINARY = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5", ".npz", ".joblib")
NEEDED = ("config.json", "processor_config.json")
TRY = """
import json, sys
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
folder, frames_as = sys.argv[1:]
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
model, loading = AutoModelForImageTextToText.from_pretrained(
    folder, trust_remote_code=True, dtype="auto", output_loading_info=True
)
report = {
    "parameters": model.num_parameters(),
    "wrong": {name: sorted(str(key) for key in keys) for name, keys in loading.items() if keys},
    "not_finite": [name for name, value in model.named_parameters() if not value.isfinite().all()],
}
if not report["wrong"] and not report["not_finite"]:
    frames = [Image.new("RGB", (64, 64))] * (2 if frames_as == "video" else 1)
    inputs = processor.question_inputs(frames, "How far is this?", frames_as=frames_as)
    with torch.inference_mode():
        logits = model.eval()(**inputs.to(model.device, dtype=model.dtype)).logits
    report["not_finite"] = [] if logits.isfinite().all() else ["its answer"]
    if model.config.model_type == "vid_llm":
        frames = processor.question_inputs([Image.new("RGB", (64, 64))] * 2, "How far is this?")
        found = model.reconstruct(frames["pixel_values_videos"].to(model.device, dtype=model.dtype))
        report["not_finite"] += [name for name, value in found.items() if not value.isfinite().all()]
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
        changed (`tuple[str, ...]`): Code that is not this version's.
    """

    files: tuple[str, ...]
    left_out: tuple[str, ...]
    changed: tuple[str, ...]


def check_folder(folder: Path) -> CheckedModel:
    """Makes sure that a folder holds all files of a model, nothing of training heads, no pickle and no link out of it.

    Args:
        folder (`Path`): What `igep sft` saved.

    Returns:
        `CheckedModel`

    Raises:
        PublishError: Something is missing or must not be there.
    """
    if not folder.is_dir():
        raise PublishError(f"{folder} is no folder: give the output folder of a training run.")
    names = sorted(path.name for path in folder.iterdir())
    if "adapter" in names and "config.json" not in names:
        raise PublishError(
            f"{folder} holds an adapter and no whole model: write one with `igep merge {folder} NEW_FOLDER`."
        )
    kind = _model_type(folder)
    auto_map = AUTO_MAPS[kind]
    needed = (*NEEDED, *sorted({f"{reference.split('.')[0]}.py" for reference in auto_map.values()}))
    missing = [name for name in needed if name not in names]
    if missing:
        raise PublishError(f"{folder} lacks {', '.join(missing)}: it is no model that igep saved. Save it again.")
    pickles = [name for name in names if Path(name).suffix.lower() in PICKLES]
    if pickles:
        raise PublishError(f"{folder} holds {', '.join(pickles)}, which runs code when loaded: move it away.")
    weights = _weights(folder)
    code = code_of(auto_map)
    _check_links(folder, [*weights, *(name for name in names if name in (*code, *SETTINGS, *BINARY, INDEX))])
    _check_weights([folder / name for name in weights], HEAD_NAMES if kind == IGEPConfig.model_type else ())
    files = sorted(
        {*weights, *(name for name in (*code, *SETTINGS, *BINARY, INDEX) if name in names)} - _unused(weights)
    )
    left_out = tuple(name for name in names if name not in files and name != "README.md")
    changed = tuple(name for name in code if name in files and _differs(folder / name, PACKAGE / name))
    return CheckedModel(tuple(files), left_out, changed)


def check_new_folder(folder: Path, option: str = "") -> None:
    """Raises a `ValueError`, which begins with the option that named the folder, if anything is in its place."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{option} {folder} holds something: give a new folder, or remove it.".strip())


def stage_model(folder: Path, files: tuple[str, ...], card: str, target: Path, *, link: bool = False) -> None:
    """Lays out what goes to the Hub, and looks at all texts of it once more.

    Args:
        folder (`Path`): The saved model.
        files (`tuple[str, ...]`): Names of its files.
        card (`str`): README.md.
        target (`Path`): An empty folder.
        link (`bool`, *optional*, defaults to `False`): Weights are links, for an upload at once, instead of copies.

    Raises:
        PublishError: A text, or the metadata of weights, holds a token or a path of this machine.
    """
    for name in files:
        if link and name.endswith(".safetensors"):
            (target / name).symlink_to((folder / name).resolve())
        else:
            shutil.copyfile(folder / name, target / name)
    name_bases(target)
    (target / "README.md").write_text(card, encoding="utf-8")
    try:
        for file in sorted(target.iterdir()):
            check_published(file)
    except LeakError as error:
        raise PublishError(str(error)) from error


def try_model(folder: Path, frames_as: str) -> int:
    """Loads a model in a process of its own, through the Auto classes and its own code, without network, and asks it.

    Args:
        folder (`Path`): What `stage_model` laid out.
        frames_as (`str`): `"video"` or `"images"`, as in training.

    Returns:
        `int`: Its number of parameters.

    Raises:
        PublishError: It does not load whole, or cannot answer.
    """
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": scratch}
        command = [sys.executable, "-c", TRY, str(folder.resolve()), frames_as]
        done = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        raise PublishError(f"the model does not load and answer through the Auto classes in a new process: {reason}")
    report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if report["wrong"]:
        kind, keys = next(iter(report["wrong"].items()))
        raise PublishError(f"the model loads with {kind.replace('_', ' ')} ({keys[0]} ...): save the model again.")
    if report["not_finite"]:
        raise PublishError(f"the model holds NaN or infinity ({report['not_finite'][0]}): its training has diverged.")
    return report["parameters"]


def _model_type(folder: Path) -> str:
    """What kind of model a folder holds; IGEP, of which files are then missing, where it does not say a known kind."""
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        return IGEPConfig.model_type
    return kind if kind in AUTO_MAPS else IGEPConfig.model_type


def _weights(folder: Path) -> list[str]:
    try:
        names = [str(file.relative_to(folder)) for file in weights_files(folder)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PublishError(f"{folder / INDEX} is no index of weights ({error}): save the model again.") from error
    if not names:
        raise PublishError(f"{folder} has no weights ({WEIGHTS}): training has not saved a model here.")
    return names


def _differs(file: Path, other: Path) -> bool:
    return file.read_bytes() != other.read_bytes()


def _unused(weights: list[str]) -> set[str]:
    return {INDEX} if weights == [WEIGHTS] else set()


def _check_links(folder: Path, names: list[str]) -> None:
    """Files alone are published, and those of the folder: a link may lead to anything on this machine."""
    home = folder.resolve()
    for name in names:
        if Path(name).name != name or not (folder / name).resolve().is_relative_to(home):
            raise PublishError(f"{folder / name} leads out of the folder: put the file itself into it.")


def _check_weights(files: list[Path], head_names: tuple[str, ...]) -> None:
    for file in files:
        try:
            with safe_open(file, framework="pt") as tensors:
                names = list(tensors.keys())
        except (SafetensorError, OSError) as error:
            raise PublishError(f"{file} cannot be read as safetensors ({error}): save the model again.") from error
        heads = [name for name in names if set(name.split(".")) & set(head_names)]
        if heads:
            raise PublishError(
                f"{file} holds training heads ({heads[0]} and {len(heads) - 1} more): it is a checkpoint. Publish "
                "what save_model writes."
            )
