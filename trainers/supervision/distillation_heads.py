"""Linear projections of Vid-LLM's two streams to their teachers' widths, which exist only while stage 1 trains."""

from torch import nn

from igep.modeling_vid_llm import VidLLMForConditionalGeneration, VidLLMOutput


HEADS = "distillation_heads"


class DistillationHeads(nn.Module):
    """Projects the streams that a model returns, inside its forward, where distributed training sees them.

    Args:
        channels (`int`): Channels of both streams.
        geometry_channels (`int`): Those of the geometry teacher.
        language_channels (`int`): Those of the semantic teacher.
    """

    def __init__(self, channels: int, geometry_channels: int, language_channels: int):
        super().__init__()
        self.geometry = nn.Linear(channels, geometry_channels)
        self.language = nn.Linear(channels, language_channels)

    def forward(self, output: VidLLMOutput) -> VidLLMOutput:
        """Replaces both streams, (B, F, h, w, channels) each, by their projections."""
        output.geometry_tokens = self.geometry(output.geometry_tokens)
        output.language_tokens = self.language(output.language_tokens)
        return output


def add_distillation_heads(
    model: VidLLMForConditionalGeneration, geometry_channels: int, language_channels: int
) -> DistillationHeads:
    """Gives a model heads through which its streams pass wherever `output_streams` asks for them; it is saved without.

    Args:
        model (`VidLLMForConditionalGeneration`): The model, which is changed.
        geometry_channels (`int`): Channels of the geometry teacher.
        language_channels (`int`): Channels of the semantic teacher.

    Returns:
        `DistillationHeads`: In float32, on the device of the model.
    """
    heads = DistillationHeads(model.config.stream_channels, geometry_channels, language_channels).to(model.device)
    model.add_module(HEADS, heads)
    model._keys_to_ignore_on_save = [
        *(model._keys_to_ignore_on_save or ()),
        *(f"{HEADS}.{key}" for key in heads.state_dict()),
    ]

    def project(module: nn.Module, arguments: tuple, output: VidLLMOutput) -> VidLLMOutput:
        return output if output.geometry_tokens is None else heads(output)

    model.register_forward_hook(project)
    return heads
