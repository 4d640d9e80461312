"""Scores read from the files that evaluations write, and nothing read from files that are none."""

import hashlib
import json
import math

import pytest
from scored_model import save_tiny

from igep.trainers import score
from igep.trainers.cards.evaluation_results import Evaluation, read_all_results
from igep.trainers.cards.evaluation_results import read_results as read_file
from igep.trainers.cards.results_file import BenchmarkResults, ModelResults, write_results
from igep.trainers.cards.saved_weights import weights_sha256
from igep.trainers.cards.training_run import REQUIRED
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.vlm3_tasks import VLM3Task
from igep.trainers.experiments.quickstart import how_trained
from igep.trainers.metrics.figure import SHARE, Figure, Scale


PROTOCOL = {name: name for name in ("dataset", "dataset_name", "split", "inputs", "questions", "metrics")}
ROOM_SCORES = {"exact_match": {"mean": 0.5, "size": 0.25}, "depth_probe": {"r2": 0.9}, "rooms": 8}


def written(tmp_path, content, name: str = "results.json") -> object:
    file = tmp_path / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def read_results(file, model_name, folder=None) -> Evaluation:
    """What a file says that holds one protocol."""
    (evaluation,) = read_file(file, model_name, folder)
    return evaluation


def values(evaluation: Evaluation) -> dict[str, float | None]:
    return {name: figure.value for name, figure in evaluation.own.items()}


# ---- the format of today


def a_figure(value: float, unit: str = "CIDEr-D x 100", highest: float = 1000, n: int = 4675) -> Figure:
    return Figure(value, n, Scale(unit, 0, highest, higher_is_better=True))


def test_a_benchmark_in_the_fields_own_coin(tmp_path):
    """CIDEr 102.1 and BLEU 40.7 are no shares."""
    figures = {
        "CIDEr": a_figure(102.1),
        "BLEU-4": a_figure(40.7, "per cent", 100),
        "EM": a_figure(29.8, "per cent", 100),
    }
    results = ModelResults("out/m", None, {"scanqa": BenchmarkResults(PROTOCOL, figures)})
    write_results(tmp_path / "results.json", results, [])
    evaluation = read_results(tmp_path / "results.json", "m")
    assert values(evaluation) == {"CIDEr, scanqa": 102.1, "BLEU-4, scanqa": 40.7, "EM, scanqa": 29.8}
    assert "| CIDEr, scanqa  | CIDEr-D x 100 | higher | 4,675   | 102.100" in evaluation.table()
    assert next((each.metric_type, each.metric_value) for each in evaluation.eval_results()) == ("CIDEr", 102.1)


def test_benchmarks_that_were_measured_alike_share_a_table(tmp_path):
    other = PROTOCOL | {"dataset": "scanqa"}
    names = {"depth": PROTOCOL, "scanqa": other, "pose": PROTOCOL}
    benchmarks = {name: BenchmarkResults(how, {"unparsed": Figure(0.5, 3, SHARE)}) for name, how in names.items()}
    write_results(tmp_path / "results.json", ModelResults("m", None, benchmarks), [])
    first, second = read_file(tmp_path / "results.json", "m")
    assert (list(first.own), first.protocol) == (["unparsed, depth", "unparsed, pose"], PROTOCOL)
    assert (list(second.own), second.protocol) == (["unparsed, scanqa"], other)


def test_a_comparison_of_today(tmp_path):
    runs = []
    for model, value in (("igep_seed0", 0.5), ("cross_entropy_seed0", 0.4)):
        benchmark = BenchmarkResults(PROTOCOL, {"exact match, mean": Figure(value, 64, SHARE)})
        runs.append({"seed": 0, **ModelResults(model, None, {"rooms": benchmark}).as_json()})
    evaluation = read_results(written(tmp_path, {"runs": runs}), "igep_seed0")
    assert "| exact match, mean, rooms | share | higher | 64      | 0.500      | 0.400 " in evaluation.table()
    assert evaluation.others == {"cross_entropy_seed0": "another run of the same comparison"}


