"""Configuration of IGEP: any video VLM, and the geometry supervision that trains its vision encoder."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec


OBJECTIVES = ("paper", "release")
SUPERVISE_CHOICES = ("encoder", "llm")
VERIFIER_ACTIVATIONS = ("bounded", "exp")
SUPERVISION_FIELDS = (  # which the options of a trainer have as well
    *("objective", "supervise", "geometry_weight", "cross_view_weight", "global_weight", "uncertainty_alpha"),
    *("photometric_weight",),
    *("verifier_channels", "verifier_taps", "verifier_min_depth_metres", "verifier_max_depth_metres"),
    *("verifier_layers", "verifier_activation", "verifier_projection_channels"),
    *("teacher_projector_channels", "teacher_projector_norm"),
    *("pooled_alignment", "alignment_distance", "geometry_size"),
)
ALIGNMENT_DISTANCES = ("cosine", "squared")
POSITION_ENCODINGS = ("none", "sin3d")
POSITION_FIELDS = ("position_encoding", "position_voxel_metres", "position_range_metres")  # likewise

GEOMETRY_INPUTS = ("none", "pose", "depth+pose")
OBJECT_FEATURES = ("vision", "vision_and_language")
GROUND_FIELDS = (  # likewise
    *("ground_weight", "ground_geometry_inputs", "ground_object_features", "ground_width", "ground_min_coverage"),
    *("ground_temperature", "ground_cumulative_mass"),
)


def check_ground_head(fields: Mapping[str, Any]) -> None:
    """Makes sure that the fields of a ground head are in their ranges.

    Args:
        fields (`Mapping[str, Any]`): At least those of `GROUND_FIELDS`.

    Raises:
        ValueError: One is not; the message names the field, the value and the remedy.
    """
    inputs, width = fields["ground_geometry_inputs"], fields["ground_width"]
    if inputs not in GEOMETRY_INPUTS:
        raise ValueError(f"ground_geometry_inputs={inputs!r} is unknown: use one of {', '.join(GEOMETRY_INPUTS)}.")
    features = fields["ground_object_features"]
    if features not in OBJECT_FEATURES:
        raise ValueError(f"ground_object_features={features!r} is unknown: use one of {', '.join(OBJECT_FEATURES)}.")
    if width is not None and width < 1:
        raise ValueError(f"ground_width={width} must be at least 1, or None for that of the language model.")
    for name in ("ground_min_coverage", "ground_cumulative_mass"):
        if not 0 < fields[name] <= 1:
            raise ValueError(f"{name}={fields[name]} must be above 0 and at most 1.")
    if not 0 < fields["ground_temperature"] < float("inf"):
        raise ValueError(f"ground_temperature={fields['ground_temperature']} must be a finite number above 0.")
    if not 0 <= fields["ground_weight"] < float("inf"):
        raise ValueError(f"ground_weight={fields['ground_weight']} must be a finite number >= 0.")


def check_supervision(fields: Mapping[str, Any]) -> None:
    """Makes sure that the fields of a supervision are in their ranges.

    Args:
        fields (`Mapping[str, Any]`): At least those of `SUPERVISION_FIELDS`.

    Raises:
        ValueError: One is not; the message names the field, the value and the remedy.
    """
    for name, choices in (
        ("objective", OBJECTIVES),
        ("supervise", SUPERVISE_CHOICES),
        ("alignment_distance", ALIGNMENT_DISTANCES),
        ("verifier_activation", VERIFIER_ACTIVATIONS),
    ):
        if fields[name] not in choices:
            raise ValueError(f"{name}={fields[name]!r} is unknown: use one of {', '.join(choices)}.")
    layers = fields["verifier_layers"]
    if layers is not None and (sorted(set(layers)) != list(layers) or len(layers) != fields["verifier_taps"]):
        raise ValueError(
            f"verifier_layers={layers} must be verifier_taps={fields['verifier_taps']} layers, each above the one "
            "before."
        )
    for name in ("verifier_channels", "verifier_taps"):
        if fields[name] < 1:
            raise ValueError(f"{name}={fields[name]} must be at least 1.")
    for name in ("teacher_projector_channels", "verifier_projection_channels"):
        if fields[name] is not None and fields[name] < 1:
            raise ValueError(f"{name}={fields[name]} must be at least 1, or null for the default.")
    nearest, farthest = fields["verifier_min_depth_metres"], fields["verifier_max_depth_metres"]
    if not 0 < nearest < farthest < float("inf"):
        raise ValueError(
            f"verifier_min_depth_metres={nearest} and verifier_max_depth_metres={farthest} must satisfy 0 < min < "
            "max, in metres."
        )
    size = fields["geometry_size"]
    if not isinstance(size, (list, tuple)) or [type(side) for side in size] != [int, int] or min(size) < 1:
        raise ValueError(f"geometry_size={size} must be two positive integers, height and width, such as [96, 128].")
    for name in ("geometry_weight", "cross_view_weight", "global_weight", "uncertainty_alpha", "photometric_weight"):
        if not 0 <= fields[name] < float("inf"):
            raise ValueError(f"{name}={fields[name]} must be a finite number >= 0 (0 switches the term off).")
    if fields["photometric_weight"] and fields["objective"] != "paper":
        raise ValueError(
            f"photometric_weight={fields['photometric_weight']}: objective={fields['objective']!r} has no such term. "
            "Set objective to paper, or photometric_weight to 0."
        )


def check_positions(fields: Mapping[str, Any]) -> None:
    """Makes sure that the fields of a position encoding are in their ranges.

    Args:
        fields (`Mapping[str, Any]`): At least those of `POSITION_FIELDS`.

    Raises:
        ValueError: One is not; the message names the field, the value and the remedy.
    """
    if fields["position_encoding"] not in POSITION_ENCODINGS:
        raise ValueError(
            f"position_encoding={fields['position_encoding']!r} is unknown: use one of "
            f"{', '.join(POSITION_ENCODINGS)}."
        )
    if not 0 < fields["position_voxel_metres"] < float("inf"):
        raise ValueError(
            f"position_voxel_metres={fields['position_voxel_metres']} must be a positive length, such as 0.1."
        )
    reach = fields["position_range_metres"]
    if not isinstance(reach, (list, tuple)) or len(reach) != 3 or not all(0 < side < float("inf") for side in reach):
        raise ValueError(
            f"position_range_metres={reach} must be three positive lengths for x, y and z, such as [15, 15, 5]."
        )


@strict
class IGEPConfig(PreTrainedConfig):
    r"""
    What the weights are (`vlm_config`, and the ground head where there is one) and how geometry presses on them while
    training. Once the model is trained only these matter, and the fields of the position encoding where there is one:
    the heads that the other fields describe are never saved.

    Args:
        vlm_config (`dict` or `PreTrainedConfig`, *optional*, defaults to a LLaVA-OneVision):
            Configuration of the wrapped VLM, any `AutoModelForImageTextToText` whose forward takes
            `mm_encoder_outputs`.
        objective (`str`, *optional*, defaults to `"paper"`):
            Loss terms: `"paper"` = the formulas of 3D-IDE, `"release"` = those of its authors' code.
        supervise (`str`, *optional*, defaults to `"encoder"`):
            Which tokens are aligned with the 3D teacher: `"encoder"` = the last layer of the vision encoder,
            `"llm"` = the visual tokens at the output of the language model.
        verifier_channels (`int`, *optional*, defaults to `32`):
            Width of the depth verifier. Small on purpose: a weak verifier can only succeed if the encoder carries the
            geometry.
        verifier_taps (`int`, *optional*, defaults to `2`):
            Number of encoder layers that the verifier reads, evenly spaced, the last included.
        verifier_layers (`list[int]`, *optional*):
            Those layers by their numbers from 1, in place of even spacing; the last feeds the language model.
        verifier_activation (`str`, *optional*, defaults to `"bounded"`):
            `"bounded"` = depth and confidence stay in finite ranges; `"exp"` = `exp` and `1 + exp`, as in VGGT.
        verifier_projection_channels (`int`, *optional*):
            Bring the tokens to so many channels before the decoder reads them, by two layers that its taps share
            (width twice the encoder's, GELU, then a layer norm). No such projection unless given.
        verifier_min_depth_metres (`float`, *optional*, defaults to `0.1`):
            Smallest depth that a bounded verifier can predict.
        verifier_max_depth_metres (`float`, *optional*, defaults to `20.0`):
            Largest depth that a bounded verifier can predict.
        geometry_size (`list[int]`, *optional*, defaults to `[96, 128]`):
            Height and width of the predicted depth when the batch has no depth to take the size from.
        teacher_channels (`int`, *optional*):
            Channels of the teacher's descriptors. `None` = no teacher, the global term is not computed.
        pooled_alignment (`bool`, *optional*, defaults to `False`):
            Align one descriptor per frame (mean over its tokens) instead of one per token.
        alignment_distance (`str`, *optional*, defaults to `"cosine"`):
            `"cosine"` = `1 - cos` of student and teacher; `"squared"` = the squared distance of their unit vectors,
            which is `2 - 2 cos` (3DRS).
        teacher_projector_channels (`int`, *optional*):
            Hidden width of the projector from the student to the teacher; the teacher's channels unless given.
        teacher_projector_norm (`bool`, *optional*, defaults to `True`):
            Whether that projector begins with a layer norm.
        position_encoding (`str`, *optional*, defaults to `"none"`):
            `"sin3d"` adds the 3D position of each visual token to it (Video-3D LLM). The model then needs depth,
            intrinsics and poses of the frames whenever it looks at them, also to answer.
        position_voxel_metres (`float`, *optional*, defaults to `0.1`):
            Side of the voxels that positions are rounded to.
        position_range_metres (`list[float]`, *optional*, defaults to `[15.0, 15.0, 5.0]`):
            x, y and z of a position run from minus to plus as much in the scene's world.
        geometry_weight (`float`, *optional*, defaults to `1.0`):
            Weight of the depth term; 0 = the term is not computed.
        cross_view_weight (`float`, *optional*, defaults to `0.1`):
            Weight of the cross-view consistency term; 0 = the term is not computed.
        photometric_weight (`float`, *optional*, defaults to `0.0`):
            Weight of the photometric term, of frames with pose and without measured depth; 0 = the term is not
            computed.
        global_weight (`float`, *optional*, defaults to `0.5`):
            Weight of the teacher alignment term; 0 = the term is not computed.
        uncertainty_alpha (`float`, *optional*, defaults to `0.2`):
            Weight of `-log S` in the depth term: the price of low confidence.
        ground_head (`bool`, *optional*, defaults to `False`):
            Whether the model has a head that points at proposals (see `ground_head.py`), which is saved with it.
        ground_geometry_inputs (`str`, *optional*, defaults to `"depth+pose"`):
            What tells which visual tokens are inside a proposal, in training and in use: `"none"`, `"pose"` or
            `"depth+pose"`.
        ground_object_features (`str`, *optional*, defaults to `"vision"`):
            What describes a proposal: `"vision"` = the visual tokens inside it as they enter the language model
            (Video-3D LLM); `"vision_and_language"` = the mean of those and of what the language model makes of them
            (3DRS).
        ground_width (`int`, *optional*):
            Channels of the embeddings that the ground head compares; `None` = the hidden size of the language model.
        ground_min_coverage (`float`, *optional*, defaults to `0.25`):
            Share of a visual token's pixels from which on it is inside a proposal.
        ground_temperature (`float`, *optional*, defaults to `0.07`):
            Divides the similarities, in the loss and in the choice of several proposals.
        ground_cumulative_mass (`float`, *optional*, defaults to `0.4`):
            Proposals are chosen until their probabilities add up to it (Multi3DRefer's rule).
        ground_weight (`float`, *optional*, defaults to `1.0`):
            Weight of the grounding term.

    Raises:
        ValueError: A field has a value outside its range; the message names the field, the value and the remedy.
    """

    model_type = "igep"
    sub_configs_defaults = {"vlm_config": SubConfigSpec(config_class=AutoConfig, model_type="llava_onevision")}

    vlm_config: dict | PreTrainedConfig | None = None
    objective: str = "paper"
    supervise: str = "encoder"
    verifier_channels: int = 32
    verifier_taps: int = 2
    verifier_layers: list[int] | tuple[int, ...] | None = None
    verifier_activation: str = "bounded"
    verifier_projection_channels: int | None = None
    verifier_min_depth_metres: float | int = 0.1
    verifier_max_depth_metres: float | int = 20.0
    geometry_size: list[int] | tuple[int, ...] = (96, 128)
    teacher_channels: int | None = None
    pooled_alignment: bool = False
    alignment_distance: str = "cosine"
    teacher_projector_channels: int | None = None
    teacher_projector_norm: bool = True
    position_encoding: str = "none"
    position_voxel_metres: float | int = 0.1
    position_range_metres: list[float | int] | tuple[float | int, ...] = (15.0, 15.0, 5.0)
    geometry_weight: float | int = 1.0
    cross_view_weight: float | int = 0.1
    photometric_weight: float | int = 0.0
    global_weight: float | int = 0.5
    uncertainty_alpha: float | int = 0.2
    ground_head: bool = False
    ground_geometry_inputs: str = "depth+pose"
    ground_object_features: str = "vision"
    ground_width: int | None = None
    ground_min_coverage: float | int = 0.25
    ground_temperature: float | int = 0.07
    ground_cumulative_mass: float | int = 0.4
    ground_weight: float | int = 1.0

    def __post_init__(self, **kwargs):
        # Left alone, the base class would reset the implementations that a loaded VLM was given. An empty entry keeps
        # them.
        kwargs.setdefault("attn_implementation", {"vlm_config": {}})
        kwargs.setdefault("experts_implementation", {"vlm_config": {}})
        super().__post_init__(**kwargs)
        self.geometry_size = list(self.geometry_size)
        self.position_range_metres = list(self.position_range_metres)
        check_supervision(vars(self))
        check_positions(vars(self))
        check_ground_head(vars(self))
        if self.teacher_channels is not None and self.teacher_channels < 1:
            raise ValueError(
                f"teacher_channels={self.teacher_channels} must be at least 1, or None when there is no teacher."
            )

    def get_text_config(self, *args, **kwargs) -> PreTrainedConfig:
        """Returns the configuration of the language model inside the wrapped VLM."""
        return self.vlm_config.get_text_config(*args, **kwargs)


IGEPConfig.register_for_auto_class()
