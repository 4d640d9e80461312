"""What papers report on the benchmarks, to stand beside our figures; their evaluators are the named protocol's."""

from collections.abc import Mapping
from typing import NamedTuple


VIDEO_3D_LLM = "Video-3D LLM (CVPR 2025), main table"
VIDEO_3D_LLM_RUN = "issue 31 of Video-3D LLM: its official weights, scored by a user"
THREE_DRS = "3DRS, table of results in its repository"
THREE_D_IDE = "3D-IDE (arXiv 2604.03296)"
# That paper's ablation begins with this row on ScanRefer; that its other numbers stand in the same row is inferred.
THREE_D_IDE_BASELINE = "3D-IDE (arXiv 2604.03296), baseline; row inferred"
VID_LLM = "Vid-LLM (arXiv 2509.24385), whose protocol is not stated"
VG_LLM = "VG-LLM, README of its repository"
TRUE_GEOMETRY = "depth+pose"
NOT_STATED = "not stated"
EVALUATOR_UNKNOWN = "evaluator not known to us"
UNSTATED_THRESHOLD = "accuracy, IoU threshold not stated in the paper"

PAPERS_GROUND_WITH = (
    "The papers' own evaluations (Video-3D LLM, 3DRS and the released code of 3D-IDE) pool object features with the "
    "true depth and pose of every frame (depth+pose) and choose among Mask3D's proposals of the reconstructed mesh "
    "(detected)."
)


class PaperFigure(NamedTuple):
    """One number of a paper.

    Args:
        benchmark (`str`): As on the command line.
        figure (`str`): Name of our figure that is measured alike; or `UNSTATED_THRESHOLD`, which none of ours is.
        method (`str`): The model.
        value (`float`): The number, in the unit of our figure.
        source (`str`): Where it stands.
        geometry_inputs (`str`): What of the scene's true geometry went into the model beside RGB: `none`, `pose`,
            `depth+pose`, or `not stated`.
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


def _vsi_bench(source: str, values: Mapping[str, float], protocol: str = "peer") -> list[PaperFigure]:
    """What one source reports on VSI-Bench, by model; no means over questions instead of tasks (Spatial-MLLM)."""
    return [
        PaperFigure("vsi_bench", f"overall, {protocol}", model, value, source, "none")
        for model, value in values.items()
    ]


def _grounding(
    method: str, source: str, inputs: str, scanrefer: tuple[float, float], multi3drefer: tuple[float, float]
) -> list[PaperFigure]:
    """A paper's row of the table: accuracy on ScanRefer and F1 on Multi3DRefer, at IoU .25 and .5."""
    return [
        PaperFigure(benchmark, f"{figure}_{threshold}, peer", method, value, source, inputs)
        for benchmark, figure, values in (("scanrefer", "accuracy", scanrefer), ("multi3drefer", "f1", multi3drefer))
        for threshold, value in zip(("25", "50"), values, strict=True)
    ]


