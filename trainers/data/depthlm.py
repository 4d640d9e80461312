"""DepthLM's JSON lines: one image per line with its camera and points of known depth.

    {"image": "rgb/0001.png", "intrinsics": [fx, fy, cx, cy, width, height], "pixel_coords": [[u, v], ...], "depth": [metres, ...]}

What "depth" means differs from set to set (distance to the camera in most of DepthLM's own, z in nuScenes), so it has to
be said. `pixel_coords` are columns and rows counted from 0.
"""

import json
import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image

from igep.focal_unification import unify_focal_length
from igep.trainers.data.dataset_options import DatasetPlace, depth_kind_field
from igep.trainers.data.scenes.camera_arrays import pixel_rays
from igep.trainers.data.scenes.scene_validation import DEPTH_KINDS, decode_frame
from igep.trainers.data.scenes.spatial_example import SpatialDataError, SpatialExample
from igep.trainers.data.scenes.stored_depth import only_measured
from igep.trainers.data.vlm3.depth_questions import questions_at
from igep.trainers.data.vlm3.spatial_question import distinct_questions
from igep.trainers.data.vlm3.vlm3_options import VLM3Options
from igep.trainers.data.vlm3.written_rows import WrittenRows, turns_of


logger = logging.getLogger(__name__)

FIELDS = ("image", "intrinsics", "pixel_coords", "depth")


@dataclass
class DepthLMOptions(DatasetPlace):
    """Options of `depthlm`, besides the place of its file and of its images.

    Args:
        depth_kind (`str`, *optional*): `z`, or `euclidean` for distances to the camera. `depthlm`: must be said, since its
            sets differ.
    """

    depth_kind: str | None = depth_kind_field()


