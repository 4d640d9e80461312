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


def test_what_a_blind_guess_reaches_stands_beside_the_score():
    figures = {"exact match, closer": Figure(0.75, 12, SHARE), "exact match, mean": Figure(0.5, 12, SHARE)}
    table = as_table(results("rooms", figures, without_looking={"exact match, closer": 0.5}))
    assert "| figure              | value  | without looking | unit  | answers |" in table
    assert "| exact match, closer | 0.7500 | 0.5000          | share | 12      |" in table
    assert "| exact match, mean   | 0.5000 |                 | share | 12      |" in table
    assert "without looking" not in as_table(results("rooms", figures))


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
    papers = table.split("\n\n")[2].splitlines()
    assert [cell.strip() for cell in papers[0].split("|")[1:-1]] == [
        "scanqa",
        "exact_match, peer",
        "geometry inputs",
        "source",
    ]
    assert papers[2].startswith("| this run ")
    assert "| 25.0 " in papers[2]
    part = BenchmarkResults(
        HOW | {"split": "val; a part: 2 of 71 sets of frames"}, {"exact_match, peer": Figure(25.0, 9, PER_CENT)}
    )
    assert "| this run, on a part " in as_table(ModelResults("m", None, {"scanqa": part}))
    assert any(line.startswith("| 3D-IDE ") and "| 29.8 " in line for line in papers)
    assert "102.1" not in table, "there is no CIDEr to compare"
    assert "59.2" not in table, "SQA3D was not run"
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


def test_a_paper_that_hides_its_threshold_stands_in_a_column_of_its_own():
    table = as_table(grounded({"accuracy_25, peer": Figure(25.0, 9, PER_CENT)}))
    assert "accuracy, IoU threshold not stated in the paper" in table
    (row,) = [line for line in table.splitlines() if line.startswith("| Vid-LLM ")]
    assert [cell.strip() for cell in row.split("|")[1:5]] == ["Vid-LLM", "-", "55.8", "not stated"]
    (own,) = [line for line in table.splitlines() if line.startswith("| this run ")]
    assert [cell.strip() for cell in own.split("|")[2:4]] == ["25.0", "-"]


def test_what_is_left_out_or_not_computed_is_said():
    table = as_table(
        results(
            "scanqa",
            {"exact_match, standard": Figure(25.0, 7, PER_CENT)},
            left_out={"count": 2, "of": 9, "reasons": {"scene 'x' cannot be read": 2}},
            not_computed={"METEOR": "METEOR needs java on the path: install a Java runtime"},
        )
    )
    assert "scanqa: 2 of 9 questions of the file are left out: 2 x scene 'x' cannot be read." in table
    assert "scanqa: METEOR is not computed. METEOR needs java on the path: install a Java runtime." in table


def grounded(figures: dict[str, Figure]) -> ModelResults:
    how = HOW | {"proposals": "detected"}
    return ModelResults("m", None, {"scanrefer": BenchmarkResults(how, figures, {"questions_without_proposals": 0})})
