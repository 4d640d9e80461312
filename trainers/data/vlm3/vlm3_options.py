"""Options of VLM3's questions: which task, how images are unified, which places and pairs are asked about."""

from dataclasses import dataclass, field
from typing import Any

from igep.focal_unification import MODES, PIXEL_MAPPINGS
from igep.text_pixels import CORRESPONDENCE_STEPS, DEPTH_STEPS, OBJECT_STEPS


VLM3_TASKS = ("depth", "correspondence", "pose", "objects")
TASK_STEPS = {
    "depth": DEPTH_STEPS,
    "correspondence": CORRESPONDENCE_STEPS,
    "pose": CORRESPONDENCE_STEPS,
    "objects": OBJECT_STEPS,
}
CLOCK_FACING = ("axis", "ray")
ABOVE_BELOW_IN = ("world", "image")
LEFT_RIGHT_IN = ("metres", "image")
DEPTH_RANGE = (0.05, 100.0)  # metres
USAGE_FIELDS = (
    *("focal_pixels", "focal_mode", "longest_side", "max_image_pixels", "canvas_size", "pixel_mapping"),
    *("text_pixel_steps", "distance_kind", "think", "clock_facing", "above_below_in", "left_right_in"),
)


@dataclass
class VLM3Options:
    """What VLM3 asks about posed RGB-D scenes.

    Args:
        task (`str`, *optional*, defaults to `"depth"`): `depth` and `objects` show one frame, `correspondence` and
            `pose` two.
        questions_per_image (`int`, *optional*, defaults to `10`): K, most questions about one set of images; `pose`
            has four.
        focal_pixels (`float`, *optional*, defaults to `1000.0`): Focal length that every image is resized to; `None`
            leaves it. The released pose checkpoint has 750.
        focal_mode (`str`, *optional*, defaults to `"both"`): `both` or `fx`, see `focal_unification`.
        longest_side (`int`, *optional*): Then resize until the longer side has so many pixels; without
            `focal_pixels` only so, as the released sample of correspondence (1024).
        max_image_pixels (`int`, *optional*): Crop unified images to so many pixels around their centre.
        canvas_size (`list[int]`, *optional*): Crop or pad unified images to this height and width.
        pixel_mapping (`str`, *optional*, defaults to `"image"`): Where questions say that a pixel is: where the
            resized image shows it; `truncate` as the released depth labels, `exact` as those of correspondence (see
            `focal_unification.UnifiedView.written_pixels`).
        text_pixel_steps (`int`, *optional*): N of the text pixels; 2000 for `depth` and 1000 otherwise unless given.
        distance_kind (`str`, *optional*, defaults to `"euclidean"`): `depth`: distance from the camera's centre, as
            most of DepthLM's sets mean it, or `z` along its axis.
        think (`bool`, *optional*, defaults to `False`): `correspondence`: ask for and write the reasoning.
        clock_facing (`str`, *optional*, defaults to `"axis"`): `objects`: 12 o'clock is along the camera's optical
            axis, or `ray`: from the camera through the object that one stands at. The question says which; so with the
            next two.
        above_below_in (`str`, *optional*, defaults to `"world"`): `objects`: higher in the `world`, or in the `image`.
        left_right_in (`str`, *optional*, defaults to `"metres"`): `objects`: to the right by `metres` along the
            camera's x axis, or in the `image`.
        min_depth_metres (`float`, *optional*): Nearest surface that is asked about: the least that the sensor
            measures. By default that of the dataset, see `DEPTH_RANGE` and `training_rows.DEPTH_RANGES`.
        max_depth_metres (`float`, *optional*): Farther depth is no measurement, for questions and for the geometry
            losses. By default likewise.
        depth_edge_tolerance (`float`, *optional*, defaults to `0.05`): Share of the inverse depth by which a pixel may
            leave the plane of its neighbours before it counts as an edge, about which nothing is asked.
        min_covisibility (`float`, *optional*, defaults to `0.1`): Pairs: least share of either frame's surface that
            the other sees.
        max_covisibility (`float`, *optional*, defaults to `1.0`): Pairs: largest.
        max_frame_gap (`int`, *optional*, defaults to `40`): Pairs: farthest frames of a pair, in frames of the table.

    Raises:
        ValueError: A value outside its range; the message names it.
    """

    task: str = field(default="depth", metadata={"help": "What is asked.", "choices": list(VLM3_TASKS)})
    questions_per_image: int = field(
        default=10, metadata={"help": "VLM3: most questions about one set of images (pose has four)."}
    )
    focal_pixels: float | None = field(
        default=1000.0,
        metadata={"help": "VLM3: focal length in pixels that every image is resized to (pose: 750 was released)."},
    )
    focal_mode: str = field(
        default="both",
        metadata={"help": "VLM3: resize each axis by its own factor, or both by that of fx.", "choices": list(MODES)},
    )
    longest_side: int | None = field(
        default=None,
        metadata={"help": "VLM3: resize until the longer side has so many pixels, after focal_pixels if set."},
    )
    max_image_pixels: int | None = field(
        default=None, metadata={"help": "VLM3: crop unified images to so many pixels around their centre."}
    )
    canvas_size: list[int] | None = field(
        default=None, metadata={"help": "VLM3: crop or pad unified images to this height and width."}
    )
    pixel_mapping: str = field(
        default="image",
        metadata={
            "help": "VLM3: pixels are where the image shows them, or where the release's labels have them.",
            "choices": list(PIXEL_MAPPINGS),
        },
    )
    text_pixel_steps: int | None = field(
        default=None, metadata={"help": "VLM3: N of the text pixels (default: 2000 for depth, else 1000)."}
    )
    distance_kind: str = field(
        default="euclidean",
        metadata={
            "help": "VLM3 depth: distance from the camera's centre or along its axis.",
            "choices": ["euclidean", "z"],
        },
    )
    think: bool = field(default=False, metadata={"help": "VLM3 correspondence: ask for and write the reasoning."})
    clock_facing: str = field(
        default="axis",
        metadata={
            "help": "VLM3 objects: 12 o'clock is along the optical axis, or from the camera through the object.",
            "choices": list(CLOCK_FACING),
        },
    )
    above_below_in: str = field(
        default="world", metadata={"help": "VLM3 objects: what above and below mean.", "choices": list(ABOVE_BELOW_IN)}
    )
    left_right_in: str = field(
        default="metres", metadata={"help": "VLM3 objects: what left and right mean.", "choices": list(LEFT_RIGHT_IN)}
    )
    min_depth_metres: float | None = field(
        default=None,
        metadata={
            "help": "VLM3: nearest surface that is asked about (default: 0.2 of scannet, 0.05 of others; depthlm: 0)."
        },
    )
    max_depth_metres: float | None = field(
        default=None,
        metadata={
            "help": "Farther depth is no measurement: no loss sees it, and no question of VLM3 asks about it "
            "(default: 100; depthlm: no limit)."
        },
    )
    depth_edge_tolerance: float = field(
        default=0.05, metadata={"help": "VLM3: share of the inverse depth beyond which a pixel counts as an edge."}
    )
    min_covisibility: float = field(
        default=0.1, metadata={"help": "VLM3 pairs: least share of either frame's surface that the other sees."}
    )
    max_covisibility: float = field(default=1.0, metadata={"help": "VLM3 pairs: largest such share."})
    max_frame_gap: int = field(default=40, metadata={"help": "VLM3 pairs: farthest frames of a pair."})

    def __post_init__(self):
        choices_of = {"focal_mode": MODES, "pixel_mapping": PIXEL_MAPPINGS, "distance_kind": ("euclidean", "z")}
        choices_of |= {
            "clock_facing": CLOCK_FACING,
            "above_below_in": ABOVE_BELOW_IN,
            "left_right_in": LEFT_RIGHT_IN,
        }
        for name, choices in choices_of.items():
            if vars(self)[name] not in choices:
                raise ValueError(f"{name}={vars(self)[name]!r} is unknown: use one of {', '.join(choices)}.")
        if self.task not in VLM3_TASKS:
            raise ValueError(f"task={self.task!r} is unknown: use one of {', '.join(VLM3_TASKS)}.")
        for name in ("questions_per_image", "longest_side", "max_image_pixels", "text_pixel_steps", "max_frame_gap"):
            value = vars(self)[name]
            if value is None:
                continue
            if value is True or value % 1:
                raise ValueError(f"{name}={value!r} must be a whole number.")
            least = 2 if name == "text_pixel_steps" else 1  # one step tells no place from another
            if value < least:
                raise ValueError(f"{name}={value} must be at least {least}.")
        if self.focal_pixels is not None and not 0 < self.focal_pixels < float("inf"):
            raise ValueError(f"focal_pixels={self.focal_pixels} must be a positive number of pixels, such as 1000.")
        if self.canvas_size is not None and (len(self.canvas_size) != 2 or min(self.canvas_size) < 1):
            raise ValueError(f"canvas_size={self.canvas_size} must be a height and a width, such as [768, 1024].")
        if self.canvas_size is not None and self.max_image_pixels is not None:
            raise ValueError("canvas_size and max_image_pixels exclude each other: give one.")
        nearest, farthest = self.depth_range
        if not 0 <= nearest < farthest:
            raise ValueError(
                f"min_depth_metres={nearest} and max_depth_metres={farthest} must satisfy 0 <= min < max."
            )
        if not self.depth_edge_tolerance > 0:
            raise ValueError(f"depth_edge_tolerance={self.depth_edge_tolerance} must be positive.")
        if not 0 <= self.min_covisibility <= self.max_covisibility <= 1:
            raise ValueError(
                f"min_covisibility={self.min_covisibility} and max_covisibility={self.max_covisibility} must satisfy "
                "0 <= min <= max <= 1."
            )

    @property
    def steps(self) -> int:
        """N of the text pixels."""
        return TASK_STEPS[self.task] if self.text_pixel_steps is None else self.text_pixel_steps

    @property
    def depth_range(self) -> tuple[float, float]:
        """Nearest and farthest depth in metres that is asked about."""
        nearest, farthest = DEPTH_RANGE
        return (
            nearest if self.min_depth_metres is None else self.min_depth_metres,
            farthest if self.max_depth_metres is None else self.max_depth_metres,
        )

    @property
    def resizes(self) -> bool:
        """Whether images are brought to a size that the processor must leave."""
        return self.focal_pixels is not None or self.longest_side is not None

    @property
    def unification(self) -> dict[str, Any]:
        """Arguments of `unify_focal_length`."""
        return {
            "focal_pixels": self.focal_pixels,
            "mode": self.focal_mode,
            "longest_side": self.longest_side,
            "max_pixels": self.max_image_pixels,
            "canvas_size": None if self.canvas_size is None else tuple(self.canvas_size),
            "pixel_mapping": self.pixel_mapping,
        }

    @property
    def usage(self) -> dict[str, Any]:
        """Those of `USAGE_FIELDS`, defaults filled in: what has to be the same when a model taught so is asked."""
        canvas = None if self.canvas_size is None else list(self.canvas_size)
        found = {name: vars(self)[name] for name in USAGE_FIELDS}
        return found | {"text_pixel_steps": self.steps, "canvas_size": canvas}

    @property
    def images_per_row(self) -> int:
        """Images that a question of this task shows."""
        return 2 if self.task in ("correspondence", "pose") else 1
