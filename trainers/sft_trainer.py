"""Supervised fine-tuning of a video VLM under geometry supervision, on top of TRL's `SFTTrainer`.

The only change is the loss: TRL's calls a fused head of the base model and would skip the training heads, so
`compute_loss` calls the model itself. Resuming, logging and saving are `ResumableTrainer`'s.
"""

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftConfig
from torch import nn
from transformers import PreTrainedModel, TrainerCallback
from trl import SFTTrainer

from igep.base_vlm import freeze_first_layers
from igep.camera_geometry import usable_intrinsics, usable_pose
from igep.configuration_igep import IGEPConfig
from igep.ground_head import GEOMETRY_OF
from igep.modeling_igep import IGEPForConditionalGeneration, IGEPOutput
from igep.processing_igep import IGEPProcessor
from igep.trainers.cards.training_run import changed_options, training_run
from igep.trainers.data.collator import IGEPDataCollator
from igep.trainers.data.mixture import MixtureDataset, drawn_rows
from igep.trainers.data.resolved_paths import with_resolved_paths
from igep.trainers.data.row_source import RowText
from igep.trainers.data.row_texts import check_texts, row_texts
from igep.trainers.data.rows_fingerprint import rows_fingerprint
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.unposed_scenes import scenes_with_depth_alone
from igep.trainers.loop.pretrained_heads import PretrainedHeads, start_from_heads
from igep.trainers.loop.resumable_trainer import ResumableTrainer
from igep.trainers.loop.run_options import FREE_OPTIONS, SAID_OPTIONS
from igep.trainers.loop.running_metrics import token_metrics
from igep.trainers.sft_config import IGEPSFTConfig
from igep.trainers.supervision.base_trial import check_base_works
from igep.trainers.supervision.build_teacher import build_teacher
from igep.trainers.supervision.configure_ground_head import configure_ground_head, with_ground_head
from igep.trainers.supervision.configure_supervision import configure_supervision
from igep.trainers.supervision.geometry_losses import igep_objective
from igep.trainers.supervision.neighbour_frames import draw_neighbours, following_frames
from igep.trainers.supervision.release_losses import release_objective
from igep.trainers.supervision.teacher import Teacher, TeacherGeometry


logger = logging.getLogger(__name__)

OBJECTIVES = {"paper": igep_objective, "release": release_objective}
VERIFIER_OPTIONS = ("verifier_channels", "verifier_taps", "verifier_layers", "verifier_projection_channels")
VERIFIER_OPTIONS += ("verifier_activation", "verifier_min_depth_metres", "verifier_max_depth_metres")
TEACHER_OPTIONS = ("supervise", "teacher", "teacher_name_or_path", "teacher_layer")
TEACHER_OPTIONS += ("teacher_projector_channels", "teacher_projector_norm")
OPTIONS_OF_HEAD = {  # what makes the weights of a head useless to a run in which it differs
    "depth_verifier": VERIFIER_OPTIONS,
    "pose_embedding": VERIFIER_OPTIONS,
    "teacher_projector": TEACHER_OPTIONS,
}
GEOMETRY_INPUTS = ("depth_metres", "intrinsics", "world_from_camera", "frame_mask")


