"""What the tests of Vid-LLM's two stages share: trainers over a tiny random model and a few posed RGB-D samples."""

from pathlib import Path

import torch
from tiny_checkpoints import FRAME_SIZE
from tiny_training import SlantedWalls
from tiny_vid_llm import build_vid_llm

from igep.trainers.distill_config import DistillConfig
from igep.trainers.distill_trainer import DistillTrainer
from igep.trainers.joint_config import JointConfig
from igep.trainers.joint_trainer import JointTrainer
from igep.trainers.supervision.teacher import Teacher, TeacherGeometry
from igep.trainers.vid_llm_trainer import VidLLMTrainer


STAGES = {"distill": (DistillConfig, DistillTrainer), "joint": (JointConfig, JointTrainer)}


class ColourTeacher(Teacher):
    """A semantic teacher without weights: the mean colour of each patch, from -1 to 1, and 1."""

    channels = 4
    frame_size = FRAME_SIZE

    def __call__(self, frames: torch.Tensor | None, geometry: TeacherGeometry) -> torch.Tensor:
        patches = frames.float().unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8)).mean((-3, -1)) / 127.5 - 1
        descriptors = torch.cat([patches, torch.ones_like(patches[:, :, :1])], 2).movedim(2, -1)
        return descriptors * geometry.frame_mask[..., None, None, None]


def make_trainer(stage: str, output_dir: Path, dataset=None, eval_dataset=None, **fields) -> VidLLMTrainer:
    """A trainer for a short run on CPU, quick and quiet unless `fields` say otherwise.

    Args:
        stage (`str`): `"distill"` or `"joint"`.
        output_dir (`Path`): Folder.
        dataset, eval_dataset (*optional*): Rows.
        **fields: Options; and `model_fields` of the model, `dtype` that it is loaded in, `peft_config`, `callbacks`,
            `data_options`.
    """
    config, trainer = STAGES[stage]
    own = {name: fields.pop(name) for name in ("peft_config", "callbacks", "data_options") if name in fields}
    if stage == "distill":
        own["language_teacher"] = ColourTeacher()
    model, processor = build_vid_llm(**({"frame_size": FRAME_SIZE} | fields.pop("model_fields", {})))
    if (dtype := fields.pop("dtype", None)) is not None:
        model.save_pretrained(output_dir / "base")
        model = type(model).from_pretrained(output_dir / "base", dtype=dtype)
    defaults = {
        "output_dir": str(output_dir),
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "lr_scheduler_type": "constant",
    }
    return trainer(
        model=model.train(),
        args=config(**(defaults | fields)),
        train_dataset=SlantedWalls() if dataset is None else dataset,
        eval_dataset=eval_dataset,
        processing_class=processor,
        **own,
    )


def weights(trainer: VidLLMTrainer) -> dict[str, torch.Tensor]:
    """A copy of every parameter, heads and adapters included."""
    return {name: value.detach().clone() for name, value in trainer.unwrapped_model.named_parameters()}


def changed(trainer: VidLLMTrainer, before: dict[str, torch.Tensor]) -> set[str]:
    """Names of the parameters that are not what they were."""
    return {name for name, value in weights(trainer).items() if not torch.equal(value, before[name])}
