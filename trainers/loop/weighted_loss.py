"""A weighted sum of loss terms that is that of the global batch however the batch is split, and logged as exactly."""

from collections.abc import Mapping
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import nn
from transformers import Trainer

from igep.trainers.loop.non_finite import check_gradient, check_loss
from igep.trainers.loop.running_metrics import RunningMetrics


class WeightedLossTrainer(Trainer):
    """A `Trainer` whose `compute_loss` ends in `total_loss`. Batches hold `sample_ids`, a list of names.

    How a batch is split over ranks and accumulation steps changes neither the loss nor a log. A loss or gradient that
    is not finite stops the run before it changes a weight.

    Args:
        *args: As in the trainer that it stands before.
        **kwargs: As in the trainer that it stands before.

    Raises:
        ValueError: `compute_metrics` is given.
    """

    loss_is_scaled_for_ga = True
    # Loss terms that the model has divided by the items of the whole step; all others are means over samples.
    item_losses: tuple[str, ...] = ()
    # Metrics that are logged as their sum over the run so far instead of as a mean.
    summed_metrics: tuple[str, ...] = ()
    # What a row needs for a loss term, in words, for who wonders why it is 0.
    loss_needs: Mapping[str, str] = {}
    # Entries of a batch that keep the precision they have, whatever casts the batch.
    exact_inputs: tuple[str, ...] = ()

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.compute_metrics is not None:
            raise ValueError(
                "compute_metrics: evaluations keep no predictions. Record metrics in compute_loss instead."
            )
        self.running = {"train": RunningMetrics(), "eval": RunningMetrics()}
        self._totals = dict.fromkeys(self.summed_metrics, 0)
        self._samples_in_step: torch.Tensor | float = 1.0
        self._step_sample_ids: list[str] = []

    @property
    def loss_weights(self) -> Mapping[str, float]:
        """Weight of each loss term by the name it has in the model's output. Every trainer must say."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its losses weigh: define loss_weights.")

    def count_items(self, batch: Mapping[str, Any]) -> torch.Tensor | int:
        """Number of items in a batch, which `item_losses` are means over; its samples unless a trainer says otherwise.

        Args:
            batch (`Mapping[str, Any]`): A batch of the data collator.

        Returns:
            `torch.Tensor` or `int`
        """
        return len(batch["sample_ids"])

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Moves a batch to the device; DeepSpeed also casts it to the type of the weights, all but `exact_inputs`."""
        kept = {name: inputs[name] for name in self.exact_inputs if name in inputs}
        return super()._prepare_inputs(inputs) | send_to_device(kept, self.args.device)

    def total_loss(
        self,
        terms: Mapping[str, torch.Tensor],
        batch: Mapping[str, Any],
        num_items_in_batch: torch.Tensor | None,
    ) -> torch.Tensor:
        """Adds up the loss terms of a batch, and records them for the logs.

        Args:
            terms (`Mapping[str, torch.Tensor]`): Scalars by name; those of `loss_weights` count, where they are there.
            batch (`Mapping[str, Any]`): The batch, as `compute_loss` gets it.
            num_items_in_batch (`torch.Tensor`, *optional*): Items of the step, as `compute_loss` gets them; `None` in
                evaluation.

        Returns:
            `torch.Tensor`: Scaled so that gradients averaged over ranks and summed over micro-batches are those of the
            global batch.

        Raises:
            NonFiniteLossError: It is not finite.
            ValueError: None of the terms has a weight.
        """
        given, terms = list(terms), {name: terms[name] for name in self.loss_weights if name in terms}
        if not terms:
            raise ValueError(
                f"none of loss_weights={list(self.loss_weights)} is among what the model returned, {given}."
            )
        sample_ids = batch["sample_ids"]
        share = scale = 1.0
        if num_items_in_batch is not None:
            share = len(sample_ids) / self._samples_in_step
            if self.args.average_tokens_across_devices:
                scale = self.accelerator.num_processes  # undoes the mean that DDP takes of the ranks' gradients
        shares = {name: 1.0 if name in self.item_losses else share for name in terms}
        loss = sum(shares[name] * self.loss_weights[name] * value for name, value in terms.items()) * scale
        check_loss(loss, terms, self.state.global_step + 1, sample_ids)
        for name, value in terms.items():
            if num_items_in_batch is None:
                weight = self.count_items(batch) if name in self.item_losses else len(sample_ids)
                self.running["eval"].add(name, value * weight, weight)
            else:  # over a step the shares add up to 1
                self.running["train"].add(name, value * shares[name], share)
        return loss

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[torch.Tensor, None, None]:
        """Computes the loss of a batch in evaluation, and keeps no predictions."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            return self.compute_loss(model, inputs).detach(), None, None

    def _get_num_items_in_batch(self, batch_samples: list[dict], device: torch.device) -> torch.Tensor | None:
        """Counts items and samples of one optimiser step over all ranks: what the two kinds of means divide by."""
        if not batch_samples:
            return None
        self._step_sample_ids = [name for batch in batch_samples for name in batch["sample_ids"]]
        counts = (sum(self.count_items(batch) for batch in batch_samples), len(self._step_sample_ids))
        counts = torch.stack([torch.as_tensor(count, device=device) for count in counts])
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            counts = self.accelerator.gather(counts[None]).sum(0)
        self._samples_in_step = counts[1]
        return counts[0].clamp(min=1)  # a step of samples without items has none

    def _get_grad_norm(self, model: nn.Module, grad_norm: torch.Tensor | None = None) -> torch.Tensor | float:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        scales_gradients = self.accelerator.scaler is not None  # fp16: its scaler skips such steps by itself
        if norm is not None and not scales_gradients:  # DeepSpeed knows none at first
            check_gradient(norm, self.state.global_step + 1, self._step_sample_ids)
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs, together with the means of what was recorded since the last log.

        Args:
            logs (`dict[str, float]`): Values by name; the means are added to it, which an evaluation returns.
            start_time (`float`, *optional*): As in `Trainer.log`.
        """
        mode = "train" if self.model.training else "eval"
        prefix = "" if mode == "train" else "eval_"
        for name, (total, weight) in self.running[mode].reduced(self.accelerator).items():
            if name in self._totals:
                self._totals[name] += int(total)
                logs[prefix + name] = float(self._totals[name])
            elif weight > 0:  # nothing measured in this window: no value rather than a made-up one
                logs[prefix + name] = total / weight
        self.running[mode].clear()
        super().log(logs, start_time)
