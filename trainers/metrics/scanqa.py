"""Answers to questions about a scene, as on ScanQA: exact match, and captioning scores against all true answers."""

import re
from collections.abc import Mapping, Sequence

import datasets
import evaluate

from igep.trainers.metrics.answer_matching import (
    leo_clean_answer,
    leo_refined_match,
    normalise_answer,
    refined_match,
)
from igep.trainers.metrics.caption_scores import corpus_scores
from igep.trainers.metrics.meteor import check_meteor
from igep.trainers.metrics.meteor import meteor as meteor_score
from igep.trainers.metrics.penn_treebank_tokens import caption_tokens
from igep.trainers.metrics.sample_pairs import (
    NULLABLE_TEXT,
    check_protocol,
    pair_samples,
    predicted_text,
    true_answers_of,
)


PROTOCOLS = ("peer", "official", "leo", "standard")
PEER_ID = re.compile(r"(scanqa_.+)_\d+")  # of the processed file: the last number is that of an answer
DESCRIPTION = """Scores short answers of which several are true. Numbers of different protocols are not comparable.

`peer`: `llava/eval/eval_scanqa.py` of Video-3D LLM (commit 3ff70e8), which 3DRS and 3D-IDE share. Where it looks
wrong: exact match is case-sensitive and keeps a final point that the captioning scores take off; captions are neither
lower-cased nor tokenised; ROUGE-L counts double spaces as words; of two predictions for one sample exact match counts
both, the captioning scores the last.
`official`: `scripts/score.py` of ScanQA (ATR-DBI, commit 422dde5): exact match of raw text, Penn Treebank tokens. Its
accuracy of ten guesses and its F-value (WordNet lemmas) are left out: these models give one answer. Where it looks
wrong: exact match is case-sensitive.
`leo`: `llava/eval/scanqa_evaluator.py` of LLaVA-3D (commit 91d979d), from LEO; Chat-Scene alike: LEO's cleaning, then
Penn Treebank tokens. Where it looks wrong: see `answer_matching.py`; an empty answer is a refined match of everything
(a missing one, here, of nothing).
`standard`: exact and refined match of plainly normalised words (`normalise_answer`), where an empty answer matches
nothing; Penn Treebank tokens of the raw text, so that its captioning scores are those of `official` wherever no text
is empty.
"""
CITATION = "Azuma et al., ScanQA: 3D Question Answering for Spatial Scene Understanding, 2022 (arXiv 2112.10482)."
INPUTS = """
Args:
    predictions (`list[dict]`): Of each sample `sample_id` (`str`) and `answer`; `None` where there is none.
    references (`list[dict]`): `sample_id` and `answers`, at least one.
    protocol (`str`, *optional*, defaults to `"standard"`): `peer`, `official`, `leo` or `standard`.
    meteor (`bool`, *optional*, defaults to `False`): Also METEOR; needs pycocoevalcap and Java.

Returns:
    `exact_match` and, under `leo` and `standard`, `refined_exact_match`: per cent of the predictions.
    `cider`, `bleu_1` to `bleu_4`, `rouge_l`, and `meteor` if asked for: times 100, as papers print them.
    `missing`: samples without an answer, scored as empty text that matches nothing. `empty`: answers without a word.
    `duplicates`: predictions beyond a sample's first (an error in all protocols but `peer`). `count`: number of scored
    predictions.
"""


def scanqa_scores(
    predictions: Sequence[Mapping], references: Sequence[Mapping], protocol: str = "standard", meteor: bool = False
) -> dict[str, float]:
    """Scores answers of which several are true; see `INPUTS`.

    Args:
        predictions (`Sequence[Mapping]`): `sample_id` and `answer` of each.
        references (`Sequence[Mapping]`): `sample_id` and `answers` of each.
        protocol (`str`, *optional*, defaults to `"standard"`): `peer`, `official`, `leo` or `standard`.
        meteor (`bool`, *optional*, defaults to `False`): Also METEOR.

    Returns:
        `dict[str, float]`

    Raises:
        ValueError: An unknown protocol, nothing to score, sample ids that do not match, or a reference without
        answers.
        MeteorMissingError: METEOR is asked for and cannot be computed here.
    """
    check_protocol(protocol, PROTOCOLS)
    if meteor:
        check_meteor()
    peer = protocol == "peer"
    if peer:
        predictions, references = ([_with_peer_id(row) for row in rows] for rows in (predictions, references))
    pairs, counts = pair_samples(predictions, references, keep_duplicates=peer)
    answers = [predicted_text(pair, "answer") for pair in pairs]
    truths = [true_answers_of(pair) for pair in pairs]
    exact, refined = zip(
        *[_matches(answer, true, protocol) for answer, true in zip(answers, truths, strict=True)], strict=True
    )
    scores = {"exact_match": 100 * sum(exact) / len(pairs)}
    if protocol in ("leo", "standard"):
        scores["refined_exact_match"] = 100 * sum(refined) / len(pairs)
    texts = [_caption(answer or "", protocol, True) for answer in answers]
    true_texts = [[_caption(true, protocol, False) for true in item] for item in truths]
    # Of two predictions for one sample the last one is captioned.
    kept = list({pair.sample_id: index for index, pair in enumerate(pairs)}.values())
    captions = [texts[index] for index in kept], [true_texts[index] for index in kept]
    scores |= corpus_scores(*captions, single_spaces=protocol != "standard")
    if meteor:
        scores["meteor"] = meteor_score(*captions)
    return scores | {
        "missing": sum(answer is None for answer in answers),
        "empty": sum(answer is not None and not normalise_answer(answer) for answer in answers),
        "duplicates": counts["duplicates"],
        "count": len(pairs),
    }


def _with_peer_id(row: Mapping) -> dict:
    match = PEER_ID.fullmatch(str(row.get("sample_id")))
    return {**row, "sample_id": f"{match[1]}_0" if match else row.get("sample_id")}


def _matches(answer: str | None, true: list[str], protocol: str) -> tuple[bool, bool]:
    """Whether an answer is an exact match, and a refined one."""
    if answer is None:
        return False, False
    if protocol in ("peer", "official"):
        return answer in true, answer in true
    clean = leo_clean_answer if protocol == "leo" else normalise_answer
    answer, true = clean(answer), [clean(text) for text in true]
    if protocol == "leo":
        return answer in true, leo_refined_match(answer, true)
    return bool(answer) and answer in true, bool(answer) and refined_match(answer, true)


def _caption(text: str, protocol: str, predicted: bool) -> str:
    """An answer as the captioning scores of a protocol see it."""
    if protocol == "peer":
        return text.rstrip(".") if predicted else text
    return " ".join(caption_tokens(leo_clean_answer(text) if protocol == "leo" else text))


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS)
class ScanQA(evaluate.Metric):
    """`scanqa_scores` as a metric of the `evaluate` library."""

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
                        "answers": datasets.List(datasets.Value("string")),
                    },
                }
            ),
        )

    def _compute(
        self, predictions: list[dict], references: list[dict], protocol: str = "standard", meteor: bool = False
    ) -> dict[str, float]:
        return scanqa_scores(predictions, references, protocol, meteor)
