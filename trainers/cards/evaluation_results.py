"""Scores for a model card, read from the results files of this package's evaluations.

A file is that of one model (see `results_file`) or a comparison of `quickstart.py`, with several runs beside each
other, of which one is the model's. Each states its protocol, which goes on the card with the scores, and the digest of
the weights that it scored, which must be those of the model of the card. Files of older versions are read as well
(`older_results`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from igep.trainers.cards.markdown import in_markdown, markdown_table
from igep.trainers.cards.older_results import older_model_results
from igep.trainers.cards.results_file import ModelResults
from igep.trainers.cards.saved_weights import weights_sha256
from igep.trainers.metrics.figure import WITHOUT_LOOKING, Figure


TASK_TYPE = "visual-question-answering"
THIS_MODEL = "this model"


@dataclass(frozen=True)
class Evaluation:
    """Scores that were measured in one way.

    Args:
        protocol (`dict[str, str]`): As in `BenchmarkResults`.
        scores (`dict[str, dict[str, Figure]]`): Name to figure for every model that was evaluated; the first is the
            model of the card.
        others (`dict[str, str]`, *optional*): What each of the other models is.
        without_looking (`dict[str, float]`, *optional*): Name to what a guess reaches that sees no frame.
    """

    protocol: dict[str, str]
    scores: dict[str, dict[str, Figure]]
    others: dict[str, str] = field(default_factory=dict)
    without_looking: dict[str, float] = field(default_factory=dict)

    @property
    def own(self) -> dict[str, Figure]:
        """The scores of the card's model."""
        return next(iter(self.scores.values()))

    def table(self) -> str:
        """All scores as a Markdown table: a row per figure, with what it means, a column per model and of a guess."""
        _, *others = self.scores
        blind = ["without looking"] if self.without_looking else []
        rows = [["", "unit", "better", "answers", THIS_MODEL, *(in_markdown(name) for name in others), *blind]]
        for name, own in self.own.items():
            cells = [figures.get(name) for figures in self.scores.values()]
            values = ["-" if cell is None or cell.value is None else f"{cell.value:.3f}" for cell in cells]
            if blind:
                values.append(f"{self.without_looking[name]:.3f}" if name in self.without_looking else "-")
            better = "higher" if own.scale.higher_is_better else "lower"
            rows.append(
                [in_markdown(name), in_markdown(own.scale.unit), better, f"{own.n:,}" if own.n else "-", *values]
            )
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
                metric_type=name.split(",")[0].replace(" ", "_"),
                metric_name=name,
                metric_value=round(figure.value, 4),
            )
            for name, figure in self.own.items()
            if figure.value is not None
        ]


def read_all_results(files: Sequence[Path], model_name: str, folder: Path) -> list[Evaluation]:
    """Reads the files of one model's scores.

    Args:
        files (`Sequence[Path]`): See `read_results`.
        model_name (`str`): See `read_results`.
        folder (`Path`): The model.

    Returns:
        `list[Evaluation]`: Of all files.

    Raises:
        ValueError: A file cannot be used, or two hold the same score.
        OSError: There is no such file.
    """
    weights = weights_sha256(folder) if files else None
    found = {file: _read_file(file, model_name, folder, weights) for file in files}
    holders: dict[tuple[str, ...], Path] = {}
    for file, evaluations in found.items():
        for evaluation in evaluations:
            data = tuple(evaluation.protocol[name] for name in ("dataset", "dataset_name", "split"))
            for name in evaluation.own:
                first = holders.setdefault((*data, name), file)
                if first != file:
                    raise ValueError(
                        f"{first} and {file} both hold {name!r} on {', '.join(data[1:])}: give one of them."
                    )
    return [evaluation for evaluations in found.values() for evaluation in evaluations]


def read_results(file: Path, model_name: str, folder: Path | None = None) -> list[Evaluation]:
    """Reads a file of scores.

    Args:
        file (`Path`): What an evaluation wrote about one model, or a `results.json` of the quickstart.
        model_name (`str`): Last name of the model's folder: which of several runs is meant.
        folder (`Path`, *optional*): The model, whose weights must be those that were scored; not compared unless
            given.

    Returns:
        `list[Evaluation]`: One for all benchmarks that were measured in the same way.

    Raises:
        ValueError: The file is not one of these, states no protocol, or holds no run of this model; a score is
            impossible, or is that of other weights.
        OSError: There is no such file.
    """
    return _read_file(file, model_name, folder, None if folder is None else weights_sha256(folder))


