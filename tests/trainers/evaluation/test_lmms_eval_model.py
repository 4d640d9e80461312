"""A plugin for lmms-eval: found by entry point, asking as in training, on one encoding a video; skipped without it."""

import json
import tomllib
from types import SimpleNamespace

import pytest
from tiny_checkpoints import random_frames
from video_files import write_video

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.commands.ask import ask
from igep.trainers.evaluation.answering import AnsweringOptions, Sample, answer_samples
from igep.trainers.package_files import PACKAGE


pytest.importorskip("lmms_eval")
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.models import MODEL_REGISTRY_V2
from lmms_eval.models.registry_v2 import ModelRegistryV2
from lmms_eval.tasks import TaskManager

from igep.trainers.evaluation import lmms_eval_plugin
from igep.trainers.evaluation.lmms_eval_model import IGEPModel, question_of


TASK = """
task: local_{kind}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/{kind}.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_visual: !function task_functions.{kind}
doc_to_text: !function task_functions.text
doc_to_target: answer
generation_kwargs: {{max_new_tokens: 8, do_sample: false}}
process_results: !function task_functions.results
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
"""
FUNCTIONS = """
from PIL import Image
def video(doc): return [doc["path"]]
def images(doc): return [Image.open(doc["path"])] * 2
def text(doc, lmms_eval_specific_kwargs=None): return doc["question"]
def results(doc, results): return {"exact_match": float(results[0] == doc["answer"])}
"""


@pytest.fixture(scope="module")
def model(checkpoint_folders, tmp_path_factory):
    folder, base = tmp_path_factory.mktemp("model") / "tiny", checkpoint_folders["llava_onevision"]
    IGEPForConditionalGeneration.from_base(base).save_pretrained(folder)
    IGEPProcessor.from_base(base).save_pretrained(folder)
    usage = {"tasks": ["questions"], "num_frames": 3, "frames_as": "images"}
    (folder / "training_run.json").write_text(json.dumps({"usage": usage}))
    return folder


