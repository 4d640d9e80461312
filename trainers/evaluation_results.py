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
        scores (`dict[str, dict[str, float | None]]`): Metric to value for every model that was evaluated, `None` = not
            measured; the first is the model of the card.
    """

    protocol: dict[str, str]
    scores: dict[str, dict[str, float | None]]

    @property
    def own(self) -> dict[str, float | None]:
        """The scores of the card's model."""
        return next(iter(self.scores.values()))

    def table(self) -> str:
        """All scores as a Markdown table: a row per metric, a column per model."""
        rows = [["", *(name.replace("|", "\\|") for name in self.scores)]]
        for metric in self.own:
            cells = [figures.get(metric) for figures in self.scores.values()]
            rows.append([metric.replace("|", "\\|"), *("-" if cell is None else f"{cell:.3f}" for cell in cells)])
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
            if value is not None
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
    try:
        evaluation = _read(file, found, model_name)
    except (KeyError, TypeError, AttributeError, OverflowError, IndexError) as error:
        raise ValueError(f"{file} is not what an evaluation writes ({error!r}): evaluate again.") from error
    if not any(value is not None for value in evaluation.own.values()):
        raise ValueError(f"{file} holds no scores of {model_name!r}: evaluate again.")
    return evaluation


def _read(file: Path, found: dict, model_name: str) -> Evaluation:
    if "runs" in found:
        return _of_runs(file, found["runs"], model_name)
    protocol = _protocol(file, found)
    if Path(found["model"]).name != model_name:
        raise ValueError(
            f"{file} has the scores of {found['model']!r}, not of {model_name!r}: give those, or say --run."
        )
    if "exact_match" in found:
        return Evaluation(protocol, {model_name: _room_scores(found)})
    scores = {
        f"{name}, {task}": _score(value)
        for task, figures in found["scores"].items()
        for name, value in figures.items()
        if name not in NOT_A_SCORE
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
    return {name: str(found["protocol"][name]) for name in PROTOCOL}


def _room_scores(run: dict) -> dict[str, float]:
    return {f"{title}, {name}": _score(value) for group, title in GROUPS.items() for name, value in run[group].items()}


def _score(value: float | None) -> float | None:
    """A finite number, or `None` for what was not measured."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise TypeError(f"{value!r} is no score")
    return None if value is None or not math.isfinite(value) else float(value)
