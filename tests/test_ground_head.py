"""The ground head: loss and choices in closed form, what it sees under each setting, that it ships with the model."""

import math
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from grounded_walls import panels
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_batches import build, every_family, every_modality
from tiny_checkpoints import random_frames, save_checkpoint

from igep.configuration_igep import GEOMETRY_INPUTS, IGEPConfig
from igep.ground_head import GEOMETRY_OF, BoxEncoder, GroundHead, checked_boxes, ground_loss, grounded
from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.spatial_prompts import GROUND_ONE
from igep.trainers.cli import main


QUESTIONS = [GROUND_ONE.format(description=text) for text in ("A chair.", "The table by the window.", "It is red.")]
every_setting = pytest.mark.parametrize("setting", GEOMETRY_INPUTS)


def cameras(setting, frames=3):
    """What a setting takes, of frames that look at `panels` from 2 m."""
    depth = torch.full((frames, 8, 12), 2.0)
    pose = torch.eye(4).repeat(frames, 1, 1)
    pose[:, 0, 3] = torch.arange(frames) * 0.1
    intrinsics = torch.tensor([[12.0, 0, 6], [0, 12, 4], [0, 0, 1]]).repeat(frames, 1, 1)
    given = {"intrinsics": intrinsics, "world_from_camera": pose, "depth_metres": depth}
    found = {name: given[name] for name in GEOMETRY_OF[setting]}
    return found | ({"image_size": (8, 12)} if setting == "pose" else {})


# ---- the loss


def test_one_positive_is_cross_entropy():
    scores, meant = torch.tensor([0.3, -0.1, 0.9]), torch.tensor([True, False, False])
    loss = ground_loss(scores, meant, 0.07)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(scores[None] / 0.07, torch.tensor([0])))


def test_positives_are_summed_inside_the_logarithm():
    """Of four equal scores, k positives cost log(4 / k); a mean of their logarithms would cost log 4 always."""
    scores = torch.zeros(4)
    for count in range(1, 5):
        loss = ground_loss(scores, torch.arange(4) < count, 0.5)
        assert loss.item() == pytest.approx(math.log(4 / count), abs=1e-6)


def test_one_good_positive_is_enough():
    loss = ground_loss(torch.tensor([1.0, -1.0, -1.0]), torch.tensor([True, True, False]), 0.07)
    assert loss.item() < 1e-6


def test_the_loss_by_hand():
    scores, temperature = [0.2, 0.5, -0.3], 0.25
    weights = [math.exp(score / temperature) for score in scores]
    loss = ground_loss(torch.tensor(scores), torch.tensor([True, False, True]), temperature)
    assert loss.item() == pytest.approx(-math.log((weights[0] + weights[2]) / sum(weights)), rel=1e-5)


def test_extreme_scores_stay_finite_with_gradients():
    scores = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], requires_grad=True)
    loss = ground_loss(scores, torch.tensor([[False, True], [False, True]]), 1e-3)
    loss.sum().backward()
    assert loss.tolist() == pytest.approx([2000.0, 0.0])
    assert scores.grad.isfinite().all()


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.data())
def test_the_loss_is_never_negative_and_falls_with_every_further_positive(values, data):
    scores = torch.tensor(values, dtype=torch.float64)
    first = data.draw(st.integers(0, len(values) - 1))
    meant = torch.arange(len(values)) == first
    losses = []
    for place in [first, *(place for place in range(len(values)) if place != first)]:
        meant[place] = True
        losses.append(ground_loss(scores, meant, 0.07).item())
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(losses))
    assert losses[-1] == pytest.approx(0, abs=1e-9)


# ---- choices


def test_scanrefer_takes_the_best_proposal_even_where_none_scores_higher():
    one = grounded(torch.tensor([[0.1, 0.4, 0.2, 0.9]]), 0.07, 0.4)[0]
    assert one.best == 1
    assert one.chosen == []


def test_multi3drefer_takes_boxes_until_their_probabilities_add_up():
    spread = grounded(torch.tensor([[0.50, 0.49, 0.48, 0.1]]), 0.07, 0.4)[0]
    assert spread.chosen == [0, 1]
    assert grounded(torch.tensor([[0.50, 0.49, 0.48, 0.1]]), 0.07, 0.9)[0].chosen == [0, 1, 2]
    assert grounded(torch.tensor([[0.9, 0.1, 0.0]]), 0.07, 0.4)[0].chosen == [0]


