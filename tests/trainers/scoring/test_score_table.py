"""The table on the screen: a line per figure, papers beside what was measured alike, and what has no prediction."""

from igep.trainers.cards.results_file import PROTOCOL, BenchmarkResults, ModelResults
from igep.trainers.evaluation.benchmarks.all_benchmarks import BENCHMARKS
from igep.trainers.evaluation.benchmarks.paper_figures import PAPER_FIGURES
from igep.trainers.evaluation.benchmarks.text_benchmark import PER_CENT
from igep.trainers.metrics.figure import SHARE, Figure, error_scale
from igep.trainers.scoring.score_table import as_table


HOW = {name: name for name in PROTOCOL} | {"geometry_inputs": "none"}


def results(name: str, figures: dict[str, Figure], **facts) -> ModelResults:
    return ModelResults("m", None, {name: BenchmarkResults(HOW, figures, facts)})


def test_a_line_per_figure():
    table = as_table(
        results("depth", {"delta_1": Figure(0.5, 12, SHARE), "abs_rel": Figure(None, 12, error_scale("ratio"))})
    )
    assert len({len(line) for line in table.split("\n\n")[0].splitlines()}) == 1
    assert "0.5000 | share | 12 " in table
    assert "| -      | ratio | 12 " in table


def test_split_and_geometry_stand_with_the_scores():
    how = HOW | {"dataset_name": "scanqa: prepared", "split": "as given; papers report the validation split"}
    results_of = {
        "scanqa": BenchmarkResults(how, {"exact_match, peer": Figure(25.0, 9, PER_CENT)}),
        "scanrefer_boxes": BenchmarkResults(
            how | {"geometry_inputs": "pose"}, {"accuracy_25, peer": Figure(1.0, 9, PER_CENT)}
        ),
    }
    table = as_table(ModelResults("m", None, results_of))
    assert "| scanqa          | scanqa: prepared | as given; papers report the validation split | none " in table
    assert "| as given; papers report the validation split | pose " in table


def test_papers_do_not_stand_beside_scores_on_synthetic_rooms():
    figures = {"exact_match, peer": Figure(25.0, 9, PER_CENT)}
    rooms = BenchmarkResults(HOW | {"dataset": "synthetic_rooms"}, figures)
    assert "3D-IDE" not in as_table(ModelResults("m", None, {"scanqa": rooms}))


def test_papers_stand_beside_what_is_measured_alike():
    table = as_table(results("scanqa", {"exact_match, peer": Figure(25.0, 9, PER_CENT)}))
    assert "| 25.0     | 29.8  | 3D-IDE " in table
    assert "102.1" not in table, "there is no CIDEr to compare"
    alone = as_table(results("scanqa", {"exact_match, standard": Figure(25.0, 9, PER_CENT)}))
    assert "3D-IDE" not in alone, "papers do not measure by this protocol"
    assert {paper.benchmark for paper in PAPER_FIGURES} <= BENCHMARKS.keys()


def test_every_number_of_a_paper_about_answers_stands_beside_a_figure_that_we_print():
    """A figure that no metric prints would never be shown."""
    rows = {
        "scanqa": {"sample_id": "a", "prediction": "two", "reference": {"answers": ["two"]}},
        "sqa3d": {"sample_id": "a", "prediction": "two", "reference": {"answers": ["two"], "question_type": "what"}},
        "vsi_bench": {
            "sample_id": "a",
            "prediction": "2",
            "reference": {"question_type": "object_counting", "ground_truth": "2"},
        },
    }
    printed = {name: BENCHMARKS[name].figures([row], None)[0] for name, row in rows.items()}
    for paper in PAPER_FIGURES:
        assert paper.benchmark not in rows or paper.figure in printed[paper.benchmark], paper
        assert 0 < paper.value < 110
    assert len(set(PAPER_FIGURES)) == len(PAPER_FIGURES)


def test_vsi_bench_has_rows_of_both_evaluators():
    table = as_table(
        results("vsi_bench", {f"overall, {name}": Figure(40.0, 9, PER_CENT) for name in ("peer", "lmms_eval")})
    )
    for number, source in (
        ("33.5", "official evaluator"),
        ("38.7", "lmms-eval, in EASI"),
        ("52.5", "issue 43 of VLM-3R"),
    ):
        assert any(f"| {number} " in line and source in line for line in table.splitlines())


def test_what_has_no_prediction_is_said():
    figures = {"exact_match, standard": Figure(25.0, 9, PER_CENT)}
    assert "scanqa: 2 of 9 questions have no prediction" in as_table(
        results("scanqa", figures, questions=9, answered=7)
    )
    assert "no prediction" not in as_table(results("scanqa", figures, questions=9, answered=9))
