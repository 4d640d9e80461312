"""What is written beside a saved model: from what the run was given, without places and tokens of this machine."""

import dataclasses
import json
from pathlib import Path

import pytest
import yaml
from tiny_training import SlantedWalls, make_trainer

from igep.trainers import sft
from igep.trainers.cards import training_run
from igep.trainers.cards.model_card import model_card
from igep.trainers.cards.run_data import data_of
from igep.trainers.cards.saved_weights import parameters_on_disk
from igep.trainers.cards.shared_recipe import shared_recipe
from igep.trainers.cards.training_run import read_training_run
from igep.trainers.cards.usage import task_options, usage_of
from igep.trainers.data.mixture import MixtureDataset, MixturePart
from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms
from igep.trainers.data.row_source import as_row_source
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.shown_box_dataset import ShownBoxDataset
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.data.vlm3.vlm3_dataset import VLM3Dataset
from igep.trainers.data.vlm3.vlm3_options import VLM3Options


@pytest.fixture(scope="module")
def base(checkpoint_folders):
    return checkpoint_folders["llava_onevision"]


def run_of(trainer, recipe, dataset=None, **facts):
    """What is written beside a model after one step of a trainer."""
    args = trainer.args
    told = {"frames_as": args.frames_as, "losses": args.losses, "samples_per_step": args.samples_per_step}
    rows = trainer.train_dataset if dataset is None else dataset
    return training_run.training_run(args, recipe, rows, base_model="", steps=1, tags=[], **told, **facts)


def test_hub_datasets_are_linked(base, tmp_path):
    trainer = make_trainer(base, tmp_path)
    mixture = [
        {"name": "a", "dataset_path": "someone/rooms"},
        {"name": "b", "dataset": "scannet", "dataset_path": "x/y"},
    ]
    recipe = {"dataset": "hub", "dataset_path": "someone/flats", "mixture": mixture}
    run = run_of(trainer, recipe)
    assert run["datasets"] == ["someone/flats", "someone/rooms"]
    assert run["base_model"] == {"name": "", "on_hub": False, "licence": None}


@pytest.mark.parametrize(
    ("recipe", "dataset"),
    [
        ({"model_name_or_path": "m"}, {"kind": "synthetic_rooms", "name": None, "on_hub": False}),
        (
            {"dataset": "hub", "dataset_path": "someone/flats"},
            {"kind": "hub", "name": "someone/flats", "on_hub": True},
        ),
        (
            {"dataset": "scannet", "dataset_path": "/data/us/scans/"},
            {"kind": "scannet", "name": "scans", "on_hub": False},
        ),
        ({"dataset": "scannet", "dataset_path": "us/scans"}, {"kind": "scannet", "name": "scans", "on_hub": False}),
        ({"dataset": "hub", "dataset_path": "/data/flats"}, {"kind": "hub", "name": "flats", "on_hub": False}),
        ({"dataset": "scannet", "dataset_path": "."}, {"kind": "scannet", "name": Path.cwd().name, "on_hub": False}),
        ({}, None),
    ],
)
def test_rows_name_their_dataset_and_no_place(base, tmp_path, recipe, dataset):
    trainer = make_trainer(base, tmp_path)
    run = run_of(trainer, recipe)
    (part,) = run["data"]
    assert part["dataset"] == dataset


@pytest.mark.parametrize("as_text", [True, False])
def test_parts_of_a_mixture_name_their_own_datasets(base, tmp_path, as_text):
    trainer = make_trainer(base, tmp_path)
    rows = as_row_source(trainer.train_dataset)
    mixture = MixtureDataset([MixturePart("a", rows), MixturePart("b", rows)], samples_per_step=4, seed=0)
    entries = [{"name": "a"}, {"name": "b", "dataset": "scannet", "dataset_path": "/x/scans"}]
    recipe = {"dataset": "hub", "dataset_path": "someone/flats"}
    recipe["mixture"] = [yaml.safe_dump(entry) for entry in entries] if as_text else entries
    run = run_of(trainer, recipe, mixture)
    assert [part["dataset"]["name"] for part in run["data"]] == ["someone/flats", "scans"]
    assert run["datasets"] == ["someone/flats"]
    assert "/x" not in json.dumps(run)


