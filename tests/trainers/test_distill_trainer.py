"""Vid-LLM's first stage: encoder, adapter and projections learn from both teachers; the projections are not saved."""

import dataclasses
import json
import math

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import SlantedWalls
from vid_llm_training import changed, make_trainer, weights

from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.trainers.distill_config import DistillConfig
from igep.trainers.supervision.distillation_losses import distillation_objective
from igep.trainers.supervision.teacher import TeacherGeometry


class NoDepth(SlantedWalls):
    """Walls that the geometry oracle cannot describe."""

    def __getitem__(self, row: int):
        return dataclasses.replace(super().__getitem__(row), depth_metres=None, intrinsics=None)


def test_encoder_adapter_and_heads_train_and_every_term_is_logged(tmp_path):
    trainer = make_trainer("distill", tmp_path, eval_dataset=SlantedWalls(2), eval_strategy="steps", eval_steps=2)
    before = weights(trainer)
    trained = {name for name, value in trainer.unwrapped_model.named_parameters() if value.requires_grad}
    assert {trainer.part_of_parameter(name) for name in trained} == {"vision", "adapter", "heads"}
    trainer.train()
    assert changed(trainer, before) == trained
    logs = trainer.state.log_history
    total = sum(weight * logs[0][name] for name, weight in trainer.loss_weights.items())
    assert logs[0]["loss"] == pytest.approx(total, rel=1e-5)
    evaluated = next(entry for entry in logs if "eval_loss" in entry)
    assert {f"eval_{name}" for name in trainer.loss_weights} <= evaluated.keys()


def test_loss_is_that_of_projected_streams_and_the_saved_model_has_no_projections(tmp_path):
    trainer = make_trainer("distill", tmp_path, max_steps=1, learning_rate=0.0)
    trainer.train()
    model, heads = trainer.unwrapped_model, trainer.training_heads["distillation_heads"]
    trainer.save_model()
    assert not any("distillation" in name for name in load_file(tmp_path / "model.safetensors"))
    saved = VidLLMForConditionalGeneration.from_pretrained(tmp_path).eval()
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(4)])
    geometry = TeacherGeometry(
        *(
            batch[name]
            for name in ("depth_metres", "intrinsics", "world_from_camera", "frame_mask", "scene_ids", "frame_ids")
        )
    )
    with torch.no_grad():
        found, _ = trainer.compute_loss(model.eval(), batch, return_outputs=True)
        streams = saved.encode_streams(batch["pixel_values_videos"], batch["frame_mask"])
        terms = distillation_objective(
            geometry_student=heads.geometry(streams[0]),
            language_student=heads.language(streams[1]),
            geometry_teacher=trainer.geometry_teacher(None, geometry),
            language_teacher=trainer.language_teacher(batch["language_teacher_frames"], geometry),
            frame_mask=batch["frame_mask"],
            structure_weight=1.0,
        )
    expected = sum(weight * terms[name] for name, weight in trainer.loss_weights.items())
    torch.testing.assert_close(found, expected)
    run = json.loads((tmp_path / "training_run.json").read_text())
    assert run["usage"]["tasks"] == []


def test_frozen_encoder_and_rows_that_no_teacher_knows(tmp_path):
    trainer = make_trainer("distill", tmp_path, NoDepth(4), freeze_encoder=True, structure_weight=0.0)
    before = weights(trainer)
    trainer.train()
    assert {trainer.part_of_parameter(name) for name in changed(trainer, before)} == {"adapter", "heads"}
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert all(entry["loss_geometry_teacher"] == 0 for entry in logs)
    assert all(math.isfinite(entry["loss"]) and entry["loss_language_teacher"] > 0 for entry in logs)


def test_resume_is_bit_identical_with_its_heads(tmp_path):
    options = {
        "max_steps": 6,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 2,
        "dataset": SlantedWalls(5),
        "logging_steps": 3,
        "save_strategy": "steps",
        "save_steps": 4,
        "heads_learning_rate": 3e-2,
    }
    whole = make_trainer("distill", tmp_path, **options)
    whole.train()
    heads = load_file(tmp_path / "checkpoint-4" / "training_heads.safetensors")
    assert sorted(heads) == sorted(
        f"distillation_heads.{stream}.{kind}" for stream in ("geometry", "language") for kind in ("bias", "weight")
    )
    resumed = make_trainer("distill", tmp_path, **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(resumed).items())
    last = [[entry for entry in each.state.log_history if "loss" in entry][-1] for each in (whole, resumed)]
    assert last[0] == last[1]


def test_teachers_of_two_widths_share_no_rows(tmp_path):
    with pytest.raises(ValueError, match="have 64 and 4 channels"):
        make_trainer("distill", tmp_path, structure_stacking="tokens")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"structure_weight": -1.0}, "structure_weight=-1.0"),
        ({"geometry_weight": 0.0, "language_weight": 0.0, "structure_weight": 0.0}, "are all 0"),
        ({"geometry_teacher": "dino"}, "geometry_teacher='dino' is unknown"),
        ({"geometry_teacher": "backbone"}, "needs geometry_teacher_name_or_path"),
        ({"language_teacher_name_or_path": None}, "needs language_teacher_name_or_path"),
        ({"structure_stacking": "rows"}, "structure_stacking='rows' is unknown"),
        ({"oracle_grid": 0}, "oracle_grid=0"),
    ],
)
def test_bad_options_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        DistillConfig(output_dir="unused", use_cpu=True, **fields)
