"""The language benchmarks take a Vid-LLM like any model, and what it cannot be scored on is refused with a reason."""

import json

import pytest
from scored_model import ROOM_QUESTIONS, lines_of, save_vid_llm, scored_as
from video_files import encode, moving_frames

from igep.trainers import score
from igep.trainers.cli import main


LANGUAGE = ("scanqa", "sqa3d", "vsi_bench", "depth", "correspondence", "pose", "objects", "rooms", "latency")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_vid_llm(tmp_path_factory.mktemp("model") / "vid_llm")


@pytest.fixture(scope="module")
def vsi_bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vsi_bench")
    (folder / "arkitscenes").mkdir()
    encode(folder / "arkitscenes" / "one.mp4", moving_frames(8))
    row = {"id": 1, "dataset": "arkitscenes", "scene_name": "one", "question_type": "object_counting"}
    row |= {"question": "How many chairs are there?", "ground_truth": "2", "options": None}
    (folder / "test.jsonl").write_text(json.dumps(row) + "\n")
    return folder / "test.jsonl"


def flags(model, output, *others):
    return [
        "--model",
        str(model),
        "--output",
        str(output),
        *ROOM_QUESTIONS,
        "--device",
        "cpu",
        "--max_new_tokens",
        "4",
        *others,
    ]


def test_every_language_benchmark_runs_unchanged(model, vsi_bench, tmp_path):
    output = tmp_path / "scores.json"
    own = [
        "--data",
        "vsi_bench.dataset=vsi_bench",
        f"vsi_bench.dataset_path={vsi_bench}",
        f"vsi_bench.image_folder={vsi_bench.parent}",
    ]
    asked = flags(
        model,
        output,
        "--benchmark",
        *LANGUAGE,
        "--held_out_rooms",
        "2",
        "--max_rows",
        "2",
        "--focal_pixels",
        "25.6",
        *("--canvas_size", "32", "32"),
        *own,
    )
    score.main(asked)
    found = json.loads(output.read_text())["benchmarks"]
    assert set(found) == set(LANGUAGE)
    for name, benchmark in found.items():
        assert benchmark["protocol"]["geometry_inputs"] == "none", name
        if name != "latency":
            assert benchmark["facts"]["questions"] == benchmark["facts"]["answered"] > 0, name
    assert found["latency"]["figures"]["seconds per answer"]["value"] > 0
    # The same whether questions share the frames or not.
    apart = tmp_path / "apart" / "scores.json"
    score.main(
        flags(model, apart, "--benchmark", "scanqa", "--max_rows", "2", "--share_prefix", "false", "--batch_size", "1")
    )
    lines = [line for line in lines_of(output) if line["benchmark"] == "scanqa"]
    assert lines == lines_of(apart)
    assert scored_as(apart)["benchmarks"]["scanqa"] == scored_as(output)["benchmarks"]["scanqa"]


def test_what_it_has_not_is_refused_with_the_reason(model, tmp_path, capsys):
    output = tmp_path / "scores.json"
    with pytest.raises(
        SystemExit, match="depth_probe reads the encoder .* this is a Vid-LLM, whose depth `reconstruction` scores"
    ):
        score.main(flags(model, output, "--benchmark", "depth_probe", "--held_out_rooms", "2"))
    with pytest.raises(SystemExit, match="has no ground head"):
        score.main(flags(model, output, "--benchmark", "scanrefer", "--dataset", "synthetic_rooms"))
    assert main(["export", str(model), str(tmp_path / "plain")]) == 2
    assert "is a Vid-LLM" in capsys.readouterr().err
