"""Posed RGB-D of the analytic scene as a row of the scenes table, and as the folders that a ScanNet export leaves."""

from pathlib import Path

import numpy as np
import torch
from analytic_scene import AnalyticScene
from PIL import Image


SCENE = AnalyticScene()
COLOUR_SIZE = (48, 64)  # height, width
COLOUR_INTRINSICS = np.array([[60.0, 0, 31.0], [0, 58.0, 25.0], [0, 0, 1]])


def camera_path(num_frames: int) -> np.ndarray:
    """(F, 4, 4) float64 poses that look at the wall while they move and turn about every axis."""
    poses = []
    for step in np.linspace(-1, 1, num_frames):
        yaw, pitch, roll = 0.25 * step, 0.08 * step + 0.05, 0.3 * step
        about_y = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
        about_x = [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
        about_z = [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
        pose = np.eye(4)
        pose[:3, :3] = np.array(about_y) @ np.array(about_x) @ np.array(about_z)
        pose[:3, 3] = [-0.7 * step, 0.15 * step**2, 0.35 * step]
        poses.append(pose)
    return np.stack(poses)


def true_depth(intrinsics: np.ndarray, pose: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) float64 z-depth in metres."""
    return SCENE.depth_metres(torch.from_numpy(intrinsics), torch.from_numpy(pose), *size).numpy()


def depth_image(depth_metres: np.ndarray) -> Image.Image:
    """16-bit image in millimetres."""
    return Image.fromarray((depth_metres * 1000).round().astype(np.uint16))


def scene_row(
    num_frames: int = 5,
    scene_id: str = "desk",
    depth_size: tuple[int, int] = COLOUR_SIZE,
    depth_intrinsics: np.ndarray | None = None,
    colour_from_depth: np.ndarray | None = None,
    poses: np.ndarray | None = None,
) -> dict:
    """A row whose every value is right; the colour of a pixel tells its frame."""
    poses = camera_path(num_frames) if poses is None else poses
    own = np.eye(4) if colour_from_depth is None else colour_from_depth
    scale = np.array([depth_size[1] / COLOUR_SIZE[1], depth_size[0] / COLOUR_SIZE[0], 1.0])[:, None]
    intrinsics = COLOUR_INTRINSICS * scale if depth_intrinsics is None else depth_intrinsics
    shade = np.zeros((*COLOUR_SIZE, 3), dtype=np.uint8)
    return {
        "scene_id": scene_id,
        "frame_ids": [f"{number:05d}" for number in range(num_frames)],
        "frames": [Image.fromarray(shade + np.uint8(10 * number)) for number in range(num_frames)],
        "depth": [depth_image(true_depth(intrinsics, pose @ own, depth_size)) for pose in poses],
        "metres_per_depth_unit": 0.001,
        "depth_kind": "z",
        "intrinsics": [COLOUR_INTRINSICS.tolist()] * num_frames,
        "depth_intrinsics": [] if depth_intrinsics is None else [depth_intrinsics.tolist()] * num_frames,
        "colour_from_depth": [] if colour_from_depth is None else colour_from_depth.tolist(),
        "world_from_camera": poses.tolist(),
        "boxes": [{"label": "box", "centre_metres": [0.0] * 3, "size_metres": [1.0] * 3, "yaw_radians": 0.0}],
    }


def question_row(number: int, scene_id: str = "desk", **changes) -> dict:
    """A right row of the questions table."""
    row = {
        "question_id": f"q{number}",
        "scene_id": scene_id,
        "question": f"How far is box {number}?",
        "answers": [f"{number}.0", str(number)],
        "question_type": "distance",
        "referred_boxes": [0],
    }
    return {**row, **changes}


def write_exported(folder: Path, row: dict) -> Path:
    """Writes the layout of ScanNet's exporter and returns the folder."""
    for name in ("color", "depth", "pose", "intrinsic"):
        (folder / name).mkdir(parents=True)
    for name, frame, depth, pose in _frames(row):
        frame.save(folder / "color" / f"{name}.jpg")
        depth.save(folder / "depth" / f"{name}.png")
        np.savetxt(folder / "pose" / f"{name}.txt", pose)
    _write_intrinsics(folder / "intrinsic" / "intrinsic_color.txt", row["intrinsics"][0])
    if row["depth_intrinsics"]:
        _write_intrinsics(folder / "intrinsic" / "intrinsic_depth.txt", row["depth_intrinsics"][0])
    return folder


def write_flat(folder: Path, row: dict) -> Path:
    """Writes frames, depth and poses in one folder and returns it."""
    folder.mkdir(parents=True)
    for name, frame, depth, pose in _frames(row):
        frame.save(folder / f"{name}.jpg")
        depth.save(folder / f"{name}.png")
        np.savetxt(folder / f"{name}.txt", pose)
    np.savetxt(folder / "intrinsic.txt", row["intrinsics"][0])
    return folder


def _frames(row: dict) -> zip:
    return zip(row["frame_ids"], row["frames"], row["depth"], row["world_from_camera"], strict=True)


def _write_intrinsics(path: Path, intrinsics: list[list[float]]) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = intrinsics
    np.savetxt(path, matrix)
