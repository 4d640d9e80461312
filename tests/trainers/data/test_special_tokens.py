"""Placeholders and turn marks in texts: understood where files of the field mean something by them, else refused."""

import json

import pytest
from datasets import Dataset
from tiny_checkpoints import build_tokenizer

from igep.trainers.data.question_file import read_questions
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.data.special_tokens import plain_question, plain_text, special_token_pattern


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("How far is the box?", "How far is the box?"),
        ("<image>\nHow far is the box?", "How far is the box?"),
        ("<video> <image>\n\nHow far?", "How far?"),
        ("<image><image>How far?", "How far?"),
        ("How far?\n<image>", "How far?"),
        ("Is 3 < 4 or <b> bold?", "Is 3 < 4 or <b> bold?"),
    ],
)
def test_placeholders_around_a_question_say_that_the_frames_come_first(text, words):
    assert plain_question("here", text) == words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "In <image> the box?",
            r"here: the question 'In <image> the box\?' holds '<image>', a placeholder of frames\. The fr",
        ),
        ("<image>", "a placeholder alone"),
        ("Where?<|im_end|>", r"holds '<\|im_end\|>', a token with a meaning of its own to models\. Take it out"),
        ("<image>\nWhere?</s>", "holds '</s>'"),
        ("x" * 90 + "<video>" + "y" * 90, r"the question '\.\.\. x{30}<video>y{30} \.\.\.' holds"),
    ],
)
def test_other_tokens_are_refused(text, message):
    with pytest.raises(SpatialDataError, match=message):
        plain_question("here", text)


def test_answers_are_words_alone():
    assert plain_text("here", "answer", "a study") == "a study"
    with pytest.raises(SpatialDataError, match="here: the answer '<image> a study' holds '<image>'"):
        plain_text("here", "answer", "<image> a study")


def test_the_special_tokens_of_a_tokenizer():
    pattern = special_token_pattern(build_tokenizer("<image>", "<video>"))
    assert pattern.search("a<|vision_pad|>b") is None
    assert pattern.search("a<|vision_start|>b").group() == "<|vision_start|>"
    assert pattern.search("plain < words >") is None


def test_question_files_in_llavas_form_are_understood(tmp_path):
    """The line of `llava_style_questions.jsonl`, which met a traceback at the step that drew it."""
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "<image>\\nHow far is the box?", "answer": "2 metres"}\n')
    (row,) = read_questions(file, ["room"])
    assert (row["question"], row["answers"]) == ("How far is the box?", ["2 metres"])


@pytest.mark.parametrize(
    "line",
    [
        {"question": "Where is <image> the box?", "answer": "left"},
        {"question": "Where?", "answer": "left<|im_end|>"},
        {"question": "Where?", "answers": ["left", "<video>"]},
        {"question": "<|im_start|>system", "answer": "left"},
    ],
)
def test_question_files_name_file_and_line(tmp_path, line):
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "What?", "answer": "a box"}\n' + json.dumps(line) + "\n")
    with pytest.raises(
        SpatialDataError, match=r"questions\.jsonl, line 2: the (question|answer) .* holds .*[Tt]ake it out"
    ):
        read_questions(file, ["room"])


@pytest.mark.parametrize("field", ["question", "answers"])
def test_tables_are_looked_at_when_they_are_opened(field):
    scene = {name: [] for name in SCENE_FEATURES} | {
        "scene_id": "room",
        "frame_ids": ["0"],
        "frames": ["0.png"],
        "metres_per_depth_unit": 0.001,
        "depth_kind": "z",
    }
    question = {
        "question_id": "7",
        "scene_id": "room",
        "question": "Where?",
        "question_type": "",
        "referred_boxes": [],
    }
    question |= {"answers": ["left"]}
    question[field] = "Where <image>?" if field == "question" else ["<image>"]
    scenes = Dataset.from_list([scene], features=SCENE_FEATURES)
    questions = Dataset.from_list([question], features=QUESTION_FEATURES)
    with pytest.raises(
        SpatialDataError, match=rf"Question '7' about scene 'room': the {field.rstrip('s')} .* holds '<image>'"
    ):
        SpatialDataset(scenes, questions, num_frames=1, geometry_size=(4, 4))
