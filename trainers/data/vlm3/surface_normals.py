"""How the surfaces that a view measured are turned, from its depth map."""

import numpy as np

from igep.trainers.data.vlm3.scene_views import depth_rays, surface_inverse_depth
from igep.trainers.data.vlm3.spatial_question import PosedView


REACH = 2  # samples to each side of a pixel that a plane is fitted to: 25 in all
SAMPLES_PER_WIDTH = 160  # so that the fit spans a fortieth of the width: between neighbours depth is mostly noise
SAME_SURFACE = 0.1  # share of a pixel's inverse depth by which samples of its surface may differ from it


def away_normals(view: PosedView, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Normals of the surface at some pixels, pointing away from the camera.

    The inverse depth of a plane `n P = 1` is `n (x, y, 1)` along the rays of z = 1, so its normal is what a line
    through the samples around a pixel gives.

    Args:
        view (`PosedView`): View with depth and intrinsics.
        rows (`np.ndarray`): (K,) rows of its depth map.
        columns (`np.ndarray`): (K,) its columns.

    Returns:
        `np.ndarray`: (K, 3) float64 unit vectors in the camera's axes; NaN where the samples of the surface lie on no
        plane but on a line, or are missing.
    """
    height, width = view.depth_metres.shape
    inverse, known = surface_inverse_depth(view.depth_metres)
    _, rays = depth_rays(view)
    apart = max(1, round(width / SAMPLES_PER_WIDTH))
    steps = np.arange(-REACH, REACH + 1) * apart
    near_rows = rows[:, None, None] + steps[:, None]
    near_columns = columns[:, None, None] + steps
    inside = (near_rows >= 0) & (near_rows < height) & (near_columns >= 0) & (near_columns < width)
    cells = near_rows.clip(0, height - 1), near_columns.clip(0, width - 1)
    values = inverse[cells]
    centre = inverse[rows, columns][:, None, None]
    weight = (inside & known[cells] & (np.abs(values - centre) <= SAME_SURFACE * centre)).astype(np.float64)
    places = rays[cells]

    def mean(value: np.ndarray) -> np.ndarray:
        return (weight * value).sum((1, 2)) / np.maximum(weight.sum((1, 2)), 1)

    # A least-squares plane over what lies around its own mean: (K,) moments of x, y and the inverse depth.
    mean_x, mean_y, mean_value = mean(places[..., 0]), mean(places[..., 1]), mean(values)
    x, y, value = (
        all_of - around[:, None, None]
        for all_of, around in ((places[..., 0], mean_x), (places[..., 1], mean_y), (values, mean_value))
    )
    xx, yy, xy, xv, yv = mean(x * x), mean(y * y), mean(x * y), mean(x * value), mean(y * value)
    spread = xx * yy - xy * xy
    flat = spread <= 1e-6 * (xx + yy) ** 2
    spread = np.where(flat, np.nan, spread)
    slope_x, slope_y = (xv * yy - yv * xy) / spread, (yv * xx - xv * xy) / spread
    normals = np.stack([slope_x, slope_y, mean_value - slope_x * mean_x - slope_y * mean_y], -1)
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)
