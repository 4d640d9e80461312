"""One object grounded by a 3D box, as on ScanRefer: accuracy at IoU .25 and .5, for unique and multiple objects."""

from collections.abc import Mapping, Sequence

import datasets
import evaluate
import numpy as np

from igep.trainers.geometry.oriented_boxes import box_iou, box_problem
from igep.trainers.metrics.sample_pairs import check_protocol, pair_samples, per_cent_by_type, question_type_of


PROTOCOLS = ("peer", "standard")
THRESHOLDS = {"25": 0.25, "50": 0.5}
ROUNDING = 1e-9  # an IoU that is a threshold on paper counts, whatever its last digits became
DESCRIPTION = """Scores one predicted 3D box per description against the box of the object that is meant.

`protocol="peer"` is `llava/eval/eval_scanrefer.py` of Video-3D LLM (commit 3ff70e8), which 3DRS and 3D-IDE share, to
the digit. Where it looks wrong: it adds 1e-8 to the union, so an IoU of exactly .5 misses unless the boxes are tens of
metres wide; it takes a negative size for its absolute value; it says nothing of predictions that are missing or not
finite (here they are misses, and counted).
`protocol="standard"` computes the exact IoU, of oriented boxes too, counts an IoU that equals the threshold, and takes
a box with a negative size for none. "all" is the mean over samples in both.
"""
CITATION = (
    "Chen et al., ScanRefer: 3D Object Localization in RGB-D Scans using Natural Language, 2020 (arXiv 1912.08830)."
)
INPUTS = """
Args:
    predictions (`list[dict]`): Of each sample `sample_id` (`str`) and `box`: `[x, y, z, w, h, l]` in metres
        (`standard` also takes nine numbers, with yaw, pitch and roll in degrees); empty or `None` where none was
        predicted.
    references (`list[dict]`): `sample_id`, `box` and `question_type` (`unique` or `multiple`, or names of your own).
    protocol (`str`, *optional*, defaults to `"standard"`): `peer` or `standard`.

Returns:
    `accuracy_25`, `accuracy_50`: per cent of the samples with IoU of at least .25, .5. `<question_type>_accuracy_25`,
    `<question_type>_accuracy_50`, `<question_type>_count`: likewise for each type.
    `missing`: samples without a box, `invalid`: predicted boxes that are none (not finite, wrong length, in `standard`
    a negative size), `duplicates`: predictions beyond a sample's first (an error in `standard`; `peer` counts each).
    All but duplicates are misses.
    `count`: number of scored predictions.
"""


def peer_iou(first: Sequence[float], second: Sequence[float]) -> float:
    """IoU of axis-aligned boxes as Video-3D LLM's `box_utils.py` computes it.

    Args:
        first (`Sequence[float]`): Six numbers; negative sizes count as positive.
        second (`Sequence[float]`): Likewise.

    Returns:
        `float`: Shared volume over the union plus 1e-8.
    """
    ends = []
    for box in (first, second):
        centre, half = np.asarray(box[:3], dtype=np.float64), np.asarray(box[3:6], dtype=np.float64) / 2
        ends.append((np.minimum(half + centre, -half + centre), np.maximum(half + centre, -half + centre)))
    (low, high), (other_low, other_high) = ends
    shared = np.maximum(np.minimum(high, other_high) - np.maximum(low, other_low), 0)
    volumes = [side[0] * side[1] * side[2] for side in (high - low, other_high - other_low, shared)]
    return float(volumes[2] / (volumes[0] + volumes[1] - volumes[2] + 1e-8))


def peer_box_problem(box: Sequence[float]) -> str | None:
    """What keeps numbers from being a box for the peers: a count other than six, or one that is not finite.

    Args:
        box (`Sequence[float]`): The numbers; sizes may be negative.

    Returns:
        `str` or `None`: The problem in a few words; `None` for a box.
    """
    problem = box_problem([*box[:3], *(abs(size) if size is not None else size for size in box[3:6]), *box[6:]])
    return problem or (f"has {len(box)} numbers, not 6" if len(box) != 6 else None)


def grounding_scores(
    predictions: Sequence[Mapping], references: Sequence[Mapping], protocol: str = "standard"
) -> dict[str, float]:
    """Scores one box per sample; see `INPUTS`.

    Args:
        predictions (`Sequence[Mapping]`): `sample_id` and `box` of each.
        references (`Sequence[Mapping]`): `sample_id`, `box` and `question_type` of each.
        protocol (`str`, *optional*, defaults to `"standard"`): `peer` or `standard`.

    Returns:
        `dict[str, float]`

    Raises:
        ValueError: An unknown protocol, nothing to score, sample ids that do not match, or a reference without a box
        or type.
    """
    check_protocol(protocol, PROTOCOLS)
    peer = protocol == "peer"
    problem_of, iou_of = (peer_box_problem, peer_iou) if peer else (box_problem, box_iou)
    pairs, counts = pair_samples(predictions, references, keep_duplicates=peer)
    ious, invalid, missing = [], 0, 0
    for pair in pairs:
        true = pair.reference["box"]
        problem = "is missing" if not true else problem_of(true)
        if problem:
            raise ValueError(f"references: the box {true} of sample {pair.sample_id!r} {problem}.")
        box = pair.prediction and pair.prediction.get("box")
        if not box:
            missing += 1
        elif problem_of(box):
            invalid += 1
        ious.append(iou_of(true, box) if box and not problem_of(box) else 0.0)
    types = [question_type_of(pair) for pair in pairs]
    margin = 0 if peer else ROUNDING
    hits = {f"accuracy_{name}": [iou >= threshold - margin for iou in ious] for name, threshold in THRESHOLDS.items()}
    return per_cent_by_type(hits, types) | {
        "missing": missing,
        "invalid": invalid,
        "duplicates": counts["duplicates"],
        "count": len(pairs),
    }


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS)
class GroundingAccuracy(evaluate.Metric):
    """`grounding_scores` as a metric of the `evaluate` library."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {
                    "predictions": {
                        "sample_id": datasets.Value("string"),
                        "box": datasets.List(datasets.Value("float64")),
                    },
                    "references": {
                        "sample_id": datasets.Value("string"),
                        "box": datasets.List(datasets.Value("float64")),
                        "question_type": datasets.Value("string"),
                    },
                }
            ),
        )

    def _compute(
        self, predictions: list[dict], references: list[dict], protocol: str = "standard"
    ) -> dict[str, float]:
        return grounding_scores(predictions, references, protocol)
