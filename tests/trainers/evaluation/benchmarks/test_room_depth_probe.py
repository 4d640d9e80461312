"""The depth probe of a saved model, computed again from rooms, tokens and depth that this test pairs itself."""

import json

import numpy as np
import pytest
import torch
from scored_model import save_tiny

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers import score
from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.evaluation.depth_probe import (
    fit_depth_probe,
    score_depth_probe,
    score_relative_depth,
    token_depth,
)
from igep.trainers.evaluation.load_vlm import load_for_answers


ROOMS = 8
FIT_SEED, TEST_SEED = 777_001, 777_002  # of the table in the README


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def results(model_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("scores") / "scores.json"
    flags = ["--model", str(model_folder), "--output", str(output), "--held_out_rooms", str(ROOMS)]
    score.main([*flags, "--benchmark", "depth_probe", "rooms", "latency"])
    return json.loads(output.read_text())["benchmarks"]


@pytest.fixture(scope="module")
def probe_scores(results):
    return {name: figure["value"] for name, figure in results["depth_probe"]["figures"].items()}


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


def test_the_probe_is_fitted_on_some_rooms_and_scored_on_others(probe_scores, tokens_and_depth):
    fit_tokens, fit_depth = tokens_and_depth[FIT_SEED]
    tokens, depth = tokens_and_depth[TEST_SEED]
    expected = score_depth_probe(fit_depth_probe(fit_tokens, fit_depth), tokens, depth)
    assert probe_scores["R2 of log depth"] == pytest.approx(expected["r2"], abs=1e-4)
    assert probe_scores["delta_1"] == pytest.approx(expected["delta_1"], abs=1e-4)
    predicted = fit_depth_probe(fit_tokens, fit_depth).predict_metres(tokens)
    frames = (2 * ROOMS, 1, -1)
    relative = score_relative_depth(predicted.reshape(frames), depth.reshape(frames))
    assert probe_scores["R2 within a frame"] == pytest.approx(relative["within_frame_r2"], abs=1e-4)
    assert probe_scores["order of two points"] == pytest.approx(relative["order"], abs=1e-4)


def test_what_the_place_in_the_image_alone_reaches_is_said(results, tokens_and_depth):
    fit_depth, depth = (tokens_and_depth[seed][1].reshape(2 * ROOMS, -1) for seed in (FIT_SEED, TEST_SEED))
    guess = np.broadcast_to(np.exp(np.log(fit_depth).mean(0)), depth.shape)
    errors = np.log(depth / guess)
    said = results["depth_probe"]["facts"]["without_looking"]
    assert said["R2 of log depth"] == pytest.approx(
        1 - (errors**2).sum() / ((np.log(depth) - np.log(depth).mean()) ** 2).sum()
    )
    assert said["order of two points"] == pytest.approx(
        score_relative_depth(guess.reshape(2 * ROOMS, 1, -1), depth.reshape(2 * ROOMS, 1, -1))["order"]
    )
    assert said.keys() == results["depth_probe"]["figures"].keys()


def test_the_two_easy_mistakes_would_show(probe_scores, tokens_and_depth):
    """Fitted on the rooms it is tested on the probe scores higher; against other rooms' depth it knows nothing."""
    fit_tokens, fit_depth = tokens_and_depth[FIT_SEED]
    tokens, depth = tokens_and_depth[TEST_SEED]
    r2 = probe_scores["R2 of log depth"]
    assert score_depth_probe(fit_depth_probe(tokens, depth), tokens, depth)["r2"] > r2 + 0.02
    assert score_depth_probe(fit_depth_probe(fit_tokens, fit_depth), tokens, fit_depth)["r2"] < r2 - 0.2


def test_no_room_is_both_fitted_and_tested():
    frames = [
        {image.tobytes() for images in synthetic_rooms(64, seed=seed)[0]["frames"] for image in images}
        for seed in (FIT_SEED, TEST_SEED)
    ]
    assert not frames[0] & frames[1]


def test_what_was_measured_is_said(results):
    assert results["depth_probe"]["facts"]["rooms"] == ROOMS
    assert results["rooms"]["facts"]["questions"] > 6 * ROOMS
    assert results["latency"]["figures"]["seconds per answer"]["value"] > 0
    assert results["latency"]["figures"]["seconds per answer"]["n"] == ROOMS - 1
    for benchmark in results.values():
        assert str(TEST_SEED) in benchmark["protocol"]["split"]
        assert benchmark["protocol"]["geometry_inputs"] == "none"


def test_answers_in_rooms_are_those_of_each_question_alone(model_folder, results, tmp_path):
    """The scorer's answers, from one prefix for all questions of a room, against `generate` on single questions."""
    output = tmp_path / "scores.json"
    flags = ["--model", str(model_folder), "--output", str(output), "--held_out_rooms", "2", "--benchmark", "rooms"]
    score.main(flags)
    lines = [json.loads(line) for line in (tmp_path / "scores_predictions.jsonl").read_text().splitlines()]
    scenes, _ = synthetic_rooms(2, seed=TEST_SEED, num_frames=2, image_size=64, questions_per_room=1)
    frames = dict(zip(scenes["scene_id"], scenes["frames"], strict=True))
    model, processor = load_for_answers(model_folder, "cpu")
    assert len(lines) > 10
    for line in lines:
        inputs = processor.question_inputs(list(frames[line["group_id"]]), line["question"])
        tokens = model.generate(**inputs, max_new_tokens=8, do_sample=False)
        text = processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert line["prediction"] == text.strip()


def test_a_plain_vlm_has_no_probe(model_folder, tmp_path):
    from igep.trainers.package_files import TINY_BASE

    flags = ["--model", str(TINY_BASE), "--output", str(tmp_path / "s.json"), "--benchmark", "depth_probe"]
    with pytest.raises(SystemExit, match="plain VLM"):
        score.main([*flags, "--held_out_rooms", "2"])
