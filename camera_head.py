"""Reads cameras off the camera tokens, by steps: each refines the one before, as in VGGT."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from .multi_head_attention import SelfAttentionBlock, two_layers
from .pose_encoding import CHANNELS, FIELD_OF_VIEW, QUATERNION, TRANSLATION


FIRST_FIELD_OF_VIEW = 1.0  # radians (57 degrees), from where refinement starts


class CameraHead(nn.Module):
    """Predicts the camera of every frame.

    Args:
        in_channels (`int`): Channels of the camera tokens.
        channels (`int`): Width of the head.
        layers (`int`): Attention blocks over the frames of a scene.
        heads (`int`): Heads of each.
        iterations (`int`): Steps of refinement.
    """

    def __init__(self, in_channels: int, channels: int, layers: int, heads: int, iterations: int):
        super().__init__()
        self.iterations = iterations
        self.norm = nn.LayerNorm(in_channels)
        self.projection = nn.Linear(in_channels, channels)
        self.pose_embedding = nn.Linear(CHANNELS, channels)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(channels, 3 * channels))
        self.modulated_norm = nn.LayerNorm(channels, elementwise_affine=False)
        self.blocks = nn.ModuleList(SelfAttentionBlock(channels, heads, 4, 1.0) for _ in range(layers))
        self.output_norm = nn.LayerNorm(channels)
        self.output = two_layers(channels, channels // 2, CHANNELS)

    def forward(self, camera_tokens: Tensor, frame_mask: Tensor) -> Tensor:
        """Predicts.

        Args:
            camera_tokens (`Tensor`): (B, F, in_channels).
            frame_mask (`Tensor`): (B, F) bool, the real frames.

        Returns:
            `Tensor`: (iterations, B, F, 9) encodings (see `pose_encoding`): unit quaternions, fields of view in
            (0, pi). That of the first frame has no translation and no rotation: it is the world.
        """
        tokens = self.projection(self.norm(camera_tokens))
        start = [0.0] * 6 + [1.0] + [math.log(FIRST_FIELD_OF_VIEW / (math.pi - FIRST_FIELD_OF_VIEW))] * 2
        state = tokens.new_tensor(start).expand(*tokens.shape[:2], CHANNELS)
        steps = []
        for _ in range(self.iterations):
            state = state.detach()
            shift, factor, gate = self.modulation(self.pose_embedding(state)).chunk(3, -1)
            features = tokens + gate * (self.modulated_norm(tokens) * (1 + factor) + shift)
            for block in self.blocks:
                features = block(features, frame_mask)
            state = state + self.output(self.output_norm(features))
            steps.append(self._encoding(state))
        return torch.stack(steps)

    def _encoding(self, state: Tensor) -> Tensor:
        first = torch.zeros(state.shape[1], 1, dtype=torch.bool, device=state.device)
        first[0] = True
        translation = torch.where(first, 0.0, state[..., TRANSLATION])
        identity = state.new_tensor([0.0, 0.0, 0.0, 1.0])
        quaternion = torch.where(first, identity, functional.normalize(state[..., QUATERNION], dim=-1))
        return torch.cat([translation, quaternion, math.pi * state[..., FIELD_OF_VIEW].sigmoid()], -1)
