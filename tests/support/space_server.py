"""The Space as a process of its own, videos to give it, and the browser that visits it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import av
import numpy as np
import pytest
from PIL import Image
from processes import answers, end, free_port, wait_for_server

from igep.trainers.package_files import SPACE


class SpaceServer:
    """The Space, from `with` to the end of the block.

    Args:
        model (`Path`): Folder of the model.
        folder (`Path`): Where its uploads and its log go.
        command (`Sequence[str]`, *optional*): What Python runs, if not `app.py` as it is.
    """

    def __init__(self, model: Path, folder: Path, command: Sequence[str] = (str(SPACE / "app.py"),)):
        self.model = model
        self.uploads = folder / "uploads"
        self.log_file = folder / "server.log"
        self.command = command

    def __enter__(self) -> Self:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = {
            "MODEL_ID": str(self.model),
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_TEMP_DIR": str(self.uploads),
            "GRADIO_ANALYTICS_ENABLED": "False",
        }
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.command],
                cwd=SPACE,  # as on the Hub
                env=os.environ | settings,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for_server(self.process, f"{self.url}/config", self.log_file)
        except BaseException:
            end(self.process)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process)

    def log(self) -> str:
        """The end of what the Space has printed."""
        return self.log_file.read_text(errors="replace")[-4000:]

    def is_healthy(self) -> bool:
        """Whether it answers."""
        return answers(f"{self.url}/config")

    def resident_megabytes(self) -> float:
        """Memory of the process that holds the model."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def chromium() -> str:
    """The path of a browser; without one the test is skipped, except on CI, where it fails."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing(f"no browser here: install one of {', '.join(names)}")
    return found


# ---- Videos


def write_video(path: Path, frames: Iterable[np.ndarray], rate: int = 24) -> Path:
    """Writes (height, width, 3) frames with H.264 and returns the path."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "1"})
        stream.pix_fmt = "yuv420p"
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number
            if number == 0:
                stream.width, stream.height = frame.width, frame.height
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def noise_frames(count: int, seed: int = 0, size: tuple[int, int] = (96, 128)) -> list[np.ndarray]:
    """`count` frames of coarse noise, `size` = (height, width), each its own."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (count, size[0] // 16, size[1] // 16, 3), dtype=np.uint8)
    return list(coarse.repeat(16, axis=1).repeat(16, axis=2))


def still_frames(count: int, height: int, width: int) -> Iterator[np.ndarray]:
    """`count` times the same grey frame."""
    frame = np.full((height, width, 3), 128, np.uint8)
    return (frame for _ in range(count))


def write_bad_videos(folder: Path) -> dict[Path, str]:
    """Writes files that are no video, or none that the Space reads.

    Returns:
        `dict[Path, str]`: What the Space says about each.
    """
    good = write_video(folder / "good.mp4", noise_frames(24))
    names = ("empty", "text", "truncated", "playlist", "list_of_files", "image")
    empty, text, truncated, playlist, list_of_files, image = (folder / f"{name}.mp4" for name in names)
    empty.touch()
    text.write_text("This is no video.\n" * 1000)
    truncated.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{good}\n#EXT-X-ENDLIST\n")
    list_of_files.write_text("ffconcat version 1.0\nfile good.mp4\n")
    Image.fromarray(noise_frames(1)[0]).save(image, format="png")
    unreadable = "This file is not a video that can be read"
    return {
        empty: "This file is empty. Upload it again.",
        **dict.fromkeys((text, truncated, playlist, list_of_files, image), unreadable),
        write_video(folder / "endless.mp4", still_frames(100_000, 16, 16), rate=1000): "more than 7,200 frames",
        write_video(folder / "large.mp4", still_frames(2, 2500, 5000)): "frames of 5000 x 2500; the limit is",
        write_video(folder / "long.mp4", still_frames(130, 16, 16), rate=1): "130 s long; the limit is 120 s",
    }
