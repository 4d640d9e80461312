"""VSI-Bench: choices by their letter, numbers by mean relative accuracy, and the macro mean of its eight tasks."""

import math
import re
import statistics
import unicodedata
from collections.abc import Mapping, Sequence

import datasets
import evaluate
import numpy as np

from igep.trainers.metrics.answer_matching import VALUES
from igep.trainers.metrics.sample_pairs import NULLABLE_TEXT, SamplePair, check_protocol, pair_samples, predicted_text


PROTOCOLS = ("peer", "lmms_eval", "standard")
DIRECTIONS = ("object_rel_direction_easy", "object_rel_direction_medium", "object_rel_direction_hard")
CHOICES = (*DIRECTIONS, "object_rel_distance", "route_planning", "obj_appearance_order")
NUMBERS = ("object_abs_distance", "object_counting", "object_size_estimation", "room_size_estimation")
CONFIDENCES = np.linspace(0.5, 0.95, 10)
ROUNDING = 1e-9  # a relative error that is a threshold on paper counts, whatever its last digits became
LMMS_EVAL_VALUES = {**VALUES, "hundred": 100, "thousand": 1000}
DESCRIPTION = """Scores VSI-Bench. A number's relative accuracy is the share of ten thresholds, 0.5, 0.45, ..., 0.05,
that its relative error does not exceed (the authors' code; their paper has "is below").

`peer`: the authors' `lmms_eval/tasks/vsibench/utils.py` (thinking-in-space, commit e6a72f3): the first word up to a
space, without final points. Where it looks wrong: "three", "2.5m", "about 3" are 0, as are "A)" and "The answer is A";
of the direction types, one without questions counts as 0.
`lmms_eval`: the file of that name in lmms-eval 0.7.3: the same letters, but the first number or number word anywhere.
Where it looks wrong: "1,200" is 1, ".5" is 5; without a direction type it stops (here: the mean of those there are).
`standard`: numbers as in lmms_eval with these two mended; a letter alone, in brackets, before a mark, or named as the
answer. The first parser costs a talkative model several points, so a score without its protocol says little.
"""
CITATION = (
    "Yang et al., Thinking in Space: How Multimodal Large Language Models See, Remember and Recall Spaces, 2025 "
    "(arXiv 2412.14171)."
)
INPUTS = """
Args:
    predictions (`list[dict]`): Of each question `sample_id` (`str`) and `answer`, as the model wrote it; `None` where
        there is none.
    references (`list[dict]`): `sample_id`, `question_type` (one of the benchmark's ten) and `ground_truth` (a letter,
        or a number as text).
    protocol (`str`, *optional*, defaults to `"standard"`): `peer`, `lmms_eval` or `standard`.

Returns:
    `<question_type>`: per cent; accuracy of the letters of `object_rel_distance`, `route_planning`,
    `obj_appearance_order` and the three direction types, mean relative accuracy of `object_abs_distance`,
    `object_counting`, `object_size_estimation`, `room_size_estimation`.
    `object_rel_direction`: mean of its three types. `overall`: mean over the tasks, of which the benchmark has eight.
    `tasks`: how many of them have questions.
    `<question_type>_count`, `object_rel_direction_count`: questions. `missing`: questions without an answer.
    `unparsed`: answers without a letter or number where one was asked for. Both are 0. `count`: number of questions.
"""


def peer_number(text: str) -> float | None:
    """Reads a number as the authors' evaluation does: Python's `float` of the first word; `None` if that is none."""
    try:
        return float(_first_word(text))
    except ValueError:
        return None


def lmms_eval_number(text: str) -> float | None:
    """Reads a number as lmms-eval 0.7.3 does: the first digits, or the first run of number words if that is earlier.

    Args:
        text (`str`): Answer.

    Returns:
        `float` or `None`: `None` without a number.
    """
    text = text.strip().lower()
    digits = re.search(r"-?\d+(?:\.\d+)?", text)
    words = list(re.finditer("[a-z]+", text))
    start = next((index for index, word in enumerate(words) if word.group() in LMMS_EVAL_VALUES), None)
    if digits and (start is None or digits.start() < words[start].start()):
        return float(digits.group())
    if start is None:
        return None
    total = current = 0
    for word in (match.group() for match in words[start:]):
        if word == "and":
            continue
        if word not in LMMS_EVAL_VALUES:
            break
        value = LMMS_EVAL_VALUES[word]
        if value == 1000:
            total, current = total + max(current, 1) * value, 0
        else:
            current = max(current, 1) * value if value == 100 else current + value
    return float(total + current)


def standard_number(text: str) -> float | None:
    """Reads the first number of an answer, in digits (1,200; .5; 2.5m) or in words (three hundred and twenty-one).

    Args:
        text (`str`): Answer.

    Returns:
        `float` or `None`: `None` without a number.
    """
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", unicodedata.normalize("NFKC", text))
    return lmms_eval_number(re.sub(r"(?<![\d.])\.(?=\d)", "0.", text))


