"""`igep ask`: its options, and what they ask for."""

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Sequence


BOX_MIN_PROBABILITY = 0.2  # of what is printed besides the best
BOX_MEANT = re.compile(r"<\s{0,8}box\b", re.IGNORECASE)
SPATIAL_OPTIONS = ("intrinsics", "field_of_view", "calibrator", "focal", "canvas", "steps")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `igep ask`.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `int`: 0.

    Raises:
        ValueError: Options that do not go together, or what `ask` and `ask_depth` raise.
        OSError: There is no model of the name.
    """
    options = _parser().parse_args(arguments)
    if options.boxes:
        return _ask_boxes(options)
    if options.second is not None or (options.question is not None and BOX_MEANT.search(options.question)):
        return _ask_spatial(options)
    if options.pixel is not None:
        return _ask_pixel(options)
    given = [name for name in (*SPATIAL_OPTIONS, "output") if vars(options)[name] is not None]
    if given:
        raise ValueError(
            f"--{given[0].replace('_', '-')} is about a pixel, two images or boxes: give --pixel X Y, --second IMAGE, "
            "or a question with <box X1 Y1 X2 Y2>."
        )
    if options.question is None:
        raise ValueError("there is nothing to answer: give a question, or --pixel X Y.")
    if "<pixel" in options.question.lower():
        raise ValueError(
            f"{options.question!r} names a pixel, which questions about frames have not: give --pixel X Y instead."
        )
    # Imported here: loading transformers takes seconds, and neither `--help` nor a wrong option needs it.
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


def _ask_boxes(options: argparse.Namespace) -> int:
    others = ("pixel", "second", "max_new_tokens", "output", *SPATIAL_OPTIONS)
    given = [name for name in others if vars(options)[name] is not None]
    if given:
        raise ValueError(f"--{given[0].replace('_', '-')} does not go with --boxes: leave one of them out.")
    if options.question is None:
        raise ValueError("there is nothing to look for: give a description beside --boxes.")
    from igep.box_queries import chosen_boxes
    from igep.trainers.commands.ask_boxes import ask_boxes

    with contextlib.redirect_stdout(sys.stderr):
        found = ask_boxes(
            options.model,
            options.video,
            options.question,
            options.frames,
            device=options.device,
            frames_as=options.frames_as,
        )
    for place in chosen_boxes(found.probabilities, BOX_MIN_PROBABILITY) or [0]:
        box = [round(number, 3) for number in found.boxes[place]]
        print(json.dumps({"box_metres": box, "probability": round(found.probabilities[place], 3)}))
    return 0


def _ask_pixel(options: argparse.Namespace) -> int:
    if options.question is not None:
        raise ValueError(f"a question ({options.question!r}) and --pixel: give one of them.")
    if options.frames is not None:
        raise ValueError("--frames is about videos: a pixel is asked about in one image.")
    from igep.trainers.commands.ask import ask_depth, camera_matrix, depth_options
    from igep.trainers.commands.point_picture import save_point_picture

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
    if options.canvas is not None:
        given["max_image_pixels"] = None  # the two exclude each other
    with contextlib.redirect_stdout(sys.stderr):
        metres = ask_depth(
            options.model,
            options.video,
            tuple(options.pixel),
            intrinsics=camera_matrix(options.intrinsics),
            field_of_view_degrees=options.field_of_view,
            calibrator=options.calibrator,
            device=options.device,
            **given,
        )
    if options.output is not None:
        save_point_picture(options.video, tuple(options.pixel), metres, options.output)
    print(f"{metres:.2f}")
    return 0


def _ask_spatial(options: argparse.Namespace) -> int:
    """Two images, or boxes in one."""
    if options.output is not None:
        raise ValueError("--output draws a distance: it goes with --pixel and one image.")
    if options.frames is not None:
        raise ValueError("--frames is about videos: these questions are about images.")
    if options.pixel is not None and options.question is not None:
        raise ValueError(f"a question ({options.question!r}) and --pixel: give one of them.")
    from igep.trainers.commands.ask import camera_matrix
    from igep.trainers.commands.ask_spatial import ask_correspondence, ask_objects, ask_pose, spatial_asking

    task = "objects" if options.second is None else "pose" if options.pixel is None else "correspondence"
    if task == "pose" and options.question is not None:
        raise ValueError(
            f"a question ({options.question!r}) about two images: give --pixel X Y for where it is in the second, or "
            "neither for the camera's motion."
        )
    changes = {"focal_pixels": options.focal, "canvas_size": options.canvas, "text_pixel_steps": options.steps}
    asking = spatial_asking(
        options.model,
        task,
        {name: value for name, value in changes.items() if value is not None},
        frames_as=options.frames_as,
        intrinsics=camera_matrix(options.intrinsics),
        field_of_view_degrees=options.field_of_view,
        calibrator=options.calibrator,
    )
    decoding = {"max_new_tokens": options.max_new_tokens, "device": options.device}
    with contextlib.redirect_stdout(sys.stderr):
        if task == "objects":
            lines = [ask_objects(options.model, options.video, options.question, asking, **decoding)]
        elif task == "correspondence":
            place = ask_correspondence(
                options.model, options.video, options.second, tuple(options.pixel), asking, **decoding
            )
            lines = ["{:.1f} {:.1f}".format(*place)]
        else:
            motion = ask_pose(options.model, options.video, options.second, asking, **decoding)
            lines = [f"{name} " + " ".join(f"{value:g}" for value in values) for name, values in motion.items()]
    print("\n".join(lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="igep ask",
        description="Answer a question about a video from RGB, or ask what VLM3's tasks ask: how far a pixel is, "
        "where it is in a second image, how the camera moved between the two, or about objects in boxes. The answer "
        "alone goes to standard output: of a pixel the metres or the pixel of the second image, of the camera a line "
        "for each quantity.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "question",
        nargs="?",
        help="the question, in quotes; about objects with <box X1 Y1 X2 Y2> in pixels of the image",
    )
    parser.add_argument("--model", required=True, help="directory or Hub id of a saved model; code it brings is run")
    parser.add_argument("--video", required=True, help="video (mp4, mov, gif, ...), folder of images, or an image")
    parser.add_argument("--frames", type=int, help="frames to look at, spread evenly (default: as trained, or all)")
    parser.add_argument(
        "--frames-as", choices=("video", "images"), help="how the model sees the frames (default: as trained)"
    )
    parser.add_argument("--max-new-tokens", type=int, help="longest answer in tokens (default: as the prompt wants)")
    parser.add_argument("--device", help="torch device (default: cuda if there is one, else cpu)")
    parser.add_argument(
        "--boxes",
        action="store_true",
        help="where what the question describes is, for a Vid-LLM with a box decoder: centre (x right, y down, z "
        "forward from the first camera) and full sizes in metres, one box a line, best first",
    )
    pixel = parser.add_argument_group("VLM3's tasks", "with VLM3's prompts; the model must have learned them")
    pixel.add_argument("--pixel", type=int, nargs=2, metavar=("X", "Y"), help="column and row, counted from 0")
    pixel.add_argument(
        "--second",
        metavar="IMAGE",
        help="a second image: where the pixel is in it or, without --pixel, the camera's motion",
    )
    camera = pixel.add_mutually_exclusive_group()
    camera.add_argument(
        "--intrinsics", type=float, nargs=4, metavar=("FX", "FY", "CX", "CY"), help="camera, in pixels of the image"
    )
    camera.add_argument("--field-of-view", type=float, metavar="DEGREES", help="horizontal; 60 unless given")
    camera.add_argument(
        "--calibrator", metavar="ID", help="depth model that estimates the camera, such as apple/DepthPro-hf"
    )
    pixel.add_argument("--focal", type=float, help="unified focal length (default: as trained; 0 = none)")
    pixel.add_argument(
        "--canvas", type=int, nargs=2, metavar=("H", "W"), help="crop or pad to this (default: as trained)"
    )
    pixel.add_argument("--steps", type=int, help="text pixels per axis (default: as trained)")
    pixel.add_argument("--output", help="draw the point and its distance on the image, to this PNG file")
    return parser
