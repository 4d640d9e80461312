"""Every recipe parses, names only what exists, and fits the model it is for at its real size."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from peft import get_peft_model
from scannet_tree import write_scan
from transformers import LlavaOnevisionConfig, Qwen3VLConfig
from trl import get_peft_config

from igep.configuration_igep import POSITION_FIELDS, SUPERVISION_FIELDS, IGEPConfig
from igep.modeling_igep import IGEPForConditionalGeneration
from igep.trainers import cli, package_files, sft
from igep.trainers.data.vlm3.vlm3_options import VLM3_TASKS
from igep.trainers.supervision.build_teacher import build_teacher
from igep.trainers.supervision.geometry_losses import igep_objective
from igep.trainers.supervision.precomputed_teacher import write_descriptors
from igep.trainers.supervision.teacher import TeacherGeometry


RECIPES = sorted(path for path in package_files.RECIPES.glob("*.yaml") if not path.stem.startswith("vid_llm_"))
LAUNCHES = sorted(package_files.LAUNCH_PLANS.glob("*.yaml"))
SCANNET = [path for path in RECIPES if path.stem.startswith("scannet_")]
BILLION = 10**9
VGGT = (28, 37, 2048)  # rows, columns and channels of its patch tokens for a frame of 392 x 518 pixels


def llava_onevision_7b() -> LlavaOnevisionConfig:
    return LlavaOnevisionConfig(
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_hidden_layers": 26,
            "num_attention_heads": 16,
            "image_size": 384,
            "patch_size": 14,
            "vision_use_head": False,
        },
        text_config={
            "model_type": "qwen2",
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152000,
        },
        tie_word_embeddings=False,
    )


def qwen3_vl_4b() -> Qwen3VLConfig:
    return Qwen3VLConfig(
        vision_config={
            "depth": 24,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_heads": 16,
            "patch_size": 16,
            "out_hidden_size": 2560,
            "deepstack_visual_indexes": [5, 11, 17],
        },
        text_config={
            "hidden_size": 2560,
            "intermediate_size": 9728,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
        },
        tie_word_embeddings=True,
    )


BASES = {
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": (llava_onevision_7b, 8.0),
    "Qwen/Qwen3-VL-4B-Instruct": (qwen3_vl_4b, 4.4),
}


@cache
def parsed(recipe: Path) -> tuple:
    return sft.parse(["--config", str(recipe), "--use_cpu", "true"])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_parses_and_keeps_its_values(recipe):
    script_args, training_args, model_args = parsed(recipe)
    merged = vars(script_args) | vars(training_args) | vars(model_args)
    written = yaml.safe_load(recipe.read_text())
    written["report_to"] = [] if written["report_to"] == "none" else [written["report_to"]]
    for key, value in written.items():
        if key == "lora_target_modules" and len(value) == 1:  # one pattern becomes the pattern itself
            value = value[0]
        assert merged[key] == value, key


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_for_sensors_says_how_far_they_see(recipe):
    script_args, args, _ = parsed(recipe)
    if script_args.dataset == "scannet":
        assert "max_depth_metres" in yaml.safe_load(recipe.read_text())
        assert script_args.max_depth_metres <= args.verifier_max_depth_metres


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_teacher_of_the_recipe_fits_its_geometry_size(recipe, tmp_path):
    _, args, _ = parsed(recipe)
    if not args.global_weight:
        assert args.teacher == "none"
        return
    grid = (args.oracle_grid, args.oracle_grid)
    if args.teacher == "precomputed":
        grid = VGGT[:2]
        write_descriptors(tmp_path, "scene", ["frame"], torch.zeros(1, *VGGT), args.teacher_transform)
    teacher = build_teacher(
        args.teacher, name_or_path=str(tmp_path), transform=args.teacher_transform, oracle_grid=args.oracle_grid
    )
    depth = torch.ones(1, 1, *args.geometry_size)
    geometry = TeacherGeometry(
        depth_metres=depth,
        intrinsics=torch.eye(3).expand(1, 1, 3, 3),
        world_from_camera=torch.eye(4).expand(1, 1, 4, 4),
        frame_mask=torch.ones(1, 1, dtype=torch.bool),
        scene_ids=["scene"],
        frame_ids=[["frame"]],
    )
    assert teacher(None, geometry).shape == (1, 1, *grid, teacher.channels)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_model_of_the_recipe_at_its_real_size(recipe):
    """On the meta device, so that billions of parameters cost nothing."""
    _, args, model_args = parsed(recipe)
    if model_args.model_name_or_path not in BASES:
        assert package_files.find_model(model_args.model_name_or_path) == str(package_files.TINY_BASE)
        return
    config, billions = BASES[model_args.model_name_or_path]
    fields = {name: vars(args)[name] for name in (*SUPERVISION_FIELDS, *POSITION_FIELDS)}
    channels = VGGT[2] if args.teacher == "precomputed" else 64
    with torch.device("meta"):
        model = IGEPForConditionalGeneration(IGEPConfig(vlm_config=config(), teacher_channels=channels, **fields))
    if model_args.use_peft:
        peft = get_peft_config(model_args)
        model = get_peft_model(model, peft, low_cpu_mem_usage=True).get_base_model()
    before = {name: value.requires_grad for name, value in model.named_parameters()}
    base_size = sum(value.numel() for name, value in model.named_parameters() if "lora_" not in name)
    with torch.device("meta"):
        model.add_training_heads(igep_objective)
    heads = {name: sum(value.numel() for value in head.parameters()) for name, head in model.training_heads.items()}
    assert base_size == pytest.approx(billions * BILLION, rel=0.05)
    of_the_authors = "3d_ide" in recipe.stem or "release" in recipe.stem  # the width of their code
    if not of_the_authors:
        assert heads.get("depth_verifier", 0) < 5_000_000  # weak on purpose
    if args.teacher_projector_channels is None:
        assert sum(heads.values()) < 5_000_000
    else:
        assert heads["teacher_projector"] == 3584 * 7168 + 7168 + 7168 * 2048 + 2048
    assert bool(heads) == args.supervises_geometry
    if model_args.use_peft:
        adapted = {model.part_of_parameter(name) for name in before if "lora_" in name}
        assert adapted == {"vision", "projector", "language"}
        assert {value.dtype for name, value in model.named_parameters() if "lora_" in name} == {torch.float32}


@pytest.mark.parametrize("recipe", [path for path in RECIPES if "vlm3_qwen" in path.stem], ids=lambda path: path.stem)
def test_vlm3_recipe_unifies_packs_and_keeps_the_processor_from_resizing(recipe):
    script_args, args, model_args = parsed(recipe)
    entries = {entry.name: entry for entry in script_args.entries()}
    assert {"depth", "correspondence", "pose"} <= entries.keys()
    for name, entry in entries.items():
        assert entry.task == name
        assert entry.focal_pixels == (750 if name == "pose" else 1000)
        assert entry.questions_per_image == 10
        assert entry.dataset == "scannet"
        # Rounding to whole patches enlarges an image by less than this.
        assert script_args.image_min_pixels < entry.max_image_pixels < script_args.image_max_pixels / 2
    assert args.pack_questions
    assert args.frames_as == "images"
    assert (args.lr_scheduler_type, args.warmup_steps, args.max_grad_norm) == ("cosine", 0.1, 0.1)
    assert args.learning_rate == (1e-4 if model_args.use_peft else 1e-5)
    assert args.supervises_geometry == recipe.stem.startswith("igep_plus")


@pytest.mark.parametrize("recipe", SCANNET, ids=lambda path: path.stem)
def test_methods_on_scannet_train_on_equal_data(recipe):
    script_args, args, model_args = parsed(recipe)
    entries = script_args.entries()
    assert [entry.dataset for entry in entries] == ["scanrefer", "multi3drefer", "scan2cap", "scanqa", "sqa3d"]
    assert {(entry.num_frames, entry.one_answer_per_row, entry.alternative_situations) for entry in entries} == {
        (32, True, True)
    }
    processes = 2 if model_args.use_peft else 8
    assert processes * args.per_device_train_batch_size * args.gradient_accumulation_steps == 16
    assert (args.seed, args.num_train_epochs, args.lr_scheduler_type, args.warmup_steps) == (42, 1, "cosine", 0.03)
    written, plain = (yaml.safe_load(path.read_text()) for path in (recipe, recipe.with_name(_plain_of(recipe.stem))))
    same = ("mixture", "mixture_weights", "questions_per_row", "dataset_path", "model_name_or_path", "weight_decay")
    assert {key: written[key] for key in same} == {key: plain[key] for key in same}
    if not model_args.use_peft:
        assert args.learning_rates == {**args.learning_rates, "language": 1e-5, "vision": 2e-6}


def _plain_of(stem: str) -> str:
    return f"scannet_plain_llava_onevision_7b{'_lora' if stem.endswith('_lora') else ''}.yaml"


@pytest.mark.parametrize(
    ("method", "positions", "crops", "aligns", "features"),
    [
        ("plain", False, False, False, "vision"),
        ("video_3d_llm", True, True, False, "vision"),
        ("3drs", True, False, True, "vision_and_language"),
        ("3drs_alone", True, True, True, "vision"),
    ],
)
def test_baselines_differ_in_what_they_are_named_for(method, positions, crops, aligns, features):
    for suffix in ("", "_lora"):
        script_args, args, _ = parsed(package_files.RECIPES / f"scannet_{method}_llava_onevision_7b{suffix}.yaml")
        sft.check_crop(script_args, args)
        assert args.reads_positions == positions
        assert script_args.centre_crop == crops
        assert args.supervises_geometry == aligns
        assert (args.ground_weight, args.ground_geometry_inputs) == (1.0, "depth+pose")
        assert args.ground_object_features == features
        if aligns:
            stated = (args.supervise, args.alignment_distance, args.global_weight, args.geometry_weight)
            assert stated == ("llm", "squared", 1.0, 0)


@pytest.mark.parametrize("suffix", ["", "_lora"])
def test_the_recipe_of_the_release_has_its_numbers(suffix):
    """Those of the authors' code, read at 0002655."""
    script_args, args, model_args = parsed(package_files.RECIPES / f"igep_release_7b{suffix}.yaml")
    assert [entry.dataset for entry in script_args.entries()] == [
        *("scanrefer", "multi3drefer", "scan2cap", "scanqa", "sqa3d")
    ]
    assert (args.objective, args.supervise, args.alignment_distance) == ("release", "llm", "squared")
    weights = (args.geometry_weight, args.cross_view_weight, args.global_weight, args.uncertainty_alpha)
    assert weights == (0.8, pytest.approx(0.8 * 0.1), 1.0, 0.2)
    verifier = (
        args.verifier_channels,
        args.verifier_layers,
        args.verifier_activation,
        args.verifier_projection_channels,
    )
    assert verifier == (256, [6, 12, 18, 26], "exp", 2048)
    assert (args.geometry_size, args.neighbour_window) == ([378, 378], 2)
    assert (args.learning_rate, args.learning_rates["vision"]) == ((2e-4, 2e-5) if suffix else (1e-5, 2e-6))
    if suffix:
        assert (model_args.lora_r, model_args.lora_alpha, model_args.lora_dropout) == (128, 256, 0.1)


