"""What every trainer here shares, whatever it trains: runs resume to the bit, and saved models are whole.

`ResumableTrainer` knows no method. A trainer made from it computes its loss terms and tells what they weigh and which
heads exist only while it trains:

    class MyTrainer(ResumableTrainer):  # or (ResumableTrainer, SFTTrainer)
        loss_weights = {"loss_depth": 1.0}

        @property
        def training_heads(self):
            return {"verifier": self.unwrapped_model.verifier}

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            outputs = model(inputs["pixel_values"], inputs["depth_metres"])
            loss = self.total_loss(outputs, inputs, num_items_in_batch)
            return (loss, outputs) if return_outputs else loss
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.trainer_utils import rotate_checkpoints

from igep.trainers.cards.model_card import model_card
from igep.trainers.cards.saved_config import name_bases
from igep.trainers.cards.training_run import write_training_run
from igep.trainers.loop.compared_run import ComparedRunTrainer
from igep.trainers.loop.complete_checkpoint import mark_complete, mark_incomplete
from igep.trainers.loop.float32_weights import cast_to_float32, check_one_type, float32_parameters, in_loaded_types
from igep.trainers.loop.idle_losses import IdleLosses
from igep.trainers.loop.merged_model import save_merged
from igep.trainers.loop.parameter_groups import split_by_part
from igep.trainers.loop.restore_progress import RestoreProgress
from igep.trainers.loop.training_heads_file import load_heads, load_weights, save_heads
from igep.trainers.loop.write_failure import says_what_is_kept


PROGRESS_FILE = "training_progress.json"


class ResumableTrainer(ComparedRunTrainer):
    """A `Trainer` whose runs resume exactly, and which saves models for their users.

    What trains is float32 while it trains, whatever type the model was loaded in; `bf16` and `fp16` say what it
    computes in. What is frozen keeps its type, and a saved model has the types that were loaded. FSDP and DeepSpeed
    see to float32 weights themselves.

    Losses and logs are those of `WeightedLossTrainer`; what a checkpoint was written under is compared as in
    `ComparedRunTrainer`. The model leaves its training heads out of what it saves.

    Args:
        *args: As in the trainer that it stands before.
        **kwargs: As in the trainer that it stands before.

    Raises:
        TypeError: The model cannot be read back with `from_pretrained`.
        ValueError: An own optimizer lacks the heads, or adapters are to be merged into a model that is sharded over
            processes.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if not isinstance(self.unwrapped_model, PreTrainedModel):
            raise TypeError(f"model is a {type(self.unwrapped_model).__name__}: give a PreTrainedModel.")
        if self.trains_adapter and self.merges_adapter and self.is_sharded:
            raise ValueError(
                "merge_adapter_at_save=True cannot merge weights that are sharded over processes: set it to false and "
                "merge the saved adapter in one process afterwards."
            )
        self.build_heads()
        for head in self.training_heads.values():
            head.requires_grad_(True)
        if self.optimizer is not None:
            held = {id(value) for group in self.optimizer.param_groups for value in group["params"]}
            if any(id(value) not in held for head in self.training_heads.values() for value in head.parameters()):
                raise ValueError(
                    "optimizers: the optimizer lacks the training heads, which would never learn. Leave it out, or "
                    "build the model's heads before making it."
                )
        self._progress: dict[str, Any] | None = None
        self._loaded_types: dict[str, torch.dtype] = {}
        self.add_callback(RestoreProgress(self))
        self.add_callback(IdleLosses(self))

    # ---- What a trainer tells

    @property
    def training_heads(self) -> Mapping[str, nn.Module]:
        """The modules of the model that exist only while it trains, by name; none unless a trainer says otherwise."""
        return {}

    @property
    def learning_rates(self) -> Mapping[str, float]:
        """Learning rate of each part of the model; one for all, the options', unless a trainer says otherwise."""
        return {}

    @property
    def merges_adapter(self) -> bool:
        """Whether `save_model` merges adapters into the model; it does unless a trainer says otherwise."""
        return True

    def build_heads(self) -> None:
        """Adds the training heads, once peft has wrapped the model: adapters must not enter or freeze the heads."""

    def part_of_parameter(self, name: str) -> str:
        """The part that a parameter belongs to, a key of `learning_rates`.

        Args:
            name (`str`): As in `model.named_parameters()`, whatever wraps the model.

        Returns:
            `str`
        """
        raise NotImplementedError(f"{type(self).__name__} has learning rates of parts: define part_of_parameter.")

    def run_record(self, folder: Path, *, tags: Sequence[str], datasets: Sequence[str]) -> dict[str, Any] | None:
        """What `training_run.json` is to hold, and the card is made from; see `cards.training_run`.

        Args:
            folder (`Path`): Where the model was saved.
            tags (`Sequence[str]`): Further tags.
            datasets (`Sequence[str]`): Ids of the training data on the Hub.

        Returns:
            `dict` or `None`: `None`, as here, writes neither.
        """
        return None

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Transformers' optimizer with its weight decay rules, its groups split by part with their learning rates.

        Args:
            model (`torch.nn.Module`, *optional*): The model as it is wrapped; `self.model` unless given.

        Returns:
            `torch.optim.Optimizer`
        """
        is_given = self.optimizer is not None
        optimizer = super().create_optimizer(model)
        if not is_given and self.learning_rates:
            named = (self.model if model is None else model).named_parameters()
            part_of = {id(value): self.part_of_parameter(name) for name, value in named}
            optimizer.param_groups[:] = split_by_part(optimizer.param_groups, part_of, self.learning_rates)
        return optimizer

    def _train_in_float32(self) -> None:
        part_of = self.part_of_parameter if self.learning_rates else None
        names = float32_parameters(self.unwrapped_model, part_of, beside_adapters=self.trains_adapter)
        self._loaded_types |= cast_to_float32(self.unwrapped_model, names)
        if self._loaded_types and self.accelerator.mixed_precision == "no":
            check_one_type(self.unwrapped_model)

    # ---- Checkpoints

    def train(self, resume_from_checkpoint: str | Path | bool | None = None, trial: Any = None, **kwargs) -> Any:
        """Trains; see `Trainer.train`.

        Args:
            resume_from_checkpoint (`str`, `Path` or `bool`, *optional*): A checkpoint folder, or `True` for the last
                whole one of `output_dir`. Broken checkpoints, as a killed process leaves them, are never taken.
            trial (*optional*): As in `Trainer.train`.
            **kwargs: As in `Trainer.train`.

        Returns:
            `TrainOutput`

        Raises:
            FileNotFoundError: There is no whole checkpoint where one is asked for.
            ChangedRunError: The checkpoint is of another run (see `check_run_options`), or holds no optimizer state.
            WriteFailedError: A checkpoint could not be written.
            NonFiniteLossError: The loss or its gradient is not finite.
            MixedTypesError: Weights that train would meet frozen ones of another type, and nothing casts between them.
        """
        if not self.is_sharded:
            self._train_in_float32()
        checkpoint = self.checkpoint_to_resume(resume_from_checkpoint)
        self.running["train"].clear()
        self._totals = dict.fromkeys(self.summed_metrics, 0)
        self._progress = None if checkpoint is None else json.loads((checkpoint / PROGRESS_FILE).read_text())
        return super().train(
            resume_from_checkpoint=None if checkpoint is None else str(checkpoint), trial=trial, **kwargs
        )

    def restore_progress(self) -> None:
        """Takes up the logs of an interrupted run where its checkpoint left them."""
        if self._progress is None:
            return
        # The state brings the intervals of the checkpoint, which would silently be those of the run.
        self.state.compute_steps(self.args, self.state.max_steps)
        self.state.train_batch_size = self.args.train_batch_size
        self.running["train"].restore(self._progress["metrics"], self.accelerator)
        self._totals = {name: self._progress[name] for name in self.summed_metrics}
        self._tr_loss = torch.tensor(self._progress["loss"], device=self.args.device)
        self._globalstep_last_logged = self._progress["last_logged_step"]

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
        progress = {
            "metrics": self.running["train"].reduced(self.accelerator),
            **self._totals,
            "loss": self.accelerator.reduce(self._tr_loss.clone(), reduction="mean").item(),
            "last_logged_step": self._globalstep_last_logged,
        }
        with says_what_is_kept(folder, folder.parent):
            self._write_checkpoint(folder, model, trial, progress)

    def _write_checkpoint(self, folder: Path, model: nn.Module, trial: Any, progress: dict[str, Any]) -> None:
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
            self.write_options(folder)
            if not self.is_sharded:  # sharded checkpoints hold every parameter of the module, the heads too
                save_heads(self.training_heads, folder)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            mark_complete(folder)
            rotate_checkpoints(
                output_dir=str(folder.parent),
                save_total_limit=limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
                use_mtime=True,
            )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if self.is_sharded:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        if self.trains_adapter:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_weights(self.unwrapped_model, Path(resume_from_checkpoint), self.training_heads)
        load_heads(self.training_heads, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        if self.is_sharded:
            super()._load_best_model()
        else:
            self._load_from_checkpoint(self.state.best_model_checkpoint)

    # ---- The model for its users

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Writes the trained model for its users: no head, no pickle, loadable through the Auto classes.

        With adapters the folder holds the merged model (unless `merges_adapter` is off) and `adapter/` the adapter.

        Args:
            output_dir (`str`, *optional*): Folder; `args.output_dir` unless given.

        Raises:
            WriteFailedError: It could not be written.
        """
        if _internal_call and output_dir is not None:  # a checkpoint
            super().save_model(output_dir, _internal_call=True)
            return
        folder = Path(output_dir or self.args.output_dir)
        pushes = self.args.push_to_hub and not _internal_call
        if not pushes or folder != Path(self.args.output_dir):  # which the push writes itself
            with says_what_is_kept(folder, self.args.output_dir):
                self._publish(folder)
        if pushes:
            self.push_to_hub(commit_message="Model save", revision=self.args.hub_revision)

    def _publish(self, folder: Path) -> None:
        with in_loaded_types(self.unwrapped_model, self._loaded_types):
            self._write_model(folder)

    def _write_model(self, folder: Path) -> None:
        written = folder / "adapter" if self.trains_adapter else folder
        super().save_model(str(written), _internal_call=True)
        if not self.args.should_save:
            return
        if self.trains_adapter and self.merges_adapter:
            save_merged(self.accelerator.unwrap_model(self.model), folder)
            if self.processing_class is not None:
                self.processing_class.save_pretrained(folder)
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
        tags = [tags] if isinstance(tags, str) else tags or []
        run = self.run_record(folder, tags=tags, datasets=[] if dataset_name is None else [dataset_name])
        if run is None:
            return
        write_training_run(folder, run)
        last = self.hub_model_id.split("/")[-1] if self.args.push_to_hub else None  # `Trainer`'s name for it
        repo_id = self.hub_model_id if last and model_name in (None, last) else model_name or folder.resolve().name
        (folder / "README.md").write_text(model_card(run, repo_id=repo_id), encoding="utf-8")
