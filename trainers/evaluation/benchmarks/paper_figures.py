"""What papers report on the benchmarks, to stand beside our figures. Their evaluators are those of the protocol that is named."""

from typing import NamedTuple


VIDEO_3D_LLM = "Video-3D LLM (CVPR 2025), main table"
VIDEO_3D_LLM_RUN = "issue 31 of Video-3D LLM: its official weights, scored by a user"
THREE_DRS = "3DRS, table of results in its repository"
THREE_D_IDE = "3D-IDE (arXiv 2604.03296)"
VID_LLM = "Vid-LLM (arXiv 2509.24385), whose protocol is not stated"


class PaperFigure(NamedTuple):
    """One number of a paper.

    Args:
        benchmark (`str`): As on the command line.
        figure (`str`): Name of our figure that is measured alike.
        method (`str`): The model.
        value (`float`): The number, in the unit of our figure.
        source (`str`): Where it stands.
    """

    benchmark: str
    figure: str
    method: str
    value: float
    source: str


def _rows(method: str, source: str, *, cider: float | None, scanqa: float, sqa3d: float) -> list[PaperFigure]:
    """A paper's row of the table: CIDEr and exact match on ScanQA, exact match on SQA3D."""
    found = [
        PaperFigure("scanqa", "cider, peer", method, cider or 0.0, source),
        PaperFigure("scanqa", "exact_match, peer", method, scanqa, source),
        PaperFigure("sqa3d", "exact_match, peer", method, sqa3d, source),
    ]
    return found if cider is not None else found[1:]


PAPER_FIGURES: tuple[PaperFigure, ...] = (
    *_rows("3D-IDE", THREE_D_IDE, cider=102.1, scanqa=29.8, sqa3d=59.2),
    *_rows("Vid-LLM", VID_LLM, cider=101.9, scanqa=27.6, sqa3d=57.3),
    *_rows("Video-3D LLM", VIDEO_3D_LLM, cider=102.1, scanqa=30.1, sqa3d=58.6),
    *_rows("Video-3D LLM, rerun", VIDEO_3D_LLM_RUN, cider=102.0, scanqa=30.2, sqa3d=55.5),
    *_rows("Video-3D LLM without 3D input", THREE_D_IDE, cider=None, scanqa=29.5, sqa3d=58.6),
    *_rows("3DRS", THREE_DRS, cider=104.8, scanqa=30.3, sqa3d=60.6),
    *_rows("3DRS on LLaVA-OneVision", THREE_DRS, cider=104.0, scanqa=29.5, sqa3d=59.4),
    *_rows("its base, LLaVA-OneVision", THREE_DRS, cider=101.7, scanqa=29.0, sqa3d=57.4),
)
