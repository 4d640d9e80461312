"""DepthLM's JSON lines: one image per line with its camera and points of known depth.

    {"image": "rgb/0001.png", "intrinsics": [fx, fy, cx, cy, width, height],
     "pixel_coords": [[u, v], ...], "depth": [metres, ...]}

What "depth" means differs from set to set (distance to the camera in most of DepthLM's own, z in nuScenes), so it has
to be said. `pixel_coords` are columns and rows counted from 0. fy = 0 stands for fx. With a calibrator, lines may lack
`intrinsics`.
"""

import json
import logging
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image

from igep.calibrator import EXAMPLE
from igep.focal_unification import Calibrator, intrinsics_from_field_of_view, unified_size, unify_focal_length
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
CAMERA = re.compile(rb'"intrinsics"\s*:\s*(\[[^\[\]]*\])')


@dataclass
class DepthLMOptions(DatasetPlace):
    """Options of `depthlm`, besides the place of its file and of its images.

    Args:
        depth_kind (`str`, *optional*): `z`, or `euclidean` for distances to the camera. `depthlm`: must be said, since
            its sets differ.
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
        calibrator (`Calibrator`, *optional*): Tells the horizontal field of view of images whose lines have no
            `intrinsics`, now: a worker that reads rows has no model.

    Raises:
        SpatialDataError: The file is not there or has no line, or an image to calibrate cannot be read. Reading a row
            raises it for anything in its line that breaks the format, with the number of the line.
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
        calibrator: Calibrator | None = None,
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
        self._estimated: dict[int, np.ndarray] = {} if calibrator is None else self._calibrated(calibrator)

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """Names of the samples, in row order, without reading them."""
        return tuple(f"{self.file.stem}/{number}" for number, _ in self._starts)

    def unified_sizes(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """See `WrittenRows.unified_sizes`: one for each camera of the lines."""
        seen = set()
        with self.file.open("rb") as lines:
            for (number, start), sample_id in zip(self._starts, self.sample_ids, strict=True):
                lines.seek(start)
                # Its points, of which there may be a hundred times as many, are not read for it.
                found = CAMERA.search(lines.readline())
                stated = {} if found is None else {"intrinsics": json.loads(found[1])}
                camera = self._camera(number, stated)
                if camera.tobytes() not in seen:
                    seen.add(camera.tobytes())
                    size = (int(camera[5]), int(camera[4]))
                    try:
                        yield sample_id, unified_size(size, _matrix(camera), **self.options.unification)
                    except ValueError as error:
                        self._fail(number, f"{error}")

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
        camera = self._camera(number, entry)
        pixels = self._numbers(number, entry, "pixel_coords", (None, 2)) + 0.5
        metres = self._numbers(number, entry, "depth", (None,), may_lack=True)
        if len(pixels) != len(metres):
            self._fail(number, f"{len(pixels)} `pixel_coords` for {len(metres)} `depth`: give one depth per point.")
        intrinsics = _matrix(camera)
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
                "%s, line %d: %d of %d points lie outside min_depth_metres=%g to max_depth_metres=%g and are not "
                "asked about. Said once.",
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

    def _calibrated(self, calibrator: Calibrator) -> dict[int, np.ndarray]:
        """(6,) intrinsics, width and height of every line that has none, by its number."""
        estimated, angles = {}, []
        for number, start in self._starts:
            entry = self._entry(number, start)
            if entry["intrinsics"] is None:
                frame = self._frame(number, entry["image"])
                angles.append(calibrator(frame))
                matrix = intrinsics_from_field_of_view((frame.height, frame.width), angles[-1])
                camera = [*matrix[[0, 1], [0, 1]], *matrix[:2, 2], frame.width, frame.height]
                estimated[number] = np.array(camera, dtype=np.float64)
        if estimated:
            logger.warning(
                "%s: %d of %d lines have no intrinsics: the calibrator estimates a horizontal field of view of %.1f "
                "to %.1f degrees.",
                *(self.file, len(estimated), len(self._starts), min(angles), max(angles)),
            )
        return estimated

    def _camera(self, number: int, entry: dict) -> np.ndarray:
        """(6,) fx, fy, cx, cy, width and height of a line."""
        if number in self._estimated:
            return self._estimated[number]
        if entry.get("intrinsics") is None:
            self._fail(number, f"no `intrinsics`: give them, or set calibrator to a depth model such as {EXAMPLE}.")
        return self._numbers(number, entry, "intrinsics", (6,))

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
        needed = [name for name in FIELDS if name != "intrinsics"]  # which a calibrator may estimate
        missing = [name for name in needed if not isinstance(entry, dict) or name not in entry]
        if missing:
            self._fail(number, f"no field {missing[0]!r}: an image needs {', '.join(FIELDS)}.")
        return {"intrinsics": None} | entry

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


def _matrix(camera: np.ndarray) -> np.ndarray:
    """(3, 3) of the numbers of a line."""
    fx, fy, cx, cy = camera[:4]
    return np.array([[fx, 0, cx], [0, fy or fx, cy], [0, 0, 1]])
