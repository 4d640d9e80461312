"""What the Space adds to the time of an answer: the model asked directly and through the Space, side by side in a run.

    python benchmarks/ask_the_space.py

The model is the tiny base as it is, which answers in so little time that the Space's own shows. A request through the
Space sends the video, which is read anew in a process of its own, and takes its turn in the queue.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from gradio_client import Client, handle_file

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.package_files import PACKAGE, SPACE


sys.path.insert(0, str(SPACE))  # the Space imports its files flatly

from scene_model import Scene, SceneModel
from scene_questions import ask, open_scene


VIDEO = SPACE / "examples" / "room_1.mp4"
QUESTION = "How many metres away is the box in red?"
NUM_FRAMES = 2


@contextmanager
def space(model: Path) -> Iterator[Client]:
    """The Space on a model, in a process of its own."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    settings = {"MODEL_ID": str(model), "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    command = [sys.executable, str(SPACE / "app.py")]
    with subprocess.Popen(command, env=os.environ | settings, stdout=subprocess.DEVNULL) as process:
        try:
            while True:
                if process.poll() is not None:
                    raise RuntimeError(f"the Space ended with exit code {process.returncode} before it answered.")
                try:
                    client = Client(f"http://127.0.0.1:{port}", verbose=False)
                    break
                except httpx.TransportError:
                    time.sleep(0.5)
            yield client
        finally:
            process.terminate()


def median_seconds(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Times all ways in turns, so that what else the machine does meets each of them."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeats + 1):
        for name, work in ways.items():
            begin = time.perf_counter()
            work()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--model", type=Path, help="folder of a saved model; the tiny base, untrained, unless given")
    parser.add_argument("--repeats", type=int, default=30, help="rounds; the median is reported")
    parser.add_argument("--new_tokens", type=int, default=32, help="longest answer in tokens")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or Path(folder)
        if options.model is None:
            base = PACKAGE / "trainers" / "tiny_base"
            IGEPForConditionalGeneration.from_base(base).save_pretrained(folder)
            IGEPProcessor.from_base(base).save_pretrained(folder)
        direct = SceneModel(str(model))
        frames = open_scene(str(VIDEO), NUM_FRAMES, SPACE)[0].frames

        def answer(scene: Scene) -> str:
            *_, outcome = ask(direct, scene, QUESTION, remember=False, max_new_tokens=options.new_tokens)
            return outcome.text

        with space(model) as client:

            def through_the_space() -> str:
                arguments = (handle_file(VIDEO), QUESTION, NUM_FRAMES, options.new_tokens)
                return client.predict(*arguments, api_name="/ask")["answer"]

            ways = {
                "the model, frames at hand": lambda: answer(Scene(frames)),
                "video read, then the model": lambda: answer(open_scene(str(VIDEO), NUM_FRAMES, SPACE)[0]),
                "through the Space": through_the_space,
            }
            if len({work() for work in ways.values()}) != 1:
                raise AssertionError("the ways do not give the same answer")
            seconds = median_seconds(ways, options.repeats)
    print("| way | milliseconds | x video read, then the model |")
    print("|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {1000 * value:.0f} | {value / seconds['video read, then the model']:.2f} |")


if __name__ == "__main__":
    main()
