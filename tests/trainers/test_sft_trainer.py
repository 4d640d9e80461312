"""The trainer: what trains, what is logged, and that the loss is that of the global batch however it is split."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from tiny_checkpoints import FAMILIES, build_checkpoint
from tiny_training import GEOMETRY_SIZE, SlantedWalls, logged, make_args, make_trainer, weights
from transformers import TrainerCallback

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.loop.non_finite import NonFiniteLossError
from igep.trainers.sft_trainer import IGEPSFTTrainer
from igep.trainers.supervision.geometry_losses import igep_objective
from igep.trainers.supervision.geometry_oracle import GeometryOracleTeacher
from igep.trainers.supervision.precomputed_teacher import write_descriptors
from igep.trainers.supervision.teacher import Teacher


LOSSES = ("loss_ce", "loss_geometry", "loss_cross_view", "loss_global")


@pytest.fixture(scope="module")
def base(checkpoint_folders):
    return checkpoint_folders["llava_onevision"]


# ---- what trains


@pytest.fixture(scope="module")
def deep_enough(checkpoint_folders, tmp_path_factory):
    """The bases, Qwen3-VL with one language layer more: what it adds above the last layer no text token can see."""
    model, processor = build_checkpoint("qwen3_vl")
    model.config.text_config.num_hidden_layers = 3
    folder = tmp_path_factory.mktemp("qwen3_vl")
    type(model)(model.config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return checkpoint_folders | {"qwen3_vl": folder}


@pytest.mark.parametrize("supervise", ["encoder", "llm"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_trainable_parameter_changes_in_two_steps(deep_enough, tmp_path, family, supervise):
    trainer = make_trainer(deep_enough[family], tmp_path, supervise=supervise)
    before = weights(trainer)
    trainer.train()
    trainable = [name for name, value in trainer.igep_model.named_parameters() if value.requires_grad]
    assert {trainer.igep_model.part_of_parameter(name) for name in trainable} == {
        *("vision", "projector", "language", "heads")
    }
    unchanged = [name for name in trainable if torch.equal(before[name], trainer.igep_model.get_parameter(name))]
    assert not unchanged


def test_images_train_as_well(checkpoint_folders, tmp_path):
    trainer = make_trainer(checkpoint_folders["qwen3_vl"], tmp_path, frames_as="images")
    before = weights(trainer)
    trainer.train()
    heads = [name for name in before if trainer.igep_model.part_of_parameter(name) == "heads"]
    assert not any(torch.equal(before[name], trainer.igep_model.get_parameter(name)) for name in heads)


def test_frozen_parts_do_not_change(base, tmp_path):
    trainer = make_trainer(base, tmp_path, freeze=["vision", "language"])
    before = weights(trainer)
    trainer.train()
    changed = {
        trainer.igep_model.part_of_parameter(name)
        for name, value in before.items()
        if not torch.equal(value, trainer.igep_model.get_parameter(name))
    }
    assert changed == {"projector", "heads"}


def test_frozen_layers_of_the_vision_tower_do_not_change(base, tmp_path):
    trainer = make_trainer(base, tmp_path, freeze=["language"], frozen_vision_layers=2)
    before = weights(trainer)
    trainer.train()
    vision = trainer.igep_model.vlm.get_encoder(modality="image")
    names = {id(value): name for name, value in vision.named_parameters()}
    changed = {
        names[id(trainer.igep_model.get_parameter(name))]
        for name, value in before.items()
        if trainer.igep_model.part_of_parameter(name) == "vision"
        and not torch.equal(value, trainer.igep_model.get_parameter(name))
    }
    assert changed
    assert all(re.search(r"(layers|blocks)\.2\.", name) for name in changed)


def test_each_part_has_its_learning_rate_and_the_scheduler_moves_all(base, tmp_path):
    rates = {"vision_learning_rate": 1e-3, "language_learning_rate": 2e-3, "heads_learning_rate": 4e-2}
    trainer = make_trainer(base, tmp_path, **rates, weight_decay=0.1, lr_scheduler_type="linear", max_steps=2)
    optimizer = trainer.create_optimizer()
    wanted = {"vision": 1e-3, "projector": 1e-2, "language": 2e-3, "heads": 4e-2}
    part_of = {
        id(value): trainer.igep_model.part_of_parameter(name) for name, value in trainer.model.named_parameters()
    }
    decay = set(trainer.get_decay_parameter_names(trainer.model))
    name_of = {id(value): name for name, value in trainer.model.named_parameters()}
    seen = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert group["lr"] == wanted[part_of[id(parameter)]]
            assert group["weight_decay"] == (0.1 if name_of[id(parameter)] in decay else 0.0)
            seen.append(id(parameter))
    assert sorted(seen) == sorted(id(value) for value in trainer.model.parameters() if value.requires_grad)

    half_way = []

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, optimizer, **kwargs):
            half_way.append({group["part"]: group["lr"] for group in optimizer.param_groups})

    trainer.add_callback(Watch())
    trainer.train()
    assert half_way[0] == pytest.approx({part: rate / 2 for part, rate in wanted.items()})


def test_cross_entropy_alone_builds_no_head_and_sees_the_same_data(base, tmp_path):
    """The baseline of every comparison: same start, same order; only the loss differs."""
    orders = []

    class Recorder(IGEPSFTTrainer):
        def compute_loss(self, model, inputs, **kwargs):
            orders[-1].append(inputs["sample_ids"])
            return super().compute_loss(model, inputs, **kwargs)

    starts = []
    for fields in ({}, {"geometry_weight": 0.0, "cross_view_weight": 0.0, "global_weight": 0.0}):
        orders.append([])
        trainer = Recorder(
            model=IGEPForConditionalGeneration.from_base(base),
            args=make_args(tmp_path, max_steps=4, **fields),
            train_dataset=SlantedWalls(),
            processing_class=IGEPProcessor.from_base(base),
        )
        starts.append({name: value for name, value in weights(trainer).items() if name.startswith("vlm.")})
        trainer.train()
    assert orders[0] == orders[1]
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])
    assert trainer.igep_model.training_heads == {}
    assert logged(trainer, "loss") == logged(trainer, "loss_ce")
    assert not logged(trainer, "loss_geometry")


@pytest.mark.parametrize("term", ["geometry", "cross_view", "global"])
def test_each_term_trains_and_is_logged_alone(base, tmp_path, term):
    off = {f"{name}_weight": 0.0 for name in ("geometry", "cross_view", "global") if name != term}
    trainer = make_trainer(base, tmp_path, max_steps=1, **off)
    trainer.train()
    assert [name for name in LOSSES[1:] if logged(trainer, name)] == [f"loss_{term}"]
    assert bool(logged(trainer, "confidence_mean")) == (term == "geometry")
    assert bool(logged(trainer, "cross_view_coverage")) == (term == "cross_view")
    assert bool(logged(trainer, "depth_abs_rel")) == (term != "global")


# ---- what is logged


def test_every_term_and_metric_is_logged(base, tmp_path):
    trainer = make_trainer(
        base, tmp_path, max_steps=3, eval_dataset=SlantedWalls(4), eval_strategy="steps", eval_steps=3
    )
    trainer.train()
    names = [
        *LOSSES,
        *("confidence_mean", "cross_view_coverage", "depth_abs_rel", "depth_delta_1"),
        *("mean_token_accuracy", "entropy"),
    ]
    for name in names:
        assert len(logged(trainer, name)) == 3, name
        assert len(logged(trainer, f"eval_{name}")) == 1, name
        assert all(np.isfinite(logged(trainer, name)))
    tokens = logged(trainer, "num_tokens")
    assert tokens == sorted(tokens)
    assert tokens[0] > 0
    total = [
        ce + 1.0 * geometry + 0.1 * cross + 0.5 * alignment
        for ce, geometry, cross, alignment in zip(*(logged(trainer, name) for name in LOSSES), strict=True)
    ]
    assert logged(trainer, "loss") == pytest.approx(total, rel=1e-5)
    assert 0 < logged(trainer, "cross_view_coverage")[0] <= 1
    json.dumps(trainer.state.log_history)


def test_metrics_average_the_steps_between_two_logs(base, tmp_path):
    every = make_trainer(base, tmp_path, max_steps=4)
    every.train()
    seldom = make_trainer(base, tmp_path, max_steps=4, logging_steps=2)
    seldom.train()
    for name in ("loss", *LOSSES):
        each = np.array(logged(every, name)).reshape(2, 2).mean(1)
        np.testing.assert_allclose(logged(seldom, name), each, rtol=1e-5)


def test_teacher_without_geometry_gives_the_plain_loss_of_the_model(base, tmp_path):
    """The trainer's number is the model's own, for one batch and the weights of the options."""
    trainer = make_trainer(base, tmp_path, max_steps=1, per_device_train_batch_size=8, uncertainty_alpha=0.3)
    model = trainer.igep_model
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(8)])
    trainer.model.train()
    loss, outputs = trainer.compute_loss(trainer.model, batch, return_outputs=True)
    torch.testing.assert_close(loss, outputs.loss)
    assert model.config.uncertainty_alpha == 0.3
    assert outputs.logits.shape[0] == (batch["labels"][:, 1:] != -100).sum()
    assert batch["sample_ids"]  # the batch is left as it came


# ---- the loss of the global batch


@pytest.mark.parametrize("rows", [8, 7])  # 7: the last micro-batch of an epoch is smaller than the others
def test_accumulation_equals_the_large_batch(base, tmp_path, rows):
    runs = []
    for size, steps in ((4, 1), (2, 2), (1, 4)):
        trainer = make_trainer(
            base,
            tmp_path,
            dataset=SlantedWalls(rows),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=steps,
            max_steps=4,
            optim="sgd",
            learning_rate=0.05,
        )
        trainer.train()
        runs.append(trainer)
    for run in runs[1:]:
        for name in (
            "loss",
            "grad_norm",
            *LOSSES,
            "confidence_mean",
            "depth_abs_rel",
            "mean_token_accuracy",
            "entropy",
        ):
            np.testing.assert_allclose(logged(run, name), logged(runs[0], name), rtol=2e-4, err_msg=name)
        for name, value in weights(runs[0]).items():
            torch.testing.assert_close(weights(run)[name], value, rtol=1e-3, atol=1e-5)


def test_gradient_checkpointing_changes_nothing(base, tmp_path):
    plain = make_trainer(base, tmp_path)
    plain.train()
    saving = make_trainer(base, tmp_path, gradient_checkpointing=True)
    saving.train()
    np.testing.assert_allclose(logged(saving, "loss"), logged(plain, "loss"), rtol=1e-5)
    np.testing.assert_allclose(logged(saving, "grad_norm"), logged(plain, "grad_norm"), rtol=1e-4)


def test_bf16_trains_heads_in_full_precision(base, tmp_path):
    trainer = make_trainer(base, tmp_path, bf16=True)
    before = weights(trainer)
    trainer.train()
    assert np.isfinite(logged(trainer, "loss")).all()
    assert all(value.dtype == torch.float32 for value in trainer.igep_model.parameters())
    assert not any(
        torch.equal(before[name], value)
        for name, value in trainer.igep_model.named_parameters()
        if value.requires_grad
    )


def test_only_unannotated_scenes(base, tmp_path):
    """Posed video that nobody annotated trains through the heads; cross-entropy is a finite zero."""

    class Unannotated(SlantedWalls):
        def __getitem__(self, row):
            example = super().__getitem__(row)
            return type(example)(**(vars(example) | {"conversation": ()}))

    trainer = make_trainer(base, tmp_path, dataset=Unannotated(), max_steps=8, learning_rate=1e-3)
    trainer.train()
    assert logged(trainer, "loss_ce") == [0.0] * 8
    assert not logged(trainer, "mean_token_accuracy")
    assert logged(trainer, "loss")[-1] < logged(trainer, "loss")[0]


# ---- teachers


class CountingTeacher(Teacher):
    channels = 5
    frame_size = (14, 28)

    def __init__(self):
        self.calls = []

    def __call__(self, frames, geometry):
        self.calls.append((tuple(frames.shape), geometry.scene_ids, geometry.frame_ids))
        return torch.ones(*frames.shape[:2], 2, 3, 5)


def test_own_teacher_gets_frames_and_names_and_is_not_saved(base, tmp_path):
    teacher = CountingTeacher()
    trainer = make_trainer(base, tmp_path, teacher=teacher, save_strategy="steps", save_steps=2)
    trainer.train()
    shape, scenes, frames = teacher.calls[0]
    assert shape == (4, 2, 3, 14, 28)
    assert all(name.startswith("scene-") for name in scenes)
    assert frames == [["0", "1"]] * 4
    assert trainer.igep_model.config.teacher_channels == 5
    assert not any("teacher." in name for name in trainer.igep_model.state_dict())


def test_precomputed_teacher_from_the_options(base, tmp_path):
    for row in range(8):
        write_descriptors(tmp_path / "store", f"scene-{row}", ["0", "1"], torch.randn(2, 4, 4, 6))
    options = {"teacher": "precomputed", "teacher_name_or_path": str(tmp_path / "store")}
    trainer = make_trainer(base, tmp_path / "run", **options)
    trainer.train()
    assert len(logged(trainer, "loss_global")) == 2


def test_heads_that_do_not_fit_the_options(base, tmp_path):
    model = IGEPForConditionalGeneration.from_base(base, verifier_channels=4)
    model.add_training_heads(igep_objective)
    with pytest.raises(ValueError, match=r"verifier_channels=4.*ask for 8.*remove_training_heads"):
        IGEPSFTTrainer(model, make_args(tmp_path), SlantedWalls(), IGEPProcessor.from_base(base))


# ---- bad input


def test_non_finite_loss_names_the_samples_and_damages_nothing(base, tmp_path):
    class Poisoned(CountingTeacher):
        def __call__(self, frames, geometry):
            if len(self.calls) == 2:
                trainer.igep_model.teacher_projector.output.weight.data.fill_(torch.nan)
            return super().__call__(frames, geometry)

    trainer = make_trainer(base, tmp_path, teacher=Poisoned(), max_steps=4, save_strategy="steps", save_steps=1)
    with pytest.raises(NonFiniteLossError, match=r"step 3.*loss_global nan.*'wall-\d'"):
        trainer.train()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    resumed = make_trainer(base, tmp_path, teacher=CountingTeacher(), max_steps=4)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 4
    assert all(value.isfinite().all() for value in resumed.igep_model.parameters())


def test_non_finite_gradient_stops_before_the_weights_change(base, tmp_path):
    trainer = make_trainer(base, tmp_path, max_steps=1)
    parameter = trainer.igep_model.get_input_embeddings().weight
    parameter.register_hook(lambda gradient: gradient * torch.nan)
    before = weights(trainer)
    with pytest.raises(NonFiniteLossError, match=r"gradient of step 1.*'wall-\d'"):
        trainer.train()
    assert all(torch.equal(value, before[name]) for name, value in trainer.igep_model.named_parameters())


def test_own_optimizer_must_hold_the_heads(base, tmp_path):
    def train_with(*heads):
        model = IGEPForConditionalGeneration.from_base(base, verifier_channels=8, teacher_channels=64)
        if heads:
            model.add_training_heads(igep_objective)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        args = make_args(tmp_path)
        processor = IGEPProcessor.from_base(base)
        return IGEPSFTTrainer(model, args, SlantedWalls(), processor, optimizers=(optimizer, None))

    with pytest.raises(ValueError, match="lacks the training heads"):
        train_with()
    assert train_with("heads").train().global_step == 2


def test_rows_that_half_say_what_they_are_stop_the_run_before_it_starts(base, tmp_path):
    class HalfTold(SlantedWalls):
        def example(self, row, draw):
            return self[row]

    with pytest.raises(TypeError, match="HalfTold has `example` but not"):
        make_trainer(base, tmp_path, dataset=HalfTold(2))


def test_empty_datasets(base, tmp_path):
    with pytest.raises(ValueError, match="train_dataset is empty"):
        make_trainer(base, tmp_path, dataset=SlantedWalls(0))
    with pytest.raises(ValueError, match="eval_dataset is empty"):
        make_trainer(base, tmp_path, eval_dataset=SlantedWalls(0), eval_strategy="steps")


def test_wrong_model_and_options(base, tmp_path):
    model = IGEPForConditionalGeneration.from_base(base)
    processor = IGEPProcessor.from_base(base)
    with pytest.raises(TypeError, match="from_base"):
        IGEPSFTTrainer(model.vlm, make_args(tmp_path), SlantedWalls(), processor)
    with pytest.raises(TypeError, match="IGEPSFTConfig"):
        IGEPSFTTrainer(model, {}, SlantedWalls(), processor)


def test_no_file_in_trainers_shadows_a_dependency():
    """`trainers/` is first on sys.path when `trainers/sft.py` runs."""
    from importlib.metadata import packages_distributions

    import igep.trainers.sft_trainer as module

    names = {path.stem for path in Path(module.__file__).parent.iterdir() if not path.name.startswith(("_", "."))}
    assert not names & (set(packages_distributions()) | set(sys.stdlib_module_names))


def test_oracle_of_the_options(base, tmp_path):
    trainer = make_trainer(base, tmp_path, oracle_grid=4)
    assert isinstance(trainer.teacher, GeometryOracleTeacher)
    assert trainer.teacher.grid == 4
    assert trainer.data_collator.geometry_size == GEOMETRY_SIZE
    assert not isinstance(trainer.train_dataset, Dataset)


ONLY_LANGUAGE = LoraConfig(r=2, target_modules=r".*language_model.*\.q_proj")
VISION_TOO = LoraConfig(r=2, target_modules=r".*\.q_proj")
NO_GEOMETRY = {"geometry_weight": 0, "cross_view_weight": 0, "global_weight": 0}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"freeze": ["vision"]}, "(freeze=['vision'])"),
        ({"peft_config": ONLY_LANGUAGE}, "(no adapter of lora_target_modules="),
        ({"peft_config": VISION_TOO}, None),
        ({"freeze": ["vision"], **NO_GEOMETRY}, None),
    ],
)
def test_a_vision_tower_that_does_not_train_is_said(checkpoint_folders, tmp_path, caplog, fields, why):
    make_trainer(checkpoint_folders["llava_onevision"], tmp_path, **fields)
    said = "The vision tower does not train"
    assert said not in caplog.text if why is None else f"{said} {why}" in caplog.text