PAPER_FIGURES: tuple[PaperFigure, ...] = (
    *_rows("3D-IDE", THREE_D_IDE, "none", _answers(29.8, 59.2, cider=102.1)),
    *_rows("Vid-LLM", VID_LLM, "none", _answers(27.6, 57.3, cider=101.9)),
    *_rows("Video-3D LLM", VIDEO_3D_LLM, TRUE_GEOMETRY, _answers(30.1, 58.6, cider=102.1)),
    *_rows("Video-3D LLM, rerun", VIDEO_3D_LLM_RUN, TRUE_GEOMETRY, _answers(30.2, 55.5, cider=102.0)),
    *_rows("Video-3D LLM without 3D input", THREE_D_IDE_BASELINE, "none", _answers(29.5, 58.6)),
    *_rows("3DRS", THREE_DRS, TRUE_GEOMETRY, _answers(30.3, 60.6, cider=104.8)),
    *_rows("3DRS on LLaVA-OneVision", THREE_DRS, TRUE_GEOMETRY, _answers(29.5, 59.4, cider=104.0)),
    *_rows("its base, LLaVA-OneVision", THREE_DRS, TRUE_GEOMETRY, _answers(29.0, 57.4, cider=101.7)),
    *_rows("3DRS on Qwen2-VL", THREE_DRS, TRUE_GEOMETRY, _answers(28.9, 60.0, cider=99.2)),
    *_rows("its base, Qwen2-VL", THREE_DRS, TRUE_GEOMETRY, _answers(28.7, 58.6, cider=97.5)),
    *_grounding("3D-IDE", THREE_D_IDE, TRUE_GEOMETRY, (60.9, 54.5), (59.8, 54.9)),
    *_grounding("Video-3D LLM", VIDEO_3D_LLM, TRUE_GEOMETRY, (58.1, 51.7), (58.0, 52.7)),
    *_grounding("Video-3D LLM, rerun", VIDEO_3D_LLM_RUN, TRUE_GEOMETRY, (58.1, 51.7), (57.4, 52.1)),
    *_grounding("Video-3D LLM without 3D input", THREE_D_IDE_BASELINE, NOT_STATED, (53.7, 47.8), (46.0, 42.4)),
    *_grounding("3DRS", THREE_DRS, TRUE_GEOMETRY, (62.9, 56.1), (60.4, 54.9)),
    *_grounding("3DRS on LLaVA-OneVision", THREE_DRS, TRUE_GEOMETRY, (61.8, 55.0), (60.5, 55.0)),
    *_grounding("its base, LLaVA-OneVision", THREE_DRS, TRUE_GEOMETRY, (57.3, 51.0), (57.1, 51.9)),
    *_rows("Vid-LLM", VID_LLM, NOT_STATED, {"scanrefer": {UNSTATED_THRESHOLD: 55.8}}),
    # The authors' code of captioning pools features with true depth and poses (their repository, `llava_arch.py`).
    *_rows("3D-IDE", THREE_D_IDE, TRUE_GEOMETRY, _captions(79.0, 40.7)),
    *_rows("Vid-LLM", VID_LLM, NOT_STATED, _captions(80.6)),
    *_rows("Video-3D LLM", VIDEO_3D_LLM, TRUE_GEOMETRY, _captions(83.8, 41.3)),
    *_rows("Video-3D LLM, rerun", VIDEO_3D_LLM_RUN, TRUE_GEOMETRY, _captions(83.9, 41.2)),
    *_rows("3DRS", THREE_DRS, TRUE_GEOMETRY, _captions(86.1, 41.6)),
    *_rows("3DRS on LLaVA-OneVision", THREE_DRS, TRUE_GEOMETRY, _captions(83.1, 41.2)),
    *_rows("its base, LLaVA-OneVision", THREE_DRS, TRUE_GEOMETRY, _captions(81.7, 40.4)),
    *_rows("3DRS on Qwen2-VL", THREE_DRS, TRUE_GEOMETRY, _captions(81.6, 40.9)),
    *_rows("its base, Qwen2-VL", THREE_DRS, TRUE_GEOMETRY, _captions(79.4, 39.5)),
    # Boxes as text without proposals; other numbers of this model refine proposals.
    *_rows("VG-LLM", VG_LLM, "none", {"scanrefer_boxes": {"accuracy_25, standard": 34.1}}),
    *_vsi_bench("official evaluator, in EASI's docs/Benchmark_Verification.md", {"Qwen2.5-VL-7B": 33.5}),
    *_vsi_bench("lmms-eval, in EASI's docs/Benchmark_Verification.md", {"Qwen2.5-VL-7B": 38.67}, "lmms_eval"),
    *_vsi_bench(
        "issue 2028 of Qwen3-VL: lmms-eval, by a user", {"Qwen3-VL-2B": 51.0, "Qwen3-VL-4B": 54.7}, "lmms_eval"
    ),
    *_vsi_bench(f"Qwen3-VL's report, {EVALUATOR_UNKNOWN}", {"Qwen3-VL-2B": 53.9, "Qwen3-VL-4B": 58.4}),
    *_vsi_bench(f"EASI, issue 20: 32 frames, {EVALUATOR_UNKNOWN}", {"SenseNova-SI": 55.7, "Cambrian-S": 63.0}),
    *_vsi_bench(
        f"GeoVR-MLLM (arXiv 2606.05833): 128 frames, {EVALUATOR_UNKNOWN}",
        {"GeoVR-MLLM 2B": 69.1, "GeoVR-MLLM 4B": 69.6, "its base, 2B": 50.3},
    ),
    *_vsi_bench(f"Cambrian-P (arXiv 2605.22819): 128 frames, {EVALUATOR_UNKNOWN}", {"Cambrian-P 7B": 73.7}),
    *_vsi_bench(f"GeoThinker (arXiv 2602.06037), {EVALUATOR_UNKNOWN}", {"GeoThinker": 72.6}),
    *_vsi_bench(f"SSR (arXiv 2603.00409), {EVALUATOR_UNKNOWN}", {"SSR": 73.9}),
    *_vsi_bench(f"SenseNova-SI, {EVALUATOR_UNKNOWN}", {"SenseNova-SI 1.2 8B": 69.6}),
    *_vsi_bench(f"VST (arXiv 2511.05491), {EVALUATOR_UNKNOWN}", {"VST": 61.2}),
    *_vsi_bench(f"VLM-3R, {EVALUATOR_UNKNOWN}", {"VLM-3R": 60.9}),
    *_vsi_bench("issue 43 of VLM-3R: its released weights, scored by a user", {"VLM-3R, rerun": 52.5}),
)
