"""From frames of a scene to the views that questions are about: unified, cropped, with the geometry that is left."""

import numpy as np

from igep.focal_unification import unify_focal_length
from igep.trainers.data.scenes.camera_arrays import pixel_centres, pixel_rays
from igep.trainers.data.scenes.colour_camera_depth import (
    assert_one_size,
    assert_principal_point,
    depth_in_colour_camera,
)
from igep.trainers.data.scenes.scene_validation import ValidScene, decode_frame
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.vlm3.spatial_question import PosedView
from igep.trainers.data.vlm3.vlm3_options import VLM3Options


def posed_views(scene: ValidScene, options: VLM3Options) -> tuple[PosedView, ...]:
    """Decodes every frame of a scene and unifies it.

    Args:
        scene (`ValidScene`): The scene, with the frames that are to be shown alone.
        options (`VLM3Options`): Focal length and size.

    Returns:
        `tuple[PosedView, ...]`: One per frame.

    Raises:
        SpatialDataError: An image that cannot be read, or a camera that is unknown or cannot be.
    """
    indices = np.arange(len(scene.frames))
    frames = [
        decode_frame(scene.scene_id, number, frame)
        for number, frame in zip(scene.frame_numbers, scene.frames, strict=True)
    ]
    assert_one_size(scene, "frames", [frame.size for frame in frames])
    size = (frames[0].height, frames[0].width)
    if scene.intrinsics is None:
        raise SpatialDataError(
            f"Scene {scene.scene_id!r}: VLM3's questions need `intrinsics`: add them to the scene, or leave it out."
        )
    assert_principal_point(scene, "intrinsics", scene.intrinsics, "colour frames", size)
    depth = None if scene.depth is None else depth_in_colour_camera(scene, indices, size, None, options.depth_range[1])
    views = []
    for index, frame in enumerate(frames):
        try:
            unified = unify_focal_length(
                frame,
                scene.intrinsics[index],
                depth_metres=None if depth is None else depth[index],
                **options.unification,
            )
        except ValueError as error:
            raise SpatialDataError(f"Scene {scene.scene_id!r}, frame {scene.frame_ids[index]!r}: {error}") from error
        views.append(
            PosedView(
                frame_id=scene.frame_ids[index],
                frame=unified.frame,
                depth_metres=unified.depth_metres,
                intrinsics=unified.intrinsics,
                world_from_camera=None if scene.world_from_camera is None else scene.world_from_camera[index],
                unified=unified,
            )
        )
    return tuple(views)


def depth_rays(view: PosedView) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of a view's depth map is, and along which ray it was measured.

    Args:
        view (`PosedView`): A view with depth and intrinsics.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: (h, w, 2) places in pixels of the frame, and (h, w, 3) rays of z = 1.
    """
    places = pixel_centres(view.depth_metres.shape, view.size)
    return places, pixel_rays(places, view.intrinsics)


def surface_inverse_depth(depth_metres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse depth, with holes of one pixel closed: depth registered to another camera is full of them.

    Args:
        depth_metres (`np.ndarray`): (h, w); 0 or not finite = not measured.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: (h, w) float64 inverse depth, the mean of its two neighbours in a hole between
        them (in a row first, then in a column), and (h, w) bool where it is known.
    """
    known = np.isfinite(depth_metres) & (depth_metres > 0)
    inverse = np.where(known, 1 / np.where(known, depth_metres, 1), 0).astype(np.float64)
    for value, seen in ((inverse, known), (inverse.T, known.T)):
        hole = ~seen[:, 1:-1] & seen[:, :-2] & seen[:, 2:]
        value[:, 1:-1][hole] = ((value[:, :-2] + value[:, 2:]) / 2)[hole]
        seen[:, 1:-1] |= hole
    return inverse, known


def surface_pixels(view: PosedView, options: VLM3Options) -> np.ndarray:
    """Which pixels of a view's depth map have one honest answer: measured, in range, and on no edge.

    Args:
        view (`PosedView`): A view with depth.
        options (`VLM3Options`): Range and edge tolerance.

    Returns:
        `np.ndarray`: (h, w) bool. On a plane inverse depth is affine, so a pixel that is not the mean of its two
        neighbours along an axis lies at an edge; one beside more than a pinhole without depth may.
    """
    depth = view.depth_metres
    surface = np.zeros(depth.shape, dtype=bool)
    if min(depth.shape) < 3:
        return surface
    inverse, known = surface_inverse_depth(depth)
    nearest, farthest = options.depth_range
    asked = np.isfinite(depth) & (depth >= nearest) & (depth <= farthest)
    inner = slice(1, -1)
    centre = inverse[inner, inner]
    surface[inner, inner] = asked[inner, inner]
    before, behind = slice(None, -2), slice(2, None)
    for low, high in (((before, inner), (behind, inner)), ((inner, before), (inner, behind))):
        bend = np.abs(inverse[low] + inverse[high] - 2 * centre)
        surface[inner, inner] &= known[low] & known[high] & (bend <= options.depth_edge_tolerance * centre)
    return surface
