"""A batch's grounding part: places of tokens that ask, labels, boxes of samples of different numbers, bad input."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from grounded_walls import GroundedWalls, panels
from tiny_checkpoints import FAMILIES, build_checkpoint

from igep.processing_igep import IGEPProcessor
from igep.spatial_prompts import GROUND_TOKEN
from igep.trainers.data.collator import IGEPDataCollator
from igep.trainers.data.scenes.spatial_example import SpatialDataError


@pytest.fixture(scope="module")
def processors():
    return {family: IGEPProcessor.from_base(build_checkpoint(family)[1]) for family in FAMILIES}


def collator(processor, setting="depth+pose", **options):
    return IGEPDataCollator(processor, (16, 24), ground_geometry_inputs=setting, **options)


def texts_before(processor, batch):
    """What each question's row says up to the token that asks."""
    grounding = batch["grounding"]
    return [
        processor.tokenizer.decode(batch["input_ids"][row, : column + 1])
        for row, column in zip(grounding["row"].tolist(), grounding["column"].tolist(), strict=True)
    ]


@pytest.mark.parametrize("packed", [{}, {"pack_questions": True}, {"pack_questions": True, "max_packed_tokens": 400}])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_token_that_asks_ends_the_answer_of_its_turn(processors, family, packed):
    rows = GroundedWalls(4)
    batch = collator(processors[family], **packed)([rows[row] for row in range(4)])
    grounding = batch["grounding"]
    assert grounding["sample"].tolist() == [0, 1, 2]
    for number, text in enumerate(texts_before(processors[family], batch)):
        assert text.endswith(GROUND_TOKEN)
        assert text.rsplit("<|im_start|>", 2)[1].count(f"Panel{'s' * (number > 0)} {number}.") == 1
    assert [tuple(boxes.shape) for boxes in grounding["boxes"]] == [(3, 6), (4, 6), (2, 6), (0, 6)]
    assert [one.tolist() for one in grounding["meant"]] == [
        [True, False, False, False],
        [True, False, True, False, False],
        [False, False, True],
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_what_boxes_answer_has_no_labels_and_what_words_answer_has(processors, packed):
    rows = GroundedWalls(4)
    batch = collator(processors["llava_onevision"], pack_questions=packed)([rows[row] for row in range(4)])
    tokenizer = processors["llava_onevision"].tokenizer
    labelled = [tokenizer.decode(row[row != -100]) for row in batch["labels"]]
    assert labelled == ["", "", "yes<|im_end|>\n", ""]


def test_boxes_move_with_the_origin_of_the_batch(processors):
    row = GroundedWalls()[0]
    far = np.array([4e5, 5e6, 0.0])
    moved = row.world_from_camera.copy()
    moved[:, :3, 3] += far
    proposals = row.proposals + [*far, 0, 0, 0]
    batch = collator(processors["llava_onevision"])([replace(row, world_from_camera=moved, proposals=proposals)])
    here = collator(processors["llava_onevision"])([row])
    torch.testing.assert_close(batch["grounding"]["boxes"][0], here["grounding"]["boxes"][0], atol=1e-4, rtol=0)
    np.testing.assert_allclose(batch["grounding"]["origin"][0], far, rtol=1e-6)
    np.testing.assert_allclose(batch["world_from_camera"], here["world_from_camera"], atol=1e-4)


def test_rows_without_grounding_get_none(processors):
    rows = GroundedWalls(4)
    batch = collator(processors["llava_onevision"])([rows[3]])
    grounding = batch["grounding"]
    assert len(grounding["sample"]) == len(grounding["meant"]) == 0
    assert "grounding" not in IGEPDataCollator(processors["llava_onevision"], (16, 24))([rows[3]])


def test_a_question_that_max_length_cuts_off_is_not_asked(processors, caplog):
    row = GroundedWalls()[2]
    whole = collator(processors["llava_onevision"])([row])
    cut = collator(processors["llava_onevision"], max_length=int(whole["grounding"]["column"][0]))([row])
    assert len(cut["grounding"]["sample"]) == 0
    assert "cuts the end of its conversation" in caplog.text


def test_poses_are_not_needed_where_the_setting_takes_none(processors):
    bare = replace(GroundedWalls()[0], world_from_camera=None, intrinsics=None, depth_metres=None)
    batch = collator(processors["llava_onevision"], "none")([bare])
    np.testing.assert_allclose(batch["grounding"]["boxes"][0], panels(3), rtol=1e-6)
    assert batch["grounding"]["origin"].tolist() == [[0, 0, 0]]


def test_empty_proposals_leave_the_zero_target(processors):
    row = replace(GroundedWalls()[0], proposals=np.empty((0, 6)), ground_targets=((),))
    grounding = collator(processors["llava_onevision"])([row])["grounding"]
    assert [one.tolist() for one in grounding["meant"]] == [[True]]


@pytest.mark.parametrize(
    ("setting", "changes", "message"),
    [
        (None, {}, "no ground head is trained: set ground_weight"),
        ("pose", {"world_from_camera": None}, "has no world_from_camera, which ground_geometry_inputs='pose' takes"),
        ("pose", {"intrinsics": None}, "has no intrinsics"),
        ("depth+pose", {"depth_metres": None}, "has no depth_metres"),
        ("predicted", {"world_from_camera": None}, "has no world_from_camera"),
        (
            "predicted",
            {"world_from_camera": np.stack([np.full((4, 4), math.nan), np.eye(4)])},
            "of scene 'scene-0': the pose of its first frame '0' is not finite",
        ),
        ("pose", {"proposals": None}, "no `proposals` of shape"),
        ("pose", {"ground_targets": ((3,),)}, "name proposal 3, there are 3"),
        ("pose", {"ground_targets": ()}, "1 of its answers are <ground>"),
        ("pose", {"conversation": (("How far?", "2 m"),)}, "0 of its answers are <ground>"),
        ("pose", {"proposals": np.full((3, 6), math.nan)}, "not finite or has a negative size"),
        ("pose", {"proposals": np.full((3, 6), -1.0)}, "not finite or has a negative size"),
    ],
)
def test_bad_input_names_the_sample(processors, setting, changes, message):
    row = replace(GroundedWalls()[0], **changes)
    with pytest.raises(SpatialDataError, match=f"'wall-0'.*{message}"):
        collator(processors["llava_onevision"], setting)([row])


def test_it_travels_to_workers(processors):
    own = collator(processors["llava_onevision"])
    sent = pickle.loads(pickle.dumps(own))
    rows = [GroundedWalls()[0]]
    assert torch.equal(sent(rows)["grounding"]["column"], own(rows)["grounding"]["column"])
