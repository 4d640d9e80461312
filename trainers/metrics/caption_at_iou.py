"""Captions of objects that had to be found, as on Scan2Cap: captioning scores, where a caption counts with its box."""

import math
from collections.abc import Mapping, Sequence

import datasets
import evaluate

from igep.trainers.metrics.caption_scores import corpus_scores
from igep.trainers.metrics.grounding_accuracy import ROUNDING, THRESHOLDS
from igep.trainers.metrics.meteor import check_meteor
from igep.trainers.metrics.meteor import meteor as meteor_score
from igep.trainers.metrics.penn_treebank_tokens import caption_tokens
from igep.trainers.metrics.sample_pairs import NULLABLE_TEXT, check_protocol, pair_samples, predicted_text


PROTOCOLS = ("peer", "standard")
DESCRIPTION = """Scores one caption per object, which counts as empty where its box overlaps the object's too little.

`protocol="peer"` is `llava/eval/eval_scan2cap.py` of Video-3D LLM (commit 3ff70e8), which 3DRS and 3D-IDE share. Where
it looks wrong: "sos" and "eos" stand around every caption and count as words, so an empty one still earns BLEU,
ROUGE-L and METEOR; points and commas are words; ROUGE-L counts double spaces as words; words are not tokenised
otherwise. Its companion `model_scan2cap.py` writes the references of the sample before to a sample without a box; that
is not imitated: each sample has its own.
`protocol="standard"` is the definition of Scan2Cap: a caption without its box earns nothing. Penn Treebank tokens,
nothing around them. In both, the objects whose box is not found stay in every mean, and the threshold itself is
enough.
"""
CITATION = "Chen et al., Scan2Cap: Context-aware Dense Captioning in RGB-D Scans, 2021 (arXiv 2012.02206)."
INPUTS = """
Args:
    predictions (`list[dict]`): Of each object `sample_id` (`str`), `caption` and `iou`, that of the box it was written
        for with the object's; 0 where there was no box. `iou=None` in `peer`: the caption counts as it stands, for the
        peers' files hold no overlap.
    references (`list[dict]`): `sample_id` and `captions`, at least one.
    protocol (`str`, *optional*, defaults to `"standard"`): `peer` or `standard`.
    meteor (`bool`, *optional*, defaults to `False`): Also METEOR; needs pycocoevalcap and Java.

Returns:
    `cider_25`, `bleu_1_25` to `bleu_4_25`, `rouge_l_25`, `meteor_25` if asked for, and the same at `_50`: times 100,
    as papers print them.
    `found_25`, `found_50`: per cent of the objects whose box is good enough, which bounds the rest.
    `missing`: objects without a caption, scored as empty. `invalid`: overlaps that are no number from 0 to 1 (`None`
    too in `standard`), taken for no box.
    `duplicates`: predictions beyond an object's first (an error in `standard`; in `peer` the last counts). `count`:
    number of objects.
"""


def caption_at_iou_scores(
    predictions: Sequence[Mapping], references: Sequence[Mapping], protocol: str = "standard", meteor: bool = False
) -> dict[str, float]:
    """Scores captions of objects; see `INPUTS`.

    Args:
        predictions (`Sequence[Mapping]`): `sample_id`, `caption` and `iou` of each.
        references (`Sequence[Mapping]`): `sample_id` and `captions` of each.
        protocol (`str`, *optional*, defaults to `"standard"`): `peer` or `standard`.
        meteor (`bool`, *optional*, defaults to `False`): Also METEOR.

    Returns:
        `dict[str, float]`

    Raises:
        ValueError: An unknown protocol, nothing to score, sample ids that do not match, or a reference without
        captions.
        MeteorMissingError: METEOR is asked for and cannot be computed here.
    """
    check_protocol(protocol, PROTOCOLS)
    if meteor:
        check_meteor()
    peer = protocol == "peer"
    pairs, counts = pair_samples(predictions, references, keep_duplicates=peer)
    pairs = list({pair.sample_id: pair for pair in pairs}.values())
    words = _peer_words if peer else lambda text: " ".join(caption_tokens(text))
    captions, ious, truths = [], [], []
    missing = invalid = 0
    for pair in pairs:
        caption = predicted_text(pair, "caption")
        iou = pair.prediction.get("iou") if pair.prediction else None
        missing += caption is None
        if iou is None and (peer or caption is None):
            iou = float(caption is not None)
        in_range = iou is not None and math.isfinite(iou) and 0 <= iou <= 1 + ROUNDING
        invalid += not in_range
        captions.append(caption or "")
        ious.append(iou if in_range else 0.0)
        true = pair.reference.get("captions")
        if not true or not all(isinstance(text, str) for text in true):
            raise ValueError(f"references: captions={true} of sample {pair.sample_id!r}: give one or more texts.")
        truths.append([words(text) for text in true])
    scores = {}
    for name, threshold in THRESHOLDS.items():
        found = [iou >= threshold - (0 if peer else ROUNDING) for iou in ious]
        earned = [words(caption if there else "") for caption, there in zip(captions, found, strict=True)]
        values = corpus_scores(earned, truths, single_spaces=peer)
        if meteor:
            values["meteor"] = meteor_score(earned, truths)
        scores |= {f"{score}_{name}": value for score, value in values.items()}
        scores[f"found_{name}"] = 100 * sum(found) / len(found)
    return scores | {
        "missing": missing,
        "invalid": invalid,
        "duplicates": counts["duplicates"],
        "count": len(pairs),
    }


def _peer_words(text: str) -> str:
    return "sos " + text.replace(".", " . ").replace(",", " , ").lower() + " eos"


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS)
class CaptionAtIoU(evaluate.Metric):
    """`caption_at_iou_scores` as a metric of the `evaluate` library."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {
                    "predictions": {
                        "sample_id": datasets.Value("string"),
                        "caption": NULLABLE_TEXT,
                        "iou": datasets.Value("float64"),
                    },
                    "references": {
                        "sample_id": datasets.Value("string"),
                        "captions": datasets.List(datasets.Value("string")),
                    },
                }
            ),
        )

    def _compute(
        self, predictions: list[dict], references: list[dict], protocol: str = "standard", meteor: bool = False
    ) -> dict[str, float]:
        return caption_at_iou_scores(predictions, references, protocol, meteor)
