"""Scores a saved model on held-out synthetic rooms from RGB alone, and probes its encoder for depth.

    python trainers/evaluation/room_evaluation.py --model outputs/quickstart/igep --output scores.json

The model runs the code that was saved beside it, as a stranger would run it. With `--checkpoint` (the trainer
checkpoint that keeps the training heads) a picture of the geometry is drawn as well; scores never use them.
"""

import argparse
import statistics
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from igep.processing_igep import IGEPProcessor
from igep.trainers.cards.results_file import BenchmarkResults, ModelResults, write_results
from igep.trainers.cards.saved_weights import parameters_on_disk, weights_sha256
from igep.trainers.data.rooms.room_questions import SPATIAL_QUESTION_TYPES
from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.evaluation.answering import AnsweringOptions, Sample, answer_samples
from igep.trainers.evaluation.depth_probe import DepthProbe, fit_depth_probe, score_depth_probe, token_depth
from igep.trainers.evaluation.geometry_picture import draw_geometry
from igep.trainers.evaluation.load_vlm import load_for_answers
from igep.trainers.loop.training_heads_file import load_heads
from igep.trainers.metrics.figure import R2, SHARE, Figure
from igep.trainers.supervision.geometry_losses import igep_objective


BENCHMARK = "rooms"
IMAGE_SIZE = 64
NUM_FRAMES = 2
BATCH = 64  # rooms that are encoded together
ANSWER_TOKENS = 8
PROBE_FIT_SEED = 777_001  # rooms nobody trains or tests on
HELD_OUT_SEED = 777_002


def held_out_rooms(num_rooms: int, questions_per_room: int, seed: int = HELD_OUT_SEED) -> list[SpatialExample]:
    """Rooms with all their questions in one conversation each."""
    scenes, questions = synthetic_rooms(
        num_rooms, seed=seed, num_frames=NUM_FRAMES, image_size=IMAGE_SIZE, questions_per_room=questions_per_room
    )
    size = (IMAGE_SIZE, IMAGE_SIZE)
    rows = SpatialDataset(
        scenes, questions, num_frames=NUM_FRAMES, geometry_size=size, questions_per_row=questions_per_room
    )
    return [rows[index] for index in range(len(rows))]


@torch.inference_mode()
def encoder_tokens(model: PreTrainedModel, processor: IGEPProcessor, rooms: list[SpatialExample]) -> np.ndarray:
    """(rooms * frames, h, w, C) tokens of the saved model's last vision layer."""
    parts = []
    for start in tqdm(range(0, len(rooms), BATCH), desc="encoding rooms", unit="batch"):
        frames = [list(room.frames) for room in rooms[start : start + BATCH]]
        inputs = processor.video_processor(frames, return_tensors="pt")
        parts.append(model.encode_frames(**inputs)[-1].float().numpy())
    return np.concatenate(parts)


def answer_all(model: PreTrainedModel, processor: IGEPProcessor, rooms: list[SpatialExample]) -> list[dict]:
    """Greedy answers to every question, each asked on its own."""
    samples = (Sample(room.scene_id, room.frames, [question for question, _ in room.conversation]) for room in rooms)
    options = AnsweringOptions(max_new_tokens=ANSWER_TOKENS)
    answered = answer_samples(model, processor, samples, options, progress="answering", total=len(rooms))
    return [
        {
            "scene_id": room.scene_id,
            "question_type": kind,
            "question": question,
            "answer": truth,
            "prediction": text,
        }
        for room, (_, texts) in zip(rooms, answered, strict=True)
        for (question, truth), kind, text in zip(room.conversation, room.question_types, texts, strict=True)
    ]


def exact_match(answers: list[dict]) -> dict[str, float]:
    """Share of predictions equal to the answer, per question type and as the mean over types."""
    hits = defaultdict(list)
    for row in answers:
        hits[row["question_type"]].append(row["prediction"] == row["answer"])
    scores = {kind: statistics.fmean(hits[kind]) for kind in SPATIAL_QUESTION_TYPES if hits[kind]}
    return {**scores, "mean": statistics.fmean(scores.values())}


def seconds_per_answer(
    model: PreTrainedModel, processor: IGEPProcessor, rooms: list[SpatialExample], repeats: int = 20
) -> float:
    """Median time from frames and a question to the decoded answer, one at a time."""
    times = []
    for room in rooms[: repeats + 1]:
        start = time.perf_counter()
        sample = Sample(room.scene_id, room.frames, [room.conversation[0][0]])
        next(answer_samples(model, processor, [sample], AnsweringOptions(max_new_tokens=ANSWER_TOKENS)))
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])  # the first call also pays for lazy initialisation


def room_figures(answers: list[dict], probe_scores: dict[str, float], num_tokens: int) -> dict[str, Figure]:
    """States what the scores of the rooms are.

    Args:
        answers (`list[dict]`): One row per question, as `answer_all` returns them.
        probe_scores (`dict[str, float]`): `r2` and `delta_1` of the depth probe.
        num_tokens (`int`): Tokens with known depth, which the probe was scored on.

    Returns:
        `dict[str, Figure]`: `exact match, <question type>`, `exact match, mean`, `depth probe, r2` and `depth probe, delta_1`.
    """
    asked = Counter(row["question_type"] for row in answers)
    matches = {
        f"exact match, {kind}": Figure(share, asked.get(kind, len(answers)), SHARE)
        for kind, share in exact_match(answers).items()
    }
    scales = {"r2": R2, "delta_1": SHARE}
    probed = {f"depth probe, {name}": Figure(probe_scores[name], num_tokens, scales[name]) for name in scales}
    return matches | probed