def test_a_figure_out_of_its_stated_range_is_refused(tmp_path):
    content = ModelResults("m", None, {"scanqa": BenchmarkResults(PROTOCOL, {"EM": a_figure(29.8)})}).as_json()
    content["benchmarks"]["scanqa"]["figures"]["EM"]["value"] = -1
    with pytest.raises(ValueError, match=r"results\.json: EM of scanqa: value=-1 cannot be"):
        read_file(written(tmp_path, content), "m")


# ---- files of older versions


def test_one_model_of_the_quickstart_beside_its_pair(tmp_path):
    runs = [
        {
            "method": method,
            "seed": seed,
            "model": f"{method}_seed{seed}",
            "trained": {"base_model": "tiny_base", "losses": losses},
            "protocol": PROTOCOL,
            **ROOM_SCORES,
        }
        for seed in (0, 1)
        for method, losses in (("cross_entropy", ["ce"]), ("igep", ["ce", "depth"]))
    ]
    evaluation = read_results(written(tmp_path, {"runs": runs}), "igep_seed1")
    assert list(evaluation.scores) == ["igep_seed1", "cross_entropy_seed1"], "its own seed alone, itself first"
    assert values(evaluation) == {
        "exact match, mean, rooms": 0.5,
        "exact match, size, rooms": 0.25,
        "depth probe, r2, rooms": 0.9,
    }
    assert "| exact match, size, rooms | share | higher | -       | 0.250" in evaluation.table()
    assert evaluation.table().splitlines()[0].split("|")[5].strip() == "this model"
    without = "the same base trained without geometry supervision"
    assert evaluation.others == {"cross_entropy_seed1": without}
    other_way = read_results(written(tmp_path, {"runs": runs}), "cross_entropy_seed1")
    assert other_way.others == {"igep_seed1": "another run of the same comparison"}
    with pytest.raises(ValueError, match="no run of 'mine' but of cross_entropy_seed0, igep_seed0"):
        read_results(written(tmp_path, {"runs": runs}), "mine")


def test_scores_of_vlm3(tmp_path):
    options = BenchmarkOptions(task="depth", dataset="synthetic_rooms", room_seed=7, focal_pixels=None)
    found = {
        "model": "m",
        "protocol": VLM3Task("depth").protocol(options, 4, 40),
        "scores": {
            "depth": {"image_sets": 4, "answers_per_second": 3.0, "count": 40, "delta_1": 0.7, "abs_rel": None}
        },
    }
    evaluation = read_results(written(tmp_path, found), "m")
    assert values(evaluation) == {"delta_1, depth": 0.7, "abs_rel, depth": None}, "a count is no score"
    assert "| abs_rel, depth | ratio | lower  | 40      | -          |" in evaluation.table()
    (result,) = evaluation.eval_results()
    assert (result.metric_type, result.metric_value) == ("delta_1", 0.7)
    assert evaluation.protocol["split"] == "rooms of seed 7"
    assert "as they are" in evaluation.protocol["inputs"]


