"""The model of the Space: loaded once, asked about frames that are encoded once, streaming its answers.

What the model was trained to be asked is read from `training_run.json`, which igep writes beside the weights: how many
frames, which prompts, which image size. Nothing of igep is imported; its code comes with the model.
"""

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from answer_stream import THINK, End, UnwantedError, WordStreamer, Writing, silent_tokens
from model_run import Training, Usage, read_run
from PIL import Image
from question_text import control_tokens, without_control_tokens
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    BatchFeature,
    StoppingCriteriaList,
)
from transformers.modeling_layers import GradientCheckpointingLayer
from work_in_beats import BEAT_SECONDS, in_beats


PIXELS = ("pixel_values", "pixel_values_videos")
ANSWER_SECONDS = 300.0
CANNOT_BE_ASKED = (
    "The model cannot be asked this about these frames: change the question, or the number of frames (Settings)."
)
logger = logging.getLogger(__name__)


class ModelError(ValueError):
    """A model that this Space cannot use, or cannot ask what it is asked; the message says what to do."""


@dataclass
class Scene:
    """What one visitor asks about. Kept per session; the encoded frames live as long as it does.

    Args:
        frames (`list[PIL.Image.Image]`): RGB.
        encoded (`dict`): Per way of showing the frames, the encoder's output on the CPU.
        turns (`list[str]`): Questions and answers by turns.
        video_size (`tuple[int, int]`, *optional*): Width and height of the video, where its frames were made smaller.
        source (`tuple`): The file and the number of frames wanted, as it was opened.
        frame_numbers (`tuple[int, ...]`): Of the frames, in the video, from 0.
        estimated_field_of_view (`float`, *optional*): Horizontal, in degrees, once a calibrator was asked.
    """

    frames: list[Image.Image]
    encoded: dict[str, dict] = field(default_factory=dict)
    turns: list[str] = field(default_factory=list)
    video_size: tuple[int, int] | None = None
    source: tuple[str, int] = ("", 0)
    frame_numbers: tuple[int, ...] = ()
    estimated_field_of_view: float | None = None

    @property
    def scale(self) -> np.ndarray:
        """Pixels of the video per pixel of its frames: (2,), along x and y."""
        size = self.frames[0].size
        return np.array(self.video_size or size) / np.array(size)

    @property
    def num_bytes(self) -> int:
        """Memory that frames and their encoding take."""
        return sum(3 * frame.width * frame.height for frame in self.frames) + _num_bytes(self.encoded)


@dataclass
class Report:
    """What the model did for one answer."""

    prompt: str = ""
    text: str = ""
    prompt_tokens: int = 0
    vision_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0
    encoded_now: bool = False
    stopped: str = ""


