"""Runs know what they were started with: checkpoints keep it, and resuming compares it before anything is loaded."""

from pathlib import Path
from typing import Any

from accelerate.scheduler import AcceleratedScheduler
from accelerate.utils import broadcast_object_list
from peft import PeftModel
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from igep.trainers.loop.complete_checkpoint import last_complete_checkpoint, require_complete
from igep.trainers.loop.run_options import (
    FREE_OPTIONS,
    SAID_OPTIONS,
    ChangedRunError,
    check_run_options,
    write_run_options,
)
from igep.trainers.loop.weighted_loss import WeightedLossTrainer


OPTIMIZER_FILE = "optimizer.pt"  # of transformers' checkpoints


class ComparedRunTrainer(WeightedLossTrainer):
    """A `Trainer` whose checkpoints hold the options of the run.

    Resuming under other options says what differs, and refuses what would be another run.

    Args:
        *args: As in the trainer that it stands before.
        **kwargs: As in the trainer that it stands before.
    """

    # Options that may differ when a run is resumed: without a word, and with one.
    free_options: frozenset[str] = FREE_OPTIONS
    said_options: frozenset[str] = SAID_OPTIONS

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.is_sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        self._trained: dict[str, tuple[int, ...]] = {}
        self._options: dict[str, Any] = {}
        self._has_changed = False

    @property
    def unwrapped_model(self) -> PreTrainedModel:
        """The model inside whatever wraps it."""
        model = self.accelerator.unwrap_model(self.model)
        return model.get_base_model() if isinstance(model, PeftModel) else model

    @property
    def trains_adapter(self) -> bool:
        """Whether adapters train in place of the weights."""
        return isinstance(self.accelerator.unwrap_model(self.model), PeftModel)

    @property
    def run_options(self) -> dict[str, Any]:
        """What makes the run what it is, by name: its options, and samples of an optimiser step over all processes."""
        samples = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return {**self.args.to_dict(), "samples_per_step": samples}

    @property
    def allows_changed_resume(self) -> bool:
        """Whether a run may go on from a checkpoint of other `run_options`; not unless a trainer says otherwise."""
        return False

    def checkpoint_to_resume(self, resume_from_checkpoint: str | Path | bool | None) -> Path | None:
        """Finds the checkpoint to go on from, and compares what it was written under with the options now.

        Args:
            resume_from_checkpoint (`str`, `Path` or `bool`, *optional*): A checkpoint folder, or `True` for the last
                whole one of `output_dir`.

        Returns:
            `Path`, *optional*: `None` if none is asked for.

        Raises:
            FileNotFoundError: There is no whole checkpoint where one is asked for.
            ChangedRunError: It is of another run, or holds no optimizer state.
        """
        self._options = self.run_options
        self._trained = {
            name: tuple(value.shape) for name, value in self.unwrapped_model.named_parameters() if value.requires_grad
        }
        checkpoint = self._find_checkpoint(resume_from_checkpoint)
        self._has_changed = checkpoint is not None and self._differs(checkpoint)
        return checkpoint

    def write_options(self, checkpoint: Path) -> None:
        """Writes the options of the run into a checkpoint.

        Args:
            checkpoint (`Path`): Its folder.
        """
        write_run_options(checkpoint, self._options, self._trained)

    def _find_checkpoint(self, resume_from_checkpoint: str | Path | bool | None) -> Path | None:
        """The checkpoint to go on from. One process reads its files, all learn what it found."""
        found: list[Path | FileNotFoundError | None] = [None]
        if self.is_world_process_zero() and resume_from_checkpoint:
            try:
                if resume_from_checkpoint is True:
                    found = [last_complete_checkpoint(self.args.output_dir)]
                else:
                    found = [require_complete(resume_from_checkpoint)]
            except FileNotFoundError as error:
                found = [error]
        (checkpoint,) = broadcast_object_list(found)
        if isinstance(checkpoint, FileNotFoundError):
            raise checkpoint
        return checkpoint

    def _differs(self, checkpoint: Path) -> bool:
        """Whether options that are no `said_options` differ from those of a checkpoint; raises where they may not."""
        if not self.is_sharded and not (checkpoint / OPTIMIZER_FILE).exists():
            raise ChangedRunError(
                f"{checkpoint} holds no optimizer state, as save_only_model writes it: give it as model_name_or_path "
                "to start another run from its weights, or resume from another checkpoint."
            )
        differences = check_run_options(
            checkpoint,
            self._options,
            self._trained,
            free=self.free_options,
            said=self.said_options,
            allow_changed=self.allows_changed_resume,
        )
        return any(one.name not in self.said_options for one in differences)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        own = [
            {name: value for name, value in group.items() if name != "params"} for group in self.optimizer.param_groups
        ]
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None or not self._has_changed or self.is_deepspeed_enabled:
            return
        # The state brings the rates that it was written under, which would silently be those of the run.
        for group, options in zip(self.optimizer.param_groups, own, strict=True):
            group.update(options)
        schedule = (
            self.lr_scheduler.scheduler if isinstance(self.lr_scheduler, AcceleratedScheduler) else self.lr_scheduler
        )
        if isinstance(schedule, LambdaLR):
            schedule.base_lrs = [group["initial_lr"] for group in self.optimizer.param_groups]
            rates = [
                base * rule(schedule.last_epoch)
                for base, rule in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
            ]
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
            schedule._last_lr = rates
