"""The toy-scale experiments of Vid-LLM: figures in closed form, the tables, and both commands at a few steps."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from scipy.spatial.transform import Rotation
from transformers import AutoTokenizer, LlavaOnevisionForConditionalGeneration

from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers import sft
from igep.trainers.evaluation.benchmarks.rooms import held_out_rooms
from igep.trainers.experiments import seeded_runs, vid_llm_ablation
from igep.trainers.experiments.room_picture import draw_room
from igep.trainers.experiments.room_reconstruction import (
    FIGURES,
    as_rows,
    depth_figures,
    mean_pose,
    pose_figures,
    prior_figures,
    reconstruction_figures,
)
from igep.trainers.experiments.seeded_runs import read_scores, write_scores
from igep.trainers.experiments.tiny_vid_llm import vid_llm_base
from igep.trainers.experiments.vid_llm_rooms import IGEP, JOINT, QUICKSTART, launched, of_second_stage
from igep.trainers.package_files import PACKAGE, TINY_BASE


SHORT = ("--num_rooms", "32", "--max_steps", "4", "--per_device_train_batch_size", "4", "--warmup_steps", "1")


def turned(degrees: float, metres: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("y", degrees, degrees=True).as_matrix()
    pose[0, 3] = metres
    return pose


def test_figures_are_their_closed_forms():
    found = depth_figures(np.array([2.0, 3.0, 9.0]), np.array([2.0, 2.0, 0.0]))
    assert found == {"depth AbsRel": 0.25, "depth delta_1": 0.5}
    found = pose_figures([(turned(10, 1), turned(30, 1)), (turned(0, 0), turned(0, 3))])
    assert found["rotation error, degrees"] == pytest.approx(10)
    assert found["translation error, metres"] == pytest.approx(1.5)
    np.testing.assert_allclose(mean_pose(np.stack([turned(10, 1), turned(30, 2)])), turned(20, 1.5), atol=1e-12)


def test_priors_of_rooms_and_the_rows_of_both_tables():
    rooms = held_out_rooms(4)
    figures = prior_figures(rooms, held_out_rooms(8, seed=3))
    assert tuple(figures) == FIGURES
    assert 0.1 < figures["depth AbsRel"] < 1
    assert 2 < figures["rotation error, degrees"] < 30  # the camera turns
    assert [len(row) for row in as_rows({"a": figures, "b": figures})] == [5, 5, 5]
    assert as_rows({"IGEP": {"closer": 0.5, "mean": 0.25}}, "exact match") == [
        ["exact match", "closer", "mean"],
        ["IGEP", "0.500", "0.250"],
    ]


def test_the_tiny_model_is_made_of_the_base_and_reconstructs_a_room(tmp_path):
    model, processor = vid_llm_base()
    room = held_out_rooms(2)[0]
    figures = reconstruction_figures(model.eval(), processor, [room])
    assert all(np.isfinite(value) for value in figures.values())
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "how many chairs?"}]}],
        tokenize=False,
    )
    assert prompt.split() == ["<video>", "how", "many", "chairs?"]
    # Saved and loaded, it reads whole words as the base does.
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    words = AutoTokenizer.from_pretrained(TINY_BASE)("how many metres tall is the sphere").input_ids
    assert len(words) == 7
    for each in (processor, IGEPProcessor.from_pretrained(tmp_path / "base")):
        assert each.tokenizer("how many metres tall is the sphere").input_ids == words
    draw_room(tmp_path / "room.png", model, processor, room)
    assert (tmp_path / "room.png").stat().st_size > 10_000
    again, _ = vid_llm_base(bridge_tokens=0, metric_depth=False)
    assert again.config.bridge_tokens == 0
    # Before any training the language model reads what it reads in the base, pooled before the projector and not
    # behind it.
    base = LlavaOnevisionForConditionalGeneration.from_pretrained(TINY_BASE).eval()
    pixels = processor.question_inputs(list(room.frames), "how many")["pixel_values_videos"]
    with torch.no_grad():
        (own,) = model.model.encode(pixels).pooler_output
        known = base.model.get_video_features(pixels, return_dict=True).pooler_output.flatten(0, -2)[: len(own)]
    assert (own - known).square().mean() < 0.05 * known.square().mean()
    weights = model.model.vision.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in again.model.vision.state_dict().items())


def test_all_methods_get_the_rooms_and_steps_of_the_second_stage():
    script_args, args, _ = sft.parse(["--config", str(QUICKSTART), *IGEP, *of_second_stage(), "--use_cpu", "true"])
    recipe = yaml.safe_load(JOINT.read_text())
    assert (args.geometry_weight, args.cross_view_weight, args.global_weight) == (0.3, 0.05, 0.2)  # docs/vid_llm.md
    assert script_args.num_rooms == recipe["num_rooms"]
    assert (args.max_steps, args.train_batch_size) == (recipe["max_steps"], recipe["per_device_train_batch_size"])
    assert args.lr_scheduler_kwargs == recipe["lr_scheduler_kwargs"]
    same = ("dataset", "room_seed", "questions_per_room", "questions_per_row", "num_frames")
    quickstart = yaml.safe_load(QUICKSTART.read_text())
    assert {name: recipe[name] for name in same} == {name: quickstart[name] for name in same}


def test_commands_resume_where_a_checkpoint_is_whole(tmp_path):
    command = launched("joint.py", JOINT, tmp_path, "--seed", "1")
    assert "--resume_from_checkpoint" not in command
    assert command[1] == "accelerate.commands.launch"


def test_the_ablation_runs_what_is_left_and_tells_mean_and_spread(tmp_path, monkeypatch, capsys):
    """Runs are stood in for: each writes its figures."""
    commands = []

    def write(name: str, seed: int, rooms: int = 2) -> None:
        figures = dict.fromkeys((vid_llm_ablation.ANSWERS, *FIGURES), float(seed) + (name == "adapter") / 4)
        shared = vid_llm_ablation.shared_options(rooms, [])
        write_scores(tmp_path, name, seed, shared, {vid_llm_ablation.FOUND: figures})

    class Finished:
        def __init__(self, command: list[str], log: Path):
            name, seed = command[command.index("--only") + 1], int(command[command.index("--seeds") + 1])
            commands.append((name, seed))
            write(name, seed)

        def kill(self) -> None:
            """It has ended."""

    monkeypatch.setattr(seeded_runs, "start", Finished)
    monkeypatch.setattr(seeded_runs, "wait", lambda process, log: None)
    monkeypatch.setattr(vid_llm_ablation, "prior_figures", lambda rooms, known: dict.fromkeys(FIGURES, 4.0))
    monkeypatch.setattr(vid_llm_ablation, "training_rooms", list)
    write("adapter", 1)  # of an earlier call
    flags = ["--output", str(tmp_path), "--seeds", "1", "2"]
    vid_llm_ablation.main([*flags, "--held_out_rooms", "2"])
    assert sorted(commands) == sorted(
        (name, seed) for name in vid_llm_ablation.VARIANTS for seed in (1, 2) if (name, seed) != ("adapter", 1)
    )
    tables = (tmp_path / "results.md").read_text()
    assert tables in capsys.readouterr().out
    rows = [line.split("|") for line in tables.splitlines() if line.startswith("|")]
    assert [row[1].strip() for row in rows[2:6]] == ["base", "+ adapter", "+ metric depth", "+ two-stage distillation"]
    assert tables.count("1.500 ± 0.707") == 3 * 5
    assert tables.count("+0.250 ± 0.000") == 5
    assert "mean pose of training rooms: depth AbsRel 4.000" in tables
    commands.clear()
    vid_llm_ablation.main([*flags, "--held_out_rooms", "2"])
    assert not commands
    with pytest.raises(SystemExit, match="is of a run with other options"):
        vid_llm_ablation.main([*flags, "--held_out_rooms", "3"])


@pytest.mark.slow
def test_a_run_of_the_ablation_at_a_few_steps(tmp_path):
    output = ["--output", str(tmp_path), "--only", "base", "--seeds", "3", "--held_out_rooms", "4"]
    command = [sys.executable, "trainers/experiments/vid_llm_ablation.py", *output, *SHORT]
    done = subprocess.run(command, cwd=PACKAGE, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    shared = vid_llm_ablation.shared_options(4, SHORT)
    figures = read_scores(tmp_path, "base", 3, shared)[vid_llm_ablation.FOUND]
    assert set(figures) == {vid_llm_ablation.ANSWERS, *FIGURES}
    model = VidLLMForConditionalGeneration.from_pretrained(tmp_path / "base_seed3" / "model")
    assert not model.config.metric_depth
    assert model.model.adapter.bridge is None


@pytest.mark.slow
def test_the_whole_comparison_at_a_few_steps(tmp_path):
    flags = ["--output", str(tmp_path), "--held_out_rooms", "4", *SHORT]
    command = [sys.executable, "trainers/experiments/vid_llm_rooms.py", *flags]
    done = subprocess.run(command, cwd=PACKAGE, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results["questions"]) == ["plain fine-tuning", "IGEP", "Vid-LLM"]
    assert all(
        results[name] == {"steps": 4, "samples_per_step": 4} for name in ("distilled", "vid_llm", "plain", "igep")
    )
    assert (tmp_path / "results.md").read_text().strip() in done.stdout
    assert (tmp_path / "room.png").exists()
