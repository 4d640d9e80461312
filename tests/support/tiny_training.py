"""What the training tests share: a few posed RGB-D samples of a slanted wall, and a trainer over a tiny checkpoint."""

from pathlib import Path

import numpy as np
import torch
from tiny_checkpoints import FRAME_SIZE, random_frames

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.sft_config import IGEPSFTConfig
from igep.trainers.sft_trainer import IGEPSFTTrainer
from igep.trainers.supervision.teacher import Teacher


GEOMETRY_SIZE = (16, 24)


class SlantedWalls(torch.utils.data.Dataset):
    """Samples of a wall z = 2 + x / 2 seen by cameras that step sideways: exact depth, overlapping views.

    Args:
        rows (`int`): Number of samples. Every fourth one has no question, every fourth one has two.
        num_frames (`int`): Frames of a sample.
    """

    def __init__(self, rows: int = 8, num_frames: int = 2):
        self.rows = rows
        self.num_frames = num_frames

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> SpatialExample:
        if row >= self.rows:
            raise IndexError(row)
        height, width = GEOMETRY_SIZE
        focal = float(width)
        intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=np.float32)
        shift = 0.1 * np.arange(self.num_frames) + 0.05 * row
        poses = np.tile(np.eye(4), (self.num_frames, 1, 1))
        poses[:, 0, 3] = shift
        ray = (np.arange(width) + 0.5 - width / 2) / focal
        depth = (2 + shift[:, None] / 2) / (1 - ray / 2)
        depth = np.broadcast_to(depth[:, None], (self.num_frames, height, width)).astype(np.float32)
        questions = (("How far is the wall?", f"{2 + row / 4:.2f}"), ("Is it slanted?", "yes"))
        return SpatialExample(
            sample_id=f"wall-{row}",
            scene_id=f"scene-{row}",
            frame_ids=tuple(str(frame) for frame in range(self.num_frames)),
            frames=tuple(random_frames(self.num_frames, seed=row, size=FRAME_SIZE)),
            depth_metres=depth,
            intrinsics=np.tile(intrinsics, (self.num_frames, 1, 1)),
            world_from_camera=poses,
            conversation=questions[: (1, 1, 2, 0)[row % 4]],
        )


def make_args(output_dir: Path, **fields) -> IGEPSFTConfig:
    """Returns options for a short run on CPU, quick and quiet unless `fields` say otherwise."""
    defaults = {
        "output_dir": str(output_dir),
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "geometry_size": list(GEOMETRY_SIZE),
        "verifier_channels": 8,
        "lr_scheduler_type": "constant",
    }
    return IGEPSFTConfig(**(defaults | fields))


def make_trainer(base: Path, output_dir: Path, dataset=None, eval_dataset=None, **fields) -> IGEPSFTTrainer:
    """Returns a trainer of the base in a folder; `fields` are options, and `teacher`, `peft_config`, `callbacks`."""
    own = {name: fields.pop(name) for name in ("peft_config", "callbacks", "data_collator") if name in fields}
    if isinstance(fields.get("teacher"), Teacher):  # a teacher itself; a word is the option
        own["teacher"] = fields.pop("teacher")
    return IGEPSFTTrainer(
        model=IGEPForConditionalGeneration.from_base(base),
        args=make_args(output_dir, **fields),
        train_dataset=SlantedWalls() if dataset is None else dataset,
        eval_dataset=eval_dataset,
        processing_class=IGEPProcessor.from_base(base),
        **own,
    )


def logged(trainer: IGEPSFTTrainer, name: str) -> list[float]:
    """Returns every logged value of one name, in order."""
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def weights(trainer: IGEPSFTTrainer) -> dict[str, torch.Tensor]:
    """Returns a copy of every parameter, heads included."""
    return {name: parameter.detach().clone() for name, parameter in trainer.igep_model.named_parameters()}
