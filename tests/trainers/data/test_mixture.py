"""Shares, subsamples and names of a mixture, its epochs across those of the trainer, and what it reports."""

import numpy as np
import pytest
import torch
from PIL import Image

from igep.trainers.data.mixture import MixtureDataset, MixturePart, mixture_shares
from igep.trainers.data.scenes.spatial_example import SpatialExample


class Rows:
    """Rows of one small frame that say which row they are, and at which draw."""

    def __init__(self, size: int):
        self.sample_ids = tuple(f"row-{row}" for row in range(size))

    def __len__(self) -> int:
        return len(self.sample_ids)

    def example(self, row: int, draw: int) -> SpatialExample:
        return SpatialExample(
            sample_id=self.sample_ids[row],
            scene_id="scene",
            frame_ids=("0",),
            frames=(Image.new("RGB", (2, 2)),),
            depth_metres=None,
            intrinsics=None,
            world_from_camera=None,
            conversation=((f"row {row}?", f"draw {draw}"),),
        )


def parts_of(*sizes: int, **options) -> list[MixturePart]:
    return [MixturePart(f"part-{number}", Rows(size), **options) for number, size in enumerate(sizes)]


def ids(dataset: MixtureDataset, count: int | None = None) -> list[str]:
    return [dataset.sample_id(index) for index in range(len(dataset) if count is None else count)]


# ---- shares


def test_shares_of_every_weighting():
    parts = parts_of(100, 300, 1600)
    np.testing.assert_allclose(mixture_shares(parts, "uniform"), [1 / 3] * 3)
    np.testing.assert_allclose(mixture_shares(parts, "size"), [0.05, 0.15, 0.8])
    np.testing.assert_allclose(
        mixture_shares(parts, "temperature", 2.0), np.array([10, 300**0.5, 40]) / (50 + 300**0.5)
    )
    np.testing.assert_allclose(mixture_shares(parts, "temperature", 1.0), mixture_shares(parts, "size"))
    np.testing.assert_allclose(mixture_shares(parts, "temperature", 1e9), [1 / 3] * 3, atol=1e-6)
    weighted = [MixturePart(str(weight), Rows(9), weight=weight) for weight in (1, 0, 3)]
    np.testing.assert_allclose(mixture_shares(weighted, "custom"), [0.25, 0, 0.75])


def test_shares_by_size_count_the_rows_in_use():
    parts = [MixturePart("all", Rows(100)), MixturePart("some", Rows(1000), percent=30, max_samples=100)]
    assert [part.num_rows for part in parts] == [100, 100]
    np.testing.assert_allclose(mixture_shares(parts, "size"), [0.5, 0.5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": -1.0}, r"'a': weight=-1.0 must be a finite number >= 0"),
        ({"weight": float("nan")}, r"weight=nan"),
        ({"max_samples": 0}, r"max_samples=0 must be at least 1"),
        ({"percent": 101}, r"percent=101 must be above 0 and at most 100"),
        ({"percent": 0}, r"percent=0 must be above 0"),
        ({"percent": float("nan")}, r"percent=nan"),
        ({"percent": 1}, r"percent=1 of 9 rows leaves none. Raise percent"),
        ({"name": ""}, r"the name is empty"),
        ({"dataset": Rows(0)}, r"'a': its dataset is empty. Check its path"),
    ],
)
def test_bad_part(options, message):
    with pytest.raises(ValueError, match=message):
        MixturePart(**({"name": "a", "dataset": Rows(9)} | options))


@pytest.mark.parametrize(
    ("weights", "weighting", "temperature", "message"),
    [
        ([], "size", 2, "mixture is empty"),
        ([None], "sizes", 2, "mixture_weights='sizes' is unknown: use one of uniform, size, temperature, custom"),
        ([None], "temperature", 0.5, "mixture_temperature=0.5 must be a finite number >= 1"),
        ([None], "temperature", float("inf"), "mixture_temperature=inf"),
        ([0.0, 0.0], "custom", 2, "every weight is 0"),
        ([1.0, None], "custom", 2, "'part-1': weight=None with mixture_weights='custom'"),
        ([1.0, None], "uniform", 2, "'part-0': weight=1.0 with mixture_weights='uniform'"),
    ],
)
def test_bad_mixture(weights, weighting, temperature, message):
    parts = [MixturePart(f"part-{number}", Rows(3), weight=weight) for number, weight in enumerate(weights)]
    with pytest.raises(ValueError, match=message):
        mixture_shares(parts, weighting, temperature)


