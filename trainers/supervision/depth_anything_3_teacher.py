"""Depth Anything 3 (ByteDance Seed, 2025) as a teacher: patch tokens of its backbone, which attends across frames."""

import torch

from igep.trainers.supervision.multi_view_teacher import MultiViewTeacher, imagenet_normalised


INSTALL = (
    "needs the package depth-anything-3: pip install --no-deps depth-anything-3 (without --no-deps it asks for "
    "numpy<2 and much that is not needed here), and what it then misses. Its weights DA3-SMALL and DA3-BASE are "
    "Apache-2.0, DA3-LARGE and DA3-GIANT CC BY-NC 4.0. Or describe the frames where it is installed with `igep "
    "describe`, and train with teacher: precomputed."
)


class DepthAnything3Teacher(MultiViewTeacher):
    """Normalised patch tokens of a layer of Depth Anything 3.

    The later layers of its DINOv2 alternate attention inside a frame and among all frames. The first frame is made the
    reference: left to itself the package picks one, and gives the features of the frames in another order than it was
    given.

    Args:
        name_or_path (`str`, *optional*, defaults to `"depth-anything/DA3-BASE"`): Hub id or folder of the weights.
        layer (`int`, *optional*): Block whose output is read; 11, the last of the small and the base model, unless
            given.
        frame_size (`tuple[int, int]`, *optional*, defaults to `(378, 504)`): (H, W), multiples of 14: 504 wide as the
            package resizes, of the usual 4:3 video.

    Raises:
        ModuleNotFoundError: depth-anything-3, or a package that it imports, is not installed.
        ValueError: The model gives nothing for the layer.
    """

    default_id = "depth-anything/DA3-BASE"

    def __init__(
        self, name_or_path: str = default_id, layer: int | None = None, frame_size: tuple[int, int] = (378, 504)
    ):
        try:
            from depth_anything_3.api import DepthAnything3
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"teacher='depth_anything_3' {INSTALL} (Missing: {error.name}.)") from error
        # The network inside the package's interface: that runs in inference mode, whose tensors cannot enter a loss.
        network = DepthAnything3.from_pretrained(name_or_path).model
        super().__init__("depth_anything_3", network, frame_size, patch_size=14, layer=layer)

    def patch_features(self, frames: torch.Tensor) -> torch.Tensor:
        layer = 11 if self.layer is None else self.layer
        output = self.model(imagenet_normalised(frames)[None], export_feat_layers=[layer], ref_view_strategy="first")
        key = f"feat_layer_{layer}"
        if key not in output["aux"]:
            raise ValueError(
                f"layer={layer} of teacher 'depth_anything_3': the model gave features of {sorted(output['aux'])} "
                "only."
            )
        return output["aux"][key][0]
