"""ScanQA in its own form and as Video-3D LLM processed it: equal questions, every answer, objects by id."""

from pathlib import Path

import pytest
from datasets import Dataset
from scannet_tree import processed, write_json, write_scan
from scene_folders import scene_row, write_exported
from transformers import HfArgumentParser

from igep.trainers.data.left_out_questions import left_out_of
from igep.trainers.data.load_scenes import SceneSource, load_scenes
from igep.trainers.data.scanqa import read_scanqa, scanqa_references
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SpatialDataError
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.data.training_rows import RowOptions, SceneTableCache, load_rows
from igep.trainers.metrics.scanqa import scanqa_scores


SCAN = "scene0000_00"
ORIGINAL = [
    {
        "answers": ["dark brown", "brown"],
        "object_ids": [3, 0],
        "object_names": ["chair", "chair"],
        "question": "What color is the chair?",
        "question_id": "val-scene0000-0",
        "scene_id": SCAN,
    },
    {
        "answers": ["4"],
        "object_ids": [7],
        "object_names": ["kitchen cabinet"],
        "question": "How many doors are there?",
        "question_id": "val-scene0000-1",
        "scene_id": SCAN,
    },
]
PROCESSED = [
    processed(
        f"scanqa_{entry['question_id']}_0",
        SCAN,
        f"<image> {entry['question']} Answer the question simply.",
        entry["answers"][0],
        {"dataset": "scanQA", "question_type": "unknow", "answers": entry["answers"]},
    )
    for entry in ORIGINAL
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_scan(tmp_path / "scannet", SCAN)
    return tmp_path / "scannet"


def load(root: Path, annotations: object, **options) -> tuple[Dataset, Dataset]:
    path = write_json(root / "questions.json", annotations)
    return load_scenes(SceneSource(dataset="scanqa", dataset_path=str(root), annotation_file=path, **options))


def test_the_benchmarks_own_file(root: Path) -> None:
    scenes, questions = load(root, ORIGINAL)
    assert questions.features == QUESTION_FEATURES
    assert scenes["scene_id"][:] == [SCAN]
    assert questions[0] == {
        "question_id": "val-scene0000-0",
        "scene_id": SCAN,
        "question": "What color is the chair? Answer the question simply.",
        "answers": ["dark brown", "brown"],
        "question_type": "other",
        "referred_boxes": [2, 0],  # places of the ids 3 and 0 among the ids 0, 1, 3, 7
    }
    example = SpatialDataset(scenes, questions, num_frames=2, geometry_size=(12, 16))[0]
    assert example.conversation == (("What color is the chair? Answer the question simply.", "dark brown"),)


def test_both_forms_ask_alike(root: Path) -> None:
    _, own = load(root, ORIGINAL)
    _, peers = load(root, PROCESSED)
    for first, second in zip(own, peers, strict=True):
        assert (first["question"], first["answers"]) == (second["question"], second["answers"])
        assert second["question_id"] == f"scanqa_{first['question_id']}_0"
        assert second["referred_boxes"] == []


def test_references_of_the_metric(root: Path) -> None:
    for annotations in (ORIGINAL, PROCESSED):
        references = scanqa_references(load(root, annotations)[1])
        predictions = [{"sample_id": row["sample_id"], "answer": row["answers"][-1]} for row in references]
        for protocol in ("peer", "standard"):
            assert scanqa_scores(predictions, references, protocol)["exact_match"] == 100


def test_a_row_per_answer(root: Path) -> None:
    _, questions = load(root, ORIGINAL, one_answer_per_row=True)
    assert [(row["question_id"], row["answers"]) for row in questions] == [
        ("val-scene0000-0_0", ["dark brown"]),
        ("val-scene0000-0_1", ["brown"]),
        ("val-scene0000-1_0", ["4"]),
    ]


def test_scenes_without_boxes_still_have_questions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_exported(tmp_path / "posed_images" / SCAN, scene_row(3))
    _, questions = load(tmp_path, ORIGINAL)
    assert [row["referred_boxes"] for row in questions] == [[], []]
    assert "2 of 2 questions name objects in scenes without boxes" in caplog.text


def test_only_scenes_that_are_asked_about_are_read(root: Path) -> None:
    (root / "posed_images" / "scene0099_00").mkdir()
    (root / "posed_images" / "scene0099_00" / "intrinsic.txt").write_text("broken")
    assert len(load(root, ORIGINAL)[0]) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scene_id": "scene0500_00"}, r"1 of 2 questions cannot be used.*scene 'scene0500_00' cannot be read"),
        ({"object_ids": [2]}, "no box of object 2"),
        (
            {"question_id": "val-scene0000-1"},
            r"questions\.json, entry 1: the id 'val-scene0000-1' was used at .*entry 0",
        ),
        ({"answers": []}, r"entry 0: 'answers' is \[\]"),
        ({"question": " "}, "'question' is ' ', not a text"),
        ({"question": "Is <video> it?"}, r"questions\.json, entry 0: the question 'Is <video> it.* holds '<video>'"),
        ({"answers": ["left", "</s>"]}, r"questions\.json, entry 0: the answer '</s>' holds"),
        ({"object_ids": ["chair"]}, "'object_ids' is 'chair', not a whole number"),
    ],
)
def test_bad_entries(root: Path, changes: dict, words: str) -> None:
    with pytest.raises(SpatialDataError, match=words):
        load(root, [{**ORIGINAL[0], **changes}, ORIGINAL[1]])


