"""What a saved model says of itself in `training_run.json`, which igep writes beside the weights: how it wants to be
asked, and how it was trained.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError


RUN_FILE = "training_run.json"
TOY_PARAMETERS = 50_000_000  # below, a model has learned the words of its training and no others
RENDERED_ROOMS = "synthetic_rooms"  # igep's kind of dataset
WRITTEN_TASKS = ("depth", "correspondence", "pose", "objects")  # whose questions VLM3 worded
PAPER_OF_SUPERVISION = ("3D-IDE", "https://arxiv.org/abs/2604.03296")
PAPER_OF_RECONSTRUCTION = ("Vid-LLM", "https://arxiv.org/abs/2509.24385")
PAPER_OF_WRITTEN_TASKS = ("VLM³", "https://arxiv.org/abs/2605.30561")
LOSSES_OF_ANSWERS = ("cross-entropy of the answers", "grounding among boxes")  # how the names of their losses begin
# Bases whose makers taught them to answer with boxes in thousandths of width and height, and how they ask for one.
GROUNDING_BASES = ("qwen3_vl", "qwen3_vl_moe")
GROUNDING_QUESTION = (
    'Locate the {object} and report its bounding box coordinates as JSON: [{{"bbox_2d": [x1, y1, x2, y2]}}].'
)


@dataclass(frozen=True)
class Usage:
    """How a model wants to be asked. Defaults are those of igep's recipes for large models.

    Args:
        tasks (`tuple[str, ...]`): What it was trained on: `questions`, `depth` ...
        num_frames (`int`): Frames of a video.
        frames_as (`str`): `video` or `images`.
        focal_pixels (`float` or `None`): Unified focal length of depth questions.
        focal_mode (`str`): How the axes are unified.
        longest_side (`int` or `None`): Pixels of the longer side of images.
        max_image_pixels (`int` or `None`): Pixels that images are cropped to.
        canvas_size (`tuple[int, int]` or `None`): Height and width that unified images are cropped or padded to.
        pixel_mapping (`str`): How a pixel becomes text.
        text_pixel_steps (`int`): Numbers per axis of a text pixel.
        distance_kind (`str`): What it was taught a distance is: `euclidean` from the camera's centre, or `z` along its
            axis.
        multi_turn (`bool`): It has seen conversations of several questions.
        where_questions (`tuple[str, ...]`): What "where is {object}?" becomes; the answers are joined. Empty where it
            knows no such question.
        examples (`tuple[str, ...]`): Questions to start with.
        geometry_inputs (`str`): `none`, or what it must be given besides RGB.
    """

    tasks: tuple[str, ...] = ("questions",)
    num_frames: int = 8
    frames_as: str = "video"
    focal_pixels: float | None = 1000.0
    focal_mode: str = "both"
    longest_side: int | None = None
    max_image_pixels: int | None = None
    canvas_size: tuple[int, int] | None = None
    pixel_mapping: str = "image"
    text_pixel_steps: int = 2000
    distance_kind: str = "euclidean"
    multi_turn: bool = True
    where_questions: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    geometry_inputs: str = "none"

    @property
    def newer_depth_options(self) -> dict:
        """Options of depth questions that an older model's processor does not take, and such a model does not name."""
        newer = {"longest_side": None, "max_image_pixels": None, "pixel_mapping": "image"}
        return {name: vars(self)[name] for name, unset in newer.items() if vars(self)[name] != unset}

    @classmethod
    def read(cls, fields: dict, base_type: str = "") -> "Usage":
        """Takes what it knows from `training_run.json`'s `usage`.

        Args:
            fields (`dict`): The `usage`; empty where there is none.
            base_type (`str`, *optional*): `model_type` of the base VLM, which may know how to locate things.

        Returns:
            `Usage`
        """
        known = {name: fields[name] for name in cls.__dataclass_fields__ if name in fields}
        of_depth = fields.get("task_options", {}).get("depth", {})
        known |= {"distance_kind": of_depth["distance_kind"]} if "distance_kind" in of_depth else {}
        if base_type in GROUNDING_BASES:
            known = {"where_questions": (GROUNDING_QUESTION,)} | known
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in known.items()})


@dataclass(frozen=True)
class Training:
    """How a model was trained, as far as it is known.

    Args:
        supervised (`bool`, *optional*): Whether 3D geometry supervised it, in this run or an earlier one; not said of
            a model that reconstructs.
        rendered (`bool`): It has seen nothing but igep's rendered rooms.
        papers (`tuple[tuple[str, str], ...]`): Name and address of the methods' papers.
        parameters (`int`, *optional*): Their number.
        reconstructs (`bool`): Its geometry stays, and is read for every answer.
    """

    supervised: bool | None = None
    rendered: bool = False
    papers: tuple[tuple[str, str], ...] = ()
    parameters: int | None = None
    reconstructs: bool = False

    @property
    def is_toy(self) -> bool:
        """Whether it is too small to know more than what it was taught."""
        return self.parameters is not None and self.parameters < TOY_PARAMETERS

    @classmethod
    def read(cls, run: dict, parameters: int, reconstructs: bool = False) -> "Training":
        """Takes what it knows from `training_run.json`.

        Args:
            run (`dict`): All of it; empty where there is none.
            parameters (`int`): Parameters of the loaded model.
            reconstructs (`bool`, *optional*, defaults to `False`): It is a Vid-LLM.

        Returns:
            `Training`
        """
        runs = [run, *run.get("earlier", [])]
        losses = [each["losses"] for each in runs if each.get("losses")]
        parts = [part for each in runs for part in each.get("data", [])]
        kinds = {(part.get("dataset") or {}).get("kind") for part in parts}
        tasks = {*run.get("usage", {}).get("tasks", ()), *(part.get("task") for part in parts)}
        names = [loss["name"] for terms in losses for loss in terms]
        supervised = any(not name.startswith(LOSSES_OF_ANSWERS) for name in names) if names else None
        if reconstructs:
            supervised = None
        papers = [
            *([PAPER_OF_RECONSTRUCTION] if reconstructs else []),
            *([PAPER_OF_SUPERVISION] if supervised else []),
            *([PAPER_OF_WRITTEN_TASKS] if tasks.intersection(WRITTEN_TASKS) else []),
        ]
        return cls(supervised, kinds == {RENDERED_ROOMS}, tuple(papers), parameters, reconstructs)


def read_run(model_id: str, revision: str | None) -> dict:
    """Reads `training_run.json`.

    Args:
        model_id (`str`): Id on the Hub or folder.
        revision (`str`, *optional*): Branch, tag or commit.

    Returns:
        `dict`: Empty where the model has none.
    """
    if Path(model_id).is_dir():
        file = Path(model_id) / RUN_FILE
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    try:
        return json.loads(Path(hf_hub_download(model_id, RUN_FILE, revision=revision)).read_text(encoding="utf-8"))
    except (EntryNotFoundError, LocalEntryNotFoundError):
        return {}
