"""What both stages of Vid-LLM add to `ResumableTrainer`: which parts train, their batches, and the saved record."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel, TrainerCallback

from igep.configuration_vid_llm import VidLLMConfig
from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.cards.training_run import changed_options, training_run
from igep.trainers.data.collator import IGEPDataCollator
from igep.trainers.data.mixture import MixtureDataset, drawn_rows
from igep.trainers.data.resolved_paths import with_resolved_paths
from igep.trainers.data.rows_fingerprint import rows_fingerprint
from igep.trainers.loop.log_table import log_columns, log_table
from igep.trainers.loop.resumable_trainer import ResumableTrainer
from igep.trainers.loop.run_options import FREE_OPTIONS, SAID_OPTIONS
from igep.trainers.reached_parameters import freeze_unread_by_patches
from igep.trainers.vid_llm_config import VidLLMTrainingConfig
from igep.vision_encoder import freeze_unread


GEOMETRY_INPUTS = ("depth_metres", "intrinsics", "world_from_camera", "frame_mask")
NAMES = ("sample_ids", "scene_ids", "frame_ids")
NOT_IN_TABLE = ("step", "epoch", "grad_norm", "learning_rate", "num_tokens")


class VidLLMTrainer(ResumableTrainer):
    """Trains the parts of a Vid-LLM that a stage trains, on `SpatialExample`s.

    Args:
        model (`VidLLMForConditionalGeneration` or `PeftModel`): The model, with adapters around it or without.
        args (`VidLLMTrainingConfig`): Options.
        train_dataset (`torch.utils.data.Dataset`): Map-style dataset of `SpatialExample`; a mixture is read in its
            order.
        processing_class (`IGEPProcessor`): Processor of the model.
        data_collator (`IGEPDataCollator`): Makes the batches.
        trained_parts (`set[str]`): Parts of the model that the stage trains, before the options freeze any.
        read_taps (`int`, *optional*, defaults to `0`): Layers of the vision encoder that losses reach beside its
            output.
        reads_vision_output (`bool`, *optional*, defaults to `True`): Whether losses reach that output.
        eval_dataset (`torch.utils.data.Dataset`, *optional*): Held-out dataset of `SpatialExample`.
        callbacks (`list[TrainerCallback]`, *optional*): As in `Trainer`.
        optimizers (`tuple`, *optional*): Optimizer and scheduler, as in `Trainer`.
        recipe (`dict`, *optional*): Options for the model card; those of `args` that are no defaults unless given.
        data_options (`dict`, *optional*): Options beside those of `args` that make the run what it is: resuming
            compares them.

    Raises:
        TypeError: The model is of another class, or the rows half say what they are.
        ValueError: An empty dataset, or nothing is left to train.
    """

    _tag_names = ["igep", "vid-llm"]
    exact_inputs = (*GEOMETRY_INPUTS, "grounding")  # geometry stays float32
    free_options = FREE_OPTIONS | {"merge_adapter_at_save", "allow_changed_resume"}
    said_options = SAID_OPTIONS | {"dtype", "attn_implementation"}

    def __init__(
        self,
        model: VidLLMForConditionalGeneration | PeftModel,
        args: VidLLMTrainingConfig,
        train_dataset: torch.utils.data.Dataset,
        processing_class: IGEPProcessor,
        data_collator: IGEPDataCollator,
        trained_parts: set[str],
        read_taps: int = 0,
        reads_vision_output: bool = True,
        eval_dataset: torch.utils.data.Dataset | None = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[torch.optim.Optimizer | None, torch.optim.lr_scheduler.LRScheduler | None] = (None, None),
        recipe: dict[str, Any] | None = None,
        data_options: dict[str, Any] | None = None,
    ):
        base = model.get_base_model() if isinstance(model, PeftModel) else model
        for name, dataset in (("train_dataset", train_dataset), ("eval_dataset", eval_dataset)):
            if dataset is not None and len(dataset) == 0:
                raise ValueError(
                    f"{name} is empty: there is nothing to train on. Check the data path and its filters."
                )
        drawn_rows(train_dataset, 0)  # raises now, not at the first save, where the rows do not say what they are
        self.base_model = base.config.name_or_path or base.config.text_config.name_or_path
        self.recipe = changed_options(args) if recipe is None else recipe
        self.data_options = data_options or {}
        for name, parameter in base.named_parameters():
            if base.part_of_parameter(name) not in trained_parts - args.frozen_parts:
                parameter.requires_grad_(False)
        if not any(parameter.requires_grad for parameter in base.parameters()):
            raise ValueError(f"freeze={sorted(args.frozen_parts)} leaves nothing to train: freeze less.")
        if isinstance(train_dataset, MixtureDataset):
            args.train_sampling_strategy = "sequential"  # it is shuffled itself
        super().__init__(
            model=model,
            args=args,
            data_collator=data_collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            callbacks=callbacks,
            optimizers=optimizers,
        )
        # Once more than the model has: peft's copy of the encoder trains whole, and the stage's losses may reach less
        # of it.
        if self.is_sharded:  # no process holds a whole encoder that could tell
            freeze_unread(base.model.vision, base.config.vision_final_norm)
        else:
            freeze_unread_by_patches(base, taps=read_taps, reads_output=reads_vision_output)

    # ---- What `ResumableTrainer` is told

    @property
    def learning_rates(self) -> dict[str, float]:
        return self.args.learning_rates

    @property
    def run_options(self) -> dict[str, Any]:
        return super().run_options | with_resolved_paths(self.data_options) | rows_fingerprint(self.train_dataset)

    @property
    def allows_changed_resume(self) -> bool:
        return self.args.allow_changed_resume

    def part_of_parameter(self, name: str) -> str:
        return self.unwrapped_model.part_of_parameter(name)

    def run_record(self, folder: Path, *, tags: Sequence[str], datasets: Sequence[str]) -> dict[str, Any]:
        return training_run(
            self.args,
            self.recipe,
            self.train_dataset,
            losses=self.args.losses,
            frames_as="video",
            samples_per_step=self.args.samples_per_step,
            base_model=self.base_model,
            steps=self.state.global_step,
            tags={*self._tag_names, *tags},
            datasets=datasets,
            adapter_only=self.trains_adapter and not self.merges_adapter,
            architecture=VidLLMConfig.model_type,
            folder=folder,
        )

    def log_table(self) -> str:
        """The losses and metrics of the first and last training logs and of the last evaluation, one a line."""
        columns = log_columns(self.state.log_history)
        names = [name for _, _, last in columns[1:2] for name in last if name not in NOT_IN_TABLE]
        return log_table(columns, names, width=28)


def check_model(model: Any) -> None:
    """Makes sure that a model is a Vid-LLM.

    Args:
        model: What was given.

    Raises:
        TypeError: It is something else; the message says how to make one.
    """
    # By its type: loaded with `trust_remote_code` it has a class of its own, and trains on all the same.
    if not isinstance(model, PreTrainedModel) or model.config.model_type != VidLLMConfig.model_type:
        raise TypeError(
            f"model is a {type(model).__name__}: make one with VidLLMForConditionalGeneration.from_parts(vision, "
            "language)."
        )
