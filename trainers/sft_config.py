"""Options of the IGEP trainer: TRL's, and what geometry supervision adds."""

from dataclasses import MISSING, dataclass, field, fields

from transformers.utils import is_torch_bf16_gpu_available
from trl import SFTConfig

from igep.configuration_igep import (
    ALIGNMENT_DISTANCES,
    GEOMETRY_INPUTS,
    OBJECT_FEATURES,
    OBJECTIVES,
    POSITION_ENCODINGS,
    SUPERVISE_CHOICES,
    VERIFIER_ACTIVATIONS,
    check_ground_head,
    check_positions,
    check_supervision,
)
from igep.trainers.sft_inherited_options import check_inherited_options
from igep.trainers.supervision.build_teacher import TEACHERS, check_teacher, named_teacher


@dataclass
class IGEPSFTConfig(SFTConfig):
    r"""
    Configuration of [`IGEPSFTTrainer`]. Everything of [`~trl.SFTConfig`] holds, with other defaults for `max_length`
    (`None`: visual tokens are never cut), `remove_unused_columns` (`False`: rows are no columns here), `use_cache`
    (`True`, which is what the saved model says), `hub_strategy` (`"end"`) and `bf16` (`True` where the hardware has
    it, unless `fp16` or `use_cpu` is set). Options that would change nothing here are refused with the reason: see
    `sft_inherited_options`.

    Args:
        max_length (`int`, *optional*):
            Longest sequence in tokens. A sample whose frames or first question would be cut is an error, longer
            conversations lose their end.
        remove_unused_columns (`bool`, *optional*, defaults to `False`):
            Keep `False`: rows are joined scenes and questions, not columns.
        use_cache (`bool`, *optional*, defaults to `True`):
            Written into the configuration of the saved model. Training itself never fills a cache.
        hub_strategy (`str`, *optional*, defaults to `"end"`):
            With `push_to_hub`, upload the saved model. The other strategies of transformers upload checkpoints, which
            hold pickles and not the code that loads them.
        objective (`str`, *optional*, defaults to `"paper"`):
            Loss terms: `"paper"` = the formulas of 3D-IDE, `"release"` = those of its authors' code; see docs/igep.md.
        supervise (`str`, *optional*, defaults to `"encoder"`):
            Tokens that are aligned with the teacher: `"encoder"` = output of the vision encoder, `"llm"` = visual
            tokens at the output of the language model.
        geometry_weight (`float`, *optional*, defaults to `1.0`):
            Weight of the depth loss; 0 = not computed.
        cross_view_weight (`float`, *optional*, defaults to `0.1`):
            Weight of the cross-view consistency loss; 0 = not computed.
        photometric_weight (`float`, *optional*, defaults to `0.0`):
            `paper`: weight of the photometric loss, which holds the depth of frames with pose and without measured
            depth by their neighbour's colours; 0 = not computed.
        global_weight (`float`, *optional*, defaults to `0.5`):
            Weight of the teacher alignment loss; 0 = not computed.
        uncertainty_alpha (`float`, *optional*, defaults to `0.2`):
            Weight of `-log S` in the depth loss.
        verifier_channels (`int`, *optional*, defaults to `32`):
            Width of the depth verifier. Weak on purpose: the geometry has to be in the encoder.
        verifier_taps (`int`, *optional*, defaults to `2`):
            Encoder layers that the verifier reads.
        verifier_layers (`list[int]`, *optional*):
            Those layers, counted from 1, in place of even spacing; the last feeds the language model.
        verifier_activation (`str`, *optional*, defaults to `"bounded"`):
            `"exp"` = `exp` for depth and `1 + exp` for confidence, without the bounds below, as in VGGT.
        verifier_projection_channels (`int`, *optional*):
            Channels that tokens are brought to before the verifier decodes them; not at all unless given.
        heads_from_folder (`str`, *optional*):
            Output folder of another run, or one of its checkpoints, whose training heads those of this run begin as,
            as far as both have them; at random unless given. With `freeze` of all three parts that run trains its
            heads alone.
        verifier_min_depth_metres (`float`, *optional*, defaults to `0.1`):
            Smallest depth that the verifier can predict.
        verifier_max_depth_metres (`float`, *optional*, defaults to `20.0`):
            Largest depth that the verifier can predict: raise it for scenes that reach farther.
        pooled_alignment (`bool`, *optional*, defaults to `False`):
            Align one descriptor per frame instead of one per token.
        alignment_distance (`str`, *optional*, defaults to `"cosine"`):
            `"cosine"` = `1 - cos`; `"squared"` = the squared distance of unit vectors, `2 - 2 cos`, as in 3DRS.
        teacher_projector_channels (`int`, *optional*):
            Hidden width of the projector to the teacher; the teacher's channels unless given.
        teacher_projector_norm (`bool`, *optional*, defaults to `True`):
            Whether that projector begins with a layer norm.
        position_encoding (`str`, *optional*, defaults to `"none"`):
            `"sin3d"` adds the 3D position of each visual token to it, as Video-3D LLM does. The saved model then needs
            depth, intrinsics and poses to answer: a baseline, not RGB alone.
        position_voxel_metres (`float`, *optional*, defaults to `0.1`):
            Side of the voxels that positions are rounded to.
        position_range_metres (`list[float]`, *optional*, defaults to `[15.0, 15.0, 5.0]`):
            x, y and z of a position run from minus to plus as much in the scene's world.
        geometry_size (`list[int]`, *optional*, defaults to `[96, 128]`):
            Height and width of depth targets and predictions.
        neighbour_window (`int`, *optional*, defaults to `1`):
            `paper`: the cross-view loss picks each frame's neighbour at random among the frames at most this far away;
            `release`: it takes so many of the frames that follow.
        ground_weight (`float`, *optional*, defaults to `0.0`):
            Weight of the grounding loss: questions whose answer is `<ground>` choose among boxes. Above 0 the model
            gets a ground head, which is saved with it.
        ground_geometry_inputs (`str`, *optional*, defaults to `"depth+pose"`):
            What tells which visual tokens are inside a box, in training and wherever the model is used:
            `"depth+pose"`, `"pose"` or `"none"`.
        ground_object_features (`str`, *optional*, defaults to `"vision"`):
            What describes a box: `"vision"` = the visual tokens inside it before the language model (Video-3D LLM), or
            `"vision_and_language"` = the mean of those before and behind it (3DRS).
        ground_width (`int`, *optional*):
            Channels of the embeddings that the ground head compares; the language model's hidden size unless given.
        ground_min_coverage (`float`, *optional*, defaults to `0.25`):
            Share of a visual token's pixels from which on it is inside a box.
        ground_temperature (`float`, *optional*, defaults to `0.07`):
            Divides the similarities.
        ground_cumulative_mass (`float`, *optional*, defaults to `0.4`):
            Several boxes are chosen until their probabilities add up to it.
        teacher (`str`, *optional*, defaults to `"geometry_oracle"`):
            `"geometry_oracle"`, `"backbone"`, `"precomputed"`, `"vggt"`, `"vggt_patch_encoder"`, `"depth_anything_3"`,
            `"map_anything"` or `"none"`.
        teacher_name_or_path (`str`, *optional*):
            `backbone`: Hub id or folder of the encoder. `precomputed`: folder of the descriptors. `vggt`,
            `depth_anything_3`, `map_anything`: Hub id or folder of the weights, by default facebook/VGGT-1B,
            depth-anything/DA3-BASE, facebook/map-anything-apache.
        teacher_layer (`int`, *optional*):
            `backbone`: index into the hidden states; the final output unless given. Multi-view models: see their
            classes.
        teacher_frame_size (`list[int]`, *optional*):
            Height and width of the frames that such a teacher looks at; its own unless given.
        teacher_transform (`str`, *optional*, defaults to `"resize"`):
            `precomputed`: transform under which the descriptors were written.
        oracle_grid (`int`, *optional*, defaults to `8`):
            `geometry_oracle`: patches along each side of a depth map.
        frames_as (`str`, *optional*, defaults to `"video"`):
            Show the frames to the model as one `"video"` or as `"images"`.
        pack_questions (`bool`, *optional*, defaults to `False`):
            The questions of a row are independent: each sees the frames and itself only, and the frames are encoded
            once. The loss is that of one row per question.
        max_packed_tokens (`int`, *optional*):
            With `pack_questions`: put the rows of a batch behind each other in sequences of at most so many tokens.
            One row per sequence unless given.
        unannotated_prompt (`str`, *optional*, defaults to `"Describe the scene."`):
            Text beside the frames of scenes without questions; it trains nothing.
        vision_learning_rate (`float`, *optional*):
            Learning rate of the vision tower; `learning_rate` unless given.
        projector_learning_rate (`float`, *optional*):
            Learning rate of the projector between vision and language; `learning_rate` unless given.
        language_learning_rate (`float`, *optional*):
            Learning rate of the language model; `learning_rate` unless given.
        heads_learning_rate (`float`, *optional*):
            Learning rate of the training heads; `learning_rate` unless given.
        ground_head_learning_rate (`float`, *optional*):
            Learning rate of the ground head; `learning_rate` unless given.
        freeze (`list[str]`, *optional*, defaults to `[]`):
            Parts that do not train, among `vision`, `projector` and `language`.
        frozen_vision_layers (`int`, *optional*, defaults to `0`):
            So many layers of the vision tower, from its input, do not train, nor do the embeddings before them.
            Nothing below is reached by gradients, which saves their time and memory.
        merge_adapter_at_save (`bool`, *optional*, defaults to `True`):
            LoRA: `save_model` writes the merged model into the output folder besides `adapter/`. Checkpoints hold the
            adapter alone.
        allow_changed_resume (`bool`, *optional*, defaults to `False`):
            Go on from a checkpoint although options differ that make it another run; a table says which. Heads, frozen
            parts and adapters must be the same all the same.

    Raises:
        ValueError: A field has a value outside its range; the message names it, the value and the remedy.
    """

    max_length: int | None = field(
        default=None,
        metadata={
            "help": "Longest sequence in tokens. A sample whose frames or first question would be cut is an error."
        },
    )
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Keep False: rows are joined scenes and questions, not columns."}
    )
    use_cache: bool = field(
        default=True,
        metadata={"help": "Written into the configuration of the saved model. Training itself never fills a cache."},
    )
    hub_strategy: str = field(
        default="end", metadata={"help": "With push_to_hub: upload the saved model, at the end.", "choices": ["end"]}
    )

    objective: str = field(
        default="paper",
        metadata={
            "help": "Loss terms: the paper's formulas, or those of its authors' code.",
            "choices": list(OBJECTIVES),
        },
    )
    supervise: str = field(
        default="encoder",
        metadata={"help": "Tokens that are aligned with the teacher.", "choices": list(SUPERVISE_CHOICES)},
    )
    geometry_weight: float = field(default=1.0, metadata={"help": "Weight of the depth loss; 0 = not computed."})
    cross_view_weight: float = field(
        default=0.1, metadata={"help": "Weight of the cross-view consistency loss; 0 = not computed."}
    )
    photometric_weight: float = field(
        default=0.0,
        metadata={"help": "Weight of the photometric loss of posed frames without measured depth; 0 = not computed."},
    )
    global_weight: float = field(
        default=0.5, metadata={"help": "Weight of the teacher alignment loss; 0 = not computed."}
    )
    uncertainty_alpha: float = field(default=0.2, metadata={"help": "Weight of -log S in the depth loss."})
    verifier_channels: int = field(default=32, metadata={"help": "Width of the depth verifier, weak on purpose."})
    verifier_taps: int = field(default=2, metadata={"help": "Encoder layers that the verifier reads."})
    verifier_layers: list[int] | None = field(
        default=None, metadata={"help": "The layers that the verifier reads, from 1 (default: evenly spaced)."}
    )
    verifier_activation: str = field(
        default="bounded",
        metadata={"help": "Ranges of depth and confidence: bounded, or exp.", "choices": list(VERIFIER_ACTIVATIONS)},
    )
    verifier_projection_channels: int | None = field(
        default=None, metadata={"help": "Bring tokens to so many channels before the verifier (default: not at all)."}
    )
    heads_from_folder: str | None = field(
        default=None,
        metadata={"help": "Folder of a run whose training heads this one begins with (default: at random)."},
    )
    verifier_min_depth_metres: float = field(
        default=0.1, metadata={"help": "Smallest depth that the verifier can predict."}
    )
    verifier_max_depth_metres: float = field(
        default=20.0,
        metadata={"help": "Largest depth that the verifier can predict: raise it for scenes that reach farther."},
    )
    pooled_alignment: bool = field(
        default=False, metadata={"help": "Align one descriptor per frame instead of one per token."}
    )
    alignment_distance: str = field(
        default="cosine",
        metadata={"help": "1 - cos, or squared = 2 - 2 cos as in 3DRS.", "choices": list(ALIGNMENT_DISTANCES)},
    )
    teacher_projector_channels: int | None = field(
        default=None, metadata={"help": "Hidden width of the projector to the teacher (default: the teacher's)."}
    )
    teacher_projector_norm: bool = field(
        default=True, metadata={"help": "The projector to the teacher begins with a layer norm."}
    )
    position_encoding: str = field(
        default="none",
        metadata={
            "help": "sin3d adds 3D positions to visual tokens (Video-3D LLM): the model then needs depth and poses to "
            "answer.",
            "choices": list(POSITION_ENCODINGS),
        },
    )
    position_voxel_metres: float = field(
        default=0.1, metadata={"help": "Side of the voxels that positions are rounded to."}
    )
    position_range_metres: list[float] = field(
        default_factory=lambda: [15.0, 15.0, 5.0],
        metadata={"help": "x, y and z of positions run from minus to plus as much."},
    )
    geometry_size: list[int] = field(
        default_factory=lambda: [96, 128],
        metadata={"help": "Height and width of depth targets and predictions."},
    )
    neighbour_window: int = field(
        default=1,
        metadata={"help": "The cross-view loss picks a neighbour at random among frames at most this far away."},
    )

    ground_weight: float = field(
        default=0.0, metadata={"help": "Weight of the grounding loss; above 0 the model gets a ground head."}
    )
    ground_geometry_inputs: str = field(
        default="depth+pose",
        metadata={"help": "What tells which tokens are inside a box, always.", "choices": list(GEOMETRY_INPUTS)},
    )
    ground_object_features: str = field(
        default="vision",
        metadata={
            "help": "Visual tokens that describe a box: before the language model, or the mean with those behind it.",
            "choices": list(OBJECT_FEATURES),
        },
    )
    ground_width: int | None = field(
        default=None, metadata={"help": "Channels that the ground head compares (default: the language model's)."}
    )
    ground_min_coverage: float = field(
        default=0.25, metadata={"help": "Share of a token's pixels from which on it is inside a box."}
    )
    ground_temperature: float = field(default=0.07, metadata={"help": "Divides the similarities of grounding."})
    ground_cumulative_mass: float = field(
        default=0.4, metadata={"help": "Several boxes are chosen until their probabilities add up to it."}
    )

    teacher: str = field(
        default="geometry_oracle",
        metadata={"help": "3D teacher of the alignment loss.", "choices": ["none", *TEACHERS]},
    )
    teacher_name_or_path: str | None = field(
        default=None, metadata={"help": "Hub id or folder of the teacher; precomputed: folder of descriptors."}
    )
    teacher_layer: int | None = field(
        default=None, metadata={"help": "Layer of the teacher that is aligned with (default: its final output)."}
    )
    teacher_frame_size: list[int] | None = field(
        default=None, metadata={"help": "Height and width of the frames that the teacher looks at (default: its own)."}
    )
    teacher_transform: str = field(
        default="resize", metadata={"help": "precomputed: transform under which the descriptors were written."}
    )
    oracle_grid: int = field(default=8, metadata={"help": "geometry_oracle: patches along each side of a depth map."})

    frames_as: str = field(
        default="video",
        metadata={"help": "Show the frames as one video or as images.", "choices": ["video", "images"]},
    )
    pack_questions: bool = field(
        default=False,
        metadata={"help": "Questions of a row are independent and share one encoding of the frames."},
    )
    max_packed_tokens: int | None = field(
        default=None,
        metadata={"help": "With pack_questions: join the rows of a batch into sequences of at most so many tokens."},
    )
    unannotated_prompt: str = field(
        default="Describe the scene.",
        metadata={"help": "Text beside the frames of scenes without questions; it trains nothing."},
    )

    vision_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the vision tower (default: learning_rate)."}
    )
    projector_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the projector (default: learning_rate)."}
    )
    language_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the language model (default: learning_rate)."}
    )
    heads_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the training heads (default: learning_rate)."}
    )
    ground_head_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the ground head (default: learning_rate)."}
    )
    freeze: list[str] = field(
        default_factory=list,
        metadata={"help": "Parts that do not train.", "choices": ["vision", "projector", "language"]},
    )
    frozen_vision_layers: int = field(
        default=0,
        metadata={"help": "First layers of the vision tower that do not train, with the embeddings before them."},
    )
    merge_adapter_at_save: bool = field(
        default=True,
        metadata={"help": "LoRA: write the merged model into the output folder besides adapter/."},
    )
    allow_changed_resume: bool = field(
        default=False,
        metadata={"help": "Resume although options differ that make it another run."},
    )

    def __post_init__(self):
        defaults = {
            option.name: option.default if option.default_factory is MISSING else option.default_factory()
            for option in fields(self)
        }
        check_inherited_options(vars(self), defaults)
        if self.bf16 is None:
            self.bf16 = not self.fp16 and not self.use_cpu and is_torch_bf16_gpu_available()
        if self.activation_checkpointing is None:
            # TRL sets the option under its old name, about which transformers would warn at every start.
            self.activation_checkpointing = self.gradient_checkpointing
        super().__post_init__()
        if self.push_to_hub and self.hub_strategy != "end":
            raise ValueError(
                f"hub_strategy={self.hub_strategy.value!r} would upload checkpoints, which hold pickles and not the "
                "code that loads them: set it to end."
            )
        check_supervision(vars(self))
        check_positions(vars(self))
        check_ground_head(vars(self))
        _check_choice("teacher", self.teacher, ("none", *TEACHERS))
        _check_choice("frames_as", self.frames_as, ("video", "images"))
        if isinstance(self.freeze, str):
            # As every bad value of a recipe: `sft.py` reports a ValueError in one line.
            raise ValueError(f"freeze={self.freeze!r} must be a list of parts: write [{self.freeze}].")  # noqa: TRY004
        for part in self.freeze:
            _check_choice("freeze", part, ("vision", "projector", "language"))
        if self.frozen_vision_layers < 0:
            raise ValueError(f"frozen_vision_layers={self.frozen_vision_layers}: give 0 or more.")
        for name in ("neighbour_window", "oracle_grid"):
            if vars(self)[name] < 1:
                raise ValueError(f"{name}={vars(self)[name]} must be at least 1.")
        for part, rate in self.learning_rates.items():
            if not 0 <= rate < float("inf"):
                raise ValueError(
                    f"{part}_learning_rate={rate} must be a finite number >= 0; to stop a part, freeze it."
                )
        if self.global_weight and self.teacher == "none":
            raise ValueError(
                f"global_weight={self.global_weight} needs a teacher: set teacher to one of "
                f"{', '.join(TEACHERS)}, or global_weight to 0."
            )
        if self.heads_from_folder is not None and not self.supervises_geometry:
            raise ValueError(
                f"heads_from_folder={self.heads_from_folder!r}: all geometry weights are 0, so this run has no "
                "training heads. Give a weight, or leave the option out."
            )
        if self.global_weight:
            check_teacher(self.teacher, self.teacher_name_or_path, self.teacher_layer, self.teacher_frame_size)
        if self.reads_positions and self.ground_weight and self.ground_geometry_inputs != "depth+pose":
            raise ValueError(
                f"ground_geometry_inputs={self.ground_geometry_inputs!r}: "
                f"position_encoding={self.position_encoding!r} reads depth and poses anyway. Set "
                "ground_geometry_inputs to depth+pose, or position_encoding to none."
            )
        if self.max_packed_tokens is not None and (not self.pack_questions or self.max_packed_tokens < 1):
            raise ValueError(
                f"max_packed_tokens={self.max_packed_tokens} must be at least 1 and needs pack_questions: set that to "
                "true."
            )

    @property
    def learning_rates(self) -> dict[str, float]:
        """Learning rate of each part of the model."""
        own = {
            "vision": self.vision_learning_rate,
            "projector": self.projector_learning_rate,
            "language": self.language_learning_rate,
            "heads": self.heads_learning_rate,
            "ground_head": self.ground_head_learning_rate,
        }
        return {part: self.learning_rate if rate is None else rate for part, rate in own.items()}

    @property
    def samples_per_step(self) -> int:
        """Samples of one optimiser step over all ranks."""
        return self.train_batch_size * self.gradient_accumulation_steps * self.world_size

    @property
    def losses(self) -> dict[str, float]:
        """Weight of each loss by its name in words, as a card lists them."""
        distance = ", 2 - 2 cos" if self.alignment_distance == "squared" else ""
        verifier = f"by a verifier of {self.verifier_channels} channels on {self.verifier_taps} encoder layers"
        release = self.objective == "release"
        return {
            "cross-entropy of the answers": 1.0,
            f"depth, {verifier}{', terms of the release' if release else ''}": self.geometry_weight,
            "cross-view consistency of that depth"
            + (", and the neighbour's predicted from it and the pose" if release else ""): self.cross_view_weight,
            "photometric consistency of that depth with the neighbour's colours, where none is "
            "measured": self.photometric_weight,
            f"alignment of {self.supervise} tokens with a frozen 3D teacher "
            f"({self.teacher}{distance})": self.global_weight,
            f"grounding among boxes (geometry inputs: {self.ground_geometry_inputs})": self.ground_weight,
        }

    @property
    def named_teacher(self) -> dict[str, str | None] | None:
        """Kind and name of the teacher that is aligned with, as a card names it; `None` where none is."""
        return named_teacher(self.teacher, self.teacher_name_or_path) if self.global_weight else None

    @property
    def reads_positions(self) -> bool:
        """Whether the model reads 3D positions, from depth and poses that it then needs to answer."""
        return self.position_encoding != "none"

    @property
    def supervises_geometry(self) -> bool:
        """Whether any geometric loss is computed; without one the training is plain supervised fine-tuning."""
        return any((self.geometry_weight, self.cross_view_weight, self.photometric_weight, self.global_weight))


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown: use one of {', '.join(choices)}.")
