"""A model that igep trained as the plain base VLM, which loads without any code of this package."""

from pathlib import Path

from transformers import PreTrainedModel, ProcessorMixin
from transformers.conversion_mapping import get_model_conversion_mapping

from igep.processing_igep import IGEPProcessor
from igep.trainers.evaluation.load_vlm import is_igep, is_vid_llm, reads_positions


def export_vlm(model: PreTrainedModel, save_directory: str | Path, processor: ProcessorMixin | None = None) -> None:
    """Writes the base VLM inside a model, with the weights it was trained to. A ground head stays behind.

    Args:
        model (`PreTrainedModel`): An `IGEPForConditionalGeneration`, of this package or loaded with the code it was
            saved with.
        save_directory (`str` or `Path`): Folder to write to.
        processor (`ProcessorMixin`, *optional*): The processor to write beside it, wrapped in `IGEPProcessor` or not.

    Raises:
        ValueError: The model is a plain VLM already, or none is inside it: a Vid-LLM, or a model that reads 3D
            positions.
    """
    if is_vid_llm(model.config):
        raise ValueError(
            "the model is a Vid-LLM: no plain VLM is inside it, its language model reads what it reconstructs. Use "
            "the saved model as it is."
        )
    if not is_igep(model.config):
        raise ValueError(f"the model is a plain {model.config.model_type} already: serve it as it is.")
    if reads_positions(model.config.to_dict()):
        raise ValueError(
            "the model reads 3D positions (position_encoding), which its plain VLM would not: it would answer as "
            "nobody trained it. Use the saved model as it is."
        )
    vlm = model.vlm
    vlm.generation_config = model.generation_config
    if "_weight_conversions" not in vars(vlm):
        # Loaded as a part of this model, the base has lost the names of its published checkpoints, which servers read.
        vlm._weight_conversions = get_model_conversion_mapping(vlm, add_legacy=False)
    vlm.save_pretrained(save_directory)
    if processor is not None:
        IGEPProcessor.from_base(processor).base_processor.save_pretrained(save_directory)
