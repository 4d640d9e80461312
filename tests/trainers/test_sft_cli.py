"""The command as a user types it: recipes, flags, errors, and what a run leaves on disk."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image
from scene_folders import scene_row, write_exported
from transformers import AutoModel, BlipConfig, BlipForConditionalGeneration

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers import sft
from igep.trainers.commands import ask_options
from igep.trainers.data.mixture import MixtureDataset, MixturePart
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES
from igep.trainers.data.vlm3.vlm3_dataset import VLM3Dataset
from igep.trainers.data.vlm3.vlm3_options import VLM3Options
from igep.trainers.package_files import PACKAGE


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
    with pytest.raises(SystemExit, match=r"there is no recipe .*nowhere.yaml"):
        sft.parse(["--config", str(tmp_path / "nowhere.yaml")])


def test_mixture_in_a_recipe_and_as_a_flag(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "output_dir: here\nnum_rooms: 7\nfocal_pixels: 700\nmixture_weights: custom\nmixture:\n"
        "  - {name: near, task: depth, weight: 2}\n  - {name: far, task: pose, focal_pixels: 600, weight: 1e-1}\n"
    )
    entries = sft.parse(["--config", str(recipe), "--use_cpu"])[0].entries()
    assert [(entry.name, entry.task, entry.focal_pixels) for entry in entries] == [
        ("near", "depth", 700),
        ("far", "pose", 600),
    ]
    assert [(entry.num_rooms, entry.weight) for entry in entries] == [(7, 2), (7, 0.1)]
    flags = ("--mixture", "{name: only, task: objects}", "--mixture_weights", "uniform")
    (entry,) = sft.parse(["--config", str(recipe), "--use_cpu", *flags])[0].entries()
    assert (entry.name, entry.task, entry.focal_pixels, entry.weight) == ("only", "objects", 700, None)


def test_one_task_is_a_mixture_of_one():
    assert sft.parse(["--use_cpu", "--output_dir", "unused"])[0].entries() == []
    (entry,) = sft.parse(["--use_cpu", "--output_dir", "unused", "--task", "depth", "--num_rooms", "9"])[0].entries()
    assert (entry.name, entry.task, entry.num_rooms) == ("depth", "depth", 9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("mixture: [{name: a, tsak: depth}]", r"entry 0 has an unknown key 'tsak'. Did you mean 'task'"),
        ("mixture: [{name: a, num_rooms: many}]", r"entry 0 \(a\): .*--num_rooms"),
        ("mixture: {name: a}", "must be a list of entries"),
        ("task: slam", "task='slam' is unknown: use one of questions, depth"),
        ("image_max_pixels: 0", "image_max_pixels=0 must be at least 1"),
    ],
)
def test_bad_mixture_in_a_recipe(tmp_path, content, message):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(content)
    with pytest.raises(SystemExit, match=message):
        sft.parse(["--config", str(recipe), "--use_cpu"])


# ---- models and data


def test_limits_of_the_processor(checkpoint_folders, tmp_path):
    flags = ("--image_min_pixels", "1024", "--image_max_pixels", "16384")

    def load(family):
        script_args, _, model_args = sft.parse([*tiny_flags(checkpoint_folders[family], tmp_path), *flags])
        return sft.load_processor(script_args, model_args)

    processor = load("qwen3_vl")
    found = [
        processor.question_inputs([Image.new("RGB", size)], "Where?", frames_as="images")["image_grid_thw"][0].prod()
        for size in ((8, 8), (64, 64), (512, 512))
    ]
    patch = processor.image_processor.patch_size**2
    assert [int(patches) * patch for patches in found] == [1024, 4096, 16384]
    processor.save_pretrained(tmp_path / "saved")
    assert dict(IGEPProcessor.from_base(tmp_path / "saved").image_processor.size)["longest_edge"] == 16384
    with pytest.raises(ValueError, match=r"image_min_pixels=1024.*fixed size.*Remove both"):
        load("llava_onevision")


def test_a_mixture_has_an_order_of_its_own(base, tmp_path):
    for name, value in (("train_sampling_strategy", "sequential"), ("data_seed", "3")):
        flags = ("--mixture", "{name: asked}", f"--{name}", value)
        script_args, training_args, _ = sft.parse([*tiny_flags(base, tmp_path), *flags])
        with pytest.raises(ValueError, match=rf"{name}=.?{value}.*: a mixture has an order"):
            sft.load_datasets(script_args, training_args)


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


def test_what_the_user_can_correct_ends_in_one_line(base, tmp_path):
    """No traceback, whatever part finds it: options, scenes, the processor, the base, the trainer."""
    for flags, message in (
        (["--label_smoothing_factor", "0.1"], "label_smoothing_factor=0.1 would change nothing"),
        (["--lora_r", "4"], "lora_r=4 would change nothing without use_peft"),
        (["--dataset", "scannet", "--dataset_path", str(tmp_path / "none")], "none"),
        (["--model_name_or_path", str(tmp_path / "gone")], "model_name_or_path=.*gone"),
        (["--verifier_taps", "9"], "verifier_taps=9 is more than the 3 layers"),
        (["--use_peft", "--lora_target_modules", "nothing_like_it"], "nothing_like_it"),
    ):
        with pytest.raises(SystemExit, match=rf"^igep sft: error: .*{message}") as stopped:
            sft.prepare([*tiny_flags(base, tmp_path), *flags])
        assert "\n" not in str(stopped.value)


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
    assert not list(tmp_path.rglob("*heads*.safetensors"))


def test_held_out_frames_stand_beside_what_looks_at_no_pixel(base, tmp_path, capsys):
    scenes = write_exported(tmp_path / "desk", scene_row(12))
    flags = [
        "--dataset",
        "scannet",
        "--dataset_path",
        str(scenes),
        "--clip_frames",
        "2",
        "--eval_frame_fraction",
        "0.25",
    ]
    flags += ["--eval_strategy", "steps", "--eval_steps", "2"]
    sft.main([*tiny_flags(base, tmp_path / "run"), *flags])
    lines = capsys.readouterr().out.splitlines()
    heading = next(line for line in lines if "held out, step 2" in line)
    assert heading.split("held out, step 2")[1].split("  ")[-1].strip() == "constant depth"
    assert "copied frame" in heading
    for name in ("depth_abs_rel", "depth_delta_1"):
        assert len(next(line for line in lines if line.startswith(name)).split()) == 6
    assert next(line for line in lines if line.startswith("loss_geometry")).split()[-2:] == ["-", "-"]
    weights = ["--geometry_weight", "0", "--cross_view_weight", "0", "--global_weight", "0"]
    with pytest.raises(SystemExit, match="all geometry weights are 0"):
        sft.main([*tiny_flags(base, tmp_path / "run"), *flags, *weights])


def test_saved_model_trains_on(base, tmp_path):
    """A model that IGEP saved is a base as good as any: nothing is wrapped twice."""
    sft.main(tiny_flags(base, tmp_path / "first"))
    sft.main(tiny_flags(tmp_path / "first", tmp_path / "second"))
    first, second = (IGEPForConditionalGeneration.from_pretrained(tmp_path / run) for run in ("first", "second"))
    assert first.state_dict().keys() == second.state_dict().keys()
    assert not torch.equal(first.get_output_embeddings().weight, second.get_output_embeddings().weight)
    assert IGEPProcessor.from_base(tmp_path / "second").tokenizer.pad_token_id is not None


def test_one_task_of_vlm3_trains_and_is_counted(base, tmp_path, capsys):
    flags = ("--task", "depth", "--focal_pixels", "51.2", "--questions_per_image", "3", "--pack_questions")
    flags += ("--frames_as", "images", "--eval_rooms", "1", "--eval_strategy", "steps", "--eval_steps", "2")
    message = "^igep sft: error: mixture entry 'depth', .*: The encoder sees every image at 32 x 32.*64 x 64"
    with pytest.raises(SystemExit, match=message):
        sft.main([*tiny_flags(base, tmp_path), *flags])  # would undo the unification
    sft.main([*tiny_flags(base, tmp_path), *flags, "--canvas_size", "32", "32"])
    printed = capsys.readouterr().out
    assert "held out, step 2" in printed
    line = printed[printed.index("mixture ") :].splitlines()[1].split()
    assert line[:4] == ["depth", "8", "4", "100.00%"]


def test_every_camera_of_a_mixture_is_checked_and_each_size_once():
    """The first row may fit where a later one, of another camera, would be resized."""
    other = scene_row(2, "other")
    other["intrinsics"] = [(np.array(matrix) * [[0.5], [0.5], [1]]).tolist() for matrix in other["intrinsics"]]
    for matrix in other["intrinsics"]:
        matrix[0][2], matrix[1][2] = 32.0, 24.0
    scenes = Dataset.from_list([scene_row(3, "first"), other], features=SCENE_FEATURES)
    rows = VLM3Dataset(scenes, VLM3Options(focal_pixels=60.0), geometry_size=(8, 8))
    mixture = MixtureDataset([MixturePart("depth", rows)])
    first, second = (rows[number].frames[0].size[::-1] for number in (0, 3))
    asked = []

    class Processor:
        def check_unified_size(self, size):
            asked.append(size)
            if size == second:
                raise ValueError("would be resized")

    with pytest.raises(ValueError, match="mixture entry 'depth', other/00000: would be resized"):
        sft.check_image_sizes(mixture, Processor())
    assert asked == [first, second]


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
        cwd=PACKAGE,
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


@pytest.mark.parametrize("question", ["<image>\\nHow far is the chair?", "How far is the chair?"])
def test_own_scenes_with_words_of_ones_own(tmp_path, question):
    """The tiny base knows 103 words: others are named before training, or added to what it reads and says."""
    write_exported(tmp_path / "scans" / "desk", scene_row(20))
    lines = (
        f'{{"question": "{question}", "answer": "2.5 metres"}}\n{{"question": "What room?", "answer": "a study"}}\n'
    )
    (tmp_path / "scans" / "desk" / "questions.jsonl").write_text(lines)
    flags = [
        *("--config", "igep_own_scenes.yaml", "--dataset_path", str(tmp_path / "scans"), "--use_cpu"),
        *("--output_dir", str(tmp_path / "model"), "--max_steps", "2", "--per_device_train_batch_size", "2"),
        *(
            "--eval_strategy",
            "no",
            "--eval_on_start",
            "false",
            "--disable_tqdm",
            "true",
        ),
    ]
    with pytest.raises(SystemExit, match="does not know .*'chair'.* hold .*desk:1.*add_unknown_words"):
        sft.prepare([*flags, "--add_unknown_words", "false"])
    sft.main(flags)
    processor = IGEPProcessor.from_base(tmp_path / "model")
    model = IGEPForConditionalGeneration.from_pretrained(tmp_path / "model")
    ids = processor.tokenizer("How far is the chair? A study, 2.5 metres", add_special_tokens=False).input_ids
    assert processor.tokenizer.unk_token_id not in ids
    assert processor.tokenizer.decode(ids) == "how far is the chair a study 2.5 metres"
    assert model.get_output_embeddings().weight.shape[0] == len(processor.tokenizer) == 108


@pytest.mark.slow
def test_own_scenes_end_in_a_true_answer(tmp_path, capsys):
    """The README's walk: scenes with a question, the recipe, and the same question asked of the model."""
    write_exported(tmp_path / "scans" / "desk", scene_row(20))
    line = '{"question": "How far is the chair?", "answer": "2.5 metres"}\n'
    (tmp_path / "scans" / "desk" / "questions.jsonl").write_text(line)
    sft.main(
        [
            *("--config", "igep_own_scenes.yaml", "--dataset_path", str(tmp_path / "scans"), "--use_cpu"),
            *("--output_dir", str(tmp_path / "model"), "--max_steps", "60", "--per_device_train_batch_size", "4"),
            *("--eval_strategy", "no", "--eval_on_start", "false", "--disable_tqdm", "true"),
        ]
    )
    capsys.readouterr()
    folder = tmp_path / "scans" / "desk" / "color"
    assert ask_options.main(["--model", str(tmp_path / "model"), "--video", str(folder), "How far is the chair?"]) == 0
    assert capsys.readouterr().out == "2.5 metres\n"
