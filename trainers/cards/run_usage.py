"""How a model wants to be asked, from what it was trained on: the `usage` of `training_run.json`."""

from collections.abc import Sequence
from typing import Any

import torch

from igep.trainers.cards.usage import TASK_OPTIONS
from igep.trainers.data.depthlm import DepthLMDataset
from igep.trainers.data.mixture import MixtureDataset
from igep.trainers.data.rooms.room_questions import WHERE_QUESTIONS
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.vlm3.vlm3_dataset import VLM3Dataset
from igep.trainers.data.vlm3.vlm3_options import VLM3Options
from igep.trainers.sft_config import IGEPSFTConfig


OF_DEPTH = ("focal_pixels", "focal_mode", "canvas_size", "text_pixel_steps")  # which the Space and the card show
LOOKED_AT_ROWS = 24  # for example questions
NUM_EXAMPLES = 6


def usage_of(dataset: torch.utils.data.Dataset, args: IGEPSFTConfig) -> dict[str, Any]:
    """How a model wants to be asked, from what it was trained on.

    Args:
        dataset (`torch.utils.data.Dataset`): What it was trained on.
        args (`IGEPSFTConfig`): Options of the run.

    Returns:
        `dict`: `tasks`, `num_frames`, `frames_as`, `multi_turn`, `examples`; `task_options` of VLM3's tasks, and those of
        depth by themselves; and `where_questions` if the data asks where things are.
    """
    parts = [part.dataset for part in dataset.parts] if isinstance(dataset, MixtureDataset) else [dataset]
    written = [part for part in parts if isinstance(part, (VLM3Dataset, DepthLMDataset))]
    asked = [part for part in parts if not isinstance(part, (VLM3Dataset, DepthLMDataset))]
    usage: dict[str, Any] = {
        "tasks": sorted({part.options.task for part in written} | ({"questions"} if asked else set())),
        "num_frames": 1,
        "frames_as": args.frames_as,
        "multi_turn": False,
        "examples": [],
        "task_options": {part.options.task: _options(part.options) for part in written},
    }
    for part in asked:
        rows = [part[row] for row in range(min(len(part), LOOKED_AT_ROWS))]
        usage["num_frames"] = max(usage["num_frames"], *(len(row.frames) for row in rows))
        usage["multi_turn"] |= not args.pack_questions and any(len(row.conversation) > 1 for row in rows)
        usage["examples"] += _examples(rows)
    if "depth" in usage["task_options"]:
        usage |= {name: usage["task_options"]["depth"][name] for name in OF_DEPTH}
    start = WHERE_QUESTIONS[0].split("{object}")[0]
    if any(question.startswith(start) for question in usage["examples"]):
        usage["where_questions"] = list(WHERE_QUESTIONS)
    return usage


def _options(options: VLM3Options) -> dict[str, Any]:
    canvas = None if options.canvas_size is None else list(options.canvas_size)
    found = {name: vars(options)[name] for name in TASK_OPTIONS}
    return found | {"text_pixel_steps": options.steps, "canvas_size": canvas}


def _examples(rows: Sequence[SpatialExample]) -> list[str]:
    """One question of each type, in the order in which they come."""
    by_type: dict[str, str] = {}
    for row in rows:
        types = row.question_types or [question for question, _ in row.conversation]
        for (question, _), kind in zip(row.conversation, types, strict=True):
            by_type.setdefault(kind or question, question)
    return list(by_type.values())[:NUM_EXAMPLES]
