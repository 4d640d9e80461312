"""Turns `SpatialExample`s into a batch: the VLM's own inputs, labels on the answers, and the geometry that supervises.

The question is tokenised exactly as it will be when the saved model is asked: the processor writes the prompt in both
cases. Answers and further turns are tokenised on their own and appended, so the tokens before an answer are those that
the model will have seen when it has to answer.
"""

import functools
import logging
from collections.abc import Sequence

import torch

from igep.processing_igep import IGEPProcessor
from igep.spatial_prompts import GROUND_TOKEN
from igep.trainers.data.centre_square import centre_square, crops_to_centre
from igep.trainers.data.geometry_batch import geometry_batch
from igep.trainers.data.grounding_batch import check_grounding, grounding_batch
from igep.trainers.data.scenes.spatial_example import SpatialDataError, SpatialExample
from igep.trainers.data.special_tokens import refuse_token, special_token_pattern
from igep.trainers.data.stacked_frames import stacked_frames


logger = logging.getLogger(__name__)

IGNORED = -100  # label of a token that no loss sees
TEXT_CACHE = 1 << 16  # conversations whose tokens are kept: an epoch later they come again


class IGEPDataCollator:
    """Collates `SpatialExample`s for `IGEPForConditionalGeneration`.

    Args:
        processor (`IGEPProcessor`): Processor of the model.
        geometry_size (`tuple[int, int]`, *optional*): (H, W) of the depth targets; that of the videos' frames as the
            processor makes them unless given. Examples of another size are resampled to it (nearest pixel), their
            intrinsics with them.
        frames_as (`str`, *optional*, defaults to `"video"`): `"video"` = one video of F frames, `"images"` = F images.
        max_length (`int`, *optional*): Longest sequence. A sample whose frames and first question do not fit is an
            error, longer conversations lose their last tokens.
        teacher_frame_size (`tuple[int, int]`, *optional*): (H, W) of the colour frames a teacher wants to look at;
            `None` when it looks at none.
        pack_questions (`bool`, *optional*, defaults to `False`): Turns are independent questions: each sees the frames
            and itself only (see `question_packing`), and the frames stand in the sequence once. Those of a dialogue
            stay one.
        max_packed_tokens (`int`, *optional*): With `pack_questions`: put the samples of a batch behind each other in
            rows of at most so many tokens. One sample per row unless given.
        carries_colours (`bool`, *optional*, defaults to `False`): Whether a loss wants the colours of the frames.
        unannotated_prompt (`str`, *optional*): What stands before the missing answer of a scene nobody annotated. It
            trains nothing, but the sequence needs a text.
        position_range_metres (`Sequence[float]`, *optional*): For a model that reads 3D positions; see
            `geometry_batch`.
        ground_geometry_inputs (`str`, *optional*): With a ground head: its setting (`"none"`, `"pose"` or
            `"depth+pose"`). Turns that boxes answer then have no labels. Without, a sample with such turns is an
            error.

    Returns (of a call):
        `dict`: everything the base model's processor returns, padded on the right, and

        - with `pack_questions`, `set_index` and `block_index` (R, L) int64 as `question_packing` defines them, where R
          rows hold the B samples in order;
        - `labels` (B, L) int64: tokens of the answers with their end of turn, -100 elsewhere;
        - `depth_metres`, `intrinsics`, `world_from_camera` and `frame_mask` of `geometry_batch`;
        - with `ground_geometry_inputs`, `grounding`: the questions that boxes answer, as
          `IGEPForConditionalGeneration.forward` takes them, but for the geometry;
        - `teacher_frames` (B, F, 3, h, w) uint8 if `teacher_frame_size` is given; both of the centre square alone
          where the processor crops videos to it;
        - `frame_colours` (B, F, 3, H, W) uint8 at `geometry_size` with `carries_colours`, of what the depth shows;
        - `sample_ids`, `scene_ids` (B names) and `frame_ids` (B times F names), which are for the trainer.

    Raises:
        ValueError: An empty batch, an unknown `frames_as`, or `max_packed_tokens` without `pack_questions`.
        SpatialDataError: A sample without frames, with special tokens of the model in its texts, one that `max_length`
            would cut inside its frames or question, one whose positions are to be read and are not there, or one with
            questions that boxes answer without a ground head, or without what its setting takes.
    """

    def __init__(
        self,
        processor: IGEPProcessor,
        geometry_size: tuple[int, int] | None,
        *,
        frames_as: str = "video",
        max_length: int | None = None,
        teacher_frame_size: tuple[int, int] | None = None,
        carries_colours: bool = False,
        unannotated_prompt: str = "Describe the scene.",
        pack_questions: bool = False,
        max_packed_tokens: int | None = None,
        position_range_metres: Sequence[float] | None = None,
        ground_geometry_inputs: str | None = None,
    ):
        if max_packed_tokens is not None and not pack_questions:
            raise ValueError(f"max_packed_tokens={max_packed_tokens} needs pack_questions: set it to true.")
        if frames_as not in ("video", "images"):
            raise ValueError(f"frames_as={frames_as!r} is unknown: use 'video' or 'images'.")
        self.processor = processor
        self.geometry_size = None if geometry_size is None else tuple(geometry_size)
        self.frames_as = frames_as
        self.max_length = max_length
        self.teacher_frame_size = teacher_frame_size
        self.carries_colours = carries_colours
        self.unannotated_prompt = unannotated_prompt
        self.pack_questions = pack_questions
        self.max_packed_tokens = max_packed_tokens
        self.position_range_metres = position_range_metres
        self._crops = frames_as == "video" and crops_to_centre(processor)
        self.ground_geometry_inputs = ground_geometry_inputs
        self._packed_blocks = functools.lru_cache(TEXT_CACHE)(self._tokenise_block)
        self._prefixes = functools.lru_cache(TEXT_CACHE)(self._write_prefix)
        self._conversation_tokens = functools.lru_cache(TEXT_CACHE)(self._tokenise_conversation)
        self._special_tokens = special_token_pattern(processor.tokenizer)
        self._warned_of_cut = False

    def __getstate__(self) -> dict:
        # The cache holds bound methods, which a spawned data loader worker cannot receive: it starts with its own.
        caches = ("_conversation_tokens", "_packed_blocks", "_prefixes")
        return {name: value for name, value in vars(self).items() if name not in caches}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._packed_blocks = functools.lru_cache(TEXT_CACHE)(self._tokenise_block)
        self._prefixes = functools.lru_cache(TEXT_CACHE)(self._write_prefix)
        self._conversation_tokens = functools.lru_cache(TEXT_CACHE)(self._tokenise_conversation)

    def __call__(self, examples: Sequence[SpatialExample]) -> dict:
        if not examples:
            raise ValueError("The collator got an empty batch: the dataset has no rows, or the batch size is 0.")
        for example in examples:
            if not example.frames:
                raise SpatialDataError(f"Sample {example.sample_id!r} has no frames: a sample needs at least one.")
            self._check_words(example)
            check_grounding(example, self.ground_geometry_inputs)
        # Where the hidden states of questions are that boxes answer: sample by sample and turn by turn, row and
        # column.
        places: list[list[tuple[int, int]]] = [[] for _ in examples]
        write = self._packed_text if self.pack_questions else self._text_and_vision
        batch = write(examples, places)
        seen = [centre_square(example) for example in examples] if self._crops else examples
        size = self.geometry_size or tuple(batch["pixel_values_videos"].shape[-2:])
        batch.update(geometry_batch(seen, size, self.position_range_metres))
        if self.ground_geometry_inputs is not None:
            keeps_world = self.position_range_metres is not None
            batch["grounding"] = grounding_batch(examples, places, keeps_world=keeps_world)
        clips, longest = [example.frames for example in seen], batch["frame_mask"].shape[1]
        if self.teacher_frame_size is not None:
            batch["teacher_frames"] = stacked_frames(clips, self.teacher_frame_size, longest)
        if self.carries_colours:
            batch["frame_colours"] = stacked_frames(clips, size, longest)
        batch["sample_ids"] = [example.sample_id for example in examples]
        batch["scene_ids"] = [example.scene_id for example in examples]
        batch["frame_ids"] = [list(example.frame_ids) for example in examples]
        return batch

    def _check_words(self, example: SpatialExample) -> None:
        """Raises for special tokens in texts. Files are checked before training, rows of one's own class only here."""
        for turn in example.conversation:
            for kind, text in zip(("question", "answer"), turn, strict=True):
                token = self._special_tokens.search(text) if self._special_tokens else None
                if token is not None:
                    refuse_token(f"Sample {example.sample_id!r}", kind, text, token.group())

    def _text_and_vision(self, examples: Sequence[SpatialExample], places: list[list[tuple[int, int]]]) -> dict:
        conversations = [self._conversation_tokens(example.conversation, len(example.frames)) for example in examples]
        batch = self._processed(examples, [prompt for prompt, *_ in conversations])
        prompt_ids, prompt_lengths = batch["input_ids"], batch.pop("attention_mask").sum(1).tolist()
        lengths = [
            self._length(example, prompt_length, tail_ids)
            for example, prompt_length, (_, tail_ids, *_) in zip(examples, prompt_lengths, conversations, strict=True)
        ]
        size = (len(examples), max(lengths))
        input_ids = torch.full(size, self.processor.tokenizer.pad_token_id)
        labels = torch.full(size, IGNORED)
        for row, (prompt_length, length) in enumerate(zip(prompt_lengths, lengths, strict=True)):
            _, tail_ids, tail_labels, asks = conversations[row]
            columns = [prompt_length + ask for ask in asks]
            places[row] += [(row, column) for column in columns if column < length]
            input_ids[row, :prompt_length] = prompt_ids[row, :prompt_length]
            input_ids[row, prompt_length:length] = tail_ids[: length - prompt_length]
            labels[row, prompt_length:length] = tail_labels[: length - prompt_length]
        batch["input_ids"] = input_ids
        batch["attention_mask"] = (torch.arange(size[1]) < torch.tensor(lengths)[:, None]).long()
        if "mm_token_type_ids" in batch:  # 0 = text, which is all that follows the first prompt
            token_types = torch.zeros(size, dtype=torch.long)
            kept = min(size[1], prompt_ids.shape[1])
            token_types[:, :kept] = batch["mm_token_type_ids"][:, :kept]
            batch["mm_token_type_ids"] = token_types
        batch["labels"] = labels
        return batch

    def _processed(self, examples: Sequence[SpatialExample], prompts: list[str]) -> dict:
        """What the processor makes of one text and the frames of each example, padded on the right."""
        vision = self.processor.vision_inputs([list(example.frames) for example in examples], self.frames_as)
        try:
            return dict(
                self.processor(text=prompts, return_tensors="pt", padding=True, padding_side="right", **vision)
            )
        except ValueError as error:
            counts = sorted({len(example.frames) for example in examples})
            if len(counts) == 1:
                raise
            raise SpatialDataError(
                f"Samples {[example.sample_id for example in examples]} have {counts} frames, and this processor "
                "cannot stack videos of several lengths: give every sample the same number, set frames_as to images, "
                "or, in a mixture of parts that have one number each, set mixture_one_part_per_batch to true."
            ) from error

    def _packed_text(self, examples: Sequence[SpatialExample], places: list[list[tuple[int, int]]]) -> dict:
        """Rows of prefixes and blocks. Each prefix is processed separately: how images are cut may depend on it."""
        prefixes = [self._prefixes(len(example.frames)) for example in examples]
        batch = self._processed(examples, prefixes)
        real = batch.pop("attention_mask").bool()
        types = batch.pop("mm_token_type_ids", None)
        rows: list[list[tuple[torch.Tensor, ...]]] = [[]]
        room = 0
        for number, example in enumerate(examples):
            turns = example.conversation or ((self.unannotated_prompt, None),)
            asked_together = [turns] if example.is_dialogue else [(turn,) for turn in turns]
            blocks = [self._packed_blocks(part, len(example.frames)) for part in asked_together]
            ids = torch.cat([batch["input_ids"][number][real[number]], *(ids for ids, *_ in blocks)])
            start = len(ids) - sum(len(ids) for ids, *_ in blocks)
            self._check_packed_length(example, start, blocks, len(ids))
            labels = torch.cat([torch.full((start,), IGNORED), *(labels for _, labels, _ in blocks)])
            block = torch.zeros(len(ids), dtype=torch.long)
            block[start:] = torch.repeat_interleave(
                torch.arange(1, len(blocks) + 1), torch.tensor([len(ids) for ids, *_ in blocks])
            )
            kinds = torch.zeros_like(ids)
            if types is not None:
                kinds[:start] = types[number][real[number]]
            if number and (self.max_packed_tokens is None or room + len(ids) > self.max_packed_tokens):
                rows.append([])
                room = 0
            column = room + start
            for block_ids, _, asks in blocks:
                places[number] += [(len(rows) - 1, column + ask) for ask in asks]
                column += len(block_ids)
            room += len(ids)
            rows[-1].append((ids, labels, torch.full_like(ids, number), block, kinds))
        joined = [[torch.cat(parts) for parts in zip(*row, strict=True)] for row in rows]
        padding = (self.processor.tokenizer.pad_token_id, IGNORED, -1, 0, 0)
        stacked = [
            torch.nn.utils.rnn.pad_sequence(column, batch_first=True, padding_value=value)
            for column, value in zip(zip(*joined, strict=True), padding, strict=True)
        ]
        batch["input_ids"], batch["labels"], batch["set_index"], batch["block_index"], kinds = stacked
        batch["attention_mask"] = (batch["set_index"] >= 0).long()
        if types is not None:
            batch["mm_token_type_ids"] = kinds
        return batch

    def _check_packed_length(
        self, example: SpatialExample, start: int, blocks: list[tuple[torch.Tensor, ...]], length: int
    ) -> None:
        """Raises rather than cuts: a cut block would end in the middle of its answer."""
        longest = start + max(len(ids) for ids, *_ in blocks)
        if self.max_length is not None and longest > self.max_length:
            raise SpatialDataError(
                f"Sample {example.sample_id!r}: its {len(example.frames)} frames and its longest question take "
                f"{longest} tokens, more than max_length={self.max_length}. Raise max_length, or lower num_frames."
            )
        if self.max_packed_tokens is not None and length > self.max_packed_tokens:
            raise SpatialDataError(
                f"Sample {example.sample_id!r}: its {len(example.frames)} frames and {len(blocks)} questions take "
                f"{length} tokens, more than max_packed_tokens={self.max_packed_tokens}. Raise it, or ask fewer "
                "questions per sample."
            )

    def _write_prefix(self, num_frames: int) -> str:
        return self.processor.split_prompt(num_frames, frames_as=self.frames_as)

    def _tokenise_block(
        self, turns: tuple[tuple[str, str | None], ...], num_frames: int
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[int, ...]]:
        """As `_tokenise_conversation`, of one question behind the prefix, or of a whole dialogue."""
        question, answer = turns[0]
        prefix = self._prefixes(num_frames)
        asked = self.processor.prompt_text([question], num_frames, frames_as=self.frames_as)
        rest = self._ids(asked[len(prefix) :])
        if not rest or self._ids(prefix) + rest != self._ids(asked):
            raise ValueError(
                f"Question {question!r}: its tokens depend on what stands before it in {asked!r}, so it cannot be "
                "packed. Set pack_questions to false for this base."
            )
        labels, asks = [IGNORED] * len(rest), ()
        if answer is not None:
            _, answer_ids, answer_labels, asks = self._conversation_tokens(turns, num_frames)
            asks = tuple(len(rest) + ask for ask in asks)
            rest += answer_ids.tolist()
            labels += answer_labels.tolist()
        return torch.tensor(rest), torch.tensor(labels), asks

    def _length(self, example: SpatialExample, prompt_length: int, tail_ids: torch.Tensor) -> int:
        length = prompt_length + len(tail_ids)
        if self.max_length is None or length <= self.max_length:
            return length
        if prompt_length + min(1, len(tail_ids)) > self.max_length:
            raise SpatialDataError(
                f"Sample {example.sample_id!r}: its {len(example.frames)} frames and first question take "
                f"{prompt_length} tokens, max_length={self.max_length} would cut them. Raise max_length (or leave it "
                "unset), or lower num_frames."
            )
        if not self._warned_of_cut:
            self._warned_of_cut = True
            logger.warning(
                "Sample %r has %d tokens, max_length=%d cuts the end of its conversation, and perhaps that of others: "
                "raise max_length or lower questions_per_row. Said once.",
                example.sample_id,
                length,
                self.max_length,
            )
        return self.max_length

    def _tokenise_conversation(
        self, conversation: tuple[tuple[str, str], ...], num_frames: int
    ) -> tuple[str, torch.Tensor, torch.Tensor, tuple[int, ...]]:
        """The first prompt as text, the ids and labels of all that follows it, and where in it a `<ground>` ends."""
        if not conversation:
            prompt = self.processor.prompt_text([self.unannotated_prompt], num_frames, frames_as=self.frames_as)
            return prompt, torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long), ()
        first_prompt = None
        so_far = ""
        turns: list[str] = []
        ids: list[int] = []
        labels: list[int] = []
        asks: list[int] = []
        for question, answer in conversation:
            asked = self.processor.prompt_text([*turns, question], num_frames, frames_as=self.frames_as)
            turns += [question, answer]
            answered = self.processor.prompt_text(turns, num_frames, frames_as=self.frames_as)
            # LLaVA-OneVision opens an answer to come with "assistant\n" and one that is given with "assistant \n".
            start = len(asked) if answered.startswith(asked) else answered.rfind(answer.strip())
            if not asked.startswith(so_far) or not answered.startswith(so_far) or start < len(so_far):
                raise ValueError(
                    "The chat template rewrites earlier turns when a later one is added, so answers cannot be told "
                    f"from questions: {so_far!r} is no beginning of {answered!r}. Use another template, or one "
                    "question per row."
                )
            if first_prompt is None:
                first_prompt = asked
            else:
                asked_ids = self._ids(asked[len(so_far) :])
                ids += asked_ids
                labels += [IGNORED] * len(asked_ids)
            answer_ids = self._ids(answered[start:])
            if answer == GROUND_TOKEN and self.ground_geometry_inputs is not None:
                token = self._ids(GROUND_TOKEN)  # as many as the base's tokenizer makes of it
                if answer_ids[: len(token)] != token:
                    raise ValueError(
                        f"{GROUND_TOKEN} is tokenised otherwise in {answered[start:]!r}: use another chat template."
                    )
                asks.append(len(ids) + len(token) - 1)
                labels += [IGNORED] * len(answer_ids)  # the head answers
            else:
                labels += answer_ids
            ids += answer_ids
            so_far = answered
        return first_prompt, torch.tensor(ids), torch.tensor(labels), tuple(asks)

    def _ids(self, text: str) -> list[int]:
        return self.processor.tokenizer(text, add_special_tokens=False).input_ids
