"""`igep check`: is the geometry of some scenes right?"""

import argparse
from collections.abc import Sequence


READING_OPTIONS = ("metres_per_depth_unit", "depth_kind", "frame_stride")
EXIT_CODES = {
    "ok": 0,
    "wrong": 1,
    "suspicious": 3,
    "not testable": 4,
}  # 2 is what the user can correct: see `cli.main`


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `igep check`.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `int`: The worst verdict of any scene: 0 ok, 1 wrong, 3 suspicious, 4 not testable (2 is a bad option or no
        scene).

    Raises:
        ValueError: A bad option, or no scene.
        OSError: A file cannot be read or written.
    """
    parser = argparse.ArgumentParser(
        prog="igep check",
        description="Carry depth and colour of each frame into others, near and far, and compare. Names likely "
        "mistakes in poses, intrinsics, units, depth and colour images, lists frames whose poses do not fit, and says "
        "what a scene cannot show. Exit code: 0 ok, 1 wrong, 2 nothing to check, 3 suspicious, 4 not testable.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "scenes", help="scene folder, folder of scene folders, or (--dataset hub) dataset id or folder"
    )
    parser.add_argument("--dataset", choices=("scannet", "hub"), default="scannet", help="format (default: scannet)")
    parser.add_argument(
        "--metres_per_depth_unit",
        type=float,
        help="scannet: scale of the depth maps, as for training (default: 0.001 for whole numbers, 1 for "
        "floating-point)",
    )
    parser.add_argument(
        "--depth_kind", choices=("z", "euclidean"), help="scannet: kind of depth, as for training (default: z)"
    )
    parser.add_argument(
        "--frame_stride", type=int, help="scannet: keep every n-th frame, as for training (default: 1)"
    )
    parser.add_argument("--output", help="write a picture of one warped pair per scene to this PNG file")
    options = parser.parse_args(arguments)
    reading = {name: value for name, value in vars(options).items() if name in READING_OPTIONS and value is not None}
    if options.dataset == "hub" and reading:
        raise ValueError(
            f"--{next(iter(reading))} is for --dataset scannet: tables of the Hub say themselves how they are read."
        )
    # Imported here: loading torch takes seconds, and `--help` needs none of it.
    from igep.trainers.data.load_scenes import SceneSource, load_scenes
    from igep.trainers.scene_check.check_picture import save_picture
    from igep.trainers.scene_check.check_scenes import VERDICTS, check_folder, check_scenes
    from igep.trainers.scene_check.report_table import format_reports

    if options.dataset == "scannet":
        reports = check_folder(options.scenes, **reading)
    else:
        scenes, _ = load_scenes(SceneSource(dataset="hub", dataset_path=options.scenes))
        reports = check_scenes(scenes)
    print(format_reports(reports))
    if options.output is not None:
        save_picture(reports, options.output)
    worst = max((report.verdict for report in reports), key=VERDICTS.index)
    return EXIT_CODES[worst]
