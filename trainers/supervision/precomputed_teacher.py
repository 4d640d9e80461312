"""Descriptors of a teacher that was run before, written to disk and read while training."""

import json
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from igep.trainers.supervision.teacher import Teacher, TeacherGeometry


DESCRIBED_BY = "described_by.json"


class PrecomputedTeacher(Teacher):
    """Descriptors read from disk, for teachers too heavy or too foreign to run while training.

    One file `<scene id>.safetensors` per scene (percent-encoded), with one tensor (h, w, C) per frame under the key
    `<frame id>/<transform>`. `igep describe` makes them with any other teacher; `write_descriptors` writes those of
    another program.

    Args:
        directory (`str | Path`): Folder of the files.
        transform (`str`, *optional*, defaults to `"resize"`): Name of what was done to the frames before they were
            described. Frames that train flipped or cropped need their own descriptors, under their own name.
        open_files (`int`, *optional*, defaults to `32`): Files kept open.

    Raises:
        FileNotFoundError: No descriptors in the folder, or at call time none for a scene.
        KeyError: At call time, none for a frame under `transform`.
    """

    def __init__(self, directory: str | Path, transform: str = "resize", open_files: int = 32):
        self.directory = Path(directory)
        self.transform = transform
        self.open_files = open_files
        self.device = torch.device("cpu")
        self._files: OrderedDict[str, safe_open] = OrderedDict()
        first = next(iter(sorted(self.directory.glob("*.safetensors"))), None)
        if first is None:
            raise FileNotFoundError(
                f"No descriptors (<scene id>.safetensors) in {self.directory}: write them with `igep describe`."
            )
        with safe_open(first, framework="pt") as file:
            self.channels = file.get_slice(next(iter(file.keys()))).get_shape()[-1]

    def to(self, device: torch.device | str) -> "PrecomputedTeacher":
        self.device = torch.device(device)
        return self

    def __call__(self, frames: torch.Tensor | None, geometry: TeacherGeometry) -> torch.Tensor:
        samples = [
            torch.stack([self._read(scene_id, frame_id) for frame_id in frame_ids])
            for scene_id, frame_ids in zip(geometry.scene_ids, geometry.frame_ids, strict=True)
        ]
        longest = geometry.frame_mask.shape[1]
        padded = [F.pad(sample, (0, 0) * 3 + (0, longest - len(sample))) for sample in samples]
        return torch.stack(padded).float().to(self.device)

    def _read(self, scene_id: str, frame_id: str) -> torch.Tensor:
        path = descriptor_file(self.directory, scene_id)
        file = self._files.pop(scene_id, None)
        if file is None:
            if not path.exists():
                raise FileNotFoundError(
                    f"No descriptors of scene {scene_id!r}: {path} does not exist. Write it with `igep describe`, or "
                    "take the scene out of the dataset."
                )
            file = safe_open(path, framework="pt")
        self._files[scene_id] = file
        if len(self._files) > self.open_files:
            self._files.popitem(last=False)
        key = f"{frame_id}/{self.transform}"
        if key not in file.keys():  # noqa: SIM118 - a safetensors handle is no mapping
            raise KeyError(
                f"{path} has no descriptor {key!r} (frame {frame_id!r} of scene {scene_id!r} under transform "
                f"{self.transform!r}): write it with `igep describe`, or set the transform it was written under."
            )
        return file.get_tensor(key)


def descriptor_file(directory: str | Path, scene_id: str) -> Path:
    """Path of a scene's descriptors; the name is percent-encoded, so no scene id can leave the folder."""
    return Path(directory) / f"{quote(scene_id, safe=' ')}.safetensors"


def described_by(directory: str | Path) -> dict | None:
    """What `igep describe` says of the descriptors in a folder.

    Args:
        directory (`str | Path`): The folder.

    Returns:
        `dict` or `None`: `teacher`, `name` and the other options that they were written with; `None` where another
        program wrote them.

    Raises:
        ValueError: The file that says so cannot be read.
    """
    path = Path(directory) / DESCRIBED_BY
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: delete it, and write the descriptors again.") from error


def described_frames(directory: str | Path, scene_id: str, transform: str = "resize") -> set[str]:
    """Names of a scene's frames that have descriptors.

    Args:
        directory (`str | Path`): Folder of the files.
        scene_id (`str`): The scene.
        transform (`str`, *optional*, defaults to `"resize"`): Name of what was done to the frames.

    Returns:
        `set[str]`: Frame names; empty where the scene has no file.
    """
    path = descriptor_file(directory, scene_id)
    if not path.exists():
        return set()
    with safe_open(path, framework="pt") as file:
        ends = f"/{transform}"
        return {key.removesuffix(ends) for key in file.keys() if key.endswith(ends)}  # noqa: SIM118 - no mapping


def write_descriptors(
    directory: str | Path,
    scene_id: str,
    frame_ids: Sequence[str],
    descriptors: torch.Tensor,
    transform: str = "resize",
) -> Path:
    """Writes descriptors that `PrecomputedTeacher` reads, beside those the scene's file already has.

    Args:
        directory (`str | Path`): Folder, made if missing.
        scene_id (`str`): Scene of the frames.
        frame_ids (`Sequence[str]`): F frame names.
        descriptors (`torch.Tensor`): (F, h, w, C); float16 halves the disk.
        transform (`str`, *optional*, defaults to `"resize"`): Name of what was done to the frames.

    Returns:
        `Path`: The file.

    Raises:
        ValueError: The shape is wrong or a value is not finite.
    """
    if descriptors.ndim != 4 or len(descriptors) != len(frame_ids):
        raise ValueError(
            f"descriptors of scene {scene_id!r} have shape {tuple(descriptors.shape)} for {len(frame_ids)} frames: "
            "give (F, h, w, C)."
        )
    if not descriptors.isfinite().all():
        raise ValueError(f"descriptors of scene {scene_id!r} are not all finite: use zeros where there is no target.")
    path = descriptor_file(directory, scene_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = load_file(path) if path.exists() else {}
    for frame_id, descriptor in zip(frame_ids, descriptors.detach().cpu(), strict=True):
        tensors[f"{frame_id}/{transform}"] = descriptor.contiguous().clone()
    part = path.with_suffix(f".{os.getpid()}.part")
    save_file(tensors, part)
    os.replace(part, path)  # a reader sees the old file or the new one, never half a file
    return path