def test_unusable_questions_can_be_left_out_and_are_counted(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = [{**ORIGINAL[0], "scene_id": "scene0500_00"}, {**ORIGINAL[0], "question_id": "b", "object_ids": [2]}]
    scenes, questions = load(root, [*bad, ORIGINAL[1]], unusable_questions="leave_out")
    assert questions["question_id"][:] == ["val-scene0000-1"]
    assert len(scenes) == 1
    assert "2 of 3 questions cannot be used" in caplog.text
    assert "no box of object 2" in caplog.text
    found = left_out_of(questions.select([0]).with_format("arrow"))
    assert (found.count, found.of) == (2, 3)
    assert list(found.reasons.values()) == [1, 1]
    assert any("no box of object 2" in reason for reason in found.reasons)
    assert left_out_of(load(root, [{**ORIGINAL[1], "question_id": "d"}])[1]) is None
    with pytest.raises(SpatialDataError, match="2 of 2 questions cannot be used"):
        load(root, [{**bad[1], "question_id": "c"}, bad[1]], unusable_questions="leave_out")
    with pytest.raises(ValueError, match="unusable_questions='drop'"):
        load(root, ORIGINAL, unusable_questions="drop")


def test_files_that_are_not_right(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", ORIGINAL)
    Path(path).write_text(Path(path).read_text()[:-30])
    with pytest.raises(SpatialDataError, match=r"a\.json: not JSON, or cut off"):
        read_scanqa(path)
    with pytest.raises(SpatialDataError, match="a folder, not a file"):
        read_scanqa(str(tmp_path))
    for content, words in (
        ([], "an empty list"),
        ({"questions": []}, "a dict, not a list"),
        (["x"], "entry 0: a str, not an object"),
        ([{key: value for key, value in ORIGINAL[0].items() if key != "answers"}], "test splits are not public"),
        ([{**PROCESSED[0], "metadata": {"dataset": "sqa3d"}}], "`metadata.dataset` is 'sqa3d', not 'scanqa'"),
        ([{**PROCESSED[0], "conversations": PROCESSED[0]["conversations"][:1]}], r"turns are from \['human'\]"),
        ([processed("a", SCAN, "<image><image> What?", "b", {"dataset": "scanQA"})], "the only <image>"),
        ([processed("a", SCAN, "What?", "b", {"dataset": "scanQA"})], "the only <image>"),
    ):
        with pytest.raises(SpatialDataError, match=words):
            read_scanqa(write_json(tmp_path / "a.json", content))
    with pytest.raises(ValueError, match="needs annotation_file"):
        read_scanqa(None)
    with pytest.raises(SpatialDataError, match="no such file"):
        read_scanqa(str(tmp_path / "none.json"))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for place in (tmp_path / "none", "scans", "data/our/scans"):
        with pytest.raises(SpatialDataError, match=f"{place}: no such folder"):
            load_scenes(
                SceneSource(
                    dataset="scanqa",
                    dataset_path=str(place),
                    annotation_file=write_json(tmp_path / "a.json", ORIGINAL),
                )
            )


def test_a_benchmark_is_rows_to_train_on(root: Path) -> None:
    words = ["--dataset", "scanqa", "--dataset_path", str(root), "--one_answer_per_row", "true", "--num_frames", "2"]
    words += ["--annotation_file", write_json(root / "questions.json", ORIGINAL)]
    (options,) = HfArgumentParser(RowOptions).parse_args_into_dataclasses(words)
    rows, held_out = load_rows(options, (12, 16), 0, SceneTableCache())
    assert held_out is None
    assert [rows.example(row, 0).conversation[0][1] for row in range(len(rows))] == ["dark brown", "brown", "4"]
