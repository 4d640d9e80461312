"""What papers report on the benchmarks, to stand beside our figures. Their evaluators are those of the protocol that is named."""

from typing import NamedTuple


VIDEO_3D_LLM = "Video-3D LLM (CVPR 2025), main table"
VIDEO_3D_LLM_RUN = "issue 31 of Video-3D LLM: its official weights, scored by a user"
THREE_DRS = "3DRS, table of results in its repository"
THREE_D_IDE = "3D-IDE (arXiv 2604.03296)"
VID_LLM = "Vid-LLM (arXiv 2509.24385), whose protocol is not stated"

PAPERS_GROUND_WITH = (
    "The papers' own evaluations (Video-3D LLM, 3DRS and the released code of 3D-IDE) pool object features with the true depth "
    "and pose of every frame (depth+pose) and choose among Mask3D's proposals of the reconstructed mesh (detected)."
)


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


def _grounding(
    method: str, source: str, scanrefer: tuple[float, float], multi3drefer: tuple[float, float]
) -> list[PaperFigure]:
    """A paper's row of the table: accuracy on ScanRefer and F1 on Multi3DRefer, at IoU .25 and .5."""
    return [
        PaperFigure(benchmark, f"{figure}_{threshold}, peer", method, value, source)
        for benchmark, figure, values in (("scanrefer", "accuracy", scanrefer), ("multi3drefer", "f1", multi3drefer))
        for threshold, value in zip(("25", "50"), values, strict=True)
    ]


PAPER_FIGURES: tuple[PaperFigure, ...] = (
    *_rows("3D-IDE", THREE_D_IDE, cider=102.1, scanqa=29.8, sqa3d=59.2),
    *_rows("Vid-LLM", VID_LLM, cider=101.9, scanqa=27.6, sqa3d=57.3),
    *_rows("Video-3D LLM", VIDEO_3D_LLM, cider=102.1, scanqa=30.1, sqa3d=58.6),
    *_rows("Video-3D LLM, rerun", VIDEO_3D_LLM_RUN, cider=102.0, scanqa=30.2, sqa3d=55.5),
    *_rows("Video-3D LLM without 3D input", THREE_D_IDE, cider=None, scanqa=29.5, sqa3d=58.6),
    *_rows("3DRS", THREE_DRS, cider=104.8, scanqa=30.3, sqa3d=60.6),
    *_rows("3DRS on LLaVA-OneVision", THREE_DRS, cider=104.0, scanqa=29.5, sqa3d=59.4),
    *_rows("its base, LLaVA-OneVision", THREE_DRS, cider=101.7, scanqa=29.0, sqa3d=57.4),
    *_grounding("3D-IDE", THREE_D_IDE, (60.9, 54.5), (59.8, 54.9)),
    *_grounding("Video-3D LLM", VIDEO_3D_LLM, (58.1, 51.7), (58.0, 52.7)),
    *_grounding("Video-3D LLM, rerun", VIDEO_3D_LLM_RUN, (58.1, 51.7), (57.4, 52.1)),
    *_grounding("Video-3D LLM without 3D input", THREE_D_IDE, (53.7, 47.8), (46.0, 42.4)),
    *_grounding("3DRS", THREE_DRS, (62.9, 56.1), (60.4, 54.9)),
    *_grounding("3DRS on LLaVA-OneVision", THREE_DRS, (61.8, 55.0), (60.5, 55.0)),
    *_grounding("its base, LLaVA-OneVision", THREE_DRS, (57.3, 51.0), (57.1, 51.9)),
)
