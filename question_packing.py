"""Many questions about one set of images in one sequence, each answered as if it were alone.

The images and the text before the questions are the prefix of their set and stand in the sequence once. Every question
with its answer is a block: it attends to the prefix and to itself, and its positions go on where the prefix ends, as
they would behind the prefix alone. Losses, gradients and greedy answers are therefore those of separate sequences.
Several sets can share a sequence; they do not attend to each other.

Masks are added to the attention scores, the form that both `sdpa` and `eager` attention of transformers take.
`flex_attention` takes a `BlockMask`, with which it skips what no token attends to. Flash attention takes neither.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from transformers import DynamicCache, GenerationConfig, PreTrainedModel
from transformers.utils import ModelOutput, logging

from .base_vlm import cache_argument, has_three_axes


logger = logging.get_logger(__name__)

PADDING = -1  # set of a token that belongs to none
PREFIX = 0  # block of the tokens that all questions of a set share; questions count from 1
# Settings of `generate` that change which token greedy decoding takes, with the value that changes nothing.
BEYOND_GREEDY = {
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": 0,
    "num_beams": 1,
    "guidance_scale": 1.0,
    "bad_words_ids": None,
    "sequence_bias": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None,
    "stop_strings": None,
    "watermarking_config": None,
}


def beyond_greedy(settings: GenerationConfig) -> dict[str, Any]:
    """Settings of a model under which `generate(do_sample=False)` may take another token than the likeliest.

    Args:
        settings (`GenerationConfig`): The model's.

    Returns:
        `dict[str, Any]`: Those of `BEYOND_GREEDY` that are not neutral.
    """
    stated = settings.to_dict()
    return {name: stated[name] for name, neutral in BEYOND_GREEDY.items() if stated.get(name) not in (None, neutral)}


def _in_words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def may_attend(query_set: Tensor, query_block: Tensor, key_set: Tensor, key_block: Tensor) -> Tensor:
    """Says which tokens may attend to which, apart from their order; shapes broadcast.

    Args:
        query_set (`Tensor`), key_set (`Tensor`): Set of each token, `PADDING` for none.
        query_block (`Tensor`), key_block (`Tensor`): Block of each token within its set, `PREFIX` or a question.

    Returns:
        bool: whether the key is of the query's set, and of its prefix or of the query's own block.
    """
    return (query_set == key_set) & ((key_block == PREFIX) | (key_block == query_block))


def packed_mask(set_index: Tensor, block_index: Tensor) -> Tensor:
    """The attention mask of packed sequences.

    Args:
        set_index (`Tensor`): (R, L) long, set of each token, `PADDING` where there is none.
        block_index (`Tensor`): (R, L) long, block of each token within its set.

    Returns:
        (R, 1, L, L) bool. Padding attends to padding before it, so that no row of the softmax is empty.
    """
    mask = may_attend(set_index[:, :, None], block_index[:, :, None], set_index[:, None], block_index[:, None])
    length = set_index.shape[1]
    return (mask & torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()).unsqueeze(1)


def packed_block_mask(set_index: Tensor, block_index: Tensor) -> BlockMask:
    """The same mask for flex attention, which skips what no token attends to.

    Args:
        set_index (`Tensor`): (R, L) long.
        block_index (`Tensor`): (R, L) long.

    Returns:
        `BlockMask` of (R, 1, L, L).
    """

    def attends(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & may_attend(
            set_index[row, query], block_index[row, query], set_index[row, key], block_index[row, key]
        )

    rows, length = set_index.shape
    return create_block_mask(attends, rows, None, length, length, device=set_index.device)


def additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Turns a mask into what is added to attention scores.

    Args:
        mask (`Tensor`): bool of any shape, whether the query may attend to the key.
        dtype (`torch.dtype`): Floating type of the scores.

    Returns:
        `Tensor`: 0 where it may, the lowest number of the type where it may not.
    """
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


def offsets_in_blocks(set_index: Tensor, block_index: Tensor) -> Tensor:
    """Numbers the tokens of every block from 0.

    Args:
        set_index (`Tensor`): (R, L) long.
        block_index (`Tensor`): (R, L) long; the tokens of a block follow each other.

    Returns:
        (R, L) long.
    """
    place = torch.arange(set_index.shape[1], device=set_index.device).expand_as(set_index)
    starts = torch.ones_like(set_index, dtype=torch.bool)
    starts[:, 1:] = (set_index[:, 1:] != set_index[:, :-1]) | (block_index[:, 1:] != block_index[:, :-1])
    return place - torch.where(starts, place, 0).cummax(1).values


