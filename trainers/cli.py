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
    except (ValueError, OSError, SafetensorError, ModuleNotFoundError) as error:
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
    _add_export(commands)
    _add_merge(commands)
    _add_demo(commands)
    return parser


def _add_ask(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "ask",
        help="answer a question about a video, or how far a pixel is, with a saved model",
        description="Answer a question about a video, or how far a pixel of an image is, from RGB. The answer alone goes "
        "to standard output; of a pixel, the metres.",
    )
    parser.add_argument("question", nargs="?", help="the question, in quotes; not with --pixel")
    parser.add_argument("--model", required=True, help="directory or Hub id of a saved model; code it brings is run")
    parser.add_argument("--video", required=True, help="video (mp4, mov, gif, ...), folder of images, or an image")
    parser.add_argument("--frames", type=int, help="frames to look at, spread evenly (default: as trained, or all)")
    parser.add_argument(
        "--frames-as", choices=("video", "images"), help="how the model sees the frames (default: as trained)"
    )
    parser.add_argument("--max-new-tokens", type=int, help="longest answer in tokens (default: 64; 128 of a pixel)")
    parser.add_argument("--device", help="torch device (default: cuda if there is one, else cpu)")
    pixel = parser.add_argument_group("how far a pixel is", "with VLM3's prompt; the model must have learned it")
    pixel.add_argument("--pixel", type=int, nargs=2, metavar=("X", "Y"), help="column and row, counted from 0")
    camera = pixel.add_mutually_exclusive_group()
    camera.add_argument(
        "--intrinsics", type=float, nargs=4, metavar=("FX", "FY", "CX", "CY"), help="camera, in pixels of the image"
    )
    camera.add_argument("--field-of-view", type=float, metavar="DEGREES", help="horizontal; 60 unless given")
    pixel.add_argument("--focal", type=float, help="unified focal length (default: as trained; 0 = none)")
    pixel.add_argument(
        "--canvas", type=int, nargs=2, metavar=("H", "W"), help="crop or pad to this (default: as trained)"
    )
    pixel.add_argument("--steps", type=int, help="text pixels per axis (default: as trained)")
    pixel.add_argument("--output", help="draw the point and its distance on the image, to this PNG file")
    parser.set_defaults(run=_ask)


PIXEL_OPTIONS = ("intrinsics", "field_of_view", "focal", "canvas", "steps", "output")


def _ask(options: argparse.Namespace) -> int:
    if options.pixel is not None:
        return _ask_pixel(options)
    given = [name for name in PIXEL_OPTIONS if vars(options)[name] is not None]
    if given:
        raise ValueError(f"--{given[0].replace('_', '-')} is about a pixel: give --pixel X Y.")
    if options.question is None:
        raise ValueError("there is nothing to answer: give a question, or --pixel X Y.")
    # Imported here: loading transformers takes seconds, and `igep --help` needs none of it.
    from igep.trainers.commands.ask import ask

    # Whatever a library prints while the model loads must not mix with the answer.
    with contextlib.redirect_stdout(sys.stderr):
        answer = ask(
            options.model,
            options.video,
            options.question,
            options.frames,
            max_new_tokens=64 if options.max_new_tokens is None else options.max_new_tokens,
            device=options.device,
            frames_as=options.frames_as,
        )
    print(answer)
    return 0


def _ask_pixel(options: argparse.Namespace) -> int:
    if options.question is not None:
        raise ValueError(f"a question ({options.question!r}) and --pixel: give one of them.")
    if options.frames is not None:
        raise ValueError("--frames is about videos: a pixel is asked about in one image.")
    import numpy as np

    from igep.trainers.commands.ask import ask_depth, depth_options
    from igep.trainers.commands.point_picture import save_point_picture

    intrinsics = None
    if options.intrinsics is not None:
        fx, fy, cx, cy = options.intrinsics
        intrinsics = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    # What is not given is as the model was trained or, where it does not say, the default of `ask_depth`.
    given = {
        "focal_pixels": options.focal,
        "canvas_size": None if options.canvas is None else tuple(options.canvas),
        "steps": options.steps,
        "max_new_tokens": options.max_new_tokens,
        "frames_as": options.frames_as,
    }
    given = depth_options(options.model) | {name: value for name, value in given.items() if value is not None}
    if options.focal == 0:
        given["focal_pixels"] = None
    with contextlib.redirect_stdout(sys.stderr):
        metres = ask_depth(
            options.model,
            options.video,
            tuple(options.pixel),
            intrinsics=intrinsics,
            field_of_view_degrees=options.field_of_view,
            device=options.device,
            **given,
        )
    if options.output is not None:
        save_point_picture(options.video, tuple(options.pixel), metres, options.output)
    print(f"{metres:.2f}")
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


def _add_export(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "export",
        help="write the plain base VLM of a saved model, for servers that run no remote code",
        description="Write the plain base VLM with its processor: what `transformers serve` and vLLM load.",
    )
    parser.add_argument("model", help="directory or Hub id of a model that igep trained; code it brings is run")
    parser.add_argument("output", help="new folder to write to")
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    from pathlib import Path

    from igep.trainers.commands.export_vlm import export_vlm
    from igep.trainers.evaluation.load_vlm import is_igep, load_for_answers
    from igep.trainers.publishing.published_folder import check_new_folder

    output = Path(options.output)
    check_new_folder(output)
    with contextlib.redirect_stdout(sys.stderr):
        model, processor = load_for_answers(options.model, "cpu")
    if not is_igep(model.config):
        raise ValueError(f"{options.model} is a plain {model.config.model_type} already: serve it as it is.")
    export_vlm(model, output, processor)
    print(output)
    return 0


def _add_merge(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "merge",
        help="write the whole model of a folder that holds an adapter alone",
        description="Merge an adapter, as training with merge_adapter_at_save: false saves it, into its base.",
    )
    parser.add_argument("model", help="folder that training saved")
    parser.add_argument("output", help="new folder to write to")
    parser.add_argument("--base", help="folder or Hub id of the base (default: what training named)")
    parser.set_defaults(run=_merge)


def _merge(options: argparse.Namespace) -> int:
    from igep.trainers.commands.merge_adapter import merge_adapter

    with contextlib.redirect_stdout(sys.stderr):
        merge_adapter(options.model, options.output, options.base)
    print(options.output)
    return 0


def _add_demo(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "demo",
        help="show a saved model in the browser: the Space, on this machine",
        description="Start the Gradio Space on this machine. Upload a video or pick an example, and ask.",
    )
    parser.add_argument(
        "--model",
        help="directory or Hub id of a model that igep trained; code it brings is run (default: the quickstart's)",
    )
    parser.add_argument("--port", type=int, default=7860, help="port (default: 7860)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine alone)"
    )
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from igep.trainers.commands.demo import demo

    return demo(options.model, options.port, options.host)


if __name__ == "__main__":
    sys.exit(main())
