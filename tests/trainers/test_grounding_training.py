"""A ground head trains among other rows: on any split of the batch, beside adapters, and again after interruption."""

import json

import pytest
import torch
from grounded_walls import GroundedWalls
from peft import LoraConfig, PeftModel
from tiny_training import SlantedWalls, logged, make_args, make_trainer, weights

from igep.configuration_igep import GEOMETRY_INPUTS
from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.cli import main
from igep.trainers.sft_trainer import IGEPSFTTrainer


LORA = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear")
ALONE = {"geometry_weight": 0.0, "cross_view_weight": 0.0, "global_weight": 0.0, "ground_weight": 1.0}


@pytest.fixture(scope="module")
def base(checkpoint_folders):
    return checkpoint_folders["llava_onevision"]


@pytest.mark.parametrize("setting", GEOMETRY_INPUTS)
def test_every_weight_trains_under_every_setting(base, tmp_path, setting):
    trainer = make_trainer(base, tmp_path, GroundedWalls(), **ALONE, ground_geometry_inputs=setting, ground_width=16)
    before = weights(trainer)
    trainer.train()
    unchanged = [
        name
        for name, value in trainer.igep_model.named_parameters()
        if value.requires_grad and torch.equal(value, before[name])
    ]
    assert not unchanged
    assert len(logged(trainer, "loss_ground")) == len(logged(trainer, "ground_accuracy")) == 2
    assert bool(logged(trainer, "ground_seen")) == (setting != "none")


def test_it_trains_beside_the_geometric_losses(base, tmp_path):
    trainer = make_trainer(base, tmp_path, GroundedWalls(), ground_weight=0.5)
    trainer.train()
    entry = trainer.state.log_history[0]
    terms = {"loss_ce": 1, "loss_geometry": 1, "loss_cross_view": 0.1, "loss_global": 0.5, "loss_ground": 0.5}
    assert entry["loss"] == pytest.approx(sum(weight * entry[name] for name, weight in terms.items()), rel=1e-5)
    run = trainer.run_record(tmp_path, tags=(), datasets=())
    assert {"name": "grounding among boxes (geometry inputs: depth+pose)", "weight": 0.5} in run["losses"]


def test_the_head_learns_which_panel_is_meant(base, tmp_path):
    rows = GroundedWalls(1)
    trainer = make_trainer(
        base, tmp_path, rows, **ALONE, max_steps=30, per_device_train_batch_size=1, freeze=["vision", "language"]
    )
    trainer.train()
    assert logged(trainer, "loss_ground")[-1] < 0.05
    assert logged(trainer, "ground_accuracy")[-1] == 1


def test_a_batch_without_grounding_rows_keeps_the_graph(base, tmp_path):
    trainer = make_trainer(base, tmp_path, SlantedWalls(4), **ALONE, max_steps=1, weight_decay=0.0)
    trainer.train()
    assert logged(trainer, "loss_ground") == [0.0]
    assert not logged(trainer, "ground_accuracy")
    trainer.compute_loss(trainer.model, trainer.data_collator([SlantedWalls()[0]])).backward()
    assert all(parameter.grad is not None for parameter in trainer.igep_model.ground_head.parameters())


def test_accumulation_equals_the_large_batch(base, tmp_path):
    options = {**ALONE, "max_steps": 1, "train_sampling_strategy": "sequential", "optim": "sgd", "learning_rate": 0.1}
    runs = []
    for size in (4, 1):
        torch.manual_seed(0)
        trainer = make_trainer(
            base,
            tmp_path,
            GroundedWalls(4),
            **options,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=4 // size,
        )
        trainer.train()
        runs.append((trainer.state.log_history[0], weights(trainer)))
    (first, whole), (second, split) = runs
    for name in ("loss", "loss_ground", "loss_ce", "ground_accuracy", "ground_seen"):
        assert first[name] == pytest.approx(second[name], rel=1e-4), name
    for name, value in whole.items():
        torch.testing.assert_close(split[name], value, atol=1e-5, rtol=1e-4)


