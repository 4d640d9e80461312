"""3D patches: where each visual token lies in the world, added to what it says (Vid-LLM, Eq. 3 and 4).

    P(i, j) = R^-1 K^-1 [i, j, 1]^T D(i, j) - R^-1 t        T_3D = T'_lang + MLP(P)

The paper calls P camera coordinates; for the `camera_from_world` R and t that it writes, they are the world's, which
is the first camera.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import initialization

from .camera_geometry import full_precision, transform_points, unproject
from .multi_head_attention import two_layers


def back_project(depth_metres: Tensor, intrinsics: Tensor, world_from_camera: Tensor) -> Tensor:
    """Eq. 3: the world point of every pixel.

    Args:
        depth_metres (`Tensor`): (..., H, W) z-depth.
        intrinsics (`Tensor`): (..., 3, 3) in its pixels.
        world_from_camera (`Tensor`): (..., 4, 4).

    Returns:
        `Tensor`: (..., H, W, 3) in metres, float32.
    """
    return transform_points(world_from_camera, unproject(depth_metres, intrinsics))


def patch_positions(points_world: Tensor, grid: tuple[int, int]) -> Tensor:
    """The mean point of the pixels of every patch.

    Args:
        points_world (`Tensor`): (B, F, H, W, 3).
        grid (`tuple[int, int]`): Rows and columns of patches.

    Returns:
        `Tensor`: (B, F, *grid, 3).
    """
    points = full_precision(points_world).flatten(0, 1).movedim(-1, 1)
    means = functional.adaptive_avg_pool2d(points, grid)
    return means.movedim(1, -1).unflatten(0, tuple(points_world.shape[:2]))


def pool_grid(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, F, h, w, C) -> (B, F, *grid, C), means over equal parts of the image."""
    if tuple(tokens.shape[2:4]) == tuple(grid):
        return tokens
    pooled = functional.adaptive_avg_pool2d(tokens.flatten(0, 1).movedim(-1, 1), grid)
    return pooled.movedim(1, -1).unflatten(0, tuple(tokens.shape[:2]))


class ZeroLinear(nn.Linear):
    """A linear layer that is zero at first."""

    def reset_parameters(self) -> None:
        """Sets weights and bias to zero."""
        initialization.zeros_(self.weight)
        initialization.zeros_(self.bias)


class PositionEmbedding(nn.Module):
    """Embeds positions in metres by an MLP, as LLaVA-3D does; in float32 outside autocast.

    Args:
        channels (`int`): Channels of the embedding.
        start (`str`, *optional*, defaults to `"random"`): `"random"` = it begins as new linear layers do;
            `"zero"` = as zero.
    """

    def __init__(self, channels: int, start: str = "random"):
        super().__init__()
        last = ZeroLinear if start == "zero" else nn.Linear
        self.mlp = nn.Sequential(nn.Linear(3, channels), nn.LayerNorm(channels), nn.GELU(), last(channels, channels))

    def forward(self, positions_metres: Tensor) -> Tensor:
        """(..., 3) -> (..., channels) in float32."""
        with torch.autocast(positions_metres.device.type, enabled=False):
            return self.mlp(positions_metres.to(self.mlp[0].weight.dtype)).float()


class LanguageProjection(nn.Module):
    """Brings 3D patches to the language model: position embedding, pooling, projection.

    Args:
        channels (`int`): Channels of the language stream.
        language_channels (`int`): Hidden size of the language model.
        pooling_ratio (`int`): Patches each way that a token is the mean of.
        position_start (`str`): `"random"` = the position embedding begins as new linear layers do; `"zero"` = as zero.
    """

    def __init__(self, channels: int, language_channels: int, pooling_ratio: int, position_start: str):
        super().__init__()
        self.pooling_ratio = pooling_ratio
        self.position_mlp = PositionEmbedding(channels, position_start)
        self.projector = two_layers(channels, language_channels, language_channels)

    def forward(self, language_tokens: Tensor, points_world: Tensor) -> tuple[Tensor, Tensor]:
        """Places, pools and projects.

        Args:
            language_tokens (`Tensor`): (B, F, h, w, C) `T'_lang`.
            points_world (`Tensor`): (B, F, H, W, 3) metres, without a gradient.

        Returns:
            `tuple[Tensor, Tensor]`: (B, F, gh, gw, language_channels) tokens and (B, F, gh, gw, 3) their places.

        Raises:
            ValueError: Frames of fewer patches than a token is pooled from.
        """
        patches = tuple(language_tokens.shape[2:4])
        grid = tuple(side // self.pooling_ratio for side in patches)
        if min(grid) < 1:
            raise ValueError(
                f"frames of {patches[0]} x {patches[1]} patches have no visual token at "
                f"pooling_ratio={self.pooling_ratio}: give larger frames."
            )
        positions = patch_positions(points_world, patches)
        placed = language_tokens + self.position_mlp(positions).to(language_tokens.dtype)
        return self.projector(pool_grid(placed, grid)), patch_positions(points_world, grid)
