"""A model's own reconstruction as the geometry of a scene's frames: it lacks only where the scene's world lies."""

from torch import Tensor

from .box_coverage import FrameGeometry
from .reconstruction import Reconstruction


def predicted_geometry(
    reconstruction: Reconstruction, sample: int, frames: int, world_from_first_camera: Tensor
) -> FrameGeometry:
    """The reconstruction of a sample as the geometry of its frames, in a world where the first camera's pose is known.

    Args:
        reconstruction (`Reconstruction`): Of a batch.
        sample (`int`): Which one.
        frames (`int`): Its real frames.
        world_from_first_camera (`Tensor`): (4, 4).

    Returns:
        `FrameGeometry`: Without gradients.

    Raises:
        ValueError: The pose is not finite.
    """
    depth = reconstruction.depth_metres[sample, :frames].detach()
    poses = reconstruction.world_from_camera[sample, :frames].detach()
    world = finite_pose(world_from_first_camera).to(poses)
    return FrameGeometry(
        intrinsics=reconstruction.intrinsics[sample, :frames].detach(),
        world_from_camera=(world[:, :, None] * poses[:, None]).sum(-2),
        image_size=tuple(depth.shape[-2:]),
        depth_metres=depth,
    )


def finite_pose(world_from_first_camera: Tensor) -> Tensor:
    """The pose that was given, if it can be used.

    Args:
        world_from_first_camera (`Tensor`): (4, 4).

    Returns:
        `Tensor`: The same.

    Raises:
        ValueError: It is not finite.
    """
    if not bool(world_from_first_camera.isfinite().all()):
        raise ValueError(
            "world_from_camera of a first frame is not finite, so boxes of the scene cannot be placed: leave the "
            "frame out."
        )
    return world_from_first_camera
