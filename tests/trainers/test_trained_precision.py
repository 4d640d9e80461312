"""Bases in bfloat16: what trains is float32, so the smallest steps are kept; the saved model is bfloat16 again."""

import json

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file
from tiny_training import SlantedWalls, make_args
from transformers import SiglipVisionConfig, SiglipVisionModel
from vid_llm_training import make_trainer, weights

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.loop.float32_weights import MixedTypesError
from igep.trainers.sft_trainer import IGEPSFTTrainer


STEP = 1e-6
# Drawn, else half of them has no gradient yet.
ADAPTERS = LoraConfig(r=4, init_lora_weights=False, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
BFLOAT16 = {"dtype": torch.bfloat16, "bf16": True, "learning_rate": STEP, "weight_decay": 0.0}


def check_steps(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], trained: set[str]) -> None:
    """AdamW moves a weight by at most its learning rate at first, and by about that where the gradient is clear."""
    for name in trained:
        moved = (after[name] - before[name].float()).abs().max()
        assert after[name].dtype == torch.float32, name
        assert 0 < moved < 10 * STEP, name


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        ("distill", {}),
        ("joint", {"freeze": ["language"]}),
        ("joint", {"peft_config": ADAPTERS}),
    ],
    ids=["distill", "joint", "joint with adapters"],
)
def test_both_stages_of_vid_llm_keep_the_smallest_steps(tmp_path, stage, options):
    trainer = make_trainer(stage, tmp_path, max_steps=1, **BFLOAT16, **options)
    before = weights(trainer)
    trained = {name for name, value in trainer.unwrapped_model.named_parameters() if value.requires_grad}
    trainer.train()
    after = weights(trainer)
    check_steps(before, after, trained)
    frozen = {name for name in after if trainer.part_of_parameter(name) == "language"} - trained
    assert frozen
    assert all(after[name].dtype == torch.bfloat16 and torch.equal(after[name], before[name]) for name in frozen)

    loaded = {name: value.dtype for name, value in before.items() if "lora_" not in name and "heads." not in name}
    trainer.save_model()
    saved = load_file(tmp_path / "model.safetensors")
    assert {saved[name].dtype for name in saved.keys() & loaded.keys()} >= {torch.bfloat16}
    assert all(saved[name].dtype == loaded[name] for name in saved.keys() & loaded.keys())
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    assert VidLLMForConditionalGeneration.from_pretrained(tmp_path, dtype="auto").dtype == torch.bfloat16
    assert all(torch.equal(value, after[name]) for name, value in weights(trainer).items())


def test_a_run_in_bfloat16_resumes_to_the_bit_and_may_change_how_it_is_loaded(tmp_path, caplog):
    """A pooling head lies frozen among what trains; the language model trains in full."""
    fields = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    runs = []
    for resumes in (False, True):
        torch.manual_seed(0)
        options = {
            "model_fields": {
                "vision": SiglipVisionModel(SiglipVisionConfig(image_size=32, patch_size=8, **fields)),
                "frame_size": (32, 32),
            },
            "data_options": {"attn_implementation": "sdpa" if resumes else None},
        }
        trainer = make_trainer(
            "joint", tmp_path, SlantedWalls(4), max_steps=3, save_strategy="steps", save_steps=2, **BFLOAT16, **options
        )
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2") if resumes else None)
        runs.append(trainer)
    whole, resumed = (weights(run) for run in runs)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    assert {value.dtype for value in whole.values()} == {torch.float32}
    assert "attn_implementation" in caplog.text  # said, and taken


def test_what_would_meet_in_two_types_is_refused(tmp_path):
    options = BFLOAT16 | {"bf16": False}
    with pytest.raises(
        MixedTypesError, match="is frozen in bfloat16, and nothing casts between them. Set bf16 to true"
    ):
        make_trainer("joint", tmp_path, freeze=["language"], **options).train()


def test_igep_keeps_the_smallest_steps_of_the_vision_tower(checkpoint_folders, tmp_path):
    base = checkpoint_folders["llava_onevision"]
    rate = {"learning_rate": STEP, "weight_decay": 0.0, "max_steps": 1, "bf16": True, "freeze": ["language"]}
    trainer = IGEPSFTTrainer(
        model=IGEPForConditionalGeneration.from_base(base, dtype=torch.bfloat16),
        args=make_args(tmp_path, **rate),
        train_dataset=SlantedWalls(),
        processing_class=IGEPProcessor.from_base(base),
    )
    before = weights(trainer)
    trained = {name for name, value in trainer.igep_model.named_parameters() if value.requires_grad}
    assert {trainer.part_of_parameter(name) for name in trained} == {"vision", "projector", "heads"}
    trainer.train()
    after = weights(trainer)
    check_steps(before, after, trained)
    assert {after[name].dtype for name in after.keys() - trained} == {torch.bfloat16, torch.float32}
    trainer.save_model()
    assert {value.dtype for value in load_file(tmp_path / "model.safetensors").values()} == {torch.bfloat16}
