"""Scan2Cap on a ScanNet download in its true formats: proposals or true boxes, in the words of each prompt."""

import json
from pathlib import Path

import pytest
from scannet_tree import OBJECTS, processed, write_json, write_labels, write_scan
from scored_model import lines_of, save_tiny, score_on_two_processes, scored_as

from igep.text_boxes import parse_boxes
from igep.trainers import score
from igep.trainers.data.training_rows import RowOptions, SceneTableCache, load_rows
from igep.trainers.evaluation.benchmarks.scan2cap import NO_SHOWN_BOX
from igep.trainers.geometry.oriented_boxes import box_iou, transform_box
from igep.trainers.metrics.caption_at_iou import caption_at_iou_scores


SCAN = "scene0000_00"
SENTENCES = [
    {"scene_id": SCAN, "object_id": object_id, "object_name": name, "ann_id": ann_id, "description": description}
    for object_id, name, ann_id, description in (
        ("3", "chair", "0", "A chair at the window. It is brown."),
        ("7", "kitchen_cabinet", "0", "A tall cabinet, white."),
        ("3", "chair", "1", "The chair near the wall."),
        ("0", "chair", "0", "A red chair."),
    )
]
CAPTIONS = {"0": "A brown chair near the window.", "1": "A tall white cabinet.", "3": "A red chair."}
OBJECT_OF = {"0": 3, "1": 7, "3": 0}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Proposals: the first chair whole, of the cabinet 45 %, of the other chair 70 %."""
    folder = tmp_path / "scannet"
    write_scan(folder, SCAN)
    write_labels(folder / "scannetv2-labels.combined.tsv")
    write_json(folder / "scan2cap.json", SENTENCES)
    parts = [[*OBJECTS[key][1][:5], OBJECTS[key][1][5] * share] for key, share in ((3, 1), (7, 0.45), (0, 0.7))]
    write_json(folder / "proposals.json", {f"scannet/{SCAN}": parts})
    return folder


def flags(root: Path, *others: str) -> list[str]:
    words = ["--benchmark", "scan2cap", "--dataset", "scan2cap", "--dataset_path", str(root), "--num_frames", "3"]
    words += ["--annotation_file", str(root / "scan2cap.json"), "--proposal_box_file", str(root / "proposals.json")]
    return [*words, "--output", str(root / "scores.json"), *others]


def scored(root: Path, captions: dict[str, str], *others: str) -> dict:
    lines = [{"benchmark": "scan2cap", "sample_id": key, "prediction": text} for key, text in captions.items()]
    (root / "given.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    score.main(flags(root, "--predictions", str(root / "given.jsonl"), "--geometry_inputs", "none", *others))
    return json.loads((root / "scores.json").read_text())["benchmarks"]["scan2cap"]


def expected(ious: dict[str, float], captions: dict[str, str], protocol: str) -> dict[str, float]:
    references = [
        {
            "sample_id": key,
            "captions": [each["description"] for each in SENTENCES if int(each["object_id"]) == OBJECT_OF[key]],
        }
        for key in CAPTIONS
    ]
    predictions = [{"sample_id": key, "caption": text, "iou": ious[key]} for key, text in captions.items()]
    return caption_at_iou_scores(predictions, references, protocol)


@pytest.mark.parametrize("protocol", ["peer", "standard"])
def test_captions_count_with_their_proposals(root, capsys, protocol):
    found = scored(root, CAPTIONS)
    true = expected({"0": 1.0, "1": 0.0, "3": 0.7}, CAPTIONS, protocol)
    for name in ("cider_50", "bleu_4_25", "rouge_l_50", "found_50"):
        assert found["figures"][f"{name}, {protocol}"]["value"] == pytest.approx(true[name]), name
    assert found["figures"]["cider_50, peer"]["unit"] == "CIDEr-D x 100"
    assert found["figures"]["bleu_1_25, peer"]["unit"] == "x 100"
    assert found["facts"]["failures"] == {NO_SHOWN_BOX: 1}
    assert found["facts"][f"invalid, {protocol}"] == 0
    table = capsys.readouterr().out
    assert f"scan2cap: 1 x {NO_SHOWN_BOX}." in table
    assert any(line.startswith("| 3D-IDE ") and "| 79.0 " in line for line in table.splitlines())
    assert "depth+pose" in table, "what the authors' captioning is fed"
    assert found["protocol"]["geometry_inputs"] == "none"
    assert "the proposals the one that overlaps the object most" in found["protocol"]["inputs"]


def test_true_boxes_stand_under_names_of_their_own(root, capsys):
    found = scored(root, CAPTIONS, "--shown_boxes", "objects")
    true = expected(dict.fromkeys(CAPTIONS, 1.0), CAPTIONS, "peer")
    assert found["figures"]["cider_50, peer, true boxes"]["value"] == pytest.approx(true["cider_50"])
    assert "cider_50, peer" not in found["figures"]
    assert "3D-IDE" not in capsys.readouterr().out
    assert found["facts"]["failures"] == {}
    assert "the objects' own" in found["protocol"]["inputs"]


def test_missing_captions_are_empty_and_counted(root):
    found = scored(root, {"0": CAPTIONS["0"], "3": ""})
    true = expected({"0": 1.0, "3": 0.7}, {"0": CAPTIONS["0"], "3": ""}, "standard")
    assert found["figures"]["cider_25, standard"]["value"] == pytest.approx(true["cider_25"])
    assert (found["facts"]["missing, peer"], found["facts"]["answered"]) == (1, 2)


def test_a_processed_file_decides_its_boxes(root):
    entries = [
        processed(
            number,
            SCAN,
            "<image> Given an object located at <coord> , describe the object in detail.",
            "A chair.",
            {"dataset": "scan2cap", "question_type": "multiple", "ann_id": "0", "object_id": str(object_id)},
            box_input=shown,
            gt_box=list(OBJECTS[object_id][1]),
            annotations=["A chair.", "A brown chair."],
        )
        for number, object_id, shown in ((0, 3, [*OBJECTS[3][1][:5], 0.3]), (1, 0, None))
    ]
    write_json(root / "scan2cap.json", entries)
    found = scored(root, {"0": "A chair.", "1": "A chair."})
    assert found["figures"]["found_25, peer"]["value"] == 50
    assert found["figures"]["found_50, peer"]["value"] == 0
    assert found["facts"]["failures"] == {NO_SHOWN_BOX: 1}


def shown_in(question: str, poses) -> list[float]:
    """The box that a question shows, in the world."""
    (box,) = parse_boxes(question, len(poses)).boxes
    return transform_box(box.box, poses[box.frame])


def test_a_box_in_the_camera_of_a_frame_is_the_same_in_training_and_scoring(root):
    found = scored(root, CAPTIONS, "--shown_boxes", "objects", "--box_prompt", "frame")
    assert found["protocol"]["geometry_inputs"] == "pose"
    assert "carried there with the true pose" in found["protocol"]["inputs"]
    asked = {line["sample_id"]: line["question"] for line in lines_of(root / "scores.json")}
    rows, _ = load_rows(
        RowOptions(
            dataset="scan2cap",
            dataset_path=str(root),
            annotation_file=str(root / "scan2cap.json"),
            box_prompt="frame",
            num_frames=3,
        ),
        (24, 32),
        0,
        SceneTableCache(),
    )
    for number, name in enumerate(CAPTIONS):
        example = rows[number]
        ((question, answer),) = example.conversation
        assert question == asked[name]
        assert question.startswith('Given an object located at {"frame": ')
        assert answer in [each["description"] for each in SENTENCES]
        assert box_iou(shown_in(question, example.world_from_camera), OBJECTS[OBJECT_OF[name]][1]) > 0.9


def test_without_a_proposal_no_box_is_shown(root):
    scored(root, CAPTIONS, "--box_prompt", "frame")
    asked = {line["sample_id"]: line["question"] for line in lines_of(root / "scores.json")}
    assert "an unknown place" in asked["1"]
    assert "bbox_3d" in asked["0"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [([("0", "x"), ("0", "y")], "more than once"), ([("2", "x")], "does not have, such as '2'")],
)
def test_ids_that_are_unknown_or_double(root, lines, message):
    rows = [{"benchmark": "scan2cap", "sample_id": key, "prediction": text} for key, text in lines]
    (root / "given.jsonl").write_text("".join(json.dumps(line) + "\n" for line in rows))
    with pytest.raises(SystemExit, match=message):
        score.main(flags(root, "--predictions", str(root / "given.jsonl")))


@pytest.mark.parametrize("bad", [[0, 0, 0, 1, 1, -1], [0, 0, 0, 1, 1, float("nan")], [1, 1, 1]])
def test_proposals_that_are_no_boxes(root, bad):
    write_json(root / "proposals.json", {f"scannet/{SCAN}": [bad]})
    with pytest.raises(SystemExit, match=r"proposals\.json"):
        scored(root, CAPTIONS)


def test_no_proposals_at_all(root):
    write_json(root / "proposals.json", {f"scannet/{SCAN}": []})
    with pytest.raises(SystemExit, match=r"None of 3 objects has a box .* --shown_boxes objects"):
        scored(root, CAPTIONS)


def test_an_object_that_is_not_there(root):
    write_json(root / "scan2cap.json", [*SENTENCES, {**SENTENCES[0], "object_id": "5"}])
    with pytest.raises(SystemExit, match="no box of object 5"):
        scored(root, CAPTIONS)


@pytest.mark.slow
def test_a_model_captions_alike_on_one_process_and_on_two(root, tmp_path):
    model = str(save_tiny(tmp_path / "tiny"))
    words = [*flags(root), "--model", model, "--max_new_tokens", "8", "--questions_per_pass", "2"]
    score.main(words)
    lines = lines_of(root / "scores.json")
    assert [line["sample_id"] for line in lines] == list(CAPTIONS)
    other = root / "two" / "scores.json"
    score_on_two_processes(words, other)
    assert lines_of(other) == lines
    assert scored_as(other) == scored_as(root / "scores.json")
