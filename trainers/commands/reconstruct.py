"""`igep reconstruct`: a video as coloured points in metres with the path of its camera, from RGB alone."""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path


KEEP, MOST_POINTS = 0.7, 500_000  # as in `reconstruct_video_file`, which loads slowly


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `igep reconstruct`.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `int`: 0.

    Raises:
        ValueError: A bad option, a video that cannot be used, or a model that does not reconstruct.
        OSError: There is no model of the name, or the file cannot be written.
    """
    options = _parser().parse_args(arguments)
    # Imported here: loading transformers takes seconds, and `--help` needs none of it.
    from igep.trainers.commands.point_cloud_file import check_point_cloud_file
    from igep.trainers.commands.reconstruct_video_file import reconstruct_video_file

    output = Path(options.output)
    check_point_cloud_file(output, overwrite=options.overwrite)
    # Whatever a library prints while the model loads must not mix with the result.
    with contextlib.redirect_stdout(sys.stderr):
        cloud = reconstruct_video_file(
            options.model,
            options.video,
            output,
            options.frames,
            keep=options.keep,
            most_points=options.points,
            device=options.device,
        )
    cameras = len(cloud.world_from_camera)
    path = "no path, there is one frame" if cameras == 1 else f"the path of {cameras} cameras"
    print(f"Wrote {output}: {len(cloud.points_metres):,} points, {path}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="igep reconstruct",
        description="Reconstruct a video from RGB alone, with a Vid-LLM model: coloured points in metres, in the "
        "world of the first camera, and the path of the camera.",
        allow_abbrev=False,
    )
    parser.add_argument("--model", required=True, help="directory or Hub id of a Vid-LLM model; code it brings is run")
    parser.add_argument("--video", required=True, help="video (mp4, mov, gif, ...), folder of images, or an image")
    parser.add_argument(
        "--output", required=True, help="file to write: .glb for viewers (y up), or .ply (points alone)"
    )
    parser.add_argument("--frames", type=int, help="frames to look at, spread evenly (default: as trained, or all)")
    parser.add_argument(
        "--keep",
        type=float,
        default=KEEP,
        help=f"share of the points that is kept, the most confident (default: {KEEP})",
    )
    parser.add_argument(
        "--points", type=int, default=MOST_POINTS, help=f"most points, taken evenly (default: {MOST_POINTS})"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    parser.add_argument("--device", help="torch device (default: cuda if there is one, else cpu)")
    return parser
