"""The command as a user types it: recipes, flags, errors, and what a run leaves on disk."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, BlipConfig, BlipForConditionalGeneration

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers import sft


ROOT = Path(sft.__file__).resolve().parent.parent


def tiny_flags(base: Path, output: Path) -> list[str]:
    return [
        *("--model_name_or_path", str(base), "--output_dir", str(output), "--num_rooms", "4", "--use_cpu"),
        *("--geometry_size", "16", "16", "--max_steps", "2", "--per_device_train_batch_size", "2"),
        *("--save_strategy", "no", "--logging_steps", "1", "--report_to", "none", "--disable_tqdm", "true"),
        *("--learning_rate", "1e-2", "--no_gradient_checkpointing"),
    ]


@pytest.fixture(scope="module")
def base(checkpoint_folders) -> Path:
    return checkpoint_folders["llava_onevision"]


# ---- options


def test_help_lists_every_option_with_an_explanation(capsys):
    with pytest.raises(SystemExit) as stopped:
        sft.parse(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for options in sft.OPTIONS:
        for option in dataclasses.fields(options):
            assert f"--{option.name}" in text
    for option in dataclasses.fields(sft.IGEPScriptArguments):
        assert option.metadata["help"]
    assert "--config" in text


def test_recipe_and_flags_and_their_order(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "output_dir: here\nnum_rooms: 7\ngeometry_size: [8, 16]\nfreeze: [vision]\nlearning_rate: 1e-3\n"
    )
    assert sft.parse([f"--config={recipe}", "--use_cpu"])[0].num_rooms == 7
    script_args, training_args, _ = sft.parse(["--config", str(recipe), "--num_rooms", "9", "--use_cpu"])
    assert script_args.num_rooms == 9
    assert training_args.output_dir == "here"
    assert training_args.geometry_size == [8, 16]
    assert training_args.freeze == ["vision"]
    assert training_args.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("geometry_wieght: 0.3\n", r"unknown key in .*recipe.yaml: 'geometry_wieght'. Did you mean 'geometry_weight'"),
        ("- geometry_weight\n", "holds no options"),
        ("", "holds no options"),
        ("geometry_size: [1\n", r"recipe.yaml is not YAML"),
        ("geometry_weight: -2\n", "geometry_weight=-2 must be a finite number"),
    ],
)
def test_bad_recipe(tmp_path, content, message):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(content)
    with pytest.raises(SystemExit, match=message):
        sft.parse(["--config", str(recipe), "--use_cpu"])
    with pytest.raises(SystemExit, match=message):
        sft.parse([f"--config={recipe}", "--use_cpu"])


def test_unknown_flag_and_missing_recipe(tmp_path):
    with pytest.raises(SystemExit, match=r"unknown flag: 'num_framez'. Did you mean 'num_frames'"):
        sft.parse(["--num_framez", "3"])
    with pytest.raises(SystemExit, match=r"No such file.*nowhere.yaml"):
        sft.parse(["--config", str(tmp_path / "nowhere.yaml")])


# ---- models and data


def test_no_model_named():
    _, training_args, model_args = sft.parse(["--use_cpu", "--output_dir", "unused"])
    with pytest.raises(ValueError, match="model_name_or_path is not set"):
        sft.load_model(model_args, training_args)


def test_base_without_mm_encoder_outputs(tmp_path):
    text = {
        "vocab_size": 20,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BlipConfig(text_config=text, vision_config=vision | {"image_size": 8, "patch_size": 4}, projection_dim=8)
    BlipForConditionalGeneration(config).save_pretrained(tmp_path)
    _, training_args, model_args = sft.parse(
        ["--use_cpu", "--output_dir", "unused", "--model_name_or_path", str(tmp_path)]
    )
    with pytest.raises(ValueError, match=r"BlipForConditionalGeneration.*mm_encoder_outputs"):
        sft.load_model(model_args, training_args)


def test_evaluation_without_held_out_scenes(base, tmp_path):
    script_args, training_args, _ = sft.parse([*tiny_flags(base, tmp_path), "--eval_strategy", "steps"])
    with pytest.raises(ValueError, match=r"eval_strategy='steps' needs held-out scenes: set eval_rooms"):
        sft.load_datasets(script_args, training_args)


def test_rows_follow_the_options(base, tmp_path):
    flags = (
        "--questions_per_row",
        "2",
        "--geometry_only_ratio",
        "0.5",
        "--eval_rooms",
        "3",
        "--eval_strategy",
        "steps",
    )
    script_args, training_args, _ = sft.parse([*tiny_flags(base, tmp_path), *flags])
    train, held_out = sft.load_datasets(script_args, training_args)
    assert len(train) == 4 + 4
    assert sum(not train[row].conversation for row in range(len(train))) == 4
    assert len(held_out) == 3
    assert train[0].depth_metres.shape == (2, 16, 16)
    assert not set(train.sample_ids) & set(held_out.sample_ids)


# ---- runs


def test_run_saves_a_model_and_prints_a_summary(base, tmp_path, capsys):
    sft.main([*tiny_flags(base, tmp_path), "--eval_rooms", "2", "--eval_strategy", "steps", "--eval_steps", "2"])
    table = capsys.readouterr().out
    for name in ("loss_geometry", "depth_abs_rel", "held out, step 2"):
        assert name in table
    model = AutoModel.from_pretrained(tmp_path, trust_remote_code=True)
    assert model.config.model_type == "igep"
    assert not list(tmp_path.rglob("*heads*"))


def test_saved_model_trains_on(base, tmp_path):
    """A model that IGEP saved is a base as good as any: nothing is wrapped twice."""
    sft.main(tiny_flags(base, tmp_path / "first"))
    sft.main(tiny_flags(tmp_path / "first", tmp_path / "second"))
    first, second = (IGEPForConditionalGeneration.from_pretrained(tmp_path / run) for run in ("first", "second"))
    assert first.state_dict().keys() == second.state_dict().keys()
    assert not torch.equal(first.get_output_embeddings().weight, second.get_output_embeddings().weight)
    assert IGEPProcessor.from_base(tmp_path / "second").tokenizer.pad_token_id is not None


def test_lora_from_the_command_line(base, tmp_path):
    flags = ("--use_peft", "--lora_r", "2", "--lora_target_modules", r".*\.(q_proj|v_proj)")
    sft.main([*tiny_flags(base, tmp_path), *flags])
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()
    start = IGEPForConditionalGeneration.from_base(base).state_dict()
    merged = IGEPForConditionalGeneration.from_pretrained(tmp_path).state_dict()
    changed = {name for name in start if not torch.equal(start[name], merged[name])}
    assert changed == {name for name in start if name.endswith(("q_proj.weight", "v_proj.weight"))}


@pytest.mark.slow
def test_accelerate_launch_with_a_recipe_and_tensorboard(base, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "dataset: synthetic_rooms\nnum_rooms: 4\neval_rooms: 2\neval_strategy: steps\neval_steps: 2\n"
        "geometry_size: [16, 16]\nper_device_train_batch_size: 2\nuse_cpu: true\ngradient_checkpointing: false\n"
        f"report_to: tensorboard\nlogging_steps: 1\nmodel_name_or_path: {base}\noutput_dir: {tmp_path / 'run'}\n"
    )
    command = ["-m", "accelerate.commands.launch", "--config_file", "trainers/launch/cpu.yaml", "trainers/sft.py"]
    done = subprocess.run(
        [sys.executable, *command, "--config", str(recipe), "--max_steps", "3"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TENSORBOARD_LOGGING_DIR": str(tmp_path / "logs")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "3/3" in done.stderr  # the progress bar
    assert "depth_abs_rel" in done.stdout
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(next((tmp_path / "logs").rglob("events.out.*")).parent))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {"train/loss_geometry", "train/depth_abs_rel", "train/num_tokens", "eval/depth_abs_rel"} <= tags
    state = json.loads((tmp_path / "run" / "checkpoint-3" / "trainer_state.json").read_text())
    assert state["global_step"] == 3
