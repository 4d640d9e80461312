"""VSI-Bench: letters and numbers about indoor videos, and the macro mean of its eight tasks."""

from igep.trainers.evaluation.benchmarks.text_benchmark import TextBenchmark, TextScores
from igep.trainers.metrics.vsi_bench import vsi_bench_scores


VSI_BENCH = TextBenchmark(
    "vsi_bench",
    split="the test split, 5130 questions",
    scores=TextScores(
        vsi_bench_scores,
        ("peer", "lmms_eval", "standard"),
        lambda row: {"question_type": row["question_type"], "ground_truth": row["answers"][0]},
        group_of=lambda name: name,
    ),
    max_new_tokens=16,
)