def test_without_proposals_nothing_is_chosen():
    none = grounded(torch.tensor([[0.3]]), 0.07, 0.4)[0]
    assert none.best is None
    assert none.chosen == []


# ---- boxes


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0, 0, 0, 1, 1, 1], [0, math.nan, 0, 1, 1, 1]], r"boxes\[1\]=.*no box"),
        ([[0, 0, 0, 1, -1, 1]], r"boxes\[0\]=.*sizes not negative"),
        ([[0, 0, 0, 1, math.inf, 1]], r"boxes\[0\]"),
        ([[0, 0, 0, 1, 1]], r"shape \(1, 5\)"),
        ([0, 0, 0, 1, 1, 1], r"shape \(6,\)"),
    ],
)
def test_what_is_no_box_is_named(boxes, message):
    with pytest.raises(ValueError, match=message):
        checked_boxes(boxes, torch.device("cpu"))


def test_no_boxes_are_none():
    for empty in ([], np.empty((0, 6)), torch.empty(0, 6)):
        assert checked_boxes(empty, torch.device("cpu")).shape == (0, 6)


def test_boxes_that_differ_in_a_number_are_encoded_apart():
    torch.manual_seed(0)
    boxes = torch.tensor([[1.0, 2, 0.5, 0.5, 0.5, 1]]) + torch.cat([torch.zeros(1, 6), torch.eye(6) * 0.2])
    encoded = BoxEncoder(16, 32)(boxes)
    distances = torch.cdist(encoded, encoded) + torch.eye(7)
    assert distances.min() > 1e-2


# ---- what a box is described by


def test_tokens_inside_a_box_describe_it_and_no_others_do():
    """The left half of a wall at 2 m is the left half of the tokens."""
    torch.manual_seed(0)
    head = GroundHead(8, 8, "depth+pose", 0.25)
    geometry = head.geometry_of(None, cameras("depth+pose", 1), None, torch.device("cpu"))
    left = torch.tensor([[-0.5, 0, 2, 1.0, 4, 0.1]])
    maps = torch.randn(1, 4, 6, 8)
    before, seen = head.embed_objects(maps, left, torch.zeros(3), geometry)
    assert seen.tolist() == [True]
    assert before.shape == (2, 8)
    torch.testing.assert_close(before.norm(dim=1), torch.ones(2))
    outside, inside = maps.clone(), maps.clone()
    outside[:, :, 3:] += 1
    inside[:, :, :3] += 1
    torch.testing.assert_close(head.embed_objects(outside, left, torch.zeros(3), geometry)[0], before)
    changed, _ = head.embed_objects(inside, left, torch.zeros(3), geometry)
    assert (changed[0] - before[0]).abs().max() > 1e-3
    torch.testing.assert_close(changed[1], before[1], msg="the zero target is one vector")


def test_without_geometry_every_token_counts_and_no_box_is_known_to_be_seen():
    torch.manual_seed(0)
    head = GroundHead(8, 8, "none", 0.25)
    maps = torch.randn(1, 4, 6, 8)
    boxes = torch.tensor([[-0.5, 0, 2, 1.0, 4, 0.1]])
    before, seen = head.embed_objects(maps, boxes, torch.zeros(3), None)
    assert seen is None
    for place in ((0, 0), (3, 5)):
        other = maps.clone()
        other[0, place[0], place[1]] += 5
        assert (head.embed_objects(other, boxes, torch.zeros(3), None)[0][0] - before[0]).abs().max() > 1e-5


def test_a_moved_origin_changes_nothing():
    """Batches move the world's origin to a camera; boxes are encoded where they lie in the scene's own world."""
    torch.manual_seed(0)
    head = GroundHead(8, 8, "depth+pose", 0.25)
    maps, boxes = torch.randn(2, 4, 6, 8), torch.from_numpy(panels(3)).float()
    own = cameras("depth+pose", 2)
    expected, _ = head.embed_objects(maps, boxes, torch.zeros(3), head.geometry_of(None, own, None, boxes.device))
    origin = torch.tensor([3.0, -2.0, 1.0])
    own["world_from_camera"][:, :3, 3] -= origin
    boxes[:, :3] -= origin
    moved, _ = head.embed_objects(maps, boxes, origin, head.geometry_of(None, own, None, boxes.device))
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=1e-5)


