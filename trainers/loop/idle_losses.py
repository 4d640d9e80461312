"""Says at the end of a run which losses had a weight and were never there."""

import logging
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from igep.trainers.loop.weighted_loss import WeightedLossTrainer


logger = logging.getLogger(__name__)


class IdleLosses(TrainerCallback):
    """Warns of losses that stayed exactly 0: no row had what they are computed from, and the run trained without them.

    Args:
        trainer (`WeightedLossTrainer`): Tells what its losses weigh, and what they need.
    """

    def __init__(self, trainer: WeightedLossTrainer):
        self._trainer = trainer

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Looks through all logs of the run."""
        if not state.is_world_process_zero:
            return
        for name, weight in self._trainer.loss_weights.items():
            logged = [entry[name] for entry in state.log_history if name in entry]
            if weight and logged and not any(logged):
                needed = self._trainer.loss_needs.get(name, "what it is computed from")
                logger.warning(
                    "%s has weight %g and was 0 in the whole run: no row had %s. Look at what was said when the data "
                    "was read, or set its weight to 0.",
                    *(name, weight, needed),
                )
