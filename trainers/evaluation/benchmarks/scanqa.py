"""ScanQA: short answers about ScanNet scenes, of which several are true."""

from igep.trainers.evaluation.benchmarks.text_benchmark import TextBenchmark, TextScores
from igep.trainers.metrics.scanqa import scanqa_scores


SCANQA = TextBenchmark(
    "scanqa",
    split="the validation split, 4675 questions",
    scores=TextScores(scanqa_scores, ("peer", "standard"), lambda row: {"answers": row["answers"]}, has_meteor=True),
    max_new_tokens=64,
)
