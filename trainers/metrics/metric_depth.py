"""Metric depth of pixels, answered in text: delta_1 and AbsRel as in DepthLM and VLM3."""

import math
from collections.abc import Sequence

import datasets
import evaluate

from igep.spatial_prompts import parse_depth


DELTA = 1.25
DESCRIPTION = "Scores metric depths that a model answered in text against true depths in metres."
CITATION = "Cai et al., DepthLM: Metric Depth from Vision Language Models, 2025 (arXiv 2509.25413)."
INPUTS = """
Args:
    predictions (`list[str]`): Answers, as the model wrote them.
    references (`list[float]`): True depths in metres.

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

    def _compute(self, predictions: list[str], references: list[float]) -> dict[str, float]:
        return depth_scores([parse_depth(text) for text in predictions], references)