def test_one_recipe_asks_all_four_tasks_of_an_export_with_boxes(tmp_path):
    write_scan(tmp_path, "scene0000_00")
    recipe = next(path for path in RECIPES if path.stem == "vlm3_all_tasks_qwen3_vl_4b")
    folder = str(tmp_path / "posed_images" / "scene0000_00")
    flags = ["--dataset_path", folder, "--frame_stride", "1", "--focal_pixels", "60", "--min_covisibility", "0"]
    script_args, args, _ = sft.parse(["--config", str(recipe), "--use_cpu", "true", *flags])
    mixture, _ = sft.load_datasets(script_args, args)
    rows = {part.dataset.task: part.dataset for part in mixture.parts}
    assert set(rows) == set(VLM3_TASKS)
    assert rows["pose"].options.focal_pixels == 750
    assert all(len(one) == 4 for one in rows.values())
    assert rows["objects"].scene_table.scene(0, [0]).boxes
    assert rows["depth"].options.depth_range == (0.2, 10.0)


def test_recipes_and_launch_plans_are_all_there():
    assert {path.stem for path in RECIPES} >= {
        *("quickstart", "igep_llava_onevision_7b", "igep_llava_onevision_7b_lora", "igep_qwen3_vl_4b"),
        *("igep_own_scenes", "vlm3_qwen3_vl_4b", "vlm3_qwen3_vl_4b_lora", "igep_plus_vlm3_qwen3_vl_4b"),
        *("igep_release_7b", "igep_release_7b_lora", "vlm3_all_tasks_qwen3_vl_4b"),
    }
    methods = ("plain", "video_3d_llm", "3drs", "3drs_alone", "igep", "3d_ide")
    assert {path.stem for path in SCANNET} == {
        f"scannet_{method}_llava_onevision_7b{suffix}" for method in methods for suffix in ("", "_lora")
    }
    assert {path.stem for path in LAUNCHES} == {"cpu", "ddp", "fsdp2", "deepspeed_zero2", "deepspeed_zero3"}


