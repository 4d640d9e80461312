"""The `igep` command: a table of what it does. Each entry is a module whose `main` takes the words that follow."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from safetensors import SafetensorError

from igep import __version__


# Of these, whatever a user can correct is told in one line here. Modules are named, not imported: loading torch and
# transformers takes seconds, and `igep --help` needs none of it.
COMMANDS = {
    "check": ("commands.check", "verify the geometry of posed RGB-D scenes before training on them"),
    "ask": ("commands.ask_options", "answer a question about a video, or how far a pixel is, with a saved model"),
    "reconstruct": (
        "commands.reconstruct",
        "write a video as coloured points with its camera's path, by a Vid-LLM model",
    ),
    "demo": ("commands.demo", "show a saved model in the browser: the Space, on this machine"),
    "export": ("commands.export", "write the plain base VLM of a saved model, for servers that run no remote code"),
    "merge": ("commands.merge", "write the whole model of a folder that holds an adapter alone"),
    "launch": ("commands.launch", "train on several devices: `accelerate launch` with a launch plan found by name"),
    "describe": (
        "commands.describe",
        "write what a 3D teacher says of the frames of some scenes, for training to read",
    ),
    "prepare": ("commands.prepare", "write a ScanNet download as tables for training and scoring"),
}
# These are scripts as well, which say themselves what is wrong.
SCRIPTS = {
    "sft": ("sft", "fine-tune a video VLM on questions about posed RGB-D scenes"),
    "distill": ("distill", "Vid-LLM, stage 1: distil a geometry teacher and a semantic teacher into its encoder"),
    "joint": ("joint", "Vid-LLM, stage 2: train reconstruction and answers together"),
    "score": ("score", "score a saved model, or predictions, on benchmarks"),
    "publish": ("publish", "put a trained model on the Hub, with its card and a Space"),
    "publish-scenes": ("publish_scenes", "put converted scenes on the Hub as tables with a card"),
}
EXPERIMENTS = {
    "quickstart": ("experiments.quickstart", "train with and without geometry, and compare"),
    "demo-rooms": ("experiments.demo_rooms", "train the model that `igep demo` shows best"),
    "vlm3-rooms": ("experiments.vlm3_rooms", "train and score VLM3's tasks on synthetic rooms"),
    "vid-llm-rooms": (
        "experiments.vid_llm_rooms",
        "train Vid-LLM in its two stages on synthetic rooms, and compare with IGEP and plain fine-tuning",
    ),
    "vid-llm-scene": (
        "experiments.vid_llm_scene",
        "train Vid-LLM on one posed RGB-D scene, and compare there and on frames held out",
    ),
    "vid-llm-ablation": (
        "experiments.vid_llm_ablation",
        "train Vid-LLM without its parts on synthetic rooms, three seeds each, and print what each adds",
    ),
    "vlm3-mixtures": (
        "experiments.vlm3_mixtures",
        "compare weightings of a mixture, and an arrow in the image with pixels as text",
    ),
    "room-benchmarks": (
        "experiments.room_benchmarks",
        "train and score the tasks of the ScanNet benchmarks and VSI-Bench on synthetic rooms",
    ),
    "ablation": ("experiments.ablation", "train the arms of a study with several seeds, and print one table"),
    "focal-ablation": (
        "experiments.focal_ablation",
        "compare training with and without one focal length for all images",
    ),
    "check-mistakes": (
        "experiments.check_mistakes",
        "make sixty mistakes on right scenes, and see what `igep check` says",
    ),
    "posed-rgb": (
        "experiments.posed_rgb",
        "train on posed scenes with their depth hidden, and compare with it",
    ),
    "real-frames": (
        "experiments.real_frames",
        "train a small base of published models on a real walk with and without geometry, and compare",
    ),
    "pretrain-tiny": ("experiments.pretrain_tiny", "make the tiny base anew"),
}
GROUPS = {
    "scenes and saved models": COMMANDS,
    "training and publishing": SCRIPTS,
    "experiments, on synthetic rooms and two processor cores": EXPERIMENTS,
}
ALL = COMMANDS | SCRIPTS | EXPERIMENTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the `igep` command.

    Args:
        arguments (`Sequence[str]`, *optional*): Arguments after the command's name; those of the process by default.

    Returns:
        `int`: Exit code: 0, what `check` says of scenes (1 wrong, 3 suspicious, 4 not testable), 2 for anything the
        user can correct (one line on standard error says what). Scripts and experiments end the process themselves
        where something is wrong, most with 1.
    """
    options = _parser().parse_args(arguments)
    module, _ = ALL[options.command]
    try:
        return importlib.import_module(f"igep.trainers.{module}").main(options.words) or 0
    except (ValueError, OSError, SafetensorError, ModuleNotFoundError) as error:
        if options.command not in COMMANDS:
            raise
        print(f"igep {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="igep",
        usage="igep COMMAND ...",
        description="Video language models that understand 3D from RGB, trained under geometry supervision.\n\n"
        + _table(),
        epilog="`igep COMMAND --help` says more about each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"igep {__version__}")
    parser.add_argument("command", metavar="COMMAND", choices=ALL, help=argparse.SUPPRESS)
    parser.add_argument("words", metavar="...", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _table() -> str:
    """The commands with their meaning, group by group."""
    width = max(map(len, ALL))
    groups = [
        f"{title}:\n" + "\n".join(f"  {name:<{width}}  {meaning}" for name, (_, meaning) in group.items())
        for title, group in GROUPS.items()
    ]
    return "\n\n".join(groups)


if __name__ == "__main__":
    sys.exit(main())
