"""Scores a saved model on VLM3's tasks: questions written from posed RGB-D scenes, answered from RGB.

    python trainers/evaluation/vlm3_evaluation.py --model your/checkpoint --tasks depth pose --dataset scannet --dataset_path scans
        --max_rows 500 --output scores.json
    python trainers/evaluation/vlm3_evaluation.py --config trainers/recipes/vlm3_rooms.yaml --model outputs/vlm3_rooms/depth
        --room_seed 7 --output scores.json

The model is any that `load_vlm` loads. With `--config`, scenes and questions are those of a recipe of
`sft.py`, but for what flags say. What neither says about images and text pixels is taken from the model's own
`training_run.json`. All questions about a set of images are answered from one encoding of it (see `answering`). Beside
the scores, `*_predictions.jsonl` holds every question and answer.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch.utils.data import Dataset, Subset
from transformers import PreTrainedModel
from transformers.utils import cached_file

from igep.processing_igep import IGEPProcessor
from igep.trainers.cards.markdown import markdown_table
from igep.trainers.cards.results_file import BenchmarkResults, ModelResults, write_results
from igep.trainers.cards.run_data import named_dataset
from igep.trainers.cards.saved_weights import weights_sha256
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.training_rows import SceneTableCache, load_rows
from igep.trainers.evaluation.answering import AnsweringOptions, Sample, answer_samples
from igep.trainers.evaluation.load_vlm import load_for_answers
from igep.trainers.evaluation.task_figures import task_figures
from igep.trainers.evaluation.vlm3_evaluation_options import EvaluationOptions, parse
from igep.trainers.metrics.camera_pose import CameraPose
from igep.trainers.metrics.metric_depth import MetricDepth
from igep.trainers.metrics.object_relations import ObjectRelations
from igep.trainers.metrics.pixel_correspondence import PixelCorrespondence


GEOMETRY_SIZE = (32, 32)  # of the depth maps that rows carry for the losses; nothing here reads them


@dataclass(frozen=True)
class ExampleSample(Sample):
    """The questions of an example, which comes back with the answers.

    Args:
        example (`SpatialExample`): Whose frames and questions they are; its answers are not shown to the model.
    """

    example: SpatialExample = field(kw_only=True)


def answer_rows(
    model: PreTrainedModel,
    processor: IGEPProcessor,
    rows: Sequence[SpatialExample],
    *,
    max_new_tokens: int = 64,
    frames_as: str = "images",
    title: str = "answering",
) -> list[dict]:
    """Answers all questions of many examples, with a progress bar.

    Args:
        model (`PreTrainedModel`): An IGEP model or a plain VLM in eval mode.
        processor (`IGEPProcessor`): Its processor.
        rows (`Sequence[SpatialExample]`): Examples with references; a dataset is read row by row.
        max_new_tokens (`int`, *optional*, defaults to `64`): Longest answer.
        frames_as (`str`, *optional*, defaults to `"images"`): `"images"` or `"video"`.
        title (`str`, *optional*): Name of the progress bar.

    Returns:
        `list[dict]`: One per question: `sample_id`, `question_type`, `question`, `answer`, `reference`, `prediction`.
    """
    samples = _samples(rows, frames_as)
    options = AnsweringOptions(max_new_tokens=max_new_tokens)
    answered = []
    for sample, texts in answer_samples(model, processor, samples, options, progress=title, total=len(rows)):
        example = sample.example
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


def _samples(rows: Sequence[SpatialExample], frames_as: str) -> Iterator[ExampleSample]:
    for number in range(len(rows)):
        example = rows[number]
        questions = [question for question, _ in example.conversation]
        yield ExampleSample(example.sample_id, example.frames, questions, frames_as, example=example)


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


def evaluate(options: EvaluationOptions) -> tuple[ModelResults, list[dict]]:
    """Answers and scores all tasks.

    Args:
        options (`EvaluationOptions`): Model, tasks, scenes.

    Returns:
        `tuple[ModelResults, list[dict]]`: The scores per task with what was evaluated, and one row per question.

    Raises:
        ValueError: An option is out of range, or the processor would resize unified images.
        SpatialDataError: The scenes break their format.
        OSError: No model there.
    """
    model, processor = load_for_answers(options.model, options.device)
    weights = weights_sha256(Path(cached_file(options.model, "config.json")).parent)  # of a Hub id, where it is cached
    tables = SceneTableCache()
    figures, facts, predictions = {}, {}, []
    for task in options.tasks:
        rows = task_rows(options, task, tables)
        if options.focal_pixels is not None:
            for frame in rows[0].frames:
                processor.check_unified_size((frame.height, frame.width))
        begin = time.perf_counter()
        answered = answer_rows(
            model,
            processor,
            rows,
            max_new_tokens=options.max_new_tokens,
            frames_as=options.frames_as,
            title=f"answering {task}",
        )
        seconds = time.perf_counter() - begin
        facts[task] = {"image_sets": len(rows), "answers_per_second": round(len(answered) / seconds, 1)}
        figures[task] = task_figures(task, score_task(task, answered, options.rows_of(task).steps), answered)
        predictions += answered
    how = protocol(options, len(predictions))
    benchmarks = {task: BenchmarkResults(how, figures[task], facts[task]) for task in figures}
    return ModelResults(options.model, weights, benchmarks), predictions


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


def as_table(results: ModelResults) -> str:
    """The scores of all tasks as a Markdown table, one figure per line."""
    rows = [["task", "figure", "value", "unit", "answers"]]
    for task, benchmark in results.benchmarks.items():
        for name, figure in benchmark.figures.items():
            value = "-" if figure.value is None else f"{figure.value:.4f}"
            rows.append([task, name, value, figure.scale.unit, f"{figure.n}"])
    return markdown_table(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        options = parse(arguments)
        results, predictions = evaluate(options)
    except (ValueError, OSError) as error:
        sys.exit(f"vlm3_evaluation.py: error: {error}")
    lines = write_results(Path(options.output), results, predictions)
    print(as_table(results))
    print(f"Wrote {options.output} and {lines}")


if __name__ == "__main__":
    main()
