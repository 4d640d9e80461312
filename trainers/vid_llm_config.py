"""Options of both stages of Vid-LLM: transformers' `TrainingArguments`, the frames, and which parts learn how fast."""

import json
from dataclasses import MISSING, dataclass, field, fields

from transformers import TrainingArguments

from igep.trainers.loop.load_rows import MixedRowOptions
from igep.trainers.sft_inherited_options import check_training_options


PARTS = ("vision", "adapter", "reconstruction", "metric_depth", "language_projection", "language")


@dataclass
class VidLLMScriptArguments(MixedRowOptions):
    """Which scenes to train on (see `MixedRowOptions`), and what a new model is made of.

    Args:
        vision_name_or_path (`str`, *optional*): New model: its vision encoder, a Hub id or folder; DINOv2-like.
        language_name_or_path (`str`, *optional*): New model: its language model, a Hub id or folder.
        vid_llm_config (`dict` or `str`, *optional*): New model: further fields of `VidLLMConfig`, as a mapping or
            JSON.
        frame_size (`list[int]`, *optional*, defaults to `[518]`): New model: what its frames are resized to, the
            shorter side or height and width, which the saved processor keeps.

    Raises:
        ValueError: The configuration is no mapping, or an option of the rows is wrong.
    """

    vision_name_or_path: str | None = field(
        default=None, metadata={"help": "New model: Hub id or folder of its vision encoder (DINOv2-like)."}
    )
    language_name_or_path: str | None = field(
        default=None, metadata={"help": "New model: Hub id or folder of its language model."}
    )
    vid_llm_config: dict | str | None = field(
        default=None, metadata={"help": "New model: further fields of VidLLMConfig, a mapping or JSON."}
    )
    frame_size: list[int] = field(
        default_factory=lambda: [518],
        metadata={"help": "New model: its frames are resized to this shorter side, or height and width."},
    )

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.vid_llm_config, str):
            try:
                self.vid_llm_config = json.loads(self.vid_llm_config)
            except json.JSONDecodeError as error:
                raise ValueError(f'vid_llm_config is not JSON ({error}): write {{"bridge_tokens": 16}}.') from error
        if not isinstance(self.vid_llm_config, dict | None):
            raise ValueError(  # noqa: TRY004 - as every bad value of a recipe
                f"vid_llm_config={self.vid_llm_config!r} must be a mapping of fields of VidLLMConfig."
            )
        if len(self.frame_size) not in (1, 2) or min(self.frame_size) < 1:
            raise ValueError(
                f"frame_size={self.frame_size} must be a shorter side, or a height and a width, in pixels."
            )


