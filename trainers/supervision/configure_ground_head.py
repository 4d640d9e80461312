"""The ground head of a model in training: built where boxes are to be chosen, and trained in full beside adapters."""

import copy
from collections.abc import Mapping
from typing import Any

from peft import PeftConfig
from transformers.utils import logging

from igep.configuration_igep import GROUND_FIELDS
from igep.modeling_igep import IGEPForConditionalGeneration


logger = logging.get_logger(__name__)

GROUND_HEAD = "ground_head"


def configure_ground_head(model: IGEPForConditionalGeneration, options: Mapping[str, Any]) -> None:
    """Gives a model the ground head that the options ask for.

    Args:
        model (`IGEPForConditionalGeneration`): The model. A head that it has and the options do not ask for is kept as
            it is.
        options (`Mapping[str, Any]`): Options of the run, among them those of `GROUND_FIELDS`.

    Raises:
        ValueError: The model has a ground head of another kind.
    """
    if options["ground_weight"]:
        model.add_ground_head(**{name: options[name] for name in GROUND_FIELDS})
    elif GROUND_HEAD in dict(model.named_children()):  # a model saved by an earlier version has no place for one
        model.ground_head.requires_grad_(False)
        logger.warning("The model's ground head is kept but not trained: ground_weight is 0.")


def with_ground_head(peft_config: PeftConfig) -> PeftConfig:
    """Adapters beside which the ground head trains in full, and with which it is saved.

    Args:
        peft_config (`PeftConfig`): The adapters.

    Returns:
        `PeftConfig`: A copy.
    """
    changed = copy.deepcopy(peft_config)
    changed.modules_to_save = sorted({*(peft_config.modules_to_save or ()), GROUND_HEAD})
    return changed