def test_packed_rows_are_grounded_as_apart(base, tmp_path):
    """A row's turns are independent when packed; rows with one turn lose nothing by it."""
    losses = []
    for packed in (False, True):
        torch.manual_seed(0)
        trainer = make_trainer(
            base,
            tmp_path,
            GroundedWalls(2),
            **ALONE,
            max_steps=1,
            pack_questions=packed,
            per_device_train_batch_size=2,
        )
        trainer.train()
        losses.append(logged(trainer, "loss_ground")[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("peft_config", [None, LORA])
def test_resume_is_bit_identical(base, tmp_path, peft_config):
    options = {
        **ALONE,
        "max_steps": 4,
        "save_strategy": "steps",
        "save_steps": 2,
        "peft_config": peft_config,
        "ground_head_learning_rate": 3e-3,
    }
    whole = make_trainer(base, tmp_path, GroundedWalls(), **options)
    whole.train()
    resumed = make_trainer(base, tmp_path, GroundedWalls(), **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert logged(resumed, "loss_ground")[-2:] == logged(whole, "loss_ground")[-2:]
    expected = weights(whole)
    for name, value in weights(resumed).items():
        assert torch.equal(value, expected[name]), name


def test_adapters_leave_the_ground_head_to_train_and_save_it(base, tmp_path, capsys):
    torch.manual_seed(0)
    trainer = make_trainer(
        base,
        tmp_path / "run",
        GroundedWalls(),
        **ALONE,
        ground_width=16,
        peft_config=LORA,
        merge_adapter_at_save=False,
    )
    before = {name: value for name, value in weights(trainer).items() if "ground_head.modules_to_save" in name}
    assert before
    assert not [name for name in before if "lora" in name]
    trainer.train()
    assert not [name for name, value in before.items() if torch.equal(value, trainer.igep_model.get_parameter(name))]
    assert "modules_to_save" not in LORA.to_dict() or LORA.modules_to_save is None
    trained = {
        name.replace("modules_to_save.default.", "").removeprefix("ground_head."): value
        for name, value in weights(trainer).items()
        if "ground_head.modules_to_save" in name
    }
    trainer.save_model()
    assert main(["merge", str(tmp_path / "run"), str(tmp_path / "merged"), "--base", str(base)]) == 0
    merged = IGEPForConditionalGeneration.from_pretrained(tmp_path / "merged")
    assert merged.config.ground_width == 16
    for name, value in merged.ground_head.named_parameters():
        assert torch.equal(value, trained[name]), name
    trainer.args.merge_adapter_at_save = True
    trainer.save_model(str(tmp_path / "whole"))
    saved = IGEPForConditionalGeneration.from_pretrained(tmp_path / "whole")
    for name, value in saved.ground_head.named_parameters():
        assert torch.equal(value, trained[name]), name
    assert not isinstance(saved, PeftModel)


def test_a_head_that_is_not_trained_is_kept(base, tmp_path, caplog):
    model = IGEPForConditionalGeneration.from_base(base, ground_head=True)
    model.save_pretrained(tmp_path / "grounded")
    (tmp_path / "grounded" / "README.md").touch()
    before = {name: value.clone() for name, value in model.ground_head.named_parameters()}
    IGEPProcessor.from_base(base).save_pretrained(tmp_path / "grounded")
    trainer = IGEPSFTTrainer(
        model=IGEPForConditionalGeneration.from_pretrained(tmp_path / "grounded"),
        args=make_args(tmp_path / "out", geometry_weight=0.0, cross_view_weight=0.0, global_weight=0.0, max_steps=1),
        train_dataset=SlantedWalls(),
        processing_class=IGEPProcessor.from_pretrained(tmp_path / "grounded"),
    )
    trainer.train()
    trainer.save_model(str(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "config.json").read_text())["ground_head"] is True
    kept = IGEPForConditionalGeneration.from_pretrained(tmp_path / "out")
    for name, value in kept.ground_head.named_parameters():
        assert torch.equal(value, before[name])
