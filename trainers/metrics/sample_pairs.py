"""A benchmark's predictions beside its references, matched by sample id; what is missing or double is counted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import datasets


NULLABLE_TEXT = datasets.Value("large_string")  # `evaluate` takes no None in the first row of a "string"
SHOWN = 5  # ids that a message names


@dataclass(frozen=True)
class SamplePair:
    """A sample's reference and what was predicted for it.

    Args:
        sample_id (`str`): Its id.
        prediction (`Mapping` or `None`): The prediction's row; `None` if there is none.
        reference (`Mapping`): The reference's row.
    """

    sample_id: str
    prediction: Mapping | None
    reference: Mapping


def pair_samples(
    predictions: Sequence[Mapping], references: Sequence[Mapping], keep_duplicates: bool = False
) -> tuple[list[SamplePair], dict[str, int]]:
    """Matches predictions with references by `sample_id`, in any order.

    Args:
        predictions (`Sequence[Mapping]`): Rows with a `sample_id`.
        references (`Sequence[Mapping]`): Rows with a `sample_id`.
        keep_duplicates (`bool`, *optional*, defaults to `False`): Several predictions for one sample become several
            pairs, as in evaluators that count records. Otherwise they are an error.

    Returns:
        `tuple[list[SamplePair], dict[str, int]]`: The pairs in the order of the references, those of one sample in the
        order of its predictions; and `missing`, the samples without a prediction, and `duplicates`, the predictions
        beyond a sample's first.

    Raises:
        ValueError: Nothing to score, a row without an id, a prediction for an unknown sample, duplicates that are not
            kept, or two references that disagree about one sample.
    """
    if not len(references):
        raise ValueError("references is empty: there is nothing to score.")
    known: dict[str, Mapping] = {}
    for reference in references:
        sample_id = _sample_id(reference, "references")
        if sample_id in known and (not keep_duplicates or reference != known[sample_id]):
            raise ValueError(f"references holds the sample {sample_id!r} more than once: give each sample one row.")
        known[sample_id] = reference
    predicted: dict[str, list[Mapping]] = {sample_id: [] for sample_id in known}
    unknown = Counter()
    for prediction in predictions:
        sample_id = _sample_id(prediction, "predictions")
        if sample_id in predicted:
            predicted[sample_id].append(prediction)
        else:
            unknown[sample_id] += 1
    if unknown:
        raise ValueError(
            f"predictions holds {len(unknown)} sample ids that references does not, {_some(unknown)}: "
            "score the split that was predicted."
        )
    double = [sample_id for sample_id, rows in predicted.items() if len(rows) > 1]
    if double and not keep_duplicates:
        raise ValueError(
            f"predictions holds {len(double)} sample ids more than once, {_some(double)}: keep one row of each."
        )
    pairs = [
        SamplePair(sample_id, row, known[sample_id]) for sample_id, rows in predicted.items() for row in rows or [None]
    ]
    counts = {
        "missing": sum(not rows for rows in predicted.values()),
        "duplicates": sum(len(rows) - 1 for rows in predicted.values() if rows),
    }
    return pairs, counts


def mean_by_type(values: Sequence[float], question_types: Sequence[str]) -> dict[str, float]:
    """Averages scores over all samples and over each question type.

    Args:
        values (`Sequence[float]`): A score per sample.
        question_types (`Sequence[str]`): Its type.

    Returns:
        `dict[str, float]`: `all`, then every type that occurs, sorted by name.
    """
    groups: dict[str, list[float]] = {"all": list(values)}
    for question_type in sorted(set(question_types)):
        groups[question_type] = [
            value for value, kind in zip(values, question_types, strict=True) if kind == question_type
        ]
    return {name: sum(group) / len(group) for name, group in groups.items()}


def per_cent_by_type(scores: Mapping[str, Sequence[float]], question_types: Sequence[str]) -> dict[str, float]:
    """Several scores, each over all samples and over each question type, and how many samples are of each type.

    Args:
        scores (`Mapping[str, Sequence[float]]`): By its name, a score in [0, 1] of each sample.
        question_types (`Sequence[str]`): Its type.

    Returns:
        `dict[str, float]`: `<name>` and `<question_type>_<name>` in per cent, then `<question_type>_count`.
    """
    found = {}
    for name, values in scores.items():
        for question_type, share in mean_by_type(values, question_types).items():
            found[f"{'' if question_type == 'all' else question_type + '_'}{name}"] = 100 * share
    return found | {f"{kind}_count": question_types.count(kind) for kind in sorted(set(question_types))}


def question_type_of(pair: SamplePair) -> str:
    """The type that a sample's reference names.

    Args:
        pair (`SamplePair`): The sample.

    Returns:
        `str`

    Raises:
        ValueError: No type, or `all`, the name of the mean over every type.
    """
    question_type = pair.reference.get("question_type")
    if not isinstance(question_type, str) or question_type in ("", "all"):
        raise ValueError(
            f"references: question_type={question_type!r} of sample {pair.sample_id!r} must be a name, and not 'all'."
        )
    return question_type


def true_answers_of(pair: SamplePair) -> list[str]:
    """The true answers of a sample.

    Args:
        pair (`SamplePair`): The sample.

    Returns:
        `list[str]`

    Raises:
        ValueError: There are none, or one is no text.
    """
    answers = pair.reference.get("answers")
    if not answers or not all(isinstance(answer, str) for answer in answers):
        raise ValueError(f"references: answers={answers} of sample {pair.sample_id!r}: give one or more texts.")
    return answers


def predicted_text(pair: SamplePair, field: str) -> str | None:
    """The text that was predicted for a sample.

    Args:
        pair (`SamplePair`): The sample.
        field (`str`): Where the prediction's row holds it.

    Returns:
        `str` or `None`: `None` where nothing was predicted.

    Raises:
        ValueError: The field holds something that is no text.
    """
    text = pair.prediction.get(field) if pair.prediction else None
    if text is not None and not isinstance(text, str):
        raise ValueError(
            f"predictions: {field}={text!r} of sample {pair.sample_id!r} must be text, or None where there is none."
        )
    return text


def check_protocol(protocol: str, protocols: Sequence[str]) -> None:
    """Raises:
    ValueError: `protocol` is none of `protocols`; the message names those.
    """
    if protocol not in protocols:
        raise ValueError(f"protocol={protocol!r} is unknown: use one of {', '.join(protocols)}.")


def _sample_id(row: Mapping, side: str) -> str:
    sample_id = row.get("sample_id")
    if sample_id is None or sample_id == "":
        raise ValueError(f"{side} holds a row without a sample_id: {dict(row)}.")
    return str(sample_id)


def _some(sample_ids: Sequence[str]) -> str:
    shown = sorted(sample_ids)[:SHOWN]
    return ", ".join(map(repr, shown)) + (", ..." if len(sample_ids) > len(shown) else "")