def test_architecture_and_size_are_those_of_the_saved_folder(base, tmp_path):
    trainer = make_trainer(base, tmp_path / "my_model", max_steps=1)
    trainer.train()
    trainer.save_model()
    run = run_of(trainer, {}, architecture="llava_onevision", folder=tmp_path / "my_model")
    assert run["model"] == {
        "architecture": "llava_onevision",
        "parameters": parameters_on_disk(tmp_path / "my_model"),
    }
    assert run["model"]["parameters"] > 1000
    run = run_of(trainer, {}, folder=tmp_path / "none")
    assert run["model"] == {"architecture": None, "parameters": None}


def test_usage_has_the_options_of_every_written_task():
    scenes, _ = synthetic_rooms(2, seed=3, num_frames=2, image_size=64, questions_per_room=0)
    parts = [
        MixturePart(task, VLM3Dataset(scenes, VLM3Options(task=task, **options), geometry_size=(16, 16)))
        for task, options in {
            "depth": {"focal_pixels": None, "text_pixel_steps": 64},
            "pose": {"focal_pixels": 50.0, "canvas_size": [64, 64], "focal_mode": "fx"},
        }.items()
    ]
    usage = usage_of(MixtureDataset(parts, samples_per_step=4, seed=0), frames_as="images")
    assert usage["focal_pixels"] is None, "of depth, which the Space reads"
    assert task_options(usage, "depth")["text_pixel_steps"] == 64
    pose = task_options(usage, "pose")
    assert (pose["focal_pixels"], pose["canvas_size"], pose["focal_mode"]) == (50.0, [64, 64], "fx")
    assert json.loads(json.dumps(usage)) == usage


def test_usage_says_from_where_on_depth_was_no_measurement():
    tables = synthetic_rooms(2, seed=3, num_frames=2, image_size=64, questions_per_room=2)
    kept = {"num_frames": 2, "geometry_size": (16, 16)}
    rows = SpatialDataset(*tables, **kept, max_depth_metres=6.0)
    usage = usage_of(rows, frames_as="images")
    assert (usage["max_depth_metres"], usage["tasks"], usage["task_options"]) == (6.0, ["questions"], {})
    shown = ShownBoxDataset(*tables, **kept, max_depth_metres=8.0)
    parts = [MixturePart("a", shown), MixturePart("b", rows)]
    usage = usage_of(MixtureDataset(parts, samples_per_step=4, seed=0), frames_as="images")
    assert usage["max_depth_metres"] == 8.0, "the largest"
    assert task_options(usage, "questions") == {"box_prompt": "frame"}
    assert "max_depth_metres" not in usage_of(SpatialDataset(*tables, **kept), frames_as="images")
    assert json.loads(json.dumps(usage)) == usage


@pytest.mark.parametrize("content", ["[]", "{}", "{", '{"base_model": null}'])
def test_a_broken_file_is_named(tmp_path, content):
    (tmp_path / "training_run.json").write_text(content)
    with pytest.raises(ValueError, match="training_run.json"):
        read_training_run(tmp_path)


def test_a_recipe_names_no_place_and_no_token(tmp_path):
    recipe = {
        "dataset_path": str(tmp_path / "scans"),
        "model_name_or_path": "Qwen/Qwen3-VL-4B-Instruct",
        "hub_token": "hf_secret",
        "model_init_kwargs": {"token": "sk-1", "api_key": "x", "max_new_tokens": 3},
        "unannotated_prompt": "left and/or right",
        "resume_from_checkpoint": "true",
        "output_dir": "somewhere",
        "question_file": "../private/questions.jsonl",
        "mixture": [{"name": "a", "dataset_path": str(tmp_path)}],
        "learning_rate": 1e-5,
    }
    assert shared_recipe(recipe) == {
        "dataset_path": "scans",
        "model_name_or_path": "Qwen/Qwen3-VL-4B-Instruct",
        "question_file": "questions.jsonl",
        "model_init_kwargs": {"max_new_tokens": 3},
        "unannotated_prompt": "left and/or right",
        "mixture": [{"name": "a", "dataset_path": tmp_path.name}],
        "learning_rate": 1e-5,
    }


