"""VSI-Bench: letters and numbers about indoor videos, and the macro mean of its eight tasks.

Its own file and videos are read with `--dataset vsi_bench`; questions of these types can come with any other scenes as
well.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

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
        rows, _ = load_rows(replace(options, questions_per_row=1), NO_GEOMETRY, options.question_seed, tables)
        of_video = defaultdict(list)
        for number, (name, truth) in enumerate(zip(rows.scene_ids, rows.references, strict=True)):
            of_video[name].append((number, _question(rows.question_text(number), **truth)))
        at_once = options.questions_per_pass
        return [
            _group(rows, name, asked[start : start + at_once])
            for name, asked in of_video.items()
            for start in range(0, len(asked), at_once)
        ]

    def protocol(self, options: BenchmarkOptions, num_groups: int, num_questions: int) -> dict[str, str]:
        found = super().protocol(options, num_groups, num_questions)
        if options.dataset != self.name:
            return found
        official = options.vsi_bench_prompt == "official"
        words = "in the benchmark's own words" if official else "without the benchmark's own sentences around it"
        return found | {"questions": f"{found['questions']}; {words}"}


def _question(text: str, sample_id: str, question_type: str, ground_truth: str) -> Question:
    reference = {"question_type": question_type, "ground_truth": ground_truth}
    return Question(sample_id, text, ground_truth, question_type, reference)


def _group(rows: VSIBenchDataset, name: str, asked: Sequence[tuple[int, Question]]) -> QuestionGroup:
    first, _ = asked[0]
    return QuestionGroup(name, tuple(question for _, question in asked), lambda: rows[first].frames)


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
