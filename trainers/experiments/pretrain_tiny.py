"""Teaches the tiny base VLM 2D: colours, shapes, counts and where things are in the image. No depth, pose or metres.

    igep pretrain-tiny --output trainers/tiny_base

This is the command that made the weights in `trainers/tiny_base`. The IGEP paper starts from a VLM that knows 2D; this
script makes such a start at a size that two processor cores can train in minutes. Many questions about one room share
one sequence: each sees the frames and itself only.
"""

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tqdm import tqdm
from transformers import LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor

from igep.question_packing import PREFIX, offsets_in_blocks, packed_mask
from igep.trainers.data.rooms.room_questions import PLANAR_QUESTION_TYPES, PLANAR_QUESTIONS, ask_about, room_views
from igep.trainers.data.rooms.room_renderer import COLOURS, SHAPES, RenderedRooms, RoomSpec
from igep.trainers.data.rooms.synthetic_rooms import rendered_chunks
from igep.trainers.experiments.tiny_vlm import build_model, build_processor


BLOCK = 18  # tokens per question and answer; the longest pair of these families takes 16
FRAMES = 2


@dataclass
class PlanarRooms:
    """Rooms as tensors, with questions already tokenised.

    Args:
        pixels (`torch.Tensor`): (R, F, 3, H, W) uint8.
        colour_fractions (`torch.Tensor`): (R, F * h * w, colours + 1) share of each colour under each visual token;
            the last column is "no object".
        shape_fractions (`torch.Tensor`): (R, F * h * w, shapes + 1), likewise.
        tokens (`torch.Tensor`): (R, Q, BLOCK) question and answer tokens, padded on the right.
        is_answer (`torch.Tensor`): (R, Q, BLOCK) bool.
        question_type (`torch.Tensor`): (R, Q) index into `PLANAR_QUESTION_TYPES`.
    """

    pixels: torch.Tensor
    colour_fractions: torch.Tensor
    shape_fractions: torch.Tensor
    tokens: torch.Tensor
    is_answer: torch.Tensor
    question_type: torch.Tensor

    def batch(self, rooms: torch.Tensor) -> "PlanarRooms":
        return PlanarRooms(*(value[rooms] for value in vars(self).values()))


def planar_rooms(
    num_rooms: int, questions_per_room: int, seed: int, processor: LlavaOnevisionProcessor
) -> PlanarRooms:
    """Renders rooms and asks each the same number of 2D questions (repeats fill rooms that offer fewer)."""
    tokenizer = processor.tokenizer
    chunks = []
    rng = random.Random(seed)
    bar = tqdm(total=num_rooms, desc="rendering rooms", unit="room")
    for rendered in rendered_chunks(num_rooms, seed=seed, spec=RoomSpec(num_frames=FRAMES)):
        rooms = len(rendered.frames)
        tokens = torch.full((rooms, questions_per_room, BLOCK), tokenizer.pad_token_id)
        is_answer = torch.zeros(rooms, questions_per_room, BLOCK, dtype=torch.bool)
        question_type = torch.zeros(rooms, questions_per_room, dtype=torch.long)
        for room, view in enumerate(room_views(rendered)):
            asked = ask_about(view, questions_per_room, PLANAR_QUESTIONS, rng)
            for slot in range(questions_per_room):
                one = asked[slot % len(asked)]
                question = tokenizer(one.question).input_ids
                both = question + tokenizer(one.answer + "<eos>").input_ids
                tokens[room, slot, : len(both)] = torch.tensor(both)
                is_answer[room, slot, len(question) : len(both)] = True
                question_type[room, slot] = PLANAR_QUESTION_TYPES.index(one.question_type)
        pixels = rendered.frames.permute(0, 1, 4, 2, 3).contiguous()
        colours = _word_fractions(rendered, rendered.layout.colour, len(COLOURS))
        shapes = _word_fractions(rendered, rendered.layout.shape, len(SHAPES))
        chunks.append(PlanarRooms(pixels, colours, shapes, tokens, is_answer, question_type))
        bar.update(rooms)
    bar.close()
    return PlanarRooms(*(torch.cat([vars(chunk)[name] for chunk in chunks]) for name in vars(chunks[0])))


