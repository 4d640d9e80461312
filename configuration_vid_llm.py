"""Configuration of Vid-LLM: a vision encoder, a language model, and the reconstruction that stands between them."""

import math
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec


BRIDGE_SCOPES = ("frame", "scene")
BRIDGE_WRITE_BACKS = ("attention", "gated_attention")
ADAPTER_STARTS = ("random", "identity")
POSITION_STARTS = ("random", "zero")
BOX_AXES = ("first_camera", "scene")
AT_LEAST_ONE = (
    *(
        "adapter_expansion",
        "geometry_blocks",
        "geometry_taps",
        "geometry_expansion",
        "camera_iterations",
        "camera_layers",
    ),
    *("depth_channels", "metric_channels", "metric_taps", "metric_stride", "scale_frames", "pooling_ratio"),
    *("box_queries", "box_layers"),
)


@strict
class VidLLMConfig(PreTrainedConfig):
    r"""
    What the weights are. Where the paper names a value it is the default; where it is silent, the choice and its
    reason stand at the field ("Silent:").

    Args:
        vision_config (`dict` or `PreTrainedConfig`, *optional*, defaults to a DINOv2):
            Vision encoder, any `AutoModel` of patches such as DINOv2 with or without registers. Paper: DINOv2-L.
        text_config (`dict` or `PreTrainedConfig`, *optional*, defaults to a Qwen2):
            Language model, any `AutoModelForCausalLM`.
        image_token_id (`int`, *optional*):
            Token that stands for the visual tokens of images; set by `VidLLMForConditionalGeneration.build_processor`.
        video_token_id (`int`, *optional*):
            Token that stands for those of videos; likewise.
        vision_final_norm (`bool`, *optional*, defaults to `True`):
            Whether tokens are read behind the encoder's last norm. `False` where the projector comes from a LLaVA,
            which reads them before it.
        adapter_channels (`int`, *optional*):
            Channels C of both streams; those of the encoder unless given.
        adapter_expansion (`int`, *optional*, defaults to `4`):
            Width of the projections' hidden layer over the encoder's channels.
        adapter_start (`str`, *optional*, defaults to `"random"`):
            Silent: `"random"` = weights of new linear layers; `"identity"` = both projections begin as the identity,
            so that a projector and a language model that know the encoder's tokens go on reading them. It needs an
            expansion of 2 or more and streams as wide as the encoder.
        bridge_tokens (`int`, *optional*, defaults to `16`):
            K. 0 = no bridge: two projections that do not know of each other (the ablation's base).
        bridge_heads (`int`, *optional*):
            Heads of the bridge's attentions. Silent: 64 channels each.
        bridge_scope (`str`, *optional*, defaults to `"frame"`):
            Silent: `"frame"` = the bridge tokens read one frame, so that frames meet in the geometry branch alone;
            `"scene"` = they read all.
        bridge_write_back (`str`, *optional*, defaults to `"attention"`):
            Silent: `"attention"` = every token adds what it reads in the bridge, as the figure's arrows go both ways;
            `"gated_attention"` = times a factor that begins at 0.
        geometry_blocks (`int`, *optional*, defaults to `8`):
            Pairs of frame-wise and global attention. Silent (N): 8, where VGGT has 24.
        geometry_heads (`int`, *optional*):
            Heads of each. Silent: 64 channels each.
        geometry_expansion (`int`, *optional*, defaults to `4`):
            Width of their MLPs over the channels.
        geometry_layer_scale (`float`, *optional*, defaults to `0.01`):
            First factor of their residuals, as in VGGT.
        geometry_taps (`int`, *optional*, defaults to `4`):
            Pairs that the decoder of relative depth reads, as in VGGT.
        register_tokens (`int`, *optional*, defaults to `4`):
            Register tokens of a frame in the geometry branch, as in VGGT.
        camera_iterations (`int`, *optional*, defaults to `4`):
            Steps of the camera head, as in VGGT.
        camera_layers (`int`, *optional*, defaults to `4`):
            Attention blocks of the camera head, as in VGGT.
        depth_channels (`int`, *optional*, defaults to `256`):
            Width of the decoder of relative depth, as in VGGT.
        metric_depth (`bool`, *optional*, defaults to `True`):
            Whether metric depth and the scale alignment exist. Without, the relative reconstruction is taken for
            metres (the ablation's base).
        metric_channels (`int`, *optional*, defaults to `256`):
            Width of the decoder of metric depth.
        metric_taps (`int`, *optional*, defaults to `4`):
            Layers of the encoder that it reads, evenly spaced. The figure has five scales, nominally 1/2 to 1/32:
            every tap doubles the resolution here.
        metric_stride (`int`, *optional*, defaults to `4`):
            Bins are computed at one of so many pixels each way and interpolated: of 64 bins for 32 frames a full map
            takes 3 GB.
        metric_bins (`int`, *optional*, defaults to `64`):
            K of the bins. Silent: as in ZoeDepth.
        metric_min_depth_metres (`float`, *optional*, defaults to `0.1`):
            Where the bins begin.
        metric_max_depth_metres (`float`, *optional*, defaults to `20.0`):
            Where they end.
        scale_frames (`int`, *optional*, defaults to `16`):
            Frames of a scene that its scale is the median of.
        scale_seed (`int`, *optional*, defaults to `0`):
            Seed of their draw.
        scale_trim (`float`, *optional*, defaults to `3.0`):
            Silent (weights): pixels weigh their confidence over the squared metric depth, but those whose log ratio of
            depths is more than so many standard deviations from the frame's median.
        geometry_size (`list[int]`, *optional*, defaults to `[96, 128]`):
            Height and width of the depth that benchmarks read beside frames.
        position_start (`str`, *optional*, defaults to `"random"`):
            Silent: `"random"` = the position embedding begins with weights of new linear layers; `"zero"` = it begins
            as zero.
        pooling_ratio (`int`, *optional*, defaults to `3`):
            Patches each way that a visual token is the mean of. Silent ("Pooling"): 3 leaves 12 x 16 tokens of a frame
            of 518 x 686 pixels, about as many as LLaVA-Video has.
        ground_head (`bool`, *optional*, defaults to `False`):
            Whether the model has a head that points at proposals (see `ground_head.py`).
        ground_geometry_inputs (`str`, *optional*, defaults to `"predicted"`):
            What tells which visual tokens are inside a proposal: its own reconstruction, the one choice.
        ground_width (`int`, *optional*):
            Channels of the embeddings that it compares; `None` = the hidden size of the language model.
        ground_min_coverage (`float`, *optional*, defaults to `0.25`):
            Share of a visual token's pixels from which on it is inside a proposal.
        ground_temperature (`float`, *optional*, defaults to `0.07`):
            Divides similarities, of proposals and of box queries.
        ground_cumulative_mass (`float`, *optional*, defaults to `0.4`):
            Proposals are chosen until their probabilities add up to it (Multi3DRefer's rule).
        box_decoder (`bool`, *optional*, defaults to `False`):
            Whether the model has the decoder that regresses boxes from 3D patches (see `box_queries.py`).
        box_queries (`int`, *optional*, defaults to `512`):
            Queries of the decoder, as in LLaVA-3D; fewer where there are fewer patches.
        box_layers (`int`, *optional*, defaults to `4`):
            Layers of the decoder, as in LLaVA-3D.
        box_axes (`str`, *optional*, defaults to `"first_camera"`):
            Along which axes its boxes lie. Silent: `"first_camera"` = those of the first camera, so that RGB is
            enough; `"scene"` = those of the scene, for which the pose of the first frame must be given (see
            `box_queries.py`).
        location_token_ids (`list[int]`, *optional*):
            Tokens of `<ground>`, at the end of which the language model's hidden state is the location token; set by
            `build_processor`.

    Raises:
        ValueError: A field has a value outside its range; the message names the field, the value and the remedy.
    """

    model_type = "vid_llm"
    sub_configs_defaults = {
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="dinov2"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="qwen2"),
    }

    vision_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    image_token_id: int | None = None
    video_token_id: int | None = None
    vision_final_norm: bool = True
    adapter_channels: int | None = None
    adapter_expansion: int = 4
    adapter_start: str = "random"
    bridge_tokens: int = 16
    bridge_heads: int | None = None
    bridge_scope: str = "frame"
    bridge_write_back: str = "attention"
    geometry_blocks: int = 8
    geometry_heads: int | None = None
    geometry_expansion: int = 4
    geometry_layer_scale: float | int = 0.01
    geometry_taps: int = 4
    register_tokens: int = 4
    camera_iterations: int = 4
    camera_layers: int = 4
    depth_channels: int = 256
    metric_depth: bool = True
    metric_channels: int = 256
    metric_taps: int = 4
    metric_stride: int = 4
    metric_bins: int = 64
    metric_min_depth_metres: float | int = 0.1
    metric_max_depth_metres: float | int = 20.0
    scale_frames: int = 16
    scale_seed: int = 0
    scale_trim: float | int = 3.0
    geometry_size: list[int] | tuple[int, ...] = (96, 128)
    position_start: str = "random"
    pooling_ratio: int = 3
    ground_head: bool = False
    ground_geometry_inputs: str = "predicted"
    ground_width: int | None = None
    ground_min_coverage: float | int = 0.25
    ground_temperature: float | int = 0.07
    ground_cumulative_mass: float | int = 0.4
    box_decoder: bool = False
    box_queries: int = 512
    box_layers: int = 4
    box_axes: str = "first_camera"
    location_token_ids: list[int] | None = None

    def __post_init__(self, **kwargs):
        # Left alone, the base class would reset the implementations that loaded parts were given. Empty entries keep
        # them.
        parts = {name: {} for name in self.sub_configs_defaults}
        kwargs.setdefault("attn_implementation", dict(parts))
        kwargs.setdefault("experts_implementation", dict(parts))
        super().__post_init__(**kwargs)
        self.geometry_size = list(self.geometry_size)
        _check(vars(self))

    def get_text_config(self, *args, **kwargs) -> PreTrainedConfig:
        """Returns the configuration of the language model."""
        return self.text_config.get_text_config(*args, **kwargs)

    @property
    def stream_channels(self) -> int:
        """Channels C of the adapter's streams."""
        return self.adapter_channels or self.vision_config.hidden_size

    @property
    def patch_size(self) -> int:
        """Side of the encoder's patches in pixels."""
        size = self.vision_config.patch_size
        return size if isinstance(size, int) else size[0]


