"""The centre square of frames, which is all that a model sees whose processor crops: frames, depth and cameras alike.

Video-3D LLM crops; 3DRS squashes whole frames into the square, as the processor of LLaVA-OneVision does unless told
otherwise: one of the two things in which 3DRS differs from Video-3D LLM besides its loss.
"""

import dataclasses

import numpy as np
from PIL import Image

from igep.processing_igep import IGEPProcessor
from igep.trainers.data.scenes.spatial_example import SpatialExample


def crop_to_centre(processor: IGEPProcessor) -> None:
    """Makes a processor crop videos to their centre square instead of squashing them; it is saved that way.

    Args:
        processor (`IGEPProcessor`): Of a base that sees videos at one square size.

    Raises:
        ValueError: The base takes no videos, or sees frames in their own shape: there is nothing to crop.
    """
    if not processor.takes_videos:
        raise ValueError("centre_crop: this base takes images and no videos: set centre_crop to false.")
    size = dict(processor.video_processor.size)
    if crops_to_centre(processor):
        return
    if not size.keys() >= {"height", "width"} or size["height"] != size["width"]:
        raise ValueError(
            f"centre_crop: this base sees videos at {size}, which is no square of one size: set centre_crop to false."
        )
    processor.video_processor.crop_size = size
    processor.video_processor.size = {"shortest_edge": size["height"]}
    processor.video_processor.do_center_crop = True


def crops_to_centre(processor: IGEPProcessor) -> bool:
    """Whether a processor shows the model only the centre square of videos."""
    return processor.takes_videos and bool(processor.video_processor.to_dict().get("do_center_crop"))


def centre_square(example: SpatialExample) -> SpatialExample:
    """What a sample looks like to a model whose processor crops.

    Args:
        example (`SpatialExample`): Whole frames and their geometry.

    Returns:
        `SpatialExample`: Its centre: frames are cut at whole pixels, and so is depth, at those of its own size, which
        cannot lie farther from the frames' edges than half of one of its pixels. Intrinsics are exact for the depth.
    """
    changed: dict = {"frames": tuple(square_image(frame) for frame in example.frames)}
    if example.depth_metres is None:
        changed["intrinsics"] = None  # they would be in pixels of the depth that is not there
    else:
        width, height = example.frames[0].size
        share = min(width, height) / np.array([height, width])
        whole = np.array(example.depth_metres.shape[1:])
        kept = np.rint(whole * share).astype(int).clip(1)
        top, left = ((whole - kept) // 2).tolist()
        changed["depth_metres"] = example.depth_metres[:, top : top + kept[0], left : left + kept[1]]
        if example.intrinsics is not None:
            moved = np.array([[0, 0, left], [0, 0, top], [0, 0, 0]], dtype=np.float32)
            changed["intrinsics"] = example.intrinsics - moved
    return dataclasses.replace(example, **changed)


def square_image(image: Image.Image) -> Image.Image:
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))