@pytest.fixture(scope="module")
def tasks(model, tmp_path_factory):
    """Two tasks whose answers are what the model says to our own way of asking."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "task_functions.py").write_text(FUNCTIONS)
    asked = {"video": [], "images": []}
    for number in range(2):
        video, image = write_video(folder / f"{number}.mp4", 9), folder / f"{number}.png"
        random_frames(1, number)[0].save(image)
        asked["video"] += [(str(video), f"{words} in {number}?") for words in ("How many chairs are", "Which")]
        asked["images"].append((str(image), f"What is {number + 7 ** (9 * number)}?"))
    for kind, questions in asked.items():
        rows = [
            {"path": path, "question": question, "answer": _answer(model, kind, path, question)}
            for path, question in questions
        ]
        assert len({row["answer"] for row in rows}) > 1
        (folder / f"{kind}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / f"{kind}.yaml").write_text(TASK.format(kind=kind, folder=folder))
    return folder


def _answer(model, kind, path, question) -> str:
    if kind == "video":
        return ask(model, path, question, max_new_tokens=8)
    plugin = IGEPModel(str(model), device="cpu")
    frames = random_frames(1, int(path.split("/")[-1].removesuffix(".png"))) * 2
    sample = Sample("s", frames, [question], "images")
    ((_, (text,)),) = answer_samples(plugin.model, plugin.processor, [sample], AnsweringOptions(max_new_tokens=8))
    return text


def test_lmms_eval_finds_it_by_the_entry_point_of_the_package():
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    module, _, name = project["entry-points"]["lmms_eval.models"]["igep"].partition(":")
    assert module == lmms_eval_plugin.__name__
    registry = ModelRegistryV2()
    registry.register_manifest(vars(lmms_eval_plugin)[name])
    assert registry.get_model_class("igep") is IGEPModel
    assert registry.resolve("igep").model_type == "chat"
    if "igep" in MODEL_REGISTRY_V2.list_model_names():  # where the package is installed, not only on the path
        assert MODEL_REGISTRY_V2.get_model_class("igep") is IGEPModel


def test_every_answer_is_that_of_asking_as_trained(model, tasks, monkeypatch):
    plugin = IGEPModel(str(model), batch_size=2, device="cpu")
    encoded = []
    asking = plugin.asking
    frames_of = type(asking).frames
    monkeypatch.setattr(type(asking), "frames", lambda self, video: encoded.append(video) or frames_of(self, video))
    results = simple_evaluate(
        model=plugin,
        tasks=["local_video", "local_images"],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        batch_size=2,
        log_samples=True,
    )
    for task, questions in (("local_video", 4), ("local_images", 2)):
        assert results["results"][task]["exact_match,none"] == 1.0
        assert len(results["samples"][task]) == questions
    assert len(encoded) == 2  # a video is read and encoded once for its questions


def request(text_or_content, **settings) -> SimpleNamespace:
    content = text_or_content if isinstance(text_or_content, list) else [{"type": "text", "text": text_or_content}]
    return SimpleNamespace(args=("", lambda doc: [{"role": "user", "content": content}], settings, 0, "task", "test"))


def test_stops_are_cut_off_and_the_default_one_is_not(model):
    plugin = IGEPModel(str(model), device="cpu")
    plugin.task_dict = {"task": {"test": [{}]}}
    content = [{"type": "image", "url": random_frames(1)[0]}, {"type": "text", "text": "Why?"}]
    (whole,) = plugin.generate_until([request(content, max_new_tokens=12)])
    assert len(whole) > 4
    cut = plugin.generate_until(
        [
            request(content, max_new_tokens=12, until=["\n\n", whole[2]]),
            request(content, max_new_tokens=12, until="\n\n"),
            request(content, max_new_tokens=12, temperature=0, top_p=1.0, num_beams=1, do_sample=False),
        ]
    )
    assert cut == [whole.split(whole[2])[0], whole, whole]
    for settings in ({"do_sample": True}, {"temperature": 0.7}, {"num_beams": 4}):
        with pytest.raises(ValueError, match="task, document 0: the task wants other than greedy"):
            plugin.generate_until([request(content, **settings)])
    for refused in (plugin.loglikelihood, plugin.generate_until_multi_round):
        with pytest.raises(NotImplementedError, match="choose tasks of"):
            refused([])


IMAGE, VIDEO, TEXT = ({"type": kind, "url": "a.mp4"} for kind in ("image", "video", "text"))
TEXT["text"] = "Why?"


@pytest.mark.parametrize(
    ("messages", "match"),
    [
        (
            [{"role": "system", "content": [TEXT]}, {"role": "user", "content": [IMAGE, TEXT]}],
            r"has \['system', 'user'\]",
        ),
        ([{"role": "user", "content": [TEXT]}], "the task has text: score what"),
        ([{"role": "user", "content": [IMAGE]}], "the task has image: score what"),
        ([{"role": "user", "content": [TEXT, IMAGE]}], "the task has text, image"),
        ([{"role": "user", "content": [IMAGE, TEXT, IMAGE, TEXT]}], "the task has image, text, image, text"),
        ([{"role": "user", "content": [VIDEO, VIDEO, TEXT]}], "one whole video file or images"),
        ([{"role": "user", "content": [VIDEO, IMAGE, TEXT]}], "one whole video file or images"),
        ([{"role": "user", "content": [VIDEO | {"start_time": 2.0}, TEXT]}], "one whole video file or images"),
        ([{"role": "user", "content": [{"type": "audio", "url": "a.wav"}, TEXT]}], "one whole video file or images"),
        ([{"role": "user", "content": [VIDEO | {"url": {"video": 3}}, TEXT]}], "one whole video file or images"),
    ],
)
def test_questions_of_another_form_are_refused(messages, match):
    with pytest.raises(ValueError, match=match):
        question_of(messages, "task, document 3")


def test_texts_behind_what_is_shown_are_one_question():
    assert question_of([{"role": "user", "content": [IMAGE, IMAGE, TEXT, TEXT]}], "t").text == "Why?\nWhy?"
    assert question_of([{"role": "user", "content": [VIDEO, TEXT]}], "t").video == "a.mp4"
