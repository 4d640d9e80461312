"""Recipes of Vid-LLM parse, keep their values, and fit the model they are for at its real size."""

from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from peft import get_peft_model
from transformers import Dinov2Config, Qwen2Config
from trl import get_peft_config

from igep.configuration_vid_llm import VidLLMConfig
from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.trainers import distill, joint
from igep.trainers.joint_trainer import beside_full_parts
from igep.trainers.package_files import RECIPES
from igep.trainers.reached_parameters import reached_parts


ROOMS = sorted(RECIPES.glob("vid_llm_*.yaml"))
BILLION = 10**9
GIBIBYTE = 2**30


@cache
def parsed(recipe: Path) -> tuple:
    launcher = distill if "distill" in recipe.stem else joint
    return launcher.parse(["--config", str(recipe), "--use_cpu", "true"])


@pytest.mark.parametrize("recipe", ROOMS, ids=lambda path: path.stem)
def test_recipe_parses_and_keeps_its_values(recipe):
    merged = {name: value for options in parsed(recipe) for name, value in vars(options).items()}
    written = yaml.safe_load(recipe.read_text())
    written["report_to"] = [] if written["report_to"] == "none" else [written["report_to"]]
    for key, value in written.items():
        assert merged[key] == value, key
    if recipe.stem.endswith("_7b"):
        assert (merged["adam_beta1"], merged["adam_beta2"]) == (0.9, 0.999)
        assert (merged["weight_decay"], merged["max_grad_norm"], merged["num_frames"]) == (0.05, 1.0, 32)


def vid_llm_7b() -> VidLLMForConditionalGeneration:
    """DINOv2-L and Qwen2-7B on the meta device, so that billions of parameters cost nothing."""
    script_args, *_ = parsed(RECIPES / "vid_llm_distill_7b.yaml")
    vision = Dinov2Config(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, patch_size=14, image_size=518
    )
    language = Qwen2Config(
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        vocab_size=152064,
        tie_word_embeddings=False,
    )
    with torch.device("meta"):
        return VidLLMForConditionalGeneration(
            VidLLMConfig(vision_config=vision, text_config=language, **script_args.vid_llm_config)
        )


def test_the_model_of_the_paper_and_what_its_training_holds():
    model = vid_llm_7b()
    sizes: dict[str, int] = {}
    for name, value in model.named_parameters():
        part = model.part_of_parameter(name)
        sizes[part] = sizes.get(part, 0) + value.numel()
    assert sizes["vision"] == pytest.approx(0.304 * BILLION, rel=0.02)
    assert sizes["language"] == pytest.approx(7.6 * BILLION, rel=0.02)
    assert 0 < sizes["adapter"] < 0.05 * BILLION
    assert 0.1 * BILLION < sizes["reconstruction"] < 0.6 * BILLION

    _, args, model_args = parsed(RECIPES / "vid_llm_joint_7b.yaml")
    config = beside_full_parts(get_peft_config(model_args), model, reached_parts(args) - args.frozen_parts)
    adapted = get_peft_model(model, config, low_cpu_mem_usage=True)
    trained = sum(value.numel() for value in adapted.parameters() if value.requires_grad)
    held = sum(value.numel() for value in adapted.parameters())
    # Frozen weights in bfloat16; of what trains float32 weights, gradients and AdamW's two moments. Activations come
    # on top.
    gibibytes = (2 * (held - trained) + 16 * trained) / GIBIBYTE
    print(f"{trained / BILLION:.2f} billion of {held / BILLION:.2f} billion parameters train: {gibibytes:.1f} GiB")  # noqa: T201
    assert 0.5 * BILLION < trained < 1.2 * BILLION
    assert 18 < gibibytes < 32


def test_the_rooms_of_the_first_stage_are_among_those_of_the_second():
    first, second = (
        yaml.safe_load((RECIPES / f"vid_llm_{stage}_rooms.yaml").read_text()) for stage in ("distill", "joint")
    )
    same = (
        "dataset",
        "room_seed",
        "num_frames",
        "geometry_size",
        "questions_per_room",
        "questions_per_row",
    )
    assert {name: first[name] for name in same} == {name: second[name] for name in same}
    assert first["num_rooms"] <= second["num_rooms"]
    assert not first.get("room_fixed_gaze")  # the camera turns
