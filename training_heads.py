"""The heads of IGEP, which exist only while it trains, and the geometry that they are trained on.

The depth verifier decodes metric depth from the encoder's feature maps; the teacher projector takes visual tokens to
the space of a frozen 3D teacher. Neither is ever in a saved model.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from .camera_geometry import relative_pose
from .dense_prediction import DensePredictionDecoder


HEAD_NAMES = ("depth_verifier", "pose_embedding", "teacher_projector")
INITIAL_DEPTH_METRES = 2.5  # an untrained verifier answers the middle of a room
CONFIDENCE_LOG_RANGE = 4.0  # S stays within exp(-4) .. exp(4)


class DepthVerifier(nn.Module):
    """Predicts metric depth and the map `S` from encoder feature maps: a weak decoder, trained from scratch.

    Args:
        in_channels (`int`): Channels of the encoder's hidden states.
        channels (`int`): Width of the decoder.
        num_taps (`int`): Number of encoder layers it reads.
        frames_per_map (`int`): Frames that one feature frame covers (Qwen encoders merge two).
        min_depth_metres (`float`): Smallest depth it can predict.
        max_depth_metres (`float`): Largest depth it can predict.
        activation (`str`, *optional*, defaults to `"bounded"`): `"exp"` = `exp` of what is decoded for depth, without
            bounds, and `1 + exp` for confidence, as in VGGT.
        projection_channels (`int`, *optional*): Channels that two layers, which all taps share, bring the tokens to
            first.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_taps: int,
        frames_per_map: int,
        min_depth_metres: float,
        max_depth_metres: float,
        activation: str = "bounded",
        projection_channels: int | None = None,
    ):
        super().__init__()
        self.frames_per_map = frames_per_map
        self.is_bounded = activation == "bounded"
        self.projection = nn.Identity()
        if projection_channels is not None:
            self.projection = nn.Sequential(
                nn.Linear(in_channels, 2 * in_channels),
                nn.GELU(),
                nn.Linear(2 * in_channels, projection_channels),
                nn.LayerNorm(projection_channels),
            )
            in_channels = projection_channels
        self.log_min = math.log(min_depth_metres)
        self.log_max = math.log(max_depth_metres)
        start = (math.log(INITIAL_DEPTH_METRES) - self.log_min) / (self.log_max - self.log_min)
        start = min(max(start, 0.1), 0.9)  # a range that excludes the initial depth starts near its nearer end
        self.depth_offset = math.log(start / (1 - start))
        self.decoder = DensePredictionDecoder(
            in_channels=in_channels,
            channels=channels,
            num_layers_tapped=num_taps,
            out_channels=2 * frames_per_map,
        )

    def forward(self, feature_maps: tuple[Tensor, ...], output_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Predicts every frame of every feature map.

        Args:
            feature_maps (`tuple[Tensor, ...]`): One (N, h, w, C) per tap.
            output_size (`tuple[int, int]`): H and W of the prediction.

        Returns:
            Depth in metres and `S`, each (N * frames_per_map, H, W) float32.
        """
        dtype = next(self.parameters()).dtype
        read = [self.projection(maps.to(dtype)).movedim(-1, 1) for maps in feature_maps]
        raw = self.decoder(read, output_size)
        with torch.autocast(raw.device.type, enabled=False):
            raw = raw.float().unflatten(1, (self.frames_per_map, 2)).flatten(0, 1)
            if not self.is_bounded:
                return torch.exp(raw[:, 0]), 1 + torch.exp(raw[:, 1])
            # Both are squashed smoothly in log space: bounded, and never without a gradient.
            share = torch.sigmoid(raw[:, 0] + self.depth_offset)
            depth_metres = torch.exp(self.log_min + (self.log_max - self.log_min) * share)
            confidence = torch.exp(CONFIDENCE_LOG_RANGE * torch.tanh(raw[:, 1] / CONFIDENCE_LOG_RANGE))
        return depth_metres, confidence


class PoseEmbedding(nn.Module):
    """Tells the depth verifier from where to predict depth: a linear image of a relative pose, added to every token.

    It begins at zero, with which the verifier predicts the frame's own depth.

    Args:
        channels (`int`): Channels of the encoder's hidden states.
        num_taps (`int`): Encoder layers that the verifier reads; each has weights of its own.
    """

    def __init__(self, channels: int, num_taps: int):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(num_taps, 16, channels))

    def forward(self, feature_maps: tuple[Tensor, ...], neighbour_from_frame: Tensor) -> tuple[Tensor, ...]:
        """Adds (P, 4, 4) poses to the maps of P frames, one (P, h, w, C) per tap."""
        with torch.autocast(neighbour_from_frame.device.type, enabled=False):
            embedded = torch.einsum("pe,tec->tpc", neighbour_from_frame.float().flatten(1), self.weights.float())
        return tuple(
            maps + image[:, None, None].to(maps.dtype) for maps, image in zip(feature_maps, embedded, strict=True)
        )


def neighbour_depths(
    verifier: DepthVerifier,
    pose_embedding: PoseEmbedding,
    feature_maps: tuple[Tensor, ...],
    slots: Tensor,
    frames_per_map: int,
    geometry: dict[str, Tensor | None],
) -> dict[str, Tensor | None]:
    """Predicts the depth of neighbouring frames from a frame's features and the relative pose.

    Args:
        verifier (`DepthVerifier`): Reads the features.
        pose_embedding (`PoseEmbedding`): Tells it the pose.
        feature_maps (`tuple[Tensor, ...]`): One (N, h, w, C) per tap.
        slots (`Tensor`): (R,) of the real frames, see `FrameGrids.frame_slots`.
        frames_per_map (`int`): Frames that one feature frame covers.
        geometry (`dict[str, Tensor | None]`): `frame_mask` (B, F), and where they are known `neighbour_index`
            (B, F, K), `world_from_camera` (B, F, 4, 4) and `depth_metres` (B, F, H, W).

    Returns:
        `dict`: `pairs` (P, 3) of sample, frame and neighbour, and `pair_predicted_depth_metres` (P, H, W). Without a
        pair `None`, and a zero that has the embedding in its graph, as it is on every process.
    """
    index, poses, depth = (geometry[name] for name in ("neighbour_index", "world_from_camera", "depth_metres"))
    known = index is not None and poses is not None and depth is not None
    places = (index >= 0).nonzero() if known else slots.new_zeros(0, 3)
    if not len(places):
        return {"pairs": None, "pair_predicted_depth_metres": 0.0 * pose_embedding.weights.sum()[None]}
    sample, frame, _ = places.unbind(1)
    neighbour = index[index >= 0]
    slot_of = torch.zeros_like(geometry["frame_mask"], dtype=torch.long)
    slot_of[geometry["frame_mask"]] = slots  # (B, F): where each frame's features are
    slot = slot_of[sample, frame]
    pose = relative_pose(poses[sample, neighbour], poses[sample, frame])
    maps = pose_embedding(tuple(tap[slot // frames_per_map] for tap in feature_maps), pose)
    predicted, _ = verifier(maps, (depth.shape[-2], depth.shape[-1]))
    chosen = torch.arange(len(places), device=slot.device) * frames_per_map + slot % frames_per_map
    return {
        "pairs": torch.stack([sample, frame, neighbour], 1),
        "pair_predicted_depth_metres": predicted[chosen],
    }


class TeacherProjector(nn.Module):
    """Maps visual tokens to the space of a frozen teacher's descriptors.

    Args:
        in_channels (`int`): Channels of the visual tokens.
        teacher_channels (`int`): Channels of the teacher's descriptors.
        hidden_channels (`int`, *optional*): Width between the two layers; the teacher's channels unless given.
        norm (`bool`, *optional*, defaults to `True`): Whether it begins with a layer norm.
    """

    def __init__(self, in_channels: int, teacher_channels: int, hidden_channels: int | None = None, norm: bool = True):
        super().__init__()
        width = teacher_channels if hidden_channels is None else hidden_channels
        self.norm = nn.LayerNorm(in_channels) if norm else nn.Identity()
        self.hidden = nn.Linear(in_channels, width)
        self.output = nn.Linear(width, teacher_channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Projects (..., in_channels) to (..., teacher_channels)."""
        tokens = tokens.to(self.hidden.weight.dtype)
        return self.output(functional.gelu(self.hidden(self.norm(tokens))))


def check_geometry(
    geometry: dict[str, Tensor | None], teacher_channels: int | None, *, several_neighbours: bool = False
) -> None:
    """Makes sure that the geometry of a batch has one entry per frame.

    Args:
        geometry (`dict[str, Tensor | None]`): `frame_mask` (B, F) bool, and of the same B and F, or `None`,
            `depth_metres`, `intrinsics`, `world_from_camera`, `neighbour_index`, `teacher_descriptors` and
            `frame_colours`.
        teacher_channels (`int`, *optional*): Channels that the teacher's descriptors must have; `None` = there is no
            teacher.
        several_neighbours (`bool`, *optional*, defaults to `False`): `neighbour_index` is (B, F, K), as
            `objective: release` takes it.

    Raises:
        ValueError: A shape does not fit; the message names it.
    """
    frame_mask = geometry["frame_mask"]
    if frame_mask is None or frame_mask.dim() != 2 or frame_mask.dtype != torch.bool:
        found = None if frame_mask is None else f"{tuple(frame_mask.shape)} {frame_mask.dtype}"
        raise ValueError(f"frame_mask must be a (B, F) bool tensor with the other geometry, found {found}.")
    batch, frames = frame_mask.shape
    shapes = {
        "depth_metres": (batch, frames, None, None),
        "intrinsics": (batch, frames, 3, 3),
        "world_from_camera": (batch, frames, 4, 4),
        "neighbour_index": (batch, frames, None) if several_neighbours else (batch, frames),
        "teacher_descriptors": (batch, frames, None, None, teacher_channels),
        "frame_colours": (batch, frames, 3, None, None),
    }
    for name, shape in shapes.items():
        value = geometry.get(name)
        if value is None:
            continue
        fits = value.dim() == len(shape) and all(
            want in (None, size) for want, size in zip(shape, value.shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise ValueError(
                f"{name} has shape {tuple(value.shape)}, expected ({wanted}) to match frame_mask {(batch, frames)} "
                "and the configuration."
            )
    if geometry["teacher_descriptors"] is not None and teacher_channels is None:
        raise ValueError("teacher_descriptors was given but teacher_channels is None: set it in IGEPConfig.")


def scatter_frames(frames: Tensor, frame_mask: Tensor) -> Tensor:
    """Puts the real frames of a batch at their places.

    Args:
        frames (`Tensor`): (R, ...) real frames, sample by sample.
        frame_mask (`Tensor`): (B, F) bool with R frames that are real.

    Returns:
        `Tensor`: (B, F, ...), zero in padded frames.
    """
    padded = frames.new_zeros(*frame_mask.shape, *frames.shape[1:])
    padded[frame_mask] = frames
    return padded
