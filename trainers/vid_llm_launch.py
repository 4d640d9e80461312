"""What launchers of Vid-LLM's two stages do alike: options become a trainer's parts, and a trainer a saved model."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trl import ModelConfig

from igep.trainers.load_vid_llm import load_vid_llm
from igep.trainers.loop.load_rows import load_datasets
from igep.trainers.loop.recipe_options import RecipeOptions, one_line
from igep.trainers.publishing.push_checks import check_login
from igep.trainers.publishing.train_and_save import train_and_save
from igep.trainers.vid_llm_config import VidLLMScriptArguments, VidLLMTrainingConfig
from igep.trainers.vid_llm_trainer import VidLLMTrainer


def trainer_parts(
    parser: RecipeOptions,
    arguments: Sequence[str],
    parsed: tuple[VidLLMScriptArguments, VidLLMTrainingConfig, ModelConfig],
) -> dict[str, Any]:
    """Reads scenes and model.

    Args:
        parser (`RecipeOptions`): The launcher's.
        arguments (`Sequence[str]`): The command line.
        parsed (`tuple`): What the launcher read from it.

    Returns:
        `dict[str, Any]`: Arguments of the stage's trainer, by name.

    Raises:
        SystemExit: Something is wrong with them; the message is one line.
    """
    script_args, training_args, model_args = parsed
    recipe = parser.given_options(arguments, parsed)
    check_login(training_args, parser.program)
    with one_line(parser.program):
        train_dataset, eval_dataset = load_datasets(script_args, training_args)
        model, processor = load_vid_llm(script_args, model_args, training_args.seed)
    return {
        "model": model,
        "args": training_args,
        "train_dataset": train_dataset,
        "eval_dataset": eval_dataset,
        "processing_class": processor,
        "recipe": recipe,
        "data_options": vars(script_args) | vars(model_args),
    }


def run(trainer: VidLLMTrainer, program: str) -> None:
    """Trains and saves, and says what came of it.

    Args:
        trainer (`VidLLMTrainer`): Ready to train.
        program (`str`): Name of the command, in messages.

    Raises:
        SystemExit: The run cannot go on, or the Hub did not take the model; the message says why.
    """
    not_pushed = train_and_save(trainer, program)
    trainer.accelerator.print(trainer.log_table())
    trainer.accelerator.print(f"Saved the model to {Path(trainer.args.output_dir).resolve()}")
    trainer.end()
    if not_pushed is not None:
        sys.exit(f"{program}: error: {not_pushed}")
