"""What a vision encoder knows of depth, probed linearly on synthetic rooms; with a picture where heads are at hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from igep.configuration_igep import IGEPConfig
from igep.configuration_vid_llm import VidLLMConfig
from igep.processing_igep import IGEPProcessor
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.evaluation.benchmarks.benchmark import ModelMeasurement
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.rooms import FIT_SEED, INPUTS, NUM_FRAMES, held_out_rooms, rooms_of, split_of
from igep.trainers.evaluation.depth_probe import (
    DepthProbe,
    depth_by_place,
    fit_depth_probe,
    score_depth,
    score_relative_depth,
    token_depth,
)
from igep.trainers.evaluation.geometry_picture import draw_geometry
from igep.trainers.loop.training_heads_file import HEADS_FILE, load_heads
from igep.trainers.metrics.figure import R2, SHARE, WITHOUT_LOOKING, Figure
from igep.trainers.supervision.geometry_losses import igep_objective


BATCH = 64  # rooms that are encoded together
PICTURED_ROOMS = 4
FIGURES = ("R2 of log depth", "delta_1", "R2 within a frame", "order of two points")


class RoomDepthProbe(ModelMeasurement):
    """Ridge regression from the saved encoder's tokens to the depth beneath, fitted and scored on different rooms."""

    name = "depth_probe"

    def check(self, settings: dict[str, Any], options: BenchmarkOptions) -> None:
        if settings.get("model_type") != IGEPConfig.model_type:
            reconstructs = settings.get("model_type") == VidLLMConfig.model_type
            kind = "a Vid-LLM, whose depth `reconstruction` scores" if reconstructs else "a plain VLM"
            raise ValueError(f"depth_probe reads the encoder that `igep sft` trained, and this is {kind}.")
        if options.checkpoint is not None and not (Path(options.checkpoint) / HEADS_FILE).is_file():
            raise FileNotFoundError(
                f"checkpoint={options.checkpoint!r} holds no {HEADS_FILE}: give a folder checkpoint-N of the training "
                "run."
            )

    def measure(
        self, model: PreTrainedModel, processor: IGEPProcessor, options: BenchmarkOptions
    ) -> tuple[dict[str, Figure], dict[str, Any]]:
        rooms = rooms_of(options)
        fit_rooms = held_out_rooms(options.held_out_rooms, seed=FIT_SEED)
        fit_tokens = encoder_tokens(model, processor, fit_rooms)
        tokens = encoder_tokens(model, processor, rooms)
        grid, width = tokens.shape[1:3], tokens.shape[-1]
        fit_truth, truth = (token_depth(_depth(some), grid) for some in (fit_rooms, rooms))
        probe = fit_depth_probe(fit_tokens.reshape(-1, width), fit_truth.reshape(-1))
        if options.picture is not None:
            _draw(Path(options.picture), model, processor, rooms, tokens, probe, Path(options.checkpoint))
        by_place = _figures(np.broadcast_to(depth_by_place(fit_truth), truth.shape), truth)
        facts = {
            "rooms": len(rooms),
            "fitted_rooms": len(fit_rooms),
            WITHOUT_LOOKING: {name: figure.value for name, figure in by_place.items()},
        }
        return _figures(probe.predict_metres(tokens.astype(np.float64)), truth), facts

    def protocol(self, options: BenchmarkOptions) -> dict[str, str]:
        return {
            "dataset": "synthetic_rooms",
            "dataset_name": "Synthetic rooms",
            "split": split_of(options, options.held_out_rooms),
            "inputs": INPUTS,
            "questions": "none: the encoder is probed",
            "metrics": "depth probe: a ridge regression from the saved encoder's tokens to the depth beneath them, "
            "fitted on other rooms",
            "geometry_inputs": "none",
        }


@torch.inference_mode()
def encoder_tokens(model: PreTrainedModel, processor: IGEPProcessor, rooms: Sequence[SpatialExample]) -> np.ndarray:
    """The tokens of a saved model's last vision layer.

    Args:
        model (`PreTrainedModel`): An IGEP model.
        processor (`IGEPProcessor`): Its processor.
        rooms (`Sequence[SpatialExample]`): Of `NUM_FRAMES` frames each.

    Returns:
        `np.ndarray`: (rooms * frames, h, w, C).
    """
    parts = []
    for start in tqdm(range(0, len(rooms), BATCH), desc="encoding rooms", unit="batch"):
        frames = [list(room.frames) for room in rooms[start : start + BATCH]]
        inputs = processor.video_processor(frames, return_tensors="pt").to(model.device, dtype=model.dtype)
        parts.append(model.encode_frames(**inputs)[-1].float().cpu().numpy())
    return np.concatenate(parts)


def _figures(predicted_metres: np.ndarray, truth_metres: np.ndarray) -> dict[str, Figure]:
    scores, relative = (score(predicted_metres, truth_metres) for score in (score_depth, score_relative_depth))
    num_tokens = int(np.isfinite(truth_metres).sum())
    found = (
        Figure(scores["r2"], num_tokens, R2),
        Figure(scores["delta_1"], num_tokens, SHARE),
        Figure(relative["within_frame_r2"], num_tokens, R2),
        Figure(relative["order"], relative["pairs"], SHARE),
    )
    return dict(zip(FIGURES, found, strict=True))


def _depth(rooms: Sequence[SpatialExample]) -> np.ndarray:
    return np.concatenate([room.depth_metres for room in rooms])


@torch.inference_mode()
def _draw(
    picture: Path,
    model: PreTrainedModel,
    processor: IGEPProcessor,
    rooms: Sequence[SpatialExample],
    tokens: np.ndarray,
    probe: DepthProbe,
    checkpoint: Path,
) -> None:
    """The scores are done: the heads that the model gets here, for the verifier's columns, change none of them."""
    rooms = rooms[:PICTURED_ROOMS]
    model.add_training_heads(igep_objective)
    load_heads(model.training_heads, checkpoint)
    depth = np.stack([room.depth_metres for room in rooms])
    prompts = [processor.prompt_text([room.conversation[0][0]], NUM_FRAMES) for room in rooms]
    vision = processor.vision_inputs([list(room.frames) for room in rooms])
    inputs = processor(text=prompts, padding=True, return_tensors="pt", **vision).to(model.device)
    output = model(
        **inputs,
        depth_metres=torch.from_numpy(depth).to(model.device),
        frame_mask=torch.ones(depth.shape[:2], dtype=torch.bool, device=model.device),
    )
    draw_geometry(
        picture,
        frames=np.stack([np.asarray(room.frames[0]) for room in rooms]),
        depth_metres=depth[:, 0],
        verifier_depth_metres=output.predicted_depth_metres[:, 0].cpu().numpy(),
        confidence=output.confidence[:, 0].cpu().numpy(),
        probe_depth_metres=probe.predict_metres(tokens[: len(rooms) * NUM_FRAMES : NUM_FRAMES]),
    )
