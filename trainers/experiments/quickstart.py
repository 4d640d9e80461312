"""Does geometry supervision help? Trains the tiny base twice from the same start, with and without it, and compares.

    igep quickstart --output outputs/quickstart             # one seed: what `make quickstart` runs
    igep quickstart --output outputs/two_seeds --seeds 0 1   # the table of docs/igep.md

Both runs see the same rooms in the same order for the same number of steps; only the loss weights differ. Each saved
model is then loaded in a fresh process through the Auto classes and answers held-out rooms from RGB.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from igep.trainers import sft
from igep.trainers.cards.markdown import markdown_table
from igep.trainers.cards.training_run import read_training_run
from igep.trainers.experiments.handed_flags import check_flags
from igep.trainers.experiments.side_by_side import side_by_side
from igep.trainers.loop.complete_checkpoint import last_complete_checkpoint
from igep.trainers.metrics.figure import WITHOUT_LOOKING
from igep.trainers.package_files import PACKAGE, RECIPES


RECIPE = RECIPES / "quickstart.yaml"
BENCHMARKS = ("rooms", "depth_probe", "latency")
METHODS = {
    "cross_entropy": ("--geometry_weight", "0", "--cross_view_weight", "0", "--global_weight", "0"),
    "igep": (),
}


def compare(output: Path, seeds: list[int], held_out_rooms: int, overrides: list[str]) -> dict:
    """Trains and scores both methods for every seed.

    Args:
        output (`Path`): Folder for models, scores, `results.json` and the picture.
        seeds (`list[int]`): One pair of runs per seed.
        held_out_rooms (`int`): Rooms to score on.
        overrides (`list[str]`): Flags of `sft.py` that change the recipe for all runs alike.

    Returns:
        `dict`: What `results.json` holds.
    """
    runs = []
    for seed in seeds:
        models = {method: output / f"{method}_seed{seed}" for method in METHODS}
        scores = {method: output / f"{method}_seed{seed}_scores.json" for method in METHODS}
        train, evaluate = {}, {}
        for method, weights in METHODS.items():
            options = ["--output_dir", str(models[method]), "--seed", str(seed), *weights, *overrides]
            train[method] = ["trainers/sft.py", "--config", str(RECIPE), *options]
            options = ["--model", str(models[method]), "--output", str(scores[method]), "--restart", "--device", "cpu"]
            evaluate[method] = ["trainers/score.py", "--benchmark", *BENCHMARKS, *options]
            evaluate[method] += ["--held_out_rooms", str(held_out_rooms)]
        side_by_side(train["igep"], train["cross_entropy"], output / f"train_seed{seed}.log")
        picture = ["--picture", str(output / f"geometry_seed{seed}.png")]
        evaluate["igep"] += ["--checkpoint", str(last_complete_checkpoint(models["igep"])), *picture]
        side_by_side(evaluate["igep"], evaluate["cross_entropy"], output / f"evaluate_seed{seed}.log")
        runs += [
            {
                "method": method,
                "seed": seed,
                "trained": how_trained(models[method]),
                **json.loads(scores[method].read_text()),
            }
            for method in METHODS
        ]
    return {"recipe": RECIPE.relative_to(PACKAGE).as_posix(), "runs": runs}


def how_trained(model: Path) -> dict:
    """From what and with which losses a model was trained.

    Args:
        model (`Path`): Its folder.

    Returns:
        `dict`: `base_model` and `losses`, by their names.
    """
    run = read_training_run(model)
    return {"base_model": run["base_model"]["name"], "losses": [loss["name"] for loss in run["losses"]]}


def as_table(results: dict) -> str:
    """The comparison as a Markdown table: one row per figure, one column per run after what a blind guess reaches."""
    runs = results["runs"]
    rows = [["", "without looking", *(f"{run['method']} (seed {run['seed']})" for run in runs)]]
    for benchmark, title, digits in (("rooms", "", 3), ("depth_probe", "depth probe, ", 3), ("latency", "", 4)):
        scores = [run["benchmarks"][benchmark] for run in runs]
        blind = scores[0]["facts"].get(WITHOUT_LOOKING, {})
        rows += [
            [
                f"{title}{name}",
                f"{blind[name]:.{digits}f}" if name in blind else "",
                *(f"{each['figures'][name]['value']:.{digits}f}" for each in scores),
            ]
            for name in scores[0]["figures"]
        ]
    rows.append(["parameters on disk", "", *(f"{run['facts']['parameters_on_disk']:,}" for run in runs)])
    return markdown_table(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="quickstart.py",
        description=__doc__.split("\n")[0],
        epilog="Any other flag goes to sft.py, for both methods alike.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/quickstart"), help="folder for everything written"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one pair of runs per seed")
    parser.add_argument("--held_out_rooms", type=int, default=512, help="rooms to score on")
    options, overrides = parser.parse_known_args(arguments)
    check_flags(overrides, (sft.parse, RECIPE))
    output = options.output.resolve()
    begin = time.perf_counter()
    results = compare(output, options.seeds, options.held_out_rooms, overrides)
    results["seconds"] = round(time.perf_counter() - begin, 1)
    (output / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (output / "results.md").write_text(as_table(results) + "\n")
    print(f"\n{options.held_out_rooms} held-out rooms, RGB only, models loaded from disk in fresh processes\n")
    print(as_table(results))
    print(f"\n{results['seconds']:.0f} s in all. In {options.output}: results.json, results.md, geometry_seed*.png")


if __name__ == "__main__":
    main()