@dataclass
class VidLLMTrainingConfig(TrainingArguments):
    r"""
    What both stages share. Everything of [`~transformers.TrainingArguments`] holds, with other defaults for
    `remove_unused_columns` (`False`: rows are no columns here) and `hub_strategy` (`"end"`). Options that would change
    nothing are refused with the reason.

    Args:
        remove_unused_columns (`bool`, *optional*, defaults to `False`):
            Keep `False`: rows are joined scenes and questions, not columns.
        hub_strategy (`str`, *optional*, defaults to `"end"`):
            With `push_to_hub`, upload the saved model, at the end.
        geometry_size (`list[int]`, *optional*, defaults to `[480, 640]`):
            Height and width that depth is read at; targets are then resampled to the size of the model's frames.
        frames_as (`str`, *optional*, defaults to `"video"`):
            Keep `"video"`: the model sees the frames of a row as one video.
        freeze_encoder (`bool`, *optional*, defaults to `False`):
            Keep the vision encoder as it is. The paper's text trains all modules in stage 2; its figure shows the
            encoder frozen.
        freeze (`list[str]`, *optional*, defaults to `[]`):
            Further parts that do not train, among `adapter`, `reconstruction`, `metric_depth`, `language_projection`,
            `language`.
        vision_learning_rate, adapter_learning_rate, reconstruction_learning_rate, metric_depth_learning_rate,
        language_projection_learning_rate, language_learning_rate (`float`, *optional*):
            Learning rate of a part; `learning_rate` unless given.
        unannotated_prompt (`str`, *optional*, defaults to `"Describe the scene."`):
            Text beside the frames of scenes without questions; it trains nothing.
        allow_changed_resume (`bool`, *optional*, defaults to `False`):
            Go on from a checkpoint although options differ that make it another run; a table says which.

    Raises:
        ValueError: A field has a value outside its range; the message names it, the value and the remedy.
    """

    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Keep False: rows are joined scenes and questions, not columns."}
    )
    hub_strategy: str = field(
        default="end", metadata={"help": "With push_to_hub: upload the saved model, at the end.", "choices": ["end"]}
    )
    geometry_size: list[int] = field(
        default_factory=lambda: [480, 640], metadata={"help": "Height and width that depth is read at."}
    )
    frames_as: str = field(
        default="video", metadata={"help": "The model sees frames as one video.", "choices": ["video"]}
    )
    freeze_encoder: bool = field(default=False, metadata={"help": "Keep the vision encoder as it is."})
    freeze: list[str] = field(
        default_factory=list, metadata={"help": "Further parts that do not train.", "choices": list(PARTS[1:])}
    )
    vision_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the vision encoder (default: learning_rate)."}
    )
    adapter_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the Cross-Task Adapter (default: learning_rate)."}
    )
    reconstruction_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of cameras and relative depth (default: learning_rate)."}
    )
    metric_depth_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of metric depth (default: learning_rate)."}
    )
    language_projection_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of what leads to the language model (default: learning_rate)."}
    )
    language_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the language model (default: learning_rate)."}
    )
    unannotated_prompt: str = field(
        default="Describe the scene.",
        metadata={"help": "Text beside the frames of scenes without questions; it trains nothing."},
    )
    allow_changed_resume: bool = field(
        default=False, metadata={"help": "Resume although options differ that make it another run."}
    )

    def __post_init__(self):
        defaults = {
            option.name: option.default if option.default_factory is MISSING else option.default_factory()
            for option in fields(self)
        }
        check_training_options(vars(self), defaults)
        super().__post_init__()
        if self.push_to_hub and self.hub_strategy != "end":
            raise ValueError(
                f"hub_strategy={self.hub_strategy.value!r} would upload checkpoints, which hold pickles: set it to "
                "end."
            )
        if len(self.geometry_size) != 2 or min(self.geometry_size) < 1:
            raise ValueError(f"geometry_size={self.geometry_size} must be a height and a width of at least 1 pixel.")
        if self.frames_as != "video":
            raise ValueError(f"frames_as={self.frames_as!r}: Vid-LLM sees frames as one video. Leave the option out.")
        if isinstance(self.freeze, str):
            # As every bad value of a recipe: a launcher reports a ValueError in one line.
            raise ValueError(f"freeze={self.freeze!r} must be a list of parts: write [{self.freeze}].")  # noqa: TRY004
        for part in self.freeze:
            if part not in PARTS[1:]:
                remedy = "set freeze_encoder to true" if part == "vision" else f"use one of {', '.join(PARTS[1:])}"
                raise ValueError(f"freeze={part!r} is no part that it names: {remedy}.")
        for part, rate in self.learning_rates.items():
            if not 0 <= rate < float("inf"):
                raise ValueError(
                    f"{part}_learning_rate={rate} must be a finite number >= 0; to stop a part, freeze it."
                )

    @property
    def learning_rates(self) -> dict[str, float]:
        """Learning rate of each part of the model."""
        own = {
            "vision": self.vision_learning_rate,
            "adapter": self.adapter_learning_rate,
            "reconstruction": self.reconstruction_learning_rate,
            "metric_depth": self.metric_depth_learning_rate,
            "language_projection": self.language_projection_learning_rate,
            "language": self.language_learning_rate,
        }
        return {part: self.learning_rate if rate is None else rate for part, rate in own.items()}

    @property
    def frozen_parts(self) -> set[str]:
        """Parts that the options keep as they are."""
        return {*self.freeze, *(("vision",) if self.freeze_encoder else ())}

    @property
    def samples_per_step(self) -> int:
        """Samples of one optimiser step over all ranks."""
        return self.train_batch_size * self.gradient_accumulation_steps * self.world_size

    @property
    def supervises_geometry(self) -> bool:
        """Whether any geometric loss is computed."""
        return True


def check_weights(weights: dict[str, float]) -> None:
    """Makes sure that weights are finite and not negative, and that one is above 0.

    Args:
        weights (`dict[str, float]`): By the name of the option.

    Raises:
        ValueError: They are not; the message names the option.
    """
    for name, weight in weights.items():
        if not 0 <= weight < float("inf"):
            raise ValueError(f"{name}={weight} must be a finite number >= 0 (0 switches the term off).")
    if not any(weights.values()):
        raise ValueError(f"{', '.join(weights)} are all 0: there is nothing to learn from. Give one of them a weight.")
