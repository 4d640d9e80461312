"""Vid-LLM's second stage: parameters each loss reaches, every term logged, whatever rows lack, adapters, resuming."""

import dataclasses
import json
import math

import pytest
import torch
from grounded_walls import GroundedWalls
from peft import LoraConfig
from safetensors.torch import load_file
from tiny_training import SlantedWalls
from tiny_vid_llm import build_vid_llm
from vid_llm_training import changed, make_trainer, weights

from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.trainers.joint_config import JointConfig
from igep.trainers.joint_trainer import beside_full_parts


RECONSTRUCTION = ("loss_camera", "loss_depth", "loss_points", "loss_metric_depth")
# Of the adapter, what leads to the geometry stream alone.
GEOMETRY_SIDE = ("adapter.bridge.write_geometry.", "adapter.bridge.geometry_gate.")


class BareWalls(SlantedWalls):
    """Walls of which some rows lack depth, poses, intrinsics or questions."""

    def __getitem__(self, row: int):
        lacks = ({"depth_metres": None, "intrinsics": None}, {"world_from_camera": None}, {"conversation": ()})[
            row % 3
        ]
        return dataclasses.replace(super().__getitem__(row), **lacks)


class NoGeometry(SlantedWalls):
    """Questions about frames of which nothing is known."""

    def __getitem__(self, row: int):
        nothing = dict.fromkeys(("depth_metres", "intrinsics", "world_from_camera"))
        return dataclasses.replace(super().__getitem__(row), **nothing)


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    return make_trainer("joint", tmp_path_factory.mktemp("joint"), max_steps=1)


def gradients(trainer, *terms: str) -> dict[str, torch.Tensor | None]:
    """Gradient of each parameter from some terms of one batch."""
    trainer.model.zero_grad()
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(3)])
    given = {
        name: batch[name] for name in ("input_ids", "attention_mask", "labels", "pixel_values_videos", "frame_mask")
    }
    outputs = trainer.model(**given, output_reconstruction=True)
    values = trainer._geometry_terms(outputs, batch) | {"loss_ce": outputs.loss}
    sum(values[name] for name in terms).backward()
    return {name: value.grad for name, value in trainer.model.named_parameters() if value.requires_grad}


def test_answers_teach_the_reconstruction_nothing_and_the_encoder_much(trainer):
    model = trainer.unwrapped_model
    silent, heard = [], []
    for name, gradient in gradients(trainer, "loss_ce").items():
        is_zero = gradient is None or not gradient.any()
        (silent if is_zero else heard).append(name)
    parts = {name: model.part_of_parameter(name) for name in (*silent, *heard)}
    assert not [name for name in heard if parts[name] in ("reconstruction", "metric_depth")]
    of_geometry = [name for name in parts if parts[name] in ("reconstruction", "metric_depth")]
    assert len(of_geometry) > 50
    # All others hear it: every parameter of the encoder, the projection and the language model, and the adapter's but
    # those that write into the geometry stream.
    assert not [name for name in silent if parts[name] not in ("reconstruction", "metric_depth", "adapter")]
    assert all(any(piece in name for piece in GEOMETRY_SIDE) for name in silent if parts[name] == "adapter")
    assert any("adapter.geometry_projection" in name for name in heard)


def test_reconstruction_reaches_everything_but_language(trainer):
    model = trainer.unwrapped_model
    for name, gradient in gradients(trainer, *RECONSTRUCTION).items():
        part = model.part_of_parameter(name)
        if part in ("language", "language_projection"):
            assert gradient is None
        elif part != "adapter":
            assert gradient is not None, name
            assert gradient.any(), name


def test_every_parameter_trains_and_every_term_is_logged(tmp_path):
    trainer = make_trainer("joint", tmp_path, eval_dataset=SlantedWalls(2), eval_strategy="steps", eval_steps=2)
    before = weights(trainer)
    trained = {name for name, value in trainer.unwrapped_model.named_parameters() if value.requires_grad}
    trainer.train()
    assert changed(trainer, before) == trained
    log = trainer.state.log_history[0]
    total = sum(weight * log[name] for name, weight in trainer.loss_weights.items() if weight)
    assert log["loss"] == pytest.approx(total, rel=1e-5)
    plain = {
        "camera_translation",
        "camera_rotation",
        "camera_field_of_view",
        "depth_plain",
        "depth_confident",
        "depth_gradient",
    }
    plain |= {
        "points_plain",
        "points_confident",
        "points_gradient",
        "depth_abs_rel",
        "metric_depth_abs_rel",
        "num_tokens",
    }
    assert plain | {"mean_token_accuracy", "scale_metres", "depth_delta_1"} <= log.keys()
    evaluated = next(entry for entry in trainer.state.log_history if "eval_loss" in entry)
    assert {f"eval_{name}" for name in (*RECONSTRUCTION, "loss_ce", "depth_abs_rel")} <= evaluated.keys()
    assert "held out, step 2" in trainer.log_table()