class IGEPSFTTrainer(ResumableTrainer, SFTTrainer):
    """Trains `IGEPForConditionalGeneration` on `SpatialExample`s.

    The loss is
    `L_ce + w_geo L_geometry + w_cv L_cross_view + w_photo L_photometric + w_global L_global + w_ground L_ground`:
    cross-entropy over the supervised tokens of the global batch, geometric terms as means over its samples,
    grounding as the sum over its questions divided by its samples. How the batch is split over ranks and accumulation
    steps does not matter. With all weights at 0 it is plain supervised fine-tuning, on the same data in the same
    order.

    Args:
        model (`IGEPForConditionalGeneration`): The model, from this package or from a saved folder; supervision fields
            of `args` are copied into its config.
        args (`IGEPSFTConfig`): Options.
        train_dataset (`torch.utils.data.Dataset`): Map-style dataset of `SpatialExample`; a mixture is read in its
            order.
        processing_class (`IGEPProcessor`): Processor of the model.
        eval_dataset (`torch.utils.data.Dataset`, *optional*): Held-out dataset of `SpatialExample`.
        teacher (`Teacher`, *optional*): 3D teacher; built from `args` unless given.
        data_collator (`IGEPDataCollator`, *optional*): Built from `args` unless given.
        peft_config (`PeftConfig`, *optional*): Adapters to train. The heads always train in full.
        callbacks (`list[TrainerCallback]`, *optional*): As in `Trainer`.
        optimizers (`tuple`, *optional*): Optimizer and scheduler, as in `Trainer`.
        recipe (`dict`, *optional*): Options for the model card; those of `args` that are no defaults unless given.
        data_options (`dict`, *optional*): Options beside those of `args` that make the run what it is, of the data and
            the model: resuming compares them.

    Raises:
        TypeError: The model or the options are of another class, or the rows half say what they are (`as_row_source`).
        SpatialDataError: A text of the rows holds a special token of the model, or words that its tokenizer does not
            know; or a scene has depth and no poses under `objective="release"`.
        ValueError: An empty dataset, a base that cannot be trained as the options ask, heads that do not fit the
            options, or options that exclude each other.
    """

    _tag_names = ["trl", "sft", "igep"]
    _name = "IGEP"
    item_losses = ("loss_ce",)  # over the supervised tokens
    summed_metrics = ("num_tokens",)
    loss_needs = {
        "loss_ce": "a question with its answer",
        "loss_geometry": "measured depth within max_depth_metres",
        "loss_cross_view": "intrinsics, poses, and frames with measured depth that see the same surface",
        "loss_photometric": "frames with intrinsics, poses that move and no measured depth",
        "loss_global": "anything that the teacher describes (the geometry oracle: measured depth within "
        "max_depth_metres)",
    }
    exact_inputs = (*GEOMETRY_INPUTS, "grounding")  # geometry stays float32
    free_options = FREE_OPTIONS | {"merge_adapter_at_save", "allow_changed_resume"}
    said_options = SAID_OPTIONS | {"dtype", "attn_implementation"}

    def __init__(
        self,
        model: IGEPForConditionalGeneration,
        args: IGEPSFTConfig,
        train_dataset: torch.utils.data.Dataset,
        processing_class: IGEPProcessor,
        eval_dataset: torch.utils.data.Dataset | None = None,
        teacher: Teacher | None = None,
        data_collator: IGEPDataCollator | None = None,
        peft_config: PeftConfig | None = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[torch.optim.Optimizer | None, torch.optim.lr_scheduler.LRScheduler | None] = (None, None),
        recipe: dict[str, Any] | None = None,
        data_options: dict[str, Any] | None = None,
    ):
        _check_inputs(model, args, train_dataset, eval_dataset)
        check_texts(_texts(args, train_dataset, eval_dataset), processing_class.tokenizer)
        if args.objective == "release" and args.cross_view_weight:
            evaluated = eval_dataset if args.eval_strategy != "no" else None
            _check_scenes([rows for rows in (train_dataset, evaluated) if rows is not None])
        self.base_model = model.config.name_or_path or model.config.vlm_config.name_or_path
        self.recipe = changed_options(args) if recipe is None else recipe
        self.data_options = data_options or {}
        self.pretrained_heads: PretrainedHeads | None = None

        # What supervises, and the options of it that the model keeps
        self.teacher = _teacher(args) if teacher is None and args.global_weight else teacher
        configure_supervision(model, vars(args), self.teacher.channels if args.global_weight else None)
        configure_ground_head(model, vars(args))
        if peft_config is not None and args.ground_weight:
            peft_config = with_ground_head(peft_config)

        # TRL's trainer. It takes `datasets.Dataset` alone; ours joins two tables when a row is read, so it is set
        # afterwards.
        stand_in = Dataset.from_dict({"row": [0]})
        args.dataset_kwargs = {**(args.dataset_kwargs or {}), "skip_prepare_dataset": True}
        super().__init__(
            model=model,
            args=args,
            data_collator=_collator(args, processing_class, self.teacher) if data_collator is None else data_collator,
            train_dataset=stand_in,
            eval_dataset=None if eval_dataset is None else stand_in,
            processing_class=processing_class,
            callbacks=callbacks,
            optimizers=optimizers,
            peft_config=peft_config,
        )
        self.train_dataset = train_dataset
        self.eval_dataset = eval_dataset
        if isinstance(train_dataset, MixtureDataset):
            args.train_sampling_strategy = "sequential"  # it is shuffled itself

        # What trains
        for name, parameter in model.named_parameters():
            if model.part_of_parameter(name) in args.freeze:
                parameter.requires_grad_(False)
        freeze_first_layers(self.igep_model.vlm, args.frozen_vision_layers)
        if self.teacher is not None:
            self.teacher.to(args.device)
        if not self.is_sharded:  # no process holds a whole model then
            check_base_works(
                self.igep_model,
                processing_class,
                args.frames_as,
                args.supervise if args.supervises_geometry else None,
            )
        self._warn_of_frozen_vision()

    @property
    def igep_model(self) -> IGEPForConditionalGeneration:
        """The model inside whatever wraps it."""
        return self.unwrapped_model

    def _warn_of_frozen_vision(self) -> None:
        """Says where geometry is to press on a vision tower that does not train."""
        trains = {self.part_of_parameter(name) for name, value in self.model.named_parameters() if value.requires_grad}
        if not self.args.supervises_geometry or "vision" in trains:
            return
        why = (
            f"no adapter of lora_target_modules={self.recipe.get('lora_target_modules')} is in it"
            if self.trains_adapter
            else f"freeze={self.args.freeze}"
            + (f", frozen_vision_layers={self.args.frozen_vision_layers}" if self.args.frozen_vision_layers else "")
        )
        logger.warning(
            "The vision tower does not train (%s), so the geometric losses teach it nothing and the saved encoder is "
            "that of the base. Add its layers to the adapters, as the LoRA recipes do, or set the three geometry "
            "weights to 0.",
            why,
        )

    # ---- What `ResumableTrainer` is told

    @property
    def loss_weights(self) -> dict[str, float]:
        return {
            "loss_ce": 1.0,
            "loss_geometry": self.args.geometry_weight,
            "loss_cross_view": self.args.cross_view_weight,
            "loss_photometric": self.args.photometric_weight,
            "loss_global": self.args.global_weight,
            "loss_ground": self.args.ground_weight,
        }

    @property
    def training_heads(self) -> dict[str, nn.Module]:
        return self.igep_model.training_heads

    @property
    def learning_rates(self) -> dict[str, float]:
        return self.args.learning_rates

    @property
    def merges_adapter(self) -> bool:
        return self.args.merge_adapter_at_save

    @property
    def run_options(self) -> dict[str, Any]:
        heads = {"heads_from_folder": self.args.heads_from_folder}
        return (
            super().run_options | with_resolved_paths(self.data_options | heads) | rows_fingerprint(self.train_dataset)
        )

    @property
    def allows_changed_resume(self) -> bool:
        return self.args.allow_changed_resume

    def build_heads(self) -> None:
        self.igep_model.add_training_heads(OBJECTIVES[self.args.objective])
        if self.args.heads_from_folder is not None and self.pretrained_heads is None:
            self.pretrained_heads = start_from_heads(
                self.training_heads, Path(self.args.heads_from_folder), vars(self.args), OPTIONS_OF_HEAD
            )

    def part_of_parameter(self, name: str) -> str:
        return self.igep_model.part_of_parameter(name)

    def count_items(self, batch: dict[str, Any]) -> torch.Tensor:
        return batch["labels"][:, 1:].ne(-100).sum()

    def run_record(self, folder: Path, *, tags: Sequence[str], datasets: Sequence[str]) -> dict[str, Any]:
        run = training_run(
            self.args,
            self.recipe,
            self.train_dataset,
            losses=self.args.losses,
            frames_as=self.args.frames_as,
            pack_questions=self.args.pack_questions,
            teacher=self.args.named_teacher,
            samples_per_step=self.args.samples_per_step,
            base_model=self.base_model,
            steps=self.state.global_step,
            tags={*self._tag_names, *tags},
            datasets=datasets,
            adapter_only=self.trains_adapter and not self.merges_adapter,
            architecture=self.igep_model.config.vlm_config.model_type,
            folder=folder,
        )
        if self.pretrained_heads is not None:
            run["pretrained_heads"] = dataclasses.asdict(self.pretrained_heads)
        run["usage"]["geometry_inputs"] = "depth+pose" if self.args.reads_positions else "none"
        if self.igep_model.config.ground_head:
            run["usage"]["ground_geometry_inputs"] = self.igep_model.config.ground_geometry_inputs
        return run

    # ---- Loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, IGEPOutput]:
        """Calls the model on a batch and adds up its loss terms.

        Args:
            model (`torch.nn.Module`): The model, wrapped or not.
            inputs (`dict`): A batch of `IGEPDataCollator`.
            return_outputs (`bool`, *optional*, defaults to `False`): Also return the model's output.
            num_items_in_batch (`torch.Tensor`, *optional*): Supervised tokens of the step; `None` in evaluation.

        Returns:
            The loss, scaled so that gradients averaged over ranks and summed over micro-batches are those of the
            global batch.

        Raises:
            NonFiniteLossError: The loss is not finite.
        """
        batch, inputs = inputs, dict(inputs)
        names = {name: inputs.pop(name) for name in ("scene_ids", "frame_ids")}
        sample_ids = inputs.pop("sample_ids")
        teacher_frames = inputs.pop("teacher_frames", None)
        geometry = {name: inputs.pop(name) for name in GEOMETRY_INPUTS}
        if "grounding" in inputs:
            taken = ("frame_mask", *GEOMETRY_OF[self.args.ground_geometry_inputs])
            size = tuple(geometry["depth_metres"].shape[-2:])  # which the intrinsics speak of
            inputs["grounding"] = inputs["grounding"] | {name: geometry[name] for name in taken} | {"image_size": size}
        if self.args.supervises_geometry or self.args.reads_positions:
            inputs |= geometry
        if self.args.supervises_geometry:
            inputs["neighbour_index"] = self._neighbours(geometry, sample_ids)
            if self.args.global_weight:
                inputs["teacher_descriptors"] = self.teacher(teacher_frames, TeacherGeometry(**geometry, **names))
        outputs = model(**inputs, num_items_in_batch=num_items_in_batch)
        loss = self.total_loss(outputs, batch, num_items_in_batch)
        self._record_metrics(outputs, batch, "eval" if num_items_in_batch is None else "train")
        return (loss, outputs) if return_outputs else loss

    def _neighbours(self, geometry: dict[str, torch.Tensor], sample_ids: Sequence[str]) -> torch.Tensor:
        usable = usable_pose(geometry["world_from_camera"]) & usable_intrinsics(geometry["intrinsics"])
        if self.args.objective == "release":
            if self.args.cross_view_weight:
                _check_poses(geometry, sample_ids)
            return following_frames(usable & geometry["frame_mask"], self.args.neighbour_window)
        return draw_neighbours(
            usable & geometry["frame_mask"],
            sample_ids,
            seed=self.args.seed,
            step=self.state.global_step if self.model.training else 0,  # evaluations compare with each other
            window=self.args.neighbour_window,
        )

    # ---- Logs

    @torch.no_grad()
    def _record_metrics(self, outputs: IGEPOutput, batch: dict[str, Any], mode: str) -> None:
        """Adds what a batch measures besides its losses to the running metrics of `"train"` or `"eval"`."""
        running = self.running[mode]
        if mode == "train":
            running.add("num_tokens", batch["attention_mask"].sum(), 1)
        tokens = outputs.supervised_labels.numel()
        correct, entropy = token_metrics(outputs.logits, outputs.supervised_labels)
        running.add("mean_token_accuracy", correct, tokens)
        running.add("entropy", entropy, tokens)
        depth, frame_mask = batch["depth_metres"], batch["frame_mask"]
        measured = ((depth > 0) & depth.isfinite() & frame_mask[..., None, None]).sum()
        weights = {
            "confidence_mean": frame_mask.sum(),
            "cross_view_coverage": len(batch["sample_ids"]),
            "photometric_coverage": len(batch["sample_ids"]),
            "depth_abs_rel": measured,
            "depth_delta_1": measured,
        }
        if "grounding" in batch:
            weights["ground_accuracy"] = len(batch["grounding"]["meant"])
            weights["ground_seen"] = sum(map(len, batch["grounding"]["boxes"]))
        for name, weight in weights.items():
            if name in outputs:
                running.add(name, outputs[name] * weight, weight)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs, in training on a mixture with what was drawn of each part; see `ResumableTrainer.log`."""
        if self.model.training and isinstance(self.train_dataset, MixtureDataset):
            logs = logs | self.train_dataset.logged_counts(self.state.global_step, self.args.samples_per_step)
        super().log(logs, start_time)


def _check_inputs(
    model: Any, args: Any, train_dataset: torch.utils.data.Dataset, eval_dataset: torch.utils.data.Dataset | None
) -> None:
    # By its type: loaded with `trust_remote_code` it has a class of its own, and trains on all the same.
    if not isinstance(model, PreTrainedModel) or model.config.model_type != IGEPConfig.model_type:
        raise TypeError(
            f"model is a {type(model).__name__}: wrap the base VLM with IGEPForConditionalGeneration.from_base."
        )
    if not isinstance(args, IGEPSFTConfig):
        raise TypeError(f"args is a {type(args).__name__}: give an IGEPSFTConfig.")
    for name, dataset in (("train_dataset", train_dataset), ("eval_dataset", eval_dataset)):
        if dataset is not None and len(dataset) == 0:
            raise ValueError(f"{name} is empty: there is nothing to train on. Check the data path and its filters.")
    drawn_rows(train_dataset, 0)  # which raises now, not at the first save, where the rows do not say what they are


def _texts(
    args: IGEPSFTConfig, train_dataset: torch.utils.data.Dataset, eval_dataset: torch.utils.data.Dataset | None
) -> Iterator[RowText]:
    """The texts that the model is to read and write, as far as they are known before the rows are read."""
    yield RowText("Option unannotated_prompt", "prompt", args.unannotated_prompt)
    yield from row_texts(train_dataset)
    if eval_dataset is not None:
        yield from row_texts(eval_dataset)


NEEDS_POSES = (
    "objective=release predicts the depth of neighbouring frames from them. Give poses, leave the scene out, or set "
    "cross_view_weight to 0."
)


def _check_scenes(datasets: Sequence[torch.utils.data.Dataset]) -> None:
    """As `_check_poses`, before training, as far as scenes are known."""
    names = [name for rows in datasets for name in scenes_with_depth_alone(rows)]
    if names:
        more = len(names) - 1
        shown = f"Scenes {names[0]!r} and {more} more have" if more else f"Scene {names[0]!r} has"
        raise SpatialDataError(f"{shown} depth and no poses: {NEEDS_POSES}")


def _check_poses(geometry: dict[str, torch.Tensor], sample_ids: Sequence[str]) -> None:
    """Raises for rows with depth and no pose, which would silently lack the main term of the release."""
    has_depth = (geometry["depth_metres"] > 0).flatten(1).any(1)
    has_pose = usable_pose(geometry["world_from_camera"]).any(1)
    for name, lacks in zip(sample_ids, (has_depth & ~has_pose).tolist(), strict=True):
        if lacks:
            raise SpatialDataError(f"Sample {name!r} has depth and no poses: {NEEDS_POSES}")


def _teacher(args: IGEPSFTConfig) -> Teacher:
    """The teacher that the options ask for."""
    return build_teacher(
        args.teacher,
        name_or_path=args.teacher_name_or_path,
        layer=args.teacher_layer,
        frame_size=args.teacher_frame_size,
        transform=args.teacher_transform,
        oracle_grid=args.oracle_grid,
    )


def _collator(args: IGEPSFTConfig, processor: IGEPProcessor, teacher: Teacher | None) -> IGEPDataCollator:
    """The collator that the options ask for."""
    return IGEPDataCollator(
        processor,
        args.geometry_size,
        frames_as=args.frames_as,
        carries_colours=args.photometric_weight > 0,
        max_length=args.max_length,
        teacher_frame_size=teacher.frame_size if args.global_weight else None,
        unannotated_prompt=args.unannotated_prompt,
        pack_questions=args.pack_questions,
        max_packed_tokens=args.max_packed_tokens,
        position_range_metres=args.position_range_metres if args.reads_positions else None,
        ground_geometry_inputs=args.ground_geometry_inputs if args.ground_weight else None,
    )
