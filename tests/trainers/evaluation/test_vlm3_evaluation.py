import json

import pytest
import torch

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.cards.results_file import PROTOCOL, BenchmarkResults, ModelResults
from igep.trainers.cards.saved_weights import weights_sha256
from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms
from igep.trainers.data.training_rows import SceneTableCache
from igep.trainers.data.vlm3.vlm3_dataset import VLM3Dataset
from igep.trainers.data.vlm3.vlm3_options import VLM3_TASKS, VLM3Options
from igep.trainers.evaluation.load_vlm import load_for_answers
from igep.trainers.evaluation.vlm3_evaluation import (
    answer_rows,
    as_table,
    main,
    parse,
    protocol,
    score_task,
    task_rows,
)
from igep.trainers.experiments.tiny_vlm3 import STEPS, vlm3_base
from igep.trainers.metrics.figure import SHARE, Figure, error_scale
from igep.trainers.package_files import RECIPES


RECIPE = RECIPES / "vlm3_rooms.yaml"


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
    answered = answer_rows(vlm, processor, [example], max_new_tokens=6, frames_as=frames_as)
    together = [row["prediction"] for row in answered]
    assert len(together) == len(example.conversation) == 5
    for (question, _), answer in zip(example.conversation, together, strict=True):
        inputs = processor.question_inputs(list(example.frames), question, frames_as=frames_as)
        tokens = vlm.generate(**inputs, max_new_tokens=6, do_sample=False)
        alone = processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert answer == alone.strip()


def test_a_plain_vlm_and_an_igep_model_answer_alike(saved):
    examples = [rows_of("depth")[0]]
    options = {"max_new_tokens": 6, "frames_as": "video"}
    plain, igep = (
        answer_rows(*load_for_answers(saved / kind, "cpu"), examples, **options) for kind in ("plain", "igep")
    )
    assert plain == igep
    assert [row["reference"] for row in plain] == list(examples[0].references)
    assert all(torch.isfinite(torch.tensor(row["reference"])) for row in plain)


@pytest.mark.parametrize("task", VLM3_TASKS)
def test_true_answers_score_well_and_empty_ones_are_unparsed(task):
    rows = rows_of(task, rooms=6)
    answered = []
    for number in range(len(rows)):
        example = rows[number]
        turns = zip(example.question_types, example.conversation, example.references, strict=True)
        answered += [
            {"sample_id": example.sample_id, "question_type": kind, "prediction": answer, "reference": reference}
            for kind, (_, answer), reference in turns
        ]
    scores = score_task(task, answered, STEPS)
    assert scores["unparsed"] == 0
    assert scores["count"] == len(answered)
    wanted = {"depth": "delta_1", "correspondence": "pck_5", "pose": "auc_10", "objects": "qualitative_accuracy"}[task]
    assert scores[wanted] > 0.85
    nothing = score_task(task, [row | {"prediction": ""} for row in answered], STEPS)
    assert nothing["unparsed"] == 1
    assert nothing[wanted] == 0


def test_the_command_writes_scores_and_predictions(saved, tmp_path, capsys):
    output = tmp_path / "new" / "scores.json"
    main(
        ["--config", str(RECIPE), "--model", str(saved / "plain"), "--tasks", "depth", "correspondence"]
        + ["--num_rooms", "3", "--max_rows", "2", "--max_new_tokens", "4", "--output", str(output)]
    )
    results = json.loads(output.read_text())
    assert set(results["benchmarks"]) == {"depth", "correspondence"}
    depth = results["benchmarks"]["depth"]
    assert depth["facts"]["image_sets"] == 2
    assert depth["figures"]["unparsed"]["value"] == 1  # nobody has trained it
    assert depth["figures"]["abs_rel"]["value"] is None  # and JSON has no NaN
    assert results["weights_sha256"] == weights_sha256(saved / "plain")
    assert depth["protocol"]["dataset_name"] == "synthetic rooms"
    lines = [json.loads(line) for line in output.with_name("scores_predictions.jsonl").read_text().splitlines()]
    assert len(lines) == sum(each["figures"]["unparsed"]["n"] for each in results["benchmarks"].values())
    assert {line["question_type"] for line in lines} == {"metric_depth", "pixel_correspondence"}
    assert all(isinstance(line["prediction"], str) for line in lines)
    assert "delta_1" in capsys.readouterr().out


