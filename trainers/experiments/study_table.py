"""What an ablation found: means and spread over seeds, differences to the first arm within seeds; table and figure."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure as Picture

from igep.trainers.cards.markdown import in_markdown, markdown_table


matplotlib.use("Agg", force=True)

FIGURES_A_ROW = 4  # of a table, and of panels


@dataclass(frozen=True)
class Cell:
    """One figure of one arm.

    Args:
        values (`tuple[float, ...]`): One per seed; empty where a seed is missing.
        missing (`tuple[int, ...]`): Seeds without a score. Where there is one, nothing is averaged.
        mean (`float`, *optional*): Over the seeds.
        spread (`float`, *optional*): Standard deviation over the seeds (n - 1); `None` of one seed.
        difference (`float`, *optional*): Mean over seeds of the difference to the first arm; `None` of the first arm
            itself, and where either misses a seed.
        standard_error (`float`, *optional*): Of that difference, paired by seed; `None` of one seed.
    """

    values: tuple[float, ...] = ()
    missing: tuple[int, ...] = ()
    mean: float | None = None
    spread: float | None = None
    difference: float | None = None
    standard_error: float | None = None


def study_cells(found: Mapping[str, Mapping[int, float | None]]) -> dict[str, Cell]:
    """Sums up one figure.

    Args:
        found (`Mapping`): Arm to seed to value, `None` where it is missing. The first arm is what others are compared
            with; all have the same seeds.

    Returns:
        `dict[str, Cell]`: One per arm.
    """
    cells: dict[str, Cell] = {}
    reference: tuple[float, ...] | None = None
    for number, (arm, by_seed) in enumerate(found.items()):
        missing = tuple(seed for seed, value in by_seed.items() if value is None)
        if missing:
            cells[arm] = Cell(missing=missing)
            continue
        values = tuple(by_seed.values())
        difference = error = None
        if number == 0:
            reference = values
        elif reference is not None:
            apart = [mine - first for mine, first in zip(values, reference, strict=True)]
            difference = statistics.fmean(apart)
            error = statistics.stdev(apart) / math.sqrt(len(apart)) if len(apart) > 1 else None
        cells[arm] = Cell(
            values=values,
            mean=statistics.fmean(values),
            spread=statistics.stdev(values) if len(values) > 1 else None,
            difference=difference,
            standard_error=error,
        )
    return cells


def study_table(cells: Mapping[str, Mapping[str, Cell]]) -> str:
    """The table of a study.

    Args:
        cells (`Mapping`): Title of a figure to arm to cell.

    Returns:
        `str`: Markdown; per figure the mean with its spread over seeds, and the paired difference to the first arm
        with its standard error.
    """
    arms = list(next(iter(cells.values())))
    head = ["", *(text for title in cells for text in (in_markdown(title), "to the first"))]
    rows = [
        [
            in_markdown(arm),
            *(text for by_arm in cells.values() for text in (_value(by_arm[arm]), _change(by_arm[arm]))),
        ]
        for arm in arms
    ]
    return markdown_table([head, *rows])


def study_tables(cells: Mapping[str, Mapping[str, Cell]]) -> str:
    """The tables of a study with many figures, of four each.

    Args:
        cells (`Mapping`): As for `study_table`.

    Returns:
        `str`: Markdown.
    """
    figures = list(cells.items())
    starts = range(0, len(figures), FIGURES_A_ROW)
    return "\n\n".join(study_table(dict(figures[start : start + FIGURES_A_ROW])) for start in starts)


def _value(cell: Cell) -> str:
    if cell.missing:
        return f"missing (seed {', '.join(map(str, cell.missing))})"
    return f"{cell.mean:.3f}" + ("" if cell.spread is None else f" ± {cell.spread:.3f}")


def _change(cell: Cell) -> str:
    if cell.difference is None:
        return ""
    return f"{cell.difference:+.3f}" + ("" if cell.standard_error is None else f" ± {cell.standard_error:.3f}")


def draw_study(path: Path, cells: Mapping[str, Mapping[str, Cell]], title: str) -> None:
    """Draws every seed of every arm as a point, and the mean as a line.

    Args:
        path (`Path`): PNG to write.
        cells (`Mapping`): As for `study_table`.
        title (`str`): Of the picture.
    """
    arms: Sequence[str] = list(next(iter(cells.values())))
    columns = min(len(cells), FIGURES_A_ROW)
    rows = math.ceil(len(cells) / columns)
    picture = Picture(figsize=(3.2 * columns + 1.6, (0.42 * len(arms) + 0.6) * rows + 0.5), layout="constrained")
    panels = iter(picture.subplots(rows, columns, squeeze=False).ravel())
    for (name, by_arm), panel in zip(cells.items(), panels, strict=False):
        for row, arm in enumerate(arms):
            cell = by_arm[arm]
            if cell.missing:
                panel.annotate("missing", (0.5, row), xycoords=("axes fraction", "data"), ha="center", va="center")
                continue
            panel.plot(cell.values, [row] * len(cell.values), "o", color="tab:blue", alpha=0.5)
            panel.plot([cell.mean] * 2, [row - 0.3, row + 0.3], color="black")
        panel.set_ylim(len(arms) - 0.5, -0.5)
        panel.set_yticks(range(len(arms)), arms if panel.get_subplotspec().is_first_col() else [""] * len(arms))
        panel.set_title(name, fontsize=9)
        panel.grid(axis="x", alpha=0.3)
    for panel in panels:  # what the last row has too many
        panel.remove()
    picture.suptitle(f"{title} (points: seeds, line: their mean)", fontsize=10)
    picture.savefig(path, dpi=110)
