"""Any number of objects grounded by 3D boxes, as on Multi3DRefer: F1 at IoU .25 and .5, per question type."""

from collections.abc import Callable, Mapping, Sequence

import datasets
import evaluate
import numpy as np
from scipy.optimize import linear_sum_assignment

from igep.ground_head import CUMULATIVE_MASS, TEMPERATURE, select_proposals
from igep.trainers.geometry.oriented_boxes import box_ious, box_problem
from igep.trainers.metrics.grounding_accuracy import PROTOCOLS, ROUNDING, THRESHOLDS, peer_box_problem, peer_iou
from igep.trainers.metrics.sample_pairs import (
    SamplePair,
    check_protocol,
    pair_samples,
    per_cent_by_type,
    question_type_of,
)


DESCRIPTION = """Scores the set of boxes predicted for a description that fits no, one or several objects.

F1 of a sample is 2 TP / (predicted + true), 1 where nothing is predicted and nothing meant; means are over samples.
`protocol="peer"` is `llava/eval/eval_multi3drefer.py` of Video-3D LLM (commit 3ff70e8), which 3DRS and 3D-IDE share.
Where it looks wrong: boxes are matched once, by the largest total IoU, and the pairs are then held against both
thresholds, which can lose a true positive that another matching has; IoU is rounded to float32, so what misses .5 by
1e-8 on ScanRefer counts here; a box that is not finite stops it (here: a false positive, counted).
`protocol="standard"` computes exact IoU, of oriented boxes too, and matches for each threshold by itself, with the
most true positives.
"""
CITATION = "Zhang et al., Multi3DRefer: Grounding Text Description to Multiple 3D Objects, 2023 (arXiv 2309.05251)."
INPUTS = """
Args:
    predictions (`list[dict]`): Of each sample `sample_id` (`str`) and `boxes`: each `[x, y, z, w, h, l]` in metres
        (`standard` also takes nine numbers, with yaw, pitch and roll in degrees). `scores`: one similarity per box and
        last that of the zero target; then the boxes are proposals, of which `select_proposals` takes some.
        `scores=None` = the boxes are chosen already; `boxes=None` = no prediction.
    references (`list[dict]`): `sample_id`, `boxes` (may be empty) and `question_type` (`zt_wo_d`, `zt_w_d`: zero
        target without and with distractors; `st_wo_d`, `st_w_d`: single target; `mt`: multiple; or names of your own).
    protocol (`str`, *optional*, defaults to `"standard"`): `peer` or `standard`.
    temperature (`float`, *optional*, defaults to `0.07`): Of `select_proposals`.
    cumulative_mass (`float`, *optional*, defaults to `0.4`): Of `select_proposals`.

Returns:
    `f1_25`, `f1_50`: mean F1 over samples, per cent. `<question_type>_f1_25`, `<question_type>_f1_50`,
    `<question_type>_count`: of each type.
    `missing`: samples without a prediction, of F1 0 even where nothing is meant. `invalid`: predicted boxes that are
    none; each is a false positive. `invalid_scores`: samples whose scores are not finite or not one more than their
    boxes, of F1 0.
    `duplicates`: predictions beyond a sample's first (an error in `standard`; `peer` counts each). `count`: number of
    scored predictions.
"""


def peer_f1(ious: np.ndarray) -> dict[str, float]:
    """F1 of one sample with boxes on both sides, by one matching for all thresholds.

    Args:
        ious (`np.ndarray`): (predicted, true) IoU.

    Returns:
        `dict[str, float]`: By the names of `THRESHOLDS`.
    """
    # Square and in float32 like the evaluator's, so that ties fall alike.
    square = np.zeros((max(ious.shape), max(ious.shape)), dtype=np.float32)
    square[: ious.shape[0], : ious.shape[1]] = ious
    rows, columns = linear_sum_assignment(-square)
    matched = square[rows, columns][: ious.shape[0]]
    return {name: 2 * int((matched >= threshold).sum()) / sum(ious.shape) for name, threshold in THRESHOLDS.items()}


def standard_f1(ious: np.ndarray) -> dict[str, float]:
    """F1 of one sample with boxes on both sides, by the matching with the most true positives at each threshold.

    Args:
        ious (`np.ndarray`): (predicted, true) IoU.

    Returns:
        `dict[str, float]`: By the names of `THRESHOLDS`.
    """
    scores = {}
    for name, threshold in THRESHOLDS.items():
        hits = ious >= threshold - ROUNDING
        scores[name] = 2 * int(hits[linear_sum_assignment(hits, maximize=True)].sum()) / sum(ious.shape)
    return scores


