"""Frozen 3D teachers whose descriptors the student's visual tokens are pulled towards during training.

A teacher is called once per batch, never receives a gradient, is no part of the model and is never saved. All share one
interface: `teacher(frames, geometry) -> descriptors (B, F, h, w, C)`. A descriptor of norm zero means "no target here".
"""

import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import (
    MODEL_FOR_DEPTH_ESTIMATION_MAPPING,
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForDepthEstimation,
)
from transformers.modeling_outputs import BackboneOutput

from igep.camera_geometry import unproject


# Mean and standard deviation of the points that indoor cameras see, in the camera's frame (x right, y down, z forward).
INDOOR_MEAN_METRES = (0.0, 0.0, 3.0)
INDOOR_STD_METRES = (1.2, 1.0, 1.4)


@dataclass(frozen=True)
class TeacherGeometry:
    """What is known about the frames besides their colours.

    Args:
        depth_metres (`torch.Tensor`): (B, F, H, W) float32 z-depth; 0 = invalid.
        intrinsics (`torch.Tensor`): (B, F, 3, 3) float32 in pixels of `depth_metres`; NaN = unknown.
        world_from_camera (`torch.Tensor`): (B, F, 4, 4) float32; NaN = unknown.
        frame_mask (`torch.Tensor`): (B, F) bool, False for padding.
        scene_ids (`Sequence[str]`): B names.
        frame_ids (`Sequence[Sequence[str]]`): B times the names of the sample's frames (padding has none).
    """

    depth_metres: torch.Tensor
    intrinsics: torch.Tensor
    world_from_camera: torch.Tensor
    frame_mask: torch.Tensor
    scene_ids: Sequence[str]
    frame_ids: Sequence[Sequence[str]]


class Teacher(ABC):
    """Interface of the teachers.

    Attributes:
        channels (`int`): C, width of a descriptor.
        frame_size (`tuple[int, int] | None`): (H, W) of the colour frames it looks at; `None` when it looks at none, so
            that the collator need not prepare them.
    """

    channels: int
    frame_size: tuple[int, int] | None = None

    def to(self, device: torch.device | str) -> "Teacher":
        """Moves whatever the teacher computes with to `device` and returns the teacher."""
        return self

    @abstractmethod
    def __call__(self, frames: torch.Tensor | None, geometry: TeacherGeometry) -> torch.Tensor:
        """Describes every frame.

        Args:
            frames (`torch.Tensor | None`): (B, F, 3, H, W) uint8 RGB of `frame_size`, whole frames resized without
                cropping; `None` when `frame_size` is `None`.
            geometry (`TeacherGeometry`): Geometry of the same frames.

        Returns:
            `torch.Tensor`: (B, F, h, w, C) float32 without gradient; zero where there is no target.
        """


