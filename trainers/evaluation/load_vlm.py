"""Loads a model by its name: one that igep saved, or a plain VLM. The one place that tells them apart."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedConfig, PreTrainedModel

from igep.configuration_igep import IGEPConfig
from igep.configuration_vid_llm import VidLLMConfig
from igep.modeling_igep import IGEPForConditionalGeneration
from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.processing_igep import IGEPProcessor


def is_igep(config: PreTrainedConfig) -> bool:
    """Whether a configuration is that of a model that igep saved; by name, for the model may bring its own class."""
    return config.model_type == IGEPConfig.model_type


def is_vid_llm(config: PreTrainedConfig) -> bool:
    """Whether a configuration is that of a Vid-LLM model; by name, as `is_igep`."""
    return config.model_type == VidLLMConfig.model_type


def reads_positions(settings: dict[str, Any]) -> bool:
    """Whether a model needs depth and poses to answer, because it reads the 3D positions of its visual tokens.

    Args:
        settings (`dict[str, Any]`): Its configuration.
    """
    return (
        settings.get("position_encoding", "none") != "none"
    )  # plain VLMs, and models saved before, have no such field


def load_vlm(
    name: str | Path,
    *,
    wrapped: bool = False,
    revision: str | None = None,
    trust_remote_code: bool = False,
    **options: Any,
) -> PreTrainedModel:
    """Loads a model that igep saved, or a plain VLM.

    Args:
        name (`str` or `Path`): Folder or Hub id.
        wrapped (`bool`, *optional*, defaults to `False`): Return an `IGEPForConditionalGeneration` of this package, to
            train or to merge into: a plain VLM is wrapped. Otherwise a plain VLM stays what it is.
        revision (`str`, *optional*): Branch, tag or commit on the Hub.
        trust_remote_code (`bool`, *optional*, defaults to `False`): Run the code that the model brings along. A saved
            IGEP model that is not `wrapped` then runs its own copy of it, as a stranger would, else this package's.
        **options: Further arguments of `from_pretrained`, such as `dtype` and `attn_implementation`.

    Returns:
        `PreTrainedModel`: In eval mode, on the CPU unless the options say otherwise.

    Raises:
        ValueError: A plain VLM that is to be wrapped cannot be supervised, with the reason; or it is a Vid-LLM.
        OSError: No model of this name.
    """
    try:
        settings, _ = PreTrainedConfig.get_config_dict(name, revision=revision)
    except OSError as error:
        raise OSError(
            f"{name}: no saved model in this directory, and no model of this name on the Hub or in its cache. Correct "
            f"the path or the id. ({error})"
        ) from error
    if settings.get("model_type") == VidLLMConfig.model_type:
        if wrapped:
            raise ValueError(f"{name} is a Vid-LLM, which reconstructs by itself: it cannot be trained as IGEP is.")
        if not trust_remote_code:
            return VidLLMForConditionalGeneration.from_pretrained(name, revision=revision, **options)
    saved_by_igep = settings.get("model_type") == IGEPConfig.model_type
    if saved_by_igep and (wrapped or not trust_remote_code):
        return IGEPForConditionalGeneration.from_pretrained(name, revision=revision, **options)
    model = AutoModelForImageTextToText.from_pretrained(
        name, revision=revision, trust_remote_code=trust_remote_code, **options
    )
    return IGEPForConditionalGeneration.from_base(model) if wrapped else model


def load_for_answers(name: str | Path, device: str | None = None) -> tuple[PreTrainedModel, IGEPProcessor]:
    """Loads a model and its processor to ask it questions.

    Args:
        name (`str` or `Path`): Folder or Hub id of a saved model (IGEP, Vid-LLM) or of a plain VLM. Code that it
            brings along is run.
        device (`str`, *optional*): Torch device; by default `cuda` where there is one, else `cpu`.

    Returns:
        `tuple[PreTrainedModel, IGEPProcessor]`: The model as it was saved, in eval mode, and its processor.

    Raises:
        ValueError: A device that this machine does not have.
        OSError: No model of this name.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device={device!r} cannot be used here ({error}). Try cpu.") from error
    model = load_vlm(name, trust_remote_code=True, dtype="auto")
    processor = AutoProcessor.from_pretrained(name, trust_remote_code=True)
    if not is_igep(model.config) and not is_vid_llm(model.config):
        processor = IGEPProcessor.from_base(processor)
    return model.to(device).eval(), processor


def vlm_of(model: PreTrainedModel) -> PreTrainedModel:
    """The VLM that answers: an IGEP model's base, with the model's own generation settings; any other model itself.

    Args:
        model (`PreTrainedModel`): What `load_vlm` returned.

    Returns:
        `PreTrainedModel`: The same object or a part of it, nothing is copied.
    """
    if not is_igep(model.config):
        return model
    model.vlm.generation_config = model.generation_config
    return model.vlm
