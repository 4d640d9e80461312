"""From the options of a run to its rows: one dataset, or a mixture, and what is held out of them."""

from dataclasses import dataclass
from typing import Protocol

import torch

from igep.trainers.data.held_out_frames import HeldOutFrames
from igep.trainers.data.mixture import MixtureDataset
from igep.trainers.data.mixture_options import MixtureEntry, MixtureOptions, load_mixture, parse_mixture
from igep.trainers.data.row_source import RowSource
from igep.trainers.data.training_rows import RowOptions, SceneTableCache, load_rows
from igep.trainers.data.vlm3.vlm3_options import VLM3_TASKS


@dataclass
class MixedRowOptions(RowOptions, MixtureOptions):
    """Which scenes to train on, how they become rows (see `RowOptions`), and their mixture (see `MixtureOptions`).

    Raises:
        ValueError: An entry of the mixture or an option of VLM3's questions is wrong.
    """

    def __post_init__(self):
        super().__post_init__()
        self.entries()

    def entries(self) -> list[MixtureEntry]:
        """The datasets to train on in the order of a mixture; none for questions that come with one dataset."""
        if self.mixture is not None:
            return parse_mixture(self.mixture, self)
        return parse_mixture([{"name": self.task}], self) if self.task in VLM3_TASKS else []


class RowTrainingArguments(Protocol):
    """What is asked of a run's options: those of `TrainingArguments`, and these."""

    geometry_size: list[int]
    train_batch_size: int
    samples_per_step: int
    supervises_geometry: bool


def load_datasets(
    script_args: MixedRowOptions, training_args: RowTrainingArguments
) -> tuple[RowSource | MixtureDataset, torch.utils.data.Dataset | None]:
    """Reads the scenes and makes rows of them.

    Args:
        script_args (`MixedRowOptions`): Which scenes, which questions, and their mixture.
        training_args (`RowTrainingArguments`): Geometry size, seed, global batch size, and whether to evaluate.

    Returns:
        `tuple`: Rows to train on, a mixture if VLM3's questions or several datasets are asked for; and held-out rows
        if any are to be evaluated.

    Raises:
        ValueError: Evaluation is asked for and nothing is held out, or a mixture is to be read in another order.
    """
    geometry_size = (training_args.geometry_size[0], training_args.geometry_size[1])
    entries = script_args.entries()
    if entries:
        for name, unset in (("train_sampling_strategy", "random"), ("data_seed", None)):
            value = vars(training_args)[name]
            if value != unset:
                raise ValueError(
                    f"{name}={value!r}: a mixture has an order of its own, which depends on seed alone. Remove the "
                    "option."
                )
        train, held_out = load_mixture(
            entries,
            script_args,
            geometry_size=geometry_size,
            samples_per_step=training_args.samples_per_step,
            batch_size=training_args.train_batch_size,
            seed=training_args.seed,
        )
    else:
        train, held_out = load_rows(script_args, geometry_size, training_args.seed, SceneTableCache())
    evaluates = training_args.eval_strategy != "no"
    if training_args.eval_on_start and not evaluates:
        raise ValueError(
            "eval_on_start=true evaluates before the first step, and eval_strategy is no: set eval_on_start to false "
            "as well."
        )
    if evaluates and held_out is None:
        raise ValueError(
            f"eval_strategy={training_args.eval_strategy.value!r} needs held-out scenes: set eval_rooms, eval_scenes "
            "or eval_frame_fraction, or eval_strategy to no."
        )
    if evaluates and isinstance(held_out, HeldOutFrames) and not training_args.supervises_geometry:
        raise ValueError(
            "eval_frame_fraction evaluates the geometry of held-out frames, and all geometry weights are 0: hold out "
            "scenes and their questions with eval_scenes, or set eval_strategy to no."
        )
    return train, held_out if evaluates else None
