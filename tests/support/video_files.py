"""Small video files, written here."""

from pathlib import Path

import av
import numpy as np


SIZE = (32, 48)  # height, width


def write_video(path: Path, num_frames: int, picture: np.ndarray | None = None) -> Path:
    """Frame n is grey of level 10 n, or `picture` throughout."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.bit_rate = 4_000_000
        container.start_encoding()  # writes the header even when no frame follows
        for number in range(num_frames):
            pixels = np.full((*SIZE, 3), 10 * number, dtype=np.uint8) if picture is None else picture
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path
