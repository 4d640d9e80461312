"""Mistakes that users make in poses, intrinsics, depth and colour, each as a change of a right row."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from igep.trainers.experiments.spoiled_rows import (
    Row,
    as_text,
    backwards,
    cameras_mixed_up,
    cropped,
    cut_left,
    depth_unit_changed,
    displaced,
    focal_changed,
    images_changed,
    intrinsics_changed,
    last_third_changed,
    left_handed,
    negative_fy,
    one_identity,
    one_late,
    order_changed,
    poses_changed,
    quaternions_reordered,
    rotations_changed,
    said_euclidean,
    scaled,
    shrunk,
    shuffled,
    squeezed,
    swapped_axes,
    swapped_focal,
    translated,
    turned,
    turned_image,
)


OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
ROBOT = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])  # forward, left, up


@dataclass(frozen=True)
class DeliberateMistake:
    """A mistake to make.

    Args:
        name (`str`): What it is, for tables.
        kind (`str`): The kind of mistake in the check's words, one of `MISTAKE_KINDS` there.
        cause (`str`): Regular expression that finds the cause in a report that names it.
        make (`Callable`): A right row to the spoiled row; `None` where it would change nothing.
        also (`str`, *optional*, defaults to `"$^"`): Regular expression of what may be said besides, as it is true as
            well.
    """

    name: str
    kind: str
    cause: str
    make: Callable[[Row], Row | None]
    also: str = "$^"


DIRECTION, SCALE, ORDER = "pose convention", "translation scale", "pose order"
FOCAL, DEPTH_IMAGE, DEPTH_KIND = "depth intrinsics", "depth images", "depth kind"
COLOUR_CAMERA, COLOUR_IMAGE, COLOUR_ORDER = "colour intrinsics", "colour images", "colour order"
FRAMES = "single frames"
BOTH_CAMERAS = "colour camera"
UNIT = "(unit|length) of the (pose translations|depth)"  # either could be
ROTATED_180, MIRRORED, UPSIDE_DOWN, PORTRAIT = (
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.ROTATE_90,
)

DELIBERATE_MISTAKES = tuple(
    DeliberateMistake(*entry)
    for entry in (
        ("poses inverted", DIRECTION, "world-to-camera: store", poses_changed(np.linalg.inv)),
        ("poses in OpenGL axes", DIRECTION, "have OpenGL camera axes", poses_changed(lambda poses: poses @ OPENGL)),
        (
            "poses in OpenGL axes, inverted",
            DIRECTION,
            "world-to-camera with OpenGL",
            poses_changed(lambda poses: np.linalg.inv(poses @ OPENGL)),
        ),
        ("poses in a robot's axes", DIRECTION, r"\(-y, -z, x\)", poses_changed(lambda poses: poses @ ROBOT)),
        ("poses left-handed", DIRECTION, "left-handed", poses_changed(left_handed)),
        (
            "rotations transposed",
            DIRECTION,
            "rotations of the poses are transposed",
            poses_changed(lambda poses: rotations_changed(poses, lambda rotation: rotation.transpose(0, 2, 1))),
        ),
        (
            "half inverted: translations of the inverse",
            DIRECTION,
            "translations .*of the inverse",
            poses_changed(lambda poses: translated(poses, lambda _: np.linalg.inv(poses)[:, :3, 3])),
        ),
        (
            "quaternions w x y z read as x y z w",
            DIRECTION,
            "quaternion",
            poses_changed(lambda poses: quaternions_reordered(poses, [3, 0, 1, 2])),
        ),
        (
            "quaternions x y z w read as w x y z",
            DIRECTION,
            "quaternion",
            poses_changed(lambda poses: quaternions_reordered(poses, [1, 2, 3, 0])),
        ),
        (
            "translations zero",
            SCALE,
            "translations of the poses are all the same",
            poses_changed(lambda poses: translated(poses, lambda places: places * 0)),
        ),
        *(
            (
                f"translations x {factor:g}",
                SCALE,
                UNIT,
                poses_changed(lambda poses, factor=factor: translated(poses, lambda places: places * factor)),
            )
            for factor in (0.5, 0.7, 1.5, 100, 1000, 0.001)
        ),
        ("poses sorted as text", ORDER, "sorted as text", order_changed("world_from_camera", as_text)),
        ("poses reversed", ORDER, "reverse|backwards", order_changed("world_from_camera", backwards)),
        ("poses one frame late", ORDER, "frames? earlier", order_changed("world_from_camera", one_late)),
        (
            "poses shuffled",
            ORDER,
            "no better than poses of other frames",
            order_changed("world_from_camera", shuffled),
        ),
        (
            "poses all the identity",
            SCALE,
            "poses are all the same",
            poses_changed(lambda poses: np.broadcast_to(np.eye(4), poses.shape)),
        ),
        ("one pose the identity", FRAMES, "poses? of frames?", poses_changed(one_identity)),
        (
            "last third displaced by 0.5 m",
            FRAMES,
            "poses? .*from frame",
            poses_changed(lambda poses: last_third_changed(poses, displaced)),
        ),
        (
            "last third turned by 15 degrees",
            FRAMES,
            "poses? .*from frame",
            poses_changed(lambda poses: last_third_changed(poses, turned)),
        ),
        (
            "last third in a world of its own",
            FRAMES,
            "poses? .*from frame",
            poses_changed(lambda poses: last_third_changed(poses, lambda part: np.linalg.inv(part[0]) @ part)),
        ),
        *(
            (
                f"focal lengths x {factor:g}",
                FOCAL,
                "focal length",
                intrinsics_changed(lambda matrices, factor=factor: focal_changed(matrices, factor)),
                BOTH_CAMERAS,
            )
            for factor in (0.7, 0.85, 1.4)
        ),
        (
            "intrinsics halved",
            FOCAL,
            "image of another size",
            intrinsics_changed(lambda matrices: scaled(matrices, 0.5)),
            BOTH_CAMERAS,
        ),
        (
            "axes of K swapped",
            FOCAL,
            "(axes|rows) of the intrinsics are swapped",
            intrinsics_changed(swapped_axes),
            BOTH_CAMERAS,
        ),
        (
            "fx and fy swapped",
            FOCAL,
            "(fx and fy|axes of the intrinsics) are swapped",
            intrinsics_changed(swapped_focal),
            BOTH_CAMERAS,
        ),
        ("fy negative", FOCAL, "They are positive", intrinsics_changed(negative_fy)),
        (
            "intrinsics of the two cameras mixed up",
            FOCAL,
            "colour camera's fit better",
            cameras_mixed_up,
            BOTH_CAMERAS,
        ),
        (
            "depth camera's intrinsics halved",
            FOCAL,
            "image of another size",
            intrinsics_changed(lambda matrices: scaled(matrices, 0.5), "depth_intrinsics"),
        ),
        *(
            (
                f"depth unit x {factor:g}",
                SCALE,
                UNIT,
                depth_unit_changed(factor),
            )
            for factor in (10, 5, 0.5, 1000, 0.1)
        ),
        ("z-depth said to be euclidean", DEPTH_KIND, "depth_kind 'z'", said_euclidean),
        (
            "depth mirrored",
            DEPTH_IMAGE,
            "depth (maps|images) are mirrored",
            images_changed("depth", turned_image(MIRRORED)),
        ),
        (
            "depth upside down",
            DEPTH_IMAGE,
            "depth (maps|images) are upside down",
            images_changed("depth", turned_image(UPSIDE_DOWN)),
        ),
        (
            "depth turned by 180 degrees",
            DEPTH_IMAGE,
            "depth (maps|images) are turned",
            images_changed("depth", turned_image(ROTATED_180)),
        ),
        ("depth one frame late", ORDER, "frames? (later|earlier)", order_changed("depth", one_late)),
        ("depth reversed", ORDER, "reverse|backwards", order_changed("depth", backwards)),
        ("depth sorted as text", ORDER, "sorted as text", order_changed("depth", as_text)),
        *(
            (
                f"colour intrinsics x {factor:g}",
                COLOUR_CAMERA,
                "colour .*image of another size|principal point",
                intrinsics_changed(lambda matrices, factor=factor: scaled(matrices, factor), "intrinsics"),
            )
            for factor in (0.5, 1.5)
        ),
        *(
            (
                f"colour focal lengths x {factor:g}",
                COLOUR_CAMERA,
                "colour camera's focal length|depth camera's fit better",
                intrinsics_changed(lambda matrices, factor=factor: focal_changed(matrices, factor), "intrinsics"),
            )
            for factor in (0.7, 1.4)
        ),
        (
            "colour shrunk to half",
            COLOUR_CAMERA,
            "colour .*image of another size|principal point",
            images_changed("frames", shrunk),
        ),
        ("colour cropped to its middle", COLOUR_CAMERA, "crop", images_changed("frames", cropped)),
        ("colour's left quarter cut off", COLOUR_CAMERA, "crop", images_changed("frames", cut_left)),
        (
            "colour squeezed to 0.7 of its width",
            COLOUR_CAMERA,
            "colour .*image of another size|principal point",
            images_changed("frames", squeezed),
        ),
        (
            "colour turned to portrait",
            COLOUR_IMAGE,
            "colour .*turned|principal point",
            images_changed("frames", turned_image(PORTRAIT)),
        ),
        ("colour mirrored", COLOUR_IMAGE, "colour .*mirrored", images_changed("frames", turned_image(MIRRORED))),
        (
            "colour upside down",
            COLOUR_IMAGE,
            "colour .*upside down",
            images_changed("frames", turned_image(UPSIDE_DOWN)),
        ),
        (
            "colour turned by 180 degrees",
            COLOUR_IMAGE,
            "colour .*turned",
            images_changed("frames", turned_image(ROTATED_180)),
        ),
        ("colour reversed", COLOUR_ORDER, "colour .*(reverse|backwards)", order_changed("frames", backwards)),
        ("colour shuffled", COLOUR_ORDER, "colour .*do not belong", order_changed("frames", shuffled)),
        ("colour one frame late", COLOUR_ORDER, "colour .*frames? earlier", order_changed("frames", one_late)),
        ("colour sorted as text", COLOUR_ORDER, "colour .*sorted as text", order_changed("frames", as_text)),
    )
)