def heads_of(heads: int | None, channels: int) -> int:
    """Heads as configured, or those of 64 channels each; where 64 does not divide the channels, of 8 or more."""
    if heads is not None:
        return heads
    return channels // 64 if channels % 64 == 0 else math.gcd(channels, max(channels // 8, 1))


def _check(fields: dict[str, Any]) -> None:
    for name, choices in (
        ("bridge_scope", BRIDGE_SCOPES),
        ("bridge_write_back", BRIDGE_WRITE_BACKS),
        ("adapter_start", ADAPTER_STARTS),
        ("position_start", POSITION_STARTS),
        ("ground_geometry_inputs", ("predicted",)),
        ("box_axes", BOX_AXES),
    ):
        if fields[name] not in choices:
            raise ValueError(f"{name}={fields[name]!r} is unknown: use one of {', '.join(choices)}.")
    for name in AT_LEAST_ONE:
        if fields[name] < 1:
            raise ValueError(f"{name}={fields[name]} must be at least 1.")
    for name in ("bridge_tokens", "register_tokens"):
        if fields[name] < 0:
            raise ValueError(f"{name}={fields[name]} must be 0 or more.")
    for name in ("adapter_channels", "bridge_heads", "geometry_heads", "ground_width"):
        if fields[name] is not None and fields[name] < 1:
            raise ValueError(f"{name}={fields[name]} must be at least 1, or None for the default.")
    if fields["adapter_start"] == "identity" and fields["adapter_expansion"] < 2:
        raise ValueError(
            f"adapter_start='identity' needs adapter_expansion of at least 2, not {fields['adapter_expansion']}: "
            "raise it."
        )
    width = fields["vision_config"].to_dict().get("hidden_size")
    if fields["adapter_start"] == "identity" and fields["adapter_channels"] not in (None, width):
        raise ValueError(
            f"adapter_start='identity' needs streams as wide as the encoder ({width}), not adapter_channels="
            f"{fields['adapter_channels']}: leave adapter_channels out."
        )
    if fields["metric_bins"] < 2:
        raise ValueError(f"metric_bins={fields['metric_bins']} must be at least 2.")
    if fields["geometry_taps"] > fields["geometry_blocks"]:
        raise ValueError(
            f"geometry_taps={fields['geometry_taps']} is more than geometry_blocks={fields['geometry_blocks']}: lower "
            "it."
        )
    layers = fields["vision_config"].to_dict().get("num_hidden_layers")
    if layers is None:
        raise ValueError(
            f"vision_config is a {fields['vision_config'].model_type}, which names no num_hidden_layers: use an "
            "encoder of patches such as DINOv2."
        )
    if fields["metric_depth"] and fields["metric_taps"] > layers:
        raise ValueError(
            f"metric_taps={fields['metric_taps']} is more than the {layers} layers of the vision encoder."
        )
    nearest, farthest = fields["metric_min_depth_metres"], fields["metric_max_depth_metres"]
    if not 0 < nearest < farthest < float("inf"):
        raise ValueError(
            f"metric_min_depth_metres={nearest} and metric_max_depth_metres={farthest} must satisfy 0 < min < max, in "
            "metres."
        )
    for name in ("scale_trim", "ground_temperature"):
        if not 0 < fields[name] < float("inf"):
            raise ValueError(f"{name}={fields[name]} must be a finite number above 0.")
    for name in ("ground_min_coverage", "ground_cumulative_mass"):
        if not 0 < fields[name] <= 1:
            raise ValueError(f"{name}={fields[name]} must be above 0 and at most 1.")


VidLLMConfig.register_for_auto_class()
