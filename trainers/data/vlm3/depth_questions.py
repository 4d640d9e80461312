"""How far is this pixel: metric depth questions about a view."""

import numpy as np

from igep.spatial_prompts import depth_answer, depth_question
from igep.text_pixels import text_from_pixels
from igep.trainers.data.vlm3.scene_views import depth_rays, surface_pixels
from igep.trainers.data.vlm3.spatial_question import PosedView, WrittenQuestion, distinct_questions
from igep.trainers.data.vlm3.vlm3_options import VLM3Options


def ask_about_depth(view: PosedView, options: VLM3Options, rng: np.random.Generator) -> list[WrittenQuestion]:
    """Asks about pixels drawn evenly from a view's surfaces.

    Args:
        view (`PosedView`): The view.
        options (`VLM3Options`): Number of questions, range, distance and text pixels.
        rng (`np.random.Generator`): Draws the pixels.

    Returns:
        `list[WrittenQuestion]`: At most `questions_per_image`; none if the view has no depth that can be asked about.
    """
    if view.depth_metres is None:
        return []
    rows, columns = np.nonzero(surface_pixels(view, options))
    if not len(rows):
        return []
    drawn = rng.choice(len(rows), size=min(options.questions_per_image, len(rows)), replace=False)
    places, rays = depth_rays(view)
    chosen = rows[drawn], columns[drawn]
    metres = view.depth_metres[chosen].astype(np.float64)
    if options.distance_kind == "euclidean":
        metres = metres * np.linalg.norm(rays[chosen], axis=-1)
    return distinct_questions(questions_at(view.written_pixels(places[chosen]), metres, view.size, options.steps))


def questions_at(pixels: np.ndarray, metres: np.ndarray, size: tuple[int, int], steps: int) -> list[WrittenQuestion]:
    """Writes a question for each of some pixels of known depth.

    Args:
        pixels (`np.ndarray`): (K, 2) in pixels of the image.
        metres (`np.ndarray`): (K,) positive.
        size (`tuple[int, int]`): Height and width of the image.
        steps (`int`): N of the text pixels.

    Returns:
        `list[WrittenQuestion]`: Of type `metric_depth`, the reference in metres.
    """
    return [
        WrittenQuestion(depth_question(tuple(text), steps), depth_answer(value), "metric_depth", value)
        for text, value in zip(text_from_pixels(pixels, size, steps).tolist(), metres.tolist(), strict=True)
    ]
