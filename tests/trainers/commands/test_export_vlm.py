"""An exported model is the plain base: no code of ours, and weights under the names that servers read."""

import pytest
import torch
from safetensors.torch import load_file
from tiny_batches import every_family
from tiny_checkpoints import random_frames
from transformers import AutoModelForImageTextToText, AutoProcessor

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.commands.export_vlm import export_vlm


@every_family
def test_what_was_loaded_with_its_own_code_is_exported(family, checkpoint_folders, tmp_path):
    base = checkpoint_folders[family]
    IGEPForConditionalGeneration.from_base(base).save_pretrained(tmp_path / "model")
    IGEPProcessor.from_base(base).save_pretrained(tmp_path / "model")
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "model", trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(tmp_path / "model", trust_remote_code=True)
    model.generation_config.max_new_tokens = 7
    export_vlm(model, tmp_path / "plain", processor)

    assert not list((tmp_path / "plain").glob("*.py"))
    names = [load_file(folder / "model.safetensors").keys() for folder in (base, tmp_path / "plain")]
    assert names[0] == names[1]
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path / "plain", trust_remote_code=False)
    assert plain.generation_config.max_new_tokens == 7
    read = AutoProcessor.from_pretrained(tmp_path / "plain", trust_remote_code=False)
    assert type(read).__name__ == type(processor.base_processor).__name__
    inputs = processor.question_inputs(random_frames(2), "How far is the chair?")
    with torch.no_grad():
        assert torch.equal(plain(**inputs).logits, model(**inputs).logits)


def test_without_a_processor_the_model_alone_is_written(checkpoint_folders, tmp_path):
    model = IGEPForConditionalGeneration.from_base(checkpoint_folders["qwen3_vl"])
    export_vlm(model, tmp_path)
    assert not (tmp_path / "processor_config.json").exists()
    assert (tmp_path / "model.safetensors").exists()


def test_a_plain_model_is_refused(checkpoint_folders, tmp_path):
    plain = AutoModelForImageTextToText.from_pretrained(checkpoint_folders["qwen3_vl"])
    with pytest.raises(ValueError, match="a plain qwen3_vl already"):
        export_vlm(plain, tmp_path)
    assert not list(tmp_path.iterdir())
