"""What is known of base VLMs: their parts, the layer that is read, what is frozen, and which bases are refused.

Families name the same thing differently; whatever has to know a name stands here, the layouts of their tokens in
`frame_grids`.
"""

import inspect
import re

from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput


LOGIT_TRANSFORMS = ("final_logit_softcapping", "logit_scale", "logits_scaling")
PIXELS = {"image": "pixel_values", "video": "pixel_values_videos"}  # names of the processors' tensors
LAYER = re.compile(r"(?:^|\.)(?:layers?|blocks)\.(\d+)\.")  # of a vision encoder, in the name of a parameter
MERGERS = ("merger", "deepstack_merger_list")  # projectors of Qwen models, which live inside the vision tower


def check_base(vlm: PreTrainedModel) -> None:
    """Makes sure that a VLM can be supervised.

    Args:
        vlm (`PreTrainedModel`): The VLM.

    Raises:
        ValueError: It cannot; the message says why.
    """
    name = type(vlm).__name__
    if "mm_encoder_outputs" not in inspect.signature(vlm.forward).parameters:
        raise ValueError(
            f"{name} cannot be supervised: its forward has no argument mm_encoder_outputs, so its vision encoder "
            "would have to run twice. Use a VLM of transformers that has it, such as LLaVA-OneVision or Qwen3-VL."
        )
    if vlm.config.to_dict().get("vision_config") is None:
        raise ValueError(f"{name} cannot be supervised: its configuration has no vision_config.")
    encoder_shape(vlm.config)
    transforms = vlm.config.get_text_config().to_dict()
    for field in LOGIT_TRANSFORMS:
        if transforms.get(field) is not None:
            raise ValueError(
                f"{name} cannot be supervised: its head changes the logits ({field}={transforms[field]}), which the "
                "loss at supervised positions does not do. Use another base model."
            )


def encoder_shape(vlm_config: PreTrainedConfig) -> tuple[int, int]:
    """Reads the size of the vision encoder's hidden states.

    Args:
        vlm_config (`PreTrainedConfig`): Configuration of a base VLM.

    Returns:
        `tuple[int, int]`: Their channels, and the number of layers.

    Raises:
        ValueError: The configuration does not name them.
    """
    fields = vlm_config.vision_config.to_dict()
    channels = fields.get("embed_dim", fields.get("hidden_size"))  # Qwen2-VL calls the output's width hidden_size
    layers = fields.get("num_hidden_layers", fields.get("depth"))
    if channels is None or layers is None:
        raise ValueError(
            f"{vlm_config.model_type} cannot be supervised: its vision_config names neither hidden_size and "
            f"num_hidden_layers nor embed_dim and depth, but {sorted(fields)}. Use another base model."
        )
    return channels, layers


def frames_per_feature(vlm_config: PreTrainedConfig) -> int:
    """Frames that one feature frame of the vision encoder covers: 2 for Qwen models, which merge them in pairs."""
    return vlm_config.vision_config.to_dict().get("temporal_patch_size", 1)


def read_layer(vlm_config: PreTrainedConfig, num_layers: int) -> int:
    """Says which hidden state of the encoder feeds the language model: what lies above it is never used.

    Args:
        vlm_config (`PreTrainedConfig`): Configuration of a base VLM.
        num_layers (`int`): Layers of its vision encoder.

    Returns:
        `int`: Index into the hidden states, 0 = the input of the first layer; of several, the deepest.
    """
    layer = vlm_config.to_dict().get("vision_feature_layer", num_layers)
    layer = max(layer) if isinstance(layer, (list, tuple)) else layer
    return layer if layer >= 0 else num_layers + 1 + layer


def freeze_unread_parameters(vlm: PreTrainedModel) -> None:
    """Freezes what follows the encoder's last read layer: with no gradient it would stop distributed training.

    Args:
        vlm (`PreTrainedModel`): The base VLM.
    """
    if "vision_feature_layer" not in vlm.config.to_dict():
        return
    _, num_layers = encoder_shape(vlm.config)
    read = read_layer(vlm.config, num_layers)
    for name, parameter in vlm.get_encoder(modality="image").named_parameters():
        layer = LAYER.search(name)
        after = any(part in f".{name}" for part in (".post_layernorm.", ".head.")) or name.startswith("layernorm.")
        if after or (layer is not None and int(layer.group(1)) >= read):
            parameter.requires_grad_(False)


