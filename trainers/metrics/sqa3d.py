"""Answers to questions asked from a situation in a scene, as on SQA3D: exact match, overall and per question type."""

from collections.abc import Mapping, Sequence

import datasets
import evaluate

from igep.trainers.metrics.answer_matching import (
    leo_clean_answer,
    leo_refined_match,
    normalise_answer,
    refined_match,
)
from igep.trainers.metrics.sample_pairs import (
    NULLABLE_TEXT,
    check_protocol,
    pair_samples,
    per_cent_by_type,
    predicted_text,
    question_type_of,
    true_answers_of,
)


PROTOCOLS = ("peer", "leo", "standard")
DESCRIPTION = """Scores short answers by exact match. The benchmark is the test split, with one true answer each.

`peer`: `llava/eval/eval_sqa3d.py` of Video-3D LLM (commit 3ff70e8), which 3DRS and 3D-IDE share: equality after LEO's
cleaning. Where it looks wrong: see `leo_clean_answer` in `answer_matching.py` ("yes ." is wrong where "yes" is meant,
"TV2" where "TV" is). The question types in their files come from the first letters of the question, so that
"Isolated ..." would be an `is` (no question of the test split is concerned).
`leo`: `llava/eval/sqa3d_evaluator.py` of LLaVA-3D (commit 91d979d), from LEO: the same, and refined match. Where it
looks wrong: an empty answer is a refined match of everything (a missing one, here, of nothing); it adds 1e-10 to the
size of each type (not imitated).
`standard`: exact and refined match of plainly normalised words (`normalise_answer`); an empty answer matches nothing
but an empty one. "all" is the mean over samples in every protocol.
"""
CITATION = "Ma et al., SQA3D: Situated Question Answering in 3D Scenes, 2023 (arXiv 2210.07474)."
INPUTS = """
Args:
    predictions (`list[dict]`): Of each sample `sample_id` (`str`) and `answer`; `None` where there is none.
    references (`list[dict]`): `sample_id`, `answers` (at least one) and `question_type` (`what`, `is`, `how`, `can`,
        `which`, `others`, or names of your own).
    protocol (`str`, *optional*, defaults to `"standard"`): `peer`, `leo` or `standard`.

Returns:
    `exact_match` and, under `leo` and `standard`, `refined_exact_match`: per cent of the predictions.
    `<question_type>_exact_match`, `<question_type>_refined_exact_match`, `<question_type>_count`: likewise for each.
    `missing`: samples without an answer, which are wrong. `empty`: answers without a word.
    `duplicates`: predictions beyond a sample's first (`peer` counts each; an error otherwise). `count`: number of
    scored predictions.
"""


def sqa3d_scores(
    predictions: Sequence[Mapping], references: Sequence[Mapping], protocol: str = "standard"
) -> dict[str, float]:
    """Scores answers per question type; see `INPUTS`.

    Args:
        predictions (`Sequence[Mapping]`): `sample_id` and `answer` of each.
        references (`Sequence[Mapping]`): `sample_id`, `answers` and `question_type` of each.
        protocol (`str`, *optional*, defaults to `"standard"`): `peer`, `leo` or `standard`.

    Returns:
        `dict[str, float]`

    Raises:
        ValueError: An unknown protocol, nothing to score, sample ids that do not match, or a reference without an
        answer or type.
    """
    check_protocol(protocol, PROTOCOLS)
    pairs, counts = pair_samples(predictions, references, keep_duplicates=protocol == "peer")
    answers = [predicted_text(pair, "answer") for pair in pairs]
    types = [question_type_of(pair) for pair in pairs]
    clean, refine = (
        (normalise_answer, refined_match) if protocol == "standard" else (leo_clean_answer, leo_refined_match)
    )
    exact, refined = [], []
    for answer, pair in zip(answers, pairs, strict=True):
        true = [clean(text) for text in true_answers_of(pair)]
        exact.append(answer is not None and clean(answer) in true)
        refined.append(answer is not None and refine(clean(answer), true))
    matches = {"exact_match": exact} | ({"refined_exact_match": refined} if protocol != "peer" else {})
    return per_cent_by_type(matches, types) | {
        "missing": sum(answer is None for answer in answers),
        "empty": sum(answer is not None and not normalise_answer(answer) for answer in answers),
        "duplicates": counts["duplicates"],
        "count": len(pairs),
    }


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS)
class SQA3D(evaluate.Metric):
    """`sqa3d_scores` as a metric of the `evaluate` library."""

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
                        "question_type": datasets.Value("string"),
                    },
                }
            ),
        )

    def _compute(
        self, predictions: list[dict], references: list[dict], protocol: str = "standard"
    ) -> dict[str, float]:
        return sqa3d_scores(predictions, references, protocol)
