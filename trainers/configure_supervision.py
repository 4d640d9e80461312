"""The options of the supervision that the model keeps in its configuration, and builds its training heads from."""

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.trainers.sft_config import IGEPSFTConfig
from igep.trainers.supervision.teachers import Teacher


MODEL_FIELDS = (
    *("supervise", "geometry_weight", "cross_view_weight", "global_weight", "uncertainty_alpha"),
    *("verifier_channels", "verifier_taps", "verifier_min_depth_metres", "verifier_max_depth_metres"),
    *("pooled_alignment", "geometry_size"),
)
HEAD_FIELDS = (
    *("supervise", "verifier_channels", "verifier_taps", "verifier_min_depth_metres", "verifier_max_depth_metres"),
    "teacher_channels",
)


def configure_supervision(model: IGEPForConditionalGeneration, args: IGEPSFTConfig, teacher: Teacher | None) -> None:
    """Copies the options of the supervision into the model's configuration.

    Args:
        model (`IGEPForConditionalGeneration`): The model; its training heads, if it has any, must be those of the options.
        args (`IGEPSFTConfig`): Options of the run.
        teacher (`Teacher`, *optional*): The teacher, needed if `args.global_weight` is not 0.

    Raises:
        ValueError: The model has heads that do not fit the options.
    """
    wanted = {name: vars(args)[name] for name in MODEL_FIELDS}
    wanted["teacher_channels"] = teacher.channels if args.global_weight else None
    config = model.config
    for name in HEAD_FIELDS:
        if model.training_heads and config.to_dict()[name] != wanted[name]:
            raise ValueError(
                f"The model has training heads for {name}={config.to_dict()[name]!r}, the options ask for {wanted[name]!r}: "
                "change the option, or call model.remove_training_heads() first."
            )
    for name, value in wanted.items():
        setattr(config, name, value)
