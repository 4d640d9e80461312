"""A second method on `ResumableTrainer`, as small as can be: a line is learned, and a head trained with it its slope.

As a script it trains for 12 steps: `python tests/support/line_training.py OUTPUT [--hold STEP] [--resume]`. With
`--hold` it stops after a step until it is killed.
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, TrainerCallback, TrainingArguments

from igep.trainers.loop.resumable_trainer import ResumableTrainer


class LineConfig(PreTrainedConfig):
    model_type = "line"
    dropout: float = 0.2


class LineModel(PreTrainedModel):
    config: LineConfig
    _keys_to_ignore_on_save = ["slope_head.weight", "slope_head.bias"]

    def __init__(self, config: LineConfig):
        super().__init__(config)
        self.features = nn.Linear(1, 4)
        self.line = nn.Linear(4, 1)
        self.slope_head: nn.Module | None = None
        self.post_init()

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        features = nn.functional.dropout(torch.tanh(self.features(x)), self.config.dropout, self.training)
        return {
            "loss_line": (self.line(features) - y).square().mean(),
            "loss_slope": (self.slope_head(features) - 2).abs().mean(),
        }


class LineTrainer(ResumableTrainer):
    loss_weights = {"loss_line": 1.0, "loss_slope": 0.5}

    @property
    def training_heads(self) -> dict[str, nn.Module]:
        return {"slope_head": self.unwrapped_model.slope_head}

    def build_heads(self) -> None:
        self.unwrapped_model.slope_head = nn.Linear(4, 1)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(inputs["x"], inputs["y"])
        loss = self.total_loss(outputs, inputs, num_items_in_batch)
        return (loss, outputs) if return_outputs else loss


class Line(torch.utils.data.Dataset):
    """Points of y = 2 x + 1."""

    def __init__(self, points: int = 10):
        self.x = torch.linspace(-1, 1, points)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int) -> dict:
        return {"sample_id": f"point-{row}", "x": self.x[row], "y": 2 * self.x[row] + 1}


def collate(rows: list[dict]) -> dict:
    points = {name: torch.stack([row[name] for row in rows])[:, None] for name in ("x", "y")}
    return {"sample_ids": [row["sample_id"] for row in rows], **points}


class HoldAfter(TrainerCallback):
    """Waits after a step for input that never comes."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            sys.stdin.read()


def make_line_trainer(
    output_dir: Path, model: nn.Module | None = None, kind: type[LineTrainer] = LineTrainer, **fields
) -> LineTrainer:
    """Returns a trainer; `fields` are options, and `callbacks`, `optimizers` and `compute_metrics`."""
    names = ("callbacks", "optimizers", "compute_metrics")
    own = {name: fields.pop(name) for name in names if name in fields}
    options = {
        "output_dir": str(output_dir),
        "max_steps": 12,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-2,
        "logging_steps": 5,
        "save_steps": 3,
        "eval_strategy": "steps",
        "eval_steps": 6,
        "save_total_limit": 2,
        "remove_unused_columns": False,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
    }
    args = TrainingArguments(**(options | fields))
    torch.manual_seed(0)
    return kind(
        model=LineModel(LineConfig()) if model is None else model,
        args=args,
        train_dataset=Line(),
        eval_dataset=Line(3),
        data_collator=collate,
        **own,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=Path)
    parser.add_argument("--hold", type=int)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    held = [] if given.hold is None else [HoldAfter(given.hold)]
    make_line_trainer(given.output, callbacks=held).train(resume_from_checkpoint=given.resume)
