"""Scores a saved model, or predictions, on benchmarks.

    accelerate launch trainers/score.py --model your/checkpoint --benchmark depth pose --dataset scannet \\
        --dataset_path scans --max_rows 500 --output scores.json
    accelerate launch trainers/score.py --model your/checkpoint --benchmark scanqa sqa3d --dataset_path prepared \\
        --data scanqa.annotation_file=scanqa.json sqa3d.annotation_file=sqa3d.json --num_frames 32 --output scores.json
    python trainers/score.py --predictions answers.jsonl --benchmark scanqa --dataset scannet --dataset_path scans \\
        --question_file scanqa.jsonl --output scores.json

Benchmarks with files of their own read those unless a dataset is given. The model is any that `load_vlm` loads; it
sees RGB alone, unless it was trained with more. What neither flags nor a recipe (`--config`) say about frames, images
and text pixels is taken from the model's own `training_run.json`. Questions about the same frames are answered from
one encoding of them. Beside the scores, `*_predictions.jsonl` holds every question and answer; a run that was
interrupted goes on where it was when the same command is given again.
"""

import sys
from collections.abc import Sequence

from igep.trainers.scoring.score_model import score
from igep.trainers.scoring.score_options import parse
from igep.trainers.scoring.score_table import as_table


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        options, benchmarks = parse(arguments)
        results = score(options, benchmarks)
    except (ValueError, OSError) as error:
        sys.exit(f"score.py: error: {error}")
    if results is not None:
        print(as_table(results))
        print(f"\nWrote {options.output}, and the predictions beside it.")


if __name__ == "__main__":
    main()
