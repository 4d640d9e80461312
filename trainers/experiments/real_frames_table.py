"""Figures of `igep real-frames` from sums of its blocks: both arms, difference, what needs no training, intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Picture

from igep.trainers.cards.markdown import markdown_table
from igep.trainers.experiments.block_bootstrap import interval
from igep.trainers.experiments.real_frames_scores import HELD_OUT, OTHER


matplotlib.use("Agg", force=True)

BLIND, BASE = "blind_", "base_"


def share(sums: np.ndarray) -> np.ndarray:
    """(..., 2) right and asked -> (...) the share of the right ones."""
    return sums[..., 0] / sums[..., 1]


def explained(sums: np.ndarray) -> np.ndarray:
    """(..., 2) squared error and spread -> (...) R2."""
    return 1 - sums[..., 0] / sums[..., 1]


def explained_of_all(sums: np.ndarray) -> np.ndarray:
    """(..., 4) tokens, their sum, the sum of their squares and the squared error -> (...) R2 about the mean of all."""
    count, total, squares, error = np.moveaxis(sums, -1, 0)
    return 1 - error / (squares - total**2 / count)


FIGURES: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "which is closer, exact match": ("closer", share),
    "which is closer, names neither point": ("neither", share),
    "distance in steps, exact match": ("distance", share),
    "depth probe, R2 of log depth": ("absolute", explained_of_all),
    "depth probe, delta_1": ("delta_1", share),
    "depth probe, R2 within a frame": ("within_frame", explained),
    "depth probe, order of two points": ("order", share),
}
RELATIVE = ("closer", "neither", "within_frame", "order")  # what is asked of a scene that was not trained on


@dataclass(frozen=True)
class Line:
    """One figure on some blocks.

    Args:
        where (`str`): Which blocks.
        figure (`str`): Its name.
        blocks (`int`): How many.
        without_looking (`float`), before_training (`float`, *optional*): What knows the places alone reaches, and the
            encoder of the base; `None` where a base answers no questions.
        arms (`dict[str, tuple[float, tuple[float, float] | None]]`): Value and interval by arm.
        by_seed (`dict[str, list[float]]`): The value of each seed that was scored on such blocks, by arm.
        difference (`tuple[float, tuple[float, float] | None]`): Of the second arm to the first, paired over blocks.
    """

    where: str
    figure: str
    blocks: int
    without_looking: float
    before_training: float | None
    arms: dict[str, tuple[float, tuple[float, float] | None]]
    by_seed: dict[str, list[float]]
    difference: tuple[float, tuple[float, float] | None]


def lines_of(scores: Mapping[str, Mapping[int, dict[str, Any]]]) -> list[Line]:
    """All figures of a comparison.

    A block that several seeds were scored on is one block, its sums added up: seeds do not make it two.

    Args:
        scores (`Mapping`): Arm to seed to what `real_frames_scores` wrote; two arms, of the same seeds.

    Returns:
        `list[Line]`: Held-out blocks of the walk, the other scenes together, and each by itself.
    """
    first = next(iter(next(iter(scores.values())).values()))["blocks"]
    others = list(dict.fromkeys(block["scene"] for block in first if block["split"] == OTHER))
    places = [(HELD_OUT, lambda block: block["split"] == HELD_OUT, tuple(kind for kind, _ in FIGURES.values()))]
    if others:
        places.append((OTHER, lambda block: block["split"] == OTHER, RELATIVE))
    if len(others) > 1:
        places += [(name, lambda block, name=name: block["scene"] == name, RELATIVE) for name in others]
    return [
        line
        for where, chosen, kinds in places
        for title, (kind, figure) in FIGURES.items()
        if kind in kinds and (line := _line(where, title, kind, figure, scores, chosen)) is not None
    ]


def _line(
    where: str,
    title: str,
    kind: str,
    figure: Callable[[np.ndarray], np.ndarray],
    scores: Mapping[str, Mapping[int, dict[str, Any]]],
    chosen: Callable[[dict[str, Any]], bool],
) -> Line | None:
    by_arm: dict[str, np.ndarray] = {}
    by_seed: dict[str, list[float]] = {}
    for arm, seeds in scores.items():
        blocks = [[block for block in scored["blocks"] if chosen(block)] for scored in seeds.values()]
        by_arm[arm] = block_sums([block for of_seed in blocks for block in of_seed], kind)
        if not len(by_arm[arm]):
            return None
        of_seeds = [block_sums(of_seed, kind) for of_seed in blocks]
        by_seed[arm] = [float(figure(sums.sum(0))) for sums in of_seeds if len(sums)]
        flat = [block for of_seed in blocks for block in of_seed]
    plain, other = by_arm.values()
    base = block_sums(flat, BASE + kind)
    return Line(
        where=where,
        figure=title,
        blocks=len(plain),
        without_looking=float(figure(block_sums(flat, BLIND + kind).sum(0))),
        before_training=float(figure(base.sum(0))) if len(base) else None,
        arms={arm: (float(figure(sums.sum(0))), interval(figure, sums)) for arm, sums in by_arm.items()},
        by_seed=by_seed,
        difference=(float(figure(other.sum(0)) - figure(plain.sum(0))), interval(figure, other, plain)),
    )


def block_sums(blocks: Sequence[dict[str, Any]], kind: str) -> np.ndarray:
    """What each block adds, over all seeds that were scored on it.

    Args:
        blocks (`Sequence[dict]`): Blocks of all seeds.
        kind (`str`): Name of the sums; blocks without them are left out.

    Returns:
        `np.ndarray`: (N, K) float64.
    """
    sums: dict[tuple[str, int], np.ndarray] = {}
    for block in blocks:
        if kind in block["sums"]:
            name = block["scene"], block["block"]
            sums[name] = sums.get(name, 0) + np.array(block["sums"][kind], dtype=np.float64)
    return np.array(list(sums.values()))


def table(lines: Sequence[Line]) -> str:
    """The lines as a Markdown table."""
    arms = list(lines[0].arms)
    head = ["where", "figure", "blocks", "without looking", "before training", *arms, f"{arms[1]} - {arms[0]}"]
    rows = [
        [
            line.where,
            line.figure,
            str(line.blocks),
            f"{line.without_looking:.3f}",
            "-" if line.before_training is None else f"{line.before_training:.3f}",
            *(_text(*line.arms[arm]) for arm in arms),
            _text(*line.difference, sign="+"),
        ]
        for line in lines
    ]
    return markdown_table([head, *rows])


def _text(value: float, between: tuple[float, float] | None, sign: str = "") -> str:
    text = f"{value:{sign}.3f}"
    return text if between is None else f"{text} ({between[0]:{sign}.3f} to {between[1]:{sign}.3f})"


def draw(path: Path, lines: Sequence[Line], title: str) -> None:
    """Draws the difference of each figure with its interval, and of each seed as a point.

    Args:
        path (`Path`): PNG to write.
        lines (`Sequence[Line]`): The figures.
        title (`str`): Of the picture.
    """
    picture = Picture(figsize=(8, 0.36 * len(lines) + 1.2), layout="constrained")
    panel = picture.subplots()
    panel.axvline(0, color="gray", linewidth=0.8)
    for row, line in enumerate(lines):
        value, between = line.difference
        plain, other = line.by_seed.values()
        panel.plot(
            [b - a for a, b in zip(plain, other, strict=True)], [row] * len(plain), "o", color="tab:blue", alpha=0.4
        )
        panel.plot([value] * 2, [row - 0.3, row + 0.3], color="black")
        if between is not None:
            panel.plot(between, [row] * 2, color="black", linewidth=1)
    panel.set_yticks(range(len(lines)), [f"{line.where}: {line.figure}" for line in lines], fontsize=8)
    panel.set_ylim(len(lines) - 0.5, -0.5)
    arms = list(lines[0].arms)
    panel.set_xlabel(f"{arms[1]} minus {arms[0]}", fontsize=9)
    panel.grid(axis="x", alpha=0.3)
    picture.suptitle(title, fontsize=10)
    picture.savefig(path, dpi=110)
