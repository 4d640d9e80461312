"""What papers report on the benchmarks, to stand beside our figures. Their evaluators are those of the protocol that is named."""

from collections.abc import Mapping
from typing import NamedTuple


VIDEO_3D_LLM = "Video-3D LLM (CVPR 2025), main table"
VIDEO_3D_LLM_RUN = "issue 31 of Video-3D LLM: its official weights, scored by a user"
THREE_DRS = "3DRS, table of results in its repository"
THREE_D_IDE = "3D-IDE (arXiv 2604.03296)"
# That paper's ablation begins with this row on ScanRefer; that its other numbers stand in the same row is inferred.
THREE_D_IDE_BASELINE = "3D-IDE (arXiv 2604.03296), baseline; row inferred"
VID_LLM = "Vid-LLM (arXiv 2509.24385), whose protocol is not stated"

NOT_STATED = "evaluator not known to us"


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


def _vsi_bench(source: str, values: Mapping[str, float], protocol: str = "peer") -> list[PaperFigure]:
    """What one source reports on VSI-Bench, by model. Means over questions instead of tasks (Spatial-MLLM) are none of these."""
    return [PaperFigure("vsi_bench", f"overall, {protocol}", model, value, source) for model, value in values.items()]


PAPER_FIGURES: tuple[PaperFigure, ...] = (
    *_rows("3D-IDE", THREE_D_IDE, cider=102.1, scanqa=29.8, sqa3d=59.2),
    *_rows("Vid-LLM", VID_LLM, cider=101.9, scanqa=27.6, sqa3d=57.3),
    *_rows("Video-3D LLM", VIDEO_3D_LLM, cider=102.1, scanqa=30.1, sqa3d=58.6),
    *_rows("Video-3D LLM, rerun", VIDEO_3D_LLM_RUN, cider=102.0, scanqa=30.2, sqa3d=55.5),
    *_rows("Video-3D LLM without 3D input", THREE_D_IDE_BASELINE, cider=None, scanqa=29.5, sqa3d=58.6),
    *_rows("3DRS", THREE_DRS, cider=104.8, scanqa=30.3, sqa3d=60.6),
    *_rows("3DRS on LLaVA-OneVision", THREE_DRS, cider=104.0, scanqa=29.5, sqa3d=59.4),
    *_rows("its base, LLaVA-OneVision", THREE_DRS, cider=101.7, scanqa=29.0, sqa3d=57.4),
    *_rows("3DRS on Qwen2-VL", THREE_DRS, cider=99.2, scanqa=28.9, sqa3d=60.0),
    *_rows("its base, Qwen2-VL", THREE_DRS, cider=97.5, scanqa=28.7, sqa3d=58.6),
    *_vsi_bench("official evaluator, in EASI's docs/Benchmark_Verification.md", {"Qwen2.5-VL-7B": 33.5}),
    *_vsi_bench("lmms-eval, in EASI's docs/Benchmark_Verification.md", {"Qwen2.5-VL-7B": 38.67}, "lmms_eval"),
    *_vsi_bench(
        "issue 2028 of Qwen3-VL: lmms-eval, by a user", {"Qwen3-VL-2B": 51.0, "Qwen3-VL-4B": 54.7}, "lmms_eval"
    ),
    *_vsi_bench(f"Qwen3-VL's report, {NOT_STATED}", {"Qwen3-VL-2B": 53.9, "Qwen3-VL-4B": 58.4}),
    *_vsi_bench(f"EASI, issue 20: 32 frames, {NOT_STATED}", {"SenseNova-SI": 55.7, "Cambrian-S": 63.0}),
    *_vsi_bench(
        f"GeoVR-MLLM (arXiv 2606.05833): 128 frames, {NOT_STATED}",
        {"GeoVR-MLLM 2B": 69.1, "GeoVR-MLLM 4B": 69.6, "its base, 2B": 50.3},
    ),
    *_vsi_bench(f"Cambrian-P (arXiv 2605.22819): 128 frames, {NOT_STATED}", {"Cambrian-P 7B": 73.7}),
    *_vsi_bench(f"GeoThinker (arXiv 2602.06037), {NOT_STATED}", {"GeoThinker": 72.6}),
    *_vsi_bench(f"SSR (arXiv 2603.00409), {NOT_STATED}", {"SSR": 73.9}),
    *_vsi_bench(f"SenseNova-SI, {NOT_STATED}", {"SenseNova-SI 1.2 8B": 69.6}),
    *_vsi_bench(f"VST (arXiv 2511.05491), {NOT_STATED}", {"VST": 61.2}),
    *_vsi_bench(f"VLM-3R, {NOT_STATED}", {"VLM-3R": 60.9}),
    *_vsi_bench("issue 43 of VLM-3R: its released weights, scored by a user", {"VLM-3R, rerun": 52.5}),
)
