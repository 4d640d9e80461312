"""How long a model takes from frames and a question to its answer, on held-out rooms."""

import statistics
import time
from typing import Any

from transformers import PreTrainedModel

from igep.processing_igep import IGEPProcessor
from igep.trainers.evaluation.answering import AnsweringOptions, Sample, answer_samples
from igep.trainers.evaluation.benchmarks.benchmark import ModelMeasurement
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.rooms import HELD_OUT_SEED, INPUTS, Rooms, held_out_rooms
from igep.trainers.metrics.figure import Figure, error_scale


REPEATS = 20


class Latency(ModelMeasurement):
    """Median time of single questions, one at a time, of which the first is not counted."""

    name = "latency"

    def check(self, settings: dict[str, Any], options: BenchmarkOptions) -> None:
        """Any model that answers can be timed."""

    def measure(
        self, model: PreTrainedModel, processor: IGEPProcessor, options: BenchmarkOptions
    ) -> tuple[dict[str, Figure], dict[str, Any]]:
        times = []
        longest = AnsweringOptions(max_new_tokens=options.max_new_tokens or Rooms.max_new_tokens)
        for room in held_out_rooms(options.held_out_rooms, seed=HELD_OUT_SEED)[: REPEATS + 1]:
            start = time.perf_counter()
            sample = Sample(room.scene_id, room.frames, [room.conversation[0][0]])
            next(answer_samples(model, processor, [sample], longest))
            times.append(time.perf_counter() - start)
        counted = times[1:] or times  # the first call also pays for lazy initialisation
        return {"seconds per answer": Figure(statistics.median(counted), len(counted), error_scale("seconds"))}, {}

    def protocol(self, options: BenchmarkOptions) -> dict[str, str]:
        return {
            "dataset": "synthetic_rooms",
            "dataset_name": "Synthetic rooms",
            "split": f"the first rooms of seed {HELD_OUT_SEED}",
            "inputs": INPUTS,
            "questions": f"{REPEATS} questions, one at a time; greedy decoding, at most "
            f"{options.max_new_tokens or Rooms.max_new_tokens} tokens",
            "metrics": "median time from frames and a question to the decoded answer, on the machine that scored",
            "geometry_inputs": "none",
        }
