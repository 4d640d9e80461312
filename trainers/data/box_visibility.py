"""How much of a 3D box each frame of a scene shows, and the frame that shows most of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from igep.trainers.data.scenes.camera_arrays import camera_from_world_points, project
from igep.trainers.geometry.oriented_boxes import box_rotation, checked_box


POINTS_PER_AXIS = 5  # a box is looked at in 125 places
NEAR_METRES = 0.05  # what is nearer is behind the lens
HIDDEN_METRES = 0.1  # by which a surface must lie in front of a box to hide it: depth and poses are no better
LEAST_SIZE_METRES = 1e-6  # a side of no length is looked at as one


@dataclass(frozen=True)
class PosedCameras:
    """The cameras of F frames.

    Args:
        world_from_camera (`np.ndarray`): (F, 4, 4) float64.
        intrinsics (`np.ndarray`): (F, 3, 3), in pixels of an image of `size`.
        size (`tuple[int, int]`): Height and width.
        depth_metres (`np.ndarray`, *optional*): (F, *size) z-depth, 0 = invalid; without it nothing hides anything.
    """

    world_from_camera: np.ndarray
    intrinsics: np.ndarray
    size: tuple[int, int]
    depth_metres: np.ndarray | None = None


def seen_shares(box: Sequence[float], cameras: PosedCameras) -> tuple[np.ndarray, np.ndarray]:
    """Which share of a box every frame shows.

    Args:
        box (`Sequence[float]`): Six or nine numbers in the world, see `oriented_boxes`.
        cameras (`PosedCameras`): The frames.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: (F,) shares of the box's places that lie in the image and that no measured
        surface in front of the box hides, and (F,) shares of those in the image, hidden or not.

    Raises:
        ValueError: No box.
    """
    box = checked_box(box)
    steps = (np.arange(POINTS_PER_AXIS) + 0.5) / POINTS_PER_AXIS * 2 - 1
    half = np.maximum(box[3:6], LEAST_SIZE_METRES) / 2
    places = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3) * half
    rotation = box_rotation(box)
    world = box[:3] + places @ rotation.T
    seen, inside = [], []
    for frame, pose in enumerate(cameras.world_from_camera):
        pixels, depth = project(camera_from_world_points(pose, world), cameras.intrinsics[frame])
        height, width = cameras.size
        visible = (depth > NEAR_METRES) & (pixels >= 0).all(1) & (pixels < (width, height)).all(1)
        inside.append(visible.mean())
        if cameras.depth_metres is not None and visible.any():
            camera = (pose[:3, 3] - box[:3]) @ rotation
            entry = _entry(camera, places[visible], half) * depth[visible]
            columns, rows = pixels[visible].astype(int).T
            surface = cameras.depth_metres[frame][rows, columns]
            visible[visible] = ~((surface > 0) & (surface < entry - HIDDEN_METRES))
        seen.append(visible.mean())
    return np.array(seen), np.array(inside)


def best_frame(box: Sequence[float], cameras: PosedCameras) -> tuple[int, bool]:
    """The frame that shows most of a box.

    Args:
        box (`Sequence[float]`): Six or nine numbers in the world.
        cameras (`PosedCameras`): At least one frame.

    Returns:
        `tuple[int, bool]`: Of the frames with the largest share that is seen the one with the largest share in the
        image, of these the one whose camera is nearest to the box, of these the first; and whether it shows the box at
        all.

    Raises:
        ValueError: No box.
    """
    seen, inside = seen_shares(box, cameras)
    distance = np.linalg.norm(cameras.world_from_camera[:, :3, 3] - np.asarray(box[:3]), axis=1)
    best = min(range(len(seen)), key=lambda frame: (-seen[frame], -inside[frame], distance[frame]))
    return best, bool(seen[best] > 0)


def _entry(camera: np.ndarray, places: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Share of the way from a camera to places in a box where the box begins, all in the box's axes; 0 within it."""
    along = places - camera
    with np.errstate(divide="ignore"):
        walls = np.stack(
            [(-half - camera) / along, (half - camera) / along]
        )  # a place is inside, so that none is 0 / 0
    return walls.min(0).max(1).clip(min=0)
