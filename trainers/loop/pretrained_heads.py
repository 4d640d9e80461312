"""Training heads that begin with the weights that another run gave them, in place of random ones."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from igep.trainers.loop.complete_checkpoint import last_complete_checkpoint, what_is_missing
from igep.trainers.loop.run_options import OPTIONS_FILE
from igep.trainers.loop.training_heads_file import HEADS_FILE, fill_heads


logger = logging.getLogger(__name__)

STATE_FILE = "trainer_state.json"  # of transformers' checkpoints
REMEDY = "Give the run whose heads have these options, or train its heads anew."


@dataclass(frozen=True)
class PretrainedHeads:
    """What a run took over from another.

    Args:
        names (`tuple[str, ...]`): The heads.
        steps (`int`): Optimiser steps that had trained them.
    """

    names: tuple[str, ...]
    steps: int


def start_from_heads(
    heads: Mapping[str, nn.Module],
    folder: Path,
    options: Mapping[str, Any],
    options_of_head: Mapping[str, Sequence[str]],
) -> PretrainedHeads:
    """Reads heads of another run. Those that it did not have stay as they are, which is said.

    Args:
        heads (`Mapping[str, nn.Module]`): The heads to fill, by name.
        folder (`Path`): Output folder of that run, of which the last whole checkpoint is taken, or one of its
            checkpoints.
        options (`Mapping[str, Any]`): Options of this run by name.
        options_of_head (`Mapping[str, Sequence[str]]`): Which of them say what a head is: those of both runs must
            agree.

    Returns:
        `PretrainedHeads`

    Raises:
        FileNotFoundError: There is no whole checkpoint.
        ValueError: It holds no heads, none of these, or such as have other options or shapes.
    """
    checkpoint = _checkpoint(folder)
    if not (checkpoint / HEADS_FILE).is_file():
        raise ValueError(
            f"{checkpoint} has no {HEADS_FILE}, as checkpoints that are sharded over processes: train the heads in "
            "one process."
        )
    tensors = load_file(checkpoint / HEADS_FILE)
    there = {key.split(".")[0] for key in tensors}
    taken = {name: head for name, head in heads.items() if name in there}
    if not taken:
        raise ValueError(
            f"{checkpoint} has the heads {sorted(there)}, this run has {sorted(heads)}: none is of both. Give a run "
            "that trains the same losses."
        )
    trained = json.loads((checkpoint / OPTIONS_FILE).read_text(encoding="utf-8"))["options"]
    for name in taken:
        for option in options_of_head[name]:
            if trained.get(option) != options[option]:
                raise ValueError(
                    f"{checkpoint} has a {name} of {option}={trained.get(option)!r}, this run asks for "
                    f"{options[option]!r}. {REMEDY}"
                )
    fill_heads(taken, tensors, checkpoint, REMEDY)
    rest = sorted(set(heads) - set(taken))
    if rest:
        logger.warning("%s has no %s: begins at random.", checkpoint, " and no ".join(rest))
    steps = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))["global_step"]
    return PretrainedHeads(tuple(taken), steps)


def _checkpoint(folder: Path) -> Path:
    """The checkpoint that is meant by its own folder or that of its run."""
    if (folder / STATE_FILE).is_file():
        reason = what_is_missing(folder)
        if reason is not None:
            raise FileNotFoundError(f"{folder} is not a whole checkpoint: {reason}. Give another one.")
        return folder
    try:
        return last_complete_checkpoint(folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"There are no heads in {folder}: give the output folder of a run that kept a checkpoint (save_strategy: "
            "steps)."
        ) from error
