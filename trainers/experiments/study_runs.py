"""The runs of an ablation: each trained and scored in processes of its own, some at a time, finished ones never again."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from igep.trainers import sft
from igep.trainers.experiments.study_plan import Arm, StudyPlan
from igep.trainers.loop.complete_checkpoint import last_complete_checkpoint
from igep.trainers.package_files import PACKAGE


@dataclass(frozen=True)
class Run:
    """One training of an arm, and its score.

    Args:
        arm (`Arm`): The arm.
        folder (`Path`): Where everything of the run lies.
        recipe (`dict`): The whole recipe of `sft.py`, without `output_dir`.
        score (`list[str]`): Flags of what scores it, `score.py`.
    """

    arm: Arm
    folder: Path
    recipe: dict[str, Any]
    score: list[str]

    @property
    def log(self) -> Path:
        """Where its processes write."""
        return self.folder / "log.txt"

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this run, as JSON has it."""
        return json.loads(json.dumps({"recipe": self.recipe, "score": self.score}))

    @property
    def score_command(self) -> list[str]:
        """What scores its model, as words after `python`."""
        output = ["--model", str(self.folder / "model"), "--output", str(self.folder / "scores.json")]
        return ["trainers/score.py", *output, *self.score]

    def scores(self) -> dict[str, Any] | None:
        """What it reached, `None` where it is not finished."""
        path = self.folder / "scores.json"
        return json.loads(path.read_text(encoding="utf-8"))["benchmarks"] if path.is_file() else None


def make_run(plan: StudyPlan, arm: Arm, folder: Path, *, validation: bool, **options: Any) -> Run:
    """A run of a plan.

    Args:
        plan (`StudyPlan`): Says how it is scored.
        arm (`Arm`): The arm.
        folder (`Path`): Where everything of the run will lie.
        validation (`bool`): It is scored on the rooms on which things are chosen, and not on those that are reported.
        options: What this run sets, its seed among them.

    Returns:
        `Run`
    """
    score = ["--benchmark", *plan.benchmarks, "--held_out_rooms", str(plan.held_out_rooms)]
    score += ["--room_split", "validation" if validation else "held_out", "--device", "cpu"]
    return Run(arm, folder, arm.run_recipe(**options), score)


def prepare(runs: Iterable[Run]) -> None:
    """Writes the recipe of every run, and lets `sft.py` look at it, before the first one starts.

    Args:
        runs (`Iterable[Run]`): The runs.

    Raises:
        ValueError: A value is bad, or a folder holds another run.
        OSError: A folder cannot be written.
    """
    for run in runs:
        stated = run.folder / "run.json"
        if stated.is_file() and json.loads(stated.read_text(encoding="utf-8")) != run.identity:
            raise ValueError(
                f"{run.folder} holds a run with other options: delete it, or give the study another --output."
            )
        run.folder.mkdir(parents=True, exist_ok=True)
        recipe = run.folder / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(run.recipe, sort_keys=False), encoding="utf-8")
        try:
            sft.parse(["--config", str(recipe), "--output_dir", str(run.folder / "model")])
        except SystemExit as error:
            raise ValueError(f"arm {run.arm.name!r}: {error}") from error
        stated.write_text(json.dumps(run.identity, indent=2) + "\n", encoding="utf-8")


def execute(runs: Sequence[Run], jobs: int, title: str) -> list[Run]:
    """Does the runs that are not finished, `jobs` at a time. One that fails ends no other.

    Args:
        runs (`Sequence[Run]`): The runs, prepared.
        jobs (`int`): How many at a time, each on one core.
        title (`str`): Of the progress bar.

    Returns:
        `list[Run]`: Those that failed.
    """
    todo = [run for run in runs if run.scores() is None]
    failed = []
    with (
        tqdm(total=len(runs), initial=len(runs) - len(todo), desc=title, unit="run") as bar,
        ThreadPoolExecutor(jobs) as pool,
    ):
        started = {pool.submit(_train_and_score, run): run for run in todo}
        try:
            for future in as_completed(started):
                run = started[future]
                if not future.result():
                    failed.append(run)
                    bar.write(f"failed: {run.arm.name}, {run.folder.name}; the end of {run.log}:\n{_tail(run.log)}")
                bar.update(1)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)  # the processes were interrupted with this one
            raise
    return failed


def _train_and_score(run: Run) -> bool:
    """Whether both processes did what they should."""
    model = run.folder / "model"
    train = ["trainers/sft.py", "--config", str(run.folder / "recipe.yaml"), "--output_dir", str(model)]
    if (model / "training_run.json").is_file():
        train = []  # it is trained, and was not scored yet
    elif _has_checkpoint(model):
        train += ["--resume_from_checkpoint", "last"]
    with run.log.open("a", encoding="utf-8") as log:
        for command in (train, run.score_command):
            if not command:
                continue
            log.write(f"$ {' '.join(command)}\n")
            log.flush()
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            process = subprocess.run(
                [sys.executable, *command], cwd=PACKAGE, env=environment, stdout=log, stderr=log, check=False
            )
            if process.returncode != 0:
                return False
    return True


def _has_checkpoint(model: Path) -> bool:
    try:
        last_complete_checkpoint(model)
    except FileNotFoundError:
        return False
    return True


def _tail(log: Path, lines: int = 8) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
