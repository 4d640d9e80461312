"""Options of scoring: flags, a recipe, what the model says of itself, and those of one benchmark alone."""

import json

import pytest

from igep.trainers.experiments.tiny_vlm3 import STEPS
from igep.trainers.package_files import RECIPES
from igep.trainers.score import main
from igep.trainers.scoring.score_options import parse


RECIPE = RECIPES / "vlm3_rooms.yaml"
DEPTH = {
    "focal_pixels": None,
    "focal_mode": "fx",
    "max_image_pixels": None,
    "canvas_size": [64, 64],
    "text_pixel_steps": 64,
    "distance_kind": "z",
    "think": False,
}


def options_of(benchmark: str, *flags: str):
    return parse(["--output", "o", "--benchmark", benchmark, *flags])[1][benchmark]


def says(folder, **usage):
    folder.mkdir(exist_ok=True)
    (folder / "training_run.json").write_text(json.dumps({"usage": usage}))
    return str(folder)


def test_a_recipe_gives_what_flags_leave_out():
    options, benchmarks = parse(
        ["--config", str(RECIPE), "--model", "m", "--output", "o", "--questions_per_image", "3"]
    )
    assert options.benchmark == ["depth"]
    assert benchmarks["depth"].frames_as == "video"
    assert benchmarks["depth"].focal_pixels is None
    (correspondence,) = parse(
        ["--config", str(RECIPE), "--model", "m", "--output", "o", "--benchmark", "correspondence"]
    )[1].values()
    assert (correspondence.task, correspondence.steps) == ("correspondence", STEPS)


def test_the_models_own_options_are_taken_where_no_flag_says_otherwise(tmp_path):
    model = ["--model", says(tmp_path / "m", tasks=["depth"], frames_as="video", task_options={"depth": DEPTH})]
    options = options_of("depth", *model)
    assert options.frames_as == "video"
    assert (options.focal_pixels, options.focal_mode, options.canvas_size) == (None, "fx", [64, 64])
    assert (options.steps, options.distance_kind) == (64, "z")
    options = options_of("depth", *model, "--focal_pixels", "500", "--frames_as", "images")
    assert (options.focal_pixels, options.frames_as, options.focal_mode) == (500, "images", "fx")
    assert options_of("pose", *model).focal_pixels == 1000
    cropped = options_of("depth", *model, "--max_image_pixels", "9000")
    assert cropped.canvas_size is None, "the two exclude each other"


def test_questions_are_asked_with_as_many_frames_as_in_training(tmp_path):
    model = ["--model", says(tmp_path / "m", tasks=["questions"], frames_as="images", num_frames=7)]
    assert (options_of("scanqa", *model).num_frames, options_of("scanqa", *model).frames_as) == (7, "images")
    assert options_of("scanqa", *model, "--num_frames", "3").num_frames == 3
    assert options_of("scanqa", "--model", "m").frames_as == "video"


def test_depth_is_read_as_far_as_in_training(tmp_path):
    model = ["--model", says(tmp_path / "m", tasks=["questions"], max_depth_metres=6.0)]
    assert options_of("scanqa", *model).max_depth_metres == 6
    assert options_of("scanqa", *model, "--max_depth_metres", "4").max_depth_metres == 4
    assert options_of("depth", *model).max_depth_metres is None, "what is asked is the benchmark's"


def test_a_recipe_wins_over_the_model(tmp_path):
    model = says(tmp_path / "m", tasks=["depth"], frames_as="images", task_options={"depth": DEPTH})
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("focal_pixels: 750\nframes_as: video\n")
    options = options_of("depth", "--config", str(recipe), "--model", model)
    assert (options.focal_pixels, options.frames_as, options.text_pixel_steps) == (750, "video", 64)


def test_an_older_model_says_it_for_depth_alone(tmp_path):
    usage = {"tasks": ["depth", "pose"], "frames_as": "video", "focal_pixels": None, "text_pixel_steps": 64}
    model = ["--model", says(tmp_path / "m", **usage)]
    options = options_of("depth", *model)
    assert (options.focal_pixels, options.text_pixel_steps, options.focal_mode) == (None, 64, "both")
    assert options_of("pose", *model).focal_pixels == 1000


def test_tasks_that_were_trained_differently_are_each_asked_as_they_were(tmp_path):
    both = {
        "depth": DEPTH | {"text_pixel_steps": 2000},
        "pose": DEPTH | {"focal_pixels": 750.0, "text_pixel_steps": 1000},
    }
    model = says(tmp_path / "m", tasks=["depth", "pose"], task_options=both)
    arguments = ["--model", model, "--output", "o", "--benchmark", "depth", "pose"]
    _, options = parse(arguments)
    assert (options["depth"].focal_pixels, options["pose"].focal_pixels) == (None, 750)
    assert (options["depth"].steps, options["pose"].steps) == (2000, 1000)
    _, options = parse([*arguments, "--focal_pixels", "9"])
    assert {each.focal_pixels for each in options.values()} == {9}


def test_a_benchmark_has_data_of_its_own():
    flags = ["--model", "m", "--output", "o", "--benchmark", "scanqa", "sqa3d", "--dataset", "scannet"]
    flags += ["--data", "scanqa.question_file=a.jsonl", "sqa3d.question_file=b.jsonl", "sqa3d.num_frames=8"]
    _, options = parse(flags)
    assert [each.question_file for each in options.values()] == ["a.jsonl", "b.jsonl"]
    assert [each.num_frames for each in options.values()] == [2, 8]
    assert {each.dataset for each in options.values()} == {"scannet"}


