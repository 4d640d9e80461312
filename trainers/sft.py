"""Fine-tunes a video VLM on questions about posed RGB-D scenes, with geometry supervision that leaves nothing behind.

    igep sft --config quickstart.yaml
    accelerate launch trainers/sft.py --config trainers/recipes/quickstart.yaml   # the same, in a clone

Every option of `--help` is a key of the recipe as well; flags win over the recipe. The questions are those that come
with the scenes, or VLM3's, written from depth and poses (`task`); several datasets train together as a `mixture`. The
output folder then holds a model that `AutoModel.from_pretrained(folder, trust_remote_code=True)` loads and that
answers from RGB.
"""

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import set_seed
from trl import ModelConfig, get_peft_config, get_quantization_config

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.data.centre_square import crop_to_centre
from igep.trainers.data.mixture import MixtureDataset
from igep.trainers.data.row_texts import add_words, row_texts, unknown_words
from igep.trainers.data.vlm3.written_rows import WrittenRows
from igep.trainers.evaluation.depth_baselines import baselines_of_rows
from igep.trainers.evaluation.load_vlm import load_vlm
from igep.trainers.loop.load_rows import MixedRowOptions, load_datasets
from igep.trainers.loop.log_table import log_columns, log_table
from igep.trainers.loop.recipe_options import RecipeOptions, one_line
from igep.trainers.package_files import find_model
from igep.trainers.publishing.push_checks import check_login, check_push, one_line_errors
from igep.trainers.publishing.train_and_save import train_and_save
from igep.trainers.sft_config import IGEPSFTConfig
from igep.trainers.sft_inherited_options import check_model_options
from igep.trainers.sft_trainer import IGEPSFTTrainer


logger = logging.getLogger(__name__)

PROGRAM = "igep sft"  # in messages, also where this file itself is launched
SUMMARY = (
    *("loss", "loss_ce", "loss_geometry", "loss_cross_view", "loss_photometric", "loss_global", "loss_ground"),
    *("mean_token_accuracy", "depth_abs_rel", "depth_delta_1", "confidence_mean", "cross_view_coverage"),
    *("photometric_coverage", "ground_accuracy", "ground_seen"),
)


@dataclass
class IGEPScriptArguments(MixedRowOptions):
    """Which scenes to train on, how they become rows (see `RowOptions`), and their mixture (see `MixtureOptions`).

    Args:
        image_min_pixels (`int`, *optional*): Smaller images are enlarged by the processor; its own limit unless given.
        image_max_pixels (`int`, *optional*): Larger images are shrunk by the processor; its own limit unless given.
            Images of a unified focal length must stay below it.
        add_unknown_words (`bool`, *optional*, defaults to `False`): For a base whose tokenizer knows whole words, as
            the tiny base: add the words of the questions and answers that it does not know. They begin untrained.
        centre_crop (`bool`, *optional*, defaults to `False`): Show the model the centre square of a video's frames, as
            Video-3D LLM does, instead of whole frames squashed into the square. The saved processor does likewise.

    Raises:
        ValueError: An entry of the mixture or an option of VLM3's questions is wrong.
    """

    image_min_pixels: int | None = field(
        default=None, metadata={"help": "The processor enlarges smaller images (default: its own limit)."}
    )
    image_max_pixels: int | None = field(
        default=None, metadata={"help": "The processor shrinks larger images (default: its own limit)."}
    )

    add_unknown_words: bool = field(
        default=False,
        metadata={"help": "Add words that a tokenizer of whole words (the tiny base's) does not know."},
    )
    centre_crop: bool = field(
        default=False, metadata={"help": "Videos of a square base: show the centre square instead of squashed frames."}
    )

    def __post_init__(self):
        super().__post_init__()
        for name in ("image_min_pixels", "image_max_pixels"):
            if vars(self)[name] is not None and vars(self)[name] < 1:
                raise ValueError(f"{name}={vars(self)[name]} must be at least 1.")


OPTIONS = (IGEPScriptArguments, IGEPSFTConfig, ModelConfig)


PARSER = RecipeOptions(OPTIONS, PROGRAM, __doc__.split("\n")[0])


def parse(arguments: Sequence[str] | None = None) -> tuple[IGEPScriptArguments, IGEPSFTConfig, ModelConfig]:
    """Reads a recipe and flags.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `tuple[IGEPScriptArguments, IGEPSFTConfig, ModelConfig]`

    Raises:
        SystemExit: An unknown key or flag, a recipe that is not there, or a bad value; the message says which.
    """
    with one_line(PROGRAM):
        script_args, training_args, model_args = PARSER.parse(arguments)
        check_model_options(model_args)
    return script_args, training_args, model_args


