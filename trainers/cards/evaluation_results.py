"""Scores for a model card, read from the JSON files that this package's evaluations write.

Two forms are known: that of `quickstart.py` (several runs beside each other, of which one is the model's) and that of
`vlm3_evaluation.py` and `room_evaluation.py` (one model). Each states its protocol, which goes on the card with the scores,
and the digest of the weights that it scored, which must be those of the model of the card.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import EvalResult

from igep.trainers.cards.markdown import in_markdown, markdown_table
from igep.trainers.cards.saved_weights import weights_sha256


GROUPS = {"exact_match": "exact match", "depth_probe": "depth probe"}  # of a room evaluation's figures
NOT_A_SCORE = ("image_sets", "count", "answers_per_second")
PROTOCOL = ("dataset", "dataset_name", "split", "inputs", "questions", "metrics")
TASK_TYPE = "visual-question-answering"
THIS_MODEL = "this model"


@dataclass(frozen=True)
class Evaluation:
    """What one file says about a model.

    Args:
        protocol (`dict[str, str]`): `dataset`, `dataset_name`, `split`, `inputs`, `questions` and `metrics`.
        scores (`dict[str, dict[str, float | None]]`): Metric to value for every model that was evaluated, `None` = not
            measured; the first is the model of the card.
        others (`dict[str, str]`, *optional*): What each of the other models is.
    """

    protocol: dict[str, str]
    scores: dict[str, dict[str, float | None]]
    others: dict[str, str] = field(default_factory=dict)

    @property
    def own(self) -> dict[str, float | None]:
        """The scores of the card's model."""
        return next(iter(self.scores.values()))

    def table(self) -> str:
        """All scores as a Markdown table: a row per metric, a column per model."""
        _, *others = self.scores
        rows = [["", THIS_MODEL, *(in_markdown(name) for name in others)]]
        for metric in self.own:
            cells = [figures.get(metric) for figures in self.scores.values()]
            rows.append([in_markdown(metric), *("-" if cell is None else f"{cell:.3f}" for cell in cells)])
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


def read_all_results(files: Sequence[Path], model_name: str, folder: Path) -> list[Evaluation]:
    """Reads the files of one model's scores.

    Args:
        files (`Sequence[Path]`): See `read_results`.
        model_name (`str`): See `read_results`.
        folder (`Path`): The model.

    Returns:
        `list[Evaluation]`: One per file.

    Raises:
        ValueError: A file cannot be used, or two hold the same score.
        OSError: There is no such file.
    """
    weights = weights_sha256(folder) if files else None
    evaluations = [_read_file(file, model_name, folder, weights) for file in files]
    holders: dict[tuple[str, ...], Path] = {}
    for file, evaluation in zip(files, evaluations, strict=True):
        data = tuple(evaluation.protocol[name] for name in ("dataset", "dataset_name", "split"))
        for metric in evaluation.own:
            first = holders.setdefault((*data, metric), file)
            if first != file:
                raise ValueError(
                    f"{first} and {file} both hold {metric!r} on {', '.join(data[1:])}: give one of them."
                )
    return evaluations


def read_results(file: Path, model_name: str, folder: Path | None = None) -> Evaluation:
    """Reads a file of scores.

    Args:
        file (`Path`): A `results.json` of the quickstart, or the output of `vlm3_evaluation.py` or `room_evaluation.py`.
        model_name (`str`): Last name of the model's folder: which of several runs is meant.
        folder (`Path`, *optional*): The model, whose weights must be those that were scored; not compared unless given.

    Returns:
        `Evaluation`

    Raises:
        ValueError: The file is not one of these, states no protocol, or holds no run of this model; a score is impossible, or
            is that of other weights.
        OSError: There is no such file.
    """
    return _read_file(file, model_name, folder, None if folder is None else weights_sha256(folder))


def _read_file(file: Path, model_name: str, folder: Path | None, weights: str | None) -> Evaluation:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not JSON ({error}): give the results that an evaluation wrote.") from error
    try:
        run = _own_run(file, found, model_name)
        evaluation = _evaluation(file, found, run, model_name)
    except (KeyError, TypeError, AttributeError, OverflowError, IndexError) as error:
        raise ValueError(f"{file} is not what an evaluation writes ({error!r}): evaluate again.") from error
    if not any(value is not None for value in evaluation.own.values()):
        raise ValueError(f"{file} holds no scores of {model_name!r}: evaluate again.")
    if folder is not None:
        _check_weights(file, run.get("weights_sha256"), folder, weights)
    return evaluation


