"""IGEP's processor: the base VLM's, plus the one thing a video question needs and each family does differently."""

import json
import shutil
from os.path import commonprefix
from pathlib import Path

import numpy as np
from PIL import Image
from transformers import AutoConfig, AutoProcessor, BatchFeature, PreTrainedConfig, ProcessorMixin

from .calibrator import calibrator_of
from .focal_unification import FOCAL_PIXELS, Calibrator, estimate_intrinsics, unify_focal_length
from .spatial_prompts import GROUND_TOKEN, depth_question, parse_depth
from .text_boxes import BoxAnswer, box_question, parse_boxes
from .text_pixels import DEPTH_STEPS, text_from_pixels
from .tokenizer_vocabulary import own_tokenizer


FRAMES_AS_CHOICES = ("video", "images")
CODE = (  # what loads this class
    *("processing_igep.py", "calibrator.py", "focal_unification.py", "spatial_prompts.py", "text_lengths.py"),
    *("text_boxes.py", "text_pixels.py", "tokenizer_vocabulary.py"),
)
FRAMES_PER_SECOND = 2.0  # rate that the Qwen models sample a video at; frames here are picked by count, without times


class IGEPProcessor(ProcessorMixin):
    """Wraps the processor of any VLM and behaves as it does.

    It is saved as the base processor itself, so with `trust_remote_code=False` the same folder loads that one.

    Args:
        base_processor (`ProcessorMixin`): Processor of the base VLM.
    """

    def __init__(self, base_processor: ProcessorMixin):
        self.base_processor = base_processor

    @classmethod
    def get_attributes(cls) -> list[str]:
        """No parts of its own: they are the base processor's."""
        return []

    @classmethod
    def from_base(cls, processor_or_id: ProcessorMixin | str | Path) -> "IGEPProcessor":
        """Wraps a processor.

        Args:
            processor_or_id (`ProcessorMixin`, `str` or `Path`): The processor of a VLM, or its id on the Hub or its
                folder. An `IGEPProcessor` is unwrapped first.

        Returns:
            The wrapped processor.

        Raises:
            TypeError: If it is not a processor with a tokenizer.
        """
        if isinstance(processor_or_id, (str, Path)):
            return cls.from_pretrained(processor_or_id)
        # Compared by name: code loaded from a folder has a class of its own for every file that leads to it.
        if type(processor_or_id).__name__ == cls.__name__:
            return cls(processor_or_id.base_processor)
        if not isinstance(processor_or_id, ProcessorMixin):
            raise TypeError(
                f"{type(processor_or_id).__name__} is not the processor of a VLM: give the object that "
                "AutoProcessor.from_pretrained returns for the base model."
            )
        return cls(processor_or_id)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs) -> "IGEPProcessor":
        """Loads the base processor of a folder or a repository and wraps it.

        Args:
            pretrained_model_name_or_path (`str` or `Path`): Folder or id, of an IGEP model or of a plain VLM.
            **kwargs: Further arguments of `AutoProcessor.from_pretrained`.

        Returns:
            The wrapped processor.
        """
        kwargs["trust_remote_code"] = False
        fields = PreTrainedConfig.get_config_dict(pretrained_model_name_or_path, **kwargs)[0]
        is_vid_llm = fields.get("model_type") == "vid_llm"
        base_config = fields.get("text_config" if is_vid_llm else "vlm_config")
        if base_config is None:
            return cls.from_base(AutoProcessor.from_pretrained(pretrained_model_name_or_path, **kwargs))
        # Which tokenizer class is right depends on the type of the base model, which transformers would not find: it
        # would read `igep`, warn about it, and choose without.
        settings, _ = cls.get_processor_dict(pretrained_model_name_or_path, **kwargs)
        base_class = cls.get_possibly_dynamic_module(settings["processor_class"])
        kwargs["config"] = AutoConfig.for_model(**base_config)
        processor = base_class.from_pretrained(pretrained_model_name_or_path, **kwargs)
        if is_vid_llm:
            own = own_tokenizer(pretrained_model_name_or_path, revision=kwargs.get("revision"))
            processor.tokenizer = processor.tokenizer if own is None else own
        return cls.from_base(processor)

    def save_pretrained(self, save_directory: str | Path, **kwargs) -> list[str]:
        """Writes the base processor in its own format, and the code and the entry that load this class.

        Args:
            save_directory (`str` or `Path`): Folder to write to.
            **kwargs: Further arguments of `ProcessorMixin.save_pretrained`.

        Returns:
            The files that the base processor reports.
        """
        files = self.base_processor.save_pretrained(save_directory, **kwargs)
        config_file = Path(save_directory) / "processor_config.json"
        fields = json.loads(config_file.read_text(encoding="utf-8"))
        fields["auto_map"] = {"AutoProcessor": "processing_igep.IGEPProcessor"}
        config_file.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        for name in CODE:
            shutil.copyfile(Path(__file__).with_name(name), Path(save_directory) / name)
        return files

    def __call__(self, *args, **kwargs) -> BatchFeature:
        """The base processor's own."""
        return self.base_processor(*args, **kwargs)

    def __getattr__(self, name: str):
        if name == "base_processor":  # asked for before __init__ has set it: copying and unpickling do so
            raise AttributeError(name)
        return getattr(self.base_processor, name)

    def __repr__(self) -> str:
        return f"IGEPProcessor({self.base_processor!r})"

    @property
    def takes_videos(self) -> bool:
        """Whether the base takes videos besides images."""
        return "video_processor" in self.base_processor.get_attributes()

    @property
    def chat_template(self) -> str | dict[str, str] | None:
        """The base processor's own."""
        return self.base_processor.chat_template

    @chat_template.setter
    def chat_template(self, value: str | dict[str, str] | None) -> None:
        self.base_processor.chat_template = value

    @property
    def model_input_names(self) -> list[str]:
        """The base processor's own."""
        return self.base_processor.model_input_names

    def apply_chat_template(self, *args, **kwargs) -> str | list | BatchFeature:
        """The base processor's own."""
        return self.base_processor.apply_chat_template(*args, **kwargs)

    def decode(self, *args, **kwargs) -> str:
        """The base processor's own."""
        return self.base_processor.decode(*args, **kwargs)

    def batch_decode(self, *args, **kwargs) -> list[str]:
        """The base processor's own."""
        return self.base_processor.batch_decode(*args, **kwargs)

    def post_process_image_text_to_text(self, *args, **kwargs) -> list[str]:
        """The base processor's own."""
        return self.base_processor.post_process_image_text_to_text(*args, **kwargs)

    def vision_inputs(self, frames: list[list[Image.Image]], frames_as: str = "video") -> dict:
        """Builds the vision arguments of a call, the same in training and in use.

        Args:
            frames (`list[list[Image.Image]]`): Frames of each sample of the batch.
            frames_as (`str`, *optional*, defaults to `"video"`): `"video"` = one video per sample, `"images"` = one
                image per frame.

        Returns:
            Keyword arguments of `__call__`: `videos` with their metadata, or `images`.

        Raises:
            ValueError: If a sample has no frames, a video mixes sizes, `frames_as` is unknown, or
                the base takes no videos.
        """
        _check_frames_as(frames_as)
        for index, sample in enumerate(frames):
            if not sample:
                raise ValueError(f"frames: sample {index} has no frames; give at least one image.")
        if frames_as == "images":
            return {"images": frames}
        if not self.takes_videos:
            raise ValueError(
                f"{type(self.base_processor).__name__} takes images and no videos: set frames_as to images for this "
                "base."
            )
        # Encoders that merge frames in pairs have no feature for a single one: it is shown twice.
        fewest = self.video_processor.to_dict().get("temporal_patch_size", 1)
        videos, metadata = [], []
        for index, sample in enumerate(frames):
            sizes = {frame.size for frame in sample}
            if len(sizes) > 1:
                raise ValueError(
                    f"frames: sample {index} mixes images of {sorted(sizes)} (width, height) in one video; resize "
                    "them to one size or use frames_as='images'."
                )
            shown = [*range(len(sample)), *[len(sample) - 1] * max(fewest - len(sample), 0)]
            # Decoded here once: the processor would do it again at every step.
            pixels = [np.asarray(frame.convert("RGB")) for frame in sample]
            videos.append(np.stack([pixels[frame] for frame in shown]))
            metadata.append({"total_num_frames": len(sample), "fps": FRAMES_PER_SECOND, "frames_indices": shown})
        return {"videos": videos, "video_metadata": metadata, "do_sample_frames": False}

    def prompt_text(self, turns: list[str], num_frames: int, *, frames_as: str = "video") -> str:
        """Writes a conversation about some frames with the base's chat template.

        Args:
            turns (`list[str]`): Questions and answers by turns, a question first. If the last is a question, the text
                ends where the answer begins.
            num_frames (`int`): Number of frames; they come before the first question.
            frames_as (`str`, *optional*, defaults to `"video"`): `"video"` or `"images"`.

        Returns:
            The text, one placeholder per video or image.

        Raises:
            ValueError: If there are no turns or `frames_as` is unknown.
        """
        _check_frames_as(frames_as)
        if not turns:
            raise ValueError("turns is empty: give at least one question.")
        messages = [
            {"role": ("user", "assistant")[number % 2], "content": [{"type": "text", "text": text}]}
            for number, text in enumerate(turns)
        ]
        media = [{"type": "video"}] if frames_as == "video" else [{"type": "image"}] * num_frames
        messages[0]["content"] = media + messages[0]["content"]
        return self.apply_chat_template(messages, add_generation_prompt=len(turns) % 2 == 1, tokenize=False)

    def split_prompt(self, num_frames: int, *, frames_as: str = "video") -> str:
        """Writes what all questions about some frames have in common.

        Args:
            num_frames (`int`): Number of frames.
            frames_as (`str`, *optional*, defaults to `"video"`): `"video"` or `"images"`.

        Returns:
            The beginning of `prompt_text` up to the end of the last special token before the question, which is where
            tokenising it apart from the rest changes nothing.

        Raises:
            ValueError: If no special token stands before the question, or `frames_as` is unknown.
        """
        head = commonprefix([self.prompt_text([word], num_frames, frames_as=frames_as) for word in ("a", "b")])
        special = [token.content for token in self.tokenizer.added_tokens_decoder.values()]
        end = max(head.rfind(token) + len(token) if token in head else 0 for token in special)
        if end == 0:
            raise ValueError(
                f"The chat template puts no special token before the question ({head!r}), so questions cannot be told "
                "from what they share: ask them one by one."
            )
        return head[:end]

    def packed_question_inputs(
        self, frames: list[Image.Image], questions: list[str], *, frames_as: str = "video"
    ) -> tuple[BatchFeature, list[list[int]]]:
        """Prepares many independent questions about some frames for `question_packing.answer_questions`.

        Args:
            frames (`list[Image.Image]`): F RGB frames, in order; already sampled.
            questions (`list[str]`): The questions.
            frames_as (`str`, *optional*, defaults to `"video"`): `"video"` or `"images"`, as in training.

        Returns:
            The model's inputs for what the questions share, a batch of one, and the token ids of each question.

        Raises:
            ValueError: If there are no frames or no questions.
        """
        if not questions:
            raise ValueError("questions is empty: give at least one.")
        shared = self.split_prompt(len(frames), frames_as=frames_as)
        inputs = self(text=[shared], return_tensors="pt", **self.vision_inputs([list(frames)], frames_as))
        texts = [self.prompt_text([question], len(frames), frames_as=frames_as) for question in questions]
        rests = [text[len(shared) :] for text in texts]
        return inputs, [self.tokenizer(rest, add_special_tokens=False).input_ids for rest in rests]

    def ground_inputs(
        self, frames: list[Image.Image], questions: list[str], *, frames_as: str = "video"
    ) -> tuple[BatchFeature, list[list[int]]]:
        """Prepares questions that boxes answer for `IGEPForConditionalGeneration.ground`.

        Args:
            frames (`list[Image.Image]`): F RGB frames, in order; already sampled.
            questions (`list[str]`): As the model was trained; `spatial_prompts.GROUND_ONE` and `GROUND_ANY_NUMBER`
                hold the words around a description.
            frames_as (`str`, *optional*, defaults to `"video"`): `"video"` or `"images"`, as in training.

        Returns:
            The model's inputs for what the questions share, a batch of one, and the token ids of each question, which
            end with `<ground>` where an answer would stand.

        Raises:
            ValueError: If there are no frames or no questions.
        """
        inputs, token_ids = self.packed_question_inputs(frames, questions, frames_as=frames_as)
        answer = self.tokenizer(GROUND_TOKEN, add_special_tokens=False).input_ids
        return inputs, [ids + answer for ids in token_ids]

    def question_inputs(
        self, frames: list[Image.Image], question: str | list[str], *, frames_as: str = "video"
    ) -> BatchFeature:
        """Prepares one question about some frames for `generate`.

        Args:
            frames (`list[Image.Image]`): F RGB frames, in order; already sampled.
            question (`str` or `list[str]`): The question, or the turns so far: question, answer, ..., question.
            frames_as (`str`, *optional*, defaults to `"video"`): `"video"` or `"images"`, as in training.

        Returns:
            The model's inputs, a batch of one.

        Raises:
            ValueError: If there are no frames, or the last turn is not a question.
        """
        turns = [question] if isinstance(question, str) else question
        if len(turns) % 2 == 0:
            raise ValueError(f"question has {len(turns)} turns: the last must be a question, so their number is odd.")
        vision = self.vision_inputs([list(frames)], frames_as)
        text = self.prompt_text(turns, len(frames), frames_as=frames_as)
        return self(text=[text], return_tensors="pt", **vision)

    def depth_question_inputs(
        self,
        frame: Image.Image,
        pixel: tuple[float, float],
        intrinsics: np.ndarray | None = None,
        *,
        calibrator: Calibrator | str | None = None,
        focal_pixels: float | None = FOCAL_PIXELS,
        focal_mode: str = "both",
        longest_side: int | None = None,
        max_image_pixels: int | None = None,
        canvas_size: tuple[int, int] | None = None,
        pixel_mapping: str = "image",
        steps: int = DEPTH_STEPS,
        frames_as: str = "images",
    ) -> BatchFeature:
        """Prepares VLM3's question how far a pixel is: the image at the unified focal length, the pixel as text.

        `spatial_prompts.parse_depth` reads the answer.

        Args:
            frame (`Image.Image`): RGB image.
            pixel (`tuple[float, float]`): x and y in pixels of `frame`, pixel centres at +0.5.
            intrinsics (`np.ndarray`, *optional*): (3, 3) in pixels of `frame`. If unknown, the calibrator's, or a
                default with a warning (see `focal_unification.estimate_intrinsics`).
            calibrator (`Calibrator` or `str`, *optional*): Tells the field of view of an image without intrinsics; or
                the id of a depth model that does, such as `apple/DepthPro-hf` (see `calibrator.calibrator_of`).
            focal_pixels (`float`, *optional*, defaults to `1000.0`): As in training; `None` leaves the image.
            focal_mode (`str`, *optional*, defaults to `"both"`): As in training; see `focal_unification`.
            longest_side (`int`, *optional*): As in training: resize until the longer side has so many pixels.
            max_image_pixels (`int`, *optional*): As in training: crop to so many pixels around the centre.
            canvas_size (`tuple[int, int]`, *optional*): As in training: height and width to crop or pad to.
            pixel_mapping (`str`, *optional*, defaults to `"image"`): As in training; `"truncate"` for the released
                checkpoint.
            steps (`int`, *optional*, defaults to `2000`): As in training: N of the text pixels.
            frames_as (`str`, *optional*, defaults to `"images"`): As in training: `"images"` or `"video"`.

        Returns:
            The model's inputs, a batch of one.

        Raises:
            ValueError: A pixel outside the image or what canvas or crop keep of it, intrinsics that cannot be, or a
                processor that would resize the unified image.
        """
        if intrinsics is None and focal_pixels is not None:
            if isinstance(calibrator, str):
                calibrator = calibrator_of(calibrator)
            intrinsics = estimate_intrinsics(frame, calibrator)
        elif intrinsics is None:
            # Nothing is resized to a focal length: any camera will do.
            intrinsics = np.array([[1, 0, frame.width / 2], [0, 1, frame.height / 2], [0, 0, 1]])
        view = unify_focal_length(
            frame,
            intrinsics,
            focal_pixels=focal_pixels,
            mode=focal_mode,
            longest_side=longest_side,
            max_pixels=max_image_pixels,
            canvas_size=canvas_size,
            pixel_mapping=pixel_mapping,
            pixels=np.array(pixel, dtype=np.float64),
        )
        size = (view.frame.height, view.frame.width)
        if not view.inside:
            raise ValueError(
                f"pixel={tuple(pixel)} is outside the {size[1]} x {size[0]} pixels that canvas_size={canvas_size} and "
                f"max_image_pixels={max_image_pixels} keep."
            )
        if focal_pixels is not None or longest_side is not None:
            self.check_unified_size(size)
        text = text_from_pixels(view.pixels, size, steps)
        return self.question_inputs([view.frame], depth_question(tuple(text), steps), frames_as=frames_as)

    def parse_depth_answer(self, text: str) -> float | None:
        """Reads the answer to `depth_question_inputs`.

        Args:
            text (`str`): The model's answer.

        Returns:
            `float` or `None`: Metres; `None` if the answer is no depth (see `spatial_prompts.parse_depth`).
        """
        return parse_depth(text)

    def box_question_inputs(
        self, frames: list[Image.Image], question: str, *, any_number: bool = False, frames_as: str = "video"
    ) -> BatchFeature:
        """Prepares a question for objects, which a model that learned `text_boxes` answers with 3D boxes.

        Args:
            frames (`list[Image.Image]`): RGB frames in order, as many as in training.
            question (`str`): What is looked for, such as a description in the words that the model was taught.
            any_number (`bool`, *optional*, defaults to `False`): Whether none, one or several objects may fit.
            frames_as (`str`, *optional*, defaults to `"video"`): As in training: `"video"` or `"images"`.

        Returns:
            The model's inputs, a batch of one; `parse_box_answer` reads the answer.
        """
        return self.question_inputs(frames, box_question(question, any_number), frames_as=frames_as)

    def parse_box_answer(self, text: str, num_frames: int) -> BoxAnswer:
        """Reads the answer to `box_question_inputs`.

        Args:
            text (`str`): The model's answer.
            num_frames (`int`): Frames that it was shown.

        Returns:
            `BoxAnswer`: `boxes`, each with `frame` and `box`, and `problems` (see `text_boxes.parse_boxes`).
        """
        return parse_boxes(text, num_frames)

    def size_seen_by_encoder(self, size: tuple[int, int]) -> tuple[int, int]:
        """Asks the base's image processor what it makes of an image.

        Args:
            size (`tuple[int, int]`): Height and width of the image.

        Returns:
            Height and width of the image that reaches the encoder. Of tiled images, those of the view of the whole.
        """
        inputs = self.image_processor(images=[Image.new("RGB", (size[1], size[0]))], return_tensors="pt")
        if "image_grid_thw" in inputs:
            patch = self.image_processor.to_dict()["patch_size"]
            return tuple(int(side) * patch for side in inputs["image_grid_thw"][0, 1:])
        return tuple(int(side) for side in inputs["pixel_values"].shape[-2:])

    def check_unified_size(self, size: tuple[int, int]) -> None:
        """Makes sure that the base's image processor leaves a unified image as it is, up to whole patches.

        Args:
            size (`tuple[int, int]`): Height and width of the unified image.

        Raises:
            ValueError: It would resize the image, which undoes focal unification; the message says what to set.
        """
        fields = self.image_processor.to_dict()
        seen = self.size_seen_by_encoder(size)
        if "merge_size" not in fields:
            if seen != tuple(size):
                raise ValueError(
                    f"The encoder sees every image at {seen[1]} x {seen[0]} pixels, so one of {size[1]} x {size[0]} "
                    f"at the unified focal length would be resized: set canvas_size to {list(seen)} and focal_pixels "
                    "to what fits it, or focal_pixels to null to go without unification."
                )
            return
        step = fields["patch_size"] * fields["merge_size"]
        if any(abs(side - wanted) >= step for side, wanted in zip(seen, size, strict=True)):
            limits = fields["size"]
            raise ValueError(
                f"The image processor would resize a unified image of {size[1]} x {size[0]} pixels to {seen[1]} x "
                f"{seen[0]}, which undoes the unification: its limits are {limits['shortest_edge']} to "
                f"{limits['longest_edge']} pixels. Set image_max_pixels above (or image_min_pixels below) the size of "
                "your images (in Python: processor.image_processor.size), or crop them with max_image_pixels."
            )


def _check_frames_as(frames_as: str) -> None:
    if frames_as not in FRAMES_AS_CHOICES:
        raise ValueError(f"frames_as={frames_as!r} is unknown: use one of {', '.join(FRAMES_AS_CHOICES)}.")


IGEPProcessor.register_for_auto_class()
