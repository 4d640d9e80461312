"""Predictions on disk: lines that processes append as they answer, so that a run that is killed goes on where it was.

Beside `scores.json` lie `scores_predictions.jsonl`, one line per question of all benchmarks; while a run goes on
`scores_predictions.N.jsonl`, what process N has answered so far; and `scores_run.json`, what the run answers with
which weights, so that the lines of another are never taken for its own.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from igep.trainers.cards.results_file import predictions_file, write_whole


Key = tuple[str, str]  # benchmark and sample id
Predictions = dict[Key, str]
REQUIRED = ("benchmark", "sample_id", "prediction")


class PredictionFiles:
    """The predictions of one run.

    Args:
        output (`Path`): Its results file.
    """

    def __init__(self, output: Path):
        self.whole = predictions_file(output)
        self._run = output.with_name(output.stem + "_run.json")

    def part(self, process: int) -> Path:
        """The file that one process appends to."""
        return self.whole.with_name(f"{self.whole.stem}.{process}.jsonl")

    def parts(self) -> list[Path]:
        """The files of all processes, of this run and of interrupted ones."""
        return sorted(self.whole.parent.glob(f"{self.whole.stem}.*.jsonl"))

    def begin(self, run: dict[str, Any], restart: bool) -> None:
        """Gathers what an interrupted run left, or removes it, before anyone answers. For one process.

        Args:
            run (`dict`): What the predictions depend on, as JSON.
            restart (`bool`): Remove what is there.

        Raises:
            ValueError: There are predictions of something else, or a line that is none. Options of benchmarks without
                any prediction may have changed.
        """
        self.whole.parent.mkdir(parents=True, exist_ok=True)
        if restart:
            for file in (self._run, self.whole, *self.parts()):
                file.unlink(missing_ok=True)
        left = [file for file in (self.whole, *self.parts()) if file.is_file()]
        gathered = self._gathered()
        if left:
            self._check_run(run, {row["benchmark"] for row in gathered})
        write_whole(self._run, json.dumps(run, indent=2) + "\n")
        if left:
            write_whole(self.whole, "".join(json.dumps(row) + "\n" for row in gathered))
            self.remove_parts()

    def predictions(self) -> Predictions:
        """What has been answered so far."""
        return {(row["benchmark"], row["sample_id"]): row["prediction"] for row in self._gathered()}

    def remove_parts(self) -> None:
        """Removes the files of the processes, whose lines are in the whole file."""
        for file in self.parts():
            file.unlink()

    def _gathered(self) -> list[dict[str, Any]]:
        files = [self.whole, *self.parts()] if self.whole.is_file() else self.parts()
        first: dict[Key, dict[str, Any]] = {}
        for file in files:
            for row in read_lines(file, may_end_early=True):
                first.setdefault((row["benchmark"], row["sample_id"]), row)
        return list(first.values())

    def _check_run(self, run: dict[str, Any], answered: set[str]) -> None:
        """Raises `ValueError` where predictions are of another run than this; benchmarks without any may differ."""
        if not self._run.is_file():
            raise ValueError(
                f"{self.whole.parent} holds predictions without {self._run.name}, so it is not known of what: give "
                "--restart true to throw them away, or another --output."
            )
        before, now = json.loads(self._run.read_text(encoding="utf-8")), json.loads(json.dumps(run))
        dropped = sorted(answered - now["benchmarks"].keys())
        if dropped:
            raise ValueError(
                f"{self.whole.name} holds predictions for {dropped[0]}, which is not in --benchmark: add it, give "
                "--restart true to throw all predictions away, or another --output."
            )
        for each in (before, now):
            each["benchmarks"] = {name: asked for name, asked in each["benchmarks"].items() if name in answered}
        differing = [f"{name} was {old!r} and is {new!r}" for name, old, new in _differences(before, now)]
        if differing:
            raise ValueError(
                f"{self.whole.name} holds predictions of another run ({'; '.join(differing[:3])}): give --restart "
                "true to throw them away, or another --output."
            )


def append_lines(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Adds lines to a file, which is whole afterwards whenever the process ends, but for the last line.

    Args:
        file (`Path`): JSON lines; made if it is not there.
        rows (`Iterable[dict]`): The lines.
    """
    with file.open("a", encoding="utf-8") as stream:
        stream.write("".join(json.dumps(row) + "\n" for row in rows))


def read_lines(file: Path, *, may_end_early: bool = False) -> list[dict[str, Any]]:
    """Reads predictions.

    Args:
        file (`Path`): JSON lines with at least `benchmark`, `sample_id` and `prediction`.
        may_end_early (`bool`, *optional*, defaults to `False`): A last line that a crash has cut is left out.

    Returns:
        `list[dict]`

    Raises:
        ValueError: A line that is no prediction; the message has file and line.
        OSError: There is no such file, or it is a folder.
    """
    try:
        *lines, last = file.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{file}: no such file of predictions. Correct the path.") from error
    except IsADirectoryError as error:
        raise IsADirectoryError(f"{file}: a folder, not a file of predictions. Name the file in it.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text in UTF-8 ({error}): write it as UTF-8.") from error
    if last.strip() and not may_end_early:
        lines.append(last)  # a file of others may lack the last line's end
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            wrong = [name for name in REQUIRED if not isinstance(row[name], str)]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{file}, line {number} is no prediction ({error!r}): a line is a JSON object with "
                f"{', '.join(REQUIRED)}."
            ) from error
        if wrong:
            raise ValueError(f"{file}, line {number}: {wrong[0]}={row[wrong[0]]!r} must be text.")
        rows.append(row)
    return rows


def read_predictions(file: Path, benchmarks: Sequence[str]) -> Predictions:
    """Reads predictions that are to be scored.

    Args:
        file (`Path`): JSON lines.
        benchmarks (`Sequence[str]`): Those that are scored; lines of others are an error.

    Returns:
        `dict`: Prediction by benchmark and sample id.

    Raises:
        ValueError: A line that is no prediction, a sample twice, or a benchmark that is not scored.
        OSError: There is no such file.
    """
    found: Predictions = {}
    for row in read_lines(file):
        key = row["benchmark"], row["sample_id"]
        if row["benchmark"] not in benchmarks:
            raise ValueError(
                f"{file} holds predictions for {row['benchmark']!r}: add it to --benchmark, or take its lines out."
            )
        if key in found:
            raise ValueError(
                f"{file} holds {row['sample_id']!r} of {row['benchmark']} more than once: keep one line of it."
            )
        found[key] = row["prediction"]
    return found


def _differences(before: Any, now: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """Places where two JSON values differ, the deepest that both have."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = [*before, *(key for key in now if key not in before)]
        return [
            found
            for key in names
            for found in _differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if before == now else [(name, before, now)]
