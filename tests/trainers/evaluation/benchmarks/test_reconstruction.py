"""Scene reconstructions scored: by Vid-LLM and IGEP's verifier, resumed, on two processes, from predictions alone."""

import json

import numpy as np
import pytest
import torch
from scored_model import lines_of, predictions_of, save_tiny, save_vid_llm, score_on_two_processes, scored_as

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers import score
from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms
from igep.trainers.data.spatial_dataset import build_example
from igep.trainers.evaluation.benchmarks.reconstruction import as_prediction, on_grid
from igep.trainers.evaluation.load_vlm import load_for_answers
from igep.trainers.evaluation.reconstruct_video import reconstruct_frames
from igep.trainers.loop.training_heads_file import save_heads
from igep.trainers.metrics.metric_depth import depth_scores
from igep.trainers.package_files import TINY_BASE
from igep.trainers.scoring import score_model
from igep.trainers.supervision.geometry_losses import igep_objective


ROOMS, FRAMES, SEED = 3, 4, 5
SCENES = [
    *(
        "--benchmark",
        "reconstruction",
        "--dataset",
        "synthetic_rooms",
        "--num_rooms",
        str(ROOMS),
        "--room_seed",
        str(SEED),
    ),
    *("--room_frames", str(FRAMES), "--num_frames", str(FRAMES), "--pixel_grid", "4", "6", "--device", "cpu"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_vid_llm(tmp_path_factory.mktemp("model") / "vid_llm")


def flags(model, output, *others):
    return [*SCENES, "--model", str(model), "--output", str(output), *others]


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "scores.json"
    score.main(flags(model, output))
    return output


def rooms() -> list:
    scenes, _ = synthetic_rooms(ROOMS, seed=SEED, num_frames=FRAMES)
    return [build_example(scene, (), FRAMES, (4, 6), "room") for scene in scenes]


def test_cameras_depth_points_and_path_have_figures(whole, model, capsys):
    found = json.loads(whole.read_text())["benchmarks"]["reconstruction"]
    figures, facts, protocol = found["figures"], found["facts"], found["protocol"]
    pairs = ROOMS * FRAMES * (FRAMES - 1) // 2
    assert figures["auc_30, peer"]["n"] == figures["auc_5, standard"]["n"] == pairs
    assert figures["ate_sim3_metres"]["n"] == ROOMS
    assert figures["depth_abs_rel, metric"]["n"] == figures["point_error_metres"]["n"] > 0
    for name in ("metric", "median_scale", "least_squares_scale"):
        assert figures[f"depth_delta_1, {name}"]["higher_is_better"]
    assert (facts["questions"], facts["missing"], facts["failures"]) == (ROOMS, 0, {})
    assert protocol["geometry_inputs"] == "none"
    assert "4 x 6 pixels" in protocol["questions"]
    assert f"rooms of seed {SEED}: {ROOMS} scenes" in protocol["split"]


def test_figures_are_those_of_the_model_on_the_rooms(whole, model):
    """Read, reconstructed and compared again, without the scorer."""
    loaded, processor = load_for_answers(model, "cpu")
    errors = []
    for line, room in zip(lines_of(whole), rooms(), strict=True):
        found = reconstruct_frames(loaded, processor, room.frames)
        depth = on_grid(found.depth_metres, (4, 6))
        assert json.loads(line["prediction"])["depth_metres"] == as_prediction(depth, None, None)["depth_metres"]
        np.testing.assert_allclose(
            json.loads(line["prediction"])["world_from_camera"], found.world_from_camera, atol=1e-6
        )
        true = np.array(line["reference"]["depth_metres"])
        np.testing.assert_allclose(true, room.depth_metres, atol=6e-4)
        relative = np.linalg.inv(room.world_from_camera[0]) @ room.world_from_camera
        np.testing.assert_allclose(line["reference"]["world_from_camera"], relative, atol=1e-6)
        kept = true > 0
        errors.append(depth_scores(depth.round(3)[kept].tolist(), true[kept].tolist())["abs_rel"])
    figures = json.loads(whole.read_text())["benchmarks"]["reconstruction"]["figures"]
    assert figures["depth_abs_rel, metric"]["value"] == pytest.approx(np.mean(errors), rel=1e-3)


def test_a_perfect_reconstruction_from_predictions_alone(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(score_model, "load_for_answers", None)
    file, output = tmp_path / "perfect.jsonl", tmp_path / "scores.json"
    lines = [line | {"prediction": json.dumps(line["reference"])} for line in lines_of(whole)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    score.main([*SCENES, "--predictions", str(file), "--output", str(output)])
    figures = json.loads(output.read_text())["benchmarks"]["reconstruction"]["figures"]
    for name, figure in figures.items():
        perfect = 1 if name.startswith(("auc", "depth_delta")) else 0
        assert figure["value"] == pytest.approx(perfect, abs=1e-3), name


def test_a_run_that_was_cut_goes_on(whole, model, tmp_path, monkeypatch):
    output = tmp_path / "scores.json"
    lines = predictions_of(whole).read_text().splitlines(keepends=True)
    predictions_of(output).write_text(lines[0] + lines[1][:40])
    (tmp_path / "scores_run.json").write_text((whole.parent / "scores_run.json").read_text())
    score.main(flags(model, output))
    assert scored_as(output) == scored_as(whole)
    assert lines_of(output) == lines_of(whole)
    monkeypatch.setattr(score_model, "load_for_answers", None)
    score.main(flags(model, output))  # nothing is left: no model is loaded
    with pytest.raises(SystemExit, match=r"pixel_grid was \[4, 6\] and is \[2, 2\]"):
        score.main([*flags(model, output), "--pixel_grid", "2", "2"])


@pytest.mark.slow
def test_two_processes_score_as_one(whole, model, tmp_path):
    score_on_two_processes(flags(model, tmp_path / "scores.json"), tmp_path / "scores.json")
    assert scored_as(tmp_path / "scores.json") == scored_as(whole)
    assert lines_of(tmp_path / "scores.json") == lines_of(whole)


@pytest.fixture(scope="module")
def supervised(tmp_path_factory):
    """A saved IGEP model and a checkpoint of it that has the heads."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("igep")
    model = IGEPForConditionalGeneration.from_base(TINY_BASE, geometry_weight=1.0, geometry_size=[16, 24])
    model.add_training_heads(igep_objective)
    for name in ("model", "checkpoint-1"):
        model.save_pretrained(folder / name)
        IGEPProcessor.from_base(TINY_BASE).save_pretrained(folder / name)
    save_heads(model.training_heads, folder / "checkpoint-1")
    return folder, model


def test_the_verifier_of_a_checkpoint_is_scored_alike(supervised, tmp_path, capsys):
    """Depth alone, that of a forward pass with the heads."""
    folder, model = supervised
    output = tmp_path / "scores.json"
    score.main(flags(folder / "model", output, "--checkpoint", str(folder / "checkpoint-1")))
    found = json.loads(output.read_text())["benchmarks"]["reconstruction"]
    assert {name.split("_")[0] for name in found["figures"]} == {"depth"}
    assert "which the saved model does not have" in found["protocol"]["questions"]
    processor = IGEPProcessor.from_base(TINY_BASE)
    for line, room in zip(lines_of(output), rooms(), strict=True):
        inputs = processor.question_inputs(list(room.frames), "How far is this?")
        with torch.inference_mode():
            depth = model.eval()(
                **inputs,
                depth_metres=torch.zeros(1, FRAMES, 16, 24),
                frame_mask=torch.ones(1, FRAMES, dtype=torch.bool),
            ).predicted_depth_metres[0]
        expected = on_grid(depth.numpy(), (4, 6))
        np.testing.assert_allclose(json.loads(line["prediction"])["depth_metres"], expected, atol=2e-3)
    with pytest.raises(SystemExit, match=r"checkpoint was '.*' and is None"):
        score.main(flags(folder / "model", output))


def test_what_cannot_be_scored_is_refused_with_the_reason(supervised, model, tmp_path):
    folder, _ = supervised
    output = tmp_path / "scores.json"
    with pytest.raises(SystemExit, match="left nothing behind.*give a Vid-LLM model"):
        score.main(flags(folder / "model", output))
    with pytest.raises(SystemExit, match="has no training_heads.safetensors: give a checkpoint-N folder"):
        score.main(flags(folder / "model", output, "--checkpoint", str(folder / "model")))
    with pytest.raises(
        SystemExit, match="is a Vid-LLM, whose reconstruction needs no checkpoint: leave --checkpoint out"
    ):
        score.main(flags(model, output, "--checkpoint", str(folder / "checkpoint-1")))
    plain = save_tiny(tmp_path / "unsupervised")
    with pytest.raises(
        SystemExit, match="checkpoint is for the picture of depth_probe, and for the depth of reconstruction"
    ):
        score.main(
            ["--model", str(plain), "--output", str(output), "--benchmark", "rooms", "--checkpoint", str(plain)]
        )
    with pytest.raises(SystemExit, match=r"pixel_grid=\[3\] must be two numbers"):
        score.main(flags(model, output, "--pixel_grid", "3"))
    with pytest.raises(SystemExit, match="9 are asked for: lower num_frames"):
        score.main(flags(model, output, "--num_frames", "9"))
