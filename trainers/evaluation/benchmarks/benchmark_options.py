"""What is asked of a benchmark: scenes and questions as in training, and how the model is shown them."""

from dataclasses import dataclass, field

from igep.ground_head import GEOMETRY_OF
from igep.trainers.data.training_rows import RowOptions


ROOM_SPLITS = ("held_out", "validation")


@dataclass
class BenchmarkOptions(RowOptions):
    """Options of one benchmark. Scenes and questions as in training, see `RowOptions`.

    Args:
        max_rows (`int`, *optional*): Sets of frames that are asked about, spread evenly over all; all unless given.
        max_new_tokens (`int`, *optional*): Longest answer; the benchmark's own unless given.
        frames_as (`str`, *optional*): Show the frames as `"images"` or as one `"video"`; as in the model's training
            unless given, else as the benchmark does.
        question_seed (`int`, *optional*, defaults to `0`): Seed of the questions that are written.
        held_out_rooms (`int`, *optional*, defaults to `512`): `rooms`, `depth_probe`, `latency`: rooms of the held-out
            seed.
        room_split (`str`, *optional*, defaults to `"held_out"`): `rooms`, `depth_probe`: `"held_out"` rooms are
            reported, `"validation"` rooms, of another seed, are those on which settings are chosen.
        questions_per_pass (`int`, *optional*, defaults to `64`): Most questions that share one pass over their frames.
        geometry_inputs (`str`, *optional*): `scanrefer`, `multi3drefer`: what tells which visual tokens are inside a
            proposal: `none`, `pose` or `depth+pose`; as in the model's training unless given. Predictions that are
            scored alone must say; those of other benchmarks are scored as `not stated` unless they say what they were
            made with.
        box_min_probability (`float`, *optional*, defaults to `0.2`): `multi3drefer_regressed`: boxes of this
            probability and more, of the softmax over all box queries, are meant; none where there is none.
            `scanrefer_regressed` takes the best.
        pixel_grid (`list[int]`, *optional*, defaults to `[16, 20]`): `reconstruction`: rows and columns of the pixels
            of a frame whose depth is compared.
        checkpoint (`str`, *optional*): Trainer checkpoint with the training heads. `depth_probe`: for the picture;
            `reconstruction`: compare the depth of its verifier.
        picture (`str`, *optional*): `depth_probe`: PNG of depth in frames, verifier and encoder; needs `checkpoint`.

    Raises:
        ValueError: A value out of range; the message names it.
    """

    max_rows: int | None = field(
        default=None, metadata={"help": "Sets of frames per benchmark, spread evenly over all (default: all)."}
    )
    max_new_tokens: int | None = field(
        default=None, metadata={"help": "Longest answer in tokens (default: the benchmark's own)."}
    )
    frames_as: str | None = field(
        default=None,
        metadata={
            "help": "How the model sees the frames (default: as in its training).",
            "choices": ["images", "video"],
        },
    )
    question_seed: int = field(default=0, metadata={"help": "Seed of the questions that are written."})
    held_out_rooms: int = field(
        default=512, metadata={"help": "rooms, depth_probe, latency: rooms of the held-out seed."}
    )
    room_split: str = field(
        default="held_out",
        metadata={
            "help": "rooms, depth_probe: rooms that are reported, or those on which settings are chosen.",
            "choices": list(ROOM_SPLITS),
        },
    )
    questions_per_pass: int = field(
        default=64, metadata={"help": "Most questions that share one pass over their frames."}
    )
    geometry_inputs: str | None = field(
        default=None,
        metadata={
            "help": "scanrefer, multi3drefer: geometry that describes proposals (default: as in the model's "
            "training); with --predictions: that they were made with (default: not stated).",
            "choices": list(GEOMETRY_OF),
        },
    )
    box_min_probability: float = field(
        default=0.2,
        metadata={"help": "multi3drefer_regressed: least probability, among all box queries, of a box that is meant."},
    )
    pixel_grid: list[int] = field(
        default_factory=lambda: [16, 20],
        metadata={"help": "reconstruction: rows and columns of the pixels of a frame whose depth is compared."},
    )
    checkpoint: str | None = field(
        default=None,
        metadata={
            "help": "Trainer checkpoint with the training heads. depth_probe: for the picture; reconstruction: "
            "compare the depth of its verifier."
        },
    )
    picture: str | None = field(
        default=None, metadata={"help": "depth_probe: PNG of depth in frames, verifier and encoder."}
    )

    def __post_init__(self):
        super().__post_init__()
        for name in ("max_rows", "max_new_tokens", "held_out_rooms", "questions_per_pass"):
            if vars(self)[name] is not None and vars(self)[name] < 1:
                raise ValueError(f"{name}={vars(self)[name]} must be at least 1.")
        if self.room_split not in ROOM_SPLITS:
            raise ValueError(f"room_split={self.room_split!r}: use one of {', '.join(ROOM_SPLITS)}.")
        if self.geometry_inputs not in (None, *GEOMETRY_OF):
            raise ValueError(f"geometry_inputs={self.geometry_inputs!r}: use one of {', '.join(GEOMETRY_OF)}.")
        if not 0 < self.box_min_probability <= 1:
            raise ValueError(f"box_min_probability={self.box_min_probability} must be above 0 and at most 1.")
        if self.frames_as not in (None, "images", "video"):
            raise ValueError(f"frames_as={self.frames_as!r} must be images or video.")
        if len(self.pixel_grid) != 2 or min(self.pixel_grid) < 1:
            raise ValueError(f"pixel_grid={self.pixel_grid} must be two numbers of at least 1, rows and columns.")
        if self.picture is not None and self.checkpoint is None:
            raise ValueError(
                "picture and checkpoint go together: the depth verifier lives in a checkpoint, not in the model."
            )