def test_a_recipe_gives_what_flags_leave_out():
    options = parse(["--config", str(RECIPE), "--model", "m", "--output", "o", "--questions_per_image", "3"])
    assert options.tasks == ["depth"]
    assert options.frames_as == "video"
    assert options.focal_pixels is None
    assert options.rows_of("correspondence").steps == STEPS
    assert options.rows_of("correspondence").questions_per_image == 3


# ---- what the model itself says


def says(folder, **usage):
    folder.mkdir(exist_ok=True)
    (folder / "training_run.json").write_text(json.dumps({"usage": usage}))
    return str(folder)


DEPTH = {
    "focal_pixels": None,
    "focal_mode": "fx",
    "max_image_pixels": None,
    "canvas_size": [64, 64],
    "text_pixel_steps": 64,
    "distance_kind": "z",
    "think": False,
}


def test_the_models_own_options_are_taken_where_no_flag_says_otherwise(tmp_path):
    model = says(tmp_path / "m", tasks=["depth"], frames_as="video", task_options={"depth": DEPTH})
    options = parse(["--model", model, "--output", "o"])
    assert options.frames_as == "video"
    assert (options.focal_pixels, options.focal_mode, options.canvas_size) == (None, "fx", [64, 64])
    assert (options.rows_of("depth").steps, options.distance_kind) == (64, "z")
    options = parse(["--model", model, "--output", "o", "--focal_pixels", "500", "--frames_as", "images"])
    assert (options.focal_pixels, options.frames_as, options.focal_mode) == (500, "images", "fx")
    assert parse(["--model", model, "--output", "o", "--tasks", "pose"]).focal_pixels == 1000
    cropped = parse(["--model", model, "--output", "o", "--max_image_pixels", "9000"])
    assert cropped.rows_of("depth").canvas_size is None, "the two exclude each other"


def test_a_recipe_wins_over_the_model(tmp_path):
    model = says(tmp_path / "m", tasks=["depth"], frames_as="images", task_options={"depth": DEPTH})
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("focal_pixels: 750\nframes_as: video\n")
    options = parse(["--config", str(recipe), "--model", model, "--output", "o"])
    assert (options.focal_pixels, options.frames_as, options.text_pixel_steps) == (750, "video", 64)


def test_an_older_model_says_it_for_depth_alone(tmp_path):
    usage = {"tasks": ["depth", "pose"], "frames_as": "video", "focal_pixels": None, "text_pixel_steps": 64}
    options = parse(["--model", says(tmp_path / "m", **usage), "--output", "o"])
    assert (options.focal_pixels, options.text_pixel_steps, options.focal_mode) == (None, 64, "both")
    assert parse(["--model", says(tmp_path / "m", **usage), "--output", "o", "--tasks", "pose"]).focal_pixels == 1000


def test_tasks_with_the_default_steps_of_each_go_together(tmp_path):
    both = {"depth": DEPTH | {"text_pixel_steps": 2000}, "pose": DEPTH | {"text_pixel_steps": 1000}}
    model = says(tmp_path / "m", tasks=["depth", "pose"], task_options=both)
    options = parse(["--model", model, "--output", "o", "--tasks", "depth", "pose"])
    assert (options.rows_of("depth").steps, options.rows_of("pose").steps) == (2000, 1000)


