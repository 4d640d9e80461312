"""Runs any encoder of patches on frames: which layers are read, and what of its sequence is patches."""

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, PreTrainedModel


UNREAD = (".mask_token.", ".head.", ".pooler.")  # parameters that patches do not depend on
FINAL_NORMS = ("layernorm", "post_layernorm", "norm", "vision_model.post_layernorm")  # of DINOv2, SigLIP, DINOv3, CLIP


def checked_frames(pixel_values_videos: Tensor, frame_mask: Tensor | None) -> Tensor:
    """Makes sure that frames can be looked at.

    Args:
        pixel_values_videos (`Tensor`): (B, F, 3, H, W).
        frame_mask (`Tensor`, *optional*): (B, F) bool.

    Returns:
        `Tensor`: (B, F) bool, the real frames.

    Raises:
        ValueError: Another shape, pixels that are not finite, or a sample whose first frame is padding.
    """
    shape = tuple(pixel_values_videos.shape)
    if len(shape) != 5 or shape[2] != 3 or 0 in shape:
        raise ValueError(
            f"pixel_values_videos has shape {shape}: give (B, F, 3, H, W), colour frames of one size, at least one."
        )
    if frame_mask is None:
        frame_mask = torch.ones(shape[:2], dtype=torch.bool, device=pixel_values_videos.device)
    if tuple(frame_mask.shape) != shape[:2] or frame_mask.dtype != torch.bool:
        raise ValueError(f"frame_mask is {tuple(frame_mask.shape)} {frame_mask.dtype}: give bool of {shape[:2]}.")
    if not bool(frame_mask[:, 0].all()):
        raise ValueError(
            "frame_mask says that a first frame is padding: the first camera is the world, so it must be real."
        )
    if not bool(pixel_values_videos[frame_mask].isfinite().all()):
        raise ValueError(
            "pixel_values_videos has pixels that are not finite (NaN or infinity): look at how the frames are read."
        )
    return frame_mask


def whole_patches(pixel_values: Tensor, patch_size: int) -> Tensor:
    """Squeezes frames to as many whole patches as fit into them.

    Nothing is cut off, so every pixel of a frame has a depth, and intrinsics are those of the frame: each axis is
    scaled on its own.

    Args:
        pixel_values (`Tensor`): (N, 3, H, W).
        patch_size (`int`): Side of a patch in pixels.

    Returns:
        `Tensor`: (N, 3, H', W'), multiples of the patch.

    Raises:
        ValueError: A frame is smaller than a patch.
    """
    size = tuple(pixel_values.shape[-2:])
    if min(size) < patch_size:
        raise ValueError(
            f"frames of {size[0]} x {size[1]} pixels are smaller than a patch of the encoder ({patch_size}): resize "
            "them."
        )
    whole = tuple(side // patch_size * patch_size for side in size)
    if whole == size:
        return pixel_values
    resized = functional.interpolate(pixel_values.float(), whole, mode="bilinear", antialias=True, align_corners=False)
    return resized.to(pixel_values.dtype)


def patch_maps(
    vision: PreTrainedModel, pixel_values: Tensor, patch_size: int, taps: int, final_norm: bool = True
) -> tuple[Tensor, list[Tensor]]:
    """Encodes frames.

    Args:
        vision (`PreTrainedModel`): The encoder. Tokens before its patches (class, registers) are left out.
        pixel_values (`Tensor`): (N, 3, H, W), multiples of the patch.
        patch_size (`int`): Side of a patch in pixels.
        taps (`int`): Layers that are read, evenly spaced, the last included.
        final_norm (`bool`, *optional*, defaults to `True`): Whether the output is read behind the encoder's last norm.

    Returns:
        `tuple[Tensor, list[Tensor]]`: (N, h, w, C) of the encoder's output, and of every tapped layer before that
        norm.

    Raises:
        ValueError: The encoder's sequence is not its class token, its registers and one token for each patch.
    """
    grid = tuple(side // patch_size for side in pixel_values.shape[-2:])
    output = vision(
        pixel_values=pixel_values.to(vision.dtype), output_hidden_states=taps > 0 or not final_norm, return_dict=True
    )
    last = output.last_hidden_state if final_norm else output.hidden_states[-1]
    before = last.shape[1] - grid[0] * grid[1]
    registers = vision.config.to_dict().get("num_register_tokens") or 0
    if before - registers not in (0, 1):
        raise ValueError(
            f"{type(vision).__name__} made {last.shape[1]} tokens of a frame of {grid[0]} x {grid[1]} patches and has "
            f"{registers} registers: use an encoder with one token per patch, such as DINOv2."
        )
    states = output.hidden_states or ()
    layers = [round((len(states) - 1) * (tap + 1) / taps) for tap in range(taps)]
    tapped = [states[layer][:, before:].unflatten(1, grid) for layer in layers]
    return last[:, before:].unflatten(1, grid), tapped


def videos_of_images(pixel_values: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Makes videos of images that stand behind each other in a batch.

    Args:
        pixel_values (`Tensor`): (N, 3, H, W).
        frames (`Tensor`): (B,) long, images of each sample, N in all.

    Returns:
        `tuple[Tensor, Tensor]`: (B, F, 3, H, W), zero in padding, and (B, F) bool, the real frames.
    """
    frame_mask = torch.arange(int(frames.max()), device=pixel_values.device) < frames[:, None]
    return scattered(pixel_values, frame_mask), frame_mask


def scattered(values: Tensor, frame_mask: Tensor) -> Tensor:
    """(R, ...) of the real frames and (B, F) bool -> (B, F, ...), zero in padding."""
    if bool(frame_mask.all()):
        return values.unflatten(0, tuple(frame_mask.shape))
    mask = frame_mask.view(*frame_mask.shape, *[1] * (values.dim() - 1))
    return values.new_zeros(*frame_mask.shape, *values.shape[1:]).masked_scatter(mask, values)


def plain_encoder(vision: PreTrainedModel) -> PreTrainedModel:
    """The `AutoModel` of an encoder: a backbone (`AutoBackbone`) has the same weights but another output.

    Args:
        vision (`PreTrainedModel`): Encoder or backbone.

    Returns:
        `PreTrainedModel`: The same object, or the encoder with the backbone's weights, in its mode.
    """
    with torch.device("meta"):
        plain = AutoModel.from_config(vision.config)
    if type(plain) is type(vision):
        return vision
    plain = AutoModel.from_config(vision.config, dtype=vision.dtype)
    plain.load_state_dict(vision.state_dict())
    return plain.train(vision.training)


def freeze_unread(vision: PreTrainedModel, final_norm: bool = True) -> None:
    """Freezes what no patch depends on, by its names in encoders: without gradient it would stop distributed training.

    Args:
        vision (`PreTrainedModel`): The encoder, which need not have weights yet.
        final_norm (`bool`, *optional*, defaults to `True`): Whether patches are read behind its last norm.
    """
    for name, parameter in vision.named_parameters():
        unread_norm = not final_norm and name.rpartition(".")[0] in FINAL_NORMS
        if unread_norm or any(part in f".{name}." for part in UNREAD):
            parameter.requires_grad_(False)
