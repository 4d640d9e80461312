"""The 3D boxes of a scene as one view shows them: where they are in the image, and whether they can be seen."""

from dataclasses import dataclass

import numpy as np

from igep.trainers.data.scenes.camera_arrays import camera_from_world_points, project, transform_points
from igep.trainers.data.vlm3.scene_views import depth_rays
from igep.trainers.data.vlm3.spatial_question import PosedView


NEAR_METRES = 0.05  # surfaces nearer than this are cut off before they are projected
LEAST_SIDE = 0.03  # of the image's: what is smaller is not worth a question
LEAST_INSIDE = 0.5  # of the projected box's area: what reaches farther out has no honest size in the image
LEAST_SURFACE = 0.1  # of the image box's pixels have to lie on the object
SURFACE_MARGIN = 0.1  # share of a box's size by which measured surface may lie outside it
EDGES = np.array([(i, j) for i in range(8) for j in range(i + 1, 8) if (i ^ j).bit_count() == 1])


@dataclass(frozen=True)
class SeenObject:
    """An object of a scene in one view.

    Args:
        index (`int`): Number of its box in the scene.
        label (`str`): Its name.
        image_box (`np.ndarray`): (4,) x1, y1, x2, y2 in pixels of the frame, clipped to it.
        centre_camera_metres (`np.ndarray`): (3,) in the camera's axes.
        centre_world_metres (`np.ndarray`): (3,); z is up.
        size_metres (`np.ndarray`): (3,) extents along the box's own axes, the last upright.
    """

    index: int
    label: str
    image_box: np.ndarray
    centre_camera_metres: np.ndarray
    centre_world_metres: np.ndarray
    size_metres: np.ndarray


def box_axes(box: dict) -> np.ndarray:
    """(3, 3) columns are the axes of a scene's box in its world: turned by its yaw about z."""
    cosine, sine = np.cos(box["yaw_radians"]), np.sin(box["yaw_radians"])
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])


def project_box(view: PosedView, box: dict) -> np.ndarray | None:
    """Projects a 3D box into a view.

    Args:
        view (`PosedView`): View with intrinsics and pose.
        box (`dict`): A box of the row schema.

    Returns:
        `np.ndarray` or `None`: (4,) x1, y1, x2, y2 of its outline, not clipped to the frame; `None` behind the camera.
    """
    half = np.array(box["size_metres"]) / 2
    corners = np.array([[sign * side for sign, side in zip(signs, half, strict=True)] for signs in _SIGNS])
    world = corners @ box_axes(box).T + np.array(box["centre_metres"])
    camera = camera_from_world_points(view.world_from_camera, world)
    depth = camera[:, 2]
    points = [camera[depth >= NEAR_METRES]]
    starts, ends = camera[EDGES[:, 0]], camera[EDGES[:, 1]]
    crosses = (starts[:, 2] >= NEAR_METRES) != (ends[:, 2] >= NEAR_METRES)
    share = (NEAR_METRES - starts[crosses, 2]) / (ends[crosses, 2] - starts[crosses, 2])
    points.append(starts[crosses] + share[:, None] * (ends[crosses] - starts[crosses]))
    points = np.concatenate(points)
    if not len(points):
        return None
    pixels, _ = project(points, view.intrinsics)
    return np.concatenate([pixels.min(0), pixels.max(0)])


def seen_objects(view: PosedView, boxes: list[dict]) -> list[SeenObject]:
    """Finds the objects that a view shows well enough to be asked about.

    Args:
        view (`PosedView`): View with intrinsics and pose. With depth, hidden objects are left out.
        boxes (`list[dict]`): Boxes of the scene.

    Returns:
        `list[SeenObject]`
    """
    width, height = view.frame.size
    measured = None if view.depth_metres is None else _measured_points(view)
    seen = []
    for index, box in enumerate(boxes):
        outline = project_box(view, box)
        if outline is None or min(box["size_metres"]) <= 0:
            continue
        clipped = np.clip(outline.reshape(2, 2), 0, (width, height)).reshape(4)
        sides, whole = clipped[2:] - clipped[:2], outline[2:] - outline[:2]
        if (sides < LEAST_SIDE * np.array([width, height])).any() or sides.prod() < LEAST_INSIDE * whole.prod():
            continue
        if measured is not None and not _has_surface(measured, view, box, clipped):
            continue
        centre = np.array(box["centre_metres"])
        seen.append(
            SeenObject(
                index=index,
                label=box["label"],
                image_box=clipped,
                centre_camera_metres=camera_from_world_points(view.world_from_camera, centre),
                centre_world_metres=centre,
                size_metres=np.array(box["size_metres"]),
            )
        )
    return seen


_SIGNS = np.array([[(corner >> axis & 1) * 2 - 1 for axis in range(3)] for corner in range(8)])


def _measured_points(view: PosedView) -> np.ndarray:
    """(h, w, 3) world points of a view's depth, NaN where nothing was measured."""
    depth = np.where(view.depth_metres > 0, view.depth_metres, np.nan).astype(np.float64)
    _, rays = depth_rays(view)
    return transform_points(view.world_from_camera, rays * depth[..., None])


def _has_surface(measured: np.ndarray, view: PosedView, box: dict, image_box: np.ndarray) -> bool:
    """Whether enough of the measured surface in the image box is in the 3D box: the rest hides it or is behind it."""
    rows, columns = measured.shape[:2]
    scale = np.array([columns / view.frame.width, rows / view.frame.height])
    left, top = np.floor(image_box[:2] * scale).astype(int)
    right, bottom = np.ceil(image_box[2:] * scale).astype(int)
    points = measured[top:bottom, left:right].reshape(-1, 3)
    local = (points - np.array(box["centre_metres"])) @ box_axes(box)
    half = np.array(box["size_metres"]) / 2
    with np.errstate(invalid="ignore"):
        inside = (np.abs(local) <= half * (1 + SURFACE_MARGIN) + 0.01).all(1)
    return bool(inside.mean() >= LEAST_SURFACE) if len(inside) else False
