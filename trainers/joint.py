"""Vid-LLM, stage 2: reconstruction and reasoning learn together on questions about posed RGB-D scenes.

    accelerate launch trainers/joint.py --config trainers/recipes/vid_llm_joint_7b.yaml
    igep joint --config vid_llm_joint_rooms.yaml

Every option of `--help` is a key of the recipe as well; flags win over the recipe. The output folder then holds a
model that `AutoModel.from_pretrained(folder, trust_remote_code=True)` loads, which answers and reconstructs from RGB.
"""

import sys
from collections.abc import Sequence

from trl import ModelConfig, get_peft_config

from igep.trainers.joint_config import JointConfig
from igep.trainers.joint_trainer import JointTrainer
from igep.trainers.loop.recipe_options import RecipeOptions, one_line
from igep.trainers.publishing.push_checks import check_push, one_line_errors
from igep.trainers.sft_inherited_options import check_model_options
from igep.trainers.vid_llm_config import VidLLMScriptArguments
from igep.trainers.vid_llm_launch import run, trainer_parts


PROGRAM = "igep joint"
PARSER = RecipeOptions((VidLLMScriptArguments, JointConfig, ModelConfig), PROGRAM, __doc__.split("\n")[0])


def parse(arguments: Sequence[str] | None = None) -> tuple[VidLLMScriptArguments, JointConfig, ModelConfig]:
    """Reads a recipe and flags.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `tuple[VidLLMScriptArguments, JointConfig, ModelConfig]`

    Raises:
        SystemExit: An unknown key or flag, a recipe that is not there, or a bad value; the message says which.
    """
    with one_line(PROGRAM):
        script_args, training_args, model_args = PARSER.parse(arguments)
        check_model_options(model_args)
        if model_args.use_peft and not training_args.merge_adapter_at_save and model_args.model_name_or_path is None:
            raise ValueError(
                "merge_adapter_at_save=False saves an adapter without its base, and a base that is made of parts lies "
                "nowhere: set it to true, or give a saved Vid-LLM as model_name_or_path."
            )
    return script_args, training_args, model_args


def prepare(arguments: Sequence[str]) -> JointTrainer:
    """Reads options, scenes and model, and makes a trainer of them.

    Args:
        arguments (`Sequence[str]`): The command line.

    Returns:
        `JointTrainer`

    Raises:
        SystemExit: Something is wrong with them; the message is one line.
    """
    parsed = parse(arguments)
    parts = trainer_parts(PARSER, arguments, parsed)
    with one_line_errors(PROGRAM):
        trainer = JointTrainer(**parts, peft_config=get_peft_config(parsed[-1]))
        check_push(trainer)
    return trainer


def main(arguments: Sequence[str] | None = None) -> None:
    run(prepare(sys.argv[1:] if arguments is None else arguments), PROGRAM)


if __name__ == "__main__":
    main()
