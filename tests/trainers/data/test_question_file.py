"""Question files: defaults, and errors that name the file and the line."""

import json
from pathlib import Path

import pytest

from igep.trainers.data.question_file import read_questions
from igep.trainers.data.scenes.spatial_example import SpatialDataError


def write(path: Path, *lines: dict | str) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_defaults(tmp_path: Path) -> None:
    path = write(
        tmp_path / "q.jsonl", {"question": "Où?", "answer": "là"}, "", {"question": "b", "answers": ["c", "d"]}
    )
    first, second = read_questions(path, ["desk"])
    assert first == {
        "question_id": "desk:1",
        "scene_id": "desk",
        "question": "Où?",
        "answers": ["là"],
        "question_type": "other",
        "referred_boxes": [],
    }
    assert (second["question_id"], second["answers"]) == ("desk:3", ["c", "d"])


def test_what_editors_leave_is_read(tmp_path: Path) -> None:
    """A byte order mark and Windows line ends; a line separator inside a text is no new line."""
    path = tmp_path / "q.jsonl"
    lines = ['{"question": "a\u2028b", "answer": "b"}', '{"question": "c", "answer": "d"}']
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert [row["question"] for row in read_questions(path, ["desk"])] == ["a\u2028b", "c"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{broken", "line 2: not JSON"),
        ('{"question": ' + "9" * 5000 + "}", "line 2: not JSON"),
        ("[" * 100_000, "line 2: not JSON"),
        ("[1]", "line 2: a list"),
        ({"question": "a", "anwser": "b"}, "line 2: unknown key 'anwser'"),
        ({"question": "a"}, "line 2: 'answers' is None"),
        ({"question": "a", "answers": "b"}, "line 2: 'answers' is 'b'"),
        ({"question": "a", "answers": [3]}, "line 2: 'answers' is \\[3\\]"),
        ({"question": "a", "answers": ["  "]}, "line 2: 'answers'"),
        ({"question": "a", "answer": 2.5}, "line 2: 'answer' is 2.5. .*in quotes"),
        ({"question": "a", "answers": ["b"], "answer": "b"}, "line 2: both"),
        ({"question": " ", "answer": "b"}, "line 2: 'question'"),
        ({"question": "a", "answer": "b", "scene_id": "attic"}, "line 2: 'scene_id' is 'attic'.*[Cc]orrect"),
        ({"question": "a", "answer": "b", "question_id": "desk:1"}, "line 2: question_id 'desk:1' was used in line 1"),
        ({"question": "a", "answer": "b", "referred_boxes": [0]}, "line 2: unknown key 'referred_boxes'"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: dict | str, words: str) -> None:
    path = write(tmp_path / "q.jsonl", {"question": "a", "answer": "b"}, line)
    with pytest.raises(SpatialDataError, match=words) as caught:
        read_questions(path, ["desk"])
    assert str(path) in str(caught.value)


def test_a_file_about_several_scenes_names_them(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", {"question": "a", "answer": "b"})
    with pytest.raises(SpatialDataError, match="'scene_id' is None"):
        read_questions(path, ["desk", "attic"])


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(SpatialDataError, match="no such question file"):
        read_questions(tmp_path / "q.jsonl", ["desk"])
    with pytest.raises(SpatialDataError, match="no question"):
        read_questions(write(tmp_path / "q.jsonl", "", ""), ["desk"])
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpatialDataError, match="UTF-8"):
        read_questions(tmp_path / "binary", ["desk"])
