"""Vid-LLM, stage 2: reconstruction and reasoning learn together on questions about posed RGB-D scenes.

    accelerate launch trainers/joint.py --config trainers/recipes/vid_llm_joint_7b.yaml
    igep joint --config vid_llm_joint_rooms.yaml

Every option of `--help` is a key of the recipe as well; flags win over the recipe. The output folder then holds a model that
`AutoModel.from_pretrained(folder, trust_remote_code=True)` loads, which answers and reconstructs from RGB.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi
from trl import ModelConfig, get_peft_config

from igep.trainers.joint_config import JointConfig
from igep.trainers.joint_trainer import JointTrainer
from igep.trainers.load_vid_llm import load_vid_llm
from igep.trainers.loop.load_rows import load_datasets
from igep.trainers.loop.recipe_options import RecipeOptions, one_line
from igep.trainers.publishing.hub_upload import UploadError, hub_errors
from igep.trainers.publishing.train_and_save import train_and_save
from igep.trainers.sft_inherited_options import check_model_options
from igep.trainers.vid_llm_config import VidLLMScriptArguments


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
    script_args, training_args, model_args = parse(arguments)
    recipe = PARSER.given_options(arguments, (script_args, training_args, model_args))
    with one_line(PROGRAM, UploadError), hub_errors():
        if training_args.push_to_hub:
            HfApi(token=training_args.hub_token).whoami()  # now, not after days of training
    with one_line(PROGRAM):
        train_dataset, eval_dataset = load_datasets(script_args, training_args)
        model, processor = load_vid_llm(script_args, model_args, training_args.seed)
        return JointTrainer(
            model=model,
            args=training_args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processor,
            peft_config=get_peft_config(model_args),
            recipe=recipe,
            data_options=vars(script_args) | vars(model_args),
        )


def main(arguments: Sequence[str] | None = None) -> None:
    trainer = prepare(sys.argv[1:] if arguments is None else arguments)
    not_pushed = train_and_save(trainer, PROGRAM)
    trainer.accelerator.print(trainer.log_table())
    trainer.accelerator.print(f"Saved the model to {Path(trainer.args.output_dir).resolve()}")
    trainer.end()
    if not_pushed is not None:
        sys.exit(f"{PROGRAM}: error: {not_pushed}")


if __name__ == "__main__":
    main()
