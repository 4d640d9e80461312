"""Scores a saved model on VLM3's tasks: questions written from posed RGB-D scenes, answered from RGB.

    python trainers/evaluation/vlm3_evaluation.py --model your/checkpoint --tasks depth pose --dataset scannet --dataset_path scans
        --max_rows 500 --output scores.json
    python trainers/evaluation/vlm3_evaluation.py --config trainers/recipes/vlm3_rooms.yaml --model outputs/vlm3_rooms/depth
        --room_seed 7 --output scores.json

The model is any that `AutoModelForImageTextToText` loads. With `--config`, scenes and questions are those of a recipe of
`sft.py`, but for what flags say. What neither says about images and text pixels is taken from the model's own
`training_run.json`. All questions about a set of images are answered from one encoding of it (see
`question_packing`). Beside the scores, `*_predictions.jsonl` holds every question and answer.
"""

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset, Subset
from tqdm import tqdm
from transformers import PreTrainedModel
from transformers.utils import cached_file

from igep.configuration_igep import IGEPConfig
from igep.processing_igep import IGEPProcessor
from igep.question_packing import answer_questions
from igep.trainers.cards.markdown import markdown_table
from igep.trainers.cards.run_data import named_dataset
from igep.trainers.cards.saved_weights import weights_sha256
from igep.trainers.commands.ask import load_answering
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.training_rows import SceneTableCache, load_rows
from igep.trainers.evaluation.vlm3_evaluation_options import EvaluationOptions, parse
from igep.trainers.metrics.camera_pose import CameraPose
from igep.trainers.metrics.metric_depth import MetricDepth
from igep.trainers.metrics.object_relations import ObjectRelations
from igep.trainers.metrics.pixel_correspondence import PixelCorrespondence


GEOMETRY_SIZE = (32, 32)  # of the depth maps that rows carry for the losses; nothing here reads them


def load_for_answers(model: str | Path, device: str | None = None) -> tuple[PreTrainedModel, IGEPProcessor]:
    """Loads a saved model of any kind.

    Args:
        model (`str` or `Path`): Folder or Hub id of an IGEP model or a plain VLM. Code that it brings along is run.
        device (`str`, *optional*): Torch device; by default `cuda` where there is one, else `cpu`.

    Returns:
        The VLM in eval mode, without its IGEP wrapper, and its processor.
    """
    loaded, processor = load_answering(model, device)
    vlm = loaded.vlm if loaded.config.model_type == IGEPConfig.model_type else loaded
    vlm.generation_config = loaded.generation_config
    return vlm, processor


def answer_example(
    vlm: PreTrainedModel,
    processor: IGEPProcessor,
    example: SpatialExample,
    *,
    max_new_tokens: int = 64,
    frames_as: str = "images",
) -> list[str]:
    """Answers all questions of an example, each as if it were asked alone.

    Args:
        vlm (`PreTrainedModel`): The VLM in eval mode.
        processor (`IGEPProcessor`): Its processor.
        example (`SpatialExample`): Frames and turns; the turns' answers are not shown to the model.
        max_new_tokens (`int`, *optional*, defaults to `64`): Longest answer.
        frames_as (`str`, *optional*, defaults to `"images"`): `"images"` or `"video"`.

    Returns:
        `list[str]`: One answer per turn.
    """
    questions = [question for question, _ in example.conversation]
    prefix, token_ids = processor.packed_question_inputs(list(example.frames), questions, frames_as=frames_as)
    ends = vlm.generation_config.eos_token_id
    answers = answer_questions(
        vlm,
        dict(prefix.to(vlm.device, dtype=vlm.dtype)),
        token_ids,
        max_new_tokens=max_new_tokens,
        eos_token_ids=ends if isinstance(ends, list) else [ends],
    )
    return [text.strip() for text in processor.batch_decode(answers, skip_special_tokens=True)]


def answer_rows(
    vlm: PreTrainedModel,
    processor: IGEPProcessor,
    rows: Sequence[SpatialExample],
    *,
    max_new_tokens: int = 64,
    frames_as: str = "images",
    title: str = "answering",
) -> list[dict]:
    """Answers all questions of many examples, with a progress bar.

    Args:
        vlm (`PreTrainedModel`): The VLM in eval mode.
        processor (`IGEPProcessor`): Its processor.
        rows (`Sequence[SpatialExample]`): Examples with references; a dataset is read row by row.
        max_new_tokens (`int`, *optional*, defaults to `64`): Longest answer.
        frames_as (`str`, *optional*, defaults to `"images"`): `"images"` or `"video"`.
        title (`str`, *optional*): Name of the progress bar.

    Returns:
        `list[dict]`: One per question: `sample_id`, `question_type`, `question`, `answer`, `reference`, `prediction`.
    """
    answered = []
    for number in tqdm(range(len(rows)), desc=title, unit="image set"):
        example = rows[number]
        texts = answer_example(vlm, processor, example, max_new_tokens=max_new_tokens, frames_as=frames_as)
        turns = zip(example.question_types, example.conversation, example.references, texts, strict=True)
        answered += [
            {
                "sample_id": example.sample_id,
                "question_type": kind,
                "question": question,
                "answer": answer,
                "reference": reference,
                "prediction": text,
            }
            for kind, (question, answer), reference, text in turns
        ]
    return answered