class GeometryOracleTeacher(Teacher):
    """Embeds the ground-truth point of each patch, in the camera's frame: the default, which needs no weights.

    The embedding is random Fourier features (Rahimi and Recht, 2007) of a Gaussian kernel over metres: the cosine of two
    descriptors falls with the distance of the two points. Their mean is subtracted, otherwise all descriptors share a
    large common part and a constant student would look well aligned. It is taken in closed form for normally
    distributed points: E[cos(w x)] = cos(w m) exp(-|s w|^2 / 2), and the same with sines. So it depends on no batch, and
    is the same on every rank and after a resume.

    Args:
        grid (`int`, *optional*, defaults to `8`): Patches along each side of the depth map, h = w.
        num_frequencies (`int`, *optional*, defaults to `32`): Frequencies; C is twice as many.
        length_scale_metres (`float`, *optional*, defaults to `1.5`): Width of the kernel.
        mean_metres (`tuple[float, float, float]`, *optional*): Expected mean of the points.
        std_metres (`tuple[float, float, float]`, *optional*): Expected standard deviation of the points.
        seed (`int`, *optional*, defaults to `7`): Seed of the frequencies.

    Raises:
        ValueError: A size that is not positive; at call time, a depth map that `grid` does not divide.
    """

    def __init__(
        self,
        grid: int = 8,
        num_frequencies: int = 32,
        length_scale_metres: float = 1.5,
        mean_metres: tuple[float, float, float] = INDOOR_MEAN_METRES,
        std_metres: tuple[float, float, float] = INDOOR_STD_METRES,
        seed: int = 7,
    ):
        for name, value in (
            ("grid", grid),
            ("num_frequencies", num_frequencies),
            ("length_scale_metres", length_scale_metres),
        ):
            if value <= 0:
                raise ValueError(f"{name}={value} of the geometry oracle: give a positive number.")
        self.grid = grid
        self.channels = 2 * num_frequencies
        generator = torch.Generator().manual_seed(seed)
        self.frequencies = torch.randn(3, num_frequencies, generator=generator) / length_scale_metres
        phase = (torch.tensor(mean_metres)[:, None] * self.frequencies).sum(0)
        spread = torch.tensor(std_metres)[:, None] * self.frequencies
        damping = torch.exp(-0.5 * spread.square().sum(0))
        self.mean_descriptor = torch.cat([phase.cos() * damping, phase.sin() * damping])

    def to(self, device: torch.device | str) -> "GeometryOracleTeacher":
        self.frequencies = self.frequencies.to(device)
        self.mean_descriptor = self.mean_descriptor.to(device)
        return self

    @torch.no_grad()
    def __call__(self, frames: torch.Tensor | None, geometry: TeacherGeometry) -> torch.Tensor:
        points = self.patch_points(geometry)
        known = points.isfinite().all(-1, keepdim=True)
        # Written out: a matrix product would run in bfloat16 under autocast and in TF32 where that is allowed.
        phase = (torch.where(known, points, 0.0)[..., None] * self.frequencies).sum(-2)
        descriptors = torch.cat([phase.cos(), phase.sin()], -1) - self.mean_descriptor
        return torch.where(known, descriptors, 0.0)

    def patch_points(self, geometry: TeacherGeometry) -> torch.Tensor:
        """The point seen by the pixel of median depth of each patch: a median that lies on a surface.

        Args:
            geometry (`TeacherGeometry`): Depth and intrinsics.

        Returns:
            `torch.Tensor`: (B, F, grid, grid, 3) float32 in the camera's frame, NaN where a patch has no valid pixel.
        """
        depth = geometry.depth_metres.float()
        batch, frames, height, width = depth.shape
        if height % self.grid or width % self.grid:
            raise ValueError(
                f"geometry_size={height}x{width} is not divisible by the oracle's grid of {self.grid}: change one."
            )
        points = unproject(depth, geometry.intrinsics.float())
        valid = (depth > 0) & depth.isfinite() & points.isfinite().all(-1)
        valid &= geometry.frame_mask[:, :, None, None]
        split = (batch, frames, self.grid, height // self.grid, self.grid, width // self.grid)
        patches = torch.where(valid, depth, torch.nan).reshape(split).transpose(3, 4).flatten(4)
        points = points.reshape(*split, 3).transpose(3, 4).flatten(4, 5)
        median, index = patches.nanmedian(-1)
        chosen = points.gather(4, index[..., None, None].expand(*index.shape, 1, 3)).squeeze(4)
        return torch.where(median[..., None].isnan(), torch.nan, chosen)


class BackboneTeacher(Teacher):
    """Patch features of a pretrained vision encoder: DINOv2, DINOv3, SigLIP, Depth Anything and their like.

    Takes any `AutoModel` vision encoder (also a backbone, or the vision tower of a two-tower model) and any
    `AutoModelForDepthEstimation`, by Hub id or path. Frames are normalised with the mean and deviation of the
    checkpoint's own image processor and seen whole at its size: cropping would move the patches off the student's.
    Class and register tokens are stripped.

    Args:
        model_name_or_path (`str`): Hub id or folder.
        layer (`int`, *optional*): Index into the hidden states. `None` takes the encoder's final, normalised output (the
            last hidden state of a depth model).
        frame_size (`tuple[int, int]`, *optional*): (H, W) to look at instead of the image processor's, in whole patches.
        frames_per_forward (`int`, *optional*, defaults to `64`): Frames per forward pass, bounds memory.
        dtype (`torch.dtype`, *optional*, defaults to `torch.float32`): Of the weights.

    Raises:
        ValueError: The frame size is no whole number of patches, or the model returns no patch grid.
    """

    def __init__(
        self,
        model_name_or_path: str,
        layer: int | None = None,
        frame_size: tuple[int, int] | None = None,
        frames_per_forward: int = 64,
        dtype: torch.dtype = torch.float32,
    ):
        self.name = model_name_or_path
        self.layer = layer
        self.frames_per_forward = frames_per_forward
        config = AutoConfig.from_pretrained(model_name_or_path)
        self.is_depth_model = type(config) in MODEL_FOR_DEPTH_ESTIMATION_MAPPING
        loader = AutoModelForDepthEstimation if self.is_depth_model else AutoModel
        model = loader.from_pretrained(model_name_or_path, dtype=dtype)
        settings = config.to_dict()
        if "vision_config" in settings:  # two towers: the text one would be dead weight
            model, settings = model.vision_model, settings["vision_config"]
        self.model = model.eval().requires_grad_(False)
        self.dtype = dtype
        self.patch_size = _patch_size(settings)
        processor = AutoImageProcessor.from_pretrained(model_name_or_path).to_dict()
        self.frame_size = tuple(frame_size) if frame_size else _processor_size(processor, self.patch_size)
        if any(side % self.patch_size for side in self.frame_size):
            raise ValueError(
                f"frame_size={self.frame_size} of teacher {model_name_or_path!r} is no whole number of patches of "
                f"{self.patch_size} pixels: give multiples of it."
            )
        scale = processor["rescale_factor"] if processor["do_rescale"] else 1.0
        mean, std = (processor["image_mean"], processor["image_std"]) if processor["do_normalize"] else (0.0, 1.0)
        # ((x * scale) - mean) / std = x * gain + offset
        self.gain = (scale / torch.tensor(std)).reshape(-1, 1, 1).to(dtype)
        self.offset = (-torch.tensor(mean) / torch.tensor(std)).reshape(-1, 1, 1).to(dtype)
        blank = torch.zeros(1, 3, *self.frame_size, dtype=torch.uint8)
        self.channels = self._describe(blank).shape[-1]

    def to(self, device: torch.device | str) -> "BackboneTeacher":
        self.model = self.model.to(device)
        self.gain, self.offset = self.gain.to(device), self.offset.to(device)
        return self

    @torch.no_grad()
    def __call__(self, frames: torch.Tensor | None, geometry: TeacherGeometry) -> torch.Tensor:
        if frames is None or tuple(frames.shape[-2:]) != self.frame_size:
            shape = None if frames is None else tuple(frames.shape)
            raise ValueError(
                f"Teacher {self.name!r} looks at frames of {self.frame_size}, got {shape}: make the collator with "
                "teacher_frame_size=teacher.frame_size."
            )
        mask = geometry.frame_mask
        described = torch.cat([self._describe(part) for part in frames[mask].split(self.frames_per_forward)])
        descriptors = described.new_zeros(*mask.shape, *described.shape[1:])
        descriptors[mask] = described
        return descriptors

    @torch.no_grad()
    def _describe(self, frames: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) uint8 -> (N, h, w, C) float32."""
        pixel_values = frames.to(self.dtype) * self.gain + self.offset
        output = self.model(pixel_values, output_hidden_states=True)
        if self.layer is not None or self.is_depth_model:
            tokens = output.hidden_states[-1 if self.layer is None else self.layer]
        else:
            tokens = output.feature_maps[-1] if isinstance(output, BackboneOutput) else output.last_hidden_state
        if tokens.ndim == 4:
            return tokens.permute(0, 2, 3, 1).float()
        height, width = (side // self.patch_size for side in self.frame_size)
        extra = tokens.shape[1] - height * width
        if extra < 0:
            raise ValueError(
                f"Teacher {self.name!r} returned {tokens.shape[1]} tokens for {height}x{width} patches of "
                f"{self.patch_size} pixels: it keeps no patch grid, choose another layer or teacher."
            )
        return tokens[:, extra:].reshape(len(tokens), height, width, -1).float()


class PrecomputedTeacher(Teacher):
    """Descriptors read from disk, for teachers too heavy or too foreign to run while training.

    One file `<scene id>.safetensors` per scene (percent-encoded), with one tensor (h, w, C) per frame under the key
    `<frame id>/<transform>`. `write_descriptors` makes them.

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
                f"No descriptors (<scene id>.safetensors) in {self.directory}: write them with "
                "igep.trainers.supervision.teachers.write_descriptors."
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
                    f"No descriptors of scene {scene_id!r}: {path} does not exist. Write it with write_descriptors, or "
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
                f"{self.transform!r}): write it with write_descriptors, or set the transform it was written under."
            )
        return file.get_tensor(key)