def _read_file(file: Path, model_name: str, folder: Path | None, weights: str | None) -> list[Evaluation]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not JSON ({error}): give the results that an evaluation wrote.") from error
    try:
        run = _own_run(file, found, model_name) if "runs" in found else found
        own = _model_results(file, run)
        others = _runs_beside(file, found, run) if "runs" in found else {}
        if Path(own.model).name != model_name:
            raise ValueError(
                f"{file} has the scores of {own.model!r}, not of {model_name!r}: give those, or say --run."
            )
        evaluations = _evaluations(own, others, {name: _what(beside, run) for name, (beside, _) in others.items()})
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{file} is not what an evaluation writes ({error!r}): evaluate again.") from error
    if not any(figure.value is not None for evaluation in evaluations for figure in evaluation.own.values()):
        raise ValueError(f"{file} holds no scores of {model_name!r}: evaluate again.")
    if folder is not None:
        _check_weights(file, own.weights_sha256, folder, weights)
    return evaluations


def _model_results(file: Path, run: dict[str, Any]) -> ModelResults:
    try:
        return ModelResults.from_json(run) if "results_format" in run else older_model_results(run)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _own_run(file: Path, found: dict[str, Any], model_name: str) -> dict[str, Any]:
    """What a comparison says about one of its models."""
    names = [_in_one_line(Path(run["model"]).name) for run in found["runs"]]
    if model_name not in names:
        raise ValueError(
            f"{file} has no run of {model_name!r} but of {', '.join(names)}: publish one of these, or name it (--run)."
        )
    if names.count(model_name) > 1:
        raise ValueError(f"{file} has {names.count(model_name)} runs of {model_name!r}: evaluate again.")
    return found["runs"][names.index(model_name)]


def _runs_beside(
    file: Path, found: dict[str, Any], run: dict[str, Any]
) -> dict[str, tuple[dict[str, Any], ModelResults]]:
    """The other runs of a comparison with the same seed, by the names of their models."""
    others = [other for other in found["runs"] if other is not run and other["seed"] == run["seed"]]
    read = [(other, _model_results(file, other)) for other in others]
    return {Path(results.model).name: (other, results) for other, results in read}


def _evaluations(
    own: ModelResults, others: dict[str, tuple[dict[str, Any], ModelResults]], what: dict[str, str]
) -> list[Evaluation]:
    protocols: dict[tuple, list[str]] = {}
    for name, benchmark in own.benchmarks.items():
        protocols.setdefault(tuple(sorted(benchmark.protocol.items())), []).append(name)
    models = {Path(own.model).name: own} | {name: results for name, (_, results) in others.items()}
    return [
        Evaluation(
            own.benchmarks[names[0]].protocol,
            {
                _in_one_line(model): _named(
                    {name: results.benchmarks[name].figures for name in names if name in results.benchmarks}
                )
                for model, results in models.items()
            },
            {_in_one_line(model): text for model, text in what.items()},
            _named({name: own.benchmarks[name].facts.get(WITHOUT_LOOKING, {}) for name in names}),
        )
        for names in protocols.values()
    ]


def _named(by_benchmark: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What stands under a figure's title in each benchmark, by the names that figures have on a card."""
    return {
        _in_one_line(f"{title}, {name}"): value
        for name, by_title in by_benchmark.items()
        for title, value in by_title.items()
    }


def _check_weights(file: Path, stated: object, folder: Path, weights: str | None) -> None:
    if not isinstance(stated, str):
        raise ValueError(  # noqa: TRY004
            f"{file} does not say which weights it scored (`weights_sha256`), so it was written by an older version: "
            f"evaluate {folder} again."
        )
    if stated != weights:
        own = "has none" if weights is None else f"has {weights[:12]}"
        raise ValueError(
            f"{file} has the scores of other weights (SHA-256 {stated[:12]}) than those of {folder}, which {own}: "
            "evaluate this model."
        )


def _what(other: dict, run: dict) -> str:
    """What another run of a comparison is, as far as its file says."""
    trained, own = other.get("trained"), run.get("trained")
    is_same_base = trained and own and trained["base_model"] == own["base_model"]
    if is_same_base and len(trained["losses"]) == 1 < len(own["losses"]):
        return "the same base trained without geometry supervision"
    return "another run of the same comparison"


def _in_one_line(name: str) -> str:
    return " ".join(name.split())