def standard_letter(text: str) -> str | None:
    """Reads the letter of a choice: alone, in brackets, before a mark or more words, or after "answer" or "option".

    A first word "A" or "I" before more words is English, not a choice.

    Args:
        text (`str`): Answer.

    Returns:
        `str` or `None`: Upper case; `None` without a letter.
    """
    text = text.strip()
    found = re.match(r"[(\[*\"']*([A-Za-z])(?:[)\].:,;*\"']|\s*$|\n)", text) or re.match(r"([B-HJ-Z])\s", text)
    found = found or re.search(r"(?i:answer|option|choice)(?i:\s+is)?\s*:?\s*[(\[*\"']*([A-Za-z])(?![\w'])", text)
    return found[1].upper() if found else None


def mean_relative_accuracy(predicted: float, true: float, rounding: float = 0.0) -> float:
    """Share of the thresholds 1 - 0.5, ..., 1 - 0.95 that a relative error does not exceed.

    Args:
        predicted (`float`): Any number.
        true (`float`): Positive.
        rounding (`float`, *optional*, defaults to `0.0`): By how much it may.

    Returns:
        `float`: In [0, 1].
    """
    error = abs(predicted - true) / true
    return float((error <= 1 - CONFIDENCES + rounding).mean())


def vsi_bench_scores(
    predictions: Sequence[Mapping], references: Sequence[Mapping], protocol: str = "standard"
) -> dict[str, float]:
    """Scores VSI-Bench; see `INPUTS`.

    Args:
        predictions (`Sequence[Mapping]`): `sample_id` and `answer` of each.
        references (`Sequence[Mapping]`): `sample_id`, `question_type` and `ground_truth` of each.
        protocol (`str`, *optional*, defaults to `"standard"`): `peer`, `lmms_eval` or `standard`.

    Returns:
        `dict[str, float]`

    Raises:
        ValueError: An unknown protocol or question type, nothing to score, sample ids that do not match, or a true
            answer that is no letter or no positive number.
    """
    check_protocol(protocol, PROTOCOLS)
    pairs, _ = pair_samples(predictions, references)
    by_type: dict[str, list[float]] = {}
    missing = unparsed = 0
    for pair in pairs:
        question_type, true = _truth(pair)
        answer = predicted_text(pair, "answer")
        score = None if answer is None else _score(answer, true, protocol)
        missing += answer is None
        unparsed += answer is not None and score is None
        by_type.setdefault(question_type, []).append(score or 0.0)
    scores = {name: 100 * statistics.fmean(by_type[name]) for name in (*CHOICES, *NUMBERS) if name in by_type}
    tasks = {name: score for name, score in scores.items() if name not in DIRECTIONS}
    directions = [scores[name] for name in DIRECTIONS if name in scores]
    if protocol == "peer":
        tasks["object_rel_direction"] = sum(directions) / len(DIRECTIONS)
    elif directions:
        tasks["object_rel_direction"] = statistics.fmean(directions)
    sizes = {f"{name}_count": len(by_type[name]) for name in scores}
    sizes["object_rel_direction_count"] = sum(len(by_type.get(name, ())) for name in DIRECTIONS)
    return {
        **scores,
        **tasks,
        "overall": statistics.fmean(tasks.values()),
        "tasks": len(set(scores) - set(DIRECTIONS)) + bool(directions),
        **sizes,
        "missing": missing,
        "unparsed": unparsed,
        "count": len(pairs),
    }


def _truth(pair: SamplePair) -> tuple[str, str | float]:
    """A question's type and its true letter or number."""
    question_type, text = pair.reference.get("question_type"), pair.reference.get("ground_truth")
    if question_type in CHOICES and isinstance(text, str) and re.fullmatch("[A-Za-z]", text):
        return question_type, text.upper()
    number = peer_number(text) if question_type in NUMBERS and isinstance(text, str) else None
    if number is not None and 0 < number < math.inf:
        return question_type, number
    if question_type not in (*CHOICES, *NUMBERS):
        raise ValueError(
            f"references: question_type={question_type!r} of sample {pair.sample_id!r} is none of "
            f"{', '.join((*CHOICES, *NUMBERS))}."
        )
    kind = "a letter" if question_type in CHOICES else "a positive number"
    raise ValueError(f"references: ground_truth={text!r} of sample {pair.sample_id!r} must be {kind}, as text.")


def _score(answer: str, true: str | float, protocol: str) -> float | None:
    """Accuracy of an answer to one question; `None` if it holds no letter or number."""
    if isinstance(true, str):
        letter = standard_letter(answer) if protocol == "standard" else _first_word(answer).upper()
        return float(letter == true) if letter and len(letter) == 1 else None
    number = {"peer": peer_number, "lmms_eval": lmms_eval_number, "standard": standard_number}[protocol](answer)
    if number is None or not math.isfinite(number):
        return None
    return mean_relative_accuracy(number, true, ROUNDING if protocol == "standard" else 0.0)


def _first_word(text: str) -> str:
    return text.split(" ")[0].rstrip(".").strip()


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS)
class VSIBench(evaluate.Metric):
    """`vsi_bench_scores` as a metric of the `evaluate` library."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {
                    "predictions": {"sample_id": datasets.Value("string"), "answer": NULLABLE_TEXT},
                    "references": {
                        "sample_id": datasets.Value("string"),
                        "question_type": datasets.Value("string"),
                        "ground_truth": datasets.Value("string"),
                    },
                }
            ),
        )

    def _compute(
        self, predictions: list[dict], references: list[dict], protocol: str = "standard"
    ) -> dict[str, float]:
        return vsi_bench_scores(predictions, references, protocol)