def build_teacher(
    kind: str,
    *,
    name_or_path: str | None = None,
    layer: int | None = None,
    transform: str = "resize",
    oracle_grid: int = 8,
) -> Teacher:
    """The teacher that the options of a recipe ask for.

    Args:
        kind (`str`): `"geometry_oracle"`, `"backbone"` or `"precomputed"`.
        name_or_path (`str`, *optional*): Hub id or folder of a backbone, folder of precomputed descriptors.
        layer (`int`, *optional*): See `BackboneTeacher`.
        transform (`str`, *optional*, defaults to `"resize"`): See `PrecomputedTeacher`.
        oracle_grid (`int`, *optional*, defaults to `8`): See `GeometryOracleTeacher`.

    Returns:
        `Teacher`

    Raises:
        ValueError: An unknown kind, or a missing name.
    """
    if kind == "geometry_oracle":
        return GeometryOracleTeacher(grid=oracle_grid)
    if kind not in ("backbone", "precomputed"):
        raise ValueError(f"teacher={kind!r} is unknown: use geometry_oracle, backbone or precomputed.")
    if name_or_path is None:
        raise ValueError(f"teacher={kind!r} needs teacher_name_or_path: a Hub id or a folder.")
    if kind == "backbone":
        return BackboneTeacher(name_or_path, layer=layer)
    return PrecomputedTeacher(name_or_path, transform=transform)


def descriptor_file(directory: str | Path, scene_id: str) -> Path:
    """Path of a scene's descriptors; the name is percent-encoded, so no scene id can leave the folder."""
    return Path(directory) / f"{quote(scene_id, safe=' ')}.safetensors"


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
            f"descriptors of scene {scene_id!r} have shape {tuple(descriptors.shape)} for {len(frame_ids)} frames: give "
            "(F, h, w, C)."
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


def _patch_size(settings: dict) -> int:
    """Patch size of a vision encoder's settings, 1 for those without patches (their feature maps are 4-D)."""
    if settings.get("backbone_config"):
        return _patch_size(settings["backbone_config"])
    patch_size = settings.get("patch_size") or 1
    return patch_size if isinstance(patch_size, int) else patch_size[0]


def _processor_size(processor: dict, patch_size: int) -> tuple[int, int]:
    """(H, W) at which an image processor shows whole frames, rounded to patches."""
    size = processor["crop_size"] if processor.get("do_center_crop") else processor["size"]
    if "height" in size:
        height, width = size["height"], size["width"]
    else:
        height = width = size["shortest_edge"]
    return tuple(max(1, round(side / patch_size)) * patch_size for side in (height, width))
