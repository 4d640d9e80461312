"""Scores for a model card, read from the JSON files that this package's evaluations write.

Two forms are known: that of `quickstart.py` (several runs beside each other, of which one is the model's) and that of
`vlm3_evaluation.py` and `room_evaluation.py` (one model). Each states its protocol, which goes on the card with the scores.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import EvalResult

from igep.trainers.markdown_table import markdown_table


GROUPS = {"exact_match": "exact match", "depth_probe": "depth probe"}  # of a room evaluation's figures
NOT_A_SCORE = ("image_sets", "count", "answers_per_second")
PROTOCOL = ("dataset", "dataset_name", "split", "inputs", "questions", "metrics")
TASK_TYPE = "visual-question-answering"


@dataclass(frozen=True)
class Evaluation:
    """What one file says about a model.

    Args:
        protocol (`dict[str, str]`): `dataset`, `dataset_name`, `split`, `inputs`, `questions` and `metrics`.
        scores (`dict[str, dict[str, float]]`): Metric to value for every model that was evaluated; the first is the model
            of the card.
    """

    protocol: dict[str, str]
    scores: dict[str, dict[str, float]]

    @property
    def own(self) -> dict[str, float]:
        """The scores of the card's model."""
        return next(iter(self.scores.values()))

    def table(self) -> str:
        """All scores as a Markdown table: a row per metric, a column per model."""
        rows = [["", *self.scores]]
        for metric in self.own:
            cells = [figures.get(metric) for figures in self.scores.values()]
            rows.append([metric, *("-" if cell is None else f"{cell:.3f}" for cell in cells)])
        return markdown_table(rows)

    def eval_results(self) -> list[EvalResult]:
        """The scores of the card's model in the Hub's form."""
        return [
            EvalResult(
                task_type=TASK_TYPE,
                task_name="3D question answering from RGB",
                dataset_type=self.protocol["dataset"],
                dataset_name=self.protocol["dataset_name"],
                dataset_split=self.protocol["split"],
                metric_type=metric.split(",")[0].replace(" ", "_"),
                metric_name=metric,
                metric_value=round(value, 4),
            )
            for metric, value in self.own.items()
        ]


def read_results(file: Path, model_name: str) -> Evaluation:
    """Reads the scores of a model.

    Args:
        file (`Path`): A `results.json` of the quickstart, or the output of `vlm3_evaluation.py` or `room_evaluation.py`.
        model_name (`str`): Last name of the model's folder: which of several runs is meant.

    Returns:
        `Evaluation`

    Raises:
        ValueError: The file is not one of these, states no protocol, or holds no run of this model.
        OSError: There is no such file.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not JSON ({error}): give the results that an evaluation wrote.") from error
    if not isinstance(found, dict):
        found = {}
    if "runs" in found:
        return _of_runs(file, found["runs"], model_name)
    protocol = _protocol(file, found)
    if "exact_match" in found:
        return Evaluation(protocol, {model_name: _room_scores(found)})
    tasks = found.get("scores")
    if not isinstance(tasks, dict) or not all(isinstance(figures, dict) for figures in tasks.values()):
        raise ValueError(f"{file} holds no scores: give the JSON file that an evaluation wrote.")
    scores = {
        f"{name}, {task}": float(value)
        for task, figures in tasks.items()
        for name, value in figures.items()
        if _is_number(value) and name not in NOT_A_SCORE
    }
    return Evaluation(protocol, {model_name: scores})


def _of_runs(file: Path, runs: list[dict], model_name: str) -> Evaluation:
    names = [run.get("model", f"{run['method']}_seed{run['seed']}") for run in runs]
    if model_name not in names:
        raise ValueError(
            f"{file} has no run of {model_name!r} but of {', '.join(names)}: publish one of these, or name it (--run)."
        )
    own = names.index(model_name)
    seed = runs[own]["seed"]
    shown = [own, *(other for other in range(len(runs)) if other != own and runs[other]["seed"] == seed)]
    return Evaluation(_protocol(file, runs[own]), {names[run]: _room_scores(runs[run]) for run in shown})


def _protocol(file: Path, found: dict) -> dict[str, str]:
    if set(PROTOCOL) - set(found.get("protocol") or ()):
        raise ValueError(
            f"{file} does not say how it was measured (`protocol` with {', '.join(PROTOCOL)}): give the JSON file that an "
            "evaluation of this version wrote."
        )
    return found["protocol"]


def _room_scores(run: dict) -> dict[str, float]:
    return {
        f"{title}, {name}": float(value)
        for group, title in GROUPS.items()
        for name, value in run[group].items()
        if _is_number(value)
    }


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