class SceneModel:
    """A saved igep model.

    Args:
        model_id (`str`): Id on the Hub or folder. Its code is run: use models you trust.
        revision (`str`, *optional*): Branch, tag or commit.
        on_gpu (`Callable`, *optional*): Wraps what needs the accelerator (`spaces.GPU` on ZeroGPU). Wrapped functions
            may run in a process of their own: they change nothing and return tensors on the CPU.
        answer_seconds (`float`, *optional*, defaults to `300`): Longest time to write an answer, and longest wait for
            its first or next word.
        calibrator (`Callable`, *optional*): Estimates the horizontal field of view of a picture, in degrees.

    Raises:
        ModelError: There is no such model, or it is not one of igep's.
    """

    def __init__(
        self,
        model_id: str,
        revision: str | None = None,
        on_gpu: Callable[[Callable], Callable] = lambda work: work,
        answer_seconds: float = ANSWER_SECONDS,
        calibrator: Callable[[Image.Image, threading.Event], float] | None = None,
    ):
        options = {"trust_remote_code": True, "revision": revision}
        try:
            config = AutoConfig.from_pretrained(model_id, **options)
        except (OSError, ValueError) as error:
            raise ModelError(f"MODEL_ID={model_id!r} is no model that can be loaded: {error}") from error
        self.reconstructs = config.model_type == "vid_llm"
        if config.model_type != "igep" and not self.reconstructs:
            raise ModelError(f"MODEL_ID={model_id!r} is a {config.model_type} model: this Space shows models of igep.")
        run = read_run(model_id, revision)
        self.usage = Usage.read(run.get("usage", {}), "" if self.reconstructs else config.vlm_config.model_type)
        if self.usage.geometry_inputs != "none":
            raise ModelError(
                f"MODEL_ID={model_id!r} must be given depth and camera poses: this Space shows models that answer "
                "from RGB alone."
            )
        self.model_id = model_id
        self.calibrator = calibrator
        self.answer_seconds = answer_seconds
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.processor = AutoProcessor.from_pretrained(model_id, **options)
        self.model = AutoModelForImageTextToText.from_pretrained(model_id, dtype="auto", **options)
        self.model = self.model.to(self.device).eval()
        self.training = Training.read(run, self.model.num_parameters(), self.reconstructs)
        self._control = control_tokens(self.processor.tokenizer)
        self._silent = silent_tokens(self.processor.tokenizer)
        self._writing = Writing()
        for layer in self.model.modules():
            if isinstance(layer, (GradientCheckpointingLayer, torch.nn.LayerNorm)):
                layer.register_forward_pre_hook(self._end_if_unwanted)
        self._encode = on_gpu(self._encode)
        self._stream = on_gpu(self._stream)

    def answer(
        self, scene: Scene, question: str, *, history: bool, max_new_tokens: int, frames_as: str | None = None
    ) -> Iterator[Report]:
        """Answers a question about all frames.

        Args:
            scene (`Scene`): Its frames are encoded the first time.
            question (`str`): The question.
            history (`bool`): Show the model the turns so far.
            max_new_tokens (`int`): Longest answer.
            frames_as (`str`, *optional*): As the model was trained unless given.

        Yields:
            `Report`: As the text grows; the last one is whole.

        Raises:
            ModelError: It cannot be asked this, or no word came in `answer_seconds`.
        """
        frames_as = frames_as or self.usage.frames_as
        turns = [self._in_words(turn) for turn in (*(scene.turns if history else []), question)]
        with _told():
            inputs = self.processor.question_inputs(scene.frames, turns, frames_as=frames_as)
            encoded_now = frames_as not in scene.encoded
            begin = time.perf_counter()
            yield from self._looking(scene, inputs, frames_as, Report())
            prompt = self.processor.prompt_text(turns, len(scene.frames), frames_as=frames_as)
            yield from self._stream(inputs, scene.encoded[frames_as], prompt, begin, encoded_now, max_new_tokens)

    def distance(
        self, frame: Image.Image, pixel: tuple[float, float], intrinsics: np.ndarray, *, max_new_tokens: int
    ) -> Iterator[Report]:
        """Asks how far a pixel is, with VLM3's prompt.

        Args:
            frame (`PIL.Image.Image`): RGB.
            pixel (`tuple[float, float]`): x and y, pixel centres at +0.5.
            intrinsics (`np.ndarray`): (3, 3) in pixels of the frame.
            max_new_tokens (`int`): Longest answer.

        Yields:
            `Report`

        Raises:
            ModelError: The model was not trained on such questions, the image cannot be brought to its size, the point
                is outside of what it sees, or no word came in `answer_seconds`.
        """
        if "depth" not in self.usage.tasks:
            raise ModelError("This model was not trained on how far a pixel is. Ask in words instead.")
        begin = time.perf_counter()
        try:
            inputs = self.processor.depth_question_inputs(
                frame,
                pixel,
                intrinsics,
                focal_pixels=self.usage.focal_pixels,
                focal_mode=self.usage.focal_mode,
                canvas_size=self.usage.canvas_size,
                steps=self.usage.text_pixel_steps,
                frames_as=self.usage.frames_as,
                **self.usage.newer_depth_options,
            )
        except ValueError as error:
            logger.warning("a distance cannot be asked for: %s", error)
            raise ModelError(
                "The model cannot look at this point: choose one nearer to the middle of the frame, or correct the "
                "field of view or the focal length (Settings)."
            ) from error
        prompt = self.processor.decode(inputs["input_ids"][0])
        seen = Scene([frame])
        with _told():
            yield from self._looking(seen, inputs, self.usage.frames_as, Report())
            encoded = seen.encoded[self.usage.frames_as]
            yield from self._stream(inputs, encoded, prompt, begin, True, max_new_tokens)

    def _in_words(self, text: str) -> str:
        """A text of a visitor that holds none of the tokens by which a conversation is built."""
        text = without_control_tokens(text, self._control)
        found = set(self.processor.tokenizer(text, add_special_tokens=False).input_ids) & set(self._control.values())
        if found - {self.processor.tokenizer.unk_token_id}:
            raise ModelError("This question holds one of the model's own control tokens: write it in other words.")
        return text

    def _end_if_unwanted(self, *_) -> None:
        """Ends the work for an answer that nobody waits for, within a step too."""
        end = self._writing.end
        if end is not None and end.cancelled.is_set():
            raise UnwantedError

    def look_at(self, scene: Scene) -> Iterator[None]:
        """Encodes the frames of a scene as the model was trained, unless that has been done.

        Args:
            scene (`Scene`): The frames; it keeps what the encoder made of them.

        Yields:
            `None`: At every beat until it is done; closed, it is not done to the end.
        """
        inputs = self.processor.question_inputs(scene.frames, ["What is this?"], frames_as=self.usage.frames_as)
        yield from self._looking(scene, inputs, self.usage.frames_as, None)

    def looked_at(self, scene: Scene) -> dict:
        """The frames of a scene as the encoder sees them, as the model was trained; encoded the first time.

        Args:
            scene (`Scene`): The frames.

        Returns:
            `dict`: Per modality what the encoder made of them.
        """
        for _ in self.look_at(scene):
            pass
        return scene.encoded[self.usage.frames_as]

    def _looking(self, scene: Scene, inputs: BatchFeature, frames_as: str, beat: Report | None) -> Iterator:
        if frames_as in scene.encoded:
            return

        def encode(unwanted: threading.Event) -> dict:
            self._writing.end = End(math.inf, unwanted)
            return self._encode(inputs)

        scene.encoded[frames_as] = yield from in_beats(encode, beat)

    def _encode(self, inputs: BatchFeature) -> dict:
        tensors = inputs.to(self.device, dtype=self.model.dtype)
        encoded = self.model.encode_vision(**tensors)
        return _moved(_for_answers(encoded) if self.reconstructs else encoded, "cpu")

    def _stream(
        self,
        inputs: BatchFeature,
        encoded: dict,
        prompt: str,
        begin: float,
        encoded_now: bool,
        max_new_tokens: int,
    ) -> Iterator[Report]:
        inputs = {name: value for name, value in inputs.items() if name not in PIXELS}
        inputs = BatchFeature(inputs).to(self.device, dtype=self.model.dtype)
        prompt_tokens = inputs["input_ids"].shape[1]
        config = self.model.config if self.reconstructs else self.model.config.vlm_config
        vision = torch.isin(inputs["input_ids"].cpu(), torch.tensor([config.image_token_id, config.video_token_id]))
        report = Report(prompt, "", prompt_tokens, int(vision.sum()), encoded_now=encoded_now)
        streamer = WordStreamer(self.processor.tokenizer, self._silent, seconds=min(BEAT_SECONDS, self.answer_seconds))
        opening = THINK if prompt.rstrip().endswith(THINK) else ""  # some templates begin the thought themselves
        end, failed, answered = End(self.answer_seconds), [], []

        def generate() -> None:
            self._writing.end = end
            try:
                found = self.model.generate(
                    **inputs,
                    mm_encoder_outputs=_moved(encoded, self.device),
                    max_new_tokens=max_new_tokens,
                    do_sample=False,
                    streamer=streamer,
                    stopping_criteria=StoppingCriteriaList([end]),
                )
                answered.append(found[0, prompt_tokens:].cpu())
            except Exception as error:  # noqa: BLE001 - handed to the one who waits for the text
                failed.append(error)
                streamer.end()

        thread = threading.Thread(target=generate, daemon=True)
        thread.start()
        try:
            last_word, pieces = time.monotonic(), iter(streamer)
            while True:
                try:
                    report.text = (report.text or opening) + next(pieces)
                    last_word = time.monotonic()
                except StopIteration:
                    break
                except queue.Empty as error:
                    if time.monotonic() - last_word > self.answer_seconds:
                        raise ModelError(
                            f"The model wrote nothing for {self.answer_seconds:g} s. With fewer frames (Settings) it "
                            "is faster."
                        ) from error
                report.seconds = time.perf_counter() - begin
                yield report  # also without a new word: whoever waits may not want one any more
            thread.join()
        finally:
            end.cancelled.set()  # also when the visitor has left
        if failed:
            raise failed[0]
        # Decoded as a whole: piece by piece, some tokenizers lose what joins two tokens.
        words = answered[0][~torch.isin(answered[0], self._silent)]
        report.text = (opening + self.processor.decode(words)).strip()
        report.answer_tokens = len(answered[0])
        report.seconds = time.perf_counter() - begin
        if report.answer_tokens >= max_new_tokens:
            report.stopped = f"the answer was cut at {max_new_tokens} tokens"
        elif end.late:
            report.stopped = f"the answer was cut after {self.answer_seconds:g} s"
        yield report


@contextmanager
def _told() -> Iterator[None]:
    """What the model or processor cannot take becomes a sentence for visitors; whoever runs the Space is told why."""
    try:
        yield
    except ModelError:
        raise
    except ValueError as error:
        logger.warning("a question cannot be asked: %s", error)
        raise ModelError(CANNOT_BE_ASKED) from error


def _for_answers(encoded: dict) -> dict:
    """What a Vid-LLM made of frames without what no answer and no reconstruction view reads: most of its memory."""
    kept = {}
    for modality, frames in encoded.items():
        found = frames.reconstruction
        geometry = {
            name: found[name] for name in ("depth_metres", "depth_confidence", "intrinsics", "world_from_camera")
        }
        kept[modality] = type(frames)(pooler_output=frames.pooler_output, reconstruction=type(found)(**geometry))
    return kept


def _num_bytes(value) -> int:
    """Bytes of the tensors inside dictionaries, lists and model outputs."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return sum(_num_bytes(part) for part in parts)


def _moved(value, device: str):
    """Tensors inside dictionaries, lists and model outputs, on another device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return type(value)(**{name: _moved(part, device) for name, part in value.items() if part is not None})
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(part, device) for part in value)
    return value
