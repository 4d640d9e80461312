"""VSI-Bench: letters and numbers about indoor videos, and the macro mean of its eight tasks.

Its own file and videos are read with `--dataset vsi_bench`; questions of these types can come with any other scenes as well.
"""

from collections import defaultdict
from collections.abc import Sequence

from igep.trainers.data.training_rows import SceneTableCache, load_rows
from igep.trainers.data.vsi_bench import VSIBenchDataset
from igep.trainers.evaluation.benchmarks.benchmark import Question, QuestionGroup
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.text_benchmark import TextBenchmark, TextScores
from igep.trainers.metrics.vsi_bench import vsi_bench_scores


NO_GEOMETRY = (1, 1)  # (H, W) of depth maps that these rows do not have


class VSIBench(TextBenchmark):
    """VSI-Bench from its own file, or from a table of questions."""

    def groups(self, options: BenchmarkOptions, tables: SceneTableCache) -> Sequence[QuestionGroup]:
        if options.dataset != self.name:
            return super().groups(options, tables)
        rows, _ = load_rows(options, NO_GEOMETRY, options.question_seed, tables)
        of_video = defaultdict(list)
        for number, name in enumerate(rows.scene_ids):
            of_video[name].append(number)
        at_once = options.questions_per_pass
        return [
            _group(rows, name, numbers[start : start + at_once])
            for name, numbers in of_video.items()
            for start in range(0, len(numbers), at_once)
        ]


def _group(rows: VSIBenchDataset, name: str, numbers: Sequence[int]) -> QuestionGroup:
    questions = []
    for number in numbers:
        truth = rows.references[number]
        questions.append(
            Question(
                truth["sample_id"],
                rows.question_text(number),
                truth["ground_truth"],
                truth["question_type"],
                {"question_type": truth["question_type"], "ground_truth": truth["ground_truth"]},
            )
        )
    return QuestionGroup(name, tuple(questions), lambda: rows[numbers[0]].frames)


VSI_BENCH = VSIBench(
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
