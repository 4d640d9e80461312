"""VLM3's questions about posed RGB-D scenes, written when a row is read: a map-style dataset of `SpatialExample`."""

import logging
import zlib
from collections.abc import Iterator

import numpy as np
from datasets import Dataset

from igep.focal_unification import unified_size
from igep.trainers.data.scenes.camera_arrays import resize_intrinsics
from igep.trainers.data.scenes.colour_camera_depth import nearest_depth
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.scene_validation import ValidScene, decode_frame
from igep.trainers.data.scenes.spatial_example import SpatialDataError, SpatialExample
from igep.trainers.data.vlm3.correspondence_questions import ask_about_correspondence
from igep.trainers.data.vlm3.covisibility import covisibility
from igep.trainers.data.vlm3.depth_questions import ask_about_depth
from igep.trainers.data.vlm3.object_questions import ask_about_objects
from igep.trainers.data.vlm3.pose_questions import ask_about_pose
from igep.trainers.data.vlm3.scene_views import posed_views
from igep.trainers.data.vlm3.spatial_question import PosedView, WrittenQuestion
from igep.trainers.data.vlm3.vlm3_options import VLM3Options
from igep.trainers.data.vlm3.written_rows import WrittenRows, turns_of


logger = logging.getLogger(__name__)

NEEDS = {
    "depth": ("intrinsics", "depth"),
    "correspondence": ("intrinsics", "world_from_camera", "depth"),
    "pose": ("intrinsics", "world_from_camera"),
    "objects": ("intrinsics", "world_from_camera", "boxes"),
}
PARTNERS_TRIED = 8  # frames that a first frame is paired with before another first frame is taken
ROWS_TRIED = 50  # other rows looked at before a row without questions is an error