def _model_name(model_args: ModelConfig) -> str:
    """Where the model lies that is to be trained."""
    if model_args.model_name_or_path is None:
        raise ValueError("model_name_or_path is not set: give the Hub id or folder of a video VLM.")
    return find_model(model_args.model_name_or_path)


def load_model(model_args: ModelConfig, training_args: IGEPSFTConfig) -> IGEPForConditionalGeneration:
    """Loads a plain VLM and wraps it, or a model that IGEP saved.

    Args:
        model_args (`ModelConfig`): Name, revision, dtype and attention.
        training_args (`IGEPSFTConfig`): Whether the base may bring code of its own.

    Returns:
        `IGEPForConditionalGeneration`

    Raises:
        ValueError: No model is named, or it cannot be supervised.
    """
    name = _model_name(model_args)
    options = {
        "revision": model_args.model_revision,
        "dtype": model_args.dtype,
        "attn_implementation": model_args.attn_implementation,
        "quantization_config": get_quantization_config(model_args),
        **(training_args.model_init_kwargs or {}),
    }
    training_args.model_init_kwargs = None  # used up: TRL would warn that it ignores them
    return load_vlm(name, wrapped=True, trust_remote_code=training_args.trust_remote_code, **options)


def load_processor(script_args: IGEPScriptArguments, model_args: ModelConfig) -> IGEPProcessor:
    """Loads the processor of the model, with the limits on image sizes that the options set.

    Args:
        script_args (`IGEPScriptArguments`): Limits in pixels.
        model_args (`ModelConfig`): Name and revision.

    Returns:
        `IGEPProcessor`

    Raises:
        ValueError: A limit is set and the processor has none, or a crop and it sees no squares.
    """
    processor = IGEPProcessor.from_pretrained(_model_name(model_args), revision=model_args.model_revision)
    limits = {"shortest_edge": script_args.image_min_pixels, "longest_edge": script_args.image_max_pixels}
    limits = {name: pixels for name, pixels in limits.items() if pixels is not None}
    if limits:
        size = dict(processor.image_processor.size)
        if not {"shortest_edge", "longest_edge"} <= size.keys():
            raise ValueError(
                f"image_min_pixels={script_args.image_min_pixels}, image_max_pixels={script_args.image_max_pixels}: "
                f"the images of this model have the fixed size {size}, with no limits to set. Remove both options."
            )
        processor.image_processor.size = {**size, **limits}
    if script_args.centre_crop:
        crop_to_centre(processor)
    return processor


def check_crop(script_args: IGEPScriptArguments, training_args: IGEPSFTConfig) -> None:
    """Raises where a crop would miss what the other options show.

    Args:
        script_args (`IGEPScriptArguments`): Whether frames are cropped.
        training_args (`IGEPSFTConfig`): How frames are shown, and the teacher.

    Raises:
        ValueError: Frames are no video, or the teacher's descriptors are of whole frames.
    """
    if not script_args.centre_crop:
        return
    if training_args.frames_as != "video":
        raise ValueError("centre_crop crops videos: set frames_as to video, or centre_crop to false.")
    precomputed = training_args.global_weight and training_args.teacher == "precomputed"
    if precomputed and training_args.teacher_transform == "resize":
        raise ValueError(
            "centre_crop: descriptors under teacher_transform=resize are of whole frames. Write those of cropped "
            "frames under a name of their own, and set teacher_transform to it."
        )


def learn_words(
    model: IGEPForConditionalGeneration,
    processor: IGEPProcessor,
    datasets: Sequence[torch.utils.data.Dataset | None],
) -> None:
    """Adds the words of some rows that the tokenizer does not know to it, and rows for them to the model.

    Args:
        model (`IGEPForConditionalGeneration`): The model, which is changed.
        processor (`IGEPProcessor`): Its processor, which is changed.
        datasets (`Sequence[torch.utils.data.Dataset | None]`): The rows.

    Raises:
        ValueError: The tokenizer is one of pieces of words.
    """
    texts = [text for rows in datasets if rows is not None for text in row_texts(rows)]
    unknown = unknown_words(texts, processor.tokenizer)
    if unknown is None:
        return
    add_words(processor.tokenizer, unknown.counts)
    model.vlm.resize_token_embeddings(max(len(processor.tokenizer), model.get_input_embeddings().num_embeddings))
    logger.warning("%d words were added to the tokenizer: %s.", len(unknown.counts), unknown.words)


