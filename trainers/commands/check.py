"""`igep check`: is the geometry of some scenes right?"""

import argparse
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `igep check`.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `int`: 1 if a scene is wrong, else 0.

    Raises:
        ValueError: A bad option, or no scene.
        OSError: A file cannot be read or written.
    """
    parser = argparse.ArgumentParser(
        prog="igep check",
        description="Carry the depth of each frame into its neighbours and compare. Names likely mistakes in poses, "
        "intrinsics and units. Exit code 1 when a scene is wrong.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "scenes", help="scene folder, folder of scene folders, or (--dataset hub) dataset id or folder"
    )
    parser.add_argument("--dataset", choices=("scannet", "hub"), default="scannet", help="format (default: scannet)")
    parser.add_argument(
        "--gaps", type=int, nargs="+", default=[1, 2, 5, 10], help="frame gaps to compare (default: 1 2 5 10)"
    )
    parser.add_argument("--output", help="write a picture of one warped pair per scene to this PNG file")
    options = parser.parse_args(arguments)
    # Imported here: loading torch takes seconds, and `--help` needs none of it.
    from igep.trainers.data.load_scenes import SceneSource, load_scenes
    from igep.trainers.scene_check.check_picture import save_picture
    from igep.trainers.scene_check.check_scenes import check_folder, check_scenes, format_reports

    if options.dataset == "scannet":
        reports = check_folder(options.scenes, gaps=options.gaps)
    else:
        scenes, _ = load_scenes(SceneSource(dataset="hub", dataset_path=options.scenes))
        reports = check_scenes(scenes, gaps=options.gaps)
    print(format_reports(reports, options.gaps))
    if options.output is not None:
        save_picture(reports, options.output)
    return int(any(report.verdict == "wrong" for report in reports))
