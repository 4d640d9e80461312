"""Metric depth of pixels: delta_1 and AbsRel (DepthLM, VLM3) of text answers or depth maps, also at the best scale."""

import math
from collections.abc import Sequence

import datasets
import evaluate
import numpy as np

from igep.spatial_prompts import parse_depth


DELTA = 1.25
ALIGNMENTS = ("none", "median", "least_squares")
DESCRIPTION = "Scores metric depths that a model answered in text against true depths in metres."
CITATION = "Cai et al., DepthLM: Metric Depth from Vision Language Models, 2025 (arXiv 2509.25413)."
INPUTS = """
Args:
    predictions (`list[str]`): Answers, as the model wrote them.
    references (`list[float]`): True depths in metres.
    alignment (`str`, *optional*, defaults to `"none"`): `median` or `least_squares`: multiply all depths by one scale
        first, see `best_scale`: what is left is the error of the shape.

Returns:
    `delta_1`: share of all answers within a factor of 1.25 of the truth; an answer that does not parse is wrong.
    `abs_rel`: mean of |predicted - true| / true over the answers that parse.
    `unparsed`: share of the answers that do not.
    `count`: number of answers.
"""


def depth_scores(predicted_metres: Sequence[float | None], true_metres: Sequence[float]) -> dict[str, float]:
    """Scores depths that are already numbers.

    Args:
        predicted_metres (`Sequence[float | None]`): `None` = the answer did not parse.
        true_metres (`Sequence[float]`): Positive.

    Returns:
        `dict[str, float]`: `delta_1`, `abs_rel` (NaN if nothing parsed), `unparsed` and `count`.

    Raises:
        ValueError: Nothing to score, or a true depth that is not positive.
    """
    if not len(true_metres):
        raise ValueError("references is empty: there is nothing to score.")
    wrong = [metres for metres in true_metres if not 0 < metres < math.inf]
    if wrong:
        raise ValueError(f"references holds {wrong[0]}: true depths are positive numbers of metres.")
    pairs = [
        (predicted, true)
        for predicted, true in zip(predicted_metres, true_metres, strict=True)
        if predicted is not None and 0 < predicted < math.inf
    ]
    total = len(true_metres)
    within = sum(max(predicted / true, true / predicted) < DELTA for predicted, true in pairs)
    errors = [abs(predicted - true) / true for predicted, true in pairs]
    return {
        "delta_1": within / total,
        "abs_rel": math.fsum(errors) / len(errors) if errors else math.nan,
        "unparsed": 1 - len(pairs) / total,
        "count": total,
    }


def best_scale(predicted_metres: np.ndarray, true_metres: np.ndarray, alignment: str) -> float:
    """The scale that brings predicted depths closest to the true ones.

    Args:
        predicted_metres (`np.ndarray`): (N,) positive.
        true_metres (`np.ndarray`): (N,) positive.
        alignment (`str`): `none` = 1; `median` = the ratio of the medians; `least_squares` = weighted least squares
            with weights 1 / true^2, that is of the relative errors: `sum(p / t) / sum((p / t)^2)`.

    Returns:
        `float`

    Raises:
        ValueError: An unknown alignment, or nothing to align.
    """
    _check_alignment(alignment)
    if alignment == "none":
        return 1.0
    predicted, true = np.asarray(predicted_metres, dtype=np.float64), np.asarray(true_metres, dtype=np.float64)
    if not len(predicted):
        raise ValueError("there is no predicted depth to align.")
    if alignment == "median":
        return float(np.median(true) / np.median(predicted))
    ratio = predicted / true
    return float(ratio.sum() / np.square(ratio).sum())


def _check_alignment(alignment: str) -> None:
    if alignment not in ALIGNMENTS:
        raise ValueError(f"alignment={alignment!r} is unknown: use one of {', '.join(ALIGNMENTS)}.")


def aligned_depth_scores(
    predicted_metres: Sequence[float | None], true_metres: Sequence[float], alignment: str
) -> dict[str, float]:
    """Scores depths after one scale for all of them; as `depth_scores` in everything else.

    Args:
        predicted_metres (`Sequence[float | None]`): `None` = there is none.
        true_metres (`Sequence[float]`): Positive.
        alignment (`str`): See `best_scale`.

    Returns:
        `dict[str, float]`: See `depth_scores`.

    Raises:
        ValueError: As `depth_scores`, or an unknown alignment.
    """
    _check_alignment(alignment)
    usable = [
        (predicted, true)
        for predicted, true in zip(predicted_metres, true_metres, strict=True)
        if predicted is not None and 0 < predicted < math.inf and 0 < true < math.inf
    ]
    scale = best_scale(*np.array(usable).T, alignment) if usable else 1.0
    return depth_scores([None if one is None else one * scale for one in predicted_metres], true_metres)


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS)
class MetricDepth(evaluate.Metric):
    """`depth_scores` as a metric of the `evaluate` library."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(self, predictions: list[str], references: list[float], alignment: str = "none") -> dict[str, float]:
        return aligned_depth_scores([parse_depth(text) for text in predictions], references, alignment)
