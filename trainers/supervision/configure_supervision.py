"""The options of the supervision that the model keeps in its configuration, and builds its training heads from."""

from collections.abc import Mapping
from typing import Any

from igep.configuration_igep import SUPERVISION_FIELDS
from igep.modeling_igep import IGEPForConditionalGeneration


HEAD_FIELDS = (
    *("supervise", "verifier_channels", "verifier_taps", "verifier_min_depth_metres", "verifier_max_depth_metres"),
    "teacher_channels",
)


def configure_supervision(
    model: IGEPForConditionalGeneration, options: Mapping[str, Any], teacher_channels: int | None
) -> None:
    """Copies the options of the supervision into the model's configuration.

    Args:
        model (`IGEPForConditionalGeneration`): The model; its training heads, if it has any, must be those of the options.
        options (`Mapping[str, Any]`): Options of the run, among them those of `SUPERVISION_FIELDS`.
        teacher_channels (`int`, *optional*): Channels of the teacher's descriptors; `None` without a teacher.

    Raises:
        ValueError: The model has heads that do not fit the options.
    """
    wanted = {name: options[name] for name in SUPERVISION_FIELDS} | {"teacher_channels": teacher_channels}
    config = model.config
    for name in HEAD_FIELDS:
        if model.training_heads and config.to_dict()[name] != wanted[name]:
            raise ValueError(
                f"The model has training heads for {name}={config.to_dict()[name]!r}, the options ask for {wanted[name]!r}: "
                "change the option, or call model.remove_training_heads() first."
            )
    for name, value in wanted.items():
        setattr(config, name, value)
