"""Attention of several heads with normalised queries and keys, over itself or over other tokens."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class MultiHeadAttention(nn.Module):
    """Softmax attention; queries and keys are normalised per head, which keeps its logits bounded (Henry et al. 2020).

    Args:
        channels (`int`): Channels of queries, context and output.
        heads (`int`): Number of heads.

    Raises:
        ValueError: If the heads do not divide the channels.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        if heads < 1 or channels % heads:
            raise ValueError(f"{heads} heads do not divide {channels} channels: choose a number that does.")
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.query_norm = nn.LayerNorm(channels // heads)
        self.key_norm = nn.LayerNorm(channels // heads)
        self.output = nn.Linear(channels, channels)

    def forward(
        self, queries: Tensor, context: Tensor, key_mask: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        """Lets queries read a context.

        Args:
            queries (`Tensor`): (N, Q, C).
            context (`Tensor`): (N, S, C).
            key_mask (`Tensor`, *optional*): (N, S) bool, the tokens that may be read; at least one each.
            bias (`Tensor`, *optional*): (N, Q, S) added to the logits of every head, in place of a mask.

        Returns:
            `Tensor`: (N, Q, C).
        """
        query = self.query(queries).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, heads, Q, C / heads)
        key, value = self.key_value(context).unflatten(-1, (2, self.heads, -1)).movedim(2, 0).transpose(2, 3)
        query = self.query_norm(query).to(value.dtype)
        key = self.key_norm(key).to(value.dtype)
        mask = bias[:, None] if bias is not None else None if key_mask is None else key_mask[:, None, None]
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.output(attended.transpose(1, 2).flatten(-2))


class LayerScale(nn.Module):
    """A learnable factor per channel, small at first, so a new residual block changes little (Touvron et al. 2021).

    Args:
        channels (`int`): Channels.
        initial (`float`): First value of the factors.
    """

    def __init__(self, channels: int, initial: float):
        super().__init__()
        self.initial = initial
        self.scale = nn.Parameter(torch.full((channels,), float(initial)))

    def reset_parameters(self) -> None:
        """Sets the factors to their first value."""
        nn.init.constant_(self.scale, self.initial)

    def forward(self, features: Tensor) -> Tensor:
        """(..., C) -> the same shape."""
        return features * self.scale


class SelfAttentionBlock(nn.Module):
    """Self-attention and an MLP, each behind a layer norm and in a scaled residual.

    Args:
        channels (`int`): Channels in and out.
        heads (`int`): Number of heads.
        expansion (`int`): Width of the MLP over the channels.
        layer_scale (`float`): First factor of both residuals.
    """

    def __init__(self, channels: int, heads: int, expansion: int, layer_scale: float):
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = MultiHeadAttention(channels, heads)
        self.attention_scale = LayerScale(channels, layer_scale)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp = two_layers(channels, expansion * channels, channels)
        self.mlp_scale = LayerScale(channels, layer_scale)

    def forward(self, tokens: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """(N, S, C) tokens, of which those of `key_mask` (N, S) may be read -> the same shape."""
        normed = self.attention_norm(tokens)
        tokens = tokens + self.attention_scale(self.attention(normed, normed, key_mask))
        return tokens + self.mlp_scale(self.mlp(self.mlp_norm(tokens)))


def two_layers(channels: int, hidden: int, out_channels: int) -> nn.Sequential:
    """Two fully connected layers with GELU between them."""
    return nn.Sequential(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, out_channels))