# ---- the model


@every_family
@every_modality
def test_questions_together_are_grounded_as_one_by_one(family, frames_as):
    model, processor = build(family, ground_head=True)
    inputs, questions = processor.ground_inputs(random_frames(3), QUESTIONS, frames_as=frames_as)
    geometry = cameras("depth+pose")
    together = model.ground(inputs, questions, panels(3), **geometry)
    alone = [model.ground(inputs, [question], panels(3), **geometry)[0] for question in questions]
    apart = model.ground(inputs, questions, panels(3), share_prefix=False, **geometry)
    for one, other, third in zip(together, alone, apart, strict=True):
        assert len(one.similarities) == 4
        np.testing.assert_allclose(one.similarities, other.similarities, atol=1e-5)
        np.testing.assert_allclose(third.similarities, other.similarities, atol=1e-6)
    assert not np.allclose(together[0].similarities, together[1].similarities, atol=1e-4), "it reads the question"


def test_a_question_is_grounded_as_it_was_trained():
    """The hidden state that asks is that of the training batch, whose conversation goes on behind it."""
    model, processor = build("llava_onevision", ground_head=True)
    text = processor.prompt_text([QUESTIONS[0], "<ground>"], 3)
    batch = processor(text=[text], return_tensors="pt", **processor.vision_inputs([random_frames(3)]))
    column = text.split("<ground>")[1]
    place = batch["input_ids"].shape[1] - len(processor.tokenizer(column, add_special_tokens=False).input_ids) - 1
    hidden = model.vlm.base_model(**batch).last_hidden_state[0, place]
    inputs, questions = processor.ground_inputs(random_frames(3), QUESTIONS[:1])
    asked = model._ground_queries(dict(inputs), questions)[0][0]
    torch.testing.assert_close(asked, hidden, atol=1e-5, rtol=1e-4)


@every_setting
def test_settings_take_their_geometry_and_no_more(setting):
    model, processor = build("llava_onevision", ground_head=True, ground_geometry_inputs=setting)
    inputs, questions = processor.ground_inputs(random_frames(3), QUESTIONS[:1])
    found = model.ground(inputs, questions, panels(2), **cameras(setting))[0]
    assert len(found.similarities) == 3
    assert model.ground(inputs, questions, [], **cameras(setting))[0].best is None
    if setting != "none":
        with pytest.raises(ValueError, match="intrinsics is missing"):
            model.ground(inputs, questions, panels(2))
    if setting != "depth+pose":
        with pytest.raises(ValueError, match="is too much"):
            model.ground(inputs, questions, panels(2), **cameras("depth+pose"))


def test_poses_can_stand_in_for_depth_but_nothing_for_no_geometry():
    model, processor = build("llava_onevision", ground_head=True)
    inputs, questions = processor.ground_inputs(random_frames(3), QUESTIONS[:1])
    assert model.ground(inputs, questions, panels(2), geometry_inputs="pose", **cameras("pose"))
    given = {name: value for name, value in cameras("pose").items() if name != "image_size"}
    with pytest.raises(ValueError, match="image_size is missing"):
        model.ground(inputs, questions, panels(2), geometry_inputs="pose", **given)
    with pytest.raises(ValueError, match="trained with 'depth\\+pose' and has learnt nothing"):
        model.ground(inputs, questions, panels(2), geometry_inputs="none")


def test_a_model_without_a_ground_head_says_so():
    model, processor = build("llava_onevision")
    inputs, questions = processor.ground_inputs(random_frames(3), QUESTIONS[:1])
    with pytest.raises(ValueError, match=r"no ground head.*exported"):
        model.ground(inputs, questions, panels(2), **cameras("depth+pose"))
    with pytest.raises(ValueError, match="grounding was given without a ground head"):
        model(input_ids=inputs["input_ids"], labels=inputs["input_ids"], grounding={"sample": torch.zeros(0)})