class DepthLMDataset(WrittenRows):
    """Metric depth questions about the images of a file; a row is an image with K of its points, drawn for every use.

    Args:
        file (`str | Path`): JSON lines.
        options (`VLM3Options`): With `task` `depth`.
        depth_kind (`str`): What the file's depths are: `z`, or `euclidean` for distances to the camera.
        image_root (`str | Path`, *optional*): Folder that image paths are relative to; that of the file unless given.
        seed (`int`, *optional*, defaults to `0`): Seed of the points that are drawn.

    Raises:
        SpatialDataError: The file is not there or has no line. Reading a row raises it for anything in its line that breaks
            the format, with the number of the line.
        ValueError: `depth_kind` is unknown, or the task is not `depth`.
    """

    def __init__(
        self,
        file: str | Path,
        options: VLM3Options,
        *,
        depth_kind: str,
        image_root: str | Path | None = None,
        seed: int = 0,
    ):
        if depth_kind not in DEPTH_KINDS:
            raise ValueError(f"depth_kind={depth_kind!r} is unknown: use one of {', '.join(DEPTH_KINDS)}.")
        if options.task != "depth":
            raise ValueError(f"task={options.task!r}: DepthLM's files hold depths alone, use depth.")
        super().__init__(options)
        self.file = Path(file)
        self.depth_kind = depth_kind
        self.image_root = self.file.parent if image_root is None else Path(image_root)
        self.seed = seed
        try:
            with self.file.open("rb") as lines:
                # Where lines begin, not what they hold: a file may have millions of points.
                starts, place = [], 0
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        starts.append((number, place))
                    place += len(line)
        except OSError as error:
            raise SpatialDataError(
                f"{self.file} cannot be read ({error}): give the path of a file of JSON lines."
            ) from error
        if not starts:
            raise SpatialDataError(f"{self.file} has no line: write one JSON object per image.")
        self._starts = starts
        self._said = False

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """Names of the samples, in row order, without reading them."""
        return tuple(f"{self.file.stem}/{number}" for number, _ in self._starts)

    def example(self, row: int, draw: int) -> SpatialExample:
        """Reads an image with the points of one of its uses.

        Args:
            row (`int`): Number of the row.
            draw (`int`): How often the row was used before.

        Returns:
            `SpatialExample`: Without geometry: a hundred points are no depth map.

        Raises:
            SpatialDataError: The line breaks the format, or no point of it can be asked about.
        """
        number, start = self._starts[row]
        entry = self._entry(number, start)
        frame = self._frame(number, entry["image"])
        camera = self._numbers(number, entry, "intrinsics", (6,))
        pixels = self._numbers(number, entry, "pixel_coords", (None, 2)) + 0.5
        metres = self._numbers(number, entry, "depth", (None,), may_lack=True)
        if len(pixels) != len(metres):
            self._fail(number, f"{len(pixels)} `pixel_coords` for {len(metres)} `depth`: give one depth per point.")
        fx, fy, cx, cy = camera[:4]
        intrinsics = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        options = self.options
        try:
            view = unify_focal_length(
                frame,
                intrinsics,
                pixels=pixels,
                intrinsics_size=(int(camera[5]), int(camera[4])),
                **options.unification,
            )
        except ValueError as error:
            self._fail(number, f"{error}")
        measured = only_measured(metres[None])[0] > 0
        if options.distance_kind != self.depth_kind:
            ray_lengths = np.linalg.norm(pixel_rays(pixels, intrinsics), axis=-1)
            metres = metres * ray_lengths if self.depth_kind == "z" else metres / ray_lengths
        nearest, farthest = options.depth_range
        in_range = (metres >= nearest) & (metres <= farthest)
        usable = np.flatnonzero(view.inside & measured & in_range)
        if not len(usable):
            self._fail(
                number,
                f"none of its {len(metres)} points is inside the unified image, measured and within {nearest:g} to "
                f"{farthest:g} metres: leave the line out, or crop less.",
            )
        out_of_range = int((measured & ~in_range).sum())
        if out_of_range and not self._said:
            self._said = True
            logger.warning(
                "%s, line %d: %d of %d points lie outside min_depth_metres=%g to max_depth_metres=%g and are not asked about. Said "
                "once.",
                *(self.file, number, out_of_range, len(metres), nearest, farthest),
            )
        sample_id = f"{self.file.stem}/{number}"
        rng = np.random.default_rng([self.seed, zlib.crc32(sample_id.encode()), draw])
        drawn = rng.permutation(usable)[: options.questions_per_image]
        size = (view.frame.height, view.frame.width)
        asked = distinct_questions(questions_at(view.pixels[drawn], metres[drawn], size, options.steps))
        return SpatialExample(
            sample_id=sample_id,
            scene_id=self.file.stem,
            frame_ids=(entry["image"],),
            frames=(view.frame,),
            depth_metres=None,
            intrinsics=None,
            world_from_camera=None,
            **turns_of(asked),
        )

    def _fail(self, number: int, what: str) -> NoReturn:
        raise SpatialDataError(f"{self.file}, line {number}: {what}")

    def _entry(self, number: int, start: int) -> dict:
        with self.file.open("rb") as lines:
            lines.seek(start)
            line = lines.readline()
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            self._fail(number, f"no JSON ({error}): write one object per line.")
        missing = [name for name in FIELDS if not isinstance(entry, dict) or name not in entry]
        if missing:
            self._fail(number, f"no field {missing[0]!r}: an image needs {', '.join(FIELDS)}.")
        return entry

    def _frame(self, number: int, name: str) -> Image.Image:
        if not isinstance(name, str) or not name:
            self._fail(number, f"`image` is {name!r}: give a path.")
        try:
            return decode_frame(self.file.stem, number, str(self.image_root / name))
        except SpatialDataError as error:
            self._fail(number, f"{error} Paths start at {self.image_root}: see image_root.")

    def _numbers(
        self, number: int, entry: dict, name: str, shape: tuple[int | None, ...], may_lack: bool = False
    ) -> np.ndarray:
        """Numbers of a shape, all finite unless some may be lacking."""
        wanted = " x ".join("any" if side is None else str(side) for side in shape)
        try:
            values = np.array(entry[name])
        except ValueError:  # lists of several lengths
            self._fail(number, f"`{name}` must be {wanted} numbers.")
        if values.dtype.kind not in "iuf":  # text, booleans, nothing, and whole numbers beyond 64 bits
            self._fail(number, f"`{name}` must be {wanted} numbers.")
        values = values.astype(np.float64)
        fits = values.ndim == len(shape) and all(
            want in (None, side) for want, side in zip(shape, values.shape, strict=True)
        )
        if not fits or not (may_lack or np.isfinite(values).all()):
            self._fail(number, f"`{name}` must be {wanted} finite numbers, it has shape {values.shape}.")
        return values
