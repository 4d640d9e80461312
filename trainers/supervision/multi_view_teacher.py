"""What the multi-view foundation models have in common as teachers: all frames of a sample are looked at together."""

from abc import abstractmethod

import torch

from igep.trainers.supervision.teacher import ColourTeacher


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class MultiViewTeacher(ColourTeacher):
    """Patch features of a frozen model that relates the frames of a sample to each other.

    The first frame of the sample is the model's reference. Padding frames are not shown. On an accelerator the model
    runs in bfloat16, as its authors run it; descriptors are float32. Random numbers that a model draws (MapAnything
    does, for inputs that it is not given) are not those of the training, which stays reproducible.

    Args:
        name (`str`): What error messages call it.
        model (`torch.nn.Module`): The frozen model.
        frame_size (`tuple[int, int]`): (H, W) of the frames it looks at.
        patch_size (`int`): Side of a patch in pixels.
        layer (`int`, *optional*): Which of its layers is read; the teacher's own choice unless given.

    Raises:
        ValueError: The frame size is no whole number of patches, or the model has no such layer.
    """

    def __init__(
        self, name: str, model: torch.nn.Module, frame_size: tuple[int, int], patch_size: int, layer: int | None
    ):
        if any(side < patch_size or side % patch_size for side in frame_size):
            raise ValueError(
                f"frame_size={tuple(frame_size)} of teacher {name!r} is no whole number of patches of {patch_size} "
                "pixels: give multiples of it."
            )
        self.name = name
        self.model = model.eval().requires_grad_(False)
        self.frame_size = tuple(frame_size)
        self.patch_size = patch_size
        self.layer = layer
        self.device = torch.device("cpu")
        self.channels = self._describe(torch.zeros(2, 3, patch_size, patch_size, dtype=torch.uint8)).shape[-1]

    def to(self, device: torch.device | str) -> "MultiViewTeacher":
        self.device = torch.device(device)
        self.model = self.model.to(self.device)
        return self

    def describe_real(self, frames: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._describe(sample[real]) for sample, real in zip(frames, frame_mask, strict=True)])

    @torch.no_grad()
    def _describe(self, frames: torch.Tensor) -> torch.Tensor:
        """(F, 3, H, W) uint8 -> (F, h, w, C) float32."""
        own_devices = [] if self.device.type == "cpu" else [self.device]
        with (
            torch.random.fork_rng(devices=own_devices, device_type=self.device.type),
            torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type != "cpu"),
        ):
            features = self.patch_features(frames.to(self.device).float() / 255)
        expected = (len(frames), *(side // self.patch_size for side in frames.shape[-2:]))
        if features.ndim != 4 or tuple(features.shape[:3]) != expected:
            raise ValueError(
                f"Teacher {self.name!r} returned features of shape {tuple(features.shape)} where (F, h, w) = "
                f"{expected} and channels are expected: its package differs from the one that this adapter was "
                "written for."
            )
        return features.float()

    @abstractmethod
    def patch_features(self, frames: torch.Tensor) -> torch.Tensor:
        """Describes the frames of one sample.

        Args:
            frames (`torch.Tensor`): (F, 3, H, W) float32 RGB between 0 and 1.

        Returns:
            `torch.Tensor`: (F, h, w, C), one descriptor per patch.
        """

    def layer_of(self, outputs: list[torch.Tensor], default: int) -> torch.Tensor:
        """The output of the layer that is read.

        Args:
            outputs (`list[torch.Tensor]`): What the model's layers gave, first to last.
            default (`int`): Index of the one that is read where none is chosen.

        Returns:
            `torch.Tensor`: One of them.

        Raises:
            ValueError: There is no such layer.
        """
        index = default if self.layer is None else self.layer
        if not -len(outputs) <= index < len(outputs):
            raise ValueError(
                f"layer={index} of teacher {self.name!r}: it has {len(outputs)} layers to read, {-len(outputs)} to "
                f"{len(outputs) - 1}."
            )
        return outputs[index]


def imagenet_normalised(frames: torch.Tensor) -> torch.Tensor:
    """Frames with the mean and the deviation of ImageNet's colours taken out.

    Args:
        frames (`torch.Tensor`): (..., 3, H, W) RGB between 0 and 1.

    Returns:
        `torch.Tensor`: The same shape.
    """
    mean, std = (frames.new_tensor(values).reshape(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (frames - mean) / std