def test_a_head_is_added_once():
    model, _ = build("llava_onevision")
    torch.manual_seed(0)
    model.add_ground_head(ground_geometry_inputs="pose", ground_width=16)
    head = model.ground_head
    assert head.object_mlp[0].out_features == 16
    model.add_ground_head(ground_temperature=0.1, ground_min_coverage=0.5)
    assert model.ground_head is head
    assert model.config.ground_temperature == 0.1
    assert head.min_coverage == 0.5
    with pytest.raises(ValueError, match="a ground head with ground_geometry_inputs='pose', 'none' is asked for"):
        model.add_ground_head(ground_geometry_inputs="none")
    with pytest.raises(TypeError, match="add_ground_head: width cannot be given"):
        model.add_ground_head(width=3)
    assert model.part_of_parameter("base_model.model.ground_head.zero_target.weight") == "ground_head"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ground_geometry_inputs", "depth"),
        ("ground_width", 0),
        ("ground_temperature", 0),
        ("ground_temperature", math.nan),
        ("ground_min_coverage", 0),
        ("ground_cumulative_mass", 1.5),
        ("ground_weight", -1),
    ],
)
def test_fields_out_of_range(field, value):
    with pytest.raises(ValueError, match=field):
        IGEPConfig(**{field: value})


# ---- saved


STRANGER = """
import json, sys

class Unimportable:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("igep", "trainers", "tests", "tiny_checkpoints"):
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Unimportable())
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModel, AutoProcessor

frames = [Image.open(f"frame_{index}.png") for index in range(3)]
given = load_file("given.safetensors")
expected = given.pop("expected").tolist()
boxes = given.pop("boxes")
questions = json.load(open("questions.json"))
for folder in ("model", "again"):
    model, info = AutoModel.from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    inputs, token_ids = processor.ground_inputs(frames, questions)
    found = model.ground(inputs, token_ids, boxes, **given)
    assert [one.similarities for one in found] == expected
    model.save_pretrained("again")
    processor.save_pretrained("again")
half = AutoModel.from_pretrained("model", trust_remote_code=True, dtype=torch.bfloat16)
types = {name.split(".")[0]: parameter.dtype for name, parameter in half.named_parameters()}
assert types == {"vlm": torch.bfloat16, "ground_head": torch.float32}, types
found = half.ground(inputs.to(torch.bfloat16), token_ids, boxes, **given)
assert abs(found[0].similarities[0] - expected[0][0]) < 0.2
assert not [name for name in sys.modules if name.split(".")[0] == "igep"]
"""


def test_a_stranger_grounds_with_the_saved_model_and_gets_the_same(tmp_path):
    folder = save_checkpoint("llava_onevision", tmp_path / "base")
    torch.manual_seed(0)
    model = IGEPForConditionalGeneration.from_base(folder, ground_head=True, ground_width=24).eval()
    processor = IGEPProcessor.from_base(folder)
    frames = random_frames(3)
    inputs, token_ids = processor.ground_inputs(frames, QUESTIONS)
    geometry = cameras("depth+pose")
    boxes = torch.from_numpy(panels(3)).float()
    found = model.ground(inputs, token_ids, boxes, **geometry)
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    for index, frame in enumerate(frames):
        frame.save(tmp_path / f"frame_{index}.png")
    scores = torch.tensor([one.similarities for one in found], dtype=torch.float64)
    save_file({**geometry, "boxes": boxes, "expected": scores}, tmp_path / "given.safetensors")
    (tmp_path / "questions.json").write_text(str(QUESTIONS).replace("'", '"'))
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf_home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_an_exported_model_has_no_ground_head_and_says_so(tmp_path, capsys):
    folder = save_checkpoint("llava_onevision", tmp_path / "base")
    IGEPForConditionalGeneration.from_base(folder, ground_head=True).save_pretrained(tmp_path / "model")
    IGEPProcessor.from_base(folder).save_pretrained(tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), str(tmp_path / "plain")]) == 0
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'plain'}\n"
    assert "without its ground head" in told.err
    assert not [name for name in load_file(tmp_path / "plain" / "model.safetensors") if "ground" in name]
