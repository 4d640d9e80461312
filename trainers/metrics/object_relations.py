"""Object-level questions in the style of SpatialRGPT-Bench: relations, choices, lengths and clock directions."""

import math
import statistics
from collections.abc import Callable, Sequence

import datasets
import evaluate

from igep.spatial_prompts import parse_choice, parse_clock, parse_length, parse_polarity


SUCCESS_RATIO = 0.25  # a length is right within a quarter of the truth
LENGTHS = {"polarity": 1, "choice": 4, "metres": 1, "clock": 1}
QUALITATIVE = ("polarity", "choice")
DESCRIPTION = "Scores object-level spatial answers against scenes' 3D boxes."
CITATION = "Cheng et al., SpatialRGPT: Grounded Spatial Reasoning in Vision-Language Models, 2024 (arXiv 2406.01584)."
INPUTS = """
Args:
    predictions (`list[str]`): Answers, as the model wrote them.
    references (`list[dict]`): Of each question `family` (its name), `kind` (`polarity`, `choice`, `metres` or `clock`)
        and `value` (list of numbers: 1 = holds or 0 = does not; the four numbers of the right box; metres; the hour).

Returns:
    `qualitative_accuracy`: share of polarity and choice answers that are right.
    `quantitative_success`: share of lengths within 25 % of the truth. `quantitative_abs_rel`: mean relative error over
    the lengths that parse.
    `clock_accuracy`: share of clock directions that are at most one hour off. `clock_error_hours`: mean over those
    that parse.
    `<family>`: share of the family's answers that are right, in the sense above.
    `unparsed`: share of all answers that do not parse; they are wrong. `count`: number of answers.
"""


def hours_apart(first: int, second: int) -> int:
    """Hours between two clock directions, 0 to 6."""
    apart = abs(first - second) % 12
    return min(apart, 12 - apart)


def parse_object_answer(kind: str, text: str) -> list[float] | None:
    """Reads an answer as a list of numbers like its reference; `None` if it does not parse."""
    parsers: dict[str, Callable] = {
        "polarity": parse_polarity,
        "choice": parse_choice,
        "metres": parse_length,
        "clock": parse_clock,
    }
    found = parsers[kind](text)
    return None if found is None else [float(value) for value in (found if isinstance(found, tuple) else (found,))]


def object_scores(predictions: Sequence[str], references: Sequence[dict]) -> dict[str, float]:
    """Scores answers about objects; see `INPUTS`.

    Args:
        predictions (`Sequence[str]`): Answers.
        references (`Sequence[dict]`): `family`, `kind` and `value` of each.

    Returns:
        `dict[str, float]`

    Raises:
        ValueError: Nothing to score, or a reference of an unknown kind or with numbers that cannot be.
    """
    if not len(references):
        raise ValueError("references is empty: there is nothing to score.")
    right: dict[str, list[bool]] = {}
    relative, hours = [], []
    unparsed = 0
    for text, reference in zip(predictions, references, strict=True):
        kind, true = reference["kind"], reference["value"]
        if kind not in LENGTHS:
            raise ValueError(f"references: kind={kind!r} is unknown: use one of {', '.join(LENGTHS)}.")
        if len(true) != LENGTHS[kind] or not all(math.isfinite(number) for number in true):
            raise ValueError(f"references: {kind} is {true}, it must be {LENGTHS[kind]} finite numbers.")
        if kind == "metres" and true[0] <= 0:
            raise ValueError(f"references: a length of {true[0]} metres has no relative error: it must be positive.")
        predicted = parse_object_answer(kind, text)
        unparsed += predicted is None
        is_right = predicted == list(true)
        if kind == "metres":
            is_right = predicted is not None and abs(predicted[0] - true[0]) <= SUCCESS_RATIO * true[0]
            relative += [] if predicted is None else [abs(predicted[0] - true[0]) / true[0]]
        elif kind == "clock":
            hours += [] if predicted is None else [hours_apart(int(predicted[0]), int(true[0]))]
            is_right = predicted is not None and hours[-1] <= 1
        group = "qualitative_accuracy" if kind in QUALITATIVE else f"{kind} right"
        for name in (group, reference["family"]):
            right.setdefault(name, []).append(is_right)
    named = {"metres right": "quantitative_success", "clock right": "clock_accuracy"}
    scores = {named.get(name, name): statistics.fmean(values) for name, values in sorted(right.items())}
    if relative:
        scores["quantitative_abs_rel"] = statistics.fmean(relative)
    if hours:
        scores["clock_error_hours"] = statistics.fmean(hours)
    return scores | {"unparsed": unparsed / len(references), "count": len(references)}


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS)
class ObjectRelations(evaluate.Metric):
    """`object_scores` as a metric of the `evaluate` library."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.Value("string"),
                    "references": {
                        "family": datasets.Value("string"),
                        "kind": datasets.Value("string"),
                        "value": datasets.List(datasets.Value("float64")),
                    },
                }
            ),
        )

    def _compute(self, predictions: list[str], references: list[dict]) -> dict[str, float]:
        return object_scores(predictions, references)
