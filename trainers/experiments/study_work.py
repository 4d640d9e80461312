"""What an ablation does with its runs, and what it reads of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from igep.trainers.cards.made_base import made_by
from igep.trainers.experiments.demo_rooms import write_base
from igep.trainers.experiments.study_plan import StudyPlan
from igep.trainers.experiments.study_reuse import take_finished
from igep.trainers.experiments.study_runs import Run, execute, prepare


def figure_of(run: Run, benchmark: str, figure: str) -> float | None:
    """A figure that a run reached.

    Args:
        run (`Run`): The run.
        benchmark (`str`): Its benchmark.
        figure (`str`): Its name.

    Returns:
        `float` or `None`: `None` where the run is not finished.

    Raises:
        ValueError: The benchmark has no such figure.
    """
    scores = run.scores()
    if scores is None:
        return None
    figures = scores[benchmark]["figures"]
    if figure not in figures:
        raise ValueError(f"{benchmark} has no figure {figure!r}: it has {', '.join(figures)}.")
    return figures[figure]["value"]


@dataclass(frozen=True)
class Work:
    """Where a study lies and how it is done.

    Args:
        output (`Path`): Folder of the study.
        jobs (`int`): Runs at a time; 0 = none is done, what is finished is read.
        reuse (`Sequence[Path]`, *optional*, defaults to `()`): Folders of other studies whose finished runs are taken.
    """

    output: Path
    jobs: int
    reuse: Sequence[Path] = ()

    def do(self, runs: Sequence[Run], title: str) -> list[Run]:
        """Does what is not finished.

        Args:
            runs (`Sequence[Run]`): The runs.
            title (`str`): Of the progress bar.

        Returns:
            `list[Run]`: Those that failed.
        """
        if self.jobs == 0:
            for run in runs:
                run.check_folder()
            return []
        prepare(runs)
        take_finished(runs, self.reuse, title)
        return execute(runs, self.jobs, title)

    def base(self, plan: StudyPlan) -> Path | None:
        """The folder of the base that a plan makes, which is made if it is not there."""
        if plan.base is None:
            return None
        folder = self.output / plan.base
        if self.jobs and made_by(str(folder)) is None:  # which is written last
            write_base(folder)
        return folder
