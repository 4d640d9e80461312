"""The runs of an ablation: each trained and scored in its own processes, some at a time, finished ones never again."""

import fcntl
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


STATED, SCORES = "run.json", "scores.json"


@dataclass(frozen=True)
class Run:
    """One training of an arm, and its score.

    Args:
        arm (`Arm`): The arm.
        folder (`Path`): Where everything of the run lies.
        recipe (`dict`): The whole recipe of `sft.py`, without `output_dir`.
        score (`list[str]`): Flags of what scores it, `score.py`.
        pretrain (`dict`, *optional*): The whole recipe of the run that trains its heads first.
        base (`Path`, *optional*): Folder of the base, in place of the recipe's; its name stands for it.
    """

    arm: Arm
    folder: Path
    recipe: dict[str, Any]
    score: list[str]
    pretrain: dict[str, Any] | None = None
    base: Path | None = None

    @property
    def log(self) -> Path:
        """Where its processes write."""
        return self.folder / "log.txt"

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this run, as JSON has it."""
        further = {} if self.pretrain is None else {"pretrain": self.pretrain}
        further |= {} if self.base is None else {"base": self.base.name}
        return json.loads(json.dumps({"recipe": self.recipe, "score": self.score} | further))

    @property
    def trainings(self) -> dict[str, tuple[dict[str, Any], list[str]]]:
        """Recipe and flags of each training, in order, by the name of its output folder."""
        base = [] if self.base is None else ["--model_name_or_path", str(self.base)]
        if self.pretrain is None:
            return {"model": (self.recipe, base)}
        heads = ["--heads_from_folder", str(self.folder / "pretrained")]
        return {"pretrained": (self.pretrain, base), "model": (self.recipe, [*base, *heads])}

    def command(self, name: str) -> list[str]:
        """Flags of `sft.py` for one of its trainings."""
        _, flags = self.trainings[name]
        return ["--config", str(self._recipe_file(name)), "--output_dir", str(self.folder / name), *flags]

    def write_recipes(self) -> None:
        """Writes the recipes of its trainings into its folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, (recipe, _) in self.trainings.items():
            self._recipe_file(name).write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")

    def check_folder(self) -> None:
        """Raises ValueError where its folder holds another run."""
        stated = self.folder / STATED
        if stated.is_file() and json.loads(stated.read_text(encoding="utf-8")) != self.identity:
            raise ValueError(
                f"{self.folder} holds a run with other options: delete it, or give the study another --output."
            )

    @property
    def score_command(self) -> list[str]:
        """What scores its model: a script of this package, and its flags."""
        output = ["--model", str(self.folder / "model"), "--output", str(self.folder / SCORES)]
        return ["trainers/score.py", *output, *self.score]

    def scores(self) -> dict[str, Any] | None:
        """What it reached, `None` where it is not finished."""
        path = self.folder / SCORES
        return json.loads(path.read_text(encoding="utf-8"))["benchmarks"] if path.is_file() else None

    def _recipe_file(self, name: str) -> Path:
        return self.folder / ("recipe.yaml" if name == "model" else f"{name}.yaml")


def make_run(
    plan: StudyPlan, arm: Arm, folder: Path, *, room_split: str, base: Path | None = None, **options: Any
) -> Run:
    """A run of a plan.

    Args:
        plan (`StudyPlan`): Says how it is scored.
        arm (`Arm`): The arm.
        folder (`Path`): Where everything of the run will lie.
        room_split (`str`): Rooms that it is scored on, see `StudyPlan`.
        base (`Path`, *optional*): Folder of the base, in place of the recipe's.
        options: What this run sets, its seed among them.

    Returns:
        `Run`
    """
    score = ["--benchmark", *plan.benchmarks, "--held_out_rooms", str(plan.held_out_rooms)]
    score += ["--room_split", room_split, "--device", "cpu"]
    recipe = arm.run_recipe(**options)
    return Run(arm, folder, recipe, score, None if arm.pretrain is None else {**recipe, **arm.pretrain}, base)


def prepare(runs: Iterable[Run]) -> None:
    """Writes the recipe of every run, and lets `sft.py` look at it, before the first one starts and any is stated.

    Args:
        runs (`Iterable[Run]`): The runs.

    Raises:
        ValueError: A value is bad, or a folder holds another run.
        OSError: A folder cannot be written.
    """
    runs = list(runs)
    for run in runs:
        run.check_folder()
        run.write_recipes()
        for name in run.trainings:
            try:
                sft.parse(run.command(name))
            except SystemExit as error:
                raise ValueError(f"arm {run.arm.name!r}: {error}") from error
    for run in runs:
        (run.folder / STATED).write_text(json.dumps(run.identity, indent=2) + "\n", encoding="utf-8")


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
    """Whether all its processes did what they should."""
    with run.log.open("a", encoding="utf-8") as log:
        try:  # held by its processes as well, which outlive this one where it alone is ended
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.write(
                "This run is under way in processes of an earlier call: it is left to them. Give the command again "
                "later.\n"
            )
            return False
        commands = [command for name in run.trainings for command in _training(run, name)]
        for command in (*commands, run.score_command):
            log.write(f"$ {' '.join(command)}\n")
            log.flush()
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            script, *flags = command  # started where the user is: paths in a study are his
            process = subprocess.run(
                [sys.executable, str(PACKAGE / script), *flags], env=environment, stdout=log, stderr=log, check=False
            )
            if process.returncode != 0:
                return False
    return True


def _training(run: Run, name: str) -> list[list[str]]:
    """The command of a training, if it is not at its end."""
    folder = run.folder / name
    if (folder / "training_run.json").is_file():
        return []
    resume = ["--resume_from_checkpoint", "last"] if _has_checkpoint(folder) else []
    return [["trainers/sft.py", *run.command(name), *resume]]


def _has_checkpoint(model: Path) -> bool:
    try:
        last_complete_checkpoint(model)
    except FileNotFoundError:
        return False
    return True


def _tail(log: Path, lines: int = 8) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
