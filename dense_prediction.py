"""A small decoder from encoder tokens to pixels, after the Dense Prediction Transformer (Ranftl 2021, section 3).

It reads plain feature maps, so any encoder will do: no class token, no fixed grid. The deepest map comes first, and
after each the resolution doubles. Capacity is set by `channels` and the number of tapped layers alone, which
makes it usable as a weak verifier of what the encoder knows.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Reassemble(nn.Module):
    """Normalise one tapped feature map over its channels and bring it to the decoder's width.

    Args:
        in_channels (`int`): Channels C of the feature map.
        channels (`int`): Width of the decoder.
    """

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(in_channels)
        self.projection = nn.Linear(in_channels, channels)

    def forward(self, feature_map: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, channels, h, w)."""
        return self.projection(self.norm(feature_map.movedim(1, -1))).movedim(-1, 1)


class Refine(nn.Module):
    """Residual unit of two 3x3 convolutions.

    Args:
        channels (`int`): Channels in and out.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, h, w) -> the same shape."""
        return features + self.second(functional.gelu(self.first(functional.gelu(features))))


class DensePredictionDecoder(nn.Module):
    """Predict a map per pixel from the feature maps of several encoder layers.

    Args:
        in_channels (`int | list[int]`): Channels of the tapped layers, one number for all or one per tap.
        channels (`int`): Width of the decoder.
        num_layers_tapped (`int`): Number of feature maps.
        out_channels (`int`): Channels of the prediction.

    Raises:
        ValueError: If a size is below 1 or `in_channels` does not have one entry per tap.
    """

    def __init__(self, in_channels: int | list[int], channels: int, num_layers_tapped: int, out_channels: int):
        super().__init__()
        for name, value in (
            ("channels", channels),
            ("num_layers_tapped", num_layers_tapped),
            ("out_channels", out_channels),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}: set a positive number")
        per_tap = [in_channels] * num_layers_tapped if isinstance(in_channels, int) else list(in_channels)
        if len(per_tap) != num_layers_tapped or min(per_tap) < 1:
            raise ValueError(
                f"in_channels must be a positive number or {num_layers_tapped} of them, got {in_channels}: "
                "give the channels of every tapped layer"
            )
        self.in_channels = per_tap
        self.reassemble = nn.ModuleList(Reassemble(size, channels) for size in per_tap)
        self.refine = nn.ModuleList(Refine(channels) for _ in per_tap)
        self.prediction = nn.Conv2d(channels, out_channels, 3, padding=1)

    def forward(self, feature_maps: list[Tensor], output_size: tuple[int, int]) -> Tensor:
        """Fuse the maps from the deepest to the shallowest and predict at the wanted size.

        Args:
            feature_maps (`list[torch.Tensor]`): One (N, C, h, w) map per tap, shallowest first, all of the same h, w.
            output_size (`tuple[int, int]`): (H, W) of the prediction.

        Returns:
            `torch.Tensor`: (N, out_channels, H, W), without any activation.

        Raises:
            ValueError: If the number, the channels or the sizes of the maps do not fit.
        """
        self._check(feature_maps, output_size)
        features = None
        for layer in reversed(range(len(feature_maps))):
            tapped = self.reassemble[layer](feature_maps[layer])
            if features is not None:
                tapped = features + _resize(tapped, features.shape[-2:])
            features = self.refine[layer](tapped)
            size = tuple(min(2 * n, limit) for n, limit in zip(features.shape[-2:], output_size, strict=True))
            features = _resize(features, size)
        return self.prediction(functional.gelu(_resize(features, output_size)))

    def _check(self, feature_maps: list[Tensor], output_size: tuple[int, int]) -> None:
        if len(feature_maps) != len(self.in_channels):
            raise ValueError(
                f"feature_maps has {len(feature_maps)} maps, the decoder taps {len(self.in_channels)} layers: "
                "give one map per tapped layer"
            )
        if len(output_size) != 2 or min(output_size) < 1:
            raise ValueError(
                f"output_size must be (height, width) of at least 1 pixel, got {tuple(output_size)}: pass (H, W)"
            )
        for position, (feature_map, channels) in enumerate(zip(feature_maps, self.in_channels, strict=True)):
            if feature_map.ndim != 4 or feature_map.shape[1] != channels:
                raise ValueError(
                    f"feature_maps[{position}] must have shape (N, {channels}, h, w), got {tuple(feature_map.shape)}: "
                    "reshape the tokens to a grid and put the channels second"
                )
            if feature_map.shape[-2:] != feature_maps[0].shape[-2:] or len(feature_map) != len(feature_maps[0]):
                raise ValueError(
                    f"feature_maps[{position}] is {tuple(feature_map.shape)}, feature_maps[0] is "
                    f"{tuple(feature_maps[0].shape)}: all taps must come from the same frames and grid"
                )


def _resize(features: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    if tuple(features.shape[-2:]) == tuple(size):
        return features
    return functional.interpolate(features, size=tuple(size), mode="bilinear", align_corners=False)
