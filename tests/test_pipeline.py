"""`transformers.pipeline` on a saved model answers as `generate` does on the processor's own questions."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from tiny_checkpoints import FAMILIES, random_frames
from transformers import ImageTextToTextPipeline, pipeline

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor


GREEDY = {"max_new_tokens": 8, "do_sample": False}
QUESTIONS = ("How far is the chair?", "Is it red?", "Which of the two boxes is closer to the door?")

# As in test_hub_round_trip: an editable install stays visible under -I.
FRESH_PROCESS = """
import json, sys

class Unimportable:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("igep", "trainers", "tests", "tiny_checkpoints"):
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Unimportable())
from PIL import Image
from transformers import pipeline

pipe = pipeline("image-text-to-text", model="model", trust_remote_code=True)
assert type(pipe.model).__name__ == "IGEPForConditionalGeneration", type(pipe.model)
assert type(pipe.processor).__name__ == "IGEPProcessor", type(pipe.processor)
images = [{"type": "image", "image": Image.open(f"frame_{index}.png")} for index in range(3)]
answers = []
for count in (1, 3, 0):
    chat = [{"role": "user", "content": [*images[:count], {"type": "text", "text": "How far is the chair?"}]}]
    answers.append(
        pipe(text=chat, return_full_text=False, generate_kwargs={"max_new_tokens": 8, "do_sample": False})
    )
assert not [name for name in sys.modules if name.split(".")[0] == "igep"]
print(json.dumps([answer[0]["generated_text"] for answer in answers]))
"""


def chat(frames: list[Image.Image], question: str) -> list[dict]:
    images = [{"type": "image", "image": frame} for frame in frames]
    return [{"role": "user", "content": [*images, {"type": "text", "text": question}]}]


@pytest.fixture(scope="module", params=FAMILIES)
def saved(request, checkpoint_folders, tmp_path_factory) -> SimpleNamespace:
    """A saved model: its folder, and what it answers when asked without the pipeline."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    model = IGEPForConditionalGeneration.from_base(checkpoint_folders[request.param]).eval()
    processor = IGEPProcessor.from_base(checkpoint_folders[request.param])
    model.save_pretrained(folder)
    processor.save_pretrained(folder)

    def answer(frames: list[Image.Image], question: str, **generate_kwargs) -> str:
        if frames:
            inputs = processor.question_inputs(frames, question, frames_as="images")
        else:
            text = processor.apply_chat_template(chat([], question), add_generation_prompt=True, tokenize=False)
            inputs = processor(text=[text], return_tensors="pt")
        generated = model.generate(**inputs, **(GREEDY | generate_kwargs))[:, inputs["input_ids"].shape[1] :]
        return processor.batch_decode(generated, skip_special_tokens=True)[0]

    return SimpleNamespace(folder=folder, answer=answer)


@pytest.fixture(scope="module")
def pipe(saved) -> ImageTextToTextPipeline:
    return pipeline("image-text-to-text", model=str(saved.folder), trust_remote_code=True)


def new_texts(results: list) -> list[str]:
    """What was generated for each chat; the pipeline wraps a chat's only answer in a list."""
    return [result[0]["generated_text"] for result in results]


def test_answers_are_those_of_generate(saved, pipe):
    frames = random_frames(3)
    asked = [(frames[:1], QUESTIONS[0]), (frames[1:2], QUESTIONS[0]), (frames, QUESTIONS[0]), ([], QUESTIONS[0])]
    expected = [saved.answer(*question) for question in asked]
    assert len(set(expected)) == len(asked), "the tiny model does not look at its images: the test proves nothing"
    for question, answer in zip(asked, expected, strict=True):
        (result,) = pipe(text=chat(*question), return_full_text=False, generate_kwargs=GREEDY)
        assert result["generated_text"] == answer


def test_a_list_mixes_chats_of_all_kinds(saved, pipe):
    frames = random_frames(3)
    asked = list(zip((frames[:1], frames[1:], []), QUESTIONS, strict=True))
    results = pipe(text=[chat(*question) for question in asked], return_full_text=False, generate_kwargs=GREEDY)
    assert new_texts(results) == [saved.answer(*question) for question in asked]


def test_a_padded_batch_changes_no_answer(saved, pipe, monkeypatch):
    frames = random_frames(3)
    asked = [([frame], question) for frame, question in zip(frames, QUESTIONS, strict=True)]
    # The pipeline pads on the tokenizer's side, and transformers warns where that is the right one.
    monkeypatch.setattr(pipe.tokenizer, "padding_side", "left")
    results = pipe(
        text=[chat(*question) for question in asked], batch_size=3, return_full_text=False, generate_kwargs=GREEDY
    )
    assert new_texts(results) == [saved.answer(*question) for question in asked]


def test_the_whole_chat_comes_back_by_default(saved, pipe):
    asked = chat(random_frames(1), QUESTIONS[0])
    (result,) = pipe(text=asked, max_new_tokens=8)
    reply = {"role": "assistant", "content": saved.answer(random_frames(1), QUESTIONS[0])}
    assert result["generated_text"] == [*asked, reply]


def test_generate_kwargs_reach_generate(saved, pipe):
    frames = random_frames(1)
    options = {"max_new_tokens": 12, "min_new_tokens": 12, "repetition_penalty": 3.0}
    expected = saved.answer(frames, QUESTIONS[0], **options)
    assert expected != saved.answer(frames, QUESTIONS[0], max_new_tokens=12, min_new_tokens=12)
    (result,) = pipe(text=chat(frames, QUESTIONS[0]), return_full_text=False, generate_kwargs=GREEDY | options)
    assert result["generated_text"] == expected


@pytest.mark.slow
def test_a_process_without_igep_answers_and_warns_of_nothing(saved, tmp_path):
    frames = random_frames(3)
    (tmp_path / "model").symlink_to(saved.folder)
    for index, frame in enumerate(frames):
        frame.save(tmp_path / f"frame_{index}.png")
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf_home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", FRESH_PROCESS],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == [saved.answer(shown, QUESTIONS[0]) for shown in (frames[:1], frames, [])]
    said = [line for line in done.stderr.splitlines() if line.strip() and "Loading weights" not in line]
    assert said == []
    assert Path(tmp_path / "hf_home" / "modules").exists(), "no remote code was loaded"
