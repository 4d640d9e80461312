"""SQA3D in its own form and as Video-3D LLM processed it: situation, types of the metric, one answer each."""

from pathlib import Path

import pytest
from datasets import Dataset
from scannet_tree import processed, write_json, write_scan

from igep.trainers.data.load_scenes import SceneSource, load_scenes
from igep.trainers.data.mixture import drawn_rows
from igep.trainers.data.mixture_options import MixtureOptions, load_mixture, parse_mixture
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.sqa3d import question_type, read_sqa3d, sqa3d_references
from igep.trainers.data.training_rows import RowOptions
from igep.trainers.metrics.sqa3d import sqa3d_scores


SCAN = "scene0000_00"
QUESTIONS = [
    {
        "scene_id": SCAN,
        "situation": "I am facing the table.",
        "alternative_situation": ["I stand before the table.", "I am facing the table.", "The table is before me."],
        "question": "What is behind me?",
        "question_id": 220602000002,
    },
    {
        "scene_id": SCAN,
        "situation": "I am sitting on the chair.",
        "alternative_situation": [],
        "question": "Isn't the door open?",
        "question_id": 220602000017,
    },
]
ANSWERS = [
    {
        "scene_id": SCAN,
        "question_type": "N/A",
        "answer_type": "other",
        "question_id": entry["question_id"],
        "answers": [{"answer": answer, "answer_confidence": "yes", "answer_id": 1}],
        "rotation": {"_x": 0, "_y": 0, "_z": 0, "_w": 1},
        "position": {"x": 0, "y": 0, "z": 0},
    }
    for entry, answer in zip(QUESTIONS, ("piano", "yes"), strict=True)
]
PROMPT = "{} {} Answer the question using a single word or phrase."


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_scan(tmp_path / "scannet", SCAN)
    return tmp_path / "scannet"


def write_own(folder: Path, questions: list, answers: list) -> str:
    write_json(folder / "v1_balanced_sqa_annotations_test_scannetv2.json", {"annotations": answers})
    return write_json(folder / "v1_balanced_questions_test_scannetv2.json", {"questions": questions})


def load(root: Path, path: str, **options) -> Dataset:
    return load_scenes(SceneSource(dataset="sqa3d", dataset_path=str(root), annotation_file=path, **options))[1]


def test_the_benchmarks_own_files(root: Path) -> None:
    questions = load(root, write_own(root, QUESTIONS, ANSWERS))
    assert questions[0] == {
        "question_id": "220602000002",
        "scene_id": SCAN,
        "question": PROMPT.format("I am facing the table.", "What is behind me?"),
        "answers": ["piano"],
        "question_type": "what",
        "referred_boxes": [],
    }
    assert questions["question_type"][:] == ["what", "is"]
    references = sqa3d_references(questions)
    scores = sqa3d_scores([{"sample_id": "220602000002", "answer": "piano"}], references, "peer")
    assert (scores["exact_match"], scores["what_exact_match"], scores["missing"]) == (50, 100, 1)


def test_a_row_per_wording(root: Path) -> None:
    questions = load(root, write_own(root, QUESTIONS, ANSWERS), alternative_situations=True)
    assert questions["question_id"][:] == ["220602000002", "220602000002#2", "220602000002#3", "220602000017"]
    assert questions[1]["question"].startswith("I stand before the table. What is behind me?")


def test_the_processed_file_asks_alike(root: Path) -> None:
    own = load(root, write_own(root, QUESTIONS, ANSWERS))
    entries = [
        processed(
            entry["question_id"],
            SCAN,
            "<image> " + PROMPT.format(entry["situation"], entry["question"]),
            answer["answers"][0]["answer"],
            {"dataset": "sqa3d", "question_type": kind},
        )
        for entry, answer, kind in zip(QUESTIONS, ANSWERS, ("what", "is"), strict=True)
    ]
    assert load(root, write_json(root / "test.json", entries))[:] == own[:]
    # Its training split repeats the id of a question for each wording.
    assert load(root, write_json(root / "train.json", [entries[0], *entries]))["question_id"][:] == [
        "220602000002",
        "220602000002#2",
        "220602000017",
    ]


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("What?", "what"),
        (" Is it?", "is"),
        ("Can I?", "can"),
        ("which", "which"),
        ("HOW many", "how"),
        ("Am I?", "others"),
    ],
)
def test_types(question: str, kind: str) -> None:
    assert question_type(question) == kind


def test_files_that_are_not_right(tmp_path: Path) -> None:
    for questions, answers, words in (
        ([QUESTIONS[0], QUESTIONS[0]], ANSWERS, r"questions\[1\]: question_id 220602000002 was used before"),
        (QUESTIONS, ANSWERS[:1], "question 220602000017 has no answer in .*sqa_annotations"),
        (QUESTIONS, [{**ANSWERS[0], "answers": []}], "must have one answer, here 0"),
        (QUESTIONS, [ANSWERS[0], ANSWERS[0]], "in one place"),
        ([], ANSWERS, "no list 'questions'"),
        (["x"], ANSWERS, "a str, not an object"),
    ):
        with pytest.raises(SpatialDataError, match=words):
            read_sqa3d(write_own(tmp_path, questions, answers))
    Path(tmp_path / "v1_balanced_sqa_annotations_test_scannetv2.json").unlink()
    with pytest.raises(SpatialDataError, match="no such file"):
        read_sqa3d(str(tmp_path / "v1_balanced_questions_test_scannetv2.json"))
    own = write_json(tmp_path / "mine.json", {"questions": QUESTIONS})
    with pytest.raises(ValueError, match="give answer_file"):
        read_sqa3d(own)
    answers = write_json(tmp_path / "answers.json", {"annotations": ANSWERS})
    assert len(read_sqa3d(own, answers)) == 2
    with pytest.raises(SpatialDataError, match="no 'conversations'"):
        read_sqa3d(write_json(tmp_path / "list.json", QUESTIONS))
    with pytest.raises(ValueError, match="needs annotation_file"):
        read_sqa3d(None)


def test_benchmarks_are_parts_of_a_mixture(root: Path) -> None:
    own = {"dataset": "sqa3d", "annotation_file": write_own(root, QUESTIONS, ANSWERS), "alternative_situations": True}
    asked = [{"question_id": "a", "scene_id": SCAN, "question": "Where?", "answers": ["left", "right"]}]
    other = {
        "dataset": "scanqa",
        "annotation_file": write_json(root / "scanqa.json", asked),
        "one_answer_per_row": True,
    }
    entries = parse_mixture(
        [{"name": "situated", **own}, {"name": "plain", **other}], RowOptions(dataset_path=str(root))
    )
    mixture, held_out = load_mixture(entries, MixtureOptions(), geometry_size=(12, 16), samples_per_step=1, seed=0)
    assert held_out is None
    assert [rows.num_rows for rows in drawn_rows(mixture, 6)] == [4, 2]
    assert {mixture[row].conversation[0][1] for row in range(6)} <= {"piano", "yes", "left", "right"}
