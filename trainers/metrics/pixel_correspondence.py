"""Pixel correspondence answered in text: end-point error and PCK in normalised image coordinates."""

import math
import statistics
from collections.abc import Sequence

import datasets
import evaluate

from igep.spatial_prompts import parse_correspondence


PCK_PERCENT = (1, 5, 10)
DESCRIPTION = "Scores pixels that a model named in text against the true corresponding pixels."
CITATION = "Cai et al., VLM3: Vision Language Models Are Native 3D Learners, 2026 (arXiv 2605.30561)."
INPUTS = """
Args:
    predictions (`list[str]`): Answers, as the model wrote them.
    references (`list[list[float]]`): True x and y in text steps.
    steps (`int`, *optional*, defaults to `1000`): N of the text pixels.

Returns:
    `end_point_error_mean`, `end_point_error_median`: distance in text steps over the answers that parse.
    `pck_1`, `pck_5`, `pck_10`: share of all answers within so many per cent of N; an answer that does not parse is
    wrong.
    `unparsed`: share of the answers that do not parse.
    `count`: number of answers.
"""


def correspondence_scores(
    predicted: Sequence[tuple[float, float] | None], true: Sequence[Sequence[float]], steps: int = 1000
) -> dict[str, float]:
    """Scores places that are already numbers.

    Args:
        predicted (`Sequence[tuple[float, float] | None]`): x and y in text steps, `None` = the answer did not parse.
        true (`Sequence[Sequence[float]]`): x and y in text steps.
        steps (`int`, *optional*, defaults to `1000`): N of the text pixels.

    Returns:
        `dict[str, float]`: See `INPUTS`; errors are NaN if nothing parsed.

    Raises:
        ValueError: Nothing to score, or a true place that is no pair of finite numbers.
    """
    if not len(true):
        raise ValueError("references is empty: there is nothing to score.")
    for place in true:
        if len(place) != 2 or not all(math.isfinite(value) for value in place):
            raise ValueError(f"references holds {list(place)}: a place is two finite numbers, x and y.")
    errors = [math.dist(place, answer) for answer, place in zip(predicted, true, strict=True) if answer is not None]
    total = len(true)
    scores = {
        "end_point_error_mean": statistics.fmean(errors) if errors else math.nan,
        "end_point_error_median": statistics.median(errors) if errors else math.nan,
    }
    for percent in PCK_PERCENT:
        scores[f"pck_{percent}"] = sum(error <= steps * percent / 100 for error in errors) / total
    return scores | {"unparsed": 1 - len(errors) / total, "count": total}


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS)
class PixelCorrespondence(evaluate.Metric):
    """`correspondence_scores` as a metric of the `evaluate` library."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.List(datasets.Value("float64"))}
            ),
        )

    def _compute(self, predictions: list[str], references: list[list[float]], steps: int = 1000) -> dict[str, float]:
        return correspondence_scores([parse_correspondence(text, steps) for text in predictions], references, steps)
