"""Multi3DRefer: a description fits no, one or more objects; the ground head takes proposals by its cumulative rule."""

from igep.trainers.evaluation.benchmarks.grounding_benchmark import GroundingBenchmark
from igep.trainers.metrics.multi_grounding_f1 import multi_grounding_scores


MULTI3DREFER = GroundingBenchmark(
    "multi3drefer", "the validation split, 11120 descriptions", multi_grounding_scores, any_number=True
)
