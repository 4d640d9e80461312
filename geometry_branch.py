"""The trunk of the reconstruction branch: attention within frames and across frames by turns, as in VGGT.

Every frame has a camera token and register tokens before its patches. The first frame has its own set and all others
share one, so that the first is told apart, whose camera is the world, and the order of the others does not matter.
"""

import torch
from torch import Tensor, nn

from .multi_head_attention import SelfAttentionBlock


FIRST, OTHER = 0, 1  # whose special tokens


class GeometryBranch(nn.Module):
    """Alternating attention.

    Args:
        channels (`int`): Channels C of the geometry stream.
        blocks (`int`): Pairs of a frame-wise and a global block.
        heads (`int`): Heads of each.
        register_tokens (`int`): Register tokens of a frame.
        expansion (`int`): Width of the blocks' MLPs over the channels.
        layer_scale (`float`): First factor of the blocks' residuals.
        taps (`int`): Pairs whose output is returned, evenly spaced, the last included.
    """

    def __init__(
        self,
        channels: int,
        blocks: int,
        heads: int,
        register_tokens: int,
        expansion: int,
        layer_scale: float,
        taps: int,
    ):
        super().__init__()
        self.gradient_checkpointing = False
        self.register_tokens = register_tokens
        self.tapped = [round(blocks * (tap + 1) / taps) - 1 for tap in range(taps)]
        self.special_tokens = nn.Embedding(2 * (1 + register_tokens), channels)
        self.frame_blocks = nn.ModuleList(
            SelfAttentionBlock(channels, heads, expansion, layer_scale) for _ in range(blocks)
        )
        self.global_blocks = nn.ModuleList(
            SelfAttentionBlock(channels, heads, expansion, layer_scale) for _ in range(blocks)
        )

    def forward(self, tokens: Tensor, frame_mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Relates the frames of each sample.

        Args:
            tokens (`Tensor`): (B, F, h, w, C) geometry stream.
            frame_mask (`Tensor`): (B, F) bool, the real frames.

        Returns:
            `tuple[Tensor, list[Tensor]]`: (B, F, 2C) camera tokens, frame-wise and global output side by side; and of
            every tapped pair (B * F, 2C, h, w) of the patches.
        """
        batch, frames, height, width, channels = tokens.shape
        places = grid_encoding(height, width, channels).to(tokens)
        patches = (tokens + places).flatten(2, 3)
        special = self.special_tokens.weight.to(tokens.dtype).unflatten(0, (2, -1))  # (2, 1 + R, C)
        which = torch.full((frames,), OTHER, device=tokens.device)
        which[0] = FIRST
        rows = torch.cat([special[which].expand(batch, -1, -1, -1), patches], 2)  # (B, F, P, C)
        per_frame = rows.shape[2]
        # Attention without a mask is faster: it is only needed where a sample has fewer frames than another.
        mask = None if bool(frame_mask.all()) else frame_mask.repeat_interleave(per_frame, 1)
        tapped = []
        for number, (frame_block, global_block) in enumerate(zip(self.frame_blocks, self.global_blocks, strict=True)):
            within = self._run(frame_block, rows.flatten(0, 1), None)
            rows = self._run(global_block, within.view(batch, frames * per_frame, channels), mask)
            rows = rows.view(batch, frames, per_frame, channels)
            if number in self.tapped:
                tapped.append(torch.cat([within.view_as(rows), rows], -1))
        maps = [tap[:, :, 1 + self.register_tokens :].flatten(0, 1) for tap in tapped]
        return tapped[-1][:, :, 0], [value.unflatten(1, (height, width)).movedim(-1, 1) for value in maps]

    def _run(self, block: nn.Module, tokens: Tensor, mask: Tensor | None) -> Tensor:
        if self.gradient_checkpointing and self.training:
            return self._gradient_checkpointing_func(block.__call__, tokens, mask)
        return block(tokens, mask)


def grid_encoding(height: int, width: int, channels: int) -> Tensor:
    """Sines and cosines of the places of a grid's cells in the image, times 0.1: half of the channels for each axis.

    Args:
        height (`int`): Rows.
        width (`int`): Columns.
        channels (`int`): C; what is left over of a multiple of four is zero.

    Returns:
        `Tensor`: (height, width, C) float32. Places are those of centres, in units of the longer side.
    """
    waves = channels // 4
    frequencies = 50.0 * 0.01 ** (torch.arange(waves) / max(waves, 1))  # radians over the longer side
    longest = max(height, width)
    parts = []
    for count, shape in ((height, (height, 1)), (width, (1, width))):
        angles = ((torch.arange(count) + 0.5 - count / 2) / longest)[:, None] * frequencies
        part = torch.cat([angles.sin(), angles.cos()], -1).view(*shape, 2 * waves)
        parts.append(part.expand(height, width, -1))
    parts.append(torch.zeros(height, width, channels - 4 * waves))
    return 0.1 * torch.cat(parts, -1)
