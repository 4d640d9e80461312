"""Vid-LLM, stage 1: the vision encoder and the adapter learn geometry from one teacher and meaning from another.

    accelerate launch trainers/distill.py --config trainers/recipes/vid_llm_distill_7b.yaml
    igep distill --config vid_llm_distill_rooms.yaml

Every option of `--help` is a key of the recipe as well; flags win over the recipe. The output folder then holds a
Vid-LLM, from which `joint.py` goes on.
"""

import sys
from collections.abc import Sequence

from trl import ModelConfig

from igep.trainers.distill_config import DistillConfig
from igep.trainers.distill_trainer import DistillTrainer
from igep.trainers.loop.recipe_options import RecipeOptions, one_line
from igep.trainers.publishing.push_checks import check_push, one_line_errors
from igep.trainers.sft_inherited_options import check_model_options
from igep.trainers.vid_llm_config import VidLLMScriptArguments
from igep.trainers.vid_llm_launch import run, trainer_parts


PROGRAM = "igep distill"
PARSER = RecipeOptions((VidLLMScriptArguments, DistillConfig, ModelConfig), PROGRAM, __doc__.split("\n")[0])


def parse(arguments: Sequence[str] | None = None) -> tuple[VidLLMScriptArguments, DistillConfig, ModelConfig]:
    """Reads a recipe and flags.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `tuple[VidLLMScriptArguments, DistillConfig, ModelConfig]`

    Raises:
        SystemExit: An unknown key or flag, a recipe that is not there, or a bad value; the message says which.
    """
    with one_line(PROGRAM):
        script_args, training_args, model_args = PARSER.parse(arguments)
        check_model_options(model_args)
        if model_args.use_peft:
            raise ValueError("use_peft adapts the language model, which does not train in this stage: leave it out.")
    return script_args, training_args, model_args


def prepare(arguments: Sequence[str]) -> DistillTrainer:
    """Reads options, scenes and model, and makes a trainer of them.

    Args:
        arguments (`Sequence[str]`): The command line.

    Returns:
        `DistillTrainer`

    Raises:
        SystemExit: Something is wrong with them; the message is one line.
    """
    parsed = parse(arguments)
    parts = trainer_parts(PARSER, arguments, parsed)
    with one_line_errors(PROGRAM):
        trainer = DistillTrainer(**parts)
        check_push(trainer)
    return trainer


def main(arguments: Sequence[str] | None = None) -> None:
    run(prepare(sys.argv[1:] if arguments is None else arguments), PROGRAM)


if __name__ == "__main__":
    main()
