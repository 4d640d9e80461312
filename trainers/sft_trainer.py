"""Supervised fine-tuning of a video VLM under geometry supervision, on top of TRL's `SFTTrainer`.

The one thing it must not inherit is the loss: TRL's calls a fused head of the base model and would skip the training heads.
`compute_loss` calls the model itself. Checkpoints hold the heads, so that a run resumes exactly; saved models do not.
"""

import copy
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftConfig, PeftModel
from transformers import PreTrainedModel, TrainerCallback
from transformers.trainer_utils import rotate_checkpoints
from trl import SFTTrainer

from igep.camera_geometry import usable_intrinsics, usable_pose
from igep.configuration_igep import IGEPConfig
from igep.modeling_igep import IGEPForConditionalGeneration, IGEPOutput
from igep.processing_igep import IGEPProcessor
from igep.trainers.cards.model_card import model_card
from igep.trainers.cards.training_run import changed_options, training_run, write_training_run
from igep.trainers.configure_supervision import configure_supervision
from igep.trainers.data.collator import IGEPDataCollator
from igep.trainers.data.mixture import MixtureDataset
from igep.trainers.loop.complete_checkpoint import (
    last_complete_checkpoint,
    mark_complete,
    mark_incomplete,
    require_complete,
)
from igep.trainers.loop.parameter_groups import split_by_part
from igep.trainers.loop.restore_progress import RestoreProgress
from igep.trainers.loop.running_metrics import RunningMetrics, token_metrics
from igep.trainers.loop.training_heads_file import load_heads, load_weights, save_heads
from igep.trainers.publishing.published_folder import name_bases
from igep.trainers.sft_config import IGEPSFTConfig
from igep.trainers.supervision.geometry_losses import igep_objective
from igep.trainers.supervision.neighbour_frames import draw_neighbours
from igep.trainers.supervision.teachers import Teacher, TeacherGeometry, build_teacher


PROGRESS_FILE = "training_progress.json"
LOSS_WEIGHTS = {f"loss_{name}": f"{name}_weight" for name in ("geometry", "cross_view", "global")}
GEOMETRY_INPUTS = ("depth_metres", "intrinsics", "world_from_camera", "frame_mask")


class NonFiniteLossError(FloatingPointError):
    """The loss or its gradient is not a number; the message names the terms and the samples."""


