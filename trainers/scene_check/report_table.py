"""The reports of `igep check` as text."""

from collections.abc import Sequence

import numpy as np

from igep.trainers.scene_check.check_scenes import SceneReport


COLUMNS = ("scene", "frames", "error near", "error far", "own poses", "colour", "verdict")
EXPLANATION = (
    "error: relative error of depth carried into the next frame, and into frames farther away; own poses: what would "
    "be left if each pair of frames had the best pose of its own; colour: correlation of colours at common points"
)


def format_reports(reports: Sequence[SceneReport]) -> str:
    """The reports as a table, and below it a line for every scene that is not ok.

    Args:
        reports (`Sequence[SceneReport]`): The reports.

    Returns:
        `str`: Text of several lines.
    """
    lines = [COLUMNS, *(_cells(report) for report in reports)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    notes = [f"{report.scene_id}: {report.verdict}: {report.reason}" for report in reports if report.reason]
    return "\n".join([*table, EXPLANATION, *notes])


def _cells(report: SceneReport) -> tuple[str, ...]:
    errors = (report.near_error, report.far_error, report.reachable_error)
    return (
        report.scene_id,
        str(report.num_frames or "-"),
        *(f"{error:.2%}" if np.isfinite(error) else "-" for error in errors),
        f"{report.colour_agreement:.2f}" if np.isfinite(report.colour_agreement) else "-",
        report.verdict,
    )
