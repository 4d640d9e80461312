"""Batches for two teachers, each of which looks at frames of its own size."""

from collections.abc import Sequence

from igep.trainers.data.collator import IGEPDataCollator
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.stacked_frames import stacked_frames


class DistillationDataCollator(IGEPDataCollator):
    """An `IGEPDataCollator` whose batches also hold the frames that each teacher looks at.

    Args:
        *args: As of `IGEPDataCollator`.
        teacher_frame_sizes (`dict[str, tuple[int, int] | None]`): (H, W) by the name of the teacher; `None` for one
            that looks at no frames.
        **kwargs: As of `IGEPDataCollator`.

    Returns (of a call):
        `dict`: What `IGEPDataCollator` returns, and `<name>_teacher_frames` (B, F, 3, h, w) uint8.
    """

    def __init__(self, *args, teacher_frame_sizes: dict[str, tuple[int, int] | None], **kwargs):
        super().__init__(*args, **kwargs)
        self.teacher_frame_sizes = teacher_frame_sizes

    def __call__(self, examples: Sequence[SpatialExample]) -> dict:
        batch = super().__call__(examples)
        for name, size in self.teacher_frame_sizes.items():
            if size is not None:
                clips = [example.frames for example in examples]
                batch[f"{name}_teacher_frames"] = stacked_frames(clips, size, batch["frame_mask"].shape[1])
        return batch
