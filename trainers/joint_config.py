"""Options of Vid-LLM's second stage, reconstruction and reasoning together."""

from dataclasses import dataclass, field

from igep.trainers.supervision.reconstruction_losses import TRANSLATION_DISTANCES
from igep.trainers.vid_llm_config import VidLLMTrainingConfig, check_weights


GEOMETRY_WEIGHTS = ("camera_weight", "depth_weight", "points_weight", "metric_depth_weight")
GROUNDING_WEIGHTS = ("ground_weight", "box_weight", "match_weight")
WEIGHTS = ("language_weight", *GEOMETRY_WEIGHTS, *GROUNDING_WEIGHTS)


@dataclass
class JointConfig(VidLLMTrainingConfig):
    r"""
    Configuration of [`JointTrainer`]. Everything of [`VidLLMTrainingConfig`] holds. A term of weight 0 trains nothing,
    and a part of the model that no term reaches stays as it is.

    Args:
        language_weight (`float`, *optional*, defaults to `1.0`):
            Weight of the cross-entropy of the answers.
        camera_weight (`float`, *optional*, defaults to `5.0`):
            Weight of the camera loss; VGGT's.
        depth_weight (`float`, *optional*, defaults to `1.0`):
            Weight of the loss of relative depth; VGGT's.
        points_weight (`float`, *optional*, defaults to `1.0`):
            Weight of the loss of the points of depth and cameras; VGGT's, whose head for points Vid-LLM has not.
        metric_depth_weight (`float`, *optional*, defaults to `1.0`):
            Weight of `L_MD`; 0 for a model without metric depth.
        ground_weight (`float`, *optional*, defaults to `0.0`):
            Weight of choosing among boxes, for a model with a ground head.
        box_weight (`float`, *optional*, defaults to `0.0`):
            Weight of regressed boxes (`1 - DIoU`), for a model with a box decoder.
        match_weight (`float`, *optional*, defaults to `0.0`):
            Weight of telling which query is meant, likewise.
        grounding_learning_rate (`float`, *optional*):
            Learning rate of both heads; `learning_rate` unless given.
        camera_translation_weight (`float`, *optional*, defaults to `1.0`):
            Within the camera loss; VGGT's.
        camera_rotation_weight (`float`, *optional*, defaults to `1.0`):
            Within the camera loss; VGGT's.
        camera_field_of_view_weight (`float`, *optional*, defaults to `0.5`):
            Within the camera loss; VGGT's.
        camera_iteration_decay (`float`, *optional*, defaults to `0.6`):
            An iteration of the camera head weighs so much less than the next; VGGT's gamma.
        camera_translation_distance (`str`, *optional*, defaults to `"l1"`):
            `"l1"` (VGGT's code) or `"huber"` (its paper).
        confidence_alpha (`float`, *optional*, defaults to `0.2`):
            Weight of `-log c` in the losses of depth and points; VGGT's.
        metric_alpha (`float`, *optional*, defaults to `1.0`):
            Alpha of `L_MD`, on which the paper is silent.
        metric_epsilon_metres (`float`, *optional*, defaults to `1e-3`):
            Epsilon of `L_MD`, likewise.
        max_length (`int`, *optional*):
            Longest sequence in tokens. A sample whose frames or first question would be cut is an error, longer
            conversations lose their end.
        pack_questions (`bool`, *optional*, defaults to `False`):
            The questions of a row are independent: each sees the frames and itself only, and the frames are encoded
            once.
        max_packed_tokens (`int`, *optional*):
            With `pack_questions`: put the rows of a batch behind each other in sequences of at most so many tokens.
        merge_adapter_at_save (`bool`, *optional*, defaults to `True`):
            LoRA: `save_model` writes the merged model into the output folder besides `adapter/`.

    Raises:
        ValueError: A field has a value outside its range; the message names it, the value and the remedy.
    """

    language_weight: float = field(
        default=1.0, metadata={"help": "Weight of the cross-entropy of the answers; 0 = it trains nothing."}
    )
    camera_weight: float = field(default=5.0, metadata={"help": "Weight of the camera loss; 0 = it trains nothing."})
    depth_weight: float = field(default=1.0, metadata={"help": "Weight of relative depth; 0 = it trains nothing."})
    points_weight: float = field(
        default=1.0, metadata={"help": "Weight of the points of depth and cameras; 0 = it trains nothing."}
    )
    metric_depth_weight: float = field(
        default=1.0, metadata={"help": "Weight of metric depth; 0 = it trains nothing."}
    )
    ground_weight: float = field(
        default=0.0, metadata={"help": "Weight of choosing among boxes, for a model with a ground head."}
    )
    box_weight: float = field(
        default=0.0, metadata={"help": "Weight of regressed boxes, for a model with a box decoder."}
    )
    match_weight: float = field(
        default=0.0, metadata={"help": "Weight of which box query is meant, for a model with a box decoder."}
    )
    grounding_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of both heads of grounding (default: learning_rate)."}
    )
    camera_translation_weight: float = field(
        default=1.0, metadata={"help": "Weight of translations within the camera loss."}
    )
    camera_rotation_weight: float = field(
        default=1.0, metadata={"help": "Weight of rotations within the camera loss."}
    )
    camera_field_of_view_weight: float = field(
        default=0.5, metadata={"help": "Weight of fields of view within the camera loss."}
    )
    camera_iteration_decay: float = field(
        default=0.6, metadata={"help": "An iteration of the camera head weighs so much less than the next."}
    )
    camera_translation_distance: str = field(
        default="l1", metadata={"help": "How translations are compared.", "choices": list(TRANSLATION_DISTANCES)}
    )
    confidence_alpha: float = field(
        default=0.2, metadata={"help": "Weight of -log c in the losses of depth and points."}
    )
    metric_alpha: float = field(default=1.0, metadata={"help": "Alpha of the metric depth loss; 0 = plain squares."})
    metric_epsilon_metres: float = field(
        default=1e-3, metadata={"help": "Added to depths before their logarithm in the metric depth loss."}
    )
    max_length: int | None = field(
        default=None,
        metadata={
            "help": "Longest sequence in tokens. A sample whose frames or first question would be cut is an error."
        },
    )
    pack_questions: bool = field(
        default=False,
        metadata={"help": "Questions of a row are independent and share one encoding of the frames."},
    )
    max_packed_tokens: int | None = field(
        default=None,
        metadata={"help": "With pack_questions: join the rows of a batch into sequences of at most so many tokens."},
    )
    merge_adapter_at_save: bool = field(
        default=True, metadata={"help": "LoRA: write the merged model into the output folder besides adapter/."}
    )

    def __post_init__(self):
        super().__post_init__()
        check_weights({name: vars(self)[name] for name in WEIGHTS})
        for name in (
            *("camera_translation_weight", "camera_rotation_weight", "camera_field_of_view_weight"),
            *("camera_iteration_decay", "confidence_alpha", "metric_alpha", "metric_epsilon_metres"),
        ):
            if not 0 <= vars(self)[name] < float("inf"):
                raise ValueError(f"{name}={vars(self)[name]} must be a finite number >= 0.")
        if self.camera_translation_distance not in TRANSLATION_DISTANCES:
            raise ValueError(
                f"camera_translation_distance={self.camera_translation_distance!r} is unknown: use one of "
                f"{', '.join(TRANSLATION_DISTANCES)}."
            )
        if self.max_packed_tokens is not None and (not self.pack_questions or self.max_packed_tokens < 1):
            raise ValueError(
                f"max_packed_tokens={self.max_packed_tokens} must be at least 1 and needs pack_questions: set that to "
                "true."
            )

    @property
    def supervises_geometry(self) -> bool:
        """Whether any geometric loss is computed."""
        return any(vars(self)[name] for name in GEOMETRY_WEIGHTS)

    @property
    def reads_text(self) -> bool:
        """Whether any loss of answers is computed."""
        return any(vars(self)[name] for name in ("language_weight", *GROUNDING_WEIGHTS))

    @property
    def learning_rates(self) -> dict[str, float]:
        """Learning rate of each part of the model."""
        grounding = self.learning_rate if self.grounding_learning_rate is None else self.grounding_learning_rate
        return super().learning_rates | {"ground_head": grounding, "box_decoder": grounding}

    @property
    def camera_options(self) -> dict[str, float | str]:
        """Options of `camera_loss`."""
        return {
            "translation_weight": self.camera_translation_weight,
            "rotation_weight": self.camera_rotation_weight,
            "field_of_view_weight": self.camera_field_of_view_weight,
            "iteration_decay": self.camera_iteration_decay,
            "translation_distance": self.camera_translation_distance,
        }

    @property
    def losses(self) -> dict[str, float]:
        """Weight of each loss by its name in words, as a card lists them."""
        return {
            "cross-entropy of the answers": self.language_weight,
            "cameras in the first camera's frame": self.camera_weight,
            "relative depth, weighted by its confidence": self.depth_weight,
            "points of that depth and these cameras": self.points_weight,
            "metric depth in logarithms": self.metric_depth_weight,
            "grounding among boxes, by the model's own reconstruction": self.ground_weight,
            "boxes regressed from queries": self.box_weight,
            "which of these queries is meant": self.match_weight,
        }