def _word_fractions(rendered: RenderedRooms, word_of_slot: torch.Tensor, words: int, cell: int = 16) -> torch.Tensor:
    """LLaVA-OneVision pools 2 x 2 patches of 8 px for the language model, hence cells of 16 px."""
    rooms, frames, height, width = rendered.object_index.shape
    slot = rendered.object_index.long().reshape(rooms, -1)
    word = word_of_slot.gather(1, slot.clamp_min(0))
    word = torch.where(slot < 0, words, word).reshape(rooms, frames, height, width)
    share = F.one_hot(word, words + 1).float()
    share = share.reshape(rooms, frames, height // cell, cell, width // cell, cell, -1).mean((3, 5))
    return share.reshape(rooms, -1, share.shape[-1])


def block_mask(vision_tokens: int, questions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention and positions of one video followed by independent question blocks.

    Args:
        vision_tokens (`int`): V, length of the shared prefix.
        questions (`int`): Q blocks of `BLOCK` tokens.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: (L, L) bool mask, causal and blind to other blocks, and (L,) positions
        that restart after the prefix.
    """
    block = torch.cat([torch.full((vision_tokens,), PREFIX), torch.arange(1, questions + 1).repeat_interleave(BLOCK)])[
        None
    ]
    one_set = torch.zeros_like(block)
    mask = packed_mask(one_set, block)[0, 0]
    positions = (offsets_in_blocks(one_set, block) + vision_tokens * (block != PREFIX))[0]
    return mask, positions


def encode(model: LlavaOnevisionForConditionalGeneration, pixels: torch.Tensor):
    return model.model.get_video_features(pixels.float() / 127.5 - 1, return_dict=True)


def answer_logits(model: LlavaOnevisionForConditionalGeneration, rooms: PlanarRooms, vision):
    """Logits and targets at the answer tokens, and the (room, question) each belongs to."""
    count, questions = rooms.tokens.shape[:2]
    vision_tokens = vision.pooler_output.shape[1]
    mask, positions = block_mask(vision_tokens, questions)
    video = torch.full((count, vision_tokens), model.config.video_token_id)
    hidden = model.model(
        input_ids=torch.cat([video, rooms.tokens.flatten(1)], 1),
        attention_mask=mask.expand(count, 1, -1, -1),
        position_ids=positions.expand(count, -1),
        mm_encoder_outputs={"video": vision},
        use_cache=False,
    ).last_hidden_state[:, vision_tokens:]
    hidden = hidden.reshape(count, questions, BLOCK, -1)[:, :, :-1]
    supervised = rooms.is_answer[:, :, 1:]
    return model.lm_head(hidden[supervised]), rooms.tokens[:, :, 1:][supervised], supervised.nonzero()[:, :2]


def naming_loss(
    model: LlavaOnevisionForConditionalGeneration, vision, word_ids: torch.Tensor, fractions: torch.Tensor
):
    """Cross-entropy between each visual token's likeness to some words and the share of them truly under it.

    The last word stands for "no object". Most tokens show none, so the words among themselves count a second time,
    over the object pixels alone.
    """
    words = model.get_input_embeddings().weight[word_ids]
    scores = vision.pooler_output[:, :-1] @ words.T / words.shape[1] ** 0.5
    everywhere = -(fractions * scores.log_softmax(-1)).sum(-1).mean()
    shown = fractions[..., :-1]
    on_objects = -(shown * scores[..., :-1].log_softmax(-1)).sum() / shown.sum().clamp_min(1e-6)
    return everywhere + on_objects


@torch.no_grad()
def exact_match(model: LlavaOnevisionForConditionalGeneration, rooms: PlanarRooms) -> dict[str, float]:
    """Share of answers whose every token is the most likely one, per question type."""
    model.eval()
    right = torch.ones(rooms.tokens.shape[:2], dtype=torch.bool)
    for start in range(0, len(rooms.tokens), 64):
        part = rooms.batch(torch.arange(start, min(start + 64, len(rooms.tokens))))
        logits, targets, where = answer_logits(model, part, encode(model, part.pixels))
        wrong = where[logits.argmax(-1) != targets]
        right[start + wrong[:, 0], wrong[:, 1]] = False
    model.train()
    families = enumerate(PLANAR_QUESTION_TYPES)
    return {name: right[rooms.question_type == index].float().mean().item() for index, name in families}


def train_stage(
    model: LlavaOnevisionForConditionalGeneration,
    rooms: PlanarRooms,
    loss_of: Callable[[PlanarRooms], torch.Tensor],
    held_out: PlanarRooms,
    *,
    name: str,
    steps: int,
    batch_size: int,
    learning_rate: float,
) -> None:
    """AdamW on random batches of rooms: 60 steps up, flat, linear down over the last 60 %."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 60, 1) * min(1, max(0.02, (steps - step) / (0.6 * steps)))
    )
    model.train()
    bar = tqdm(range(steps), desc=name, unit="step")
    for step in bar:
        loss = loss_of(rooms.batch(torch.randint(len(rooms.pixels), (batch_size,))))
        if not torch.isfinite(loss):
            raise FloatingPointError(f"loss is {loss.item()} at step {step}: lower --learning_rate ({learning_rate})")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
        if step % 500 == 499:
            scores = exact_match(model, held_out)
            tqdm.write(f"{name} {step + 1}: " + "  ".join(f"{kind} {score:.3f}" for kind, score in scores.items()))
    model.eval()


def pretrain(
    *,
    rooms: int,
    questions_per_room: int,
    naming_steps: int,
    question_steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> tuple[LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor, dict[str, float]]:
    """Trains the tiny base from scratch, first the encoder, briefly, to name what it sees, then the whole to answer.

    Args:
        rooms (`int`): Training rooms.
        questions_per_room (`int`): 2D questions per room, packed in one sequence.
        naming_steps (`int`): Steps on `naming_loss` alone. Without them words do not bind to places; with many the
            encoder forgets where things are.
        question_steps (`int`): Steps on questions and `naming_loss`.
        batch_size (`int`): Rooms per step; twice as many while naming.
        learning_rate (`float`): Peak learning rate.
        seed (`int`): Initialisation, order and the rooms themselves.

    Returns:
        The model, its processor, and held-out exact match per question type.
    """
    torch.manual_seed(seed)
    processor = build_processor()
    model = build_model(processor)
    train = planar_rooms(rooms, questions_per_room, seed=seed, processor=processor)
    held_out = planar_rooms(256, questions_per_room, seed=seed + 1, processor=processor)
    to_ids = processor.tokenizer.convert_tokens_to_ids
    colour_ids, shape_ids = (torch.tensor(to_ids([*words, "<unk>"])) for words in (COLOURS, SHAPES))

    def names(batch: PlanarRooms, vision) -> torch.Tensor:
        colours = naming_loss(model, vision, colour_ids, batch.colour_fractions)
        return colours + naming_loss(model, vision, shape_ids, batch.shape_fractions)

    def answers(batch: PlanarRooms) -> torch.Tensor:
        vision = encode(model, batch.pixels)
        logits, targets, _ = answer_logits(model, batch, vision)
        return F.cross_entropy(logits, targets) + 0.5 * names(batch, vision)

    train_stage(
        model,
        train,
        lambda batch: names(batch, encode(model, batch.pixels)),
        held_out,
        name="naming",
        steps=naming_steps,
        batch_size=2 * batch_size,
        learning_rate=learning_rate,
    )
    train_stage(
        model,
        train,
        answers,
        held_out,
        name="answering",
        steps=question_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )
    return model, processor, exact_match(model, held_out)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="pretrain_tiny.py", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/tiny_base"), help="directory for weights and processor"
    )
    parser.add_argument("--rooms", type=int, default=8192, help="training rooms")
    parser.add_argument("--questions_per_room", type=int, default=12, help="2D questions per room")
    parser.add_argument("--naming_steps", type=int, default=200, help="steps of the encoder on colours and shapes")
    parser.add_argument("--question_steps", type=int, default=3000, help="steps of the whole model on 2D questions")
    parser.add_argument("--batch_size", type=int, default=32, help="rooms per step; twice as many while naming")
    parser.add_argument("--learning_rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=11, help="seed of rooms, initialisation and order")
    options = vars(parser.parse_args(arguments))
    output = options.pop("output")
    model, processor, scores = pretrain(**options)
    model.eval().save_pretrained(output)
    processor.save_pretrained(output)
    print(f"{'question type':<18}exact match on 256 held-out rooms")
    for name, score in scores.items():
        print(f"{name:<18}{score:.3f}")
    print(f"saved {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters to {output}")


if __name__ == "__main__":
    main()
