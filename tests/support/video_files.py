"""Small video files, written here."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
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


def moving_frames(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """`count` frames of coarse noise, `size` = (height, width), that moves to the right: each is another."""
    coarse = np.random.default_rng(0).integers(0, 255, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
    picture = coarse.repeat(8, axis=0).repeat(8, axis=1)
    return [np.roll(picture, 3 * number, axis=1) for number in range(count)]


def encode(
    path: Path,
    frames: Iterable[np.ndarray],
    codec: str = "libx264",
    *,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    pixel_aspect: Fraction | None = None,
    milliseconds: Sequence[int] | None = None,
) -> Path:
    """Writes (height, width, 3) frames, 25 a second or at given times, and returns the path.

    Args:
        path (`Path`): Its suffix says which container.
        frames (`Iterable[np.ndarray]`): uint8 RGB; where their size changes, so does that of the video (VP8).
        codec (`str`): The encoder.
        options (`dict`, *optional*): Of the encoder.
        container (`dict`, *optional*): Options of the container.
        pixel_aspect (`Fraction`, *optional*): Width of a pixel over its height.
        milliseconds (`Sequence[int]`, *optional*): When each frame is shown.
    """
    with av.open(str(path), "w", options=container or {}) as file:
        stream = file.add_stream(codec, rate=25, options=options or {})
        for number, pixels in enumerate(frames):
            if number == 0:
                stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "yuv420p"
                if pixel_aspect is not None:
                    stream.codec_context.sample_aspect_ratio = pixel_aspect
                if milliseconds is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if milliseconds is not None:
                frame.pts, frame.time_base = milliseconds[number], Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def trim(path: Path, trimmed: Path, start: int, end: int, group: int = 25) -> Path:
    """Cuts a video of 25 frames a second without encoding it anew, as phones do: an edit list hides what comes before.

    Args:
        path (`Path`): mp4 or mov whose every `group`-th frame can be decoded alone, from the first on.
        trimmed (`Path`): What is written.
        start, end (`int`): The first frame that is shown, and the one after the last.
        group (`int`, *optional*, defaults to 25): See `path`.
    """
    with av.open(str(path)) as source, av.open(str(trimmed), "w", options={"avoid_negative_ts": "disabled"}) as target:
        stream = source.streams.video[0]
        unit = int(1 / (25 * stream.time_base))
        copied = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.pts is None or not start // group * group <= packet.pts // unit < end:
                continue
            packet.pts, packet.dts, packet.stream = packet.pts - start * unit, packet.dts - start * unit, copied
            target.mux(packet)
    return trimmed


def set_display_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Writes the matrix (a, b, c, d) into an mp4's track header: a pixel (x, y) is shown at (a x + c y, b x + d y)."""

    def words(*values: int) -> bytes:
        return b"".join((65536 * value).to_bytes(4, "big", signed=True) for value in values)

    content = path.read_bytes()
    header = content.index(b"tkhd")
    a, b, c, d = matrix
    path.write_bytes(content[:header] + content[header:].replace(words(1, 0, 0, 0, 1, 0), words(a, b, 0, c, d, 0), 1))
    return path


def damage_packets(path: Path, numbers: range) -> Path:
    """Overwrites most of some packets of a video with noise."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for number in numbers:
        position, size = places[number]
        begin = position + max(8, size // 3)
        noise = np.random.default_rng(number).integers(0, 255, position + size - begin, dtype=np.uint8)
        content[begin : position + size] = noise.tobytes()
    path.write_bytes(content)
    return path
