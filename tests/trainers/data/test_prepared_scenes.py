"""A miniature download as Parquet shards: the same scenes and questions as from the download, and runs that go on."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from scannet_tree import write_json, write_scan
from scene_folders import camera_path, scene_row, write_exported

from igep.trainers.data.load_scenes import SceneSource, load_scenes
from igep.trainers.data.prepared_scenes import PreparePlan, SceneReport, prepare_scannet
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES, SpatialDataError
from igep.trainers.data.spatial_dataset import SpatialDataset


SCANS = [f"scene{number:04d}_00" for number in range(5)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(SCANS):
        write_scan(tmp_path / "scannet", name, masks=[[3], []] if number == 1 else None)
    return tmp_path / "scannet"


def plan(root: Path, **changes) -> PreparePlan:
    return PreparePlan(**{"root": str(root), "scene_ids": SCANS, "scenes_per_shard": 2, **changes})


def prepare(plan: PreparePlan, out: Path, **options) -> list[SceneReport]:
    return [scene for shard in prepare_scannet(plan, out, **options) for scene in shard]


def shards(out: Path) -> dict[str, tuple[int, int]]:
    """Files by name, and what changes when one is written again."""
    return {
        path.relative_to(out).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(out.glob("[!.]*/*.parquet"))
    }


def test_what_is_written_is_what_was_downloaded(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    reports = prepare(plan(root), out)
    assert [(scene.frames, scene.objects, scene.proposals) for scene in reports] == [
        (4, 4, 4),
        (4, 4, 1),
        (4, 4, 4),
        (4, 4, 4),
        (4, 4, 4),
    ]
    assert reports[1].notes == ["empty masks, which propose nothing: 1"]
    assert [path for path in shards(out) if "scenes" in path] == [
        f"scenes/train-0000{number}-of-00003.parquet" for number in range(3)
    ]
    (root / "posed_images").rename(root / "moved")  # the images are in the shards
    scenes, questions = load_scenes(SceneSource(dataset="hub", dataset_path=str(out)))
    assert questions is None
    assert scenes.features == SCENE_FEATURES
    assert scenes["scene_id"][:] == SCANS
    np.testing.assert_allclose(scenes[2]["world_from_camera"], camera_path(4), atol=1e-5)
    example = SpatialDataset(scenes, None, num_frames=3, geometry_size=(12, 16))[0]
    assert example.depth_metres.max() > 0
    objects = load_dataset(str(out), "objects", split="train")
    assert objects[1]["object_ids"] == [0, 1, 3, 7]
    assert len(objects[1]["proposals"]) == 1


def test_questions_of_a_benchmark_about_prepared_scenes(root: Path, tmp_path: Path) -> None:
    prepare(plan(root), tmp_path / "out")
    entries = [
        {"question_id": str(n), "scene_id": name, "question": "Where?", "answers": ["left"], "object_ids": [7, 3]}
        for n, name in enumerate(SCANS[::-1])
    ]
    file = write_json(tmp_path / "scanqa.json", entries)
    found = [
        load_scenes(SceneSource(dataset="scanqa", dataset_path=str(path), annotation_file=file))
        for path in (root, tmp_path / "out")
    ]
    assert found[0][1][:] == found[1][1][:]
    assert found[0][1][0]["referred_boxes"] == [3, 2]
    for column in ("scene_id", "boxes", "world_from_camera", "frame_ids"):
        assert found[0][0][column][:] == found[1][0][column][:]
    assert len(SpatialDataset(*found[1], num_frames=2, geometry_size=(12, 16))[0].frames) == 2


def test_scan2cap_takes_prepared_proposals(root: Path, tmp_path: Path) -> None:
    prepare(plan(root), tmp_path / "out")
    entries = [processed_grounding(SCANS[1], 3), processed_grounding(SCANS[1], 0)]
    source = SceneSource(
        dataset="scan2cap",
        dataset_path=str(tmp_path / "out"),
        annotation_file=write_json(tmp_path / "scanrefer.json", entries),
        label_file=str(labels(tmp_path)),
        shown_boxes="proposals",
    )
    assert [len(row) for row in load_scenes(source)[1]["referred_boxes"]] == [2, 1]


def processed_grounding(scene_id: str, object_id: int) -> dict:
    return {"scene_id": scene_id, "object_id": str(object_id), "object_name": "chair", "description": "A chair."}


def labels(folder: Path) -> Path:
    (folder / "labels.tsv").write_text("raw_category\tnyu40id\nchair\t5\n")
    return folder / "labels.tsv"


def test_finished_shards_are_not_done_again(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    started = prepare_scannet(plan(root), out)
    next(started)
    started.close()  # interrupted between two shards
    before = shards(out)
    assert len(before) == 2
    assert not (out / "README.md").exists()
    with pytest.raises(SpatialDataError, match="`igep prepare` was interrupted here"):
        load_scenes(SceneSource(dataset="scanqa", dataset_path=str(out), annotation_file=one_question(tmp_path)))
    prepare(plan(root), out)
    after = shards(out)
    assert len(after) == 6
    assert {name: after[name] for name in before} == before
    assert prepare(plan(root), out) == prepare(plan(root), tmp_path / "other")


def one_question(folder: Path) -> str:
    entry = {"question_id": "a", "scene_id": SCANS[0], "question": "Where?", "answers": ["left"]}
    return write_json(folder / "one.json", [entry])


def test_a_run_that_dies_while_it_writes_leaves_no_half_shard(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    replace = os.replace

    def dies(source: Path, target: Path) -> None:
        if "objects/train-00001" in str(target):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr("igep.trainers.data.prepared_scenes.os.replace", dies)
    with pytest.raises(KeyboardInterrupt):
        prepare(plan(root), out)
    monkeypatch.undo()
    assert [name for name in shards(out) if "00001" in name] == ["scenes/train-00001-of-00003.parquet"]
    before = shards(out)
    prepare(plan(root), out)
    after = shards(out)
    assert after["scenes/train-00000-of-00003.parquet"] == before["scenes/train-00000-of-00003.parquet"]
    assert len(after) == 6
    assert load_dataset(str(out), "scenes", split="train", cache_dir=str(tmp_path / "c"))["scene_id"][:] == SCANS


def test_scenes_that_cannot_be_read_are_left_out_and_reported(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    depth = root / "posed_images" / SCANS[0] / "00002.png"
    whole = depth.read_bytes()
    depth.write_bytes(whole[:50])
    (root / "scans" / SCANS[1] / f"{SCANS[1]}.aggregation.json").write_text("{")
    reports = prepare(plan(root), out)
    assert "00002.png" in reports[0].left_out_because
    assert "cut off" in reports[1].left_out_because
    assert [path for path in shards(out) if "scenes" in path] == [
        "scenes/train-00001-of-00003.parquet",
        "scenes/train-00002-of-00003.parquet",
    ]
    assert [scene["scene_id"] for scene in json.loads((out / "report.json").read_text())] == SCANS
    with pytest.raises(SpatialDataError, match="its report says which scans were left out"):
        load_scenes(SceneSource(dataset="scanqa", dataset_path=str(out), annotation_file=one_question(tmp_path)))
    depth.write_bytes(whole)
    before = shards(out)
    assert prepare(plan(root), out)[0].left_out_because
    mended = prepare(plan(root), out, retry_left_out=True)
    assert [bool(scene.left_out_because) for scene in mended] == [False, True, False, False, False]
    assert before.items() <= shards(out).items()


def test_not_one_scene(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(SpatialDataError, match="not one of 2 scenes could be read.*no frames of this scan"):
        prepare(plan(root, scene_ids=["a", "b"]), out)
    assert not (out / "README.md").exists()


def test_other_options_want_another_folder(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(plan(root), out)
    with pytest.raises(SpatialDataError, match="with another num_frames, scenes_per_shard"):
        prepare(plan(root, num_frames=2, scenes_per_shard=3), out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(SpatialDataError, match="holds something else"):
        prepare(plan(root), tmp_path / "full")


def test_frames_are_chosen(root: Path, tmp_path: Path) -> None:
    # Twice the same view, then another: coverage takes the other, even spacing does not.
    scan = root / "posed_images" / SCANS[0]
    for name in ("00001", "00003"):
        for suffix in ("png", "txt"):
            (scan / f"{name}.{suffix}").write_bytes((scan / f"00000.{suffix}").read_bytes())
    kept = {}
    for sampling in ("uniform", "coverage"):
        out = tmp_path / sampling
        prepare(plan(root, scene_ids=SCANS[:1], num_frames=2, frame_sampling=sampling), out)
        kept[sampling] = load_dataset(str(out), "scenes", split="train")[0]["frame_ids"]
    assert kept["uniform"] == ["00000", "00003"]
    assert "00002" in kept["coverage"]
    report = prepare(plan(root, scene_ids=SCANS[:1], num_frames=9), tmp_path / "more")[0]
    assert (report.frames, report.notes) == (4, ["4 frames, fewer than the 9 that are asked for"])


def test_coverage_needs_depth_and_poses(tmp_path: Path) -> None:
    root = tmp_path / "scannet"
    scan = write_exported(root / "scans" / SCANS[0], scene_row(3))
    for path in (scan / "depth").iterdir():
        path.unlink()
    write_exported(root / "scans" / SCANS[1], scene_row(3))
    reports = prepare(plan(root, scene_ids=SCANS[:2], num_frames=2, frame_sampling="coverage"), tmp_path / "out")
    assert "has no depth, from which coverage follows" in reports[0].left_out_because
    assert reports[1].frames == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frame_sampling": "random"}, "frame_sampling='random'"),
        ({"frame_sampling": "coverage"}, "give num_frames"),
        ({"num_frames": 0}, "num_frames=0"),
        ({"scenes_per_shard": 0}, "scenes_per_shard=0"),
        ({"scene_ids": []}, "holds 0 scenes"),
        ({"scene_ids": ["a", "a"]}, "each once"),
    ],
)
def test_options_that_are_none(tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plan(tmp_path, **changes)


def test_boxes_of_prepared_scenes_are_in_their_tables(root: Path, tmp_path: Path) -> None:
    prepare(plan(root), tmp_path / "out")
    source = SceneSource(
        dataset="scanqa",
        dataset_path=str(tmp_path / "out"),
        annotation_file=one_question(tmp_path),
        object_box_file="boxes.json",
    )
    with pytest.raises(SpatialDataError, match="give object_box_file and proposal_box_file to `igep prepare"):
        load_scenes(source)


def test_tables_without_objects_answer_questions_that_name_none(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    prepare(plan(root), out)
    card = (out / "README.md").read_text()
    (out / "README.md").write_text(card.replace("config_name: objects", "config_name: things"))
    source = SceneSource(dataset="scanqa", dataset_path=str(out), annotation_file=one_question(tmp_path))
    assert len(load_scenes(source)[1]) == 1
    assert "no table 'objects'" in caplog.text
    entry = {"question_id": "a", "scene_id": SCANS[0], "question": "Where?", "answers": ["left"], "object_ids": [3]}
    source.annotation_file = write_json(tmp_path / "named.json", [entry])
    with pytest.raises(SpatialDataError, match="no box of object 3"):
        load_scenes(source)
