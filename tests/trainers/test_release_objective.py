"""`objective: release` through the model and the trainer: heads, exact resume, and what is refused."""

import dataclasses

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from scene_folders import question_row, scene_row
from tiny_checkpoints import FAMILIES
from tiny_training import SlantedWalls, logged, make_trainer, weights

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.trainers.data.mixture import MixtureDataset, MixturePart
from igep.trainers.data.row_source import as_row_source
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.supervision.release_losses import release_objective


RELEASE = {
    "objective": "release",
    "supervise": "llm",
    "alignment_distance": "squared",
    "verifier_activation": "exp",
    "verifier_projection_channels": 24,
    "neighbour_window": 2,
    "oracle_grid": 4,
    "learning_rate": 1e-3,
}
WALLS = {"dataset": SlantedWalls(num_frames=4)}


@pytest.fixture(scope="module")
def base(checkpoint_folders):
    return checkpoint_folders["llava_onevision"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_head_learns_and_a_run_resumes_to_the_bit(checkpoint_folders, tmp_path, family):
    options = RELEASE | WALLS | {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    whole = make_trainer(checkpoint_folders[family], tmp_path, **options)
    before = weights(whole)
    assert set(whole.igep_model.training_heads) == {"depth_verifier", "pose_embedding", "teacher_projector"}
    whole.train()
    heads = [name for name in before if whole.igep_model.part_of_parameter(name) == "heads"]
    assert not [name for name in heads if torch.equal(before[name], whole.igep_model.get_parameter(name))]
    resumed = make_trainer(checkpoint_folders[family], tmp_path, **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    after = weights(resumed)
    assert not [name for name, value in weights(whole).items() if not torch.equal(value, after[name])]
    for term in ("loss_geometry", "loss_cross_view", "loss_global", "cross_view_coverage"):
        assert logged(resumed, term)[-2:] == logged(whole, term)[-2:]
        assert logged(whole, term)[0] > 0
    whole.save_model(str(tmp_path / "saved"))
    names = load_file(tmp_path / "saved" / "model.safetensors")
    assert not [name for name in names if name.split(".")[0] in whole.igep_model.training_heads]


def recorded_objective(seen: dict):
    def objective(**given):
        seen.update(given)
        return release_objective(**given)

    return objective


@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl"])
def test_an_untrained_pose_embedding_predicts_the_frames_own_depth(checkpoint_folders, tmp_path, family):
    """It is zero, so the pair's prediction is its first frame's: which also tells that frames are not mixed up."""
    trainer = make_trainer(checkpoint_folders[family], tmp_path, **RELEASE, **WALLS)
    seen = {}
    trainer.igep_model.add_training_heads(recorded_objective(seen))
    batch = trainer.data_collator([WALLS["dataset"][0], SlantedWalls(num_frames=4)[1]])
    trainer.compute_loss(trainer.model, batch)
    sample, frame, neighbour = seen["pairs"].unbind(1)
    assert len(seen["pairs"]) == 2 * (3 + 2 + 1)
    assert ((neighbour - frame).clamp(max=2) == neighbour - frame).all()
    torch.testing.assert_close(
        seen["pair_predicted_depth_metres"], seen["predicted_depth_metres"][sample, frame], rtol=1e-4, atol=1e-5
    )


def test_activation_and_projection_of_the_verifier(base, tmp_path):
    trainer = make_trainer(base, tmp_path, **RELEASE, verifier_taps=3, verifier_layers=[1, 2, 3])
    model = trainer.igep_model
    shapes = {name: tuple(value.shape) for name, value in model.depth_verifier.projection.named_parameters()}
    assert shapes == {
        "0.weight": (64, 32),
        "0.bias": (64,),
        "2.weight": (24, 64),
        "2.bias": (24,),
        "3.weight": (24,),
        "3.bias": (24,),
    }
    assert model.pose_embedding.weights.shape == (3, 16, 32)
    maps = tuple(torch.randn(2, 4, 4, 32) for _ in range(3))
    torch.nn.init.zeros_(model.depth_verifier.decoder.prediction.weight)
    torch.nn.init.constant_(model.depth_verifier.decoder.prediction.bias, 0.5)
    depth, confidence = model.depth_verifier(maps, (8, 8))
    torch.testing.assert_close(depth, torch.full_like(depth, torch.tensor(0.5).exp()))
    torch.testing.assert_close(confidence, 1 + depth)


def test_the_layers_are_those_that_are_named(base, tmp_path):
    trainer = make_trainer(base, tmp_path, **RELEASE, verifier_layers=[1, 3])
    inputs = trainer.data_collator([SlantedWalls()[0]])
    named = trainer.igep_model.encode_frames(pixel_values_videos=inputs["pixel_values_videos"])
    trainer.igep_model.config.verifier_layers = None
    trainer.igep_model.config.verifier_taps = 3
    every = trainer.igep_model.encode_frames(pixel_values_videos=inputs["pixel_values_videos"])
    assert torch.equal(named[0], every[0])
    assert torch.equal(named[1], every[2])


# ---- Bad input


def test_depth_without_poses_is_named(base, tmp_path):
    class Unposed(SlantedWalls):
        def __getitem__(self, row):
            example = super().__getitem__(row)
            return dataclasses.replace(example, world_from_camera=None) if row == 5 else example

    trainer = make_trainer(base, tmp_path, dataset=Unposed(), **RELEASE)
    with pytest.raises(SpatialDataError, match="'wall-5' has depth and no poses.*cross_view_weight to 0"):
        trainer.train()
    make_trainer(base, tmp_path, dataset=Unposed(), **RELEASE, cross_view_weight=0.0).train()


def unposed_rows(asked_about=None) -> SpatialDataset:
    rows = [
        scene_row(3, name) | ({} if name == "posed" else {"world_from_camera": []}) for name in ("posed", "a", "b")
    ]
    questions = None
    if asked_about is not None:
        questions = Dataset.from_list([question_row(0, asked_about)], features=QUESTION_FEATURES)
    scenes = Dataset.from_list(rows, features=SCENE_FEATURES)
    return SpatialDataset(scenes, questions, num_frames=2, geometry_size=(32, 32))


def test_scenes_without_poses_are_named_before_training(base, tmp_path):
    evaluated = {"eval_dataset": unposed_rows(), "eval_strategy": "steps"}
    mixed = MixtureDataset(
        [MixturePart("walls", as_row_source(SlantedWalls())), MixturePart("scenes", unposed_rows())]
    )
    for options in ({"dataset": unposed_rows()}, evaluated, {"dataset": mixed}):
        with pytest.raises(SpatialDataError, match=r"Scenes 'a' and 1 more have depth and no poses.*weight to 0"):
            make_trainer(base, tmp_path, **options, **RELEASE)
    with pytest.raises(SpatialDataError, match=r"Scene 'b' has depth and no poses"):
        make_trainer(base, tmp_path, dataset=unposed_rows("b"), **RELEASE)


def test_scenes_without_poses_that_are_not_read_do_no_harm(base, tmp_path):
    make_trainer(base, tmp_path, dataset=unposed_rows(), **RELEASE, cross_view_weight=0.0)
    make_trainer(base, tmp_path, dataset=unposed_rows("posed"), **RELEASE)  # the others are in no row
    make_trainer(base, tmp_path, eval_dataset=unposed_rows(), **RELEASE)  # without evaluation
    for use in ({"weight": 0.0}, {"weight": 1.0, "max_samples": 1}):  # not drawn, or perhaps not
        parts = [
            MixturePart("walls", as_row_source(SlantedWalls()), weight=1.0),
            MixturePart("scenes", unposed_rows(), **use),
        ]
        make_trainer(base, tmp_path, dataset=MixtureDataset(parts, weighting="custom"), **RELEASE)


def test_rows_without_any_geometry_train_beside_the_others(base, tmp_path):
    class Plain(SlantedWalls):
        def __getitem__(self, row):
            example = super().__getitem__(row)
            nothing = {"world_from_camera": None, "depth_metres": None, "intrinsics": None}
            return dataclasses.replace(example, **nothing) if row % 2 else example

    trainer = make_trainer(base, tmp_path, dataset=Plain(), per_device_train_batch_size=1, max_steps=8, **RELEASE)
    trainer.train()
    assert sum(value == 0 for value in logged(trainer, "loss_cross_view")) == 4


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"objective": "papers"}, "objective='papers' is unknown: use one of paper, release"),
        ({"verifier_layers": [2, 1]}, "verifier_layers=.*each above the one before"),
        ({"verifier_layers": [1, 2, 3]}, "must be verifier_taps=2 layers"),
        ({"verifier_layers": [1, 2]}, "must begin at 1 or above and end at 3"),
        ({"verifier_activation": "relu"}, "verifier_activation='relu'"),
        ({"verifier_projection_channels": 0}, "verifier_projection_channels=0"),
    ],
)
def test_bad_values_name_the_field(base, tmp_path, fields, said):
    with pytest.raises(ValueError, match=said):
        make_trainer(base, tmp_path, **(RELEASE | fields))


def test_neighbours_of_the_paper_are_refused(base):
    model = IGEPForConditionalGeneration.from_base(base, objective="release", teacher_channels=None)
    model.add_training_heads(release_objective)
    with pytest.raises(ValueError, match=r"neighbour_index has shape \(1, 2\), expected \(1, 2, any\)"):
        model(
            pixel_values_videos=torch.randn(1, 2, 3, 32, 32),
            frame_mask=torch.ones(1, 2, dtype=torch.bool),
            depth_metres=torch.ones(1, 2, 8, 8),
            intrinsics=torch.eye(3).expand(1, 2, 3, 3),
            world_from_camera=torch.eye(4).expand(1, 2, 4, 4),
            neighbour_index=torch.zeros(1, 2, dtype=torch.long),
        )