@pytest.mark.slow
def test_a_room_evaluation_states_its_protocol(tmp_path):
    model, output = save_tiny(tmp_path / "model"), tmp_path / "scores.json"
    flags = ["--model", str(model), "--output", str(output), "--held_out_rooms", "8"]
    score.main([*flags, "--benchmark", "rooms", "depth_probe"])
    assert json.loads(output.read_text())["facts"]["parameters_on_disk"] > 1000
    rooms, probe = read_all_results([output], "model", model)
    assert "8 rooms" in rooms.protocol["split"]
    assert "2 RGB frames of 64 x 64" in rooms.protocol["inputs"]
    assert rooms.own["exact match, mean, rooms"].n > 40
    assert probe.own["R2 of log depth, depth_probe"].scale.lowest is None
    assert rooms.without_looking.keys() == rooms.own.keys()
    assert rooms.table().splitlines()[0].endswith("| this model | without looking |")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not what an evaluation writes"),
        ({"model": "m", "scores": {"depth": {"delta_1": 0.5}}}, "do not say how they were measured"),
        ({"protocol": PROTOCOL, "model": "m"}, "is not what an evaluation writes"),
        ({"protocol": PROTOCOL, "model": "m", "scores": {"depth": 0.5}}, "is not what an evaluation writes"),
        ({"protocol": PROTOCOL, "model": "m", "scores": {"depth": {"delta_1": "high"}}}, "value='high'"),
        ({"protocol": PROTOCOL, "model": "m", "scores": {"depth": {"delta_1": None}}}, "holds no scores of 'm'"),
        ({"protocol": PROTOCOL, "model": "m", "scores": {"depth": {"delta_1": 10**400}}}, "cannot be"),
        ({"protocol": PROTOCOL, "model": "m", "scores": {"depth": {"delta_1": -0.1}}}, "delta_1 of depth: value=-0.1"),
        (
            {"protocol": PROTOCOL, "model": "m", "scores": {"depth": {"delta_1": math.nan}}},
            "delta_1 of depth: value=nan",
        ),
        (
            {"protocol": PROTOCOL, "model": "m", "scores": {"depth": {"delta_1": math.inf}}},
            "delta_1 of depth: value=inf",
        ),
        ({"protocol": PROTOCOL, "model": "m", "scores": {"depth": {"abs_rel": -1}}}, "abs_rel of depth: value=-1"),
        ({"protocol": PROTOCOL, "model": "m", "scores": {"pose": {"yaw_error_degrees": -1}}}, "at least 0"),
        ({"protocol": PROTOCOL, "model": "m", "exact_match": {"mean": 123.4}, "depth_probe": {}}, "between 0 and 1"),
        ({"protocol": PROTOCOL, "model": "m", "exact_match": {}, "depth_probe": {"r2": 1.2}}, "at most 1"),
        ({"protocol": PROTOCOL, "model": "a/else", "scores": {}}, "has the scores of 'a/else', not of 'm'"),
        ({"protocol": {"dataset": "x"}, "scores": {}}, "do not say how they were measured"),
        ({"protocol": 3}, "is not what an evaluation writes"),
        ({"runs": None}, "is not what an evaluation writes"),
        ({"runs": [None]}, "is not what an evaluation writes"),
        ({"runs": [{"model": "m", "seed": 0}, {"model": "m", "seed": 0}]}, "has 2 runs of 'm'"),
        (
            {"runs": [{"model": "m", "seed": 0, "protocol": PROTOCOL, "exact_match": {}, "depth_probe": None}]},
            "is not what",
        ),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_results(written(tmp_path, content), "m")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_results(tmp_path / "none.json", "m")


def test_errors_may_be_large_and_a_probe_may_be_worse_than_the_mean(tmp_path):
    scores = {"correspondence": {"end_point_error_mean": 300.0, "pck_1": 1.0}, "pose": {"yaw_error_degrees": 90}}
    found = read_results(written(tmp_path, {"protocol": PROTOCOL, "model": "m", "scores": scores}), "m")
    error = found.own["end_point_error_mean, correspondence"]
    assert (error.value, error.scale.unit, error.scale.higher_is_better) == (300, "text steps", False)
    room = {"protocol": PROTOCOL, "model": "m", "exact_match": {"mean": 0}, "depth_probe": {"r2": -3.5}}
    assert read_results(written(tmp_path, room), "m").own["depth probe, r2, rooms"].value == -3.5


def test_names_of_others_keep_the_table_whole(tmp_path):
    scores = {"a|b\n# <b>": {"left\nright | up": 0.5}}
    evaluation = read_results(written(tmp_path, {"protocol": PROTOCOL, "model": "m", "scores": scores}), "m")
    assert len(evaluation.table().splitlines()) == 3
    assert "<b>" not in evaluation.table()
    assert evaluation.table().splitlines()[2].replace("\\|", "").count("|") == 6
    (result,) = evaluation.eval_results()
    assert "\n" not in result.metric_name


def test_the_quickstart_says_how_each_of_its_models_was_trained(tmp_path):
    run = {name: kind() for name, kind in REQUIRED.items()}
    run |= {"base_model": {"name": "tiny_base"}, "losses": [{"name": "cross-entropy", "weight": 1.0}]}
    (tmp_path / "training_run.json").write_text(json.dumps(run))
    assert how_trained(tmp_path) == {"base_model": "tiny_base", "losses": ["cross-entropy"]}


# ---- whose scores they are


