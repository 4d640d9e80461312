"""One picture per model: what it saw, the depth that was there, and the depth that training put into its encoder."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure


matplotlib.use("Agg", force=True)


def draw_geometry(
    path: Path,
    *,
    frames: np.ndarray,
    depth_metres: np.ndarray,
    verifier_depth_metres: np.ndarray,
    confidence: np.ndarray,
    probe_depth_metres: np.ndarray,
) -> None:
    """Saves frames, ground truth, verifier depth, confidence `S` and linear-probe depth as a grid of panels.

    Args:
        path (`Path`): PNG to write; its folder is made when missing.
        frames (`np.ndarray`): (N, H, W, 3) uint8, one row of the picture per frame.
        depth_metres (`np.ndarray`): (N, H, W) ground truth; 0 = unknown, left blank.
        verifier_depth_metres (`np.ndarray`): (N, h, w) depth of the training-only verifier.
        confidence (`np.ndarray`): (N, h, w) the verifier's `S`.
        probe_depth_metres (`np.ndarray`): (N, h', w') depth read linearly from the saved model's encoder tokens.
    """
    known = np.where(depth_metres > 0, depth_metres, np.nan)
    near, far = np.nanpercentile(known, [1, 99])
    depth_style = {"vmin": near, "vmax": far, "cmap": "viridis_r"}
    columns = (
        ("RGB, all the model sees", frames, {}),
        ("true depth", known, depth_style),
        ("depth verifier (training only)", verifier_depth_metres, depth_style),
        ("its confidence S", confidence, {"cmap": "magma"}),
        ("depth probed from the saved encoder", probe_depth_metres, depth_style),
    )
    figure = Figure(figsize=(2.5 * len(columns), 2.45 * len(frames) + 0.5), layout="constrained")
    panels = figure.subplots(len(frames), len(columns), squeeze=False)
    for column, (title, images, style) in enumerate(columns):
        panels[0, column].set_title(title, fontsize=9)
        for row, image in enumerate(images):
            drawn = panels[row, column].imshow(image, interpolation="nearest", **style)
            panels[row, column].set_axis_off()
        if column in (3, 4):
            label = "metres" if column == 4 else "S"
            figure.colorbar(drawn, ax=panels[:, column], shrink=0.7, label=label, pad=0.02)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
