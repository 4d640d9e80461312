"""`igep launch`: a script of this package on the devices of a launch plan, both found by name."""

import argparse
from collections.abc import Sequence

from igep.trainers.package_files import find_launch_plan


LAUNCHED = {name: f"igep.trainers.{name}" for name in ("sft", "distill", "joint", "score")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `igep launch`, which is `accelerate launch --config_file PLAN ... --module SCRIPT ...`.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `int`: 0.

    Raises:
        FileNotFoundError: There is no plan of the name.
        ValueError: Nothing is named that can be launched.
    """
    parser = argparse.ArgumentParser(
        prog="igep launch",
        usage=f"igep launch PLAN [FLAGS] {{{','.join(LAUNCHED)}}} ...",
        description="Run a script of igep with `accelerate launch`.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "plan", metavar="PLAN", help="one that comes with igep, such as ddp.yaml, or a file of your own"
    )
    parser.add_argument(
        "words",
        metavar="...",
        nargs=argparse.REMAINDER,
        help="flags of `accelerate launch`, such as --num_processes 8; then the script and what it takes",
    )
    options = parser.parse_args(arguments)
    plan = find_launch_plan(options.plan)
    place = next((place for place, word in enumerate(options.words) if word in LAUNCHED), None)
    if place is None:
        raise ValueError(f"nothing to launch: after the plan and its flags name one of {', '.join(LAUNCHED)}.")
    flags, script, words = options.words[:place], options.words[place], options.words[place + 1 :]
    # Imported here: loading torch takes seconds, and `--help` needs none of it.
    from accelerate.commands.launch import launch_command, launch_command_parser

    command = ["--config_file", str(plan), *flags, "--module", LAUNCHED[script], *words]
    launch_command(launch_command_parser().parse_args(command))
    return 0
