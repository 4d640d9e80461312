"""The Space's model: one encoding per video, the model's own answers, and nothing that only one process can hold."""

import inspect
import json
import pickle
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from answer_places import intrinsics_of
from answer_stream import End, silent_tokens
from answer_text import said
from model_run import Usage
from scene_model import ModelError, Scene, SceneModel
from tiny_checkpoints import FAMILIES, random_frames
from transformers import StoppingCriteriaList
from waiting import LIMIT_SECONDS

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, checkpoint_folders, tmp_path_factory) -> Path:
    base = checkpoint_folders[request.param]
    folder = tmp_path_factory.mktemp("space") / request.param
    IGEPForConditionalGeneration.from_base(base).save_pretrained(folder)
    IGEPProcessor.from_base(base).save_pretrained(folder)
    return folder


def elsewhere(work):
    """Runs a function as ZeroGPU does: what goes in and what comes out is pickled, and nothing else comes back."""

    def run(*args):
        args = pickle.loads(pickle.dumps(args))
        if inspect.isgeneratorfunction(work):
            return iter([pickle.loads(pickle.dumps(part)) for part in work(*args)])
        return pickle.loads(pickle.dumps(work(*args)))

    return run


def last(parts):
    *_, end = parts
    return end


@pytest.mark.parametrize("frames_as", ["video", "images"])
def test_answers_are_those_of_generate(folder, frames_as):
    space = SceneModel(str(folder))
    model, processor = IGEPForConditionalGeneration.from_pretrained(folder), IGEPProcessor.from_pretrained(folder)
    scene = Scene(random_frames(2))
    for number, question in enumerate(("how far is it?", "which is closer?")):
        report = last(space.answer(scene, question, history=False, max_new_tokens=6, frames_as=frames_as))
        inputs = processor.question_inputs(scene.frames, question, frames_as=frames_as)
        found = model.generate(**inputs, max_new_tokens=6, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        assert report.text == processor.decode(found, skip_special_tokens=True).strip()
        assert report.prompt_tokens == inputs["input_ids"].shape[1]
        assert 0 < report.vision_tokens < report.prompt_tokens
        assert report.answer_tokens == len(found)
        assert report.encoded_now == (number == 0), "encoded once"
        assert question in report.prompt
    assert set(scene.encoded) == {frames_as}


def test_earlier_turns_are_shown_when_they_count(folder):
    space = SceneModel(str(folder))
    scene = Scene(random_frames(2), turns=["how far is it?", "near"])
    assert "near" in last(space.answer(scene, "and that?", history=True, max_new_tokens=2)).prompt
    assert "near" not in last(space.answer(scene, "and that?", history=False, max_new_tokens=2)).prompt


def test_it_works_in_a_process_of_its_own(folder):
    here, there = SceneModel(str(folder)), SceneModel(str(folder), on_gpu=elsewhere)
    scenes = Scene(random_frames(2)), Scene(random_frames(2))
    for question in ("how far is it?", "which is closer?"):
        reports = [
            last(space.answer(scene, question, history=True, max_new_tokens=5))
            for space, scene in zip((here, there), scenes, strict=True)
        ]
        assert reports[0].text == reports[1].text
        assert reports[0].encoded_now == reports[1].encoded_now
    assert scenes[1].encoded, "kept by the process that the visitor talks to"


def test_a_visitor_who_leaves_ends_the_answer(folder, monkeypatch):
    space = SceneModel(str(folder))
    space.model.generation_config.eos_token_id = None
    gone, tokens, is_enough = threading.Event(), [], StoppingCriteriaList.__call__

    def held(self, *args, **kwargs):
        """Once there is a token, the model goes on when the visitor has left."""
        tokens.append(args)
        assert gone.wait(LIMIT_SECONDS)
        return is_enough(self, *args, **kwargs)

    monkeypatch.setattr(StoppingCriteriaList, "__call__", held)
    monkeypatch.setattr("scene_model.BEAT_SECONDS", 0.05)
    others = set(threading.enumerate())
    answer = space.answer(Scene(random_frames(2)), "how far is it?", history=False, max_new_tokens=50)
    while not tokens:
        next(answer)
    (writing,) = set(threading.enumerate()) - others
    answer.close()
    gone.set()
    writing.join(LIMIT_SECONDS)
    assert not writing.is_alive()
    assert len(tokens) == 1, "it wrote on for nobody"


def test_an_error_of_the_model_reaches_the_caller(folder, monkeypatch):
    space = SceneModel(str(folder))

    def fail(**kwargs):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(space.model, "generate", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        last(space.answer(Scene(random_frames(2)), "how far is it?", history=False, max_new_tokens=4))


def test_a_stopped_answer_gives_way_while_the_model_is_within_a_step(folder, monkeypatch):
    """Before its first word, as in a long prompt on a CPU: who waits is not held, and work ends at the next layer."""
    space = SceneModel(str(folder))
    gone, layers, work = threading.Event(), [], space._end_if_unwanted

    def held(*args):
        if threading.current_thread() is not threading.main_thread():
            layers.append(args)
            assert gone.wait(LIMIT_SECONDS)
        work(*args)

    (layer, *_) = [layer for layer in space.model.vlm.get_decoder().modules() if layer._forward_pre_hooks]
    layer.register_forward_pre_hook(held, prepend=True)
    monkeypatch.setattr("scene_model.BEAT_SECONDS", 0.05)
    others = set(threading.enumerate())
    answer = space.answer(Scene(random_frames(2)), "how far is it?", history=False, max_new_tokens=5)
    assert next(answer).text == "", "no word yet"
    (writing,) = set(threading.enumerate()) - others
    answer.close()
    gone.set()
    writing.join(LIMIT_SECONDS)
    assert not writing.is_alive()
    assert len(layers) == 1, "it went on for nobody"


def test_visitors_text_is_no_control_token(folder):
    space = SceneModel(str(folder))
    special = [token for token in space.processor.tokenizer.all_special_tokens if len(token) > 1]
    hostile = " ".join(["how far is it?", *special])
    report = last(space.answer(Scene(random_frames(2)), hostile, history=False, max_new_tokens=2))
    plain = last(space.answer(Scene(random_frames(2)), "how far is it?", history=False, max_new_tokens=2))
    assert report.vision_tokens == plain.vision_tokens
    assert all(report.prompt.count(token) == plain.prompt.count(token) for token in special)


@pytest.mark.parametrize("part", ["processor", "encoder", "model"])
def test_what_the_model_cannot_take_is_a_sentence(folder, monkeypatch, caplog, part):
    space = SceneModel(str(folder))

    def fail(*args, **kwargs):
        raise ValueError("Image features and image tokens do not match, tokens: 16, features: 64")

    place, name = {
        "processor": (space.processor, "question_inputs"),
        "encoder": (space.model, "encode_vision"),
        "model": (space.model, "generate"),
    }[part]
    monkeypatch.setattr(place, name, fail)
    with pytest.raises(ModelError, match="cannot be asked this about these frames") as raised:
        last(space.answer(Scene(random_frames(2)), "how far is it?", history=False, max_new_tokens=2))
    assert "tokens" not in str(raised.value)
    assert "do not match" in caplog.text, "whoever runs the Space is told why"


def test_tags_that_are_special_tokens_are_not_lost(folder, monkeypatch):
    """A thought whose tags are left out would be read as the answer."""
    space = SceneModel(str(folder))
    tokenizer = space.processor.tokenizer
    tokenizer.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    (opening, closing), (word, end) = (
        tokenizer.convert_tokens_to_ids(["<think>", "</think>"]),
        (5, tokenizer.eos_token_id),
    )
    space._silent = silent_tokens(tokenizer)
    written = [opening, word, closing, word, end]

    def generate(input_ids, streamer, **_):
        streamer.put(input_ids)
        for token in written:
            streamer.put(torch.tensor([token]))
        streamer.end()
        return torch.cat([input_ids, torch.tensor([written])], 1)

    monkeypatch.setattr(space.model, "generate", generate)
    reports = [
        report.text for report in space.answer(Scene(random_frames(2)), "how?", history=False, max_new_tokens=9)
    ]
    found = said(reports[-1], is_whole=True)
    assert found.thought == found.answer == tokenizer.decode([word]).strip() != ""
    assert tokenizer.eos_token not in reports[-1]


class Clock:
    """The Space's clock, which stands still unless the test moves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.seconds = 1000.0
        moved = SimpleNamespace(monotonic=lambda: self.seconds, perf_counter=lambda: self.seconds)
        for module in ("scene_model", "answer_stream"):
            monkeypatch.setattr(f"{module}.time", moved)


def test_a_long_prompt_does_not_shorten_the_answer(monkeypatch):
    """Seconds are counted from the first token on: before it, a large model on a CPU reads the prompt for minutes."""
    clock = Clock(monkeypatch)
    end = End(20)
    scores = torch.zeros(1, 3)
    clock.seconds += 30
    assert not end(torch.zeros(1, 4), scores)
    clock.seconds += 19
    assert not end(torch.zeros(1, 5), scores)
    clock.seconds += 2
    assert end(torch.zeros(1, 6), scores)
    assert end.late


def test_an_answer_that_takes_too_long_is_cut_and_says_so(folder, monkeypatch):
    clock = Clock(monkeypatch)
    space = SceneModel(str(folder), answer_seconds=LIMIT_SECONDS)
    quick = StoppingCriteriaList.__call__

    def slow(self, *args, **kwargs):
        clock.seconds += LIMIT_SECONDS / 4
        return quick(self, *args, **kwargs)

    monkeypatch.setattr(StoppingCriteriaList, "__call__", slow)
    space.model.generation_config.eos_token_id = None
    report = last(space.answer(Scene(random_frames(2)), "how far is it?", history=False, max_new_tokens=100))
    assert report.answer_tokens == 6, "the first, four within the time, and one after it"
    assert report.stopped == f"the answer was cut after {LIMIT_SECONDS} s"


def test_a_model_that_writes_nothing_is_not_waited_for(folder, monkeypatch):
    space = SceneModel(str(folder), answer_seconds=0.2)
    waited_for = threading.Event()
    monkeypatch.setattr(space.model, "generate", lambda **_: waited_for.wait(LIMIT_SECONDS))
    with pytest.raises(ModelError, match=r"wrote nothing for 0\.2 s"):
        last(space.answer(Scene(random_frames(2)), "how far is it?", history=False, max_new_tokens=4))
    waited_for.set()


def test_a_point_that_the_model_does_not_see_is_a_message_for_visitors(folder, caplog):
    space = SceneModel(str(folder))
    frame = random_frames(1)[0]
    space.usage = Usage(tasks=("depth",), focal_pixels=None, canvas_size=(8, 8))
    with pytest.raises(ModelError, match="choose one nearer to the middle") as raised:
        last(space.distance(frame, (0.5, 0.5), intrinsics_of(frame.size, 60), max_new_tokens=4))
    assert "canvas_size" not in str(raised.value)
    assert "canvas_size" in caplog.text, "whoever runs the Space is told why"


def test_how_it_wants_to_be_asked_is_read_from_the_run(folder, tmp_path):
    run = {"usage": {"tasks": ["depth"], "num_frames": 3, "canvas_size": [64, 96], "examples": ["a?"], "new_field": 1}}
    (folder / "training_run.json").write_text(json.dumps(run))
    usage = SceneModel(str(folder)).usage
    (folder / "training_run.json").unlink()
    assert usage.tasks == ("depth",)
    assert usage.num_frames == 3
    assert usage.canvas_size == (64, 96)
    assert usage.examples == ("a?",)
    assert SceneModel(str(folder)).usage.num_frames == 8, "the defaults"


def test_a_model_that_must_be_given_depth_is_refused_before_it_is_loaded(folder):
    (folder / "training_run.json").write_text(json.dumps({"usage": {"geometry_inputs": "depth+pose"}}))
    with pytest.raises(ModelError, match="must be given depth and camera poses"):
        SceneModel(str(folder))
    (folder / "training_run.json").unlink()


def test_a_distance_it_was_not_trained_on_is_refused(folder):
    space = SceneModel(str(folder))
    with pytest.raises(ModelError, match="not trained on how far a pixel is"):
        last(space.distance(random_frames(1)[0], (3, 3), np.eye(3), max_new_tokens=4))


def test_other_models_are_refused(checkpoint_folders, tmp_path):
    with pytest.raises(ModelError, match="is a qwen3_vl model: this Space shows models of igep"):
        SceneModel(str(checkpoint_folders["qwen3_vl"]))
    with pytest.raises(ModelError, match="is no model that can be loaded"):
        SceneModel(str(tmp_path))


def test_features_are_kept_on_the_processor(folder):
    scene = Scene(random_frames(2))
    last(SceneModel(str(folder)).answer(scene, "how far is it?", history=False, max_new_tokens=2))
    for output in scene.encoded["video"].values():
        for value in output.values():
            parts = value if isinstance(value, (list, tuple)) else [value]
            assert all(part.device.type == "cpu" for part in parts if isinstance(part, torch.Tensor))
