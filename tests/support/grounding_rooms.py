"""Synthetic rooms whose questions boxes answer, as tables every scene loader reads, and a tiny model to learn them."""

from pathlib import Path

import numpy as np
import torch
from datasets import Dataset

from igep.box_queries import along_box_axes
from igep.spatial_prompts import GROUND_TOKEN
from igep.trainers.data.ground_truth import axis_aligned_boxes
from igep.trainers.data.rooms.room_questions import SPATIAL_QUESTIONS
from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms
from igep.trainers.data.row_texts import add_words
from igep.trainers.experiments.tiny_vid_llm import vid_llm_base


CENTRE = tuple(writer for writer in SPATIAL_QUESTIONS if writer.__name__ == "_centre")


def write_grounding_rooms(folder: Path, num_rooms: int, seed: int, questions_per_room: int = 3) -> Path:
    """Writes rooms that ask where objects are, answered by boxes; the words are those that the tiny base knows."""
    scenes, questions = synthetic_rooms(
        num_rooms, seed=seed, questions_per_room=questions_per_room, writers=CENTRE, num_frames=2
    )
    questions = questions.map(lambda row: {"answers": [GROUND_TOKEN], "question_type": "unique"})
    card = "---\nconfigs:\n"
    for name, table in (("scenes", scenes), ("questions", questions)):
        table.to_parquet(folder / name / "train-00000-of-00001.parquet")
        card += f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/train-*\n"
    (folder / "README.md").write_text(card + "---\n")
    return folder


def along_first_cameras(scenes: Dataset) -> list[np.ndarray]:
    """(P, 6) boxes of each scene, each the smallest along the axes of the first camera, in that camera's world."""
    found = []
    for row in scenes.select_columns(["scene_id", "boxes", "world_from_camera"]):
        boxes = axis_aligned_boxes(row["scene_id"], row["boxes"], range(len(row["boxes"])))
        first = torch.tensor(row["world_from_camera"][0], dtype=torch.float64)
        found.append(along_box_axes(torch.from_numpy(boxes), first, "first_camera").numpy())
    return found


def save_box_base(folder: Path, **fields) -> Path:
    """The tiny Vid-LLM of the embedded base with a box decoder, before training; its tokenizer knows `<ground>`."""
    model, processor = vid_llm_base(box_decoder=True, **fields)
    add_words(processor.tokenizer, [GROUND_TOKEN])
    model.model.causal_lm.resize_token_embeddings(len(processor.tokenizer))
    model.config.location_token_ids = processor.tokenizer(GROUND_TOKEN, add_special_tokens=False).input_ids
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
