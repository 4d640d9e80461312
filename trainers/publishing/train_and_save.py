"""What every launcher does once its trainer is made: train, save, push if asked, and end in one line if it cannot."""

from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.loop.float32_weights import MixedTypesError
from igep.trainers.loop.non_finite import NonFiniteLossError
from igep.trainers.loop.resumable_trainer import ResumableTrainer
from igep.trainers.loop.run_options import ChangedRunError
from igep.trainers.loop.write_failure import WriteFailedError
from igep.trainers.publishing.hub_upload import UploadError, hub_errors


def train_and_save(trainer: ResumableTrainer, program: str) -> str | None:
    """Trains, from the checkpoint that `resume_from_checkpoint` names if any, and saves the model.

    Args:
        trainer (`ResumableTrainer`): Ready to train.
        program (`str`): Name of the command, in messages.

    Returns:
        `str`, *optional*: If the Hub did not take the model, which lies in the output folder: why, and what to do.

    Raises:
        SystemExit: The run cannot go on; the message says why.
    """
    resume = trainer.args.resume_from_checkpoint
    try:
        trainer.train(resume_from_checkpoint=True if str(resume).lower() in ("true", "last") else resume)
        return save(trainer)
    except ChangedRunError as error:  # with a table
        raise SystemExit(f"{program}: error: {error}") from error
    except (WriteFailedError, FileNotFoundError, NonFiniteLossError, MixedTypesError, SpatialDataError) as error:
        raise SystemExit(f"{program}: error: {' '.join(str(error).split())}") from error


def save(trainer: ResumableTrainer) -> str | None:
    """Saves the model, and pushes it where that was asked for.

    Args:
        trainer (`ResumableTrainer`): After training.

    Returns:
        `str`, *optional*: If the Hub did not take the model, which lies in the output folder: why, and what to do.
    """
    folder = trainer.args.output_dir
    try:
        with hub_errors():
            trainer.save_model(folder)
    except UploadError as error:
        return (
            f"the model is not on the Hub: {error} It is saved; upload it with `igep publish --model {folder} "
            f"--repo-id {trainer.hub_model_id}`."
        )
    return None
