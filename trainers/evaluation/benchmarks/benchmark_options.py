"""What is asked of a benchmark: scenes and questions as in training, and how the model is shown them."""

from dataclasses import dataclass, field

from igep.ground_head import GEOMETRY_OF
from igep.trainers.data.training_rows import RowOptions


@dataclass
class BenchmarkOptions(RowOptions):
    """Options of one benchmark. Scenes and questions as in training, see `RowOptions`.

    Args:
        max_rows (`int`, *optional*): Sets of frames that are asked about, spread evenly over all; all unless given.
        max_new_tokens (`int`, *optional*): Longest answer; the benchmark's own unless given.
        frames_as (`str`, *optional*): Show the frames as `"images"` or as one `"video"`; as in the model's training unless
            given, else as the benchmark does.
        question_seed (`int`, *optional*, defaults to `0`): Seed of the questions that are written.
        held_out_rooms (`int`, *optional*, defaults to `512`): `rooms`, `depth_probe`, `latency`: rooms of the held-out seed.
        questions_per_pass (`int`, *optional*, defaults to `64`): Most questions that share one pass over their frames.
        geometry_inputs (`str`, *optional*): `scanrefer`, `multi3drefer`: what tells which visual tokens are inside a proposal:
            `none`, `pose` or `depth+pose`; as in the model's training unless given. Predictions that are scored alone must say;
            those of other benchmarks are scored as `not stated` unless they say what they were made with.
        checkpoint (`str`, *optional*): `depth_probe`: trainer checkpoint with the training heads, for the picture.
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
    questions_per_pass: int = field(
        default=64, metadata={"help": "Most questions that share one pass over their frames."}
    )
    geometry_inputs: str | None = field(
        default=None,
        metadata={
            "help": "scanrefer, multi3drefer: geometry that describes proposals (default: as in the model's training); with "
            "--predictions: that they were made with (default: not stated).",
            "choices": list(GEOMETRY_OF),
        },
    )
    checkpoint: str | None = field(
        default=None, metadata={"help": "depth_probe: trainer checkpoint with the training heads, for the picture."}
    )
    picture: str | None = field(
        default=None, metadata={"help": "depth_probe: PNG of depth in frames, verifier and encoder."}
    )

    def __post_init__(self):
        super().__post_init__()
        for name in ("max_rows", "max_new_tokens", "held_out_rooms", "questions_per_pass"):
            if vars(self)[name] is not None and vars(self)[name] < 1:
                raise ValueError(f"{name}={vars(self)[name]} must be at least 1.")
        if self.geometry_inputs not in (None, *GEOMETRY_OF):
            raise ValueError(f"geometry_inputs={self.geometry_inputs!r}: use one of {', '.join(GEOMETRY_OF)}.")
        if self.frames_as not in (None, "images", "video"):
            raise ValueError(f"frames_as={self.frames_as!r} must be images or video.")
        if (self.picture is None) != (self.checkpoint is None):
            raise ValueError(
                "picture and checkpoint go together: the depth verifier lives in a checkpoint, not in the model."
            )
