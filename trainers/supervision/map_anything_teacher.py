"""MapAnything (Keetha et al., 2025) as a teacher: the features of its multi-view transformer."""

import torch

from igep.trainers.supervision.multi_view_teacher import MultiViewTeacher, imagenet_normalised


INSTALL = (
    "needs the package mapanything, which is not on PyPI: pip install "
    "git+https://github.com/facebookresearch/map-anything. Its weights facebook/map-anything-apache are Apache-2.0, "
    "facebook/map-anything CC BY-NC 4.0. Or describe the frames where it is installed with `igep describe`, and train "
    "with teacher: precomputed."
)


class MapAnythingTeacher(MultiViewTeacher):
    """Features per patch after MapAnything's multi-view transformer, from the colours alone.

    They are read where the model hands them to its heads, by a hook: the package returns none.

    Args:
        name_or_path (`str`, *optional*, defaults to `"facebook/map-anything-apache"`): Hub id or folder of the
            weights.
        layer (`int`, *optional*): Which of the layers that the model hands to its dense head: -1, the final and
            normalised one, unless given; those before it in the order of the transformer.
        frame_size (`tuple[int, int]`, *optional*, defaults to `(392, 518)`): (H, W), multiples of 14.

    Raises:
        ModuleNotFoundError: mapanything, or a package that it imports, is not installed.
        ValueError: The model normalises colours in a way that is not known here, or has no such layer.
    """

    default_id = "facebook/map-anything-apache"

    def __init__(
        self, name_or_path: str = default_id, layer: int | None = None, frame_size: tuple[int, int] = (392, 518)
    ):
        try:
            from mapanything.models import MapAnything
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"teacher='map_anything' {INSTALL} (Missing: {error.name}.)") from error
        model = MapAnything.from_pretrained(name_or_path)
        if model.encoder.data_norm_type != "dinov2":
            raise ValueError(
                f"{name_or_path} normalises colours as {model.encoder.data_norm_type!r}: only 'dinov2', the mean and "
                "deviation of ImageNet, is known here."
            )
        self._shared: list[torch.Tensor] = []
        model.info_sharing.register_forward_hook(self._keep)
        super().__init__("map_anything", model, frame_size, patch_size=14, layer=layer)

    def patch_features(self, frames: torch.Tensor) -> torch.Tensor:
        views = [
            {"img": frame[None], "data_norm_type": [self.model.encoder.data_norm_type]}
            for frame in imagenet_normalised(frames)
        ]
        self.model(views)
        layers, self._shared = self._shared, []
        return self.layer_of(layers, default=-1).permute(0, 2, 3, 1)

    def _keep(self, module: torch.nn.Module, inputs: tuple, output: object) -> None:
        """Keeps (F, C, h, w) of each layer: a final output, or one and those before it."""
        final, before = output if isinstance(output, tuple) else (output, [])
        self._shared = [torch.cat(list(shared.features)) for shared in (*before, final)]
