"""The `igep` command: each subcommand is a thin front of a module that works from Python as well."""

import argparse
import contextlib
import sys
from collections.abc import Sequence

from safetensors import SafetensorError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the `igep` command.

    Args:
        arguments (`Sequence[str]`, *optional*): Arguments after the command's name; those of the process by default.

    Returns:
        `int`: Exit code: 0, 1 when `check` finds a wrong scene, 2 for anything the user can correct (one line on standard
        error says what).
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError, SafetensorError) as error:
        print(f"igep {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="igep",
        description="Video language models that understand 3D from RGB, trained under geometry supervision.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_ask(commands)
    _add_check(commands)
    return parser


def _add_ask(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "ask",
        help="answer a question about a video with a saved model",
        description="Answer a question about a video from RGB. The answer alone goes to standard output.",
    )
    parser.add_argument("question", help="the question, in quotes")
    parser.add_argument("--model", required=True, help="directory or Hub id of a saved model; code it brings is run")
    parser.add_argument("--video", required=True, help="video (mp4, mov, gif, ...), folder of images, or an image")
    parser.add_argument("--frames", type=int, help="frames to look at, spread evenly (default: 8, or all if fewer)")
    parser.add_argument("--frames-as", choices=("video", "images"), help="how the model sees several frames")
    parser.add_argument("--max-new-tokens", type=int, default=64, help="longest answer in tokens (default: 64)")
    parser.add_argument("--device", help="torch device (default: cuda if there is one, else cpu)")
    parser.set_defaults(run=_ask)


def _ask(options: argparse.Namespace) -> int:
    # Imported here: loading transformers takes seconds, and `igep --help` needs none of it.
    from igep.trainers.ask import ask

    # Whatever a library prints while the model loads must not mix with the answer.
    with contextlib.redirect_stdout(sys.stderr):
        answer = ask(
            options.model,
            options.video,
            options.question,
            options.frames,
            max_new_tokens=options.max_new_tokens,
            device=options.device,
            frames_as=options.frames_as,
        )
    print(answer)
    return 0


def _add_check(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "check",
        help="verify the geometry of posed RGB-D scenes before training on them",
        description="Carry the depth of each frame into its neighbours and compare. Names likely mistakes in poses, "
        "intrinsics and units. Exit code 1 when a scene is wrong.",
    )
    parser.add_argument(
        "scenes", help="scene folder, folder of scene folders, or (--dataset hub) dataset id or folder"
    )
    parser.add_argument("--dataset", choices=("scannet", "hub"), default="scannet", help="format (default: scannet)")
    parser.add_argument(
        "--gaps", type=int, nargs="+", default=[1, 2, 5, 10], help="frame gaps to compare (default: 1 2 5 10)"
    )
    parser.add_argument("--output", help="write a picture of one warped pair per scene to this PNG file")
    parser.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    from igep.trainers.check_picture import save_picture
    from igep.trainers.check_scenes import check_folder, check_scenes, format_reports
    from igep.trainers.data.load_scenes import SceneSource, load_scenes

    if options.dataset == "scannet":
        reports = check_folder(options.scenes, gaps=options.gaps)
    else:
        scenes, _ = load_scenes(SceneSource(dataset="hub", dataset_path=options.scenes))
        reports = check_scenes(scenes, gaps=options.gaps)
    print(format_reports(reports, options.gaps))
    if options.output is not None:
        save_picture(reports, options.output)
    return int(any(report.verdict == "wrong" for report in reports))


if __name__ == "__main__":
    sys.exit(main())
