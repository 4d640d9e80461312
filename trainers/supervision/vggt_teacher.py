"""VGGT (Wang et al., CVPR 2025) as a teacher: its aggregator's patch tokens, or those of its patch encoder alone."""

import torch

from igep.trainers.supervision.multi_view_teacher import MultiViewTeacher, imagenet_normalised


INSTALL = (
    "needs the package vggt, which is not on PyPI: pip install git+https://github.com/facebookresearch/vggt. Its "
    "weights facebook/VGGT-1B are CC BY-NC 4.0, facebook/VGGT-1B-Commercial under VGGT's own licence (gated). Or "
    "describe the frames where it is installed with `igep describe`, and train with teacher: precomputed."
)


class VGGTTeacher(MultiViewTeacher):
    """Patch tokens of VGGT.

    The aggregator alternates attention inside a frame and among all frames; each of its layers gives the output of
    both, side by side (2,048 channels of VGGT-1B). VG-LLM reads the last but one (-2), 3DRS the last. The patch
    encoder alone is a DINOv2 that looks at single frames (1,024 channels): Vid-LLM distils from it.

    Args:
        name_or_path (`str`, *optional*, defaults to `"facebook/VGGT-1B"`): Hub id or folder of the weights.
        layer (`int`, *optional*): Layer of the aggregator; the last unless given.
        frame_size (`tuple[int, int]`, *optional*, defaults to `(392, 518)`): (H, W), multiples of 14: 518 wide as in
            VGGT's training, of the usual 4:3 video.
        part (`str`, *optional*, defaults to `"aggregator"`): `"aggregator"` or `"patch_encoder"`.

    Raises:
        ModuleNotFoundError: vggt is not installed.
        ValueError: An unknown part, a layer that is not there, or a layer of the patch encoder.
    """

    default_id = "facebook/VGGT-1B"

    def __init__(
        self,
        name_or_path: str = default_id,
        layer: int | None = None,
        frame_size: tuple[int, int] = (392, 518),
        part: str = "aggregator",
    ):
        if part not in ("aggregator", "patch_encoder"):
            raise ValueError(f"part={part!r} of teacher 'vggt' is unknown: use aggregator or patch_encoder.")
        if part == "patch_encoder" and layer is not None:
            raise ValueError(f"layer={layer} of teacher 'vggt': its patch encoder gives its last layer alone.")
        try:
            from vggt.models.vggt import VGGT
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"teacher='vggt' {INSTALL}") from error
        self.part = part
        # The heads that predict cameras, depth, points and tracks are a quarter of the weights, and are not run.
        aggregator = VGGT.from_pretrained(name_or_path).aggregator
        model = aggregator.patch_embed if part == "patch_encoder" else aggregator
        super().__init__("vggt", model, frame_size, patch_size=14, layer=layer)

    def patch_features(self, frames: torch.Tensor) -> torch.Tensor:
        height, width = (side // self.patch_size for side in frames.shape[-2:])
        if self.part == "patch_encoder":
            tokens = self.model(imagenet_normalised(frames))["x_norm_patchtokens"]
            return tokens.reshape(len(frames), height, width, -1)
        outputs, first_patch = self.model(frames[None])
        tokens = self.layer_of(outputs, default=-1)[0, :, first_patch:]
        return tokens.reshape(len(frames), height, width, -1)