def multi_grounding_scores(
    predictions: Sequence[Mapping],
    references: Sequence[Mapping],
    protocol: str = "standard",
    temperature: float = TEMPERATURE,
    cumulative_mass: float = CUMULATIVE_MASS,
) -> dict[str, float]:
    """Scores sets of boxes; see `INPUTS`.

    Args:
        predictions (`Sequence[Mapping]`): `sample_id`, `boxes` and perhaps `scores` of each.
        references (`Sequence[Mapping]`): `sample_id`, `boxes` and `question_type` of each.
        protocol (`str`, *optional*, defaults to `"standard"`): `peer` or `standard`.
        temperature (`float`, *optional*, defaults to `0.07`): Of `select_proposals`.
        cumulative_mass (`float`, *optional*, defaults to `0.4`): Of `select_proposals`.

    Returns:
        `dict[str, float]`

    Raises:
        ValueError: An unknown protocol, nothing to score, sample ids that do not match, a reference that is no list of
            boxes or has no type, or options out of range.
    """
    check_protocol(protocol, PROTOCOLS)
    peer = protocol == "peer"
    problem_of = peer_box_problem if peer else box_problem
    pairs, counts = pair_samples(predictions, references, keep_duplicates=peer)
    values: dict[str, list[float]] = {name: [] for name in THRESHOLDS}
    failures = {"missing": 0, "invalid": 0, "invalid_scores": 0}
    for pair in pairs:
        true = _true_boxes(pair, problem_of)
        boxes = pair.prediction["boxes"] if pair.prediction else None
        similarities = (pair.prediction or {}).get("scores") or None
        if boxes is None:
            failures["missing"] += 1
            f1 = dict.fromkeys(THRESHOLDS, 0.0)
        elif similarities and (len(similarities) != len(boxes) + 1 or not np.isfinite(_numbers(similarities)).all()):
            failures["invalid_scores"] += 1
            f1 = dict.fromkeys(THRESHOLDS, 0.0)
        else:
            if similarities:
                boxes = [boxes[index] for index in select_proposals(similarities, temperature, cumulative_mass)]
            problems = [problem_of(box or []) for box in boxes]
            failures["invalid"] += sum(problem is not None for problem in problems)
            f1 = _sample_f1(boxes, problems, true, peer)
        for name, value in f1.items():
            values[name].append(value)
    types = [question_type_of(pair) for pair in pairs]
    scores = per_cent_by_type({f"f1_{name}": values[name] for name in THRESHOLDS}, types)
    return scores | failures | {"duplicates": counts["duplicates"], "count": len(pairs)}


def _true_boxes(pair: SamplePair, problem_of: Callable[[Sequence[float]], str | None]) -> list:
    true = pair.reference["boxes"]
    if true is None:
        raise ValueError(f"references: sample {pair.sample_id!r} has no boxes: give [] where no object is meant.")
    for box in true:
        problem = problem_of(box or [])
        if problem:
            raise ValueError(f"references: the box {box} of sample {pair.sample_id!r} {problem}.")
    return true


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float32)


def _sample_f1(boxes: list, problems: list, true: list, peer: bool) -> dict[str, float]:
    if not boxes or not true:
        return dict.fromkeys(THRESHOLDS, float(len(boxes) == len(true)))
    # A box that is none stays in the matching, where it overlaps nothing.
    kept = [index for index, problem in enumerate(problems) if problem is None]
    ious = np.zeros((len(boxes), len(true)))
    if kept and peer:
        ious[kept] = [[peer_iou(boxes[index], other) for other in true] for index in kept]
    elif kept:
        ious[kept] = box_ious([boxes[index] for index in kept], true)
    return peer_f1(ious) if peer else standard_f1(ious)


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS)
class MultiGroundingF1(evaluate.Metric):
    """`multi_grounding_scores` as a metric of the `evaluate` library."""

    def _info(self) -> evaluate.MetricInfo:
        boxes = datasets.List(datasets.List(datasets.Value("float64")))
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {
                    "predictions": {
                        "sample_id": datasets.Value("string"),
                        "boxes": boxes,
                        "scores": datasets.List(datasets.Value("float64")),
                    },
                    "references": {
                        "sample_id": datasets.Value("string"),
                        "boxes": boxes,
                        "question_type": datasets.Value("string"),
                    },
                }
            ),
        )

    def _compute(
        self,
        predictions: list[dict],
        references: list[dict],
        protocol: str = "standard",
        temperature: float = TEMPERATURE,
        cumulative_mass: float = CUMULATIVE_MASS,
    ) -> dict[str, float]:
        return multi_grounding_scores(predictions, references, protocol, temperature, cumulative_mass)
