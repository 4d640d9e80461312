"""The Cross-Task Adapter of Vid-LLM: two streams out of one encoder, and bridge tokens between them (section 3.2).

Every stream is a projection of the encoder's tokens by a two-layer MLP. K learnable bridge tokens read both (Eq. 2):

    T'_bridge = Attn(T_bridge, T_geom, T_geom) + Attn(T_bridge, T_lang, T_lang)

and are "integrated into the feature streams", which the paper leaves at that. Here every token of a stream reads them:
its figure draws double-headed attention arrows between the bridge and each stream.
"""

import torch
from torch import Tensor, nn
from transformers import initialization

from .multi_head_attention import LayerScale, MultiHeadAttention, two_layers


class CrossTaskAdapter(nn.Module):
    """Makes the geometry and the language stream.

    Args:
        in_channels (`int`): Channels of the encoder.
        channels (`int`): Channels of the streams.
        expansion (`int`): Width of the projections' hidden layer over `in_channels`.
        bridge_tokens (`int`): K; 0 = two projections that do not know of each other.
        heads (`int`): Heads of the attentions.
        scope (`str`): `"frame"` = every frame has its own copy of the bridge tokens; `"scene"` = all frames share one.
        write_back (`str`): `"attention"` = streams add what they read in the bridge; `"gated_attention"` = times a
            factor per channel that begins at 0, so that the bridge is closed at first.
        start (`str`): `"random"` = projections begin as new linear layers do; `"identity"` = as the identity, for
            `channels` equal to `in_channels`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        expansion: int,
        bridge_tokens: int,
        heads: int,
        scope: str,
        write_back: str,
        start: str,
    ):
        super().__init__()
        self.scope = scope
        widths = (in_channels, expansion * in_channels, channels)
        make = identity_layers if start == "identity" else two_layers
        self.geometry_projection, self.language_projection = make(*widths), make(*widths)
        self.bridge = Bridge(channels, bridge_tokens, heads, write_back) if bridge_tokens else None

    def forward(self, tokens: Tensor, frame_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Projects and bridges.

        Args:
            tokens (`Tensor`): (B, F, h, w, in_channels) of the encoder.
            frame_mask (`Tensor`): (B, F) bool, the real frames.

        Returns:
            `tuple[Tensor, Tensor]`: (B, F, h, w, channels) `T'_geom` and `T'_lang`.
        """
        geometry, language = self.geometry_projection(tokens), self.language_projection(tokens)
        if self.bridge is None:
            return geometry, language
        batch, frames, height, width = geometry.shape[:4]
        mask = None
        rows = (batch * frames, height * width)
        if self.scope == "scene":
            rows = (batch, frames * height * width)
            mask = frame_mask.repeat_interleave(height * width, 1)
        streams = (stream.reshape(*rows, -1) for stream in (geometry, language))
        geometry, language = self.bridge(*streams, mask)
        return tuple(stream.reshape(batch, frames, height, width, -1) for stream in (geometry, language))


class IdentityInput(nn.Linear):
    """The first of two layers that return at first what they are given: `gelu(x) - gelu(-x) = x`.

    Hidden channels behind the first two of each channel begin as in any linear layer.
    """

    def reset_parameters(self) -> None:
        """Draws the weights anew."""
        super().reset_parameters()
        weight = self.weight.detach().clone()
        identity = torch.eye(self.in_features).to(weight)
        weight[: 2 * self.in_features] = torch.cat([identity, -identity])
        initialization.copy_(self.weight, weight)
        initialization.zeros_(self.bias)


class IdentityOutput(nn.Linear):
    """The second of these layers, which at first reads no other hidden channels."""

    def reset_parameters(self) -> None:
        """Sets the weights to what they are at first."""
        identity = torch.eye(self.out_features).to(self.weight)
        others = self.weight.new_zeros(self.out_features, self.in_features - 2 * self.out_features)
        initialization.copy_(self.weight, torch.cat([identity, -identity, others], 1))
        initialization.zeros_(self.bias)


def identity_layers(channels: int, hidden: int, out_channels: int) -> nn.Sequential:
    """As `two_layers`, beginning as the identity: `out_channels` equal `channels`, `hidden` is twice that or more."""
    return nn.Sequential(IdentityInput(channels, hidden), nn.GELU(), IdentityOutput(hidden, out_channels))


class Bridge(nn.Module):
    """K tokens that read two streams and are read by them.

    Args:
        channels (`int`): Channels of tokens and streams.
        tokens (`int`): K.
        heads (`int`): Heads of the attentions.
        write_back (`str`): As of `CrossTaskAdapter`.
    """

    def __init__(self, channels: int, tokens: int, heads: int, write_back: str):
        super().__init__()
        self.tokens = nn.Embedding(tokens, channels)
        self.geometry_norm = nn.LayerNorm(channels)
        self.language_norm = nn.LayerNorm(channels)
        self.read_geometry = MultiHeadAttention(channels, heads)
        self.read_language = MultiHeadAttention(channels, heads)
        self.bridge_norm = nn.LayerNorm(channels)
        self.write_geometry = MultiHeadAttention(channels, heads)
        self.write_language = MultiHeadAttention(channels, heads)
        gated = write_back == "gated_attention"
        self.geometry_gate = LayerScale(channels, 0.0) if gated else nn.Identity()
        self.language_gate = LayerScale(channels, 0.0) if gated else nn.Identity()

    def read(self, geometry: Tensor, language: Tensor, key_mask: Tensor | None) -> Tensor:
        """Eq. 2 on normalised streams: (N, S, C) each -> (N, K, C)."""
        tokens = self.tokens.weight.expand(len(geometry), -1, -1)
        return self.read_geometry(tokens, geometry, key_mask) + self.read_language(tokens, language, key_mask)

    def forward(self, geometry: Tensor, language: Tensor, key_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(N, S, C) streams, of which the tokens of `key_mask` (N, S) are real -> the bridged streams."""
        geometry_normed, language_normed = self.geometry_norm(geometry), self.language_norm(language)
        bridge = self.bridge_norm(self.read(geometry_normed, language_normed, key_mask))
        geometry = geometry + self.geometry_gate(self.write_geometry(geometry_normed, bridge))
        language = language + self.language_gate(self.write_language(language_normed, bridge))
        return geometry, language
