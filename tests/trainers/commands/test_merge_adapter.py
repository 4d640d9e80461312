"""An adapter alone becomes a whole model that answers as base and adapter together do."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel
from tiny_checkpoints import FRAME_SIZE, random_frames
from tiny_training import make_trainer
from tiny_vid_llm import build_vid_llm
from vid_llm_training import make_trainer as make_vid_llm_trainer

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.cli import main
from igep.trainers.publishing.published_folder import check_folder


LORA = LoraConfig(r=4, lora_alpha=8, init_lora_weights=False, target_modules=r".*(q_proj|v_proj)")


@pytest.fixture(scope="module")
def base(checkpoint_folders) -> Path:
    return checkpoint_folders["llava_onevision"]


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("adapter") / "my_adapter"
    trainer = make_trainer(base, folder, peft_config=LORA, merge_adapter_at_save=False, max_steps=1)
    trainer.train()
    trainer.save_model()
    return folder


def test_the_merged_model_computes_what_the_adapter_does(base, adapter, tmp_path, capsys):
    assert main(["merge", str(adapter), str(tmp_path / "merged"), "--base", str(base)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'merged'}\n"
    inputs = IGEPProcessor.from_pretrained(tmp_path / "merged").question_inputs(random_frames(2), "How far is it?")
    together = PeftModel.from_pretrained(IGEPForConditionalGeneration.from_base(base), adapter / "adapter").eval()
    merged = IGEPForConditionalGeneration.from_pretrained(tmp_path / "merged").eval()
    plain = IGEPForConditionalGeneration.from_base(base).eval()
    with torch.inference_mode():
        expected = together(**inputs).logits
        torch.testing.assert_close(merged(**inputs).logits, expected, atol=1e-4, rtol=1e-4)
        assert (plain(**inputs).logits - expected).abs().max() > 1e-2, "the adapter does something"
    assert json.loads((tmp_path / "merged" / "training_run.json").read_text())["adapter_only"] is False
    assert "adapter" not in (tmp_path / "merged" / "README.md").read_text().split("## Training")[0]
    assert "model.safetensors" in check_folder(tmp_path / "merged").files


def test_an_adapter_of_a_vid_llm_and_the_parts_that_trained_beside_it_become_a_whole_model(tmp_path, base, capsys):
    model, processor = build_vid_llm(frame_size=FRAME_SIZE)
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    lora = LoraConfig(r=4, init_lora_weights=False, target_modules=["q_proj", "v_proj"])
    trainer = make_vid_llm_trainer("joint", tmp_path / "tuned", peft_config=lora, merge_adapter_at_save=False)
    trainer.train()
    trainer.save_model()
    assert not (tmp_path / "tuned" / "model.safetensors").exists()
    assert main(["merge", str(tmp_path / "tuned"), str(tmp_path / "wrong"), "--base", str(base)]) == 2
    assert "the base" in capsys.readouterr().err
    assert main(["merge", str(tmp_path / "tuned"), str(tmp_path / "merged"), "--base", str(tmp_path / "base")]) == 0
    merged = VidLLMForConditionalGeneration.from_pretrained(tmp_path / "merged").eval()
    inputs = IGEPProcessor.from_pretrained(tmp_path / "merged").question_inputs(random_frames(2), "How far is it?")
    trainer.model.eval()
    with torch.inference_mode():
        expected = trainer.model(**inputs, output_reconstruction=True)
        found = merged(**inputs, output_reconstruction=True)
        torch.testing.assert_close(found.logits, expected.logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(
            found.reconstruction.depth_metres, expected.reconstruction.depth_metres, atol=1e-4, rtol=1e-4
        )
        assert (model(**inputs).logits - expected.logits).abs().max() > 1e-2
    assert json.loads((tmp_path / "merged" / "training_run.json").read_text())["adapter_only"] is False
    assert "model.safetensors" in check_folder(tmp_path / "merged").files


def test_what_cannot_be_merged_is_told_in_one_line(base, adapter, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for arguments, message in (
        ([str(adapter), str(tmp_path / "full")], "holds something: give a new folder"),
        ([str(base), str(tmp_path / "new")], "has no training_run.json"),
        ([str(adapter), str(tmp_path / "new"), "--base", str(tmp_path / "none")], "give its place with --base"),
    ):
        assert main(["merge", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
