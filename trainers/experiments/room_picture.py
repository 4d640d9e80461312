"""A picture of a room as it is and as a model reconstructed it: frames, depth, and points from above at an angle."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from igep.camera_geometry import transform_points, unproject
from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.experiments.room_reconstruction import reconstructed, relative_poses


matplotlib.use("Agg", force=True)

VIEW = {"elev": -60, "azim": -90}  # of axes where y points down and z away: from behind the first camera, and above it


def draw_room(
    path: Path, model: VidLLMForConditionalGeneration, processor: IGEPProcessor, room: SpatialExample
) -> None:
    """Saves the picture: frames with true and predicted depth on the left, the true and predicted points on the right.

    Args:
        path (`Path`): PNG to write; its folder is made when missing.
        model (`VidLLMForConditionalGeneration`): The model, on the CPU.
        processor (`IGEPProcessor`): Its processor.
        room (`SpatialExample`): A room with depth and poses.
    """
    ((batch, found),) = reconstructed(model, processor, [room])
    true_depth, depth = batch["depth_metres"][0], found.depth_metres[0]
    first_from_camera = batch["world_from_camera"][0].new_tensor(
        np.concatenate([np.eye(4)[None], relative_poses(batch["world_from_camera"])])
    )
    true_points = transform_points(first_from_camera, unproject(true_depth, batch["intrinsics"][0]))
    size = tuple(true_depth.shape[-2:])
    frames = np.stack([np.asarray(frame.resize(size[::-1])) for frame in room.frames])
    colours = frames.reshape(-1, 3) / 255
    known = true_depth > 0
    near, far = np.percentile(true_depth[known], [1, 99])
    style = {"vmin": near, "vmax": far, "cmap": "viridis_r"}

    figure = Figure(figsize=(13.0, 2.2 * len(frames) + 0.6), layout="constrained")
    grid = figure.add_gridspec(len(frames), 5, width_ratios=[1, 1, 1, 1.7, 1.7])
    depths = (("true depth", true_depth.numpy(), style), ("predicted depth", depth.numpy(), style))
    columns = (("RGB", frames, {}), *depths)
    for column, (title, images, options) in enumerate(columns):
        for row, image in enumerate(images):
            panel = figure.add_subplot(grid[row, column])
            drawn = panel.imshow(image, interpolation="nearest", **options)
            panel.set_axis_off()
            if row == 0:
                panel.set_title(title, fontsize=9)
    figure.colorbar(drawn, ax=figure.axes[-len(frames) :], shrink=0.7, label="metres", pad=0.02)
    clouds = (
        ("true points and cameras", true_points, known, first_from_camera),
        ("reconstructed from RGB", found.points_world[0], known | True, found.world_from_camera[0]),
    )
    limits = None
    for column, (title, points, here, cameras) in enumerate(clouds, start=3):
        panel = figure.add_subplot(grid[:, column], projection="3d")
        cloud = points[here].numpy()
        panel.scatter(*cloud.T, c=colours[here.flatten().numpy()], s=3, linewidths=0)
        panel.scatter(*cameras[:, :3, 3].numpy().T, c="magenta", marker="^", s=30, depthshade=False)
        panel.plot(*cameras[:, :3, 3].numpy().T, c="magenta", linewidth=1)
        limits = limits or (cloud.min(0), cloud.max(0))
        for axis, low, high in zip("xyz", *limits, strict=True):
            panel.set(**{f"{axis}lim": (low, high)})
            panel.tick_params(axis=axis, labelsize=6)
        panel.set_box_aspect(limits[1] - limits[0])
        panel.view_init(**VIEW)
        panel.set_title(title, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
