"""Rooms seen by cameras of many focal lengths, with depth questions about points that a unified image shows too."""

import numpy as np
import torch
from datasets import Dataset

from igep.focal_unification import unify_focal_length
from igep.text_pixels import inside_image
from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.scene_validation import validate_scene
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.vlm3.depth_questions import questions_at
from igep.trainers.data.vlm3.scene_views import depth_rays, posed_views, surface_pixels
from igep.trainers.data.vlm3.vlm3_options import VLM3Options
from igep.trainers.data.vlm3.written_rows import turns_of
from igep.trainers.experiments.tiny_vlm import IMAGE_SIZE
from igep.trainers.experiments.tiny_vlm3 import STEPS


ROOM_PIXELS = 2 * IMAGE_SIZE
TRAINED_FOCAL = (0.6, 1.2)  # over the image width: horizontal fields of view of 80 to 45 degrees
UNIFIED_FOCAL = sum(TRAINED_FOCAL) / 2
VIEW = VLM3Options(focal_pixels=None, text_pixel_steps=STEPS)


class FocalRooms(torch.utils.data.Dataset):
    """Depth questions about rooms of many focal lengths, for one arm; the points are the same for both.

    Args:
        scenes (`datasets.Dataset`): Rooms of one frame of `ROOM_PIXELS`.
        unify (`bool`): The unified arm.
        unified_focal (`float`, *optional*, defaults to `0.9`): Its focal length over the width of the encoder's image.
        questions_per_image (`int`, *optional*, defaults to `16`): K.
        seed (`int`, *optional*, defaults to `0`): Draws the points.
    """

    def __init__(
        self,
        scenes: Dataset,
        *,
        unify: bool,
        unified_focal: float = UNIFIED_FOCAL,
        questions_per_image: int = 16,
        seed: int = 0,
    ):
        self.unify = unify
        self.unified_focal = unified_focal
        self.questions_per_image = questions_per_image
        self.seed = seed
        self._scenes = SceneTable(scenes)
        self.sample_ids = list(self._scenes.scene_ids)
        self.task = "metric depth of rooms seen by cameras of many focal lengths"
        self.usage = {}  # neither the Space nor `igep ask` asks these models

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, row: int) -> SpatialExample:
        return self.example(row, 0)

    def example(self, row: int, draw: int) -> SpatialExample:
        """The room with fresh points for its `draw`-th use."""
        rng = np.random.default_rng([self.seed, row, draw])
        view = posed_views(validate_scene(self._scenes.row(row, [0])), VIEW)[0]
        canvas = (IMAGE_SIZE, IMAGE_SIZE)
        unified = unify_focal_length(
            view.frame, view.intrinsics, focal_pixels=self.unified_focal * IMAGE_SIZE, canvas_size=canvas
        )
        places, rays = depth_rays(view)
        candidates = surface_pixels(view, VIEW) & inside_image(unified.from_original(places), canvas)
        step = ROOM_PIXELS // STEPS
        named = np.zeros_like(candidates)
        named[::step, ::step] = True  # pixels whose centre a coordinate of the plain arm names
        rows, columns = np.nonzero(candidates & named)
        drawn = rng.choice(len(rows), size=min(self.questions_per_image, len(rows)), replace=False)
        chosen = rows[drawn], columns[drawn]
        metres = view.depth_metres[chosen] * np.linalg.norm(rays[chosen], axis=-1)
        frame = unified.frame if self.unify else view.frame
        pixels = unified.from_original(places[chosen]) if self.unify else places[chosen]
        asked = questions_at(pixels, metres, (frame.height, frame.width), STEPS)
        return SpatialExample(
            sample_id=f"{self.sample_ids[row]}#{draw}",
            scene_id=self.sample_ids[row],
            frame_ids=(view.frame_id,),
            frames=(frame,),
            depth_metres=None,
            intrinsics=None,
            world_from_camera=None,
            **turns_of(asked),
        )


def rooms(number: int, seed: int, focal_range: tuple[float, float]) -> Dataset:
    """Rooms of one frame each, every room with a camera of its own focal length."""
    scenes, _ = synthetic_rooms(
        number, seed=seed, num_frames=1, image_size=ROOM_PIXELS, questions_per_room=0, focal_range=focal_range
    )
    return scenes