def packed_positions(vlm: PreTrainedModel, input_ids: Tensor, set_index: Tensor, block_index: Tensor, inputs: dict):
    """Positions that restart for every set, and go on behind the prefix for every question.

    Args:
        vlm (`PreTrainedModel`): The base VLM; where it has positions of three axes (Qwen), they are its own.
        input_ids (`Tensor`): (R, L).
        set_index (`Tensor`): (R, L) long, sets numbered from 0 over the whole batch in the order of the tokens.
        block_index (`Tensor`): (R, L) long.
        inputs (`dict`): The batch's other inputs: grids and token types.

    Returns:
        (R, L) or (3, R, L) long.
    """
    offsets = offsets_in_blocks(set_index, block_index)
    in_prefix = (block_index == PREFIX) & (set_index != PADDING)
    sets = int(set_index.max()) + 1
    lengths = torch.bincount(set_index[in_prefix], minlength=sets)
    if not has_three_axes(vlm):
        positions = torch.where(in_prefix, offsets, offsets + lengths[set_index.clamp(min=0)])
        return positions.masked_fill(set_index == PADDING, 0)
    # Where text goes on behind a video is the base's own matter: one more token behind each prefix tells.
    place = torch.arange(int(lengths.max()) + 1, device=lengths.device)
    real = place < lengths[:, None]
    prefixes = input_ids.new_zeros(real.shape)
    prefixes[real] = input_ids[in_prefix]
    index_of = vlm.base_model.get_rope_index
    accepted = inspect.signature(index_of).parameters
    given = {name: value for name, value in inputs.items() if name in accepted}
    types = torch.zeros_like(prefixes)
    types[real] = given.pop("mm_token_type_ids")[in_prefix].to(types.dtype)
    attended = (place <= lengths[:, None]).long()
    rope, _ = index_of(**(given | {"input_ids": prefixes, "attention_mask": attended, "mm_token_type_ids": types}))
    starts = rope[0].gather(1, lengths[:, None])[:, 0]
    positions = (offsets + starts[set_index.clamp(min=0)]).masked_fill(set_index == PADDING, 0).repeat(3, 1, 1)
    positions[:, in_prefix] = rope[:, real]
    return positions


def packed_inputs(
    vlm: PreTrainedModel,
    input_ids: Tensor,
    set_index: Tensor,
    block_index: Tensor,
    inputs: dict,
    *,
    as_block_mask: bool = False,
) -> dict:
    """The attention mask and the positions of packed sequences, as keyword arguments of the base model.

    Args:
        vlm (`PreTrainedModel`): The base VLM.
        input_ids (`Tensor`): (R, L).
        set_index (`Tensor`): (R, L) long, sets numbered from 0 over the whole batch in the order of the tokens.
        block_index (`Tensor`): (R, L) long.
        inputs (`dict`): The batch's other inputs.
        as_block_mask (`bool`, *optional*, defaults to `False`): Mask in the form that `flex_attention` takes, instead
            of that of `sdpa` and `eager`.

    Returns:
        `dict` with `attention_mask` and `position_ids`.
    """
    if as_block_mask:
        mask = packed_block_mask(set_index, block_index)
    else:
        mask = additive_mask(packed_mask(set_index, block_index), vlm.dtype)
    return {
        "attention_mask": mask,
        "position_ids": packed_positions(vlm, input_ids, set_index, block_index, inputs),
    }


def join_prefix(prefix: dict, questions: list[list[int]]) -> tuple[Tensor, Tensor, dict]:
    """Puts questions behind what they share: one row of L tokens, P of the prefix, then the questions, block by block.

    Args:
        prefix (`dict`): The processor's tensors for the prefix, a batch of one without padding.
        questions (`list[list[int]]`): Token ids of each question.

    Returns:
        `tuple[Tensor, Tensor, dict]`: (1, L) tokens; (L,) block of each; and the other inputs of the prefix, those
        with an entry per token prolonged, without its attention mask.

    Raises:
        ValueError: No question, an empty question, or a prefix of more than one row.
    """
    if not questions or not all(questions):
        raise ValueError(f"questions holds {len(questions)} questions, each must have at least one token.")
    input_ids = prefix["input_ids"]
    if input_ids.shape[0] != 1:
        raise ValueError(f"prefix has {input_ids.shape[0]} rows: give the inputs of one set of images.")
    device = input_ids.device
    blocks = [torch.full((len(ids),), number, device=device) for number, ids in enumerate(questions, 1)]
    key_block = torch.cat([torch.full(input_ids.shape[1:], PREFIX, device=device), *blocks])
    asked = torch.tensor([token for ids in questions for token in ids], device=device)  # (L - P,)
    inputs = {name: value for name, value in prefix.items() if name not in ("input_ids", "attention_mask")}
    if "mm_token_type_ids" in inputs:
        types = inputs["mm_token_type_ids"]
        inputs["mm_token_type_ids"] = torch.cat([types, types.new_zeros(1, len(asked))], 1)
    return torch.cat([input_ids, asked[None]], 1), key_block, inputs


