"""VSI-Bench: questions about indoor videos, asked in the words of the benchmark, with what its metric needs.

`dataset_path` is its file of JSON lines or Parquet, or one of the same columns; videos lie beside it, or in
`image_folder`:

    scannet/scene0015_00.mp4      scannetpp/<scene>.mp4      arkitscenes/<scene>.mp4

The benchmark is a test set: train on other files of the form.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from igep.trainers.data.json_entries import JSONEntries
from igep.trainers.data.row_source import RowText
from igep.trainers.data.scenes.media_folder import MediaFolder
from igep.trainers.data.scenes.spatial_example import SpatialDataError, SpatialExample
from igep.trainers.data.special_tokens import plain_text


CHOICE_TYPES = (
    *("object_rel_direction_easy", "object_rel_direction_medium", "object_rel_direction_hard"),
    *("object_rel_distance", "route_planning", "obj_appearance_order"),
)
NUMBER_TYPES = ("object_abs_distance", "object_counting", "object_size_estimation", "room_size_estimation")
COLUMNS = ("id", "dataset", "scene_name", "question_type", "question", "options", "ground_truth")

# As the authors' evaluation asks open models (thinking-in-space, `lmms_eval/tasks/vsibench`).
BEFORE_QUESTION = "These are frames of a video."
AFTER_CHOICE = "Answer with the option's letter from the given choices directly."
AFTER_NUMBER = "Please answer the question using a single word or phrase."
PROMPTS = ("official", "bare")


@dataclass
class VSIBenchOptions:
    """Options of `vsi_bench`, besides the place of its file and of its videos (see `DatasetPlace`).

    Args:
        vsi_bench_prompt (`str`, *optional*, defaults to `"official"`): How training asks. `official` = as evaluation
            does; `bare` = without the sentences around the question and its options.
    """

    vsi_bench_prompt: str = field(
        default="official",
        metadata={"help": "vsi_bench: ask as the evaluation does, or the bare question.", "choices": list(PROMPTS)},
    )


def vsi_bench_question(question: str, options: Sequence[str] | None, prompt: str = "official") -> str:
    """Writes a question of the benchmark.

    Args:
        question (`str`): The question.
        options (`Sequence[str]` or `None`): Its choices, each with its letter; `None` where a number is asked for.
        prompt (`str`, *optional*, defaults to `"official"`): See `VSIBenchOptions`.

    Returns:
        `str`: What the model is asked, behind the frames.
    """
    lines = [question] if options is None else [question, "Options:", *options]
    if prompt == "official":
        lines = [BEFORE_QUESTION, *lines, AFTER_NUMBER if options is None else AFTER_CHOICE]
    return "\n".join(lines)


class VSIBenchDataset(torch.utils.data.Dataset):
    """Questions of a file in VSI-Bench's form; a row is frames of a video with one question, or with several.

    Args:
        file (`str | Path`): JSON lines, or Parquet (`.parquet`), with `COLUMNS`.
        num_frames (`int`): Frames of a video, spread evenly over it; of a shorter one, all.
        video_root (`str | Path`, *optional*): Folder with the videos; that of the file unless given.
        prompt (`str`, *optional*, defaults to `"official"`): See `VSIBenchOptions`.
        questions_per_row (`int`, *optional*, defaults to `1`): Questions about one video that share a row, as turns.
            With more than one, those of a video stand together, where its first one stands in the file.

    Raises:
        SpatialDataError: The file cannot be read or has no question, one breaks the form or bears the id of another,
            or its video is not there.
        ValueError: `num_frames`, `prompt` or `questions_per_row` is out of range.
    """

    def __init__(
        self,
        file: str | Path,
        *,
        num_frames: int,
        video_root: str | Path | None = None,
        prompt: str = "official",
        questions_per_row: int = 1,
    ):
        if num_frames < 1:
            raise ValueError(f"num_frames={num_frames}: ask for at least one frame.")
        if prompt not in PROMPTS:
            raise ValueError(f"vsi_bench_prompt={prompt!r} is unknown: use one of {', '.join(PROMPTS)}.")
        if questions_per_row < 1:
            raise ValueError(f"questions_per_row={questions_per_row}: give 1 or more.")
        self.file = Path(file)
        self.num_frames = num_frames
        self.prompt = prompt
        self.media = MediaFolder(self.file.parent if video_root is None else video_root)
        self._questions: list[dict[str, Any]] = []
        place_of: dict[str, str] = {}
        for where, entry in self._entries():
            question = _checked_question(where, entry)
            if question["id"] in place_of:
                _fail(where, f"`id` {question['id']} was used before ({place_of[question['id']]}). Make it unique.")
            self.media.check(where, _video(question))
            place_of[question["id"]] = where.removeprefix(f"{self.file}, ")
            self._questions.append(question)
        if not self._questions:
            raise SpatialDataError(f"{self.file} has no question: give the benchmark's file.")
        self._rows = _rows(self._questions, questions_per_row)
        self._sample_ids = tuple("+".join(self._questions[number]["id"] for number in row) for row in self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> SpatialExample:
        numbers = self._rows[row]
        asked = [self._questions[number] for number in numbers]
        where = f"{self.file}, question {asked[0]['id']}"
        frame_ids, frames = self.media.video(where, _video(asked[0]), self.num_frames)
        return SpatialExample(
            sample_id=self._sample_ids[row],
            scene_id=_scene_id(asked[0]),
            frame_ids=frame_ids,
            frames=frames,
            depth_metres=None,
            intrinsics=None,
            world_from_camera=None,
            conversation=tuple(
                (self.question_text(number), self._questions[number]["ground_truth"]) for number in numbers
            ),
            question_types=tuple(question["question_type"] for question in asked),
            references=tuple(question["ground_truth"] for question in asked),
        )

    def example(self, row: int, draw: int) -> SpatialExample:
        """Reads a row for its `draw`-th use in a mixture: it is the same every time."""
        return self[row]

    def question_text(self, number: int) -> str:
        """What a model is asked.

        Args:
            number (`int`): Place of the question in the file, counted from 0.

        Returns:
            `str`
        """
        question = self._questions[number]
        return vsi_bench_question(question["question"], question["options"], self.prompt)

    @property
    def references(self) -> tuple[dict[str, str], ...]:
        """What the metric `vsi_bench` takes as references, in the order of the file, without reading a video."""
        return tuple(
            {
                "sample_id": question["id"],
                "question_type": question["question_type"],
                "ground_truth": question["ground_truth"],
            }
            for question in self._questions
        )

    @property
    def scene_ids(self) -> tuple[str, ...]:
        """The scene whose video each question is about, in the order of the file, without reading a video."""
        return tuple(map(_scene_id, self._questions))

    @property
    def task(self) -> str:
        """What cards say of these rows."""
        return "VSI-Bench questions"

    @property
    def usage(self) -> dict[str, Any]:
        """Nothing: the questions say themselves how they are to be answered."""
        return {}

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """Ids of the questions of each row, joined by `+`."""
        return self._sample_ids

    def texts(self) -> Iterator[RowText]:
        """Every question with its options, and every answer."""
        for number, question in enumerate(self._questions):
            where = f"{self.file}, question {question['id']}"
            yield RowText(where, "question", self.question_text(number))
            yield RowText(where, "answer", question["ground_truth"])

    def _entries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        if self.file.suffix.lower() != ".parquet":
            entries = JSONEntries(self.file)
            yield from ((entries.where(row), entries.read(row)) for row in range(len(entries)))
            return
        try:
            rows = pq.read_table(self.file).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise SpatialDataError(f"{self.file} cannot be read as Parquet ({error}): download it again.") from error
        yield from ((f"{self.file}, row {number}", row) for number, row in enumerate(rows, 1))


def _rows(questions: Sequence[dict[str, Any]], per_row: int) -> list[list[int]]:
    """The places of the questions of each row."""
    if per_row == 1:
        return [[number] for number in range(len(questions))]
    of_video: dict[str, list[int]] = {}
    for number, question in enumerate(questions):
        of_video.setdefault(_video(question), []).append(number)
    return [own[start : start + per_row] for own in of_video.values() for start in range(0, len(own), per_row)]


def _checked_question(where: str, entry: dict[str, Any]) -> dict[str, Any]:
    """The columns of a question that are used, its id and answer as text."""
    missing = [name for name in COLUMNS if name not in entry and name != "options"]
    if missing:
        _fail(where, f"no field {missing[0]!r}. VSI-Bench has {', '.join(COLUMNS)}.")
    question = {name: entry.get(name) for name in COLUMNS}
    for name in ("id", "ground_truth"):  # numbers in some files, text in others
        if isinstance(question[name], (int, float)) and not isinstance(question[name], bool):
            question[name] = f"{question[name]}"
    for name in ("id", "dataset", "scene_name", "question", "ground_truth"):
        if not isinstance(question[name], str) or not question[name].strip():
            _fail(where, f"`{name}` is {question[name]!r}. Give a text.")
    for text in (question["question"], *(question["options"] if isinstance(question["options"], list) else ())):
        plain_text(where, "question", f"{text}")
    if question["question_type"] in CHOICE_TYPES:
        _check_choice(where, question)
    elif question["question_type"] in NUMBER_TYPES:
        question["options"] = None  # an empty list in some files
        _check_number(where, question)
    else:
        kinds = ", ".join((*CHOICE_TYPES, *NUMBER_TYPES))
        _fail(where, f"`question_type` is {question['question_type']!r}. It must be one of {kinds}.")
    return question


def _check_choice(where: str, question: dict[str, Any]) -> None:
    options, truth = question["options"], question["ground_truth"]
    if not isinstance(options, list) or not options or not all(isinstance(option, str) for option in options):
        _fail(
            where, f"`options` is {options!r} for a {question['question_type']} question. Give its choices as texts."
        )
    letters = [option.strip()[:1] for option in options]
    if not re.fullmatch("[A-Z]", truth) or truth not in letters:
        _fail(
            where, f"`ground_truth` is {truth!r}. It must be the letter of one of the options: {', '.join(letters)}."
        )


def _check_number(where: str, question: dict[str, Any]) -> None:
    try:
        number = float(question["ground_truth"])
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        _fail(where, f"`ground_truth` is {question['ground_truth']!r}. It must be a positive number.")


def _scene_id(question: dict[str, Any]) -> str:
    return f"{question['dataset']}/{question['scene_name']}"


def _video(question: dict[str, Any]) -> str:
    return f"{_scene_id(question)}.mp4"


def _fail(where: str, what: str) -> NoReturn:
    raise SpatialDataError(f"{where}: {what}")
