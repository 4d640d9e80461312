"""The reconstruction branch of Vid-LLM: cameras and depth of a video in metres, in the world of its first camera.

It computes in float32 outside autocast, but for the attention over frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.utils import ModelOutput

from .camera_head import CameraHead
from .configuration_vid_llm import VidLLMConfig, heads_of
from .dense_prediction import DensePredictionDecoder
from .geometry_branch import GeometryBranch
from .metric_depth import MetricDepth
from .pose_encoding import TRANSLATION, decode_cameras
from .scale_alignment import scene_scale
from .spatial_patches import back_project


LARGEST_LOG = 8.0  # of relative depth and of confidence, which are exponentials
FRAMES_AT_ONCE = 8  # that are decoded to pixels together


@dataclass
class Reconstruction(ModelOutput):
    """A reconstructed video, in float32. Of padding frames depth and points are 0, and the rest means nothing.

    Args:
        depth_metres (`Tensor`): (B, F, H, W) relative depth times the scale.
        relative_depth (`Tensor`): (B, F, H, W) z-depth in units of the scene.
        depth_confidence (`Tensor`): (B, F, H, W), above 1.
        metric_depth_metres (`Tensor`, *optional*): (B, F, H, W) depth of the bins, of every frame by itself.
        scale (`Tensor`): (B,) metres per unit, without a gradient.
        intrinsics (`Tensor`): (B, F, 3, 3) in pixels of H x W.
        world_from_camera (`Tensor`): (B, F, 4, 4) in metres; the first is the identity.
        points_world (`Tensor`): (B, F, H, W, 3) in metres.
        camera_encodings (`Tensor`): (iterations, B, F, 9) in units of the scene, see `pose_encoding`.
    """

    depth_metres: Tensor | None = None
    relative_depth: Tensor | None = None
    depth_confidence: Tensor | None = None
    metric_depth_metres: Tensor | None = None
    scale: Tensor | None = None
    intrinsics: Tensor | None = None
    world_from_camera: Tensor | None = None
    points_world: Tensor | None = None
    camera_encodings: Tensor | None = None


class ReconstructionBranch(nn.Module):
    """Geometry stream in, reconstruction out.

    Args:
        config (`VidLLMConfig`): Configuration of the model.
    """

    def __init__(self, config: VidLLMConfig):
        super().__init__()
        self.gradient_checkpointing = False
        channels = config.stream_channels
        self.scale_options = {"frames": config.scale_frames, "seed": config.scale_seed, "trim": config.scale_trim}
        self.geometry_branch = GeometryBranch(
            channels,
            config.geometry_blocks,
            heads_of(config.geometry_heads, channels),
            config.register_tokens,
            config.geometry_expansion,
            config.geometry_layer_scale,
            config.geometry_taps,
        )
        heads = heads_of(config.geometry_heads, channels)
        self.camera_head = CameraHead(2 * channels, channels, config.camera_layers, heads, config.camera_iterations)
        self.depth_decoder = DensePredictionDecoder(2 * channels, config.depth_channels, config.geometry_taps, 2)
        self.metric_depth = None
        if config.metric_depth:
            self.metric_depth = MetricDepth(
                config.vision_config.hidden_size,
                config.metric_channels,
                config.metric_taps,
                config.metric_stride,
                config.metric_bins,
                config.metric_min_depth_metres,
                config.metric_max_depth_metres,
            )

    def forward(
        self,
        geometry_tokens: Tensor,
        encoder_maps: list[Tensor],
        frame_mask: Tensor,
        image_size: tuple[int, int],
    ) -> Reconstruction:
        """Reconstructs.

        Args:
            geometry_tokens (`Tensor`): (B, F, h, w, C) `T'_geom`.
            encoder_maps (`list[Tensor]`): (B, F, h, w, C) of every tapped layer of the encoder, for metric depth.
            frame_mask (`Tensor`): (B, F) bool, the real frames; the first is one.
            image_size (`tuple[int, int]`): (H, W) of the frames.

        Returns:
            `Reconstruction`

        Raises:
            ValueError: It is not finite; in training only where its scale is not.
        """
        camera_tokens, maps = self.geometry_branch(geometry_tokens, frame_mask)
        batch, frames = frame_mask.shape
        with torch.autocast(geometry_tokens.device.type, enabled=False):
            dtype = self.camera_head.norm.weight.dtype
            encodings = self.camera_head(camera_tokens.to(dtype), frame_mask).float()
            raw = self._decoded(self.depth_decoder, [value.to(dtype) for value in maps], image_size).float()
            exponentials = (LARGEST_LOG * (raw / LARGEST_LOG).tanh()).exp().unflatten(0, (batch, frames))
            relative, confidence = torch.where(frame_mask[..., None, None, None], exponentials, 0.0).unbind(2)
            metric, scale = None, relative.new_ones(batch)
            if self.metric_depth is not None:
                tapped = [value.flatten(0, 1).movedim(-1, 1).to(dtype) for value in encoder_maps]
                metric = self._decoded(self.metric_depth, tapped, image_size).float().unflatten(0, (batch, frames))
                metric = torch.where(frame_mask[..., None, None], metric, 0.0)
                scale = scene_scale(relative, metric, 1 + confidence, frame_mask, **self.scale_options)
            cameras = encodings[-1]
            moved = torch.cat([cameras[..., TRANSLATION] * scale[:, None, None], cameras[..., 3:]], -1)
            world_from_camera, intrinsics = decode_cameras(moved, image_size)
            depth = relative * scale[:, None, None, None]
            points = back_project(depth, intrinsics, world_from_camera)
            points = torch.where(frame_mask[..., None, None, None], points, 0.0)
            if not self.training and not bool(points.isfinite().all()):  # in training the losses name the samples
                raise ValueError(
                    "the reconstruction is not finite (NaN or infinity): the weights of its heads are not finite, or "
                    "too large."
                )
            return Reconstruction(
                depth_metres=depth,
                relative_depth=relative,
                depth_confidence=1 + confidence,
                metric_depth_metres=metric,
                scale=scale,
                intrinsics=intrinsics,
                world_from_camera=world_from_camera,
                points_world=points,
                camera_encodings=encodings,
            )

    def _decoded(self, decoder: nn.Module, maps: list[Tensor], image_size: tuple[int, int]) -> Tensor:
        """Decodes some frames after the other: maps as large as frames take memory, also for the backward pass."""
        chunks = [list(chunk) for chunk in zip(*(value.split(FRAMES_AT_ONCE) for value in maps), strict=True)]
        if self.gradient_checkpointing and self.training:
            decoded = [self._gradient_checkpointing_func(decoder.__call__, chunk, image_size) for chunk in chunks]
        else:
            decoded = [decoder(chunk, image_size) for chunk in chunks]
        return torch.cat(decoded)
