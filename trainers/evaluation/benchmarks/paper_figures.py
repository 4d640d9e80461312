"""What papers report on the benchmarks, to stand beside our figures. Their evaluators are those of the protocol that is named."""

from collections.abc import Mapping
from typing import NamedTuple


VIDEO_3D_LLM = "Video-3D LLM (CVPR 2025), main table"
VIDEO_3D_LLM_RUN = "issue 31 of Video-3D LLM: its official weights, scored by a user"
THREE_DRS = "3DRS, table of results in its repository"
THREE_D_IDE = "3D-IDE (arXiv 2604.03296)"
VID_LLM = "Vid-LLM (arXiv 2509.24385), whose protocol is not stated"
VG_LLM = "VG-LLM, README of its repository"
TRUE_GEOMETRY = "depth+pose"
NOT_STATED = "not stated"


class PaperFigure(NamedTuple):
    """One number of a paper.

    Args:
        benchmark (`str`): As on the command line.
        figure (`str`): Name of our figure that is measured alike.
        method (`str`): The model.
        value (`float`): The number, in the unit of our figure.
        source (`str`): Where it stands.
        geometry_inputs (`str`): What of the scene's true geometry went into the model beside RGB: `none`, `pose`, `depth+pose`, or
            `not stated`.
    """

    benchmark: str
    figure: str
    method: str
    value: float
    source: str
    geometry_inputs: str


def _rows(method: str, source: str, inputs: str, figures: Mapping[str, Mapping[str, float]]) -> list[PaperFigure]:
    """What one source reports of one model: values by benchmark and figure."""
    return [
        PaperFigure(benchmark, figure, method, value, source, inputs)
        for benchmark, values in figures.items()
        for figure, value in values.items()
    ]


def _answers(scanqa: float, sqa3d: float, cider: float | None = None) -> dict[str, dict[str, float]]:
    """Exact match on ScanQA and SQA3D, and CIDEr on ScanQA."""
    words = {} if cider is None else {"cider, peer": cider}
    return {"scanqa": words | {"exact_match, peer": scanqa}, "sqa3d": {"exact_match, peer": sqa3d}}


def _captions(cider: float, bleu_4: float | None = None) -> dict[str, dict[str, float]]:
    """CIDEr and BLEU-4 on Scan2Cap at an IoU of .5."""
    words = {} if bleu_4 is None else {"bleu_4_50, peer": bleu_4}
    return {"scan2cap": {"cider_50, peer": cider} | words}


PAPER_FIGURES: tuple[PaperFigure, ...] = (
    *_rows("3D-IDE", THREE_D_IDE, "none", _answers(29.8, 59.2, cider=102.1)),
    *_rows("Vid-LLM", VID_LLM, "none", _answers(27.6, 57.3, cider=101.9)),
    *_rows("Video-3D LLM", VIDEO_3D_LLM, TRUE_GEOMETRY, _answers(30.1, 58.6, cider=102.1)),
    *_rows("Video-3D LLM, rerun", VIDEO_3D_LLM_RUN, TRUE_GEOMETRY, _answers(30.2, 55.5, cider=102.0)),
    *_rows("Video-3D LLM without 3D input", THREE_D_IDE, "none", _answers(29.5, 58.6)),
    *_rows("3DRS", THREE_DRS, TRUE_GEOMETRY, _answers(30.3, 60.6, cider=104.8)),
    *_rows("3DRS on LLaVA-OneVision", THREE_DRS, TRUE_GEOMETRY, _answers(29.5, 59.4, cider=104.0)),
    *_rows("its base, LLaVA-OneVision", THREE_DRS, TRUE_GEOMETRY, _answers(29.0, 57.4, cider=101.7)),
    # The authors' code of captioning pools features with true depth and poses (their repository, `llava_arch.py`).
    *_rows("3D-IDE", THREE_D_IDE, TRUE_GEOMETRY, _captions(79.0, 40.7)),
    *_rows("Vid-LLM", VID_LLM, NOT_STATED, _captions(80.6)),
    *_rows("Video-3D LLM", VIDEO_3D_LLM, TRUE_GEOMETRY, _captions(83.8, 41.3)),
    *_rows("Video-3D LLM, rerun", VIDEO_3D_LLM_RUN, TRUE_GEOMETRY, _captions(83.9, 41.2)),
    *_rows("3DRS", THREE_DRS, TRUE_GEOMETRY, _captions(86.1, 41.6)),
    *_rows("3DRS on LLaVA-OneVision", THREE_DRS, TRUE_GEOMETRY, _captions(83.1, 41.2)),
    *_rows("its base, LLaVA-OneVision", THREE_DRS, TRUE_GEOMETRY, _captions(81.7, 40.4)),
    # Boxes as text without proposals; other numbers of this model refine proposals.
    *_rows("VG-LLM", VG_LLM, "none", {"scanrefer_boxes": {"accuracy_25, standard": 34.1}}),
)