def a_model(folder, weights: bytes = b"weights", shards: int = 1) -> object:
    folder.mkdir()
    if shards == 1:
        (folder / "model.safetensors").write_bytes(weights)
        return folder
    names = [f"model-{number}.safetensors" for number in range(shards)]
    for name in names:
        (folder / name).write_bytes(weights + name.encode())
    index = {"weight_map": {f"layer{number}": name for number, name in enumerate(names)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def results_of(model, **fields) -> dict:
    scores = {"scores": {"depth": {"delta_1": 0.5}}}
    return {"protocol": PROTOCOL, "model": str(model), "weights_sha256": weights_sha256(model), **scores, **fields}


def test_the_digest_is_that_of_the_files_that_are_loaded(tmp_path):
    one = a_model(tmp_path / "one")
    assert weights_sha256(one) == hashlib.sha256(b"weights").hexdigest(), "as sha256sum prints it"
    (one / "training_heads.safetensors").write_bytes(b"none of it")
    assert weights_sha256(one) == hashlib.sha256(b"weights").hexdigest()
    many = weights_sha256(a_model(tmp_path / "many", shards=2))
    (tmp_path / "many" / "model-1.safetensors").write_bytes(b"other")
    assert weights_sha256(tmp_path / "many") != many
    assert weights_sha256(tmp_path) is None, "no weights, no digest"


@pytest.mark.parametrize("shards", [1, 3])
def test_scores_of_the_same_weights_are_taken(tmp_path, shards):
    model = a_model(tmp_path / "m", shards=shards)
    file = written(tmp_path, results_of(model))
    (evaluation,) = read_all_results([file], "m", model)
    assert values(evaluation) == {"delta_1, depth": 0.5}


def test_scores_of_a_namesake_are_refused(tmp_path):
    model = a_model(tmp_path / "m")
    (tmp_path / "elsewhere").mkdir()
    namesake = a_model(tmp_path / "elsewhere" / "m", b"other weights")
    file = written(tmp_path, results_of(namesake))
    assert read_results(file, "m").own, "by its name it would pass"
    with pytest.raises(ValueError, match="evaluate this model") as caught:
        read_results(file, "m", model)
    message = str(caught.value)
    assert weights_sha256(namesake)[:12] in message
    assert weights_sha256(model)[:12] in message
    assert str(model) in message
    assert "\n" not in message


def test_the_run_of_a_comparison_is_compared_by_its_own_weights(tmp_path):
    model, other = a_model(tmp_path / "m"), a_model(tmp_path / "o", b"other")
    run = {"seed": 0, "protocol": PROTOCOL, **ROOM_SCORES}
    runs = [{"model": each.name, "weights_sha256": weights_sha256(each), **run} for each in (other, model)]
    assert list(read_results(written(tmp_path, {"runs": runs}), "m", model).scores) == ["m", "o"]
    with pytest.raises(ValueError, match="evaluate this model"):
        read_results(written(tmp_path, {"runs": runs}), "o", model)


@pytest.mark.parametrize("digest", [None, 3])
def test_scores_without_a_digest_are_refused(tmp_path, digest):
    model = a_model(tmp_path / "m")
    with pytest.raises(ValueError, match=r"written by an older version: evaluate .* again"):
        read_results(written(tmp_path, results_of(model, weights_sha256=digest)), "m", model)


def test_the_same_run_twice_is_refused(tmp_path):
    model = a_model(tmp_path / "m")
    first, second = (written(tmp_path, results_of(model), name) for name in ("a.json", "b.json"))
    with pytest.raises(ValueError, match=r"a\.json and .*b\.json both hold 'delta_1, depth'"):
        read_all_results([first, second], "m", model)
    on_others = written(tmp_path, results_of(model, protocol=PROTOCOL | {"split": "another"}), "c.json")
    assert len(read_all_results([first, on_others], "m", model)) == 2


def test_a_pair_of_two_bases_is_not_called_the_same_base(tmp_path):
    runs = [
        {
            "seed": 0,
            "model": model,
            "trained": {"base_model": base, "losses": losses},
            "protocol": PROTOCOL,
            **ROOM_SCORES,
        }
        for model, base, losses in (("plain", "small_base", ["ce"]), ("igep", "tiny_base", ["ce", "depth"]))
    ]
    evaluation = read_results(written(tmp_path, {"runs": runs}), "igep")
    assert evaluation.others == {"plain": "another run of the same comparison"}
