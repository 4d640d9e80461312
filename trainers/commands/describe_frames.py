"""Every frame of some scenes, described by a teacher and written where `PrecomputedTeacher` reads it."""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from igep.trainers.data.centre_square import square_image
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.scene_validation import decode_frame
from igep.trainers.data.stacked_frames import stacked_frames
from igep.trainers.supervision.build_teacher import build_teacher, check_teacher, named_teacher
from igep.trainers.supervision.precomputed_teacher import (
    DESCRIBED_BY,
    described_by,
    described_frames,
    write_descriptors,
)
from igep.trainers.supervision.teacher import Teacher, TeacherGeometry


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DescribePlan:
    """Who describes what, and how: all on which the descriptors depend besides the scenes.

    Args:
        teacher (`str`): Kind of the teacher, one that looks at colours.
        name (`str`, *optional*): Hub id or folder.
        layer (`int`, *optional*): Its layer.
        frame_size (`list[int]`, *optional*): (H, W) of the frames that it looks at.
        frames_per_pass (`int`, *optional*, defaults to `32`): Frames of a scene that are seen together. A multi-view
            teacher describes a frame among those it sees with it: take as many as a sample of the training has.
        clip_frames (`int`, *optional*): The scenes are clips of so many frames.
        transform (`str`, *optional*, defaults to `"resize"`): `"resize"` = whole frames, `"centre_square"` = their
            centre.

    Raises:
        ValueError: A bad option.
    """

    teacher: str
    name: str | None = None
    layer: int | None = None
    frame_size: list[int] | None = None
    frames_per_pass: int = 32
    clip_frames: int | None = None
    transform: str = "resize"

    def __post_init__(self):
        check_teacher(self.teacher, self.name, self.layer, self.frame_size)
        if self.teacher in ("precomputed", "geometry_oracle"):
            raise ValueError(f"teacher={self.teacher!r} looks at no colours: name one of those that do.")
        if self.frames_per_pass < 1:
            raise ValueError(f"frames_per_pass={self.frames_per_pass}: give 1 or more.")


def describe_scenes(
    table: SceneTable, plan: DescribePlan, output: str | Path, device: str | None = None
) -> Iterator[tuple[int, bool]]:
    """Describes the scenes that are not described yet, one after the other.

    Descriptors are stored in float16. A scene's file is written when the scene is done.

    Args:
        table (`SceneTable`): The scenes.
        plan (`DescribePlan`): How.
        output (`str | Path`): Folder of the descriptors.
        device (`str`, *optional*): Where the teacher runs; the accelerator, if there is one, unless given.

    Yields:
        `tuple[int, bool]`: Frames of a scene that were described now, and whether the scene was done before.

    Raises:
        ValueError: The folder holds descriptors of another plan.
        SpatialDataError: A scene cannot be read.
    """
    output = Path(output)
    stated = asdict(plan) | {"name": named_teacher(plan.teacher, plan.name)["name"]}
    _check_same(output, stated)
    teacher: Teacher | None = None
    place = torch.device(device or torch.accelerator.current_accelerator(check_available=True) or "cpu")
    for number, scene_id in enumerate(table.scene_ids):
        usable = table.usable_frames(number)
        names = table.frame_ids(number)
        if not len(usable):
            logger.warning("Scene %r has no frame with a valid pose: it is not described.", scene_id)
            yield 0, False
            continue
        if {names[frame] for frame in usable} <= described_frames(output, scene_id, plan.transform):
            yield 0, True
            continue
        if teacher is None:  # loading a billion parameters waits until something is left to do
            teacher = build_teacher(plan.teacher, name_or_path=plan.name, layer=plan.layer, frame_size=plan.frame_size)
            teacher.to(place)
            output.mkdir(parents=True, exist_ok=True)
            (output / DESCRIBED_BY).write_text(json.dumps(stated, indent=2) + "\n", encoding="utf-8")
        frame_ids, descriptors = [], []
        passes = -(-len(usable) // plan.frames_per_pass)
        for start in range(passes):
            seen = usable[start::passes]  # spread over the scene, as the frames of a sample are
            frame_ids += [names[frame] for frame in seen]
            frames = _frames(table, number, seen)
            if plan.transform == "centre_square":
                frames = [square_image(frame) for frame in frames]
            pixels = stacked_frames([frames], teacher.frame_size, len(frames)).to(place)
            descriptors.append(teacher(pixels, _colours_alone(len(frames)))[0].cpu().half())
        write_descriptors(output, scene_id, frame_ids, torch.cat(descriptors), plan.transform)
        yield len(frame_ids), False


def _check_same(output: Path, stated: dict) -> None:
    """Refuses a folder whose descriptors are of another plan, or of nobody knows which."""
    written = described_by(output)
    if written is None:
        if any(output.glob("*.safetensors")):
            raise ValueError(
                f"{output} holds descriptors and no {DESCRIBED_BY}: another program wrote them. Give another folder."
            )
        return
    differing = [
        f"{name} {written.get(name)!r}, now {value!r}" for name, value in stated.items() if written.get(name) != value
    ]
    if differing:
        raise ValueError(f"{output} holds descriptors written with {'; '.join(differing)}: give another folder.")


def _frames(table: SceneTable, number: int, chosen: np.ndarray) -> list[Image.Image]:
    scene = table.scene(number, chosen.tolist())
    return [
        decode_frame(scene.scene_id, index, entry)
        for index, entry in zip(scene.frame_numbers, scene.frames, strict=True)
    ]


def _colours_alone(count: int) -> TeacherGeometry:
    """Geometry of one sample of which nothing is known."""
    return TeacherGeometry(
        depth_metres=torch.zeros(1, count, 1, 1),
        intrinsics=torch.full((1, count, 3, 3), torch.nan),
        world_from_camera=torch.full((1, count, 4, 4), torch.nan),
        frame_mask=torch.ones(1, count, dtype=torch.bool),
        scene_ids=[""],
        frame_ids=[[""] * count],
    )