def test_tasks_that_were_trained_differently_are_scored_apart(tmp_path):
    both = {"depth": DEPTH, "pose": DEPTH | {"focal_pixels": 750.0}}
    arguments = ["--model", says(tmp_path / "m", tasks=["depth", "pose"], task_options=both), "--output", "o"]
    message = (
        r"focal_pixels=None for depth and focal_pixels=750.0 for pose: score each task alone, or give --focal_pixels"
    )
    with pytest.raises(ValueError, match=message):
        parse([*arguments, "--tasks", "depth", "pose"])
    assert parse([*arguments, "--tasks", "depth", "pose", "--focal_pixels", "9"]).focal_pixels == 9
    assert parse([*arguments, "--tasks", "pose"]).focal_pixels == 750


@pytest.mark.parametrize(
    "usage",
    [
        "no mapping",
        {"task_options": 3},
        {"frames_as": "x"},
        {"num_frames": 0},
        {"num_frames": "2"},
        {"tasks": None},
        {"tasks": ["depth"], "task_options": {"depth": {"canvas_size": "x"}}},
    ],
)
def test_what_is_no_usage_is_told_in_a_sentence(tmp_path, usage):
    (tmp_path / "training_run.json").write_text(json.dumps({"usage": usage}))
    with pytest.raises(SystemExit, match=r"training_run\.json"):
        main(["--model", str(tmp_path), "--output", "o"])


def test_scenes_of_a_folder_are_named_on_the_card():
    scans = parse(["--model", "m", "--output", "o", "--dataset", "scannet", "--dataset_path", "/data/us/scans"])
    assert protocol(scans, 4)["dataset_name"] == "scannet: scans"
    flats = parse(["--model", "m", "--output", "o", "--dataset", "hub", "--dataset_path", "someone/flats"])
    assert protocol(flats, 4)["dataset"] == "someone/flats", "as the Hub links it"


def test_rows_are_spread_evenly_and_held_out_ones_come_first():
    arguments = ["--config", str(RECIPE), "--model", "m", "--output", "o", "--num_rooms", "4"]
    options = parse([*arguments, "--max_rows", "4"])
    rows = task_rows(options, "depth", SceneTableCache())
    assert [rows[number].sample_id.split("/")[0][-1] for number in range(len(rows))] == ["0", "1", "2", "3"]
    held_out = task_rows(parse([*arguments, "--eval_rooms", "2"]), "depth", SceneTableCache())
    assert {held_out[number].scene_id.split("_")[1] for number in range(len(held_out))} == {"2027"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "o"], "model is not set"),
        (["--model", "m"], "output is not set"),
        (["--model", "m", "--output", "o", "--tasks", "depht"], "depht"),
        (["--model", "m", "--output", "o", "--task", "depth"], "--tasks"),
        (["--model", "m", "--output", "o", "--max_rows", "0"], "max_rows=0"),
        (["--model", "/no/such/model", "--output", "o"], "/no/such/model"),
        (["--model", "m", "--output", "o", "--config", "/no/such/recipe.yaml"], "/no/such/recipe.yaml"),
    ],
)
def test_bad_options_end_with_a_message(flags, message):
    with pytest.raises(SystemExit, match=message):
        main(flags)


def test_a_processor_that_would_resize_unified_images_is_refused(saved):
    flags = ["--model", str(saved / "plain"), "--output", "o", "--num_rooms", "2", "--focal_pixels", "100"]
    with pytest.raises(SystemExit, match="canvas_size"):
        main(flags)


def test_table_has_a_line_per_figure():
    figures = {"delta_1": Figure(0.5, 12, SHARE), "abs_rel": Figure(None, 12, error_scale("ratio"))}
    how = {name: name for name in PROTOCOL}
    table = as_table(ModelResults("m", None, {"depth": BenchmarkResults(how, figures)}))
    assert len({len(line) for line in table.splitlines()}) == 1
    assert "0.5000 | share | 12 " in table
    assert "| -      | ratio | 12 " in table