@pytest.mark.parametrize("launch", LAUNCHES, ids=lambda path: path.stem)
def test_launch_plan_is_one_that_accelerate_reads(launch):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(launch))
    settings = yaml.safe_load(launch.read_text())
    assert config.distributed_type.value == settings["distributed_type"]
    assert config.num_processes == settings["num_processes"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_begins_with_a_command_that_runs_it(recipe):
    (command,) = re.findall(r"^#   igep (.*)$", recipe.read_text().split("\nmodel_name_or_path")[0], re.MULTILINE)[:1]
    name, *words = command.split()
    if name in cli.EXPERIMENTS:  # of a recipe that one command runs several times
        assert package_files.RECIPES / f"{cli.EXPERIMENTS[name][0].split('.')[-1]}.yaml" == recipe
        return
    if name == "launch":
        plan, *words = words
        assert package_files.find_launch_plan(plan) in LAUNCHES
        words = words[words.index("sft") :]
    else:
        words = [name, *words]
    assert words[:2] == ["sft", "--config"]
    assert package_files.find_recipe(words[2]) == recipe


@pytest.mark.parametrize("launch", LAUNCHES, ids=lambda path: path.stem)
def test_a_launch_plan_says_how_it_is_used(launch):
    assert f"# igep launch {launch.name} " in launch.read_text()