def freeze_first_layers(vlm: PreTrainedModel, num_layers: int) -> None:
    """Freezes the first layers of the vision encoder and the embeddings before them: no gradient has to reach them.

    Args:
        vlm (`PreTrainedModel`): The base VLM.
        num_layers (`int`): Layers to freeze, from the input; 0 freezes nothing, the embeddings neither.

    Raises:
        ValueError: The encoder has fewer layers, or names them in a way that is not known here.
    """
    if num_layers == 0:
        return
    encoder = vlm.get_encoder(modality="image")
    layers = {name: LAYER.search(name) for name, _ in encoder.named_parameters()}
    numbers = {int(found.group(1)) for found in layers.values() if found is not None}
    if not 0 < num_layers <= len(numbers):
        raise ValueError(
            f"frozen_vision_layers={num_layers}: the vision encoder has {len(numbers)} layers. Give 0 to as many, or "
            "freeze vision whole."
        )
    for name, parameter in encoder.named_parameters():
        found = layers[name]
        if int(found.group(1)) < num_layers if found is not None else "embed" in name:
            parameter.requires_grad_(False)


def part_of_parameter(vlm: PreTrainedModel, name: str) -> str:
    """Says which part of a VLM a parameter belongs to.

    Args:
        vlm (`PreTrainedModel`): The base VLM.
        name (`str`): Name of the parameter in a model that holds the VLM as `vlm`; further prefixes do no harm.

    Returns:
        `"vision"`, `"projector"` or `"language"`.
    """
    dotted = f".{name}."
    parts = {id(vlm.get_decoder()): "language", id(vlm.get_output_embeddings()): "language"}
    parts[id(vlm.get_encoder(modality="image"))] = "vision"
    for path, module in vlm.named_modules():
        if id(module) in parts and f".vlm.{path}." in dotted:
            part = parts[id(module)]
            merges = any(f".{merger}." in dotted for merger in MERGERS)
            return "projector" if part == "vision" and merges else part
    return "projector"


def encode_pixels(
    vlm: PreTrainedModel, modality: str, inputs: dict, output_hidden_states: bool = False
) -> ModelOutput:
    """Runs the vision encoder and the projector on the pixels of one modality.

    Args:
        vlm (`PreTrainedModel`): The base VLM.
        modality (`str`): `"image"` or `"video"`.
        inputs (`dict`): The processor's tensors; those that the encoder does not take are left out.
        output_hidden_states (`bool`, *optional*, defaults to `False`): Also return the encoder's hidden states.

    Returns:
        `ModelOutput`: What the base's own encoder returns, as its forward takes it in `mm_encoder_outputs`.
    """
    base = vlm.base_model
    encoder = base.get_video_features if modality == "video" else base.get_image_features
    accepted = inspect.signature(encoder).parameters
    given = {name: value for name, value in inputs.items() if name in accepted and value is not None}
    if output_hidden_states:
        given["output_hidden_states"] = True
    return encoder(**given, return_dict=True)


def has_three_axes(vlm: PreTrainedModel) -> bool:
    """Whether the positions of a VLM have time, height and width (the Qwen-VL family)."""
    rope = vlm.config.get_text_config().to_dict().get("rope_parameters") or {}
    return "mrope_section" in rope


def cache_argument(vlm: PreTrainedModel) -> str:
    """The name under which a VLM takes the keys and values of earlier tokens.

    transformers 5.24 renamed `past_key_values` to `cache` family by family, and code on the Hub follows at its own
    pace: the signature of the model at hand tells.

    Args:
        vlm (`PreTrainedModel`): The base VLM.

    Returns:
        `"cache"` or `"past_key_values"`.
    """
    return "cache" if "cache" in inspect.signature(vlm.base_model.forward).parameters else "past_key_values"
