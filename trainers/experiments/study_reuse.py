"""Runs that another study has done already: taken where they are the same, with where they come from."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from igep.trainers.experiments.study_runs import SCORES, STATED, Run


SOURCE = "reused_from.json"


def take_finished(runs: Sequence[Run], studies: Sequence[Path], title: str) -> None:
    """Copies the scores of runs of other studies into those that are the same and not finished, and says how many are.

    Two runs are the same where recipe and scoring agree, option by option. What igep itself was at the time is not
    compared.

    Args:
        runs (`Sequence[Run]`): The runs, prepared.
        studies (`Sequence[Path]`): Folders of other studies.
        title (`str`): What the runs are called.

    Raises:
        ValueError: A folder has no run.
    """
    found = {}
    wanted = {_key(run.identity): run.identity for run in runs}
    for study in studies:
        stated = {file: json.loads(file.read_text(encoding="utf-8")) for file in sorted(study.rglob(STATED))}
        if not stated:
            raise ValueError(f"--reuse {study}: there is no run in it. Give the --output of another study.")
        finished = {
            _key(identity): file.parent
            for file, identity in reversed(stated.items())
            if (file.parent / SCORES).is_file()
        }
        same = len(wanted.keys() & finished.keys())
        why = "" if same else f"; the nearest differs in {_least_difference(wanted.values(), stated.values())}"
        tqdm.write(f"{title}: {same} of {len(wanted)} are finished in {study}{why}", sys.stderr)
        found = finished | found
    for run in runs:
        source = found.get(_key(run.identity))
        if source is None or run.scores() is not None:
            continue
        origin = reused_from(source) or str(source.resolve())
        (run.folder / SOURCE).write_text(json.dumps({"run": origin}) + "\n", encoding="utf-8")
        part = run.folder / f"{SCORES}.part"
        part.write_bytes((source / SCORES).read_bytes())
        os.replace(part, run.folder / SCORES)


def reused_from(folder: Path) -> str | None:
    """The folder of the run whose scores a run has.

    Args:
        folder (`Path`): Folder of a run.

    Returns:
        `str` or `None`: `None` where they are its own.
    """
    file = folder / SOURCE
    return json.loads(file.read_text(encoding="utf-8"))["run"] if file.is_file() else None


def _key(identity: dict) -> str:
    return json.dumps(identity, sort_keys=True)


def _least_difference(wanted: Iterable[dict], stated: Iterable[dict]) -> str:
    """What tells the two most alike of some runs apart, in words."""
    differences = (
        [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
        for one in map(_flat, wanted)
        for other in map(_flat, stated)
    )
    return ", ".join(min(differences, key=len)) or "nothing: it is not finished"


def _flat(identity: dict) -> dict:
    return {name: value for name, value in identity.items() if name != "recipe"} | identity["recipe"]
