"""The `mixture` of a recipe: values as on a command line, the recipe's own where an entry is silent, early errors."""

import pytest

from igep.trainers.data.mixture_options import MixtureEntry, MixtureOptions, load_mixture, parse_mixture
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.data.training_rows import RowOptions
from igep.trainers.data.vlm3.vlm3_dataset import VLM3Dataset


ROOMS = {"num_rooms": 3, "room_image_size": 32, "questions_per_room": 2}


def load(
    entries: list, recipe: RowOptions | None = None, *, samples_per_step: int = 1, batch_size: int = 1, **options
):
    recipe = RowOptions(**ROOMS) if recipe is None else recipe
    return load_mixture(
        parse_mixture(entries, recipe),
        MixtureOptions(**options),
        geometry_size=(16, 16),
        samples_per_step=samples_per_step,
        batch_size=batch_size,
        seed=0,
    )


def test_entries_have_the_values_of_the_recipe_unless_they_say_otherwise():
    recipe = RowOptions(num_rooms=7, focal_pixels=700.0, questions_per_image=4, eval_rooms=2)
    first, second = parse_mixture(
        [
            {"name": "near", "task": "depth", "percent": 10, "weight": "1e-1"},
            "{name: far, task: pose, focal_pixels: null, num_rooms: 5, eval_rooms: 0, room_focal_range: [0.5, 1]}",
        ],
        recipe,
    )
    assert isinstance(first, MixtureEntry)
    assert (first.name, first.task, first.percent, first.weight) == ("near", "depth", 10.0, 0.1)
    assert (first.num_rooms, first.focal_pixels, first.questions_per_image, first.eval_rooms) == (7, 700.0, 4, 2)
    assert (second.task, second.focal_pixels, second.num_rooms, second.eval_rooms) == ("pose", None, 5, 0)
    assert second.room_focal_range == [0.5, 1.0]
    assert second.max_samples is None
    assert recipe.focal_pixels == 700.0


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "a", "tsak": "depth"}, r"mixture entry 0 has an unknown key 'tsak'. Did you mean 'task'"),
        ({"name": "a", 3: 4}, r"unknown key 3"),
        ({"task": "depth"}, r"mixture entry 0 has no name: give it one, such as depth_1"),
        ({"name": "a", "num_rooms": "many"}, r"mixture entry 0 \(a\): .*--num_rooms.*invalid int value: 'many'"),
        ({"name": "a", "dataset": "kitti"}, r"mixture entry 0 \(a\): .*invalid choice: 'kitti'"),
        ({"name": "a", "task": "slam"}, r"invalid choice: 'slam'"),
        ({"name": "a", "num_rooms": None}, r"num_rooms is empty"),
        ({"name": "a", "num_rooms": [1, 2]}, r"mixture entry 0 \(a\): "),
        ({"name": "a", "task": "depth", "questions_per_image": 0}, r"mixture entry 0 \(a\): questions_per_image=0"),
        ("{name: a", "mixture entry 0 is not YAML"),
        ("a", "mixture entry 0 is 'a', not a mapping"),
    ],
)
def test_bad_entry(entry, message):
    with pytest.raises(ValueError, match=message):
        parse_mixture([entry], RowOptions())


def test_mixture_is_a_list():
    with pytest.raises(ValueError, match="must be a list of entries"):
        parse_mixture({"name": "a"}, RowOptions())


def test_annotated_and_written_questions_in_one_mixture():
    mixture, held_out = load(
        [
            {"name": "asked", "task": "questions", "eval_rooms": 2},
            {"name": "depth", "task": "depth", "focal_pixels": None, "questions_per_image": 3},
        ],
        mixture_weights="uniform",
        mixture_samples_per_epoch=64,
    )
    asked, depth = (part.dataset for part in mixture.parts)
    assert isinstance(asked, SpatialDataset)
    assert isinstance(depth, VLM3Dataset)
    assert (len(asked), len(depth), len(held_out)) == (6, 6, 4)
    assert mixture.counts(64) == {"asked": 32, "depth": 32}
    examples = {index: mixture[index] for index in range(64)}
    for index, example in examples.items():
        assert example.sample_id == mixture.sample_id(index)
        turns, frames = (1, 2) if example.sample_id.startswith("asked/") else (3, 1)
        assert (len(example.conversation), len(example.frames)) == (turns, frames)
    by_row: dict[str, set] = {}
    for example in examples.values():
        by_row.setdefault(example.sample_id.split("#")[0], set()).add(example.conversation)
    draws = {name: len(conversations) for name, conversations in by_row.items()}
    assert {count for name, count in draws.items() if name.startswith("asked/")} == {1}
    assert min(count for name, count in draws.items() if name.startswith("depth/")) > 1  # fresh points at every draw


def test_every_batch_is_of_one_part_where_that_is_asked_for():
    entries = [
        {"name": "asked", "task": "questions"},
        {"name": "depth", "task": "depth", "focal_pixels": None},
    ]
    mixture, _ = load(
        entries, samples_per_step=8, batch_size=4, mixture_samples_per_epoch=64, mixture_one_part_per_batch=True
    )
    frames = [[len(mixture[index].frames) for index in range(start, start + 4)] for start in range(0, 64, 4)]
    assert {tuple(counts) for counts in frames} == {(2,) * 4, (1,) * 4}


def test_scenes_that_entries_share_are_read_once(monkeypatch):
    from igep.trainers.data import training_rows

    read = []
    load_tables = training_rows.load_train_and_held_out
    monkeypatch.setattr(
        training_rows, "load_train_and_held_out", lambda source: read.append(source) or load_tables(source)
    )
    load(
        [
            {"name": "asked", "task": "questions"},
            {"name": "depth", "task": "depth", "focal_pixels": None},
            {"name": "other", "task": "depth", "focal_pixels": None, "room_seed": 5},
        ]
    )
    assert [source.room_seed for source in read] == [0, 5]


def test_an_error_of_the_data_names_the_entry(tmp_path):
    with pytest.raises(ValueError, match="mixture entry 'scans': dataset='scannet' needs dataset_path"):
        load([{"name": "scans", "dataset": "scannet"}])
    with pytest.raises(SpatialDataError, match="mixture entry 'scans': "):
        load([{"name": "scans", "dataset": "scannet", "dataset_path": str(tmp_path)}])


def test_options_of_the_mixture_are_checked():
    entry = {"name": "a", "num_rooms": 2}
    with pytest.raises(ValueError, match="names 'a' 2 times"):
        load([entry, entry])
    with pytest.raises(ValueError, match="mixture is empty"):
        load([])
    with pytest.raises(ValueError, match=r"weight=-1.0 must be"):
        load([entry | {"weight": -1}], mixture_weights="custom")
    with pytest.raises(ValueError, match=r"percent=101.0"):
        load([entry | {"percent": 101}])
    with pytest.raises(ValueError, match=r"max_samples=0"):
        load([entry | {"max_samples": 0}])
