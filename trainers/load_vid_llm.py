"""The Vid-LLM that the options of a launcher name: a saved one, or a new one of an encoder and a language model."""

from transformers import set_seed
from trl import ModelConfig, get_quantization_config

from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.package_files import find_model
from igep.trainers.vid_llm_config import VidLLMScriptArguments


OF_NEW_MODELS = ("vision_name_or_path", "language_name_or_path", "vid_llm_config")


def load_vid_llm(
    script_args: VidLLMScriptArguments, model_args: ModelConfig, seed: int
) -> tuple[VidLLMForConditionalGeneration, IGEPProcessor]:
    """Loads a model and its processor.

    Args:
        script_args (`VidLLMScriptArguments`): What a new model is made of.
        model_args (`ModelConfig`): Where a saved one lies, dtype and attention.
        seed (`int`): Seed of what is new.

    Returns:
        `tuple[VidLLMForConditionalGeneration, IGEPProcessor]`

    Raises:
        ValueError: Neither is named or both are, or the model cannot be made; the message says what to do.
        OSError: A model is not where it was said to be.
    """
    if get_quantization_config(model_args) is not None:
        raise ValueError(
            "load_in_4bit and load_in_8bit: the parts that train in full cannot be quantised. Leave them out."
        )
    options = {"revision": model_args.model_revision, "attn_implementation": model_args.attn_implementation}
    given = {name: vars(script_args)[name] for name in OF_NEW_MODELS if vars(script_args)[name] is not None}
    if model_args.model_name_or_path is not None:
        if given:
            raise ValueError(
                f"model_name_or_path={model_args.model_name_or_path} is a model already, {' and '.join(given)} would "
                "make a new one: give one of both."
            )
        name = find_model(model_args.model_name_or_path)
        model = VidLLMForConditionalGeneration.from_pretrained(name, dtype=model_args.dtype, **options)
        return model.train(), IGEPProcessor.from_pretrained(name, revision=model_args.model_revision)
    if script_args.vision_name_or_path is None or script_args.language_name_or_path is None:
        raise ValueError(
            "no model is named: give model_name_or_path (a saved Vid-LLM), or vision_name_or_path and "
            "language_name_or_path."
        )
    if model_args.model_revision not in (None, ModelConfig().model_revision):
        raise ValueError(
            f"model_revision={model_args.model_revision!r} would change nothing without model_name_or_path: leave it "
            "out."
        )
    set_seed(seed)  # new modules are drawn
    try:
        model = VidLLMForConditionalGeneration.from_parts(
            find_model(script_args.vision_name_or_path),
            find_model(script_args.language_name_or_path),
            dtype=model_args.dtype,
            **(script_args.vid_llm_config or {}),
        )
    except TypeError as error:  # a field that is none
        raise ValueError(f"vid_llm_config: {error}") from error
    if model_args.attn_implementation is not None:
        model.set_attn_implementation(model_args.attn_implementation)
    size = script_args.frame_size
    processor = model.build_processor(
        find_model(script_args.language_name_or_path), frame_size=size[0] if len(size) == 1 else tuple(size)
    )
    return model, processor