def check_image_sizes(mixture: MixtureDataset, processor: IGEPProcessor) -> None:
    """Raises where the processor would resize images of a unified focal length, which undoes it.

    Args:
        mixture (`MixtureDataset`): What is trained on; every camera of the parts that unify is looked at.
        processor (`IGEPProcessor`): Processor of the model.

    Raises:
        ValueError: The processor resizes by more than whole patches; the message names the part and the remedy.
    """
    right: set[tuple[int, int]] = set()
    for part in mixture.parts:
        rows = part.dataset
        if rows.usage.get("focal_pixels") is None and rows.usage.get("longest_side") is None:
            continue
        if isinstance(rows, WrittenRows):
            sizes = rows.unified_sizes()
        else:  # a class of the user's, which must be read to be known
            sizes = ((rows.sample_ids[0], (frame.height, frame.width)) for frame in rows.example(0, 0).frames)
        for name, size in sizes:
            if size not in right:
                try:
                    processor.check_unified_size(size)
                except ValueError as error:
                    raise ValueError(f"mixture entry {part.name!r}, {name}: {error}") from error
                right.add(size)


def summary(log_history: Sequence[dict[str, float]], compared: Mapping[str, Mapping[str, float]] | None = None) -> str:
    """A table of the first and last training logs and of the last evaluation.

    Args:
        log_history (`Sequence[dict[str, float]]`): The trainer's.
        compared (`Mapping[str, Mapping[str, float]]`, *optional*): Figures to compare the evaluation with, by their
            names.

    Returns:
        `str`
    """
    columns = log_columns(log_history)
    if any(prefix == "eval_" for _, prefix, _ in columns):
        columns += [(title, "", figures) for title, figures in (compared or {}).items()]
    return log_table(columns, SUMMARY)


def prepare(arguments: Sequence[str]) -> IGEPSFTTrainer:
    """Reads options, scenes and model, and makes a trainer of them.

    Args:
        arguments (`Sequence[str]`): The command line.

    Returns:
        `IGEPSFTTrainer`

    Raises:
        SystemExit: Something is wrong with them; the message is one line.
    """
    script_args, training_args, model_args = parse(arguments)
    recipe = PARSER.given_options(arguments, (script_args, training_args, model_args))
    model_name = f"model_name_or_path={model_args.model_name_or_path}: "
    with one_line(PROGRAM):
        check_crop(script_args, training_args)
        train_dataset, eval_dataset = load_datasets(script_args, training_args)
    with one_line(PROGRAM, what=model_name):  # a model that is nowhere, above all
        processor = load_processor(script_args, model_args)
    with one_line(PROGRAM):
        if isinstance(train_dataset, MixtureDataset):
            check_image_sizes(train_dataset, processor)
    check_login(training_args, PROGRAM)
    with one_line(PROGRAM, what=model_name):
        model = load_model(model_args, training_args)
    with one_line_errors(PROGRAM):
        if script_args.add_unknown_words:
            set_seed(training_args.seed)  # new rows are drawn
            learn_words(model, processor, (train_dataset, eval_dataset))
        trainer = IGEPSFTTrainer(
            model=model,
            args=training_args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processor,
            peft_config=get_peft_config(model_args),
            recipe=recipe,
            data_options=vars(script_args) | vars(model_args),
        )
        check_push(trainer)
    return trainer


def main(arguments: Sequence[str] | None = None) -> None:
    trainer = prepare(sys.argv[1:] if arguments is None else arguments)
    train_dataset = trainer.train_dataset
    not_pushed = train_and_save(trainer, PROGRAM)
    compares = any("eval_depth_abs_rel" in entry for entry in trainer.state.log_history)
    compared = (
        baselines_of_rows(train_dataset, trainer.eval_dataset) if compares and trainer.is_world_process_zero() else {}
    )
    trainer.accelerator.print(summary(trainer.state.log_history, compared))
    if isinstance(train_dataset, MixtureDataset):
        samples = train_dataset.samples_after_steps(trainer.state.global_step, trainer.args.samples_per_step)
        trainer.accelerator.print(train_dataset.count_table(samples))
    trainer.accelerator.print(f"Saved the model to {Path(trainer.args.output_dir).resolve()}")
    trainer.end()
    if not_pushed is not None:
        sys.exit(f"{PROGRAM}: error: {not_pushed}")


if __name__ == "__main__":
    main()
