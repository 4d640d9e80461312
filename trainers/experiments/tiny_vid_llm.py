"""A tiny Vid-LLM of the embedded base: its vision tower, language model and projector, and new parts between them.

    model, processor = vid_llm_base()

The tower and the language model are those that plain fine-tuning and IGEP start from, so that all three can be
compared. Of what is new, the adapter and the position embedding change nothing at first; the reconstruction and metric
depth begin at random.
"""

import torch
from transformers import AutoTokenizer, LlavaOnevisionForConditionalGeneration, Qwen2ForCausalLM

from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.experiments.tiny_vlm import CHAT_TEMPLATE, IMAGE_SIZE
from igep.trainers.package_files import TINY_BASE


COLOURS = (0.5, 0.5, 0.5)  # mean and deviation that the base's tower expects
FIELDS = {
    # The projector and the language model have learnt to read the tower's own tokens: at first they still do.
    "vision_final_norm": False,
    "adapter_start": "identity",
    "bridge_write_back": "gated_attention",
    "position_start": "zero",
    "bridge_tokens": 8,
    "bridge_heads": 4,
    "geometry_blocks": 2,
    "geometry_heads": 4,
    "geometry_expansion": 2,
    "geometry_taps": 2,
    "geometry_layer_scale": 1.0,
    "register_tokens": 2,
    "camera_layers": 1,
    "camera_iterations": 3,
    "depth_channels": 16,
    "metric_channels": 16,
    "metric_taps": 2,
    "metric_bins": 16,
    "metric_stride": 4,
    "metric_max_depth_metres": 15.0,
    "pooling_ratio": 2,
}


def vid_llm_base(seed: int = 0, **fields) -> tuple[VidLLMForConditionalGeneration, IGEPProcessor]:
    """Makes the model and its processor.

    Args:
        seed (`int`, *optional*, defaults to `0`): Seed of what is new.
        **fields: Fields of `VidLLMConfig`, over `FIELDS`.

    Returns:
        `tuple[VidLLMForConditionalGeneration, IGEPProcessor]`: A model in float32 that sees frames of 64 x 64 pixels.
    """
    base = LlavaOnevisionForConditionalGeneration.from_pretrained(TINY_BASE)
    language = Qwen2ForCausalLM(base.config.text_config)
    language.model.load_state_dict(base.model.language_model.state_dict())
    language.lm_head.load_state_dict(base.lm_head.state_dict())
    language.generation_config = base.generation_config
    torch.manual_seed(seed)
    model = VidLLMForConditionalGeneration.from_parts(base.model.vision_tower, language, **(FIELDS | fields))
    projector = model.model.language_input.projector
    for own, learnt in (
        (0, base.model.multi_modal_projector.linear_1),
        (2, base.model.multi_modal_projector.linear_2),
    ):
        projector[own].load_state_dict(learnt.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(TINY_BASE)
    tokenizer.chat_template = CHAT_TEMPLATE
    size = (IMAGE_SIZE, IMAGE_SIZE)
    processor = model.build_processor(tokenizer, frame_size=size, image_mean=COLOURS, image_std=COLOURS)
    return model, processor
