"""Batches for two teachers, and targets at the size of the frames that the model sees."""

import torch
from tiny_checkpoints import FRAME_SIZE
from tiny_training import GEOMETRY_SIZE, SlantedWalls
from tiny_vid_llm import build_vid_llm

from igep.camera_geometry import resize_intrinsics
from igep.trainers.data.distillation_collator import DistillationDataCollator


def test_each_teacher_gets_frames_of_its_size_and_depth_has_that_of_the_model():
    _, processor = build_vid_llm(frame_size=(48, 64))
    sizes = {"geometry": (16, 24), "language": (8, 8), "blind": None}
    collator = DistillationDataCollator(processor, None, teacher_frame_sizes=sizes)
    rows = [SlantedWalls(2)[row] for row in range(2)]
    batch = collator(rows)
    assert batch["pixel_values_videos"].shape == (2, 2, 3, 48, 64)
    assert batch["depth_metres"].shape == (2, 2, 48, 64)
    assert FRAME_SIZE != (48, 64) != GEOMETRY_SIZE
    own = torch.from_numpy(rows[0].intrinsics)
    torch.testing.assert_close(batch["intrinsics"][0], resize_intrinsics(own, GEOMETRY_SIZE, (48, 64)))
    assert batch["geometry_teacher_frames"].shape == (2, 2, 3, 16, 24)
    assert batch["language_teacher_frames"].dtype == torch.uint8
    assert "blind_teacher_frames" not in batch