def test_frozen_parts_and_parts_without_a_loss_stay(tmp_path):
    weightless = {"camera_weight": 0.0, "depth_weight": 0.0, "points_weight": 0.0}
    trainer = make_trainer("joint", tmp_path, freeze_encoder=True, freeze=["language"], max_steps=1, **weightless)
    before = weights(trainer)
    trainer.train()
    parts = {trainer.part_of_parameter(name) for name in changed(trainer, before)}
    assert parts == {"adapter", "metric_depth", "language_projection"}


def test_grounding_trains_both_heads_beside_the_rest(tmp_path):
    weights_of_heads = {"ground_weight": 1.0, "box_weight": 1.0, "match_weight": 0.5}
    with pytest.raises(ValueError, match="ground_weight=1.0, but the model has no ground_head"):
        make_trainer("joint", tmp_path, GroundedWalls(4), **weights_of_heads)
    fields = {"ground_head": True, "box_decoder": True}
    trainer = make_trainer("joint", tmp_path, GroundedWalls(8), model_fields=fields, max_steps=3, **weights_of_heads)
    before = weights(trainer)
    trainer.train()
    after = {trainer.part_of_parameter(name) for name in changed(trainer, before)}
    assert {"ground_head", "box_decoder", "vision", "adapter", "language", "reconstruction"} <= after
    log = trainer.state.log_history[0]
    assert log["loss"] == pytest.approx(sum(w * log[name] for name, w in trainer.loss_weights.items()), rel=1e-5)
    assert {"ground_accuracy", "ground_seen"} <= log.keys()


class FewGrounded(GroundedWalls):
    """Of every four rows one that boxes answer; of the others no pose is known."""

    def __getitem__(self, row: int):
        example = super().__getitem__(row)
        return example if row % 4 == 0 else dataclasses.replace(self.walls[row], world_from_camera=None)


@pytest.mark.parametrize("only", [{}, {"match_weight": 0.0}, {"box_weight": 0.0}], ids=["both", "box", "match"])
def test_both_heads_are_in_the_graph_of_every_batch(tmp_path, only):
    """Two processes wait for the gradient of every parameter, though theirs may be the rows that no box answers."""
    weights_of_heads = {"ground_weight": 1.0, "box_weight": 1.0, "match_weight": 0.5} | only
    fields = {"ground_head": True, "box_decoder": True}
    trainer = make_trainer("joint", tmp_path, FewGrounded(4), model_fields=fields, **weights_of_heads)
    for rows in ([0, 1], [2, 3]):
        trainer.model.zero_grad()
        batch = trainer.data_collator([trainer.train_dataset[row] for row in rows])
        trainer.compute_loss(trainer.model, batch, num_items_in_batch=torch.tensor(10)).backward()
        named = [(name, value.grad) for name, value in trainer.model.named_parameters() if value.requires_grad]
        assert not [name for name, gradient in named if gradient is None]
        heads = [gradient for name, gradient in named if "ground_head." in name or "box_decoder." in name]
        assert any(bool(gradient.any()) for gradient in heads) == (0 in rows)


def test_without_metric_depth_the_unit_is_the_metre(tmp_path):
    with pytest.raises(ValueError, match="metric_depth_weight=1.0, but the model has no metric_depth"):
        make_trainer("joint", tmp_path, model_fields={"metric_depth": False})
    trainer = make_trainer(
        "joint", tmp_path, model_fields={"metric_depth": False}, metric_depth_weight=0.0, max_steps=1
    )
    trainer.train()
    log = trainer.state.log_history[0]
    assert "loss_metric_depth" not in log
    assert log["scale_metres"] == 1
    # The mean error of depth in metres is that of a prediction in metres.
    assert math.isfinite(log["depth_abs_rel"])


@pytest.mark.parametrize(
    "rows", [BareWalls(6), NoGeometry(4), SlantedWalls(4, num_frames=1)], ids=["some", "none", "one"]
)
def test_rows_may_lack_what_supervises(tmp_path, rows):
    trainer = make_trainer("joint", tmp_path, rows, max_steps=2, per_device_train_batch_size=3)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert all(math.isfinite(value) for entry in logs for value in entry.values())
    if isinstance(rows, NoGeometry):
        assert all(entry[name] == 0 for entry in logs for name in RECONSTRUCTION)
        assert all(entry["loss_ce"] > 0 for entry in logs)


