"""The one loop that answers: a stream of frames and questions in, texts out, in the same order.

Questions about the same frames share one encoding of them and one prefix in the language model (`question_packing`).
Samples of one question each are generated together, in padded batches. Either way an answer is that of
`generate(do_sample=False)` to its question alone.

The stream is read as it is answered, at most a batch ahead, and one sample does not depend on another: which samples
are left after an interruption, and which are a process's own, is for the caller to choose.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from tqdm import tqdm
from transformers import BatchFeature, GenerationConfig, PreTrainedModel

from igep.base_vlm import PIXELS
from igep.processing_igep import IGEPProcessor
from igep.question_packing import answer_questions, beyond_greedy
from igep.trainers.evaluation.load_vlm import reads_positions, vlm_of


@dataclass(frozen=True)
class Sample:
    """Some frames and what is asked about them. A caller that wants more with the answers adds fields in a subclass.

    Args:
        sample_id (`str`): Names the sample in errors and beside its answers.
        frames (`Sequence[PIL.Image.Image]`): F RGB frames, in order; already sampled.
        questions (`Sequence[str]`): Independent questions: none sees another, or its answer.
        frames_as (`str`, *optional*, defaults to `"video"`): Show the frames as one `"video"` or as `"images"`, as in
            training.
        geometry (`dict[str, torch.Tensor]`, *optional*): Depth and cameras of the frames, a batch of one, for a model
            that reads 3D positions; see `geometry_batch`.

    Raises:
        ValueError: There are no frames or no questions.
    """

    sample_id: str
    frames: Sequence[Image.Image]
    questions: Sequence[str]
    frames_as: str = "video"
    geometry: dict[str, torch.Tensor] | None = None

    def __post_init__(self):
        for name in ("frames", "questions"):
            if not vars(self)[name]:
                raise ValueError(f"sample {self.sample_id!r} has no {name}: there is nothing to answer.")


@dataclass(frozen=True)
class AnsweringOptions:
    """How answers are decoded, and how many at once; the latter changes time and memory, not the answers.

    Args:
        max_new_tokens (`int`, *optional*, defaults to `64`): Longest answer.
        batch_size (`int`, *optional*, defaults to `8`): Most samples of one question that are generated together.
        questions_per_pass (`int`, *optional*, defaults to `64`): Most questions of one sample that share a pass over
            its frames: attention takes memory by the square of their tokens.
        share_prefix (`bool`, *optional*, defaults to `True`): Answer the questions of a sample from one encoding of
            its frames. Needs `sdpa` or `eager` attention.

    Raises:
        ValueError: A number below 1.
    """

    max_new_tokens: int = 64
    batch_size: int = 8
    questions_per_pass: int = 64
    share_prefix: bool = True

    def __post_init__(self):
        for name in ("max_new_tokens", "batch_size", "questions_per_pass"):
            if vars(self)[name] < 1:
                raise ValueError(f"{name}={vars(self)[name]}: give 1 or more.")


def answer_samples(
    model: PreTrainedModel,
    processor: IGEPProcessor,
    samples: Iterable[Sample],
    options: AnsweringOptions | None = None,
    *,
    progress: str | None = None,
    total: int | None = None,
) -> Iterator[tuple[Sample, list[str]]]:
    """Answers all questions of all samples.

    Args:
        model (`PreTrainedModel`): An IGEP model or a plain VLM in eval mode.
        processor (`IGEPProcessor`): Its processor.
        samples (`Iterable[Sample]`): What to answer; read as it is answered.
        options (`AnsweringOptions`, *optional*): Defaults unless given.
        progress (`str`, *optional*): Title of a progress bar; without one, none is shown.
        total (`int`, *optional*): Number of samples, for the progress bar.

    Yields:
        `tuple[Sample, list[str]]`: Every sample, in the order of the stream, and one answer per question.

    Raises:
        ValueError: The model's attention or chat template does not let questions share a prefix, or it reads 3D
            positions and a sample has no geometry; the message says what to do.
    """
    options = AnsweringOptions() if options is None else options
    vlm = vlm_of(model)
    look = _Look(model)
    share_prefix = options.share_prefix and _decodes_greedily(vlm.generation_config)
    with tqdm(total=total, desc=progress, unit="sample", disable=progress is None) as bar:
        for batch in _batches(samples, options.batch_size):
            for sample, texts in zip(batch, _answer_batch(look, processor, batch, options, share_prefix), strict=True):
                bar.update()
                yield sample, texts


class _Look:
    """How a model looks at frames: at their pixels, and at their depth and cameras where it reads 3D positions.

    Args:
        model (`PreTrainedModel`): An IGEP model or a plain VLM.
    """

    def __init__(self, model: PreTrainedModel):
        self.model = model
        self.vlm = vlm_of(model)
        self.reads_positions = reads_positions(model.config.to_dict())

    def inputs(self, processed: BatchFeature, samples: Sequence[Sample]) -> BatchFeature:
        """What the base VLM takes: the processor's tensors, or in place of the pixels what the encoder made of all."""
        tensors = processed.to(self.vlm.device, dtype=self.vlm.dtype)
        if not self.reads_positions:
            return tensors
        geometry = {}
        for sample in samples:
            if sample.geometry is None:
                raise ValueError(
                    f"sample {sample.sample_id!r}: this model reads 3D positions (position_encoding) and cannot "
                    "answer from RGB alone. Ask it about posed RGB-D scenes with `igep score`, or train with "
                    "position_encoding: none."
                )
        for name in samples[0].geometry:
            geometry[name] = torch.cat([sample.geometry[name] for sample in samples]).to(self.vlm.device)
        encoded = self.model.encode_vision(**tensors, **geometry)
        kept = {name: value for name, value in tensors.items() if name not in PIXELS.values()}
        return BatchFeature(kept | {"mm_encoder_outputs": encoded})


