"""Training and evaluation ask in the same words, token for token, for every benchmark and each form of its data."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scannet_tree import OBJECTS, processed, write_json, write_labels, write_scan
from video_files import write_video

from igep.processing_igep import IGEPProcessor
from igep.trainers.data.collator import IGEPDataCollator
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.training_rows import SceneTableCache, load_rows
from igep.trainers.evaluation.benchmarks.all_benchmarks import BENCHMARKS
from igep.trainers.evaluation.benchmarks.benchmark import QuestionBenchmark
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.rooms import HELD_OUT_SEED, IMAGE_SIZE, NUM_FRAMES
from igep.trainers.scoring.score_options import parse


SCAN = "scene0000_00"
SCANQA = {"question_id": "val-0", "scene_id": SCAN, "question": "What color is the chair?", "answers": ["brown"]}
SCANQA |= {"object_ids": [3], "object_names": ["chair"]}
OBJECT = {"scene_id": SCAN, "ann_id": "0", "object_name": "chair", "description": "The chair near the wall."}
VSI = {"id": 1, "dataset": "scannet", "scene_name": SCAN, "question_type": "object_rel_distance"}
VSI |= {"question": "Which is nearest?", "options": ["A. chair", "B. table"], "ground_truth": "A"}
ROOMS = "--dataset synthetic_rooms --num_rooms 2 --room_seed 3 --questions_per_room 4 --num_frames 2"
HELD_OUT = (
    f"--dataset synthetic_rooms --num_rooms 2 --room_seed {HELD_OUT_SEED} --questions_per_room 8 --held_out_rooms 2 "
)
HELD_OUT += f"--room_frames {NUM_FRAMES} --num_frames {NUM_FRAMES} --room_image_size {IMAGE_SIZE}"
SCANNET = "--dataset_path {folder}/scannet --num_frames 2 --dataset"
CASES = [
    ("scanqa", f"{SCANNET} scanqa --annotation_file {{folder}}/scanqa.json"),
    ("scanqa", f"{SCANNET} scanqa --annotation_file {{folder}}/scanqa_processed.json"),
    ("scanqa", ROOMS),
    ("sqa3d", ROOMS),
    ("vsi_bench", "--dataset vsi_bench --dataset_path {folder}/vsi.jsonl --num_frames 2"),
    ("scan2cap", f"{SCANNET} scan2cap --annotation_file {{folder}}/scan2cap.json --shown_boxes objects"),
    (
        "scan2cap",
        f"{SCANNET} scan2cap --annotation_file {{folder}}/scan2cap.json --shown_boxes objects --box_prompt frame",
    ),
    ("scanrefer_boxes", f"{SCANNET} scanrefer --annotation_file {{folder}}/scanrefer.json"),
    ("multi3drefer_boxes", f"{SCANNET} multi3drefer --annotation_file {{folder}}/multi3drefer.json"),
    *((task, f"{ROOMS} --focal_pixels 60") for task in ("depth", "correspondence", "pose", "objects")),
    ("rooms", HELD_OUT),
]
TAKE_DEPTH = ("scanqa", "sqa3d", "scan2cap", "scanrefer_boxes", "multi3drefer_boxes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_scan(root / "scannet", SCAN)
    write_labels(root / "scannet" / "scannetv2-labels.combined.tsv")
    write_json(root / "scanqa.json", [SCANQA])
    asked = f"<image> {SCANQA['question']} Answer the question simply."
    write_json(root / "scanqa_processed.json", [processed("scanqa_0", SCAN, asked, "brown", {"dataset": "scanQA"})])
    captioned = [OBJECT | {"object_id": str(number), "object_name": OBJECTS[number][0]} for number in (0, 3)]
    for name in ("scan2cap", "scanrefer"):
        write_json(root / f"{name}.json", captioned)
    write_json(root / "multi3drefer.json", [OBJECT | {"object_ids": [3, 0], "ann_id": 0, "eval_type": "mt"}])
    (root / "scannet").mkdir(exist_ok=True)
    write_video(root / "scannet" / f"{SCAN}.mp4", 4)
    (root / "vsi.jsonl").write_text(json.dumps(VSI) + "\n")
    return root


@pytest.fixture(scope="module")
def processor(checkpoint_folders) -> IGEPProcessor:
    return IGEPProcessor.from_base(checkpoint_folders["qwen3_vl"])


def options_of(name: str, words: str, folder: Path) -> BenchmarkOptions:
    """The options of one benchmark as the command line gives them."""
    flags = words.format(folder=folder).split()
    return parse([*flags, "--benchmark", name, "--predictions", "p.jsonl", "--output", "o.json"])[1][name]


def trained_rows(options: BenchmarkOptions) -> list[SpatialExample]:
    """What training reads under the same options."""
    task = {"scanrefer": "text_boxes", "multi3drefer": "text_boxes"}.get(options.dataset, options.task)
    rows, _ = load_rows(replace(options, task=task), (8, 8), options.question_seed, SceneTableCache())
    examples = [rows[row] for row in range(len(rows))]
    return [replace(each, conversation=(turn,)) for each in examples for turn in each.conversation]


def trained_prompt(row: SpatialExample, processor: IGEPProcessor, frames_as: str) -> torch.Tensor:
    """The tokens before the first that is learned."""
    batch = IGEPDataCollator(processor, (8, 8), frames_as=frames_as)([row])
    return batch["input_ids"][0, : int((batch["labels"][0] != -100).int().argmax())]


def test_every_benchmark_of_questions_is_here():
    asked = {name for name, benchmark in BENCHMARKS.items() if isinstance(benchmark, QuestionBenchmark)}
    # Asked by `ground_inputs`, whose tokens test_baselines.py compares with those of training.
    asked -= {"scanrefer", "multi3drefer", "scanrefer_regressed", "multi3drefer_regressed"}
    asked -= {"reconstruction"}  # has no words
    assert {name for name, _ in CASES} == asked


@pytest.mark.parametrize(("name", "words"), CASES)
def test_training_and_evaluation_ask_in_the_same_words(name, words, folder, processor):
    options = options_of(name, words, folder)
    trained = {row.conversation[0][0]: row for row in trained_rows(options)}
    asked = {
        question.question: group
        for group in BENCHMARKS[name].groups(options, SceneTableCache())
        for question in group.questions
    }
    assert asked.keys() == trained.keys()
    for question in list(asked)[:2]:
        frames = list(asked[question].read_frames())
        inputs = processor.question_inputs(frames, question, frames_as=options.frames_as)
        expected = trained_prompt(trained[question], processor, options.frames_as)
        assert torch.equal(inputs["input_ids"][0], expected)


@pytest.mark.parametrize(("name", "words"), [case for case in CASES if case[0] in TAKE_DEPTH])
def test_models_that_read_positions_get_the_depth_of_their_training(name, words, folder):
    options = options_of(name, f"{words} --max_depth_metres 2.5", folder)
    trained = trained_rows(options)[0]
    group = BENCHMARKS[name].groups(options, SceneTableCache())[0]
    shown = group.read_example((8, 8)).depth_metres
    assert 0 < shown.max() <= 2.5
    np.testing.assert_array_equal(shown, trained.depth_metres)


def test_a_difference_is_an_option_that_is_off_and_stands_with_the_score(folder):
    """VSI-Bench without the benchmark's sentences: in training and in evaluation, where one says so of each."""
    official, bare = (
        options_of("vsi_bench", f"{CASES[4][1]} {more}", folder) for more in ("", "--vsi_bench_prompt bare")
    )
    for options, words in ((official, "These are frames of a video.\n"), (bare, "Which is nearest?\nOptions:\n")):
        (row,) = trained_rows(options)
        ((question,),) = [group.questions for group in BENCHMARKS["vsi_bench"].groups(options, SceneTableCache())]
        assert question.question == row.conversation[0][0]
        assert question.question.startswith(words)
    said = [BENCHMARKS["vsi_bench"].protocol(options, 1, 1)["questions"] for options in (official, bare)]
    assert "in the benchmark's own words" in said[0]
    assert "without the benchmark's own sentences" in said[1]
