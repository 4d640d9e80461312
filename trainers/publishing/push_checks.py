"""What launchers make sure of before they train a model that is to be pushed: now, and not after days of training."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import HfApi
from transformers import TrainingArguments

from igep.trainers.loop.recipe_options import one_line
from igep.trainers.loop.resumable_trainer import ResumableTrainer
from igep.trainers.publishing.hub_upload import UploadError, check_repository, hub_errors


@contextmanager
def one_line_errors(program: str) -> Iterator[None]:
    """From `with` to the block's end, what is wrong with options, data, model or the Hub ends the program in one line.

    Args:
        program (`str`): Name of the command, in messages.

    Raises:
        SystemExit: Something is.
    """
    with one_line(program, UploadError), hub_errors():
        yield


def check_login(args: TrainingArguments, program: str) -> None:
    """Makes sure that the Hub knows who pushes, where anything is pushed.

    Args:
        args (`TrainingArguments`): Options of the run.
        program (`str`): Name of the command, in messages.

    Raises:
        SystemExit: It does not; the message is one line.
    """
    with one_line_errors(program):
        if args.push_to_hub:
            HfApi(token=args.hub_token).whoami()


def check_push(trainer: ResumableTrainer) -> None:
    """Makes sure that the Hub will take the model.

    Args:
        trainer (`ResumableTrainer`): Ready to train; with `push_to_hub` it has made sure that its repository exists.

    Raises:
        UploadError: The repository is another model's, or public and should not be.
    """
    args = trainer.args
    if args.push_to_hub and trainer.is_world_process_zero():
        api = HfApi(token=args.hub_token)
        check_repository(api, trainer.hub_model_id, "model", private=bool(args.hub_private_repo))
