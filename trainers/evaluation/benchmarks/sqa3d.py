"""SQA3D: questions that are asked from a situation in a ScanNet scene, scored overall and per type of question."""

from igep.trainers.evaluation.benchmarks.text_benchmark import TextBenchmark, TextScores
from igep.trainers.metrics.sqa3d import sqa3d_scores


SQA3D = TextBenchmark(
    "sqa3d",
    split="the test split, 3519 questions",
    scores=TextScores(
        sqa3d_scores,
        ("peer", "standard"),
        lambda row: {"answers": row["answers"], "question_type": row["question_type"]},
        group_of=lambda name: name.removesuffix("exact_match").removesuffix("refined_").rstrip("_"),
    ),
    max_new_tokens=32,
)
