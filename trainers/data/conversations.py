"""Conversation files in the form of LLaVA and ShareGPT as rows to train on: spatial instruction data without geometry.

VSI-590K, SPAR-7M, VLM-3R-DATA and SenseNova-SI come in it. `conversation_turns` says what a row looks like.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from igep.trainers.data.conversation_turns import IMAGES_IN_TEXT, parse_conversation
from igep.trainers.data.json_entries import JSONEntries
from igep.trainers.data.row_source import RowText
from igep.trainers.data.scenes.media_folder import MediaFolder
from igep.trainers.data.scenes.spatial_example import SpatialExample


@dataclass
class ConversationOptions:
    """Options of `conversations`, besides the place of its file and of its media (see `DatasetPlace`).

    Args:
        images_in_text (`str`, *optional*, defaults to `"refuse"`): Frames come before the first question. A row with
            placeholders elsewhere is an error, or (`number`) its text has "image 1" in their place.
    """

    images_in_text: str = field(
        default="refuse",
        metadata={
            "help": "conversations: placeholders between words are an error, or become 'image 1' and so on.",
            "choices": list(IMAGES_IN_TEXT),
        },
    )


class ConversationDataset(torch.utils.data.Dataset):
    """Rows of a conversation file. The whole file is checked at once; a row is read, with its frames alone, when used.

    Args:
        file (`str | Path`): JSON lines, or one JSON list.
        num_frames (`int`): Frames of a video, spread evenly over it; of a shorter one, all. Rows of images show all.
        media_root (`str | Path`, *optional*): Folder that paths of videos and images start in; that of the file unless
            given.
        images_in_text (`str`, *optional*, defaults to `"refuse"`): See `ConversationOptions`.

    Raises:
        SpatialDataError: The file cannot be read or has no row, a row breaks the form, or its video or image is not
            there; the message has file and line.
        ValueError: `num_frames` or `images_in_text` is out of range.
    """

    def __init__(
        self,
        file: str | Path,
        *,
        num_frames: int,
        media_root: str | Path | None = None,
        images_in_text: str = "refuse",
    ):
        if num_frames < 1:
            raise ValueError(f"num_frames={num_frames}: ask for at least one frame.")
        if images_in_text not in IMAGES_IN_TEXT:
            raise ValueError(f"images_in_text={images_in_text!r} is unknown: use one of {', '.join(IMAGES_IN_TEXT)}.")
        self.num_frames = num_frames
        self.images_in_text = images_in_text
        self.media = MediaFolder(Path(file).parent if media_root is None else media_root)
        self._entries = JSONEntries(file, self._check)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, row: int) -> SpatialExample:
        where = self._entries.where(row)
        found = parse_conversation(where, self._entries.read(row), self.images_in_text)
        if found.is_video:
            frame_ids, frames = self.media.video(where, found.media[0], self.num_frames)
        else:
            frame_ids, frames = found.media, self.media.images(where, found.media)
        return SpatialExample(
            sample_id=self.sample_ids[row],
            scene_id=found.media[0],
            frame_ids=frame_ids,
            frames=frames,
            depth_metres=None,
            intrinsics=None,
            world_from_camera=None,
            conversation=found.turns,
            question_types=() if found.question_type is None else (found.question_type,) * len(found.turns),
            is_dialogue=len(found.turns) > 1,
        )

    def example(self, row: int, draw: int) -> SpatialExample:
        """Reads a row for its `draw`-th use in a mixture: it is the same every time."""
        return self[row]

    @property
    def task(self) -> str:
        """What cards say of these rows."""
        return "conversations"

    @property
    def usage(self) -> dict[str, Any]:
        """Nothing: the questions are as the file has them."""
        return {}

    @property
    def sample_ids(self) -> Sequence[str]:
        """Names of the rows, in order: the file's and the line, or the number of the entry of a list."""
        return self._entries.names

    def texts(self) -> Iterator[RowText]:
        """Every question and answer, with the line of its row."""
        for row in range(len(self)):
            where = self._entries.where(row)
            for question, answer in parse_conversation(where, self._entries.read(row), self.images_in_text).turns:
                yield RowText(where, "question", question)
                yield RowText(where, "answer", answer)

    def _check(self, where: str, entry: dict[str, Any]) -> None:
        for name in parse_conversation(where, entry, self.images_in_text).media:
            self.media.check(where, name)
