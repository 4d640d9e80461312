"""A picture of a real scene: frames with true and predicted depth, and the path of the camera, true and predicted."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from igep.trainers.experiments.scene_reconstruction import ClipGeometry, chained_path


matplotlib.use("Agg", force=True)

SHOWN = 2  # frames of each part


def draw_scene(
    path: Path,
    clips: Mapping[str, ClipGeometry],
    frames: Mapping[str, Sequence[Image.Image]],
    clips_of_blocks: Sequence[int],
) -> None:
    """Saves the picture.

    The path is seen along the direction in which the cameras spread least. What is predicted begins at the true first
    camera of every trained block, and each clip where one before it ends, so that errors add up along a block.

    Args:
        path (`Path`): PNG to write; its folder is made when missing.
        clips (`Mapping[str, ClipGeometry]`): By part, the one that was trained on first.
        frames (`Mapping[str, Sequence[PIL.Image.Image]]`): Of each part, the first frames of the clips that `shown`
            names.
        clips_of_blocks (`Sequence[int]`): Number of clips of every trained block.
    """
    figure = Figure(figsize=(11.0, 1.7 * SHOWN * len(clips) + 0.4), layout="constrained")
    grid = figure.add_gridspec(SHOWN * len(clips), 4, width_ratios=[1, 1, 1, 2.2])
    every = np.concatenate([part.depth_metres.ravel() for part in clips.values()])
    near, far = np.percentile(every[every > 0], [1, 99])
    style = {"vmin": near, "vmax": far, "cmap": "viridis_r"}
    row = 0
    for name, part in clips.items():
        for number, frame in zip(shown(len(part.depth_metres)), frames[name], strict=True):
            true = np.ma.masked_equal(part.depth_metres[number, 0], 0)
            images = ((frame, {}), (true, style), (part.predicted_depth_metres[number, 0], style))
            for column, (image, options) in enumerate(images):
                panel = figure.add_subplot(grid[row, column])
                drawn = panel.imshow(image, interpolation="nearest", **options)
                if column:
                    panel.set_aspect(frame.size[1] / frame.size[0])
                panel.set(xticks=[], yticks=[])
                if row == 0:
                    panel.set_title(("RGB", "true depth", "predicted depth")[column], fontsize=9)
                if column == 0:
                    panel.set_ylabel(name, fontsize=9)
            row += 1
    figure.colorbar(drawn, ax=figure.axes, shrink=0.6, label="metres", pad=0.02)
    panel = figure.add_subplot(grid[:, 3])
    _draw_path(panel, next(iter(clips.values())), clips_of_blocks)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def shown(num_clips: int) -> list[int]:
    """Numbers of the clips of a part whose first frames are drawn."""
    return np.linspace(0, num_clips - 1, SHOWN + 2).round().astype(int)[1:-1].tolist()


def _draw_path(panel: Axes, trained: ClipGeometry, clips_of_blocks: Sequence[int]) -> None:
    """Draws the path of every trained block on the plane that fits the cameras best."""
    both = trained.first_from_camera, trained.predicted_first_from_camera
    paths, begin = [], 0
    for count in clips_of_blocks:
        here = slice(begin, begin + count)
        start = trained.world_from_first[begin]
        paths.append([chained_path(part[here], start)[:, :3, 3] for part in both])
        begin += count
    centres = np.concatenate([true for true, _ in paths])
    _, _, axes = np.linalg.svd(centres - centres.mean(0), full_matrices=False)
    for number, block in enumerate(paths):
        for (name, colour), path in zip((("true", "black"), ("predicted", "magenta")), block, strict=True):
            flat = (path - centres.mean(0)) @ axes[:2].T
            panel.plot(*flat.T, ".-", color=colour, linewidth=1, markersize=3, label=None if number else name)
    panel.set_aspect("equal", adjustable="datalim")
    panel.set_title("path of the camera, trained blocks (metres)", fontsize=9)
    panel.tick_params(labelsize=7)
    panel.legend(fontsize=8)
