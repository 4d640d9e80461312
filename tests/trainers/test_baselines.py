"""Baselines by configuration: they train on the same rows, resume to the bit, and what is saved is what answers."""

import dataclasses
import json

import pytest
import torch
from grounded_walls import GroundedWalls
from safetensors.torch import load_file
from tiny_training import GEOMETRY_SIZE, SlantedWalls, logged, make_trainer, weights
from transformers import AutoModelForImageTextToText

from igep.processing_igep import IGEPProcessor
from igep.trainers import score, sft
from igep.trainers.commands.export_vlm import export_vlm
from igep.trainers.data.geometry_batch import geometry_batch
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.package_files import TINY_BASE
from igep.trainers.sft_trainer import GEOMETRY_INPUTS
from igep.trainers.supervision.precomputed_teacher import write_descriptors


ALONE = {"geometry_weight": 0.0, "cross_view_weight": 0.0}
NONE = ALONE | {"global_weight": 0.0, "teacher": "none"}


@pytest.fixture(scope="module")
def base(checkpoint_folders):
    return checkpoint_folders["llava_onevision"]


@pytest.fixture
def three_drs(tmp_path):
    """3DRS: the last layer of the language model against precomputed descriptors, through its own projector."""
    for row in range(8):
        descriptors = torch.randn(2, 5, 6, 8, generator=torch.Generator().manual_seed(row))
        write_descriptors(tmp_path / "descriptors", f"scene-{row}", ["0", "1"], descriptors)
    return ALONE | {
        "teacher": "precomputed",
        "teacher_name_or_path": str(tmp_path / "descriptors"),
        "supervise": "llm",
        "global_weight": 1.0,
        "alignment_distance": "squared",
        "teacher_projector_channels": 64,
        "teacher_projector_norm": False,
    }


def tiny_flags(base, output) -> list[str]:
    return [
        *("--model_name_or_path", str(base), "--output_dir", str(output), "--num_rooms", "4", "--use_cpu"),
        *("--geometry_size", "16", "16", "--max_steps", "1", "--per_device_train_batch_size", "2"),
        *("--save_strategy", "no", "--report_to", "none", "--disable_tqdm", "true", "--no_gradient_checkpointing"),
    ]


def configured(name, three_drs):
    positions = {"position_encoding": "sin3d"}
    return {"positions": NONE | positions, "3drs": three_drs, "3drs and positions": three_drs | positions}[name]


# ---- Training


