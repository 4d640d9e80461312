"""The picture of `igep check`: one frame carried into another, beside what was measured there."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from igep.camera_geometry import relative_pose, warp_depth
from igep.trainers.data.scenes.scene_frames import take_frames
from igep.trainers.data.scenes.scene_validation import decode_frame, validate_scene
from igep.trainers.data.spatial_dataset import build_example
from igep.trainers.scene_check.check_scenes import SceneReport


MAX_PICTURED_SCENES = 8
PICTURED_SIDE = 320  # pixels


def save_picture(reports: Sequence[SceneReport], path: str | Path) -> None:
    """Draw one warped pair per scene: target, source carried into it, both depths, and their relative error.

    Args:
        reports (`Sequence[SceneReport]`): Reports of `check_scene`; the first 8 that could be compared are drawn.
        path (`str | Path`): PNG file to write.

    Raises:
        ValueError: No scene could be compared.
    """
    drawn = [report for report in reports if report.pictured is not None][:MAX_PICTURED_SCENES]
    if not drawn:
        raise ValueError(f"{path}: no picture, because no scene could be compared. Correct the scenes first.")
    figure = Figure(figsize=(15, 2.6 * len(drawn)), layout="constrained")
    axes = figure.subplots(len(drawn), 5, squeeze=False)
    for line, report in zip(axes, drawn, strict=True):
        _draw(line, report)
    figure.savefig(path, format="png", dpi=100)


def _draw(axes: Sequence[Axes], report: SceneReport) -> None:
    scene = validate_scene(report.row)
    source, target = report.pictured
    width, height = decode_frame(scene.scene_id, target, scene.frames[target]).size
    scale = min(1.0, PICTURED_SIDE / max(width, height))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    pair = build_example(take_frames(report.row, [source, target]), (), 2, size, scene.scene_id)
    depth = torch.from_numpy(pair.depth_metres)
    intrinsics = torch.from_numpy(pair.intrinsics)
    target_from_source = relative_pose(*torch.from_numpy(pair.world_from_camera).flip(0)).float()
    warped = warp_depth(depth[0], intrinsics[0], target_from_source, intrinsics[1])
    colours = [np.asarray(frame.resize(size[::-1])) for frame in pair.frames]
    carried = np.full_like(colours[0], 255)
    visible = warped.visible.numpy()
    column, row = warped.pixels[warped.visible].long().unbind(-1)
    carried[row, column] = colours[0][visible]
    landed = warped.target_depth_metres.numpy()
    both = (landed > 0) & (pair.depth_metres[1] > 0)
    error = np.full(size, np.nan)
    error[both] = np.abs(landed[both] / pair.depth_metres[1][both] - 1)
    valid = pair.depth_metres[1][pair.depth_metres[1] > 0]
    span = {"vmin": np.percentile(valid, 2), "vmax": np.percentile(valid, 98)} if len(valid) else {}
    depths = [np.where(values > 0, values, np.nan) for values in (pair.depth_metres[1], landed)]
    axes[0].imshow(colours[1])
    axes[0].set_title(f"{report.scene_id}: frame {pair.frame_ids[1]} ({report.verdict})", fontsize=8)
    axes[1].imshow(carried)
    axes[1].set_title(f"frame {pair.frame_ids[0]} carried into it", fontsize=8)
    axes[2].imshow(depths[0], cmap="viridis", **span)
    axes[2].set_title("its depth, metres", fontsize=8)
    shown = axes[3].imshow(depths[1], cmap="viridis", **span)
    axes[3].set_title("carried depth, metres", fontsize=8)
    axes[3].figure.colorbar(shown, ax=axes[3], shrink=0.8)
    shown = axes[4].imshow(error, cmap="magma", vmin=0, vmax=0.1)
    axes[4].set_title("relative error", fontsize=8)
    axes[4].figure.colorbar(shown, ax=axes[4], shrink=0.8)
    for axis in axes:
        axis.set_axis_off()
