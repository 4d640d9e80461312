"""Scores as a table on a screen, with what papers report beside them."""

from igep.trainers.cards.markdown import markdown_table
from igep.trainers.cards.results_file import ModelResults
from igep.trainers.evaluation.benchmarks.paper_figures import PAPER_FIGURES, PAPERS_GROUND_WITH, PaperFigure


def as_table(results: ModelResults) -> str:
    """The scores of all benchmarks as a Markdown table, one figure per line.

    Args:
        results (`ModelResults`): The scores.

    Returns:
        `str`: The table, below it what was scored (data, split, geometry that the model was given), what papers report of the
            same figures, with the source of each number, what was not answered, and what else failed (`failures` of the facts).
    """
    rows = [["benchmark", "figure", "value", "unit", "answers"]]
    for name, benchmark in results.benchmarks.items():
        for title, figure in benchmark.figures.items():
            value = "-" if figure.value is None else f"{figure.value:.4f}"
            rows.append([name, title, value, figure.scale.unit, f"{figure.n}"])
    parts = [markdown_table(rows)]
    rows = [["benchmark", "data", "split", "geometry inputs"]]
    for name, benchmark in results.benchmarks.items():
        rows.append([name, *(benchmark.protocol[what] for what in ("dataset_name", "split", "geometry_inputs"))])
    parts.append(markdown_table(rows))
    of_papers = [each for each in PAPER_FIGURES if _is_measured(each, results)]
    if of_papers:
        rows = [["benchmark", "figure", "this run", "paper", "method", "its geometry inputs", "source"]]
        for each in of_papers:
            own = results.benchmarks[each.benchmark].figures[each.figure].value
            rows.append(
                [
                    each.benchmark,
                    each.figure,
                    f"{own:.1f}",
                    f"{each.value:.1f}",
                    each.method,
                    each.geometry_inputs,
                    each.source,
                ]
            )
        parts.append(markdown_table(rows))
    grounded = {name: each.protocol for name, each in results.benchmarks.items() if "proposals" in each.protocol}
    parts += [
        f"{name}: geometry at inference here: {protocol['geometry_inputs']}; proposals: {protocol['proposals']}. {PAPERS_GROUND_WITH}"
        for name, protocol in grounded.items()
    ]
    parts += [
        f"{name}: {results.benchmarks[name].facts['questions_without_proposals']} questions are about scenes without proposals, "
        "where no box can be chosen."
        for name in grounded
        if results.benchmarks[name].facts["questions_without_proposals"]
    ]
    parts += [
        f"{name}: {benchmark.facts['questions'] - benchmark.facts['answered']} of {benchmark.facts['questions']} questions "
        "have no prediction; they are scored as wrong."
        for name, benchmark in results.benchmarks.items()
        if benchmark.facts.get("answered", 0) < benchmark.facts.get("questions", 0)
    ]
    parts += [
        f"{name}: {', '.join(f'{count} x {reason}' for reason, count in benchmark.facts['failures'].items())}."
        for name, benchmark in results.benchmarks.items()
        if benchmark.facts.get("failures")
    ]
    return "\n\n".join(parts)


def _is_measured(paper: PaperFigure, results: ModelResults) -> bool:
    benchmark = results.benchmarks.get(paper.benchmark)
    if benchmark is None or benchmark.protocol["dataset"] == "synthetic_rooms":  # which only bear the benchmark's name
        return False
    return paper.figure in benchmark.figures