def test_given_options_are_those_of_recipe_and_flags(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("num_rooms: 16\ngeometry_weight: 0.3\noutput_dir: out\n")
    arguments = [f"--config={recipe}", "--geometry-weight=0.2", "--no_use_cache", "--max_steps", "3"]
    parsed = sft.parse(arguments)
    assert sft.PARSER.given_options(arguments, parsed) == {
        "num_rooms": 16,
        "geometry_weight": 0.2,
        "output_dir": "out",
        "use_cache": False,
        "max_steps": 3,
    }


def test_rows_of_any_dataset_are_questions_in_plain_words():
    usage = usage_of(SlantedWalls(), frames_as="video")
    assert usage["tasks"] == ["questions"]
    assert usage["num_frames"] == 2
    assert usage["frames_as"] == "video"
    assert usage["multi_turn"] is True
    assert usage["examples"] == ["How far is the wall?", "Is it slanted?"]
    assert usage_of(SlantedWalls(), frames_as="video", pack_questions=True)["multi_turn"] is False
    assert [part["task"] for part in data_of(SlantedWalls(), {}, 8)] == ["rows of a dataset class of the user's"]


class CountedChairs:
    """A dataset class of a user's own that imports nothing of ours but the example, and asks under options."""

    task = "chairs"
    sample_ids = ("office", "kitchen")

    def __init__(self, usage: dict):
        self.usage = usage

    def __len__(self) -> int:
        return 2

    def example(self, row: int, draw: int) -> SpatialExample:
        asked = ((f"How many chairs after {draw} draws?", str(row)),)
        return dataclasses.replace(SlantedWalls(num_frames=3)[row], conversation=asked)


def test_a_dataset_class_of_ones_own_is_reported():
    words = CountedChairs({})
    assert data_of(words, {"dataset": "scannet", "dataset_path": "/x/scans"}, 6) == [
        {
            "name": "training rows",
            "dataset": {"kind": "scannet", "name": "scans", "on_hub": False},
            "task": "chairs",
            "rows": 2,
            "samples": 6,
        }
    ]
    usage = usage_of(words, frames_as="video")
    assert (usage["tasks"], usage["num_frames"], usage["task_options"]) == (["questions"], 3, {})
    assert usage["examples"] == ["How many chairs after 0 draws?"]
    mixture = MixtureDataset(
        [MixturePart("a", words), MixturePart("b", CountedChairs({"think": True}), max_samples=1)]
    )
    assert [(part["name"], part["task"], part["rows"], part["samples"]) for part in data_of(mixture, {}, 9)] == [
        ("a", "chairs", 2, 6),
        ("b", "chairs", 1, 3),
    ]
    usage = usage_of(mixture, frames_as="video")
    assert usage["tasks"] == ["chairs", "questions"]
    assert usage["task_options"] == {"chairs": {"think": True}}


def test_a_dataset_class_of_ones_own_is_on_the_card(base, tmp_path):
    trainer = make_trainer(base, tmp_path)
    card = model_card(run_of(trainer, {}, CountedChairs({"think": True})), repo_id="someone/chairs")
    assert "| training rows | not recorded | chairs | 2 | 4 |" in card
    assert "VLM3's questions" not in card


def test_a_folder_without_a_run_says_where_it_comes_from(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"has no {training_run.RUN_FILE}, which `igep sft` writes"):
        read_training_run(tmp_path)