def generate_texts(
    model: PreTrainedModel, processor: IGEPProcessor, inputs: BatchFeature, max_new_tokens: int
) -> list[str]:
    """Decodes prepared inputs greedily.

    Args:
        model (`PreTrainedModel`): An IGEP model or a plain VLM in eval mode.
        processor (`IGEPProcessor`): Its processor.
        inputs (`BatchFeature`): What the processor made of B prompts, padded on the left.
        max_new_tokens (`int`): Longest answer.

    Returns:
        `list[str]`: B answers, without special tokens and surrounding spaces.
    """
    inputs = inputs.to(model.device, dtype=model.dtype)
    with torch.inference_mode():
        tokens = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    return _texts(processor, tokens[:, inputs["input_ids"].shape[1] :])


def _batches(samples: Iterable[Sample], batch_size: int) -> Iterator[list[Sample]]:
    """Samples of several questions by themselves; neighbours of one question, whose frames stack, together."""
    batch: list[Sample] = []
    for sample in samples:
        alone = len(sample.questions) > 1
        if batch and (alone or _layout(sample) != _layout(batch[0])):
            yield batch
            batch = []
        batch.append(sample)
        if alone or len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _layout(sample: Sample) -> tuple:
    return sample.frames_as, [frame.size for frame in sample.frames]


def _answer_batch(
    look: _Look,
    processor: IGEPProcessor,
    batch: Sequence[Sample],
    options: AnsweringOptions,
    share_prefix: bool,
) -> list[list[str]]:
    first, longest = batch[0], options.max_new_tokens
    if len(first.questions) == 1:
        questions = [sample.questions[0] for sample in batch]
        return [[text] for text in _answer_in_batch(look, processor, batch, questions, longest)]
    texts = []
    at_once = options.questions_per_pass if share_prefix else options.batch_size
    for start in range(0, len(first.questions), at_once):
        questions = first.questions[start : start + at_once]
        if share_prefix:
            texts += _answer_from_one_prefix(look, processor, first, questions, longest)
        else:
            texts += _answer_in_batch(look, processor, [first] * len(questions), questions, longest)
    return [texts]


def _answer_in_batch(
    look: _Look,
    processor: IGEPProcessor,
    samples: Sequence[Sample],
    questions: Sequence[str],
    max_new_tokens: int,
) -> list[str]:
    """Answers one question about each sample, every question in a row of its own."""
    frames_as = samples[0].frames_as
    prompts = [
        processor.prompt_text([question], len(sample.frames), frames_as=frames_as)
        for sample, question in zip(samples, questions, strict=True)
    ]
    vision = processor.vision_inputs([list(sample.frames) for sample in samples], frames_as)
    padding = {"padding": True, "padding_side": "left"} if len(prompts) > 1 else {}
    inputs = processor(text=prompts, return_tensors="pt", **padding, **vision)
    return generate_texts(look.vlm, processor, look.inputs(inputs, samples), max_new_tokens)


def _answer_from_one_prefix(
    look: _Look, processor: IGEPProcessor, sample: Sample, questions: Sequence[str], max_new_tokens: int
) -> list[str]:
    """Answers questions about one sample from one encoding of its frames."""
    prefix, token_ids = processor.packed_question_inputs(
        list(sample.frames), list(questions), frames_as=sample.frames_as
    )
    vlm = look.vlm
    end = vlm.generation_config.eos_token_id
    ends = end if isinstance(end, list) else [] if end is None else [end]
    answers = answer_questions(
        vlm,
        dict(look.inputs(prefix, [sample])),
        token_ids,
        max_new_tokens=max_new_tokens,
        eos_token_ids=ends,
    )
    return _texts(processor, answers)


def _texts(processor: IGEPProcessor, answers: torch.Tensor | list[list[int]]) -> list[str]:
    return [text.strip() for text in processor.batch_decode(answers, skip_special_tokens=True)]


def _decodes_greedily(settings: GenerationConfig) -> bool:
    """Whether `generate(do_sample=False)` takes the likeliest token, as answers from one prefix do."""
    others = beyond_greedy(settings)
    if others:
        named = ", ".join(f"{name}={value}" for name, value in others.items())
        warnings.warn(
            f"The model's generation settings ({named}) are for single sequences: its questions are asked one by one.",
            stacklevel=3,
        )
    return not others
