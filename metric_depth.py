"""Depth in metres from single frames, by bins: `d = sum_k p_k (c_k + dc_k)` (Vid-LLM, section 3.3; AdaBins, ZoeDepth).

Bin centres `c_k` are learnable and in order. Every pixel moves each by less than half of the way to its neighbour, so
the order holds. Probabilities come from a binomial distribution over the bins, which knows their order: what is likely
at a bin is likely beside it (ZoeDepth, section 3.2).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from .dense_prediction import DensePredictionDecoder


LOWEST = 1e-4  # probabilities stay as far from 0 and 1
TEMPERATURES = (0.02, 50.0)  # range of the softmax's temperature, as in ZoeDepth


def log_binomial_probabilities(mode: Tensor, temperature: Tensor | float, bins: int) -> Tensor:
    """Softmax over the bins of the logarithm of a binomial distribution, over a temperature.

    `p_k ~ exp((log C(n, k) + k log q + (n - k) log(1 - q)) / t)` for k = 0 ... n = bins - 1, where `log C(n, k)` is,
    as in ZoeDepth, what Stirling's formula begins with: `n log n - k log k - (n - k) log(n - k)`.

    Args:
        mode (`Tensor`): (N, 1, H, W) q in [0, 1]: 0 = the nearest bin, 1 = the farthest.
        temperature (`Tensor` or `float`): (N, 1, H, W) t.
        bins (`int`): Number of bins, at least 2.

    Returns:
        `Tensor`: (N, bins, H, W), summing to 1 over the bins.
    """
    last = bins - 1
    k = torch.arange(bins, device=mode.device, dtype=mode.dtype).view(1, -1, 1, 1)
    choose = last * math.log(last) - torch.xlogy(k, k) - torch.xlogy(last - k, last - k)
    near, far = (1 - mode).clamp(LOWEST, 1), mode.clamp(LOWEST, 1)
    return ((choose + k * far.log() + (last - k) * near.log()) / temperature).softmax(1)


class MetricBins(nn.Module):
    """Turns features of a pixel into metres.

    Args:
        channels (`int`): Channels of the features.
        bins (`int`): K.
        min_depth_metres (`float`): Where the bins begin.
        max_depth_metres (`float`): Where they end.
    """

    def __init__(self, channels: int, bins: int, min_depth_metres: float, max_depth_metres: float):
        super().__init__()
        self.bins = bins
        self.min_depth_metres = min_depth_metres
        self.max_depth_metres = max_depth_metres
        self.widths = nn.Embedding(bins, 1)
        self.refinement = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.GELU(), nn.Conv2d(channels, bins, 1))
        self.distribution = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.GELU(), nn.Conv2d(channels, 2, 1))

    def centres(self) -> Tensor:
        """(K,) centres in metres, ascending: bins are equally wide in log depth where the learnt widths are equal."""
        shares = self.widths.weight[:, 0].float().softmax(0)
        ends = shares.cumsum(0)
        span = math.log(self.max_depth_metres / self.min_depth_metres)
        return self.min_depth_metres * ((ends - shares / 2) * span).exp()

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, 1, H, W) metres, between `min_depth_metres` and `max_depth_metres`."""
        centres = self.centres().to(features.dtype)
        gaps = centres.diff()
        nearest = torch.cat([gaps[:1], torch.minimum(gaps[1:], gaps[:-1]), gaps[-1:]])
        limit = torch.minimum(
            nearest / 2, torch.minimum(centres - self.min_depth_metres, self.max_depth_metres - centres)
        )
        refined = centres.view(1, -1, 1, 1) + self.refinement(features).tanh() * limit.view(1, -1, 1, 1)
        mode, temperature = self.distribution(features).sigmoid().chunk(2, 1)
        lowest, highest = TEMPERATURES
        probabilities = log_binomial_probabilities(mode, lowest + (highest - lowest) * temperature, self.bins)
        return (probabilities * refined).sum(1, keepdim=True)


class MetricDepth(nn.Module):
    """Metric depth of every frame by itself, from several layers of the encoder.

    Args:
        in_channels (`int`): Channels of the encoder.
        channels (`int`): Width of the decoder.
        taps (`int`): Layers that it reads.
        stride (`int`): Bins are computed at one of so many pixels each way and interpolated.
        bins (`int`): K.
        min_depth_metres (`float`): Where the bins begin.
        max_depth_metres (`float`): Where they end.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        taps: int,
        stride: int,
        bins: int,
        min_depth_metres: float,
        max_depth_metres: float,
    ):
        super().__init__()
        self.stride = stride
        self.decoder = DensePredictionDecoder(in_channels, channels, taps, channels)
        self.metric_bins = MetricBins(channels, bins, min_depth_metres, max_depth_metres)

    def forward(self, maps: list[Tensor], image_size: tuple[int, int]) -> Tensor:
        """Predicts.

        Args:
            maps (`list[Tensor]`): One (N, C, h, w) per tap, shallowest first.
            image_size (`tuple[int, int]`): (H, W).

        Returns:
            `Tensor`: (N, H, W) metres.
        """
        size = tuple(math.ceil(side / self.stride) for side in image_size)
        depth = self.metric_bins(functional.gelu(self.decoder(maps, size)))
        return functional.interpolate(depth, size=image_size, mode="bilinear", align_corners=False)[:, 0]