@pytest.mark.parametrize(
    "usage",
    [
        "no mapping",
        {"task_options": 3},
        {"frames_as": "x"},
        {"num_frames": 0},
        {"num_frames": "2"},
        {"tasks": None},
        {"max_depth_metres": -1},
        {"max_depth_metres": "far"},
        {"tasks": ["depth"], "task_options": {"depth": {"canvas_size": "x"}}},
    ],
)
def test_what_is_no_usage_is_told_in_a_sentence(tmp_path, usage):
    (tmp_path / "training_run.json").write_text(json.dumps({"usage": usage}))
    with pytest.raises(SystemExit, match=r"training_run\.json"):
        main(["--model", str(tmp_path), "--output", "o", "--benchmark", "depth"])


def test_boxes_are_shown_as_a_model_was_taught(tmp_path):
    def write(prompt: object) -> list[str]:
        usage = {"tasks": ["questions"], "task_options": {"questions": {"box_prompt": prompt}}}
        (tmp_path / "training_run.json").write_text(json.dumps({"usage": usage}))
        return ["--model", str(tmp_path), "--output", "o", "--benchmark", "scan2cap"]

    flags = write("frame")
    assert parse(flags)[1]["scan2cap"].box_prompt == "frame"
    assert parse([*flags, "--box_prompt", "centre"])[1]["scan2cap"].box_prompt == "centre"
    with pytest.raises(ValueError, match=r"usage of questions is none \(box_prompt=3\)"):
        parse(write(3))


def test_a_benchmark_reads_its_own_files_unless_told_otherwise(tmp_path):
    """Without `dataset`, `annotation_file` was ignored and synthetic rooms were scored under the benchmark's name."""
    names = ["scanqa", "sqa3d", "vsi_bench", "scan2cap", "scanrefer", "multi3drefer_boxes", "depth"]
    flags = ["--predictions", "p", "--output", "o", "--geometry_inputs", "none", "--benchmark", *names]
    loaders = ["scanqa", "sqa3d", "vsi_bench", "scan2cap", "scanrefer", "multi3drefer", "synthetic_rooms"]
    found = parse(flags)[1]
    assert [each.dataset for each in found.values()] == loaders
    assert found["scanrefer"].ground_proposals == "detected"
    told = parse([*flags, "--dataset", "hub", "--data", "scanqa.dataset=scannet"])[1]
    assert [each.dataset for each in told.values()] == ["scannet", *["hub"] * 6]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("dataset: synthetic_rooms\n")
    assert {each.dataset for each in parse([*flags, "--config", str(recipe)])[1].values()} == {"synthetic_rooms"}


DEPTH_OF_M = ("--model", "m", "--output", "o", "--benchmark", "depth")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "o", "--benchmark", "depth"], "model is not set"),
        (["--model", "m", "--benchmark", "depth"], "output is not set"),
        (["--model", "m", "--output", "o"], "give --benchmark with one or several of scanqa"),
        (["--model", "m", "--output", "o", "--benchmark", "depht"], "depht"),
        ([*DEPTH_OF_M, "depth"], "names one twice"),
        ([*DEPTH_OF_M, "--task", "depth"], "--benchmark depth"),
        ([*DEPTH_OF_M, "--max_rows", "0"], "max_rows=0"),
        ([*DEPTH_OF_M, "--batch_size", "0"], "batch_size=0"),
        ([*DEPTH_OF_M, "--predictions", "p.jsonl"], "give one of them"),
        ([*DEPTH_OF_M, "--picture", "p.png"], "go together"),
        ([*DEPTH_OF_M, "--picture", "p.png", "--checkpoint", "c"], "add depth_probe"),
        ([*DEPTH_OF_M, "--data", "depth.num_frames"], "BENCHMARK.OPTION=VALUE"),
        ([*DEPTH_OF_M, "--data", "depth.beauty=3"], "'beauty' is no option of a benchmark. There are .*dataset_path"),
        ([*DEPTH_OF_M, "--data", "depth.num_frame=3"], "Did you mean num_frames?"),
        (
            ["--model", "m", "--output", "o", "--benchmark", "scanqa", "sqa3d", "--dataset", "scanqa"],
            "dataset='scanqa' is not of sqa3d: leave it out, or give --data sqa3d.dataset=sqa3d",
        ),
        ([*DEPTH_OF_M, "--data", "pose.num_frames=3"], "'pose' is not among"),
        (["--predictions", "p.jsonl", "--output", "o", "--benchmark", "latency"], "measures a model"),
        (["--model", "/no/such/model", "--output", "o", "--benchmark", "depth"], "/no/such/model"),
        ([*DEPTH_OF_M, "--config", "/no/such/recipe.yaml"], "/no/such/recipe.yaml"),
    ],
)
def test_bad_options_end_with_a_message(flags, message):
    with pytest.raises(SystemExit, match=message):
        main(flags)


def test_the_longest_answer_follows_the_prompt():
    """64 tokens would cut an answer that thinks first, which then counts as unparsed."""
    names = ["depth", "correspondence", "pose", "scanqa"]
    flags = ["--output", "o", "--predictions", "p.jsonl", "--benchmark", *names]
    longest = {name: one.max_new_tokens for name, one in parse(flags)[1].items()}
    assert longest == {"depth": 256, "correspondence": 64, "pose": 64, "scanqa": 64}
    _, thinking = parse([*flags, "--data", "correspondence.think=true", "depth.max_new_tokens=16"])
    longest = {name: one.max_new_tokens for name, one in thinking.items()}
    assert longest == {"depth": 16, "correspondence": 256, "pose": 64, "scanqa": 64}