@torch.no_grad()
def answer_questions(
    vlm: PreTrainedModel,
    prefix: dict,
    questions: list[list[int]],
    *,
    max_new_tokens: int,
    eos_token_ids: list[int],
    on_step: Callable[[int], None] | None = None,
) -> list[list[int]]:
    """Answers many questions about one set of images greedily: one prefill, one cache, one sequence.

    The prefix is encoded and cached once. All questions are read in the same pass, and every further step adds one
    token to each answer that is not finished. The likeliest token is taken: answers are those of
    `generate(do_sample=False)` on each question alone, unless the model's `generation_config` has a setting of
    `BEYOND_GREEDY`, which is not followed; a warning names it once.

    Args:
        vlm (`PreTrainedModel`): The base VLM in eval mode, with `sdpa` or `eager` attention.
        prefix (`dict`): The processor's tensors for the prefix, a batch of one without padding.
        questions (`list[list[int]]`): Token ids of each question behind the prefix, up to where its answer begins.
        max_new_tokens (`int`): Longest answer.
        eos_token_ids (`list[int]`): Tokens that end an answer; they are returned with it.
        on_step (`Callable[[int], None]`, *optional*): Called after every step with the number of finished answers.

    Returns:
        `list[list[int]]`: The tokens of each answer.

    Raises:
        ValueError: No question, an empty question, or a prefix of more than one row.
    """
    ignored = beyond_greedy(vlm.generation_config)
    if ignored:
        logger.warning_once(
            f"Questions of one prefix take the likeliest token; the model's {_in_words(ignored)} in generation_config "
            "is not followed. Ask them one by one with `generate` to follow it."
        )
    device = prefix["input_ids"].device
    running = torch.arange(1, len(questions) + 1, device=device)  # (K,) blocks of the answers that are not finished
    input_ids, key_block, inputs = join_prefix(prefix, questions)
    set_index = torch.zeros_like(input_ids)

    # Prefill: everything is read, and cached, in one pass.
    packed = packed_inputs(vlm, input_ids, set_index, key_block[None], inputs)
    positions = packed["position_ids"]  # (1, L) or (3, 1, L)
    cache = {cache_argument(vlm): DynamicCache(config=vlm.config.get_text_config()), "use_cache": True}
    output: ModelOutput = vlm.base_model(input_ids=input_ids, **(inputs | packed), **cache)

    # The last token of each question tells the first of its answer.
    ends = torch.tensor([len(ids) for ids in questions], device=device).cumsum(0) - 1 + prefix["input_ids"].shape[1]
    hidden = output.last_hidden_state[0, ends]  # (K, C)
    # As `generate` and training count on: behind the last token, though a long Qwen2.5-VL video has larger times.
    positions = positions[..., ends] + 1  # (1, K) or (3, 1, K)

    # Decode: every step is one row with the next token of each running answer; finished ones leave it.
    answers: list[list[int]] = [[] for _ in questions]
    stops = torch.tensor(eos_token_ids, device=device)
    head = vlm.get_output_embeddings()
    for step in range(max_new_tokens):
        tokens = head(hidden).argmax(-1)  # (K,)
        for question, token in zip(running.tolist(), tokens.tolist(), strict=True):
            answers[question - 1].append(token)
        going = ~torch.isin(tokens, stops)
        tokens, running, positions = tokens[going], running[going], positions[..., going]
        if on_step is not None:
            on_step(len(questions) - len(running))
        if not len(running) or step + 1 == max_new_tokens:
            break
        key_block = torch.cat([key_block, running])  # (L + K,), growing with the cache
        attends = may_attend(set_index[0, :1], running[:, None], set_index[0, :1], key_block)  # (K, L + K)
        output = vlm.base_model(
            input_ids=tokens[None],
            attention_mask=additive_mask(attends[None, None], vlm.dtype),
            position_ids=positions,
            **cache,
        )
        hidden = output.last_hidden_state[0]
        positions = positions + 1
    return answers