def test_adapters_of_the_language_model_beside_parts_in_full(tmp_path):
    options = {
        "peft_config": LoraConfig(
            r=4,
            lora_dropout=0.1,
            target_modules=["q_proj", "v_proj"],
            task_type="CAUSAL_LM",  # as the launcher's options say
        ),
        "max_steps": 4,
        "save_strategy": "steps",
        "save_steps": 2,
    }
    whole = make_trainer("joint", tmp_path, **options)
    before = weights(whole)
    whole.train()
    after = changed(whole, before)
    trained = {name for name, value in whole.unwrapped_model.named_parameters() if value.requires_grad}
    assert after == trained  # none without a gradient, which would stop distributed training
    assert all("lora_" in name for name in after if whole.part_of_parameter(name) == "language")
    assert {whole.part_of_parameter(name) for name in after} == {
        *("vision", "adapter", "reconstruction", "metric_depth", "language_projection", "language")
    }
    resumed = make_trainer("joint", tmp_path, **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(resumed).items())
    whole.save_model()
    loaded = VidLLMForConditionalGeneration.from_pretrained(tmp_path)
    batch = whole.data_collator([whole.train_dataset[0]])
    whole.model.eval()
    with torch.no_grad():
        given = {name: batch[name] for name in ("input_ids", "attention_mask", "pixel_values_videos")}
        torch.testing.assert_close(loaded(**given).logits, whole.model(**given).logits, atol=1e-4, rtol=1e-4)
    assert not any("lora" in name for name in load_file(tmp_path / "model.safetensors"))


def test_adapters_that_cannot_be_are_refused():
    model, _ = build_vid_llm()
    with pytest.raises(ValueError, match="no linear layer of the language model has such a name"):
        beside_full_parts(LoraConfig(target_modules=["query"]), model, {"vision", "language"})
    with pytest.raises(ValueError, match="give a list of names"):
        beside_full_parts(LoraConfig(target_modules=".*q_proj"), model, {"vision", "language"})
    config = beside_full_parts(LoraConfig(), model, {"vision", "adapter", "metric_depth", "language"})
    assert config.modules_to_save == ["adapter", "reconstruction", "vision"]
    assert all(".causal_lm." in f".{name}" and "lm_head" not in name for name in config.target_modules)


def test_one_folder_in_another_spelling_is_no_other_run(tmp_path, monkeypatch):
    (tmp_path / "scans").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "scans")
    monkeypatch.chdir(tmp_path)
    for spelling in ("scans", "./scans", "link", str(tmp_path / "scans")):
        options = make_trainer("joint", tmp_path / "out", data_options={"dataset_path": spelling}).run_options
        assert options["dataset_path"] == str((tmp_path / "scans").resolve())


def test_resume_is_bit_identical(tmp_path):
    """In the middle of the second epoch, between two logs, with accumulation and a schedule."""
    options = {
        "max_steps": 6,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 2,
        "dataset": SlantedWalls(5),
        "logging_steps": 3,
        "save_strategy": "steps",
        "save_steps": 4,
        "lr_scheduler_type": "cosine",
        "reconstruction_learning_rate": 3e-3,
    }
    whole = make_trainer("joint", tmp_path, **options)
    whole.train()
    resumed = make_trainer("joint", tmp_path, **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(resumed).items())
    last = [[entry for entry in each.state.log_history if "loss" in entry][-1] for each in (whole, resumed)]
    assert last[0] == last[1]


def test_saved_record_says_what_was_trained(tmp_path):
    trainer = make_trainer("joint", tmp_path, max_steps=1)
    trainer.train()
    trainer.save_model()
    run = json.loads((tmp_path / "training_run.json").read_text())
    assert run["model"]["architecture"] == "vid_llm"
    assert run["usage"]["geometry_inputs"] == "none"
    assert "metric depth in logarithms" in [loss["name"] for loss in run["losses"]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"camera_weight": -1.0}, "camera_weight=-1.0"),
        (
            dict.fromkeys(
                ("language_weight", "camera_weight", "depth_weight", "points_weight", "metric_depth_weight"), 0.0
            ),
            "are all 0",
        ),
        ({"camera_translation_distance": "l2"}, "camera_translation_distance='l2' is unknown"),
        ({"metric_alpha": math.nan}, "metric_alpha=nan"),
        ({"freeze": ["vision"]}, "set freeze_encoder to true"),
        ({"freeze": "language"}, r"write \[language\]"),
        ({"geometry_size": [4]}, r"geometry_size=\[4\]"),
        ({"max_packed_tokens": 5}, "needs pack_questions"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor=0.1 would change nothing"),
        ({"vision_learning_rate": -1.0}, "vision_learning_rate=-1.0"),
    ],
)
def test_bad_options_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        JointConfig(output_dir="unused", use_cpu=True, **fields)


def test_a_model_of_another_kind_and_no_rows_are_refused(tmp_path, trainer):
    with pytest.raises(TypeError, match="from_parts"):
        type(trainer)(
            model=torch.nn.Linear(1, 1), args=trainer.args, train_dataset=SlantedWalls(), processing_class=None
        )
    with pytest.raises(ValueError, match="train_dataset is empty"):
        make_trainer("joint", tmp_path, SlantedWalls(0))