def protocol(num_rooms: int, num_questions: int) -> dict[str, str]:
    """How the scores were measured, for whoever reads them on a card; see `BenchmarkResults`."""
    return {
        "dataset": "synthetic_rooms",
        "dataset_name": "Synthetic rooms",
        "split": f"held out: {num_rooms} rooms of seed {HELD_OUT_SEED}",
        "inputs": f"{NUM_FRAMES} RGB frames of {IMAGE_SIZE} x {IMAGE_SIZE} pixels per question, and nothing else",
        "questions": f"{num_questions} questions, each asked alone; greedy decoding, at most {ANSWER_TOKENS} tokens",
        "metrics": "exact match: share of answers equal to the reference text, per question type and as their mean. "
        "depth probe: a ridge regression from the saved encoder's tokens to the depth beneath them, fitted on other rooms",
    }


def _stack_depth(rooms: list[SpatialExample]) -> np.ndarray:
    return np.concatenate([room.depth_metres for room in rooms])


def evaluate(
    directory: Path,
    num_rooms: int,
    questions_per_room: int,
    checkpoint: Path | None = None,
    picture: Path | None = None,
) -> tuple[ModelResults, list[dict]]:
    """All scores of one saved model.

    Args:
        directory (`Path`): Saved model.
        num_rooms (`int`): Held-out rooms; as many again are used to fit the probe.
        questions_per_room (`int`): Questions per held-out room.
        checkpoint (`Path`, *optional*): Trainer checkpoint with the training heads, for the picture.
        picture (`Path`, *optional*): PNG to draw, needs `checkpoint`.

    Returns:
        `tuple[ModelResults, list[dict]]`: Scores, and one row per question.
    """
    weights = weights_sha256(directory)  # now: the folder may be trained on while its rooms are answered
    model, processor = load_for_answers(directory, "cpu")
    rooms = held_out_rooms(num_rooms, questions_per_room)
    answers = answer_all(model, processor, rooms)

    fit_rooms = held_out_rooms(num_rooms, 1, seed=PROBE_FIT_SEED)
    fit_tokens = encoder_tokens(model, processor, fit_rooms)
    tokens = encoder_tokens(model, processor, rooms)
    grid, width = tokens.shape[1:3], tokens.shape[-1]
    probe = fit_depth_probe(fit_tokens.reshape(-1, width), token_depth(_stack_depth(fit_rooms), grid).reshape(-1))
    truth = token_depth(_stack_depth(rooms), grid).reshape(-1)
    probe_scores = score_depth_probe(probe, tokens.reshape(-1, width), truth)
    benchmark = BenchmarkResults(
        protocol(num_rooms, len(answers)),
        room_figures(answers, probe_scores, num_tokens=int(np.isfinite(truth).sum())),
        {"rooms": num_rooms, "questions": len(answers)},
    )
    facts = {
        "seconds_per_answer": seconds_per_answer(model, processor, rooms),
        "parameters_on_disk": parameters_on_disk(directory),
    }
    results = ModelResults(directory.resolve().name, weights, {BENCHMARK: benchmark}, facts)
    if picture is not None:
        _draw(picture, model, processor, rooms[:4], tokens, probe, checkpoint)
    return results, answers


@torch.inference_mode()
def _draw(
    picture: Path,
    model: PreTrainedModel,
    processor: IGEPProcessor,
    rooms: list[SpatialExample],
    tokens: np.ndarray,
    probe: DepthProbe,
    checkpoint: Path,
) -> None:
    model.add_training_heads(igep_objective)
    load_heads(model.training_heads, checkpoint)
    depth = np.stack([room.depth_metres for room in rooms])
    prompts = [processor.prompt_text([room.conversation[0][0]], NUM_FRAMES) for room in rooms]
    vision = processor.vision_inputs([list(room.frames) for room in rooms])
    inputs = processor(text=prompts, padding=True, return_tensors="pt", **vision)
    output = model(
        **inputs,
        depth_metres=torch.from_numpy(depth),
        frame_mask=torch.ones(depth.shape[:2], dtype=torch.bool),
    )
    frames = np.stack([np.asarray(room.frames[0]) for room in rooms])
    draw_geometry(
        picture,
        frames=frames,
        depth_metres=depth[:, 0],
        verifier_depth_metres=output.predicted_depth_metres[:, 0].numpy(),
        confidence=output.confidence[:, 0].numpy(),
        probe_depth_metres=probe.predict_metres(tokens[: len(rooms) * NUM_FRAMES : NUM_FRAMES]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--model", type=Path, required=True, help="saved model directory")
    parser.add_argument("--output", type=Path, required=True, help="JSON file for the scores")
    parser.add_argument("--rooms", type=int, default=512, help="held-out rooms")
    parser.add_argument("--questions_per_room", type=int, default=8, help="questions per held-out room")
    parser.add_argument(
        "--checkpoint", type=Path, help="trainer checkpoint that holds the training heads, to draw the picture"
    )
    parser.add_argument("--picture", type=Path, help="PNG to draw (needs --checkpoint)")
    options = parser.parse_args()
    if (options.picture is None) != (options.checkpoint is None):
        parser.error(
            "--picture and --checkpoint go together: the depth verifier lives in a checkpoint, not in the model"
        )
    results, answers = evaluate(
        options.model, options.rooms, options.questions_per_room, options.checkpoint, options.picture
    )
    write_results(options.output, results, answers)


if __name__ == "__main__":
    main()
