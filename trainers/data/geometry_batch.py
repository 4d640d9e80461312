"""Geometry of `SpatialExample`s as tensors of one size: what supervises, and what 3D positions are computed from."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from igep.camera_geometry import resize_intrinsics
from igep.trainers.data.centre_square import centre_square
from igep.trainers.data.scenes.colour_camera_depth import nearest_depth
from igep.trainers.data.scenes.spatial_example import SpatialDataError, SpatialExample


def geometry_batch(
    examples: Sequence[SpatialExample],
    size: tuple[int, int],
    position_range_metres: Sequence[float] | None = None,
) -> dict[str, torch.Tensor]:
    """Stacks depth, cameras and poses, padded to the longest sample.

    Args:
        examples (`Sequence[SpatialExample]`): B samples of up to F frames.
        size (`tuple[int, int]`): (H, W) of the depth. Depth of another size is resampled to it (nearest pixel), the
            intrinsics with it.
        position_range_metres (`Sequence[float]`, *optional*): For a model that reads 3D positions (x, y, z from minus
            to plus as much): poses stay in the scene's own world, and every sample must have depth, intrinsics and
            poses. Otherwise the world's origin moves to a camera of the sample, which float32 wants where the origin
            is far away.

    Returns:
        `dict`: `depth_metres` (B, F, H, W) float32, 0 = invalid; `intrinsics` (B, F, 3, 3) float32 in pixels of it and
        `world_from_camera` (B, F, 4, 4) float32, NaN = unknown; `frame_mask` (B, F) bool, False = padding.

    Raises:
        SpatialDataError: Positions are read, and a sample has none or its cameras are outside their range.
    """
    height, width = size
    batch, frames = len(examples), max(len(example.frames) for example in examples)
    depth_metres = np.zeros((batch, frames, height, width), dtype=np.float32)
    intrinsics = np.full((batch, frames, 3, 3), np.nan, dtype=np.float32)
    world_from_camera = np.full((batch, frames, 4, 4), np.nan, dtype=np.float32)
    frame_mask = np.zeros((batch, frames), dtype=bool)
    for row, example in enumerate(examples):
        count = len(example.frames)
        frame_mask[row, :count] = True
        own_size = size if example.depth_metres is None else example.depth_metres.shape[1:]
        if position_range_metres is not None:
            _check_positions(example, position_range_metres)
        if example.depth_metres is not None:
            depth_metres[row, :count] = nearest_depth(example.depth_metres, size)
        if example.intrinsics is not None:
            own = example.intrinsics
            if own_size != size:
                own = resize_intrinsics(torch.from_numpy(own), own_size, size).numpy()
            intrinsics[row, :count] = own
        if example.world_from_camera is not None:
            poses = example.world_from_camera.astype(np.float64)
            if position_range_metres is None:
                poses[:, :3, 3] -= near_origin(poses)
            world_from_camera[row, :count] = poses
    return {
        "depth_metres": torch.from_numpy(depth_metres),
        "intrinsics": torch.from_numpy(intrinsics),
        "world_from_camera": torch.from_numpy(world_from_camera),
        "frame_mask": torch.from_numpy(frame_mask),
    }


def seen_in_square(example: SpatialExample, size: tuple[int, int]) -> SpatialExample:
    """The geometry that a model is given whose processor crops, beside the whole frames that the processor takes.

    Args:
        example (`SpatialExample`): Whole frames and their geometry.
        size (`tuple[int, int]`): (H, W) that depth and intrinsics are brought to, as in training.

    Returns:
        `SpatialExample`: Its frames, with depth and intrinsics of their centre square; the scene's own world.
    """
    square = centre_square(example)
    sized = geometry_batch([square], size)
    return dataclasses.replace(
        square,
        frames=example.frames,
        depth_metres=None if square.depth_metres is None else sized["depth_metres"][0].numpy(),
        intrinsics=None if square.intrinsics is None else sized["intrinsics"][0].numpy(),
    )


def _check_positions(example: SpatialExample, position_range_metres: Sequence[float]) -> None:
    where = f"Sample {example.sample_id!r} of scene {example.scene_id!r}"
    geometry = {
        "depth": example.depth_metres,
        "intrinsics": example.intrinsics,
        "poses": example.world_from_camera,
    }
    missing = [name for name, value in geometry.items() if value is None]
    if not missing and not (np.nan_to_num(example.depth_metres) > 0).any():
        missing = ["measured depth"]
    if missing:
        raise SpatialDataError(
            f"{where} has no {' and no '.join(missing)}, from which the 3D positions of its visual tokens are "
            "computed: give posed RGB-D, leave the scene out, or set position_encoding to none."
        )
    centres = example.world_from_camera[:, :3, 3]
    centres = centres[np.isfinite(centres).all(1)]
    outside = (np.abs(centres) > np.asarray(position_range_metres)).any(1)
    if outside.any():
        raise SpatialDataError(
            f"{where}: a camera is at {np.round(centres[outside.argmax()], 2).tolist()} m, outside of "
            f"position_range_metres={list(position_range_metres)}: raise that, or move the origin of the scene's "
            "world into the scene."
        )


def near_origin(world_from_camera: np.ndarray) -> np.ndarray:
    """Where the origin of a batch's world lies: at the first posed camera. float32 is too coarse for far-away origins.

    Args:
        world_from_camera (`np.ndarray`): (F, 4, 4) float64, NaN = unknown.

    Returns:
        `np.ndarray`: (3,) float64 in metres of the scene's world; zero where no camera is posed.
    """
    posed = np.isfinite(world_from_camera).all((1, 2))
    return world_from_camera[posed.argmax(), :3, 3] if posed.any() else np.zeros(3)
