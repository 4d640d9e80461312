"""Scores as a table on a screen, with what papers report beside them."""

from igep.trainers.cards.markdown import markdown_table
from igep.trainers.cards.results_file import BenchmarkResults, ModelResults
from igep.trainers.data.left_out_questions import LeftOutQuestions
from igep.trainers.evaluation.benchmarks.paper_figures import (
    PAPER_FIGURES,
    PAPERS_GROUND_WITH,
    UNSTATED_THRESHOLD,
    PaperFigure,
)
from igep.trainers.metrics.figure import WITHOUT_LOOKING


def as_table(results: ModelResults) -> str:
    """The scores of all benchmarks as a Markdown table, one figure per line.

    Args:
        results (`ModelResults`): The scores.

    Returns:
        `str`: The table, with what a guess that sees no frame reaches where that is known; below it what was scored
            (data, split, geometry that the model was given), for each benchmark what papers report of the same
            figures, with the source of each number, what was left out, not answered or not computed, and what else
            failed (`failures` of the facts).
    """
    has_blind = any(WITHOUT_LOOKING in benchmark.facts for benchmark in results.benchmarks.values())
    rows = [["benchmark", "figure", "value", *["without looking"] * has_blind, "unit", "answers"]]
    for name, benchmark in results.benchmarks.items():
        blind = benchmark.facts.get(WITHOUT_LOOKING, {})
        for title, figure in benchmark.figures.items():
            value = "-" if figure.value is None else f"{figure.value:.4f}"
            guess = [f"{blind[title]:.4f}" if title in blind else ""] * has_blind
            rows.append([name, title, value, *guess, figure.scale.unit, f"{figure.n}"])
    parts = [markdown_table(rows)]
    rows = [["benchmark", "data", "split", "geometry inputs"]]
    for name, benchmark in results.benchmarks.items():
        rows.append([name, *(benchmark.protocol[what] for what in ("dataset_name", "split", "geometry_inputs"))])
    parts.append(markdown_table(rows))
    parts += [markdown_table(rows) for rows in map(_beside_papers, results.benchmarks.items()) if rows]
    grounded = {name: each.protocol for name, each in results.benchmarks.items() if "proposals" in each.protocol}
    parts += [
        f"{name}: geometry at inference here: {protocol['geometry_inputs']}; proposals: {protocol['proposals']}. "
        f"{PAPERS_GROUND_WITH}"
        for name, protocol in grounded.items()
    ]
    parts += [
        f"{name}: {results.benchmarks[name].facts['questions_without_proposals']} questions are about scenes without "
        "proposals, where no box can be chosen."
        for name in grounded
        if results.benchmarks[name].facts["questions_without_proposals"]
    ]
    parts += [
        f"{name}: {LeftOutQuestions(**benchmark.facts['left_out']).in_words()}."
        for name, benchmark in results.benchmarks.items()
        if benchmark.facts.get("left_out")
    ]
    parts += [
        f"{name}: {figure} is not computed. {reason}."
        for name, benchmark in results.benchmarks.items()
        for figure, reason in benchmark.facts.get("not_computed", {}).items()
    ]
    parts += [
        f"{name}: {benchmark.facts['questions'] - benchmark.facts['answered']} of {benchmark.facts['questions']} "
        "questions have no prediction; they are scored as wrong."
        for name, benchmark in results.benchmarks.items()
        if benchmark.facts.get("answered", 0) < benchmark.facts.get("questions", 0)
    ]
    parts += [
        f"{name}: {', '.join(f'{count} x {reason}' for reason, count in benchmark.facts['failures'].items())}."
        for name, benchmark in results.benchmarks.items()
        if benchmark.facts.get("failures")
    ]
    return "\n\n".join(parts)


def _beside_papers(scored: tuple[str, BenchmarkResults]) -> list[list[str]]:
    """A row for this run and each paper's model, with a column per figure that both have; none where there is none."""
    name, results = scored
    if results.protocol["dataset"] == "synthetic_rooms":  # which only bear the benchmark's name
        return []
    of_papers = [each for each in PAPER_FIGURES if each.benchmark == name and _is_measured(each, results)]
    if not of_papers:
        return []
    titles = list(dict.fromkeys(each.figure for each in of_papers))
    own = [results.figures[title].value if title in results.figures else None for title in titles]
    rows = [[name, *titles, "geometry inputs", "source"]]
    own_name = "this run, on a part" if "; a part: " in results.protocol["split"] else "this run"
    rows.append([own_name, *map(_cell, own), results.protocol["geometry_inputs"], ""])
    for model in dict.fromkeys((each.method, each.geometry_inputs, each.source) for each in of_papers):
        values = {
            each.figure: each.value for each in of_papers if (each.method, each.geometry_inputs, each.source) == model
        }
        method, geometry_inputs, source = model
        rows.append([method, *(_cell(values.get(title)) for title in titles), geometry_inputs, source])
    return rows


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _is_measured(paper: PaperFigure, results: BenchmarkResults) -> bool:
    """Whether a paper's figure is one of this run; of one whose threshold the paper hides, whether ours has any."""
    return paper.figure in results.figures or (
        paper.figure == UNSTATED_THRESHOLD and any(name.startswith("accuracy_") for name in results.figures)
    )
