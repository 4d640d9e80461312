"""Scores a model of `igep real-frames` on held-out blocks of its walk and on other scenes, block by block.

    python -m igep.trainers.experiments.real_frames_scores \\
        --model DIR --base DIR --tables DIR --output FILE --scenes WALK ...

What is written are sums over each block, from which `real_frames` makes figures and resamples them.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from igep.processing_igep import IGEPProcessor
from igep.trainers.cards.results_file import write_whole
from igep.trainers.data.hub_tables import load_hub_tables
from igep.trainers.evaluation.answering import AnsweringOptions, Sample, answer_samples
from igep.trainers.evaluation.benchmarks.room_depth_probe import encoder_tokens
from igep.trainers.evaluation.depth_probe import (
    DepthProbe,
    fit_depth_probe,
    score_depth_probe,
    score_relative_depth,
    token_depth,
)
from igep.trainers.evaluation.load_vlm import load_for_answers, load_vlm
from igep.trainers.experiments.marked_points import CLOSER, DISTANCE
from igep.trainers.experiments.walk_blocks import WalkBlocks, even_blocks, neighbours, split_walk
from igep.trainers.experiments.walk_frames import WalkFrames


HELD_OUT, OTHER = "held out", "other scenes"
OTHER_BLOCK_FRAMES = 10
QUESTION_SEED = 777_007  # of the marks that are scored
QUESTIONS_PER_KIND = 4
MAX_NEW_TOKENS = 5
PENALTIES = (10.0, 100.0, 1e3, 1e4, 1e5)  # of the probe; the first is the usual one


def probe_sums(probe: DepthProbe, features: np.ndarray, depth_metres: np.ndarray) -> dict[str, list[float]]:
    """What a block adds to the figures of the depth probe.

    Args:
        probe (`DepthProbe`): Fitted on other frames.
        features (`np.ndarray`): (F, h, w, C).
        depth_metres (`np.ndarray`): (F, h, w); NaN is left out.

    Returns:
        `dict[str, list[float]]`: `absolute` (tokens, sum of log depth, sum of its square, squared error), `delta_1`
        (tokens within, tokens), `within_frame` (squared error and spread, each frame's mean taken out), `order` (pairs
        told, pairs). Empty where the block has no frame with two depths.
    """
    predicted = probe.predict_metres(features.astype(np.float64))
    try:
        relative = score_relative_depth(predicted, depth_metres)
    except ValueError:
        return {}
    known = np.isfinite(depth_metres)
    logs = np.log(depth_metres[known])
    absolute = score_depth_probe(probe, features[known], depth_metres[known])
    frames = [np.log(frame[np.isfinite(frame)]) for frame in depth_metres]
    spread = sum(float(((frame - frame.mean()) ** 2).sum()) for frame in frames if len(frame) >= 2)
    of_all = float(((logs - logs.mean()) ** 2).sum())
    return {
        "absolute": [len(logs), float(logs.sum()), float((logs**2).sum()), (1 - absolute["r2"]) * of_all],
        "delta_1": [absolute["delta_1"] * len(logs), len(logs)],
        "within_frame": [(1 - relative["within_frame_r2"]) * spread, spread],
        "order": [relative["order"] * relative["pairs"], relative["pairs"]],
    }


def fit_probe(features: np.ndarray, depth_metres: np.ndarray, frames: Sequence[int]) -> DepthProbe:
    """A depth probe whose penalty is chosen among `PENALTIES` on the frames that it is fitted on.

    Each stretch of them is predicted by a probe of the others: a hundred near-copies do not tell hundreds of weights
    apart, and what fits the neighbours best fits other blocks badly.

    Args:
        features (`np.ndarray`): (F, h, w, C).
        depth_metres (`np.ndarray`): (F, h, w); NaN is left out.
        frames (`Sequence[int]`): F numbers in the walk; where one is missing, another stretch begins.

    Returns:
        `DepthProbe`: Fitted on all frames.
    """
    stretch = np.cumsum(np.diff(frames, prepend=frames[0]) > 1)
    errors = dict.fromkeys(PENALTIES, 0.0)
    for number in np.unique(stretch):
        mine = stretch == number
        truth = depth_metres[mine]
        known = np.isfinite(truth)
        for penalty in PENALTIES if not mine.all() else ():
            probe = _fit(features[~mine], depth_metres[~mine], penalty)
            error = np.log(probe.predict_metres(features[mine][known].astype(np.float64)) / truth[known])
            errors[penalty] += float((error**2).sum())
    return _fit(features, depth_metres, min(errors, key=errors.__getitem__))


def _fit(features: np.ndarray, depth_metres: np.ndarray, penalty: float) -> DepthProbe:
    return fit_depth_probe(features.reshape(-1, features.shape[-1]), depth_metres.reshape(-1), penalty)


def places(shape: tuple[int, int, int]) -> np.ndarray:
    """Where each token is, up to the second power: all that a probe has to go by which sees no image.

    Args:
        shape (`tuple[int, int, int]`): Frames, rows and columns.

    Returns:
        `np.ndarray`: (F, h, w, 5).
    """
    row, column = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape[1:]), indexing="ij")
    features = np.stack([row, column, row**2, column**2, row * column], -1)
    return np.broadcast_to(features, (shape[0], *features.shape))


def question_sums(rows: Sequence[dict[str, Any]], commonest: str) -> dict[str, list[int]]:
    """What a block adds to the shares of right answers.

    Args:
        rows (`Sequence[dict]`): `kind`, `question`, `answer`, `guess` and `prediction` of each question.
        commonest (`str`): The distance that is answered most often in training.

    Returns:
        `dict[str, list[int]]`: Right answers and questions, by kind; `blind_` the same of answers without looking;
        under `neither`, answers that name none of the two points they were asked about, and questions.
    """
    sums = {}
    for kind in (CLOSER, DISTANCE):
        asked = [row for row in rows if row["kind"] == kind]
        blind = [row["guess"] if kind == CLOSER else commonest for row in asked]
        if asked:
            sums[kind] = [sum(row["prediction"] == row["answer"] for row in asked), len(asked)]
            right = sum(guess == row["answer"] for guess, row in zip(blind, asked, strict=True))
            sums[f"blind_{kind}"] = [right, len(asked)]
        if asked and kind == CLOSER:
            sums["neither"] = [sum(row["prediction"] not in _words(row["question"]) for row in asked), len(asked)]
            sums["blind_neither"] = [0, len(asked)]
    return sums


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def answers(
    model: PreTrainedModel,
    processor: IGEPProcessor,
    walk: WalkFrames,
    block: list[int],
    kinds: Sequence[str],
    draws: int,
) -> tuple[list[dict[str, Any]], int]:
    """Asks about every second pair of neighbours of a block.

    Args:
        model (`PreTrainedModel`), processor (`IGEPProcessor`): What is scored.
        walk (`WalkFrames`): The scene.
        block (`list[int]`): Frames.
        kinds (`Sequence[str]`): Kinds of questions.
        draws (`int`): Markings of each pair.

    Returns:
        `tuple[list[dict], int]`: A row for each question, and how many markings had nothing to ask.
    """
    clips, empty = walk.marked_clips(neighbours(block)[::2], draws, QUESTIONS_PER_KIND, QUESTION_SEED)
    asked = {clip.scene_id: [one for one in clip.questions if one.kind in kinds] for clip in clips}
    samples = [
        Sample(clip.scene_id, clip.frames, [one.question for one in asked[clip.scene_id]])
        for clip in clips
        if asked[clip.scene_id]
    ]
    options = AnsweringOptions(max_new_tokens=MAX_NEW_TOKENS)
    rows = []
    for sample, texts in answer_samples(model, processor, samples, options, progress=walk.name, total=len(samples)):
        rows += [
            {"clip": sample.sample_id, **vars(one), "prediction": text}
            for one, text in zip(asked[sample.sample_id], texts, strict=True)
        ]
    return rows, empty + len(clips) - len(samples)


def score(options: argparse.Namespace) -> dict[str, Any]:
    """Scores a model.

    Args:
        options (`argparse.Namespace`): As `write_scores` reads them.

    Returns:
        `dict`: `blocks`, each with `split`, `scene`, `block`, its sums by name, and those of the base before training
        and of the places alone; `questions`, each with its prediction; `markings_without_questions`.
    """
    model, processor = load_for_answers(options.model, "cpu")
    base = load_vlm(options.base, wrapped=True).eval()
    walks = [WalkFrames(folder, processor.video_processor.size["height"]) for folder in options.scenes]
    train, held_out = split_walk(len(walks[0]), WalkBlocks(**json.loads(options.blocks)), walks[0].name)
    _, questions = load_hub_tables(options.tables)
    counted = Counter(
        row["answers"][0]
        for row in questions.select_columns(["answers", "question_type"])
        if row["question_type"] == DISTANCE
    )
    commonest = counted.most_common(1)[0][0] if counted else ""

    eyes = {"": model, "base_": base}
    seen = _see(eyes, processor, walks[0], train)
    truth = seen.pop("truth")
    probes = {name: fit_probe(maps, truth, train) for name, maps in seen.items()}
    blocks, rows, empty = [], [], 0
    for number, walk in enumerate(walks):
        split, kinds = (OTHER, (CLOSER,)) if number else (HELD_OUT, (CLOSER, DISTANCE))
        for block in even_blocks(len(walk), OTHER_BLOCK_FRAMES) if number else held_out:
            seen = _see(eyes, processor, walk, block)
            truth = seen.pop("truth")
            sums = {
                f"{name}{figure}": values
                for name, maps in seen.items()
                for figure, values in probe_sums(probes[name], maps, truth).items()
            }
            asked, without = answers(model, processor, walk, block, kinds, options.test_draws)
            empty += without
            sums |= question_sums(asked, commonest)
            blocks.append({"split": split, "scene": walk.name, "block": block[0], "sums": sums})
            rows += [{"scene": walk.name, "block": block[0], **row} for row in asked]
    return {"blocks": blocks, "questions": rows, "markings_without_questions": empty}


def _see(
    eyes: dict[str, PreTrainedModel], processor: IGEPProcessor, walk: WalkFrames, frames: list[int]
) -> dict[str, np.ndarray]:
    """Tokens of some frames by each encoder, their places, and the true depth beneath them."""
    examples = [walk.example([frame]) for frame in frames]
    seen = {name: encoder_tokens(model, processor, examples) for name, model in eyes.items()}
    shape = seen[""].shape[:3]
    depth = np.concatenate([example.depth_metres for example in examples])
    return seen | {"blind_": places(shape), "truth": token_depth(depth, shape[1:])}


def write_scores(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="real_frames_scores.py", description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--model", required=True, help="trained model")
    parser.add_argument("--base", required=True, help="the base it was trained from")
    parser.add_argument("--tables", required=True, help="tables it was trained on")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--scenes", nargs="+", required=True, help="the walk it was trained on, and other scenes")
    parser.add_argument("--blocks", default="{}", help="fields of `WalkBlocks` as JSON")
    parser.add_argument("--test_draws", type=int, default=3, help="markings of each pair of frames")
    options = parser.parse_args(arguments)
    # Whole or not at all: that it is there says that the run is done.
    write_whole(options.output, json.dumps(score(options), indent=1) + "\n")


if __name__ == "__main__":
    write_scores()
