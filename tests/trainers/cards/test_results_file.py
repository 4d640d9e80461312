"""The one format of scores: what is written is what is read, and every figure states what it is."""

import json

import pytest

from igep.trainers.cards.results_file import PROTOCOL, BenchmarkResults, ModelResults, write_results
from igep.trainers.metrics.figure import SHARE, Figure, Scale, error_scale


HOW = {name: name for name in PROTOCOL}
FIGURES = {
    "CIDEr": Figure(102.1, 4675, Scale("CIDEr-D x 100", 0, 1000, higher_is_better=True)),
    "BLEU-4": Figure(40.7, 4675, Scale("per cent", 0, 100, higher_is_better=True)),
    "delta_1": Figure(0.5, 10, SHARE),
    "abs_rel": Figure(None, 10, error_scale("ratio")),
}
RESULTS = ModelResults(
    "outputs/m", "0" * 64, {"scanqa": BenchmarkResults(HOW, FIGURES, {"answers_per_second": 3.5})}, {"parameters": 7}
)


def test_what_is_written_is_read(tmp_path):
    file = tmp_path / "new" / "results.json"
    lines = write_results(file, RESULTS, [{"question": "wo?", "prediction": "da"}, {"question": "ä"}])
    assert ModelResults.from_json(json.loads(file.read_text())) == RESULTS
    assert lines == tmp_path / "new" / "results_predictions.jsonl"
    assert [json.loads(line)["question"] for line in lines.read_text().splitlines()] == ["wo?", "ä"]


def test_a_figure_in_the_file_explains_itself():
    figure = RESULTS.as_json()["benchmarks"]["scanqa"]["figures"]["CIDEr"]
    assert figure == {
        "value": 102.1,
        "n": 4675,
        "unit": "CIDEr-D x 100",
        "lowest": 0,
        "highest": 1000,
        "higher_is_better": True,
    }


def changed(**fields) -> dict:
    """A file whose one figure is another."""
    content = RESULTS.as_json()
    figures = content["benchmarks"]["scanqa"]["figures"]
    content["benchmarks"]["scanqa"]["figures"] = {"CIDEr": figures["CIDEr"] | fields}
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(value=1021.0), "CIDEr of scanqa: value=1021.0 cannot be .between 0 and 1000"),
        (changed(value="high"), "CIDEr of scanqa: value='high'"),
        (changed(n=-1), "CIDEr of scanqa: n=-1"),
        (changed(highest=0), "CIDEr of scanqa: lowest=0 and highest=0"),
        (RESULTS.as_json() | {"results_format": 3}, "format 3, this version reads 2"),
        (
            RESULTS.as_json() | {"benchmarks": {"b": {"protocol": {}, "facts": {}, "figures": {}}}},
            "how they were measured",
        ),
        (
            RESULTS.as_json() | {"benchmarks": {"b": {"protocol": None, "facts": {}, "figures": {}}}},
            "how they were measured",
        ),
    ],
)
def test_what_cannot_be_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        ModelResults.from_json(content)


def test_a_protocol_says_all_of_it():
    with pytest.raises(ValueError, match="how they were measured"):
        BenchmarkResults({"dataset": "x"}, {})
