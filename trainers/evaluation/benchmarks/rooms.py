"""Held-out synthetic rooms as a benchmark: exact match per question type, from two small frames."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from igep.trainers.data.rooms.room_questions import SPATIAL_QUESTION_TYPES
from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.data.training_rows import SceneTableCache
from igep.trainers.evaluation.benchmarks.benchmark import Question, QuestionBenchmark, QuestionGroup
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.metrics.figure import SHARE, WITHOUT_LOOKING, Figure


IMAGE_SIZE = 64
NUM_FRAMES = 2
QUESTIONS_PER_ROOM = 8
HELD_OUT_SEED = 777_002
FIT_SEED = 777_001  # rooms nobody trains or tests on: probes and guesses are fitted there
FIGURES = tuple(f"exact match, {kind}" for kind in (*SPATIAL_QUESTION_TYPES, "mean"))
ROOM_SEEDS = {"held_out": HELD_OUT_SEED, "validation": 777_006}
INPUTS = f"{NUM_FRAMES} RGB frames of {IMAGE_SIZE} x {IMAGE_SIZE} pixels per question, and nothing else"


@lru_cache(maxsize=2)  # those that are scored and those that are fitted on, once for all benchmarks
def held_out_rooms(num_rooms: int, *, seed: int = HELD_OUT_SEED) -> tuple[SpatialExample, ...]:
    """Rooms with all their questions, at most 8, in one conversation each.

    Args:
        num_rooms (`int`): Rooms to render; those about which nothing can be asked are left out.
        seed (`int`, *optional*): That of the rooms that nobody trains on.

    Returns:
        `tuple[SpatialExample, ...]`
    """
    scenes, questions = synthetic_rooms(
        num_rooms, seed=seed, num_frames=NUM_FRAMES, image_size=IMAGE_SIZE, questions_per_room=QUESTIONS_PER_ROOM
    )
    size = (IMAGE_SIZE, IMAGE_SIZE)
    rows = SpatialDataset(
        scenes, questions, num_frames=NUM_FRAMES, geometry_size=size, questions_per_row=QUESTIONS_PER_ROOM
    )
    return tuple(rows[index] for index in range(len(rows)))


def rooms_of(options: BenchmarkOptions) -> tuple[SpatialExample, ...]:
    """The rooms that a benchmark is asked about.

    Args:
        options (`BenchmarkOptions`): How many, and of which seed.

    Returns:
        `tuple[SpatialExample, ...]`
    """
    return held_out_rooms(options.held_out_rooms, seed=ROOM_SEEDS[options.room_split])


def split_of(options: BenchmarkOptions, num_rooms: int) -> str:
    """The same in words, as it stands with a score.

    Args:
        options (`BenchmarkOptions`): As for `rooms_of`.
        num_rooms (`int`): Rooms that were scored.

    Returns:
        `str`
    """
    what = "held out" if options.room_split == "held_out" else "for choosing settings"
    return f"{what}: {num_rooms} rooms of seed {ROOM_SEEDS[options.room_split]}"


def exact_match(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Share of predictions equal to the answer, per question type and as the mean over types.

    Args:
        rows (`Sequence[dict]`): `question_type`, `answer` and `prediction` of each question.

    Returns:
        `dict[str, float]`: By type, and `mean`.
    """
    hits = defaultdict(list)
    for row in rows:
        hits[row["question_type"]].append(row["prediction"] == row["answer"])
    scores = {kind: statistics.fmean(hits[kind]) for kind in SPATIAL_QUESTION_TYPES if hits[kind]}
    return {**scores, "mean": statistics.fmean(scores.values())}


def blind_answers(rows: Sequence[dict[str, Any]], counted: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """The same questions, answered by who reads them and sees no frame.

    The guess is the commonest answer to other questions of the type, among those that the question itself names where
    it names any: "Which is closer, the box in red or the box in blue?".

    Args:
        rows (`Sequence[dict]`): `question` and `question_type` of each.
        counted (`Mapping`): Question type to how often each answer was right in other rooms.

    Returns:
        `list[dict]`: With the guess as `prediction`, `None` where no question of the type was counted.
    """
    answered = []
    for row in rows:
        answers = counted.get(row["question_type"], {})
        words = row["question"].rstrip("?").split()
        named = [answer for answer in answers if answer in words]
        guess = max(named or answers, key=answers.__getitem__, default=None)
        answered.append({**row, "prediction": guess})
    return answered


def answers_of_other_rooms(num_rooms: int) -> dict[str, Counter[str]]:
    """How often each answer is right in rooms that nobody trains on or is scored on.

    Args:
        num_rooms (`int`): As for `held_out_rooms`.

    Returns:
        `dict[str, Counter[str]]`: By question type.
    """
    counted = defaultdict(Counter)
    for room in held_out_rooms(num_rooms, seed=FIT_SEED):
        for (_, answer), kind in zip(room.conversation, room.question_types, strict=True):
            counted[kind][answer] += 1
    return dict(counted)


class Rooms(QuestionBenchmark):
    """Rooms of a seed that nobody trains on, with questions of the types that the quickstart trains on."""

    name = "rooms"
    max_new_tokens = 8

    def groups(self, options: BenchmarkOptions, tables: SceneTableCache) -> list[QuestionGroup]:
        return [_group(room) for room in rooms_of(options)]

    def figures(
        self, rows: Sequence[dict[str, Any]], options: BenchmarkOptions
    ) -> tuple[dict[str, Figure], dict[str, Any]]:
        asked = Counter(row["question_type"] for row in rows)
        figures, blind = (
            {
                f"exact match, {kind}": Figure(share, asked.get(kind, len(rows)), SHARE)
                for kind, share in exact_match(answered).items()
            }
            for answered in (rows, blind_answers(rows, answers_of_other_rooms(options.held_out_rooms)))
        )
        facts = {
            "missing": sum(row["prediction"] is None for row in rows),
            WITHOUT_LOOKING: {name: figure.value for name, figure in blind.items()},
        }
        return figures, facts

    def protocol(self, options: BenchmarkOptions, num_groups: int, num_questions: int) -> dict[str, str]:
        return {
            "dataset": "synthetic_rooms",
            "dataset_name": "Synthetic rooms",
            "split": split_of(options, num_groups),
            "inputs": INPUTS,
            "questions": f"{num_questions} questions, each asked alone; greedy decoding, at most "
            f"{options.max_new_tokens} tokens",
            "metrics": "exact match: share of answers equal to the reference text, per question type and as their "
            "mean",
            "geometry_inputs": "none",
        }


def _group(room: SpatialExample) -> QuestionGroup:
    turns = zip(room.conversation, room.question_types, strict=True)
    questions = tuple(
        Question(f"{room.scene_id}/{place}", question, answer, kind, answer)
        for place, ((question, answer), kind) in enumerate(turns)
    )
    return QuestionGroup(room.scene_id, questions, lambda: room.frames, lambda size: room)
