"""Starts the Space on this machine, on a saved model; by default that of the quickstart."""

import argparse
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi, try_to_load_from_cache

from igep.trainers.package_files import PACKAGE, SPACE, find_model


APP = SPACE / "app.py"
QUICKSTART_MODEL = Path("outputs/quickstart/igep_seed0")
NEEDED = ("gradio", "plotly")


def demo_model(model: str | None) -> str:
    """Which model to show.

    Args:
        model (`str`, *optional*): Folder or id on the Hub; the quickstart's model unless given.

    Returns:
        `str`: The id, or the absolute path of the folder.

    Raises:
        FileNotFoundError: The quickstart has not been run and no model is given, or there is none of the name.
    """
    if model is None:
        for folder in (Path.cwd(), PACKAGE):
            if (folder / QUICKSTART_MODEL / "config.json").is_file():
                return str(folder / QUICKSTART_MODEL)
        raise FileNotFoundError(
            f"{QUICKSTART_MODEL} is not there: run `igep quickstart` first (about five minutes), or give --model."
        )
    return str(Path(model).resolve()) if Path(model).is_dir() else find_model(model)


def check_on_hub(model: str) -> None:
    """Asks the Hub once for a model that is no folder: the Space would ask it again and again for a minute.

    Args:
        model (`str`): What `demo_model` returned.

    Raises:
        FileNotFoundError: It is neither a folder nor in the Hub's cache, and the Hub does not have it or cannot be
            asked.
    """
    if Path(model).is_dir() or isinstance(try_to_load_from_cache(model, "config.json"), str):
        return
    if "/" not in model:
        raise FileNotFoundError(
            f"{model}: there is no such folder, and models of igep on the Hub are named user/name."
        )
    # Imported here: it loads torch, and a model in a folder needs none of it.
    from igep.trainers.publishing.hub_upload import UploadError, hub_errors

    try:
        with hub_errors():
            HfApi().model_info(model)
    except UploadError as error:
        raise FileNotFoundError(
            f"{model}: there is no such folder, no such model in the Hub's cache, and of the Hub: {error}"
        ) from error


def demo(model: str | None = None, port: int = 7860, host: str = "127.0.0.1") -> int:
    """Serves the Space until it is interrupted.

    Args:
        model (`str`, *optional*): Folder or id on the Hub of a model that igep trained; the quickstart's unless given.
            Its code is run.
        port (`int`, *optional*, defaults to `7860`): Port.
        host (`str`, *optional*, defaults to `"127.0.0.1"`): Address to listen at; `0.0.0.0` shows it to the network.

    Returns:
        `int`: Exit code of the Space.

    Raises:
        FileNotFoundError: There is no model.
        ModuleNotFoundError: The packages of the Space are not installed.
        ValueError: The port is none, or taken.
    """
    if not 1 <= port <= 65535:
        raise ValueError(f"--port {port}: give 1 to 65535.")
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind((host, port))
        except OSError as error:  # Gradio would take the next one, and say so in passing
            raise ValueError(f"--host {host} --port {port}: {error.strerror}. Give another.") from error
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(f"{', '.join(missing)} is not installed: run `pip install 'igep[spaces]'`.")
    found = demo_model(model)
    check_on_hub(found)
    environment = {
        **os.environ,
        "MODEL_ID": found,
        "GRADIO_SERVER_NAME": host,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": os.environ.get("GRADIO_ANALYTICS_ENABLED", "False"),
    }
    with subprocess.Popen([sys.executable, str(APP)], env=environment) as process:
        # Whoever ends the command ends the Space: a server left behind would hold its port.
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            return max(process.wait(), 0)
        except KeyboardInterrupt:
            process.terminate()
            return 0
        finally:
            signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `igep demo`.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `int`: Exit code of the Space.

    Raises:
        FileNotFoundError: There is no model.
        ModuleNotFoundError: The packages of the Space are not installed.
        ValueError: The port is none, or taken.
    """
    parser = argparse.ArgumentParser(
        prog="igep demo",
        description="Start the Gradio Space on this machine. Upload a video or pick an example, and ask.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--model",
        help="directory or Hub id of a model that igep trained; code it brings is run (default: the quickstart's)",
    )
    parser.add_argument("--port", type=int, default=7860, help="port (default: 7860)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine alone)"
    )
    options = parser.parse_args(arguments)
    return demo(options.model, options.port, options.host)
