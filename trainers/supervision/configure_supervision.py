"""The options that the model itself has to know: of the supervision, of 3D positions, and of packed questions."""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedConfig

from igep.configuration_igep import POSITION_FIELDS, SUPERVISION_FIELDS
from igep.modeling_igep import IGEPForConditionalGeneration


PACKING_ATTENTION = ("sdpa", "eager", "flex_attention")
HEAD_FIELDS = (
    *("objective", "verifier_layers", "verifier_activation", "verifier_projection_channels"),
    *("supervise", "verifier_channels", "verifier_taps", "verifier_min_depth_metres", "verifier_max_depth_metres"),
    *("teacher_channels", "teacher_projector_channels", "teacher_projector_norm"),
)


def configure_supervision(
    model: IGEPForConditionalGeneration, options: Mapping[str, Any], teacher_channels: int | None
) -> None:
    """Copies supervision and position options into the model's configuration, and says how it masks packed questions.

    Args:
        model (`IGEPForConditionalGeneration`): The model; its training heads, if it has any, must be those of the
            options.
        options (`Mapping[str, Any]`): Options of the run, among them `pack_questions` and those of
            `SUPERVISION_FIELDS` and `POSITION_FIELDS`.
        teacher_channels (`int`, *optional*): Channels of the teacher's descriptors; `None` without a teacher.

    Raises:
        ValueError: The model has heads that do not fit the options, was trained with positions that the options leave
            out or change, or has an attention implementation that cannot keep packed questions apart.
    """
    wanted = {name: options[name] for name in SUPERVISION_FIELDS} | {"teacher_channels": teacher_channels}
    config = model.config
    for name in HEAD_FIELDS:
        if model.training_heads and config.to_dict()[name] != wanted[name]:
            raise ValueError(
                f"The model has training heads for {name}={config.to_dict()[name]!r}, the options ask for "
                f"{wanted[name]!r}: change the option, or call model.remove_training_heads() first."
            )
    positions = {name: options[name] for name in POSITION_FIELDS}
    if config.position_encoding != "none":
        for name, value in positions.items():
            if config.to_dict()[name] != value:
                raise ValueError(
                    f"{name}={value!r}, but the model was trained with {name}={config.to_dict()[name]!r}: set the "
                    "option to that."
                )
    for name, value in (wanted | positions).items():
        setattr(config, name, value)
    if options["pack_questions"]:
        model.packs_with_block_mask = packs_with_block_mask(model.config.get_text_config())


def packs_with_block_mask(text_config: PreTrainedConfig) -> bool:
    """Says in which form the language model's attention takes the mask of packed questions.

    Args:
        text_config (`PreTrainedConfig`): Configuration of the language model.

    Returns:
        `bool`: Whether that is a `BlockMask`, with which flex attention skips what no token attends to.

    Raises:
        ValueError: The attention implementation takes no mask.
    """
    # transformers has no public name for it.
    implementation = text_config._attn_implementation
    if implementation not in PACKING_ATTENTION:
        raise ValueError(
            f"attn_implementation={implementation!r} cannot keep packed questions apart: load the model with sdpa, "
            "flex_attention or eager, or set pack_questions to false."
        )
    return implementation == "flex_attention"