class VLM3Dataset(WrittenRows):
    """One row per frame; where a question needs two, the frame is the first, its partner drawn when the row is read.

    A row has up to K independent questions, drawn anew for every use of it, and the geometry of its views, so that
    IGEP's losses work on the same rows. What is drawn depends on the seed, the row and the number of the use alone.
    Scenes and frames without what the task needs are no rows. A row about which nothing can be asked when it is read
    (no surface in range, no partner that sees enough, no box in sight) is replaced by another one that has questions;
    this is said once.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.
        options (`VLM3Options`): Task, unification and places.
        geometry_size (`tuple[int, int]`): (H, W) of the depth and intrinsics that supervise.
        seed (`int`, *optional*, defaults to `0`): Seed of everything that is drawn.

    Raises:
        SpatialDataError: An empty table, a missing column, or no frame that has what the task needs. Reading a row
            raises it for anything in the row that breaks the contract, and where no row in reach has a question.
    """

    def __init__(self, scenes: Dataset, options: VLM3Options, *, geometry_size: tuple[int, int], seed: int = 0):
        if min(geometry_size) < 1:
            raise ValueError(f"geometry_size={geometry_size}: give a positive (height, width).")
        super().__init__(options)
        self.geometry_size = (int(geometry_size[0]), int(geometry_size[1]))
        self.seed = seed
        self.scene_table = SceneTable(scenes)
        self._rows: list[tuple[int, int]] = []
        self._sample_ids: list[str] = []
        self._usable: list[np.ndarray] = []
        without: list[str] = []
        for number, scene_id in enumerate(self.scene_table.scene_ids):
            usable = self._usable_frames(number)
            self._usable.append(usable)
            if not len(usable):
                without.append(scene_id)
            names = self.scene_table.frame_ids(number)
            for frame in usable.tolist():
                if options.images_per_row == 1 or len(self._partners(number, frame)):
                    self._rows.append((number, frame))
                    self._sample_ids.append(f"{scene_id}/{names[frame]}/{options.task}")
        needed = ", ".join(self._needs)
        if not self._rows:
            raise SpatialDataError(
                f"No frame of the {len(self.scene_table)} scenes can be asked about {options.task!r}, which needs "
                f"{needed}"
                + (
                    "."
                    if options.images_per_row == 1
                    else f" and two frames within max_frame_gap={options.max_frame_gap} of each other."
                )
            )
        if without:
            logger.warning(
                "%d of %d scenes (%r ...) are left out: task %r needs %s.",
                *(len(without), len(self.scene_table), without[0], options.task, needed),
            )
        self._said = False

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """Names of the samples, in row order, without reading them."""
        return tuple(self._sample_ids)

    def unified_sizes(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """See `WrittenRows.unified_sizes`: one for each camera of each scene, whose images have one size."""
        for number, usable in enumerate(self._usable):
            if not len(usable):
                continue
            size = None
            seen = set()
            for frame in usable.tolist():
                scene = self.scene_table.scene(number, [frame])
                camera = scene.intrinsics[0]
                if camera.tobytes() in seen:
                    continue
                seen.add(camera.tobytes())
                if size is None:
                    image = decode_frame(scene.scene_id, frame, scene.frames[0])
                    size = (image.height, image.width)
                name = f"{scene.scene_id}/{scene.frame_ids[0]}"
                try:
                    yield name, unified_size(size, camera, **self.options.unification)
                except ValueError as error:
                    raise SpatialDataError(f"{name}: {error}") from error

    def example(self, row: int, draw: int) -> SpatialExample:
        """Reads a row with the questions of one of its uses.

        Args:
            row (`int`): Number of the row.
            draw (`int`): How often the row was used before.

        Returns:
            `SpatialExample`

        Raises:
            SpatialDataError: The row breaks the contract, or neither it nor the others that were tried have a
                question.
        """
        if not 0 <= row < len(self._rows):
            raise IndexError(row)
        sample_id = self._sample_ids[row]
        key = [self.seed, zlib.crc32(sample_id.encode()), draw]
        rng = np.random.default_rng(key)
        # Others anywhere: what hides the boxes of one frame often hides those of its neighbours.
        others = np.random.default_rng([*key, 1]).integers(len(self._rows), size=ROWS_TRIED).tolist()
        for number, frame in [self._rows[tried] for tried in (row, *others)]:
            scene, views, asked = self._ask(number, frame, rng)
            if asked:
                return self._example(sample_id, scene, views, asked)
            if not self._said:
                self._said = True
                logger.warning(
                    "Nothing can be asked about %r (%s): another row that has questions takes its place. Said once.",
                    sample_id,
                    self.options.task,
                )
        raise SpatialDataError(
            f"Nothing can be asked about {sample_id!r} nor about {ROWS_TRIED} other rows: task {self.options.task!r} "
            "needs "
            + ("boxes that can be seen" if self.options.task == "objects" else "measured depth")
            + (
                f" and frames that share {self.options.min_covisibility:g} to {self.options.max_covisibility:g} of "
                "their surface. Widen min_covisibility, max_covisibility or max_frame_gap, or leave these scenes out."
                if self.options.images_per_row == 2
                else ". Check min_depth_metres and max_depth_metres, or leave these scenes out."
            )
        )

    def _ask(
        self, number: int, frame: int, rng: np.random.Generator
    ) -> tuple[ValidScene, tuple[PosedView, ...], list[WrittenQuestion]]:
        options = self.options
        if options.images_per_row == 1:
            scene = self.scene_table.scene(number, [frame])
            views = posed_views(scene, options)
            if options.task == "depth":
                return scene, views, ask_about_depth(views[0], options, rng)
            return scene, views, ask_about_objects(views[0], scene.boxes, options, rng)
        write = {"correspondence": ask_about_correspondence, "pose": ask_about_pose}[options.task]
        asked: list[WrittenQuestion] = []
        for partner in rng.permutation(self._partners(number, frame))[:PARTNERS_TRIED].tolist():
            scene = self.scene_table.scene(number, [frame, partner])
            views = posed_views(scene, options)
            if self._see_each_other(scene, views):
                asked = write(*views, options, rng)
            if asked:
                break
        return scene, views, asked

    def _usable_frames(self, number: int) -> np.ndarray:
        """Indices of a scene's frames that have what the task needs, as far as that is known without reading them."""
        needs = self._needs
        if any(self.scene_table.lacks(number, field) for field in needs if field != "depth"):
            return np.empty(0, dtype=np.int64)
        usable = self.scene_table.usable_frames(number)
        return usable[self.scene_table.frames_with_depth(number)[usable]] if "depth" in needs else usable

    @property
    def _needs(self) -> tuple[str, ...]:
        """Fields of a scene without which nothing can be asked."""
        bounded = self.options.min_covisibility > 0 or self.options.max_covisibility < 1
        needs = NEEDS[self.options.task]
        return (*needs, "depth") if self.options.task == "pose" and bounded else needs

    def _partners(self, number: int, frame: int) -> np.ndarray:
        usable = self._usable[number]
        return usable[(np.abs(usable - frame) <= self.options.max_frame_gap) & (usable != frame)]

    def _see_each_other(self, scene: ValidScene, views: tuple[PosedView, ...]) -> bool:
        options = self.options
        if scene.depth is None:  # pose without bounds
            return True
        return options.min_covisibility <= covisibility(*views) <= options.max_covisibility

    def _example(
        self, sample_id: str, scene: ValidScene, views: tuple[PosedView, ...], asked: list[WrittenQuestion]
    ) -> SpatialExample:
        depth = poses = None
        if scene.depth is not None:
            depth = np.stack([nearest_depth(view.depth_metres, self.geometry_size) for view in views]).astype(
                np.float32
            )
        if scene.world_from_camera is not None:
            poses = np.stack([view.world_from_camera for view in views])
        intrinsics = [resize_intrinsics(view.intrinsics, view.size, self.geometry_size) for view in views]
        return SpatialExample(
            sample_id=sample_id,
            scene_id=scene.scene_id,
            frame_ids=tuple(view.frame_id for view in views),
            frames=tuple(view.frame for view in views),
            depth_metres=depth,
            intrinsics=np.stack(intrinsics).astype(np.float32),
            world_from_camera=poses,
            **turns_of(asked),
        )
