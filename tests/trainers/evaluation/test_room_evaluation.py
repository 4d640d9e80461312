"""The scores of a saved model on held-out rooms, computed again from rooms, tokens and depth that this test pairs itself."""

import json
import sys

import numpy as np
import pytest
import torch

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.evaluation import room_evaluation
from igep.trainers.evaluation.depth_probe import fit_depth_probe, score_depth_probe, token_depth
from igep.trainers.package_files import PACKAGE


ROOMS = 8
FIT_SEED, TEST_SEED = 777_001, 777_002  # of the table in the README


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    base = PACKAGE / "trainers" / "tiny_base"
    IGEPForConditionalGeneration.from_base(base).save_pretrained(folder)
    IGEPProcessor.from_base(base).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def scores(model_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("scores") / "scores.json"
    with pytest.MonkeyPatch.context() as patch:
        arguments = ["--model", str(model_folder), "--output", str(output)]
        arguments += ["--rooms", str(ROOMS), "--questions_per_room", "2"]
        patch.setattr(sys, "argv", ["room_evaluation.py", *arguments])
        room_evaluation.main()
    return json.loads(output.read_text())["benchmarks"]["rooms"]


def probe_of(scores: dict) -> dict[str, float]:
    """The depth probe's figures by name."""
    figures = {name: figure["value"] for name, figure in scores["figures"].items()}
    return {name: figures[f"depth probe, {name}"] for name in ("r2", "delta_1")}


@pytest.fixture(scope="module")
def tokens_and_depth(model_folder):
    """By seed: the saved encoder's tokens of its rooms, (N, C), and the depth beneath each, (N,)."""
    model = IGEPForConditionalGeneration.from_pretrained(model_folder).eval()
    processor = IGEPProcessor.from_pretrained(model_folder)
    found = {}
    for seed in (FIT_SEED, TEST_SEED):
        scenes, questions = synthetic_rooms(ROOMS, seed=seed, num_frames=2, image_size=64, questions_per_room=1)
        rows = SpatialDataset(scenes, questions, num_frames=2, geometry_size=(64, 64))
        rooms = [rows[index] for index in range(len(rows))]
        assert len(rooms) == ROOMS
        inputs = processor.video_processor([list(room.frames) for room in rooms], return_tensors="pt")
        with torch.inference_mode():
            tokens = model.encode_frames(**inputs)[-1].numpy()
        depth = token_depth(np.concatenate([room.depth_metres for room in rooms]), tokens.shape[1:3])
        found[seed] = tokens.reshape(-1, tokens.shape[-1]), depth.reshape(-1)
    return found


def test_the_probe_is_fitted_on_some_rooms_and_scored_on_others(scores, tokens_and_depth):
    fit_tokens, fit_depth = tokens_and_depth[FIT_SEED]
    tokens, depth = tokens_and_depth[TEST_SEED]
    probe = fit_depth_probe(fit_tokens, fit_depth)
    assert probe_of(scores) == pytest.approx(score_depth_probe(probe, tokens, depth), abs=1e-4)


def test_the_two_easy_mistakes_would_show(scores, tokens_and_depth):
    """Fitted on the rooms it is tested on the probe scores higher; against other rooms' depth it knows nothing."""
    fit_tokens, fit_depth = tokens_and_depth[FIT_SEED]
    tokens, depth = tokens_and_depth[TEST_SEED]
    r2 = probe_of(scores)["r2"]
    assert score_depth_probe(fit_depth_probe(tokens, depth), tokens, depth)["r2"] > r2 + 0.02
    assert score_depth_probe(fit_depth_probe(fit_tokens, fit_depth), tokens, fit_depth)["r2"] < r2 - 0.2


def test_no_room_is_both_fitted_and_tested():
    frames = [
        {image.tobytes() for images in synthetic_rooms(64, seed=seed)[0]["frames"] for image in images}
        for seed in (FIT_SEED, TEST_SEED)
    ]
    assert not frames[0] & frames[1]


def test_what_was_measured_is_said(scores):
    assert scores["facts"] == {"rooms": ROOMS, "questions": 2 * ROOMS}
    assert str(TEST_SEED) in scores["protocol"]["split"]
