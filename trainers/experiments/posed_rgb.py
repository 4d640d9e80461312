"""Does colour hold depth where none is measured? Trains on posed scenes whose depth is hidden, and compares with it.

    igep posed-rgb --scenes path/to/scenes   # with depth: what is hidden in training is what is compared with

The recipe is `igep_posed_rgb.yaml`: no loss but the photometric one, and the answers to questions if the scenes have
any.
"""

import argparse
import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from transformers import set_seed

from igep.trainers.cards.markdown import markdown_table
from igep.trainers.data.held_out_frames import HeldOutFrames
from igep.trainers.data.load_scenes import load_scenes
from igep.trainers.data.scenes.spatial_example import SpatialDataError, SpatialExample
from igep.trainers.package_files import RECIPES
from igep.trainers.sft import learn_words, load_datasets, load_model, load_processor, parse
from igep.trainers.sft_trainer import IGEPSFTTrainer


RECIPE = RECIPES / "igep_posed_rgb.yaml"
BATCH = 8


class HiddenDepth(torch.utils.data.Dataset):
    """Rows as they would be without a depth camera.

    Args:
        rows (`torch.utils.data.Dataset`): Rows of `SpatialExample`.
    """

    def __init__(self, rows: torch.utils.data.Dataset):
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> SpatialExample:
        return dataclasses.replace(self._rows[row], depth_metres=None)


def depth_figures(predicted_depth_metres: np.ndarray, depth_metres: np.ndarray) -> dict[str, float]:
    """How near the depth of a scene comes, with its scale and without.

    Args:
        predicted_depth_metres (`np.ndarray`): (F, H, W).
        depth_metres (`np.ndarray`): (F, H, W); 0 = not measured.

    Returns:
        `dict[str, float]`: `median_metres`; `abs_rel`; `scaled_abs_rel`, the same after one factor for the scene that
        brings the median of predicted over measured to 1; and `spread`, the standard deviation of log depth within a
        frame, mean over the frames: 0 is flat.

    Raises:
        SpatialDataError: Nothing is measured.
    """
    measured = depth_metres > 0
    if not measured.any():
        raise SpatialDataError("The scene has no measured depth to compare with: give scenes with depth.")
    ratio = predicted_depth_metres[measured] / depth_metres[measured]
    per_frame = [
        np.log(depth[known]).std()
        for depth, known in zip(predicted_depth_metres, measured, strict=True)
        if known.any()
    ]
    return {
        "median_metres": float(np.median(predicted_depth_metres[measured])),
        "abs_rel": float(np.abs(ratio - 1).mean()),
        "scaled_abs_rel": float(np.abs(ratio / np.median(ratio) - 1).mean()),
        "spread": float(np.mean(per_frame)),
    }


@torch.no_grad()
def predict(trainer: IGEPSFTTrainer, rows: HeldOutFrames) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Predicted and measured depth of every frame, by scene.

    Args:
        trainer (`IGEPSFTTrainer`): Its model has its training heads.
        rows (`HeldOutFrames`): The scenes.

    Returns:
        `dict[str, tuple[np.ndarray, np.ndarray]]`: (F, H, W) each.
    """
    found: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {}
    trainer.model.eval()
    loader = torch.utils.data.DataLoader(rows, BATCH, collate_fn=trainer.data_collator)
    for batch in loader:
        scene_ids = batch["scene_ids"]
        _, outputs = trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch), return_outputs=True)
        for scene_id, predicted, measured in zip(
            scene_ids, outputs.predicted_depth_metres.cpu().numpy(), batch["depth_metres"].numpy(), strict=True
        ):
            maps = found.setdefault(scene_id, ([], []))
            maps[0].append(predicted)
            maps[1].append(measured)
    trainer.model.train()
    return {scene_id: (np.concatenate(maps[0]), np.concatenate(maps[1])) for scene_id, maps in found.items()}


def compare(arguments: Sequence[str]) -> list[list[str]]:
    """Trains on the scenes with their depth hidden, and compares before and after.

    Args:
        arguments (`Sequence[str]`): Flags of `igep sft`, among them `--dataset_path`.

    Returns:
        `list[list[str]]`: The table, its title row first.
    """
    script_args, training_args, model_args = parse(["--config", str(RECIPE), *arguments])
    rows, _ = load_datasets(script_args, training_args)
    every_frame = HeldOutFrames(
        load_scenes(script_args)[0],
        num_frames=script_args.num_frames,
        geometry_size=training_args.geometry_size,
        max_depth_metres=script_args.depth_range[1],
    )
    processor, model = load_processor(script_args, model_args), load_model(model_args, training_args)
    set_seed(training_args.seed)
    learn_words(model, processor, (rows,))
    trainer = IGEPSFTTrainer(model, training_args, train_dataset=HiddenDepth(rows), processing_class=processor)
    trainer.build_heads()
    before = predict(trainer, every_frame)
    trainer.train()
    after = predict(trainer, every_frame)
    table = [["scene", "depth", "median (m)", "AbsRel", "AbsRel, scaled", "spread within a frame"]]
    for scene_id, (predicted, measured) in after.items():
        constant = np.full_like(measured, np.median(measured[measured > 0]))
        for name, depth in (
            ("measured", np.where(measured > 0, measured, 1.0)),
            ("constant", constant),
            ("before training", before[scene_id][0]),
            (f"after {trainer.state.global_step} steps", predicted),
        ):
            figures = depth_figures(depth, measured)
            table.append([scene_id, name, f"{figures['median_metres']:.2f}"])
            table[-1] += [f"{figures[column]:.3f}" for column in ("abs_rel", "scaled_abs_rel", "spread")]
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="igep posed-rgb",
        description=__doc__.split("\n")[0],
        epilog="Any other flag goes to `igep sft`.",
        allow_abbrev=False,
    )
    parser.add_argument("--scenes", required=True, help="folder of scenes with depth, or one scene")
    options, overrides = parser.parse_known_args(arguments)
    print(markdown_table(compare(["--dataset_path", options.scenes, *overrides])))


if __name__ == "__main__":
    main()
