"""What a run leaves for its users: merged weights and adapters, no head and no pickle, on disk and on the Hub."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel
from safetensors import safe_open
from tiny_training import SlantedWalls, logged, make_args, make_trainer, weights
from transformers import AutoModel, AutoProcessor

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.trainers.sft_trainer import IGEPSFTTrainer


LORA = LoraConfig(r=4, target_modules=r".*\.(q_proj|v_proj|qkv)", task_type="CAUSAL_LM")


@pytest.fixture(scope="module")
def base(checkpoint_folders):
    return checkpoint_folders["llava_onevision"]


def keys_on_disk(folder) -> list[str]:
    names = []
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            names += list(file.keys())
    return names


# ---- LoRA


@pytest.fixture(scope="module")
def lora_run(base, tmp_path_factory):
    trainer = make_trainer(base, tmp_path_factory.mktemp("lora"), peft_config=LORA)
    before = weights(trainer)
    trainer.train()
    trainer.save_model()
    return trainer, before


def test_lora_trains_adapters_and_whole_heads(lora_run):
    trainer, before = lora_run
    after = weights(trainer)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {
        name for name in before if "lora_" in name or trainer.igep_model.part_of_parameter(name) == "heads"
    }
    assert any("vision_tower" in name for name in changed)
    assert not any("lora_" in name for name in before if trainer.igep_model.part_of_parameter(name) == "heads")


def test_lora_with_gradient_checkpointing_changes_nothing(base, tmp_path, lora_run):
    trainer = make_trainer(base, tmp_path, peft_config=LORA, gradient_checkpointing=True)
    trainer.train()
    np.testing.assert_allclose(logged(trainer, "loss"), logged(lora_run[0], "loss"), rtol=1e-5)


def test_lora_merged_model_answers_as_the_trained_one(lora_run):
    trainer, _ = lora_run
    folder = trainer.args.output_dir
    merged = IGEPForConditionalGeneration.from_pretrained(folder).eval()
    batch = trainer.data_collator([trainer.train_dataset[0]])
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "pixel_values_videos")}
    trainer.model.eval()
    with torch.no_grad():
        torch.testing.assert_close(merged(**inputs).logits, trainer.model(**inputs).logits, rtol=1e-4, atol=1e-5)
    assert merged.training_heads == {}


def test_lora_adapter_loads_on_the_base(lora_run, base):
    trainer, _ = lora_run
    folder = f"{trainer.args.output_dir}/adapter"
    model = PeftModel.from_pretrained(IGEPForConditionalGeneration.from_base(base), folder).eval()
    batch = trainer.data_collator([trainer.train_dataset[0]])
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "pixel_values_videos")}
    trainer.model.eval()
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, trainer.model(**inputs).logits)


def test_lora_saving_leaves_the_run_as_it_was(lora_run):
    trainer, _ = lora_run
    assert any("lora_" in name for name, _ in trainer.igep_model.named_parameters())
    assert set(trainer.igep_model.training_heads) == {"depth_verifier", "teacher_projector"}


def test_adapter_alone_when_merging_is_off(base, tmp_path):
    trainer = make_trainer(base, tmp_path, peft_config=LORA, merge_adapter_at_save=False, max_steps=1)
    trainer.train()
    trainer.save_model()
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()
    assert not (tmp_path / "model.safetensors").exists()


# ---- what is published


@pytest.mark.parametrize("peft_config", [None, LORA], ids=["full", "lora"])
def test_published_folder_holds_no_head_and_no_pickle(base, tmp_path, peft_config):
    trainer = make_trainer(base, tmp_path, peft_config=peft_config, save_strategy="steps", save_steps=2)
    trainer.train()
    trainer.save_model()
    for folder in (tmp_path, tmp_path / "adapter"):
        assert not any("depth_verifier" in key or "teacher_projector" in key for key in keys_on_disk(folder))
        assert not list(folder.glob("*.bin"))
        assert not list(folder.glob("*.pt"))
        assert not list(folder.glob("*heads*.safetensors"))
    assert (tmp_path / "checkpoint-2" / "training_heads.safetensors").exists()


@pytest.mark.parametrize("peft_config", [None, LORA], ids=["full", "lora"])
def test_what_goes_to_the_hub_is_the_published_folder(base, tmp_path, monkeypatch, peft_config):
    """`Trainer` would upload an adapter beside the merged weights, which then is applied twice, and a pickle."""
    uploads = []

    class Hub:
        def create_repo(self, name, **kwargs):
            return SimpleNamespace(repo_id=name)

        def upload_folder(self, *, repo_id, folder_path, **kwargs):
            uploads.append((repo_id, {path.name for path in Path(folder_path).iterdir() if path.is_file()}))

    monkeypatch.setattr("transformers.trainer.hf_api", Hub)
    options = {"push_to_hub": True, "hub_model_id": "someone/rooms", "save_strategy": "steps", "save_steps": 1}
    trainer = make_trainer(base, tmp_path, peft_config=peft_config, **options)
    trainer.train()
    trainer.save_model()
    ((name, files),) = uploads
    assert name == "someone/rooms"
    assert {"model.safetensors", "config.json", "modeling_igep.py", "processor_config.json", "README.md"} <= files
    assert not [file for file in files if file.endswith((".bin", ".pt")) or file.startswith("adapter")]


def test_saved_config_leaves_the_cache_of_generation_on(base, tmp_path):
    trainer = make_trainer(base, tmp_path, max_steps=1)
    trainer.train()
    trainer.save_model()
    assert json.loads((tmp_path / "config.json").read_text())["use_cache"] is True
    model = IGEPForConditionalGeneration.from_pretrained(tmp_path)
    lengths = []
    model.vlm.get_decoder().register_forward_hook(
        lambda _, args, kwargs, output: lengths.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    inputs = trainer.processing_class.question_inputs(list(SlantedWalls()[0].frames), "?")
    model.generate(**inputs, max_new_tokens=3, min_new_tokens=3)
    assert lengths[1:] == [1, 1]


def test_a_model_loaded_with_its_own_code_trains_on(base, tmp_path):
    first = make_trainer(base, tmp_path / "first", max_steps=1)
    first.train()
    first.save_model()
    model = AutoModel.from_pretrained(tmp_path / "first", trust_remote_code=True)
    assert not isinstance(model, IGEPForConditionalGeneration)
    processor = AutoProcessor.from_pretrained(tmp_path / "first", trust_remote_code=True)
    second = IGEPSFTTrainer(model, make_args(tmp_path / "second"), SlantedWalls(), processor)
    before = weights(second)
    second.train()
    trainable = {name for name, value in model.named_parameters() if value.requires_grad}
    assert not [name for name in trainable if torch.equal(before[name], model.get_parameter(name))]
    second.save_model()
    again = AutoModel.from_pretrained(tmp_path / "second", trust_remote_code=True)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())


@pytest.mark.slow
def test_published_folder_loads_in_a_fresh_process(base, tmp_path):
    trainer = make_trainer(base, tmp_path / "run")
    trainer.train()
    trainer.save_model()
    code = (
        "from transformers import AutoModel, AutoProcessor\n"
        f"model = AutoModel.from_pretrained({str(tmp_path / 'run')!r}, trust_remote_code=True)\n"
        f"AutoProcessor.from_pretrained({str(tmp_path / 'run')!r}, trust_remote_code=True)\n"
        "assert not [n for n, _ in model.named_parameters() if 'verifier' in n or 'projector.hidden' in n]\n"
        "print(sum(p.double().sum().item() for p in model.parameters()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    trained = sum(p.double().sum().item() for n, p in trainer.igep_model.named_parameters() if n.startswith("vlm."))
    assert float(done.stdout.split()[-1]) == pytest.approx(trained, rel=1e-12)