class IGEPSFTTrainer(SFTTrainer):
    """Trains `IGEPForConditionalGeneration` on `SpatialExample`s.

    The loss is `L_ce + w_geo L_geometry + w_cv L_cross_view + w_global L_global`: cross-entropy over the supervised tokens of
    the global batch, geometric terms as means over its samples. How the batch is split over ranks and accumulation steps does
    not matter. With all three weights at 0 it is plain supervised fine-tuning, on the same data in the same order.

    Args:
        model (`IGEPForConditionalGeneration`): The model, from this package or from a saved folder; supervision fields of `args` are copied into its config.
        args (`IGEPSFTConfig`): Options.
        train_dataset (`torch.utils.data.Dataset`): Map-style dataset of `SpatialExample`; a mixture is read in its order.
        processing_class (`IGEPProcessor`): Processor of the model.
        eval_dataset (`torch.utils.data.Dataset`, *optional*): Held-out dataset of `SpatialExample`.
        teacher (`Teacher`, *optional*): 3D teacher; built from `args` unless given.
        data_collator (`IGEPDataCollator`, *optional*): Built from `args` unless given.
        peft_config (`PeftConfig`, *optional*): Adapters to train. The heads always train in full.
        callbacks (`list[TrainerCallback]`, *optional*): As in `Trainer`.
        optimizers (`tuple`, *optional*): Optimizer and scheduler, as in `Trainer`.
        recipe (`dict`, *optional*): Options for the model card; those of `args` that are no defaults unless given.

    Raises:
        TypeError: The model or the options are of another class.
        ValueError: An empty dataset, heads that do not fit the options, or options that exclude each other.
    """

    _tag_names = ["trl", "sft", "igep"]
    _name = "IGEP"
    loss_is_scaled_for_ga = True

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
    ):
        # By its type: loaded with `trust_remote_code` it has a class of its own, and trains on all the same.
        if not isinstance(model, PreTrainedModel) or model.config.model_type != IGEPConfig.model_type:
            raise TypeError(
                f"model is a {type(model).__name__}: wrap the base VLM with IGEPForConditionalGeneration.from_base."
            )
        if not isinstance(args, IGEPSFTConfig):
            raise TypeError(f"args is a {type(args).__name__}: give an IGEPSFTConfig.")
        for name, dataset in (("train_dataset", train_dataset), ("eval_dataset", eval_dataset)):
            if dataset is not None and len(dataset) == 0:
                raise ValueError(
                    f"{name} is empty: there is nothing to train on. Check the data path and its filters."
                )
        self.base_model = model.config.name_or_path or model.config.vlm_config.name_or_path
        self.recipe = changed_options(args) if recipe is None else recipe
        self.teacher = teacher
        if teacher is None and args.global_weight:
            self.teacher = build_teacher(
                args.teacher,
                name_or_path=args.teacher_name_or_path,
                layer=args.teacher_layer,
                transform=args.teacher_transform,
                oracle_grid=args.oracle_grid,
            )
        configure_supervision(model, args, self.teacher)
        if data_collator is None:
            data_collator = IGEPDataCollator(
                processing_class,
                args.geometry_size,
                frames_as=args.frames_as,
                max_length=args.max_length,
                teacher_frame_size=self.teacher.frame_size if args.global_weight else None,
                unannotated_prompt=args.unannotated_prompt,
                pack_questions=args.pack_questions,
                max_packed_tokens=args.max_packed_tokens,
            )
        # TRL takes `datasets.Dataset` alone. Ours joins two tables when a row is read, so it is set afterwards.
        stand_in = Dataset.from_dict({"row": [0]})
        args.dataset_kwargs = {**(args.dataset_kwargs or {}), "skip_prepare_dataset": True}
        super().__init__(
            model=model,
            args=args,
            data_collator=data_collator,
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
        self._is_sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        if peft_config is not None and args.merge_adapter_at_save and self._is_sharded:
            raise ValueError(
                "merge_adapter_at_save=True cannot merge weights that are sharded over processes: set it to false and merge "
                "the saved adapter in one process afterwards."
            )
        # After peft has wrapped the model: adapters must not enter the heads, nor freeze them.
        model.add_training_heads(igep_objective)
        for name, parameter in model.named_parameters():
            part = model.part_of_parameter(name)
            if part == "heads":
                parameter.requires_grad_(True)
            elif part in args.freeze:
                parameter.requires_grad_(False)
        if optimizers[0] is not None:
            held = {id(value) for group in optimizers[0].param_groups for value in group["params"]}
            if any(id(value) not in held for head in model.training_heads.values() for value in head.parameters()):
                raise ValueError(
                    "optimizers: the optimizer lacks the training heads, which would never learn. Leave it out, or call "
                    "model.add_training_heads(igep_objective) before making it."
                )
        if self.teacher is not None:
            self.teacher.to(args.device)
        self._running = {"train": RunningMetrics(), "eval": RunningMetrics()}
        self._samples_in_step: torch.Tensor | float = 1.0
        self._step_sample_ids: list[str] = []
        self._progress: dict[str, Any] | None = None
        self.add_callback(RestoreProgress(self))

    @property
    def igep_model(self) -> IGEPForConditionalGeneration:
        """The model inside whatever wraps it."""
        model = self.accelerator.unwrap_model(self.model)
        return model.get_base_model() if isinstance(model, PeftModel) else model

    # ---- Loss

    def _get_num_items_in_batch(self, batch_samples: list[dict], device: torch.device) -> torch.Tensor | None:
        """Counts supervised tokens and samples of one optimiser step over all ranks: what the two means divide by."""
        if not batch_samples:
            return None
        self._step_sample_ids = [name for batch in batch_samples for name in batch["sample_ids"]]
        supervised = sum(batch["labels"][:, 1:].ne(-100).sum() for batch in batch_samples)
        counts = torch.stack([supervised.to(device), torch.tensor(len(self._step_sample_ids), device=device)])
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            counts = self.accelerator.gather(counts[None]).sum(0)
        self._samples_in_step = counts[1]
        return counts[0].clamp(min=1)  # a step of scenes nobody annotated has none

    def compute_loss(
        self,
        model: torch.nn.Module,
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
            The loss, scaled so that gradients averaged over ranks and summed over micro-batches are those of the global
            batch.

        Raises:
            NonFiniteLossError: The loss is not finite.
        """
        inputs = dict(inputs)
        sample_ids = inputs.pop("sample_ids")
        names = {name: inputs.pop(name) for name in ("scene_ids", "frame_ids")}
        teacher_frames = inputs.pop("teacher_frames", None)
        geometry = {name: inputs.pop(name) for name in GEOMETRY_INPUTS}
        if self.args.supervises_geometry:
            inputs |= geometry
            inputs["neighbour_index"] = self._neighbours(geometry, sample_ids)
            if self.args.global_weight:
                inputs["teacher_descriptors"] = self.teacher(teacher_frames, TeacherGeometry(**geometry, **names))
        outputs = model(**inputs, num_items_in_batch=num_items_in_batch)

        share = scale = 1.0
        if num_items_in_batch is not None:
            share = len(sample_ids) / self._samples_in_step
            if self.args.average_tokens_across_devices:
                scale = self.accelerator.num_processes  # undoes the mean that DDP takes of the ranks' gradients
        loss = outputs.loss_ce
        for term, weight in LOSS_WEIGHTS.items():
            if term in outputs:
                loss = loss + share * vars(self.args)[weight] * outputs[term]
        loss = loss * scale
        if not torch.isfinite(loss):
            terms = [name for name in ("loss_ce", *LOSS_WEIGHTS) if name in outputs]
            values = ", ".join(f"{name} {outputs[name].item()}" for name in terms)
            raise NonFiniteLossError(
                f"The loss of step {self.state.global_step + 1} is not finite ({values}) for samples {sample_ids}: training "
                "stops before it changes a weight. Look at these samples (`igep check`), or lower the learning rate."
            )
        training = num_items_in_batch is not None
        self._record(outputs, inputs, geometry, len(sample_ids), share if training else None)
        return (loss, outputs) if return_outputs else loss

    def _neighbours(self, geometry: dict[str, torch.Tensor], sample_ids: Sequence[str]) -> torch.Tensor:
        usable = usable_pose(geometry["world_from_camera"]) & usable_intrinsics(geometry["intrinsics"])
        return draw_neighbours(
            usable & geometry["frame_mask"],
            sample_ids,
            seed=self.args.seed,
            step=self.state.global_step if self.model.training else 0,  # evaluations compare with each other
            window=self.args.neighbour_window,
        )

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: torch.Tensor | None = None) -> torch.Tensor | float:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        scales_gradients = self.accelerator.scaler is not None  # fp16: its scaler skips such steps by itself
        if norm is not None and not scales_gradients and not math.isfinite(norm):  # DeepSpeed knows none at first
            raise NonFiniteLossError(
                f"The gradient of step {self.state.global_step + 1} is not finite for samples {self._step_sample_ids}: "
                "training stops before it changes a weight. Look at these samples, or lower the learning rate."
            )
        return norm

    # ---- Logs

    @torch.no_grad()
    def _record(
        self,
        outputs: IGEPOutput,
        inputs: dict[str, torch.Tensor],
        geometry: dict[str, torch.Tensor],
        samples: int,
        share: torch.Tensor | float | None,
    ) -> None:
        """Adds a batch to the running metrics. `share` is its part of the optimiser step, `None` in evaluation."""
        running = self._running["train" if share is not None else "eval"]
        tokens = outputs.supervised_labels.numel()
        if share is not None:
            running.add("loss_ce", outputs.loss_ce, share)  # already divided by the tokens of the step
            running.add("num_tokens", inputs["attention_mask"].sum(), 1)
        else:
            running.add("loss_ce", outputs.loss_ce * tokens, tokens)
        correct, entropy = token_metrics(outputs.logits, outputs.supervised_labels)
        running.add("mean_token_accuracy", correct, tokens)
        running.add("entropy", entropy, tokens)
        weight = samples if share is None else share
        for name in LOSS_WEIGHTS:
            if name in outputs:
                running.add(name, outputs[name] * weight, weight)
        depth, frame_mask = geometry["depth_metres"], geometry["frame_mask"]
        measured = ((depth > 0) & depth.isfinite() & frame_mask[..., None, None]).sum()
        weights = {
            "confidence_mean": frame_mask.sum(),
            "cross_view_coverage": samples,
            "depth_abs_rel": measured,
            "depth_delta_1": measured,
        }
        for name, weight in weights.items():
            if name in outputs:
                running.add(name, outputs[name] * weight, weight)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        mode = "train" if self.model.training else "eval"
        for name, (total, weight) in self._running[mode].reduced(self.accelerator).items():
            if name == "num_tokens":
                self._total_train_tokens += int(total)
                self._metrics[mode][name] = [self._total_train_tokens]
            elif weight > 0:  # nothing measured in this window: no value rather than a made-up one
                self._metrics[mode][name] = [total / weight]
        self._running[mode].clear()
        if mode == "train" and isinstance(self.train_dataset, MixtureDataset):
            logs = logs | self.train_dataset.logged_counts(self.state.global_step, self.args.samples_per_step)
        super().log(logs, start_time)

    # ---- Optimizer

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """Transformers' optimizer with its weight decay rules, its groups split by part with their learning rates."""
        if self.optimizer is not None:
            return super().create_optimizer(model)
        super().create_optimizer(model)
        opt_model = self.model if model is None else model
        part_of = {id(value): self.igep_model.part_of_parameter(name) for name, value in opt_model.named_parameters()}
        self.optimizer.param_groups[:] = split_by_part(self.optimizer.param_groups, part_of, self.args.learning_rates)
        return self.optimizer

    # ---- Checkpoints

    def train(self, resume_from_checkpoint: str | Path | bool | None = None, trial: Any = None, **kwargs) -> Any:
        """Trains; see `Trainer.train`.

        Args:
            resume_from_checkpoint (`str`, `Path` or `bool`, *optional*): A checkpoint folder, or `True` for the last whole
                one of `output_dir`. Broken checkpoints, as a killed process leaves them, are never taken.
            trial (*optional*): As in `Trainer.train`.
            **kwargs: As in `Trainer.train`.

        Returns:
            `TrainOutput`

        Raises:
            FileNotFoundError: There is no whole checkpoint where one is asked for.
            NonFiniteLossError: The loss or its gradient is not finite.
        """
        checkpoint = None
        if resume_from_checkpoint is True:
            checkpoint = last_complete_checkpoint(self.args.output_dir)
        elif resume_from_checkpoint:
            checkpoint = require_complete(resume_from_checkpoint)
        self._running["train"].clear()
        self._metrics["train"].clear()
        self._total_train_tokens = 0
        self._progress = None
        if checkpoint is not None:
            self._progress = json.loads((checkpoint / PROGRESS_FILE).read_text())
        return super().train(
            resume_from_checkpoint=None if checkpoint is None else str(checkpoint), trial=trial, **kwargs
        )

    def restore_progress(self) -> None:
        """Takes up the logs of an interrupted run where its checkpoint left them."""
        if self._progress is None:
            return
        self._running["train"].restore(self._progress["metrics"], self.accelerator)
        self._total_train_tokens = self._progress["num_tokens"]
        self._tr_loss = torch.tensor(self._progress["loss"], device=self.args.device)
        self._globalstep_last_logged = self._progress["last_logged_step"]

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
        progress = {
            "metrics": self._running["train"].reduced(self.accelerator),
            "num_tokens": self._total_train_tokens,
            "loss": self.accelerator.reduce(self._tr_loss.clone(), reduction="mean").item(),
            "last_logged_step": self._globalstep_last_logged,
        }
        if self.args.should_save:
            mark_incomplete(folder)
        # The older checkpoints go only once the new one is whole.
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        if self.args.should_save:
            (folder / PROGRESS_FILE).write_text(json.dumps(progress))
            if not self._is_sharded:  # sharded checkpoints hold every parameter of the module, the heads too
                save_heads(self.igep_model, folder)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            mark_complete(folder)
            rotate_checkpoints(
                output_dir=str(folder.parent),
                save_total_limit=limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
                use_mtime=True,
            )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        if self._is_sharded:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        own = self.igep_model
        if isinstance(self.accelerator.unwrap_model(self.model), PeftModel):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_weights(own, Path(resume_from_checkpoint))
        load_heads(own, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        if self._is_sharded:
            super()._load_best_model()
        else:
            self._load_from_checkpoint(self.state.best_model_checkpoint)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Writes the trained model for its users: no head, no pickle, loadable through the Auto classes.

        With LoRA the folder holds the merged model (unless `merge_adapter_at_save` is off) and `adapter/` the adapter.

        Args:
            output_dir (`str`, *optional*): Folder; `args.output_dir` unless given.
        """
        if _internal_call and output_dir is not None:  # a checkpoint
            super().save_model(output_dir, _internal_call=True)
            return
        folder = Path(output_dir or self.args.output_dir)
        pushes = self.args.push_to_hub and not _internal_call
        if not pushes or folder != Path(self.args.output_dir):  # which the push writes itself
            self._publish(folder)
        if pushes:
            self.push_to_hub(commit_message="Model save", revision=self.args.hub_revision)

    def _publish(self, folder: Path) -> None:
        model = self.accelerator.unwrap_model(self.model)
        written = folder
        if isinstance(model, PeftModel):
            written = folder / "adapter"
            super().save_model(str(written), _internal_call=True)
            if self.args.merge_adapter_at_save and self.args.should_save:
                merged = copy.deepcopy(model).merge_and_unload()  # a copy, so that training can go on
                merged.save_pretrained(folder)
                self.processing_class.save_pretrained(folder)
        else:
            super().save_model(str(folder), _internal_call=True)
        if self.args.should_save:
            (written / "training_args.bin").unlink(missing_ok=True)  # a pickle, of no use to whoever loads the model
            (written / "README.md").unlink(missing_ok=True)  # peft's empty form
            name_bases(folder)
            self.create_model_card(folder=folder)

    def create_model_card(
        self,
        model_name: str | None = None,
        dataset_name: str | None = None,
        tags: str | list[str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Writes `training_run.json`, and README.md from it: what was trained, on what, with which losses.

        Args:
            model_name (`str`, *optional*): Id on the Hub; `hub_model_id`, or the name of the folder, unless given.
            dataset_name (`str`, *optional*): Id of the training data on the Hub.
            tags (`str` or `list[str]`, *optional*): Tags besides the trainer's own.
            folder (`Path`, *optional*): Where; `args.output_dir` unless given.
        """
        if not self.is_world_process_zero():
            return
        folder = folder or Path(self.args.output_dir)
        is_adapter = isinstance(self.accelerator.unwrap_model(self.model), PeftModel)
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
            tags={*self._tag_names, *([tags] if isinstance(tags, str) else tags or [])},
            datasets=[] if dataset_name is None else [dataset_name],
            adapter_only=is_adapter and not self.args.merge_adapter_at_save,
            architecture=self.igep_model.config.vlm_config.model_type,
            folder=folder,
        )
        write_training_run(folder, run)
        last = self.hub_model_id.split("/")[-1] if self.args.push_to_hub else None  # `Trainer`'s name for it
        repo_id = self.hub_model_id if last and model_name in (None, last) else model_name or folder.resolve().name
        (folder / "README.md").write_text(model_card(run, repo_id=repo_id), encoding="utf-8")
