"""Frames of a video, spread evenly over its time: found by the times of its packets, decoded in one pass.

What an edit list cuts away, a player does not show; a cover picture is no video; frames of another size are scaled to
the size of the first one; damage is said. The Space is published alone and has this file too, as
`spaces/scene_qa/video_decoding.py`; a test holds them equal.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from PIL import Image


FORMATS = "mov,matroska,avi,gif"  # no playlist: one may name any other file of this machine
# Their packets need not hold a frame that is shown: where one does not come, it need not be damaged.
HIDDEN_FRAMES = ("vp8", "vp9", "av1")


class VideoFault(ValueError):
    """Why a file gives no frames.

    Args:
        kind (`str`): `"unreadable"`, `"no video"`, `"cover"`, `"no frames"`, `"too many frames"` or `"too large"`.
        detail (`str`, *optional*): What FFmpeg or the file says about it.
    """

    def __init__(self, kind: str, detail: str = ""):
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True)
class Limits:
    """What a stranger's file may ask for: held before anything is decoded, and again by every frame.

    Args:
        frames (`int`): Frames of the whole video.
        pixels (`int`): Width times height.
        side (`int`): Width, and height.
    """

    frames: int
    pixels: int
    side: int

    def check_size(self, width: int, height: int) -> None:
        """Raises `VideoFault` where a frame is larger, or says no size."""
        if not width or not height:
            raise VideoFault("unreadable", "it does not say how large its frames are")
        if width * height > self.pixels or max(width, height) > self.side:
            raise VideoFault("too large", f"{width} x {height}")

    def check_count(self, num_frames: int) -> None:
        """Raises `VideoFault` where there are more."""
        if num_frames > self.frames:
            raise VideoFault("too many frames", f"more than {self.frames:,}")


@dataclass(frozen=True)
class Timeline:
    """When the frames of a video are shown.

    Args:
        times (`list[int]`): When each begins, strictly increasing, in units of the stream.
        key_times (`list[int]`): Those of frames that can be decoded alone, in order.
        unit_seconds (`Fraction`): One unit.
    """

    times: list[int]
    key_times: list[int]
    unit_seconds: Fraction

    def seconds(self, number: int) -> float:
        """When a frame begins, from the first one."""
        return float((self.times[number] - self.times[0]) * self.unit_seconds)

    @property
    def duration_seconds(self) -> float:
        """To the end of the last frame, which is taken to be shown as long as is usual."""
        return self.seconds(-1) + float(_usual_interval(self.times) * self.unit_seconds)


@dataclass(frozen=True)
class ShownFrames:
    """Frames of a video.

    Args:
        images (`list[PIL.Image.Image]`): RGB, in order, all of one size.
        numbers (`list[int]`): Of each, among all frames that are shown, from 0.
        size (`tuple[int, int]`): Width and height of the video as it is shown, in its own pixels.
        timeline (`Timeline`): Of the whole video.
        damaged (`list[int]`): Numbers of the frames that were wanted and cannot be decoded. A sound one near, or none
            where there is none, is taken instead.
    """

    images: list[Image.Image]
    numbers: list[int]
    size: tuple[int, int]
    timeline: Timeline
    damaged: list[int]

    def damage(self) -> str:
        """Says what is damaged; empty where nothing is."""
        if not self.damaged:
            return ""
        first, last = (self.timeline.seconds(self.damaged[place]) for place in (0, -1))
        when = f"at {first:.1f} s" if first == last else f"between {first:.1f} s and {last:.1f} s"
        return (
            f"{len(self.damaged)} of the frames to be read are damaged, {when}; sound ones near them are read instead"
        )


def evenly_in_time(times: Sequence[int], count: int) -> list[int]:
    """Numbers of different frames that are shown at moments spread evenly over a video.

    The first moment is that of the first frame and the last that of the last one; a single moment is in the middle.
    The middle of the time for which a frame is usually shown stands for it, so that at a constant rate the numbers are
    those spread evenly, rounded.

    Args:
        times (`Sequence[int]`): When each frame begins, strictly increasing, in any unit.
        count (`int`): Frames wanted, from 1 to `len(times)`.

    Returns:
        `list[int]`: `count` numbers from 0, strictly increasing.
    """
    moments = np.linspace(times[0], times[-1], count) if count > 1 else np.array([(times[0] + times[-1]) / 2])
    moments += _usual_interval(times) * (0.5 - 1e-6)
    numbers = np.searchsorted(times, moments, side="right") - 1
    # A frame that is shown at several of the moments is taken once, and frames near it for the others.
    places = np.arange(count)
    numbers[0] = 0 if count > 1 else numbers[0]
    numbers = np.maximum.accumulate(numbers - places) + places
    return np.minimum(numbers, len(times) - count + places).tolist()


def read_shown_frames(
    path: str | Path,
    choose: Callable[[Timeline], int],
    show: Callable[[av.VideoFrame, Fraction | None], Image.Image],
    *,
    longest_side: int | None = None,
    limits: Limits | None = None,
) -> ShownFrames:
    """Reads frames of a video, spread evenly over its time.

    Args:
        path (`str | Path`): The file: mp4 and its kin, Matroska and WebM, AVI, GIF.
        choose (`Callable[[Timeline], int]`): Says how many are wanted once it is known when frames are shown.
        show (`Callable[[av.VideoFrame, Fraction], PIL.Image.Image]`): Makes a picture of a decoded frame:
            `video_display.displayed`.
        longest_side (`int`, *optional*): Pictures are made smaller until none of their sides is longer.
        limits (`Limits`, *optional*): What is refused.

    Returns:
        `ShownFrames`

    Raises:
        VideoFault: It gives no frames, or is beyond a limit.
    """
    video = _Video(Path(path).absolute(), show, longest_side, limits)
    timeline = video.timeline_of_packets()
    if timeline is not None:
        found = video.take(timeline, choose(timeline))
        if found is not None:
            return found
    # What packets say of their time is a guess for some containers: frames are counted by decoding.
    timeline = video.timeline_of_frames()
    return video.take(timeline, choose(timeline), counted=True)


class _WrongTimesError(Exception):
    """Frames do not come at the times of the packets."""


@dataclass(frozen=True)
class _Video:
    path: Path
    show: Callable[[av.VideoFrame, Fraction | None], Image.Image]
    longest_side: int | None
    limits: Limits | None

    def open(self) -> tuple[av.container.InputContainer, av.VideoStream]:
        try:
            # Absolute, because FFmpeg takes what stands before a colon for a protocol.
            options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
            container = av.open(str(self.path), options=options)
        except av.ArgumentError as error:  # a format that is not on the list
            raise VideoFault(
                "unreadable", "it is no mp4, mov, mkv, webm, avi or gif inside, whatever its name"
            ) from error
        except av.FFmpegError as error:
            raise VideoFault("unreadable", error.strerror) from error
        videos = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        if not videos:
            fault = VideoFault("cover" if container.streams.video else "no video")
            container.close()
            raise fault
        best = container.streams.best("video")
        stream = best if best in videos else videos[0]
        if self.limits is None:
            stream.thread_type = "AUTO"
        else:  # by one thread, which takes little memory
            self.limits.check_size(stream.codec_context.width, stream.codec_context.height)
            stream.codec_context.options = {"max_pixels": str(self.limits.pixels)}
        return container, stream

    def timeline_of_packets(self) -> Timeline | None:
        """When frames are shown, without decoding one; `None` where the packets do not say so."""
        times, key_times = [], []
        container, stream = self.open()
        with container:
            if container.format.name == "avi" and stream.codec_context.has_b_frames:
                return None  # AVI says no time, and FFmpeg does not know the order in which frames are shown
            try:
                for packet in container.demux(stream):
                    if not packet.size or packet.is_discard:  # the last is empty; others are cut by an edit list
                        continue
                    if packet.pts is None:
                        return None
                    times.append(packet.pts)
                    if packet.is_keyframe:
                        key_times.append(packet.pts)
                    if self.limits is not None:
                        self.limits.check_count(len(times))
            except av.FFmpegError as error:
                if not times:  # else the file ends too early, and what came before is a video all the same
                    raise VideoFault("unreadable", error.strerror) from error
            if len(set(times)) < max(len(times), 1):
                return None
            return Timeline(sorted(times), sorted(key_times), stream.time_base)

    def timeline_of_frames(self) -> Timeline:
        """When frames are shown, by decoding them all."""
        times: list[int | None] = []
        packet_times: list[int | None] = []
        container, stream = self.open()
        with container:
            for packet in _packets(container, stream):
                if packet is not None and packet.size:
                    packet_times.append(packet.dts)
                times += [frame.pts for frame in _decoded(stream, packet) or ()]
                if self.limits is not None:
                    self.limits.check_count(len(times))
            if not times:
                raise VideoFault("no frames")
            if _rise(times):
                return Timeline(times, [], stream.time_base)
            # AVI has a time for each packet, in the order of decoding: as many frames are shown in as much time.
            if len(packet_times) == len(times) and _rise(packet_times):
                return Timeline(packet_times, [], stream.time_base)
            return Timeline(list(range(len(times))), [], 1 / (stream.average_rate or Fraction(25)))

    def take(self, timeline: Timeline, count: int, *, counted: bool = False) -> ShownFrames | None:
        """Frames at `count` moments; `None` where they do not come at their times, unless they are `counted`."""
        images, numbers, damaged = [], [], []
        size = None
        container, stream = self.open()
        with container:
            try:
                for wanted, (number, frame) in self._wanted(container, stream, timeline, count, counted):
                    if number != wanted:
                        damaged.append(wanted)
                    if frame is None:
                        continue
                    if self.limits is not None:
                        self.limits.check_size(frame.width, frame.height)
                    image = self.show(frame, stream.sample_aspect_ratio)
                    size = size or image.size
                    image = image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)
                    if self.longest_side is not None:
                        image.thumbnail((self.longest_side, self.longest_side))
                    images.append(image)
                    numbers.append(number)
            except _WrongTimesError:
                return None
        if not images:
            raise VideoFault("no frames", "none of its frames can be decoded")
        return ShownFrames(images, numbers, size, timeline, damaged)

    def _wanted(
        self,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        timeline: Timeline,
        count: int,
        counted: bool,
    ) -> Iterator[tuple[int, tuple[int | None, av.VideoFrame | None]]]:
        """Each wanted number, with that and the frame which is taken for it."""
        wanted = evenly_in_time(timeline.times, count)
        ends = [*wanted[1:], len(timeline.times)]
        frames: Iterator | None = None
        last, taken = -1, -1
        for number, end in zip(wanted, ends, strict=True):
            # Decoding goes on from the last frame unless a later one that can be decoded alone is nearer.
            if frames is None or (not counted and self._is_key_between(timeline, last, number)):
                if not counted:
                    _seek(container, stream, timeline.times[number])
                frames = _Numbered(container, stream, None if counted else timeline)
            spare = (None, None)
            found = None
            while found is None and (upcoming := frames.peek()) is not None:
                at, frame, sound = upcoming
                if at >= end:
                    break
                frames.advance()
                last = at
                if sound and at >= number:
                    found = (at, frame)
                elif sound and at > taken:
                    spare = (at, frame)
            found = found or spare
            taken = taken if found[0] is None else found[0]
            yield number, found

    @staticmethod
    def _is_key_between(timeline: Timeline, last: int, number: int) -> bool:
        """Whether a frame that can be decoded alone lies after the next one and not after the wanted one."""
        following = bisect_right(timeline.key_times, timeline.times[last + 1])
        return bisect_right(timeline.key_times, timeline.times[number]) > following


class _Numbered:
    """Decoded frames, their numbers, and whether they are sound: since a frame that decodes alone, none is missing.

    Args:
        container, stream: Where packets are read from here on.
        timeline (`Timeline`, *optional*): Gives the numbers; by default frames are counted from here.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream, timeline: Timeline | None):
        self.numbers = None if timeline is None else {time: number for number, time in enumerate(timeline.times)}
        self.first = None if timeline is None else timeline.times[0]
        self.frames = self._decode(container, stream)
        self.upcoming: tuple[int, av.VideoFrame, bool] | None = next(self.frames, None)

    def peek(self) -> tuple[int, av.VideoFrame, bool] | None:
        return self.upcoming

    def advance(self) -> None:
        self.upcoming = next(self.frames, None)

    def _decode(
        self, container: av.container.InputContainer, stream: av.VideoStream
    ) -> Iterator[tuple[int, av.VideoFrame, bool]]:
        last, sound = None, True
        for packet in _packets(container, stream):
            decoded = _decoded(stream, packet)
            if decoded is None:
                sound = False
                continue
            for frame in decoded:
                number = (0 if last is None else last + 1) if self.numbers is None else self.numbers.get(frame.pts)
                if number is None:
                    if frame.pts is not None and frame.pts < self.first:
                        continue
                    raise _WrongTimesError
                if last is not None and number != last + 1:
                    if number <= last or stream.codec_context.name in HIDDEN_FRAMES:
                        raise _WrongTimesError
                    sound = False
                sound = (sound or frame.key_frame) and not frame.is_corrupt
                last = number
                yield number, frame, sound


def _packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet | None]:
    """All packets from here on; at the end, one for what the decoder still holds."""
    try:
        yield from container.demux(stream)
    except av.FFmpegError:  # the file ends too early
        yield None


def _decoded(stream: av.VideoStream, packet: av.Packet | None) -> list[av.VideoFrame] | None:
    """The frames that come with a packet; `None` where it is damaged."""
    try:
        return stream.decode(packet)
    except av.FFmpegError:
        return None


def _seek(container: av.container.InputContainer, stream: av.VideoStream, time: int) -> None:
    try:
        container.seek(time, stream=stream)
    except av.FFmpegError as error:
        raise _WrongTimesError from error


def _rise(times: Sequence[int | None]) -> bool:
    return None not in times and all(time < later for time, later in pairwise(times))


def _usual_interval(times: Sequence[int]) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0
