"""The results file: what a model scored on some benchmarks. The one format of scores, written and read here.

    {"results_format": 2, "model": ..., "weights_sha256": ..., "facts": {...}, "benchmarks": {
        NAME: {"protocol": {...}, "facts": {...}, "figures": {
            NAME: {"value": 0.71, "n": 400, "unit": "share", "lowest": 0, "highest": 1, "higher_is_better": true}}}}}

Every figure states what it is counted in, the range it can lie in and which way is better, so that no reader has to
guess it from a name.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from igep.trainers.metrics.figure import Figure, Scale


RESULTS_FORMAT = 2
PROTOCOL = ("dataset", "dataset_name", "split", "inputs", "questions", "metrics")


@dataclass(frozen=True)
class BenchmarkResults:
    """What a model scored on one benchmark.

    Args:
        protocol (`dict[str, str]`): How it was measured, in words: `dataset` (id on the Hub or kind), `dataset_name`,
            `split`, `inputs` (what the model saw), `questions` and `metrics`.
        figures (`dict[str, Figure]`): By their names.
        facts (`dict`, *optional*): What is no score, such as the answers per second.

    Raises:
        ValueError: The protocol leaves something out.
    """

    protocol: dict[str, str]
    figures: dict[str, Figure]
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if set(PROTOCOL) - set(self.protocol or ()):
            raise ValueError(
                f"the results do not say how they were measured (`protocol` with {', '.join(PROTOCOL)}): give the "
                "JSON file that an evaluation of this version wrote."
            )


@dataclass(frozen=True)
class ModelResults:
    """What one model scored.

    Args:
        model (`str`): Its folder or Hub id.
        weights_sha256 (`str`, *optional*): Digest of the weights that were scored (see `saved_weights`).
        benchmarks (`dict[str, BenchmarkResults]`): By their names.
        facts (`dict`, *optional*): What is no score and of no single benchmark, such as the number of parameters.
    """

    model: str
    weights_sha256: str | None
    benchmarks: dict[str, BenchmarkResults]
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """What a results file holds."""
        return {
            "results_format": RESULTS_FORMAT,
            "model": self.model,
            "weights_sha256": self.weights_sha256,
            "facts": self.facts,
            "benchmarks": {
                name: {
                    "protocol": benchmark.protocol,
                    "facts": benchmark.facts,
                    "figures": {
                        title: {"value": figure.value, "n": figure.n, **vars(figure.scale)}
                        for title, figure in benchmark.figures.items()
                    },
                }
                for name, benchmark in self.benchmarks.items()
            },
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "ModelResults":
        """Reads what `as_json` wrote.

        Args:
            found (`dict`): The content of a file, or a part of one.

        Returns:
            `ModelResults`

        Raises:
            ValueError: A format of another version, no protocol, or a figure outside the range that it states.
            KeyError, TypeError, AttributeError: It is no such content.
        """
        if found["results_format"] != RESULTS_FORMAT:
            raise ValueError(
                f"the results are of format {found['results_format']!r}, this version reads {RESULTS_FORMAT} and what "
                "came before it: update igep."
            )
        return cls(
            found["model"],
            found["weights_sha256"],
            {
                name: BenchmarkResults(
                    {key: str(text) for key, text in (benchmark["protocol"] or {}).items()},
                    {title: _figure(title, name, figure) for title, figure in benchmark["figures"].items()},
                    benchmark["facts"],
                )
                for name, benchmark in found["benchmarks"].items()
            },
            found["facts"],
        )


def write_results(output: Path, results: ModelResults, predictions: Iterable[dict[str, Any]]) -> Path:
    """Writes the scores, and the predictions beside them.

    Args:
        output (`Path`): JSON file; its folder is made.
        results (`ModelResults`): The scores.
        predictions (`Iterable[dict]`): One row per question, for `*_predictions.jsonl`.

    Returns:
        `Path`: The file of predictions.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    lines = predictions_file(output)
    write_whole(lines, "".join(json.dumps(row) + "\n" for row in predictions))
    write_whole(output, json.dumps(results.as_json(), indent=2, allow_nan=False) + "\n")
    return lines


def predictions_file(output: Path) -> Path:
    """Where the predictions lie that belong to a results file."""
    return output.with_name(output.stem + "_predictions.jsonl")


def write_whole(file: Path, text: str) -> None:
    """Writes a file that is the old one or the new one, whenever the process ends."""
    new = file.with_name(file.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)


def _figure(title: str, benchmark: str, stated: dict[str, Any]) -> Figure:
    scale = {name: stated[name] for name in ("unit", "lowest", "highest", "higher_is_better")}
    try:
        return Figure(stated["value"], stated["n"], Scale(**scale))
    except ValueError as error:
        raise ValueError(f"{title} of {benchmark}: {error}") from error
