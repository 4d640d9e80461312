"""The model `igep` of lmms-eval: any benchmark of it, asked as the model was trained, with our processor.

    python -m lmms_eval --model igep --model_args pretrained=outputs/my_model --tasks vsibench --output_path logs

lmms-eval finds it where both packages are installed, and `av` is igep's again, which lmms-eval takes back to 15.
Without it lmms-eval scores what `igep export` writes, with its own class for the base, its own prompt and its own
resizing.

Questions about the same video share one encoding of its frames and one prefix, as in `score.py`.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from accelerate import Accelerator
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from PIL import Image

from igep.trainers.evaluation.answering import AnsweringOptions, Sample, answer_samples
from igep.trainers.evaluation.asked_as_trained import asked_as_trained, opened
from igep.trainers.evaluation.load_vlm import load_for_answers


LONGEST_ANSWER = 128  # tokens, of tasks that do not say
PARAGRAPH = "\n\n"  # lmms-eval's default stop; VLM3's answers hold one behind their reasoning


@dataclass(frozen=True)
class NumberedSample(Sample):
    """Questions about the same frames, with the numbers of their requests.

    Args:
        numbers (`Sequence[int]`): One per question.
    """

    numbers: Sequence[int] = field(kw_only=True)


class ChatQuestion(NamedTuple):
    """A question of a chat task.

    Args:
        text (`str`): The question.
        images (`list[PIL.Image.Image | str]`): What it is about, images or their files; none where it is about a
            video.
        video (`str`, *optional*): Video file.
    """

    text: str
    images: list[Image.Image | str]
    video: str | None


class IGEPModel(lmms):
    """A saved IGEP model, or a plain VLM, for lmms-eval.

    Args:
        pretrained (`str`): Folder or Hub id. Code that the model brings along is run.
        batch_size (`int`, *optional*, defaults to `1`): Most questions about different frames that are generated
            together.
        device (`str`, *optional*): Torch device; that of the process unless given.
        task (`str`, *optional*): See `asked_as_trained`, as the next three.
        num_frames (`int`, *optional*): Most frames of a video.
        frames_as (`str`, *optional*): How the frames of a video are shown; images of a task are images.
        field_of_view_degrees (`float`, *optional*): Horizontal, of every image.

    Raises:
        ValueError: A bad value; the message names it.
        OSError: No model of this name.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str,
        batch_size: int = 1,
        device: str | None = None,
        task: str | None = None,
        num_frames: int | None = None,
        frames_as: str | None = None,
        field_of_view_degrees: float | None = None,
    ):
        super().__init__()
        self.accelerator = Accelerator()
        self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
        self.device = device or str(self.accelerator.device)
        self.batch_size = int(batch_size)
        self.asking = asked_as_trained(
            pretrained,
            task=task,
            num_frames=num_frames,
            frames_as=frames_as,
            field_of_view_degrees=field_of_view_degrees,
        )
        self.model, self.processor = load_for_answers(pretrained, self.device)

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Answers requests greedily.

        Args:
            requests (`Sequence[Instance]`): Of chat tasks: each asks one question about images, or about a video.

        Returns:
            `list[str]`: One answer per request, in order.

        Raises:
            ValueError: A question of another form, or a task that wants sampled answers; the message names the task.
        """
        answers: dict[int, str] = {}
        for longest, groups in self._by_longest_answer(requests).items():
            stream = answer_samples(
                self.model,
                self.processor,
                self._samples(requests, groups),
                AnsweringOptions(max_new_tokens=longest, batch_size=self.batch_size),
                progress="answering" if self.rank == 0 else None,
                total=len(groups),
            )
            for sample, texts in stream:
                for number, text in zip(sample.numbers, texts, strict=True):
                    answers[number] = _before_stops(text, requests[number].args[2])
        return [answers[number] for number in range(len(requests))]

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[str]:
        """Not offered: a question is asked alone.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("igep answers one question at a time: choose tasks of one round.")

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Not offered: answers are generated.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("igep generates its answers: choose tasks of output_type generate_until.")

    def _by_longest_answer(self, requests: Sequence[Instance]) -> dict[int, list[list[int]]]:
        """Numbers of requests by the tokens that their answers may have; those about the same video together."""
        groups: dict[tuple[int, str], list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            video = self._question(request).video
            groups[_longest_answer(request), video or f"request {number}"].append(number)
        found: dict[int, list[list[int]]] = defaultdict(list)
        for (longest, _), numbers in groups.items():
            found[longest].append(numbers)
        return found

    def _samples(self, requests: Sequence[Instance], groups: Sequence[Sequence[int]]) -> Iterator[NumberedSample]:
        """What the requests show and ask; images are read again here, so that those of one batch alone are held."""
        for numbers in groups:
            asked = [self._question(requests[number]) for number in numbers]
            first = asked[0]
            if first.video is None:
                frames, frames_as = [opened(image) for image in first.images], "images"
            else:
                frames, frames_as = self.asking.frames(first.video), self.asking.video_frames_as
            frames, questions = self.asking.shown(frames, [each.text for each in asked], self.processor)
            yield NumberedSample(_name(requests[numbers[0]]), frames, questions, frames_as, numbers=numbers)

    def _question(self, request: Instance) -> ChatQuestion:
        _, messages_of, _, document, task, split = request.args
        return question_of(messages_of(self.task_dict[task][split][document]), _name(request))


def question_of(messages: Sequence[dict[str, Any]], name: str) -> ChatQuestion:
    """Reads the messages of a task as a question about what they show, which comes first as in training.

    Args:
        messages (`Sequence[dict]`): What the task's `doc_to_messages` returned.
        name (`str`): Of the question, for errors.

    Returns:
        `ChatQuestion`

    Raises:
        ValueError: Several turns, text before what is shown, nothing that is shown, several videos, a part of a video,
            or sound.
    """
    where = f"{name}: igep is asked as it was trained, one question behind its images or its video"
    if [message["role"] for message in messages] != ["user"]:
        raise ValueError(f"{where}, and the task has {[message['role'] for message in messages]}.")
    content = messages[0]["content"]
    kinds = [part["type"] for part in content]
    shown = [part for part in content if part["type"] != "text"]
    texts = [part["text"] for part in content if part["type"] == "text"]
    if not texts or not shown or "text" in kinds[: len(shown)]:
        raise ValueError(f"{where}, and the task has {', '.join(kinds)}: score what `igep export` writes instead.")
    question = "\n".join(texts)
    if set(kinds) == {"image", "text"}:
        return ChatQuestion(question, [part["url"] for part in shown], None)
    video = shown[0]["url"]
    whole = shown[0].get("start_time") is None and shown[0].get("end_time") is None
    if len(shown) > 1 or kinds[0] != "video" or not isinstance(video, str) or not whole:
        raise ValueError(f"{where}, which is one whole video file or images, and the task shows {shown}.")
    return ChatQuestion(question, [], video)


def _longest_answer(request: Instance) -> int:
    """Tokens that an answer may have, of settings that greedy decoding keeps."""
    settings = request.args[2]
    sampled = settings.get("do_sample", bool(settings.get("temperature")))
    if sampled or (settings.get("num_beams") or 1) > 1:
        raise ValueError(
            f"{_name(request)}: the task wants other than greedy answers ({settings}): give --gen_kwargs "
            "do_sample=False,temperature=0,num_beams=1."
        )
    return int(settings.get("max_new_tokens", LONGEST_ANSWER))


def _before_stops(text: str, settings: dict[str, Any]) -> str:
    stops = settings.get("until") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        if stop and stop != PARAGRAPH:
            text = text.split(stop)[0]
    return text


def _name(request: Instance) -> str:
    *_, document, task, _ = request.args
    return f"{task}, document {document}"