def test_names_are_unique_and_lengths_positive():
    with pytest.raises(ValueError, match="names 'a' 2 times"):
        mixture_shares([MixturePart("a", Rows(3)), MixturePart("a", Rows(4))])
    for options in ({"samples_per_epoch": 0}, {"samples_per_step": 0}):
        with pytest.raises(ValueError, match="=0 must be at least 1"):
            MixtureDataset(parts_of(3), **options)
    for group_size in (0, 3):
        with pytest.raises(
            ValueError, match=f"group_size={group_size} must be at least 1 and divide samples_per_step=8"
        ):
            MixtureDataset(parts_of(3), samples_per_step=8, group_size=group_size)


# ---- dataset


def test_a_part_keeps_its_order_when_another_is_added():
    alone = MixtureDataset(parts_of(40))
    both = MixtureDataset(parts_of(40, 20), weighting="uniform")
    assert [name for name in ids(both) if name.startswith("part-0")] == ids(alone)[:30]


def test_subsamples_are_seeded_and_lie_within_each_other():
    def rows(percent: float, seed: int) -> set[str]:
        return set(ids(MixtureDataset([MixturePart("a", Rows(200), percent=percent)], seed=seed)))

    assert len(rows(10, 0)) == 20
    assert rows(10, 0) < rows(25, 0) < rows(100, 0)
    assert rows(10, 0) != rows(10, 1)
    assert {int(name.split("-")[1].split("#")[0]) for name in rows(10, 0)} != set(range(20))


def test_samples_are_read_when_drawn_and_named_after_their_part():
    dataset = MixtureDataset(parts_of(5, 3), weighting="uniform", samples_per_epoch=12)
    assert len(dataset) == 12
    for index in range(12):
        example = dataset[index]
        assert example.sample_id == dataset.sample_id(index)
        name, draw = example.sample_id.split("#")
        row = name.split("row-")[1]
        assert example.conversation == ((f"row {row}?", f"draw {draw}"),)
    for index in (12, -1):
        with pytest.raises(IndexError, match="of a mixture of 12 samples"):
            dataset[index]


def test_epochs_of_the_trainer_follow_each_other_without_a_seam():
    dataset = MixtureDataset(parts_of(5, 3), samples_per_epoch=10)
    whole = MixtureDataset(parts_of(5, 3), samples_per_epoch=30)
    found = []
    for epoch in range(3):
        dataset.set_epoch(epoch)
        found += ids(dataset)
    assert found == ids(whole)


def test_groups_go_on_over_the_epochs_of_the_trainer():
    dataset = MixtureDataset(parts_of(9, 9), weighting="uniform", samples_per_step=8, group_size=4)
    assert len(dataset) == 24
    batches = []
    for epoch in range(4):
        dataset.set_epoch(epoch)
        batches += [{name.split("/")[0] for name in ids(dataset)[start : start + 4]} for start in range(0, 24, 4)]
    assert all(len(parts) == 1 for parts in batches)
    assert {*batches[0], *batches[1], *batches[2], *batches[3]} == {"part-0", "part-1"}


def test_length_is_that_of_the_rows_in_use_in_whole_steps():
    assert len(MixtureDataset(parts_of(5, 3))) == 8
    assert len(MixtureDataset(parts_of(5, 3), samples_per_step=6)) == 12
    assert len(MixtureDataset(parts_of(5, 3), samples_per_epoch=12, samples_per_step=6)) == 12


def test_samples_after_steps():
    dataset = MixtureDataset(parts_of(10))
    assert [dataset.samples_after_steps(steps, 4) for steps in range(5)] == [0, 4, 8, 10, 14]
    assert dataset.logged_counts(2, 4) == {"samples_part-0": 8}


def test_workers_that_outlive_an_epoch_hear_of_the_next():
    dataset = MixtureDataset(parts_of(6, 4), samples_per_epoch=10)
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=5, num_workers=1, persistent_workers=True, collate_fn=lambda rows: rows
    )
    for epoch in range(2):
        dataset.set_epoch(epoch)
        assert [example.sample_id for batch in loader for example in batch] == ids(dataset)


def test_table_of_realised_counts():
    parts = [MixturePart("rooms", Rows(10), weight=3), MixturePart("scans", Rows(40), weight=1)]
    dataset = MixtureDataset(parts, weighting="custom")
    counts = dataset.counts(640)
    assert counts == {"rooms": 480, "scans": 160}
    lines = dataset.count_table(640).splitlines()
    assert lines[0].split() == ["mixture", "rows", "samples", "share", "wanted", "epochs"]
    assert lines[1].split() == ["rooms", "10", "480", "75.00%", "75.00%", "48.00"]
    assert lines[2].split() == ["scans", "40", "160", "25.00%", "25.00%", "4.00"]
    assert "0.00%" in dataset.count_table(0)
