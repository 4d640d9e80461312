"""VLM3's tasks as benchmarks: questions and truths of the rows, scored by the task's metric."""

import pytest
import torch

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms
from igep.trainers.data.training_rows import SceneTableCache
from igep.trainers.data.vlm3.vlm3_dataset import VLM3Dataset
from igep.trainers.data.vlm3.vlm3_options import VLM3_TASKS, VLM3Options
from igep.trainers.evaluation.answering import AnsweringOptions
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.vlm3_tasks import ExampleGroups, VLM3Task, task_scores
from igep.trainers.evaluation.load_vlm import load_for_answers
from igep.trainers.experiments.tiny_vlm3 import STEPS, vlm3_base
from igep.trainers.scoring.answer_groups import SpreadGroups, answer_groups


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The tiny base as a plain VLM and as an IGEP model."""
    folder = tmp_path_factory.mktemp("saved")
    model, processor = vlm3_base()
    model.save_pretrained(folder / "plain")
    processor.save_pretrained(folder / "plain")
    IGEPForConditionalGeneration.from_base(model).save_pretrained(folder / "igep")
    IGEPProcessor.from_base(processor).save_pretrained(folder / "igep")
    return folder


def rows_of(task: str, rooms: int = 4) -> VLM3Dataset:
    scenes, _ = synthetic_rooms(rooms, seed=3, questions_per_room=0, fixed_gaze=True)
    options = VLM3Options(task=task, focal_pixels=None, text_pixel_steps=STEPS, questions_per_image=5)
    return VLM3Dataset(scenes, options, geometry_size=(16, 16))


@pytest.mark.parametrize(("task", "frames_as"), [("depth", "images"), ("correspondence", "video")])
def test_answers_are_those_of_each_question_alone(saved, task, frames_as):
    vlm, processor = load_for_answers(saved / "plain", "cpu")
    example = rows_of(task)[1]
    groups = ExampleGroups([example])
    ((_, together),) = answer_groups(vlm, processor, groups, AnsweringOptions(6), frames_as=frames_as)
    assert len(together) == len(example.conversation) == 5
    for (question, _), answer in zip(example.conversation, together, strict=True):
        inputs = processor.question_inputs(list(example.frames), question, frames_as=frames_as)
        tokens = vlm.generate(**inputs, max_new_tokens=6, do_sample=False)
        alone = processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert answer == alone.strip()


def test_a_plain_vlm_and_an_igep_model_answer_alike(saved):
    groups = ExampleGroups([rows_of("depth")[0]])
    plain, igep = (
        list(answer_groups(*load_for_answers(saved / kind, "cpu"), groups, AnsweringOptions(6), frames_as="video"))
        for kind in ("plain", "igep")
    )
    assert plain[0][1] == igep[0][1]


def test_truths_are_those_of_the_example():
    example = rows_of("depth")[0]
    (group,) = ExampleGroups([example])
    assert [each.reference for each in group.questions] == list(example.references)
    assert all(torch.isfinite(torch.tensor(each.reference)) for each in group.questions)
    assert len({each.sample_id for each in group.questions}) == 5
    assert group.read_frames() == example.frames


@pytest.mark.parametrize("task", VLM3_TASKS)
def test_true_answers_score_well_and_empty_ones_are_unparsed(task):
    answered = [
        group.row(question, question.answer)
        for group in ExampleGroups(rows_of(task, rooms=6))
        for question in group.questions
    ]
    scores = task_scores(task, answered, STEPS)
    assert scores["unparsed"] == 0
    assert scores["count"] == len(answered)
    wanted = {"depth": "delta_1", "correspondence": "pck_5", "pose": "auc_10", "objects": "qualitative_accuracy"}[task]
    assert scores[wanted] > 0.85
    options = BenchmarkOptions(task=task, text_pixel_steps=STEPS, focal_pixels=None)
    figures, facts = VLM3Task(task).figures([row | {"prediction": None} for row in answered], options)
    assert facts == {"missing": len(answered)}
    assert figures["unparsed"].value == 1
    assert figures[wanted].value == 0


def test_scenes_of_a_folder_are_named_on_the_card():
    scans = BenchmarkOptions(task="depth", dataset="scannet", dataset_path="/data/us/scans")
    assert VLM3Task("depth").protocol(scans, 4, 9)["dataset_name"] == "scannet: scans"
    flats = BenchmarkOptions(task="depth", dataset="hub", dataset_path="someone/flats")
    assert VLM3Task("depth").protocol(flats, 4, 9)["dataset"] == "someone/flats", "as the Hub links it"


def test_rows_are_spread_evenly_and_held_out_ones_come_first():
    scenes = {"task": "depth", "focal_pixels": None, "text_pixel_steps": STEPS, "num_rooms": 4, "room_frames": 1}
    task = VLM3Task("depth")
    groups = SpreadGroups(task.groups(BenchmarkOptions(**scenes), SceneTableCache()), 4)
    places = [group.group_id.split("/")[0][-1] for group in groups]
    assert places == sorted(places)
    assert len(set(places)) == 4
    fewer = SpreadGroups(task.groups(BenchmarkOptions(**scenes), SceneTableCache()), 2)
    assert [group.group_id for group in fewer] == [groups[0].group_id, groups[2].group_id]
    held_out = task.groups(BenchmarkOptions(**scenes, room_seed=2026, eval_rooms=2), SceneTableCache())
    assert {group.group_id.split("_")[1] for group in held_out} == {"2027"}