@pytest.mark.parametrize("name", ["positions", "3drs", "3drs and positions"])
def test_a_baseline_trains_and_resumes_to_the_bit(base, tmp_path, three_drs, name):
    options = configured(name, three_drs) | {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    whole = make_trainer(base, tmp_path / "run", **options)
    before = weights(whole)
    whole.train()
    changed = {
        whole.igep_model.part_of_parameter(key)
        for key, value in before.items()
        if not torch.equal(value, whole.igep_model.get_parameter(key))
    }
    assert changed == {"vision", "projector", "language"} | ({"heads"} if "3drs" in name else set())
    resumed = make_trainer(base, tmp_path / "run", **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    after = weights(resumed)
    assert not [key for key, value in weights(whole).items() if not torch.equal(value, after[key])]
    assert logged(resumed, "loss")[-2:] == logged(whole, "loss")[-2:]


def test_the_losses_of_a_step_are_those_of_the_baselines(base, tmp_path, three_drs):
    """2 - 2 cos is twice 1 - cos; positions change the cross-entropy, and no head is built for them."""
    found = {}
    for name, options in (
        ("plain", NONE),
        ("positions", NONE | {"position_encoding": "sin3d"}),
        ("squared", three_drs),
        ("cosine", three_drs | {"alignment_distance": "cosine"}),
    ):
        trainer = make_trainer(base, tmp_path / name, max_steps=1, **options)
        torch.manual_seed(0)
        trainer.train()
        found[name] = {key: logged(trainer, key) for key in ("loss_ce", "loss_global")}
        heads = trainer.igep_model.training_heads
        assert set(heads) == ({"teacher_projector"} if options["global_weight"] else set())
    assert found["positions"]["loss_ce"] != found["plain"]["loss_ce"]
    assert found["squared"]["loss_ce"] == found["plain"]["loss_ce"]
    assert 0 < found["squared"]["loss_global"][0] < 4
    assert found["squared"]["loss_global"][0] == pytest.approx(2 * found["cosine"]["loss_global"][0], rel=0.3)


def test_the_projector_of_3drs_is_two_layers_without_a_norm(base, tmp_path, three_drs):
    projector = make_trainer(base, tmp_path, **three_drs).igep_model.teacher_projector
    assert {name: tuple(value.shape) for name, value in projector.named_parameters()} == {
        "hidden.weight": (64, 32),
        "hidden.bias": (64,),
        "output.weight": (8, 64),
        "output.bias": (8,),
    }


@pytest.mark.parametrize("field", ["depth_metres", "world_from_camera"])
def test_rows_without_positions_stop_the_run(base, tmp_path, field):
    class Lacking(SlantedWalls):
        def __getitem__(self, row):
            return dataclasses.replace(super().__getitem__(row), **{field: None})

    trainer = make_trainer(base, tmp_path, dataset=Lacking(), **NONE, position_encoding="sin3d")
    with pytest.raises(SpatialDataError, match="from which the 3D positions of its visual tokens are computed"):
        trainer.train()


def test_deepspeed_does_not_round_the_geometry(base, tmp_path, monkeypatch):
    """It casts every batch to bfloat16, in which half of the points lie in another voxel."""
    trainer = make_trainer(base, tmp_path, **NONE, position_encoding="sin3d")
    batch = trainer.data_collator([SlantedWalls()[1]])
    prepared = trainer._prepare_inputs(dict(batch))

    class Plugin:
        class hf_ds_config:
            @staticmethod
            def dtype():
                return torch.bfloat16

    monkeypatch.setattr(trainer, "is_deepspeed_enabled", True)
    monkeypatch.setattr(type(trainer.accelerator.state), "deepspeed_plugin", Plugin, raising=False)
    cast = trainer._prepare_inputs(dict(batch))
    assert cast["pixel_values_videos"].dtype == torch.bfloat16
    for name in GEOMETRY_INPUTS:
        assert torch.equal(cast[name].nan_to_num(), prepared[name].nan_to_num())


def test_a_model_goes_on_with_the_positions_it_was_trained_with(base, tmp_path):
    make_trainer(base, tmp_path / "first", **NONE, position_encoding="sin3d", max_steps=1).save_model()
    with pytest.raises(SystemExit, match="position_encoding='none', but the model was trained with .*'sin3d'"):
        sft.main([*tiny_flags(tmp_path / "first", tmp_path / "second"), "--global_weight", "0"])


# ---- What is saved


@pytest.mark.parametrize("name", ["positions", "3drs"])
def test_the_saved_model_answers_without_the_training_heads(base, tmp_path, three_drs, name):
    trainer = make_trainer(base, tmp_path / "run", **configured(name, three_drs), max_steps=1)
    trainer.train()
    trainer.save_model()
    folder = tmp_path / "run"
    assert not [key for key in load_file(folder / "model.safetensors") if "projector" in key and "teacher" in key]
    model = AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=True)
    example = SlantedWalls()[0]
    inputs = IGEPProcessor.from_base(base).question_inputs(list(example.frames), "How far is the wall?")
    geometry = geometry_batch([example], GEOMETRY_SIZE, (15.0, 15.0, 5.0)) if name == "positions" else {}
    assert model.generate(**inputs, **geometry, max_new_tokens=2).shape[1] == inputs["input_ids"].shape[1] + 2
    reads = name == "positions"
    assert json.loads((folder / "training_run.json").read_text())["usage"]["geometry_inputs"] == (
        "depth+pose" if reads else "none"
    )
    card = " ".join((folder / "README.md").read_text().split())
    assert ("Input: RGB frames with their depth, intrinsics and camera poses" in card) == reads
    assert ("As a pipeline" in card) == (not reads)
    if reads:
        with pytest.raises(ValueError, match="which its plain VLM would not"):
            export_vlm(model, tmp_path / "plain")


# ---- Commands


@pytest.fixture(scope="module")
def reads_positions(tmp_path_factory):
    """The tiny base of the package, trained for a step with positions on synthetic rooms."""
    folder = tmp_path_factory.mktemp("positions")
    flags = tiny_flags(TINY_BASE, folder / "model")
    off = ("geometry_weight", "cross_view_weight", "global_weight")
    sft.main([*flags, *(word for name in off for word in (f"--{name}", "0")), "--position_encoding", "sin3d"])
    return folder / "model"


def scores(model, output, *others) -> dict:
    rooms = ("--dataset", "synthetic_rooms", "--num_rooms", "3", "--room_seed", "3", "--questions_per_room", "3")
    flags = ("--model", str(model), "--output", str(output), "--benchmark", "scanqa", "rooms", "--held_out_rooms", "3")
    score.main([*flags, *rooms, *others])
    return json.loads(output.read_text())


def test_a_score_says_that_the_model_read_depth_and_poses(reads_positions, tmp_path):
    found = scores(reads_positions, tmp_path / "scores.json")["benchmarks"]
    for benchmark in found.values():
        assert benchmark["protocol"]["geometry_inputs"] == "depth+pose"
        assert "and nothing else" not in benchmark["protocol"]["inputs"]
        assert "measured depth, intrinsics and poses" in benchmark["protocol"]["inputs"]
    one_by_one = scores(reads_positions, tmp_path / "again.json", "--share_prefix", "false")["benchmarks"]
    assert {name: one["figures"] for name, one in one_by_one.items()} == {
        name: one["figures"] for name, one in found.items()
    }


def test_a_benchmark_without_depth_refuses_the_model(reads_positions, tmp_path):
    flags = ("--model", str(reads_positions), "--output", str(tmp_path / "scores.json"), "--benchmark", "depth")
    rooms = (
        "--dataset",
        "synthetic_rooms",
        "--num_rooms",
        "2",
        "--data",
        "depth.focal_pixels=null",
        "--max_rows",
        "1",
    )
    with pytest.raises(SystemExit, match="knows no depth and poses, which the model needs"):
        score.main([*flags, *rooms])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--frames_as", "images"), "centre_crop crops videos"),
        (
            ("--teacher", "precomputed", "--teacher_name_or_path", "folder"),
            "teacher_transform=resize are of whole frames",
        ),
        (("--alignment_distance", "euclidean"), "alignment_distance"),
        (("--teacher_projector_channels", "0"), "teacher_projector_channels=0 must be at least 1"),
    ],
)
def test_options_that_do_not_go_together(base, tmp_path, flags, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        sft.main([*tiny_flags(base, tmp_path), "--centre_crop", "true", *flags])
    assert said in f"{stopped.value} {capsys.readouterr().err}"


def test_a_run_with_the_centre_square_saves_a_processor_that_crops(base, tmp_path):
    sft.main([*tiny_flags(base, tmp_path), "--centre_crop", "true"])
    settings = json.loads((tmp_path / "processor_config.json").read_text())["video_processor"]
    assert settings["do_center_crop"]
    assert settings["size"] == {"shortest_edge": 32}


# ---- Grounding beside them


GROUND = {"ground_weight": 1.0, "ground_geometry_inputs": "depth+pose", "dataset": GroundedWalls()}


@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl"])
@pytest.mark.parametrize("features", ["vision", "vision_and_language"])
def test_boxes_are_asked_about_by_a_model_that_reads_positions(checkpoint_folders, tmp_path, family, features):
    """What `ground` finds is what training compares: the same frames, positions, tokens and boxes, in one world."""
    trainer = make_trainer(
        checkpoint_folders[family],
        tmp_path,
        **NONE,
        **GROUND,
        position_encoding="sin3d",
        ground_object_features=features,
        max_steps=1,
    )
    trainer.train()
    assert logged(trainer, "loss_ground")[0] > 0
    model, example = trainer.igep_model.eval(), GROUND["dataset"][0]
    batch = trainer.data_collator([example])
    assert (batch["grounding"]["origin"] == 0).all()
    with torch.no_grad():
        outputs = trainer.compute_loss(model, batch, return_outputs=True)[1]
    descriptions = [question for question, answer in example.conversation if answer == "<ground>"]
    inputs, questions = trainer.processing_class.ground_inputs(list(example.frames), descriptions)
    geometry = {name: batch[name][0] for name in ("depth_metres", "intrinsics", "world_from_camera")}
    found = model.ground(dict(inputs), questions, example.proposals, **geometry)
    logits = torch.tensor([one.similarities for one in found]) / model.config.ground_temperature
    meant = torch.stack(batch["grounding"]["meant"])
    expected = (logits.logsumexp(-1) - logits.masked_fill(~meant, -torch.inf).logsumexp(-1)).sum()
    torch.testing.assert_close(outputs.loss_ground, expected, rtol=1e-3, atol=1e-3)


def test_what_describes_a_box_changes_the_scores(base, tmp_path):
    losses = []
    for features in ("vision", "vision_and_language"):
        trainer = make_trainer(base, tmp_path, **NONE, **GROUND, ground_object_features=features, max_steps=1)
        trainer.train()
        losses += logged(trainer, "loss_ground")
    assert losses[0] != losses[1]


def test_positions_and_grounding_agree_on_what_is_known(base, tmp_path):
    with pytest.raises(ValueError, match="ground_geometry_inputs='pose'.*reads depth and poses anyway"):
        make_trainer(
            base, tmp_path, **NONE, **(GROUND | {"ground_geometry_inputs": "pose"}), position_encoding="sin3d"
        )
    with pytest.raises(ValueError, match="ground_object_features='language' is unknown"):
        make_trainer(base, tmp_path, **NONE, **GROUND, ground_object_features="language")