def task_rows(options: EvaluationOptions, task: str, tables: SceneTableCache) -> Dataset:
    """The rows of a task that are scored: those that the options hold out, or all where they hold none out.

    Args:
        options (`EvaluationOptions`): Scenes and questions.
        task (`str`): The task.
        tables (`SceneTableCache`): Keeps the scenes for the next task.

    Returns:
        `torch.utils.data.Dataset`: At most `max_rows` rows.
    """
    rows, held_out = load_rows(options.rows_of(task), GEOMETRY_SIZE, options.question_seed, tables)
    rows = rows if held_out is None else held_out
    if options.max_rows is None or options.max_rows >= len(rows):
        return rows
    return Subset(rows, [number * len(rows) // options.max_rows for number in range(options.max_rows)])


def evaluate(options: EvaluationOptions) -> tuple[dict, list[dict]]:
    """Answers and scores all tasks.

    Args:
        options (`EvaluationOptions`): Model, tasks, scenes.

    Returns:
        `tuple[dict, list[dict]]`: The scores per task with what was evaluated, and one row per question.

    Raises:
        ValueError: An option is out of range, or the processor would resize unified images.
        SpatialDataError: The scenes break their format.
        OSError: No model there.
    """
    vlm, processor = load_for_answers(options.model, options.device)
    weights = weights_sha256(Path(cached_file(options.model, "config.json")).parent)  # of a Hub id, where it is cached
    tables = SceneTableCache()
    scores, predictions = {}, []
    for task in options.tasks:
        rows = task_rows(options, task, tables)
        if options.focal_pixels is not None:
            for frame in rows[0].frames:
                processor.check_unified_size((frame.height, frame.width))
        begin = time.perf_counter()
        answered = answer_rows(
            vlm,
            processor,
            rows,
            max_new_tokens=options.max_new_tokens,
            frames_as=options.frames_as,
            title=f"answering {task}",
        )
        seconds = time.perf_counter() - begin
        scores[task] = {
            "image_sets": len(rows),
            "answers_per_second": round(len(answered) / seconds, 1),
            **score_task(task, answered, options.rows_of(task).steps),
        }
        predictions += answered
    results = {
        "model": options.model,
        "weights_sha256": weights,
        "protocol": protocol(options, len(predictions)),
        "scores": scores,
    }
    return results, predictions


def protocol(options: EvaluationOptions, num_questions: int) -> dict[str, str]:
    """How the scores were measured, for whoever reads them on a card.

    Args:
        options (`EvaluationOptions`): What was evaluated.
        num_questions (`int`): Questions answered.

    Returns:
        `dict[str, str]`: `dataset`, `dataset_name`, `split`, `inputs`, `questions` and `metrics`.
    """
    named = named_dataset({"dataset": options.dataset, "dataset_path": options.dataset_path})
    source = f"rooms of seed {options.room_seed}" if options.dataset == "synthetic_rooms" else "as given"
    unified = (
        "as they are" if options.focal_pixels is None else f"at a focal length of {options.focal_pixels:g} pixels"
    )
    return {
        "dataset": named["name"] if named["on_hub"] else named["kind"],
        "dataset_name": options.dataset.replace("_", " ") + ("" if named["name"] is None else f": {named['name']}"),
        "split": source,
        "inputs": f"RGB images {unified}",
        "questions": f"{num_questions} questions of VLM3's tasks; greedy decoding, at most {options.max_new_tokens} tokens",
        "metrics": "as defined in igep's trainers/metrics; an answer that cannot be read is wrong, and counted as unparsed",
    }


def score_task(task: str, answered: Sequence[dict], steps: int = 1000) -> dict[str, float]:
    """The scores of one task's answers, as its metric defines them.

    Args:
        task (`str`): `depth`, `correspondence`, `pose` or `objects`.
        answered (`Sequence[dict]`): What `answer_rows` returned for it.
        steps (`int`, *optional*, defaults to `1000`): `correspondence`: N of the text pixels.

    Returns:
        `dict[str, float]`
    """
    predictions = [row["prediction"] for row in answered]
    references = [row["reference"] for row in answered]
    if task == "depth":
        return MetricDepth().compute(predictions=predictions, references=references)
    if task == "correspondence":
        return PixelCorrespondence().compute(predictions=predictions, references=references, steps=steps)
    if task == "pose":
        references = [
            {
                "pair": row["sample_id"],
                "kind": row["question_type"],
                "value": row["reference"] if isinstance(row["reference"], list) else [row["reference"]],
            }
            for row in answered
        ]
        return CameraPose().compute(predictions=predictions, references=references)
    references = [{"family": row["question_type"], **row["reference"]} for row in answered]
    return ObjectRelations().compute(predictions=predictions, references=references)


def as_table(scores: dict[str, dict[str, float]]) -> str:
    """The scores of all tasks as a Markdown table, one figure per line."""
    rows = [["task", "figure", "value"]]
    for task, figures in scores.items():
        rows += [
            [task, name, f"{value:.4f}" if isinstance(value, float) else f"{value}"] for name, value in figures.items()
        ]
    return markdown_table(rows)


def write_results(output: Path, results: dict, predictions: Sequence[dict]) -> Path:
    """Writes the scores, and the predictions beside them.

    Args:
        output (`Path`): JSON file.
        results (`dict`): The scores.
        predictions (`Sequence[dict]`): One row per question.

    Returns:
        `Path`: The file of predictions.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(_without_nan(results), indent=2, allow_nan=False) + "\n")
    lines = output.with_name(output.stem + "_predictions.jsonl")
    lines.write_text("".join(json.dumps(row) + "\n" for row in predictions))
    return lines


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: what nothing was measured for becomes null."""
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        options = parse(arguments)
        results, predictions = evaluate(options)
    except (ValueError, OSError) as error:
        sys.exit(f"vlm3_evaluation.py: error: {error}")
    lines = write_results(Path(options.output), results, predictions)
    print(as_table(results["scores"]))
    print(f"Wrote {options.output} and {lines}")


if __name__ == "__main__":
    main()
