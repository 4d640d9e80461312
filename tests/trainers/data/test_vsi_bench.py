"""VSI-Bench's files: the words of its questions, answers as its metric reads them, and files that break the form."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from video_files import write_video

from igep.trainers.data.row_source import RowSource
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.vsi_bench import CHOICE_TYPES, NUMBER_TYPES, VSIBenchDataset
from igep.trainers.metrics import vsi_bench as metric


CHOICE = {
    "id": 7,
    "dataset": "arkitscenes",
    "scene_name": "41069025",
    "question_type": "object_rel_distance",
    "question": "Which of these objects (stove, sofa) is the closest to the tv?",
    "options": ["A. stove", "B. sofa"],
    "ground_truth": "B",
}
NUMBER = {
    "id": 8,
    "dataset": "scannet",
    "scene_name": "scene0015_00",
    "question_type": "object_counting",
    "question": "How many chair(s) are in this room?",
    "options": None,
    "ground_truth": "4",
}
ASKED_CHOICE = """These are frames of a video.
Which of these objects (stove, sofa) is the closest to the tv?
Options:
A. stove
B. sofa
Answer with the option's letter from the given choices directly."""
ASKED_NUMBER = """These are frames of a video.
How many chair(s) are in this room?
Please answer the question using a single word or phrase."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for row in (CHOICE, NUMBER):
        (tmp_path / row["dataset"]).mkdir()
        write_video(tmp_path / row["dataset"] / f"{row['scene_name']}.mp4", 5)
    return tmp_path


def lines(folder: Path, *rows: dict) -> Path:
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "test.jsonl"


def parquet(folder: Path, *rows: dict) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / "test.parquet")
    return folder / "test.parquet"


@pytest.mark.parametrize("write", [lines, parquet])
def test_questions_are_asked_in_the_words_of_the_benchmark(folder, write):
    rows = VSIBenchDataset(write(folder, CHOICE, NUMBER), num_frames=3)
    assert isinstance(rows, RowSource)
    choice, number = rows[0], rows.example(1, 3)
    assert choice.conversation == ((ASKED_CHOICE, "B"),)
    assert number.conversation == ((ASKED_NUMBER, "4"),)
    assert rows.sample_ids == ("7", "8")
    assert (choice.scene_id, choice.frame_ids) == ("arkitscenes/41069025", ("0", "2", "4"))
    assert (choice.question_types, choice.references) == (("object_rel_distance",), ("B",))
    assert choice.depth_metres is None
    assert (rows.task, rows.usage) == ("VSI-Bench questions", {})


def test_questions_about_a_video_may_share_a_row(folder):
    more = [{**CHOICE, "id": number} for number in (9, 10)]
    rows = VSIBenchDataset(lines(folder, CHOICE, NUMBER, *more), num_frames=2, questions_per_row=2)
    assert (len(rows), rows.sample_ids) == (3, ("7+9", "10", "8"))
    assert rows[0].conversation == ((ASKED_CHOICE, "B"),) * 2
    assert rows[0].question_types == ("object_rel_distance",) * 2
    assert (rows[2].conversation, rows[2].scene_id) == (((ASKED_NUMBER, "4"),), "scannet/scene0015_00")
    assert [reference["sample_id"] for reference in rows.references] == ["7", "8", "9", "10"]
    assert [text.text for text in rows.texts()][:4] == [ASKED_CHOICE, "B", ASKED_NUMBER, "4"]
    with pytest.raises(ValueError, match="questions_per_row=0"):
        VSIBenchDataset(folder / "test.jsonl", num_frames=2, questions_per_row=0)


def test_another_way_of_asking_is_an_option(folder):
    rows = VSIBenchDataset(lines(folder, CHOICE, NUMBER), num_frames=3, prompt="bare")
    assert rows.question_text(0).endswith("to the tv?\nOptions:\nA. stove\nB. sofa")
    assert rows.question_text(1) == NUMBER["question"]


def test_right_answers_have_full_score_in_every_protocol(folder):
    size = {**NUMBER, "id": "size", "question_type": "room_size_estimation", "ground_truth": 20.5, "options": []}
    rows = VSIBenchDataset(lines(folder, CHOICE, NUMBER, size), num_frames=1)
    predictions = [{"sample_id": rows[row].sample_id, "answer": rows[row].conversation[0][1]} for row in range(3)]
    for protocol in metric.PROTOCOLS:
        scores = metric.vsi_bench_scores(predictions, rows.references, protocol)
        assert (scores["object_rel_distance"], scores["object_counting"], scores["room_size_estimation"]) == (100,) * 3
        assert (scores["count"], scores["unparsed"], scores["missing"]) == (3, 0, 0)


def test_types_are_those_of_the_metric():
    assert (CHOICE_TYPES, NUMBER_TYPES) == (metric.CHOICES, metric.NUMBERS)


def test_videos_may_lie_elsewhere(folder):
    (folder / "lists").mkdir()
    rows = VSIBenchDataset(lines(folder / "lists", CHOICE), num_frames=2, video_root=folder)
    assert len(rows[0].frames) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"question_type": "object_counts"},
            "`question_type` is 'object_counts'. It must be one of object_rel_direction",
        ),
        ({"scene_name": "nowhere"}, r"'arkitscenes/nowhere\.mp4' is not in .*image_folder"),
        ({"options": None}, "`options` is None for a object_rel_distance question"),
        ({"ground_truth": "C"}, "`ground_truth` is 'C'. It must be the letter of one of the options: A, B"),
        ({"ground_truth": "B. sofa"}, "`ground_truth` is 'B. sofa'"),
        ({"question": ""}, "`question` is ''"),
        ({"question": "Is <image> it?"}, "the question 'Is <image> it\\?' holds '<image>'"),
        ({"options": ["A. sofa", "B. <|im_end|>"]}, "holds '<.im_end.>'"),
        ({"id": None}, "`id` is None"),
        ({"question_type": "object_counting"}, "`ground_truth` is 'B'. It must be a positive number"),
        ({"question_type": "object_counting", "ground_truth": "-3"}, "`ground_truth` is '-3'"),
        ({"question_type": "object_counting", "ground_truth": "nan"}, "`ground_truth` is 'nan'"),
    ],
)
def test_what_breaks_the_form_is_named_with_its_line(folder, change, message):
    with pytest.raises(SpatialDataError, match=r"test\.jsonl, line 2: .*" + message):
        VSIBenchDataset(lines(folder, NUMBER, {**CHOICE, **change}), num_frames=2)


def test_other_bad_input(folder):
    with pytest.raises(SpatialDataError, match=r"line 3: `id` 7 was used before \(line 1\)"):
        VSIBenchDataset(lines(folder, CHOICE, NUMBER, CHOICE), num_frames=2)
    with pytest.raises(SpatialDataError, match=r"test\.parquet, row 2: `id` 7 was used before \(row 1\)"):
        VSIBenchDataset(parquet(folder, CHOICE, CHOICE), num_frames=2)
    with pytest.raises(SpatialDataError, match="no field 'ground_truth'. VSI-Bench has id, dataset"):
        VSIBenchDataset(lines(folder, {key: NUMBER[key] for key in list(NUMBER)[:-1]}), num_frames=2)
    with pytest.raises(SpatialDataError, match="cannot be read"):
        VSIBenchDataset(folder / "nowhere.jsonl", num_frames=2)
    with pytest.raises(SpatialDataError, match="cannot be read as Parquet"):
        VSIBenchDataset(folder / "nowhere.parquet", num_frames=2)
    (folder / "broken.parquet").write_text("PAR?")
    with pytest.raises(SpatialDataError, match="cannot be read as Parquet"):
        VSIBenchDataset(folder / "broken.parquet", num_frames=2)
    pq.write_table(pa.Table.from_pylist([CHOICE]).slice(0, 0), folder / "empty.parquet")
    with pytest.raises(SpatialDataError, match="has no question"):
        VSIBenchDataset(folder / "empty.parquet", num_frames=2)
    (folder / "cut.jsonl").write_text(json.dumps(CHOICE) + "\n" + json.dumps(NUMBER)[:40])
    with pytest.raises(SpatialDataError, match=r"cut\.jsonl, line 2: no JSON .*cut off"):
        VSIBenchDataset(folder / "cut.jsonl", num_frames=2)
    with pytest.raises(ValueError, match="num_frames=0"):
        VSIBenchDataset(lines(folder, CHOICE), num_frames=0)
    with pytest.raises(ValueError, match="vsi_bench_prompt='short' is unknown: use one of official, bare"):
        VSIBenchDataset(lines(folder, CHOICE), num_frames=2, prompt="short")
    (folder / "scannet" / "scene0015_00.mp4").write_text("no video")
    with pytest.raises(SpatialDataError, match=r"test\.jsonl, question 8: .*not a readable video"):
        VSIBenchDataset(lines(folder, NUMBER), num_frames=2)[0]
