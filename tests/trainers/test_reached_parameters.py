"""What trains gets a gradient from each batch, whatever rows lack and whatever weighs nothing; what does not stays."""

import dataclasses

import pytest
import torch
from grounded_walls import GroundedWalls
from peft import LoraConfig
from tiny_training import SlantedWalls
from transformers import CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel
from vid_llm_training import make_trainer


NOTHING = dict.fromkeys(("depth_metres", "intrinsics", "world_from_camera"))
WEIGHTS = ("language_weight", "camera_weight", "depth_weight", "points_weight", "metric_depth_weight")
TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


class BareRows(GroundedWalls):
    """Of four rows one that boxes answer, one without geometry, one of a frame's worth, and one without a question."""

    def __getitem__(self, row: int):
        example = self.walls[row]
        if row % 4 == 0:
            return super().__getitem__(row) if self.grounds else example
        if row % 4 == 2:
            return dataclasses.replace(example, depth_metres=None)
        return dataclasses.replace(example, **NOTHING, conversation=() if row % 4 == 3 else example.conversation)

    def __init__(self, rows: int, grounds: bool):
        super().__init__(rows)
        self.grounds = grounds


def only(*names: str) -> dict[str, float]:
    return {name: float(name in names) for name in WEIGHTS}


def without_gradient(trainer, rows: list[int]) -> set[str]:
    """Names of what trains and gets no gradient from a batch."""
    trainer.model.zero_grad()
    batch = trainer.data_collator([trainer.train_dataset[row] for row in rows])
    trainer.compute_loss(trainer.model, batch, num_items_in_batch=torch.tensor(10)).backward()
    return {name for name, value in trainer.model.named_parameters() if value.requires_grad and value.grad is None}


def check(trainer) -> None:
    for rows in ([0, 1], [1], [2], [3]):
        assert not without_gradient(trainer, rows), rows


@pytest.mark.parametrize(
    ("options", "frozen"),
    [
        (only("language_weight"), ("write_geometry.", "camera_head.", "depth_decoder.", "metric_depth.")),
        (only("camera_weight"), ("write_language.", "depth_decoder.", "lm_head.")),
        (only("depth_weight"), ("write_language.", "camera_head.")),
        (only("points_weight"), ("write_language.",)),
        (only("metric_depth_weight"), ("vision.layernorm.", "adapter.")),
        (only("depth_weight", "language_weight", "metric_depth_weight"), ("camera_head.",)),
        (only("camera_weight", "language_weight") | {"peft_config": LoraConfig(r=2)}, ("depth_decoder.",)),
        (only("camera_weight") | {"box_weight": 1.0}, ("lm_head.", "depth_decoder.", "ground_head.")),
        (only() | {"ground_weight": 1.0}, ("lm_head.", "write_geometry.", "box_decoder.", "reconstruction.")),
        (only() | {"match_weight": 1.0}, ("lm_head.", "write_geometry.", "ground_head.")),
    ],
    ids=str,
)
def test_every_weight_may_be_0(tmp_path, options, frozen):
    grounds = any(options.get(name) for name in ("ground_weight", "box_weight", "match_weight"))
    fields = {
        "ground_head": True,
        "box_decoder": True,
        "tie_word_embeddings": False,
        "bridge_write_back": "gated_attention",
    }
    trainer = make_trainer("joint", tmp_path, BareRows(4, grounds), model_fields=fields, **options)
    check(trainer)
    trains = {name: value.requires_grad for name, value in trainer.unwrapped_model.named_parameters()}
    for piece in frozen:
        of_piece = [trained for name, trained in trains.items() if piece in name]
        assert of_piece, piece
        assert not any(of_piece), piece
    assert any(trains.values())


def test_without_a_bridge_each_stream_trains_for_its_own_losses(tmp_path):
    for weight, frozen in (("language_weight", "geometry"), ("camera_weight", "language")):
        trainer = make_trainer(
            "joint", tmp_path, BareRows(4, False), model_fields={"bridge_tokens": 0}, **only(weight)
        )
        check(trainer)
        for stream in ("geometry", "language"):
            projection = trainer.unwrapped_model.model.adapter.get_submodule(f"{stream}_projection")
            assert all(value.requires_grad == (stream != frozen) for value in projection.parameters())


def test_a_tied_head_reads_words_and_trains_though_it_writes_none(tmp_path):
    fields = {"ground_head": True}
    trainer = make_trainer("joint", tmp_path, BareRows(4, True), model_fields=fields, ground_weight=1.0, **only())
    check(trainer)
    assert trainer.unwrapped_model.get_output_embeddings().weight.requires_grad


@pytest.mark.parametrize("stage", ["distill", "joint"])
def test_other_towers_train_but_for_what_no_patch_reads(tmp_path, stage):
    torch.manual_seed(0)
    for vision, unread in (
        (CLIPVisionModel(CLIPVisionConfig(**TOWER)), ("post_layernorm",)),
        (SiglipVisionModel(SiglipVisionConfig(**TOWER)), ("head.",)),
    ):
        trainer = make_trainer(
            stage, tmp_path, SlantedWalls(4), model_fields={"vision": vision, "frame_size": (32, 32)}
        )
        assert not without_gradient(trainer, [0, 1])
        frozen = {name for name, value in vision.named_parameters() if not value.requires_grad}
        assert frozen == {name for name, _ in vision.named_parameters() if any(piece in name for piece in unread)}
        assert vision.training
