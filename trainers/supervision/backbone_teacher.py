"""The features of a pretrained vision encoder as a teacher: any `AutoModel` or depth model, by its id."""

import torch
from transformers import (
    MODEL_FOR_DEPTH_ESTIMATION_MAPPING,
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForDepthEstimation,
)
from transformers.modeling_outputs import BackboneOutput

from igep.trainers.supervision.teacher import ColourTeacher


class BackboneTeacher(ColourTeacher):
    """Patch features of a pretrained vision encoder: DINOv2, DINOv3, SigLIP, Depth Anything and their like.

    Takes any `AutoModel` vision encoder (also a backbone, or the vision tower of a two-tower model or of a LLaVA) and
    any `AutoModelForDepthEstimation`, by Hub id or path. Frames are normalised with the mean and deviation of the
    checkpoint's own image processor and seen whole at its size: cropping would move the patches off the student's.
    Class and register tokens are stripped.

    Args:
        model_name_or_path (`str`): Hub id or folder.
        layer (`int`, *optional*): Index into the hidden states. `None` takes the encoder's final, normalised output
            (the last hidden state of a depth model).
        frame_size (`tuple[int, int]`, *optional*): (H, W) to look at instead of the image processor's, in whole
            patches.
        frames_per_forward (`int`, *optional*, defaults to `64`): Frames per forward pass, bounds memory.
        dtype (`torch.dtype`, *optional*, defaults to `torch.float32`): Of the weights.

    Raises:
        ValueError: The frame size is no whole number of patches, or the model returns no patch grid.
    """

    def __init__(
        self,
        model_name_or_path: str,
        layer: int | None = None,
        frame_size: tuple[int, int] | None = None,
        frames_per_forward: int = 64,
        dtype: torch.dtype = torch.float32,
    ):
        self.name = model_name_or_path
        self.layer = layer
        self.frames_per_forward = frames_per_forward
        config = AutoConfig.from_pretrained(model_name_or_path)
        self.is_depth_model = type(config) in MODEL_FOR_DEPTH_ESTIMATION_MAPPING
        loader = AutoModelForDepthEstimation if self.is_depth_model else AutoModel
        model = loader.from_pretrained(model_name_or_path, dtype=dtype)
        settings = config.to_dict()
        if "vision_config" in settings:  # the text tower, or the language model, would be dead weight
            parts = dict(model.named_children())
            model, settings = parts.get("vision_model") or parts["vision_tower"], settings["vision_config"]
        self.model = model.eval().requires_grad_(False)
        self.dtype = dtype
        self.patch_size = _patch_size(settings)
        processor = AutoImageProcessor.from_pretrained(model_name_or_path).to_dict()
        self.frame_size = tuple(frame_size) if frame_size else _processor_size(processor, self.patch_size)
        if any(side % self.patch_size for side in self.frame_size):
            raise ValueError(
                f"frame_size={self.frame_size} of teacher {model_name_or_path!r} is no whole number of patches of "
                f"{self.patch_size} pixels: give multiples of it."
            )
        scale = processor["rescale_factor"] if processor["do_rescale"] else 1.0
        mean, std = (processor["image_mean"], processor["image_std"]) if processor["do_normalize"] else (0.0, 1.0)
        # ((x * scale) - mean) / std = x * gain + offset
        self.gain = (scale / torch.tensor(std)).reshape(-1, 1, 1).to(dtype)
        self.offset = (-torch.tensor(mean) / torch.tensor(std)).reshape(-1, 1, 1).to(dtype)
        blank = torch.zeros(1, 3, *self.frame_size, dtype=torch.uint8)
        self.channels = self._describe(blank).shape[-1]

    def to(self, device: torch.device | str) -> "BackboneTeacher":
        self.model = self.model.to(device)
        self.gain, self.offset = self.gain.to(device), self.offset.to(device)
        return self

    def describe_real(self, frames: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._describe(part) for part in frames[frame_mask].split(self.frames_per_forward)])

    @torch.no_grad()
    def _describe(self, frames: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) uint8 -> (N, h, w, C) float32."""
        pixel_values = frames.to(self.dtype) * self.gain + self.offset
        output = self.model(pixel_values, output_hidden_states=True)
        if self.layer is not None or self.is_depth_model:
            tokens = output.hidden_states[-1 if self.layer is None else self.layer]
        else:
            tokens = output.feature_maps[-1] if isinstance(output, BackboneOutput) else output.last_hidden_state
        if tokens.ndim == 4:
            return tokens.permute(0, 2, 3, 1).float()
        height, width = (side // self.patch_size for side in self.frame_size)
        extra = tokens.shape[1] - height * width
        if extra < 0:
            raise ValueError(
                f"Teacher {self.name!r} returned {tokens.shape[1]} tokens for {height}x{width} patches of "
                f"{self.patch_size} pixels: it keeps no patch grid, choose another layer or teacher."
            )
        return tokens[:, extra:].reshape(len(tokens), height, width, -1).float()


def _patch_size(settings: dict) -> int:
    """Patch size of a vision encoder's settings, 1 for those without patches (their feature maps are 4-D)."""
    if settings.get("backbone_config"):
        return _patch_size(settings["backbone_config"])
    patch_size = settings.get("patch_size") or 1
    return patch_size if isinstance(patch_size, int) else patch_size[0]


def _processor_size(processor: dict, patch_size: int) -> tuple[int, int]:
    """(H, W) at which an image processor shows whole frames, rounded to patches."""
    size = processor["crop_size"] if processor.get("do_center_crop") else processor["size"]
    if "height" in size:
        height, width = size["height"], size["width"]
    else:
        height = width = size["shortest_edge"]
    return tuple(max(1, round(side / patch_size)) * patch_size for side in (height, width))
