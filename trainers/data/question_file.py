"""Questions about scenes in a JSON lines file: one object per line.

`{"question": "...", "answers": ["..."]}` is enough in a scene's own folder. Further keys: `scene_id` (needed in a file
about several scenes), `answer` (in place of `answers`), `question_id`, `question_type`. `<image>` or `<video>` before
a question says, as in LLaVA's files, that the frames come first, which they do.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.special_tokens import plain_question, plain_text


KEYS = ("question_id", "scene_id", "question", "answers", "answer", "question_type")


def read_questions(path: str | Path, scene_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Read a question file.

    Args:
        path (`str | Path`): JSON lines file, UTF-8; empty lines are allowed.
        scene_ids (`Sequence[str]`): Scenes that there are. With a single one, lines need no `scene_id`.

    Returns:
        `list[dict]`: Rows of `spatial_example.QUESTION_FEATURES`.

    Raises:
        SpatialDataError: Missing file, no question in it, a line that is not JSON, a missing or unknown key, a value
            of the wrong type, a placeholder between words or a token of chat templates, a scene that is not there, an
            id used twice: the message has file and line number.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # `splitlines` would cut at separators inside texts
    except FileNotFoundError as error:
        raise SpatialDataError(f"{path}: no such question file. Correct the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpatialDataError(f"{path}: not readable as UTF-8 text ({error}). Save it as UTF-8.") from error
    rows, line_of = [], {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _parse_line(f"{path}, line {number}", line, number, scene_ids)
        if row["question_id"] in line_of:
            raise SpatialDataError(
                f"{path}, line {number}: question_id {row['question_id']!r} was used in line "
                f"{line_of[row['question_id']]}: make it unique."
            )
        line_of[row["question_id"]] = number
        rows.append(row)
    if not rows:
        raise SpatialDataError(
            f"{path}: no question in this file. Write one JSON object per line, or remove the file."
        )
    return rows


def _parse_line(where: str, line: str, number: int, scene_ids: Sequence[str]) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SpatialDataError(f"{where}: not JSON ({error}). Write one object per line.") from error
    if not isinstance(record, dict):
        raise SpatialDataError(
            f'{where}: a {type(record).__name__}, not an object. Write {{"question": ..., "answer": ...}}.'
        )
    unknown = sorted(set(record) - set(KEYS))
    if unknown:
        raise SpatialDataError(f"{where}: unknown key {unknown[0]!r}. Known keys: {', '.join(KEYS)}.")
    if "answer" in record and "answers" in record:
        raise SpatialDataError(f"{where}: both 'answer' and 'answers'. Give one of them.")
    if "answer" in record:
        answers = [_text(where, record, "answer", None)]
    else:
        answers = record.get("answers")
        is_list = isinstance(answers, list) and len(answers) > 0
        if not is_list or not all(isinstance(text, str) and text.strip() for text in answers):
            raise SpatialDataError(
                f"{where}: 'answers' is {answers!r}. Give a list of texts in quotes, the first is trained on; or one "
                "'answer'."
            )
    scene_id = record.get("scene_id", scene_ids[0] if len(scene_ids) == 1 else None)
    if scene_id not in scene_ids:
        raise SpatialDataError(
            f"{where}: 'scene_id' is {scene_id!r}, which is none of the {len(scene_ids)} scenes ({scene_ids[0]!r}, "
            "...): correct it, or add it where it is missing."
        )
    return {
        "question_id": _text(where, record, "question_id", f"{scene_id}:{number}"),
        "scene_id": scene_id,
        "question": plain_question(where, _text(where, record, "question", None)),
        "answers": [plain_text(where, "answer", text) for text in answers],
        "question_type": _text(where, record, "question_type", "other"),
        "referred_boxes": [],  # a ScanNet-like folder has no boxes to refer to
    }


def _text(where: str, record: dict[str, Any], key: str, default: str | None) -> str:
    value = record.get(key, default)
    if not isinstance(value, str) or not value.strip():
        raise SpatialDataError(f"{where}: {key!r} is {value!r}. Give a text in quotes that is not empty.")
    return value
