"""Results files from before format 2, which did not say what their figures are: read by what igep then measured."""

from typing import Any

from igep.trainers.cards.results_file import PROTOCOL, BenchmarkResults, ModelResults
from igep.trainers.metrics.figure import R2, SHARE, SHARE_OF_FAILURES, Figure, Scale, error_scale


ROOM_GROUPS = {"exact_match": "exact match", "depth_probe": "depth probe"}
FACTS = ("image_sets", "count", "answers_per_second")


def older_model_results(found: dict[str, Any]) -> ModelResults:
    """Reads what the evaluations of VLM3's tasks and of rooms wrote before `results_format` was stated.

    Args:
        found (`dict`): The content of a file, or a run of a comparison.

    Returns:
        `ModelResults`

    Raises:
        ValueError: No protocol, or a figure that cannot be.
        KeyError, TypeError, AttributeError: It is no such content.
    """
    stated = found.get("protocol") or {}
    protocol = {name: str(stated[name]) for name in PROTOCOL if name in stated}
    if "exact_match" in found:
        figures = {
            f"{title}, {name}": _figure(name, title, value, found.get("questions", 0) if name == "mean" else 0)
            for group, title in ROOM_GROUPS.items()
            for name, value in found[group].items()
        }
        benchmarks = {"rooms": BenchmarkResults(protocol, figures)}
    else:
        BenchmarkResults(protocol, {})  # which tells a file without a protocol, before one without scores
        benchmarks = {
            task: BenchmarkResults(
                protocol,
                {
                    name: _figure(name, task, value, figures.get("count", 0))
                    for name, value in figures.items()
                    if name not in FACTS
                },
            )
            for task, figures in found["scores"].items()
        }
    return ModelResults(found["model"], found.get("weights_sha256"), benchmarks)


def _figure(name: str, group: str, value: float | None, n: int) -> Figure:
    try:
        return Figure(value, n, _scale(name))
    except ValueError as error:
        raise ValueError(f"{name} of {group}: {error}") from error


def _scale(name: str) -> Scale:
    """All figures of then that were no errors were shares."""
    if name == "r2":
        return R2
    if name.endswith(("_degrees", "_metres", "_hours")):
        return error_scale(name.rsplit("_", 1)[1])
    if "end_point_error" in name:
        return error_scale("text steps")
    if "abs_rel" in name:
        return error_scale("ratio")
    return SHARE_OF_FAILURES if name == "unparsed" else SHARE
