"""Vid-LLM's first stage: the encoder and the adapter learn geometry from one teacher and meaning from another."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback

from igep.modeling_vid_llm import VidLLMForConditionalGeneration, VidLLMOutput
from igep.processing_igep import IGEPProcessor
from igep.trainers.data.distillation_collator import DistillationDataCollator
from igep.trainers.distill_config import DistillConfig
from igep.trainers.package_files import find_model
from igep.trainers.supervision.build_teacher import build_teacher
from igep.trainers.supervision.distillation_heads import HEADS, DistillationHeads, add_distillation_heads
from igep.trainers.supervision.distillation_losses import distillation_objective
from igep.trainers.supervision.teacher import Teacher, TeacherGeometry
from igep.trainers.vid_llm_trainer import GEOMETRY_INPUTS, NAMES, VidLLMTrainer, check_model


class DistillTrainer(VidLLMTrainer):
    """Trains the encoder and the adapter of a Vid-LLM: `w_geo L_geo + w_lang L_lang + lambda L_sc`.

    Each term is a mean over the samples of the global batch. Two linear projections bring the streams to the teachers'
    widths; they train along, lie in the checkpoints and are not saved with the model. Neither the language model nor
    the reconstruction runs.

    Args:
        model (`VidLLMForConditionalGeneration`): The model.
        args (`DistillConfig`): Options.
        train_dataset (`torch.utils.data.Dataset`): Map-style dataset of `SpatialExample`; its questions are not read.
        processing_class (`IGEPProcessor`): Processor of the model.
        eval_dataset (`torch.utils.data.Dataset`, *optional*): Held-out dataset of `SpatialExample`.
        geometry_teacher (`Teacher`, *optional*): Built from `args` unless given.
        language_teacher (`Teacher`, *optional*): Built from `args` unless given.
        callbacks (`list[TrainerCallback]`, *optional*): As in `Trainer`.
        optimizers (`tuple`, *optional*): Optimizer and scheduler, as in `Trainer`.
        recipe (`dict`, *optional*): See `VidLLMTrainer`.
        data_options (`dict`, *optional*): See `VidLLMTrainer`.

    Raises:
        TypeError: The model is no Vid-LLM.
        ValueError: An empty dataset, teachers that do not fit the options, or nothing is left to train.
    """

    _tag_names = ["igep", "vid-llm", "distillation"]
    _name = "Vid-LLM distillation"
    loss_needs = {
        "loss_geometry_teacher": "anything that the geometry teacher describes (the geometry oracle: measured depth)",
        "loss_language_teacher": "anything that the semantic teacher describes",
        "loss_structure": "tokens that both teachers describe",
    }

    def __init__(
        self,
        model: VidLLMForConditionalGeneration,
        args: DistillConfig,
        train_dataset: torch.utils.data.Dataset,
        processing_class: IGEPProcessor,
        eval_dataset: torch.utils.data.Dataset | None = None,
        geometry_teacher: Teacher | None = None,
        language_teacher: Teacher | None = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[torch.optim.Optimizer | None, torch.optim.lr_scheduler.LRScheduler | None] = (None, None),
        recipe: dict[str, Any] | None = None,
        data_options: dict[str, Any] | None = None,
    ):
        check_model(model)
        self.geometry_teacher = _teacher(args, "geometry") if geometry_teacher is None else geometry_teacher
        self.language_teacher = _teacher(args, "language") if language_teacher is None else language_teacher
        widths = (self.geometry_teacher.channels, self.language_teacher.channels)
        if args.structure_weight and args.structure_stacking == "tokens" and widths[0] != widths[1]:
            raise ValueError(
                f"structure_stacking='tokens' needs teachers of one width, these have {widths[0]} and {widths[1]} "
                "channels: set it to channels."
            )
        sizes = {"geometry": self.geometry_teacher.frame_size, "language": self.language_teacher.frame_size}
        self.heads: DistillationHeads | None = None
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            processing_class=processing_class,
            data_collator=DistillationDataCollator(
                processing_class, None, teacher_frame_sizes=sizes, unannotated_prompt=args.unannotated_prompt
            ),
            trained_parts={"vision", "adapter"},
            eval_dataset=eval_dataset,
            callbacks=callbacks,
            optimizers=optimizers,
            recipe=recipe,
            data_options=data_options,
        )
        for teacher in (self.geometry_teacher, self.language_teacher):
            teacher.to(args.device)

    @property
    def loss_weights(self) -> dict[str, float]:
        return {
            "loss_geometry_teacher": self.args.geometry_weight,
            "loss_language_teacher": self.args.language_weight,
            "loss_structure": self.args.structure_weight,
        }

    @property
    def training_heads(self) -> dict[str, nn.Module]:
        return {HEADS: self.heads}

    def build_heads(self) -> None:
        torch.manual_seed(self.args.seed)  # the same heads in every process and in a resumed run
        self.heads = add_distillation_heads(
            self.unwrapped_model, self.geometry_teacher.channels, self.language_teacher.channels
        )

    def part_of_parameter(self, name: str) -> str:
        return "heads" if f".{HEADS}." in f".{name}." else super().part_of_parameter(name)

    def run_record(self, folder: Path, **kwargs) -> dict[str, Any]:
        run = super().run_record(folder, **kwargs)
        run["usage"]["tasks"] = []  # it has learnt to answer nothing yet
        return run

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, VidLLMOutput]:
        """Calls both teachers and the model on a batch and adds up the loss terms.

        Args:
            model (`torch.nn.Module`): The model, wrapped or not.
            inputs (`dict`): A batch of `DistillationDataCollator`.
            return_outputs (`bool`, *optional*, defaults to `False`): Also return the model's output.
            num_items_in_batch (`torch.Tensor`, *optional*): Samples of the step; `None` in evaluation.

        Returns:
            The loss, scaled so that gradients averaged over ranks and summed over micro-batches are those of the
            global batch.

        Raises:
            NonFiniteLossError: The loss is not finite.
        """
        geometry = TeacherGeometry(
            **{name: inputs[name] for name in GEOMETRY_INPUTS},
            **{name: inputs[name] for name in NAMES if name != "sample_ids"},
        )
        targets = {
            f"{name}_teacher": teacher(inputs.get(f"{name}_teacher_frames"), geometry)
            for name, teacher in (("geometry", self.geometry_teacher), ("language", self.language_teacher))
        }
        outputs = model(
            pixel_values_videos=inputs["pixel_values_videos"], frame_mask=inputs["frame_mask"], output_streams=True
        )
        terms = distillation_objective(
            geometry_student=outputs.geometry_tokens,
            language_student=outputs.language_tokens,
            frame_mask=inputs["frame_mask"],
            structure_weight=self.args.structure_weight,
            stacking=self.args.structure_stacking,
            **targets,
        )
        loss = self.total_loss(terms, inputs, num_items_in_batch)
        return (loss, outputs) if return_outputs else loss


def _teacher(args: DistillConfig, stream: str) -> Teacher:
    """The teacher of a stream that the options ask for."""
    options = vars(args)
    name = options[f"{stream}_teacher_name_or_path"]
    kind = options[f"{stream}_teacher"]
    return build_teacher(
        kind,
        name_or_path=find_model(name) if kind == "backbone" else name,
        layer=options[f"{stream}_teacher_layer"],
        transform=options[f"{stream}_teacher_transform"],
        oracle_grid=args.oracle_grid,
    )
