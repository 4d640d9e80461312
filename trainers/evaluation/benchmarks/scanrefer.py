"""ScanRefer: a description means one object, and the ground head takes the proposal that fits best."""

from igep.trainers.evaluation.benchmarks.grounding_benchmark import GroundingBenchmark
from igep.trainers.metrics.grounding_accuracy import grounding_scores


SCANREFER = GroundingBenchmark(
    "scanrefer", "the validation split, 9508 descriptions", grounding_scores, any_number=False
)
