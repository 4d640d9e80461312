"""An arm of a VLM3 experiment: trains a model on its own rows, saves it and asks the saved one about held-out rows."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from trl import ModelConfig

from igep.processing_igep import IGEPProcessor
from igep.trainers import sft
from igep.trainers.data.mixture import MixtureDataset
from igep.trainers.data.row_source import RowSource
from igep.trainers.evaluation.answering import AnsweringOptions
from igep.trainers.evaluation.benchmarks.vlm3_tasks import ExampleGroups
from igep.trainers.evaluation.load_vlm import load_for_answers
from igep.trainers.scoring.answer_groups import answer_groups
from igep.trainers.sft_config import IGEPSFTConfig
from igep.trainers.sft_trainer import IGEPSFTTrainer


def train(
    rows: MixtureDataset,
    options: tuple[sft.IGEPScriptArguments, IGEPSFTConfig, ModelConfig],
    output: Path,
) -> tuple[PreTrainedModel, IGEPProcessor]:
    """Trains, and loads what was saved.

    Args:
        rows (`MixtureDataset`): What is trained on.
        options (`tuple`): What `sft.parse` returned.
        output (`Path`): Folder for the model.

    Returns:
        `tuple[PreTrainedModel, IGEPProcessor]`: As a user of the folder loads them.
    """
    script_args, training_args, model_args = options
    trainer = IGEPSFTTrainer(
        model=sft.load_model(model_args, training_args),
        args=training_args,
        train_dataset=rows,
        processing_class=sft.load_processor(script_args, model_args),
    )
    trainer.train()
    trainer.save_model(str(output))
    return load_for_answers(output)


def ask(
    model: PreTrainedModel, processor: IGEPProcessor, rows: RowSource, *, frames_as: str, progress: str
) -> list[dict[str, Any]]:
    """Asks the questions of held-out rows.

    Args:
        model (`PreTrainedModel`): The model.
        processor (`IGEPProcessor`): Its processor.
        rows (`RowSource`): The rows.
        frames_as (`str`): `"video"` or `"images"`.
        progress (`str`): Title of the progress bar.

    Returns:
        `list[dict]`: A turn for each question, as `task_scores` takes them.
    """
    groups = ExampleGroups(rows)
    options = AnsweringOptions(max_new_tokens=16)
    answered = answer_groups(
        model, processor, groups, options, frames_as=frames_as, progress=progress, total=len(groups)
    )
    return [
        group.row(question, text)
        for group, texts in answered
        for question, text in zip(group.questions, texts, strict=True)
    ]