def _own_run(file: Path, found: dict, model_name: str) -> dict:
    """What a file says about one model alone."""
    if "runs" in found:
        names = [_name(run) for run in found["runs"]]
        if model_name not in names:
            raise ValueError(
                f"{file} has no run of {model_name!r} but of {', '.join(names)}: publish one of these, or name it (--run)."
            )
        if names.count(model_name) > 1:
            raise ValueError(f"{file} has {names.count(model_name)} runs of {model_name!r}: evaluate again.")
        return found["runs"][names.index(model_name)]
    _protocol(file, found)
    if Path(found["model"]).name != model_name:
        raise ValueError(
            f"{file} has the scores of {found['model']!r}, not of {model_name!r}: give those, or say --run."
        )
    return found


def _evaluation(file: Path, found: dict, run: dict, model_name: str) -> Evaluation:
    protocol = _protocol(file, run)
    if "runs" in found:
        others = [other for other in found["runs"] if other is not run and other["seed"] == run["seed"]]
        return Evaluation(
            protocol,
            {_name(each): _room_scores(file, each) for each in (run, *others)},
            {_name(other): _what(other, run) for other in others},
        )
    if "exact_match" in run:
        return Evaluation(protocol, {model_name: _room_scores(file, run)})
    scores = {
        _in_one_line(f"{name}, {task}"): _score(file, name, task, value)
        for task, figures in run["scores"].items()
        for name, value in figures.items()
        if name not in NOT_A_SCORE
    }
    return Evaluation(protocol, {model_name: scores})


def _check_weights(file: Path, stated: object, folder: Path, weights: str | None) -> None:
    if not isinstance(stated, str):
        raise ValueError(  # noqa: TRY004
            f"{file} does not say which weights it scored (`weights_sha256`), so it was written by an older version: evaluate "
            f"{folder} again."
        )
    if stated != weights:
        own = "has none" if weights is None else f"has {weights[:12]}"
        raise ValueError(
            f"{file} has the scores of other weights (SHA-256 {stated[:12]}) than those of {folder}, which {own}: evaluate "
            "this model."
        )


def _name(run: dict) -> str:
    return _in_one_line(run["model"])


def _what(other: dict, run: dict) -> str:
    """What another run of a comparison is, as far as its file says."""
    trained, own = other.get("trained"), run.get("trained")
    is_same_base = trained and own and trained["base_model"] == own["base_model"]
    if is_same_base and len(trained["losses"]) == 1 < len(own["losses"]):
        return "the same base trained without geometry supervision"
    return "another run of the same comparison"


def _protocol(file: Path, found: dict) -> dict[str, str]:
    if set(PROTOCOL) - set(found.get("protocol") or ()):
        raise ValueError(
            f"{file} does not say how it was measured (`protocol` with {', '.join(PROTOCOL)}): give the JSON file that an "
            "evaluation of this version wrote."
        )
    return {name: str(found["protocol"][name]) for name in PROTOCOL}


def _room_scores(file: Path, run: dict) -> dict[str, float | None]:
    return {
        _in_one_line(f"{title}, {name}"): _score(file, name, title, value)
        for group, title in GROUPS.items()
        for name, value in run[group].items()
    }


def _score(file: Path, name: str, group: str, value: float | None) -> float | None:
    """A number that the metric can be, or `None` for what was not measured."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is no score")
    number = float(value)
    low, high, words = _range(name)
    if not low <= number <= high or math.isinf(number):
        raise ValueError(f"{file}: {name} of {group} is {value}, which cannot be ({words}): evaluate again.")
    return number


def _range(name: str) -> tuple[float, float, str]:
    """Lowest and highest value of a metric, and both in words; all that are no errors are shares."""
    if name == "r2":
        return -math.inf, 1, "at most 1"
    if "error" in name or "abs_rel" in name:
        return 0, math.inf, "at least 0"
    return 0, 1, "between 0 and 1"


def _in_one_line(name: str) -> str:
    return " ".join(name.split())
