"""Takes up the logs of an interrupted run."""

from typing import Protocol

from transformers import TrainerCallback


class HasProgress(Protocol):
    """A trainer that keeps what was accumulated since its last log in its checkpoints."""

    def restore_progress(self) -> None:
        """Puts it back."""


class RestoreProgress(TrainerCallback):
    """Puts back what was accumulated since the last log, after the trainer has reset it and before the first step.

    Args:
        trainer (`HasProgress`): The trainer.
    """

    def __init__(self, trainer: HasProgress):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        self.trainer.restore_progress()
