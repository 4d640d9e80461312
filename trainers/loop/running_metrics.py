"""Weighted means of what training logs, kept on the device between two logs and exact over ranks and resumes."""

import torch
from accelerate import Accelerator


ENTROPY_ROWS = 1024  # rows of logits per chunk, so that the metric does not double the memory of the logits


class RunningMetrics:
    """Sums of values and of their weights, by name; the mean is their ratio over all ranks."""

    def __init__(self):
        self._sums: dict[str, torch.Tensor] = {}  # name -> (2,) float64: total, weight

    def add(self, name: str, total: torch.Tensor | float, weight: torch.Tensor | float) -> None:
        """Adds to a metric without waiting for the device.

        Args:
            name (`str`): Name of the metric.
            total (`torch.Tensor | float`): Scalar, already multiplied with its weight.
            weight (`torch.Tensor | float`): Scalar.
        """
        device = total.device if isinstance(total, torch.Tensor) else "cpu"
        pair = torch.stack([torch.as_tensor(part, device=device).detach().double() for part in (total, weight)])
        self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def reduced(self, accelerator: Accelerator) -> dict[str, tuple[float, float]]:
        """Sums over all ranks, in one exchange. Every rank must have added the same names.

        Args:
            accelerator (`Accelerator`): The trainer's.

        Returns:
            `dict[str, tuple[float, float]]`: Total and weight of each metric.
        """
        if not self._sums:
            return {}
        names = sorted(self._sums)
        stacked = torch.stack([self._sums[name].to(accelerator.device) for name in names])
        if accelerator.num_processes > 1:
            stacked = accelerator.gather(stacked[None]).sum(0)
        return {name: (total, weight) for name, (total, weight) in zip(names, stacked.tolist(), strict=True)}

    def restore(self, sums: dict[str, tuple[float, float]], accelerator: Accelerator) -> None:
        """Takes up sums that `reduced` gave before an interruption, on the first rank alone so that none counts twice.

        Args:
            sums (`dict[str, tuple[float, float]]`): What `reduced` returned.
            accelerator (`Accelerator`): The trainer's.
        """
        share = 1.0 if accelerator.is_main_process else 0.0
        self._sums = {
            name: torch.tensor(pair, dtype=torch.float64, device=accelerator.device) * share
            for name, pair in sums.items()
        }

    def clear(self) -> None:
        """Forgets everything."""
        self._sums = {}


def token_metrics(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums over tokens of what says how sure and how right a language model is.

    Args:
        logits (`torch.Tensor`): (N, V).
        labels (`torch.Tensor`): (N,) int64.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: Number of tokens whose label is the most likely one, and the summed
        entropy of the predictions in nats.
    """
    correct = (logits.argmax(-1) == labels).sum()
    entropy = logits.new_zeros((), dtype=torch.float32)
    for rows in logits.split(ENTROPY_ROWS):
        log_probabilities = rows.float().log_softmax(-1)
        entropy -= (log_probabilities.exp() * log_probabilities).sum()
    return correct, entropy
