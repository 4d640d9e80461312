"""Conversation files as rows: the frames that a row shows, names, what cards say, batches, and missing media."""

import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import GEOMETRY_SIZE, SlantedWalls, logged, make_trainer
from video_files import SIZE, write_video

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.cards.usage import usage_of
from igep.trainers.data.collator import IGNORED, IGEPDataCollator
from igep.trainers.data.conversations import ConversationDataset
from igep.trainers.data.mixture import MixtureDataset, MixturePart
from igep.trainers.data.row_source import MapStyleRows, RowSource
from igep.trainers.data.scenes.spatial_example import SpatialDataError


NOT_OF_THE_MODEL = (
    *("sample_ids", "scene_ids", "frame_ids"),
    *("depth_metres", "intrinsics", "world_from_camera", "frame_mask"),
)


def turn(question: str, answer: str) -> list[dict]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three rows: of a video with two turns, of two images, of a short video."""
    (tmp_path / "media").mkdir()
    write_video(tmp_path / "media" / "long.mp4", 21)
    write_video(tmp_path / "media" / "short.mp4", 2)
    for number in range(2):
        Image.new("RGB", SIZE[::-1], (100 * number,) * 3).save(tmp_path / "media" / f"{number}.png")
    rows = [
        {
            "id": 0,
            "video": "media/long.mp4",
            "conversations": turn("<image>\nHow many?", "4") + turn("Where?", "Left"),
            "question_type": "count",
        },
        {"id": 0, "image": ["media/1.png", "media/0.png"], "conversations": turn("<image>\n<image>\nSame?", "No")},
        {"id": 1, "videos": ["media/short.mp4"], "messages": [{"role": "user", "content": "<video>Far?"}]},
    ]
    rows[2]["messages"].append({"role": "assistant", "content": "Yes"})
    (tmp_path / "talk.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "talk.json").write_text(json.dumps(rows))
    return tmp_path


def levels(frames: tuple[Image.Image, ...]) -> list[int]:
    return [round(float(np.asarray(frame, dtype=float).mean()) / 10) for frame in frames]


@pytest.mark.parametrize("name", ["talk.jsonl", "talk.json"])
def test_rows(folder, name):
    rows = ConversationDataset(folder / name, num_frames=3)
    assert isinstance(rows, RowSource)
    assert (len(rows), list(rows.sample_ids)) == (3, ["talk/1", "talk/2", "talk/3"])
    video, images, short = (rows[row] for row in range(3))
    assert video.conversation == (("How many?", "4"), ("Where?", "Left"))
    assert video.question_types == ("count", "count")
    assert (video.frame_ids, levels(video.frames)) == (("0", "10", "20"), [0, 10, 20])
    assert (images.frame_ids, levels(images.frames)) == (("media/1.png", "media/0.png"), [10, 0])
    assert levels(short.frames) == [0, 1], "a shorter video shows all it has"
    assert [row.scene_id for row in (video, short)] == ["media/long.mp4", "media/short.mp4"]
    for row in (video, images, short):
        assert row.depth_metres is None
        assert row.intrinsics is None
        assert row.world_from_camera is None
    again = pickle.loads(pickle.dumps(rows)).example(0, 5)
    assert (again.sample_id, levels(again.frames)) == (video.sample_id, levels(video.frames))


def test_media_lie_where_the_option_says(folder):
    lines = (folder / "talk.jsonl").read_text().replace("media/", "")
    (folder / "lists").mkdir()
    (folder / "lists" / "rows.jsonl").write_text(lines)
    rows = ConversationDataset(folder / "lists" / "rows.jsonl", num_frames=2, media_root=folder / "media")
    assert levels(rows[0].frames) == [0, 20]


def test_what_is_missing_is_said_when_the_file_is_opened(folder):
    (folder / "media" / "short.mp4").unlink()
    with pytest.raises(SpatialDataError, match=r"talk\.jsonl, line 3: 'media/short\.mp4' is not in .*image_folder"):
        ConversationDataset(folder / "talk.jsonl", num_frames=2)
    with pytest.raises(SpatialDataError, match=r"talk\.json, line 1 \(entry 3\): 'media/short\.mp4' is not in"):
        ConversationDataset(folder / "talk.json", num_frames=2)
    (folder / "media" / "0.png").unlink()
    with pytest.raises(SpatialDataError, match=r"line 2: 'media/0\.png' is not in"):
        ConversationDataset(folder / "talk.jsonl", num_frames=2)


def test_media_that_cannot_be_read_are_named_with_their_line(folder):
    (folder / "media" / "short.mp4").write_text("no video")
    (folder / "media" / "0.png").write_text("no image")
    rows = ConversationDataset(folder / "talk.jsonl", num_frames=2)
    with pytest.raises(SpatialDataError, match=r"talk\.jsonl, line 3: .*short\.mp4: not a readable video"):
        rows[2]
    with pytest.raises(SpatialDataError, match=r"talk\.jsonl, line 2: .*0\.png: not a readable image"):
        rows[1]


def test_bad_options(folder):
    with pytest.raises(ValueError, match="num_frames=0: ask for at least one"):
        ConversationDataset(folder / "talk.jsonl", num_frames=0)
    with pytest.raises(ValueError, match="images_in_text='drop' is unknown: use one of refuse, number"):
        ConversationDataset(folder / "talk.jsonl", num_frames=2, images_in_text="drop")


def test_what_a_card_says(folder):
    rows = ConversationDataset(folder / "talk.jsonl", num_frames=4)
    assert (rows.task, rows.usage) == ("conversations", {})
    usage = usage_of(rows, frames_as="video")
    assert (usage["tasks"], usage["num_frames"], usage["multi_turn"]) == (["questions"], 4, True)
    assert usage["examples"] == ["How many?", "Same?", "Far?"]
    assert usage_of(rows, frames_as="video", pack_questions=True)["multi_turn"], "later turns see those before them"


@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl", "qwen2_5_vl"])
def test_a_batch_beside_rows_with_geometry(folder, checkpoint_folders, family):
    rows = ConversationDataset(folder / "talk.jsonl", num_frames=2)
    collator = IGEPDataCollator(IGEPProcessor.from_base(checkpoint_folders[family]), GEOMETRY_SIZE)
    batch = collator([SlantedWalls()[0], rows[0]])
    assert batch["sample_ids"] == ["wall-0", "talk/1"]
    assert batch["depth_metres"][0].min() > 0
    assert not batch["depth_metres"][1].any()
    assert batch["intrinsics"][1].isnan().all()
    assert batch["world_from_camera"][1].isnan().all()
    supervised = batch["labels"][1] != IGNORED
    text = collator.processor.tokenizer.decode(batch["input_ids"][1][supervised])
    assert "4" in text
    assert "Left" in text
    assert "Where" not in text


@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl"])
def test_turns_that_build_on_each_other_stay_together_where_questions_are_packed(folder, checkpoint_folders, family):
    dialogue = ConversationDataset(folder / "talk.jsonl", num_frames=2)[0]
    processor = IGEPProcessor.from_base(checkpoint_folders[family])
    model = IGEPForConditionalGeneration.from_base(checkpoint_folders[family]).eval()
    losses = []
    for pack in (False, True):
        batch = IGEPDataCollator(processor, GEOMETRY_SIZE, pack_questions=pack)([dialogue])
        if pack:
            assert batch["block_index"].max() == 1
        inputs = {name: value for name, value in batch.items() if name not in NOT_OF_THE_MODEL}
        with torch.no_grad():
            losses.append(float(model(**inputs).loss))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    apart = dataclasses.replace(dialogue, is_dialogue=False)
    assert IGEPDataCollator(processor, GEOMETRY_SIZE, pack_questions=True)([apart])["block_index"].max() == 2


def test_rows_without_targets_give_exact_zeros_and_train_the_text(folder, checkpoint_folders, tmp_path):
    rows = ConversationDataset(folder / "talk.jsonl", num_frames=2)
    options = {"per_device_train_batch_size": 2, "teacher": "geometry_oracle", "global_weight": 0.5}
    trainer = make_trainer(checkpoint_folders["llava_onevision"], tmp_path / "out", rows, **options)
    trainer.train()
    for name in ("loss_geometry", "loss_cross_view", "loss_global"):
        assert logged(trainer, name) == [0.0, 0.0], name
    assert all(value > 0 for value in logged(trainer, "loss_ce"))


def test_a_mixture_with_rows_that_have_geometry(folder, checkpoint_folders, tmp_path):
    talk = ConversationDataset(folder / "talk.jsonl", num_frames=2)
    parts = [MixturePart("walls", MapStyleRows(SlantedWalls())), MixturePart("talk", talk)]
    mixture = MixtureDataset(parts, weighting="uniform", samples_per_step=4)
    assert {mixture[index].sample_id.split("/")[0] for index in range(4)} == {"walls", "talk"}
    trainer = make_trainer(checkpoint_folders["qwen3_vl"], tmp_path / "out", mixture)
    trainer.train()
    assert all(value > 0 for value in logged(trainer, "loss_geometry"))
    assert all(torch.isfinite(torch.tensor(logged(trainer, "loss_ce"))))
