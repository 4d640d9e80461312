"""Where is this pixel in the other image: correspondence questions about two views."""

import numpy as np

from igep.spatial_prompts import correspondence_answer, correspondence_question
from igep.text_pixels import text_from_pixels
from igep.trainers.data.vlm3.covisibility import carry_pixels
from igep.trainers.data.vlm3.scene_views import depth_rays, surface_pixels
from igep.trainers.data.vlm3.spatial_question import PosedView, WrittenQuestion, distinct_questions
from igep.trainers.data.vlm3.vlm3_options import VLM3Options


CANDIDATES_PER_QUESTION = 16  # pixels carried over for one question: enough where a sixteenth is seen


def ask_about_correspondence(
    first: PosedView, second: PosedView, options: VLM3Options, rng: np.random.Generator
) -> list[WrittenQuestion]:
    """Asks about pixels drawn evenly from the surface of the first view that the second sees.

    Args:
        first (`PosedView`): View with depth, intrinsics and pose.
        second (`PosedView`): Likewise.
        options (`VLM3Options`): Number of questions, range, reasoning and text pixels.
        rng (`np.random.Generator`): Draws the pixels.

    Returns:
        `list[WrittenQuestion]`: At most `questions_per_image`, of type `pixel_correspondence`. The reference is the
        place in the second image in text steps, not rounded.
    """
    rows, columns = np.nonzero(surface_pixels(first, options))
    if not len(rows):
        return []
    number = min(CANDIDATES_PER_QUESTION * options.questions_per_image, len(rows))
    drawn = rng.choice(len(rows), size=number, replace=False)
    rows, columns = rows[drawn], columns[drawn]
    carried = carry_pixels(first, second, rows, columns)
    # The landing pixel must lie on a surface too: at an edge, half a pixel decides what is hit.
    height, width = second.depth_metres.shape
    landing = np.where(carried.seen[:, None], carried.pixels, 0)
    target_rows = (landing[:, 1] * height / second.frame.height).astype(int)
    target_columns = (landing[:, 0] * width / second.frame.width).astype(int)
    kept = carried.seen & surface_pixels(second, options)[target_rows, target_columns]
    kept = np.flatnonzero(kept)[: options.questions_per_image]
    places, _ = depth_rays(first)
    steps = options.steps
    asked_pixels = first.written_pixels(places[rows[kept], columns[kept]])
    answered_pixels = second.written_pixels(carried.pixels[kept])
    asked = text_from_pixels(asked_pixels, first.size, steps).tolist()
    answered = text_from_pixels(answered_pixels, second.size, steps).tolist()
    exact = np.clip((answered_pixels - 0.5) * steps / np.array(second.frame.size), 0, None).tolist()
    written = [
        WrittenQuestion(
            correspondence_question(tuple(start), options.think),
            correspondence_answer(tuple(end), tuple(start) if options.think else None),
            "pixel_correspondence",
            reference,
        )
        for start, end, reference in zip(asked, answered, exact, strict=True)
    ]
    return distinct_questions(written)
