"""A saved model, loaded by a process that has never seen this package, is the base VLM to the last bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_checkpoints import FAMILIES, random_frames, save_checkpoint
from tiny_vid_llm import build_vid_llm
from transformers import AutoModelForImageTextToText

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.commands.export_vlm import export_vlm
from igep.trainers.supervision.geometry_losses import igep_objective


# An editable install puts a finder on sys.meta_path and site-packages stays visible under -I: igep is made
# unimportable.
PREAMBLE = """
import json, sys

class Unimportable:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("igep", "trainers", "tests", "tiny_checkpoints"):
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Unimportable())
try:
    import igep
    raise SystemExit("igep is importable: the test proves nothing")
except ModuleNotFoundError:
    pass
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoProcessor

frames = [Image.open(f"frame_{index}.png") for index in range(3)]
expected = load_file("expected.safetensors")

def check(model, inputs):
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, expected["logits"]), "logits differ"
    generated = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    assert torch.equal(generated, expected["generated"]), "generated tokens differ"
"""

LOAD_REMOTE = """
for auto_class in (AutoModel, AutoModelForImageTextToText):
    model, info = auto_class.from_pretrained("model", trust_remote_code=True, output_loading_info=True)
    assert type(model).__name__ == "IGEPForConditionalGeneration"
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    assert not any("depth_verifier" in name or "teacher_projector" in name for name, _ in model.named_modules())
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"vlm"}
    processor = AutoProcessor.from_pretrained("model", trust_remote_code=True)
    assert type(processor).__name__ == "IGEPProcessor"
    inputs = processor.question_inputs(frames, "How far is the chair?")
    check(model, inputs)
    half = auto_class.from_pretrained("model", trust_remote_code=True, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
assert AutoConfig.from_pretrained("model", trust_remote_code=True).model_type == "igep"
model.save_pretrained("again")
processor.save_pretrained("again")
assert not [name for name in sys.modules if name.split(".")[0] == "igep"]
"""

LOAD_VID_LLM = """
for auto_class in (AutoModel, AutoModelForImageTextToText):
    model, info = auto_class.from_pretrained("model", trust_remote_code=True, output_loading_info=True)
    assert type(model).__name__ == "VidLLMForConditionalGeneration"
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    processor = AutoProcessor.from_pretrained("model", trust_remote_code=True)
    assert type(processor).__name__ == "IGEPProcessor"
    inputs = processor.question_inputs(frames, "How far is the chair?")
    check(model, inputs)
    found = model.generate(**inputs, max_new_tokens=2, do_sample=False, output_reconstruction=True).reconstruction
    for name in ("depth_metres", "world_from_camera", "intrinsics", "points_world", "depth_confidence"):
        assert torch.equal(found[name], expected[name]), name
    inputs, questions = processor.ground_inputs(frames, ["The chair."])
    (boxes,) = model.ground_boxes(dict(inputs), questions)
    assert torch.equal(torch.tensor(boxes.boxes), expected["regressed_boxes"])
    assert boxes.world == "first_camera"
assert AutoConfig.from_pretrained("model", trust_remote_code=True).model_type == "vid_llm"
model.save_pretrained("again")
processor.save_pretrained("again")
assert not [name for name in sys.modules if name.split(".")[0] == "igep"]
from transformers import pipeline
pipe = pipeline("image-text-to-text", model="model", trust_remote_code=True)
shown = [{"type": "image", "image": frame} for frame in frames]
chat = [{"role": "user", "content": [*shown, {"type": "text", "text": "Near?"}]}]
(answer,) = pipe(text=chat, return_full_text=False, generate_kwargs={"max_new_tokens": 6, "do_sample": False})
inputs = processor.question_inputs(frames, "Near?", frames_as="images")
tokens = model.generate(**inputs, max_new_tokens=6, do_sample=False)[0, inputs["input_ids"].shape[1]:]
assert answer["generated_text"] == processor.decode(tokens, skip_special_tokens=True)
"""

LOAD_PLAIN = """
model = AutoModelForImageTextToText.from_pretrained("plain", trust_remote_code=False)
processor = AutoProcessor.from_pretrained("plain", trust_remote_code=False)
assert type(model).__module__.startswith("transformers.models."), type(model)
assert type(processor).__module__.startswith("transformers.models."), type(processor)
check(model, load_file("inputs.safetensors"))
assert not [name for name in sys.modules if name.split(".")[0] in ("igep", "transformers_modules")]
"""


def run_isolated(folder: Path, code: str) -> None:
    environment = {**os.environ, "HF_HOME": str(folder / "hf_home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-I", "-c", PREAMBLE + code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "tied"), [(family, family != "qwen3_vl") for family in FAMILIES])
def test_a_trained_model_is_its_base_in_a_process_without_igep(family, tied, tmp_path):
    torch.manual_seed(0)
    base_folder = save_checkpoint(family, tmp_path / "base", tie_word_embeddings=tied)
    model = IGEPForConditionalGeneration.from_base(base_folder, teacher_channels=8)
    processor = IGEPProcessor.from_base(base_folder)
    model.add_training_heads(igep_objective)
    frames = random_frames(3)
    inputs = processor.question_inputs(frames, "How far is the chair?")
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    output = model.train()(
        **inputs,
        labels=inputs["input_ids"],
        frame_mask=torch.ones(1, 3, dtype=torch.bool),
        depth_metres=torch.full((1, 3, 16, 24), 2.0),
        teacher_descriptors=torch.ones(1, 3, 2, 2, 8),
    )
    output.loss.backward()
    optimizer.step()
    model.eval()

    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    with torch.no_grad():
        logits = model.vlm(**inputs).logits
    generated = model.vlm.generate(**inputs, max_new_tokens=8, do_sample=False)
    base_logits = AutoModelForImageTextToText.from_pretrained(base_folder)(**inputs).logits
    assert not torch.equal(logits, base_logits), "the training step changed nothing: the test proves nothing"
    save_file({"logits": logits, "generated": generated}, tmp_path / "expected.safetensors")
    save_file({name: value.contiguous() for name, value in inputs.items()}, tmp_path / "inputs.safetensors")
    for index, frame in enumerate(frames):
        frame.save(tmp_path / f"frame_{index}.png")

    with safe_open(tmp_path / "model" / "model.safetensors", framework="pt") as weights:
        assert {name.split(".")[0] for name in weights.keys()} == {"vlm"}  # noqa: SIM118
    saved = json.loads((tmp_path / "model" / "config.json").read_text())
    assert set(saved["auto_map"]) == {"AutoConfig", "AutoModel", "AutoModelForImageTextToText", "AutoProcessor"}
    for reference in saved["auto_map"].values():
        assert (tmp_path / "model" / f"{reference.split('.')[0]}.py").exists()
    assert not list((tmp_path / "model").glob("*.bin"))

    run_isolated(tmp_path, LOAD_REMOTE)
    for file in (tmp_path / "model").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name
    export_vlm(IGEPForConditionalGeneration.from_pretrained(tmp_path / "model"), tmp_path / "plain", processor)
    assert not [path.name for path in (tmp_path / "plain").iterdir() if path.suffix == ".py"]
    assert (
        load_file(tmp_path / "plain" / "model.safetensors").keys()
        == load_file(base_folder / "model.safetensors").keys()
    )
    run_isolated(tmp_path, LOAD_PLAIN)


@pytest.mark.slow
def test_a_vid_llm_reconstructs_and_answers_in_a_process_without_igep(tmp_path):
    model, processor = build_vid_llm(ground_head=True, box_decoder=True)
    frames = random_frames(3)
    inputs = processor.question_inputs(frames, "How far is the chair?")
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    with torch.no_grad():
        expected = {"logits": model(**inputs).logits}
    expected["generated"] = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    asked, questions = processor.ground_inputs(frames, ["The chair."])
    expected["regressed_boxes"] = torch.tensor(model.ground_boxes(dict(asked), questions)[0].boxes)
    found = model.reconstruct(inputs["pixel_values_videos"])
    save_file(
        expected | {name: value.contiguous() for name, value in found.items()}, tmp_path / "expected.safetensors"
    )
    for index, frame in enumerate(frames):
        frame.save(tmp_path / f"frame_{index}.png")
    saved = json.loads((tmp_path / "model" / "config.json").read_text())
    assert set(saved["auto_map"]) == {"AutoConfig", "AutoModel", "AutoModelForImageTextToText", "AutoProcessor"}
    assert not list((tmp_path / "model").glob("*.bin"))
    run_isolated(tmp_path, LOAD_VID_LLM)
    for file in (tmp_path / "model").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("family", FAMILIES)
def test_saving_and_loading_in_this_process(family, tmp_path, checkpoint_folders):
    model = IGEPForConditionalGeneration.from_base(checkpoint_folders[family], teacher_channels=8)
    model.add_training_heads(igep_objective)
    weights = dict(model.state_dict())
    model.save_pretrained(tmp_path, state_dict=weights)
    assert len(weights) == len(model.state_dict())  # what a trainer passes stays whole
    again = IGEPForConditionalGeneration.from_pretrained(tmp_path)
    assert again.training_heads == {}
    assert again.config.teacher_channels == 8
    for name, value in again.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert again.generation_config.eos_token_id == model.vlm.generation_config.eos_token_id
