"""A DINOv2 encoder and a chatting language model with random weights, as the Hub holds them: parts of a small base."""

from pathlib import Path

import torch
from tiny_checkpoints import build_tokenizer
from transformers import Dinov2Config, Dinov2Model, LlamaConfig, LlamaForCausalLM


def save_encoder(folder: Path, *, layers: int = 4, channels: int = 24) -> Path:
    """Writes an encoder of patches of 14 pixels, for images of 70, and returns the folder."""
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=channels,
        num_hidden_layers=layers,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=70,
        patch_size=14,
        layerscale_value=1.0,
        initializer_range=0.2,
    )
    Dinov2Model(config).save_pretrained(folder)
    return folder


def save_language_model(folder: Path, *, layers: int = 3) -> Path:
    """Writes a Llama with a tokenizer of bytes that knows `<|im_start|>` and `<|im_end|>`, and returns the folder."""
    torch.manual_seed(1)
    tokenizer = build_tokenizer("<image>", "<video>")
    config = LlamaConfig(
        vocab_size=len(tokenizer) - 2,  # the published ones know no token for frames
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
