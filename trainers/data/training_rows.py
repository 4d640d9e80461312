"""From options to rows to train on: questions that come with the scenes, or those that VLM3's tasks write."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from igep.calibrator import calibrator_of
from igep.trainers.data.conversations import ConversationDataset, ConversationOptions
from igep.trainers.data.depthlm import DepthLMDataset
from igep.trainers.data.held_out_frames import HeldOutFrames
from igep.trainers.data.load_scenes import SceneSource, SceneTables, load_train_and_held_out
from igep.trainers.data.row_source import RowSource
from igep.trainers.data.scenes.depth_saturation import say_odd_depths
from igep.trainers.data.scenes.scale_of_depth import say_unmeasured_scale
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.shown_box_dataset import ShownBoxDataset
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.data.text_box_dataset import TEXT_BOXES, TextBoxDataset, TextBoxOptions, asks_for_any_number
from igep.trainers.data.vlm3.vlm3_dataset import VLM3Dataset
from igep.trainers.data.vlm3.vlm3_options import DEPTH_RANGE, VLM3_TASKS, VLM3Options
from igep.trainers.data.vsi_bench import VSIBenchDataset, VSIBenchOptions


DEPTH_RANGES = {  # metres
    "scannet": (0.2, 100.0),  # no depth camera of a room measures nearer: what such maps say below is noise
    "depthlm": (0.0, math.inf),  # labels: those of a car's lidar go beyond 100
}
TASKS = ("questions", *VLM3_TASKS, TEXT_BOXES)


@dataclass
class RowOptions(SceneSource, VSIBenchOptions, ConversationOptions, TextBoxOptions, VLM3Options):
    """Which scenes to train on (see `SceneSource`), what to ask about them, and how that becomes rows.

    Args:
        task (`str`, *optional*, defaults to `"questions"`): `questions` = those that come with the scenes;
            `text_boxes` = the same, where each asks for the objects that it means and is answered with their boxes
            (see `TextBoxOptions`); `depth`, `correspondence`, `pose` or `objects` = questions of VLM3, written from
            the geometry (see `VLM3Options`).
        num_frames (`int`, *optional*, defaults to `2`): `questions`, `text_boxes`: frames of a row, sampled uniformly
            from its scene or video. A shorter video shows all it has.
        questions_per_row (`int`, *optional*, defaults to `1`): `questions`: questions of one scene that share a row,
            as turns. Rows of `conversations` and `vsi_bench` are as their file has them.
        geometry_only_ratio (`float`, *optional*, defaults to `0.0`): `questions`: fraction of the training rows that
            are a scene alone.

    Raises:
        ValueError: An option of VLM3's tasks is out of range, or the task is unknown.
    """

    task: str = field(
        default="questions",
        metadata={
            "help": "Questions that come with the scenes, their objects as boxes in text, or a task of VLM3.",
            "choices": list(TASKS),
        },
    )
    num_frames: int = field(
        default=2, metadata={"help": "questions: frames of a row, sampled uniformly from its scene or video."}
    )
    questions_per_row: int = field(
        default=1,
        metadata={"help": "questions: questions of one scene that share a row, as turns of one conversation."},
    )
    geometry_only_ratio: float = field(
        default=0.0,
        metadata={"help": "questions: fraction of the rows that are a scene alone, for the geometry losses."},
    )

    def __post_init__(self):
        if self.task not in TASKS:
            raise ValueError(f"task={self.task!r} is unknown: use one of {', '.join(TASKS)}.")
        TextBoxOptions.__post_init__(self)
        if not self.depth_range[1] > 0:
            raise ValueError(f"max_depth_metres={self.max_depth_metres} must be positive: 10 is usual for rooms.")
        if self.task in VLM3_TASKS:
            self.vlm3_options()

    def vlm3_options(self) -> VLM3Options:
        """The options of VLM3's questions alone, checked."""
        values = values_of(VLM3Options, self)
        if self.dataset in DEPTH_RANGES:
            values["min_depth_metres"], values["max_depth_metres"] = self.depth_range
        return VLM3Options(**values)

    @property
    def depth_range(self) -> tuple[float, float]:
        """Nearest and farthest depth in metres: those given, else those of the dataset."""
        nearest, farthest = DEPTH_RANGES.get(self.dataset, DEPTH_RANGE)
        return (
            nearest if self.min_depth_metres is None else self.min_depth_metres,
            farthest if self.max_depth_metres is None else self.max_depth_metres,
        )

    def scene_source(self) -> SceneSource:
        """The options about scenes alone, with the boxes that the task needs."""
        values = values_of(SceneSource, self)
        return SceneSource(**values | {"scene_boxes": self.scene_boxes or self.task == "objects"})


def values_of(part: type, options: object) -> dict[str, Any]:
    """The values that options have for the fields of one of their parts.

    Args:
        part (`type`): A dataclass whose fields `options` has as well.
        options (`object`): A dataclass.

    Returns:
        `dict[str, Any]`: Field to value.
    """
    return {option.name: vars(options)[option.name] for option in dataclasses.fields(part)}


class SceneTableCache:
    """Scene tables by the options that name them, so that parts of a mixture with the same scenes share them."""

    def __init__(self):
        self._tables: dict[str, tuple[SceneTables, SceneTables | None]] = {}

    def load(
        self, source: SceneSource, max_depth_metres: float | None = None
    ) -> tuple[SceneTables, SceneTables | None]:
        """As `load_train_and_held_out`, once for equal options; warns of odd depth, and of posed scenes without depth.

        Args:
            source (`SceneSource`): The options.
            max_depth_metres (`float`, *optional*): Farthest depth that is used; `None` where none is.

        Returns:
            `tuple[SceneTables, SceneTables | None]`
        """
        key = repr(source)
        if key not in self._tables:
            self._tables[key] = load_train_and_held_out(source)
            if max_depth_metres is not None and source.dataset != "synthetic_rooms":
                table = SceneTable(self._tables[key][0][0])
                say_odd_depths(table, max_depth_metres)
                say_unmeasured_scale(table)
        return self._tables[key]


def load_rows(
    options: RowOptions, geometry_size: tuple[int, int], seed: int, tables: SceneTableCache
) -> tuple[RowSource, RowSource | None]:
    """Reads the scenes that options name and makes rows of them.

    Args:
        options (`RowOptions`): Scenes, task and rows.
        geometry_size (`tuple[int, int]`): (H, W) of depth and intrinsics.
        seed (`int`): Seed of the rows and of the questions that are written.
        tables (`SceneTableCache`): Keeps the scenes that were read.

    Returns:
        `tuple`: Rows to train on, and those of the held-out scenes or frames if any are held out.

    Raises:
        ValueError: An option is unknown, missing, or does not go with the others.
        SpatialDataError: The files or tables break their format.
    """
    if options.dataset == "depthlm" and options.task == "depth":
        return _depthlm_rows(options, seed), None
    if options.dataset in ("conversations", "vsi_bench") and options.task == "questions":
        return _recorded_rows(options), None
    if options.task not in VLM3_TASKS and options.clip_frames is not None and options.clip_frames < options.num_frames:
        raise ValueError(
            f"clip_frames={options.clip_frames} is fewer than num_frames={options.num_frames}, the frames of a row: "
            "raise clip_frames, or lower num_frames."
        )
    train, held_out = tables.load(options.scene_source(), options.depth_range[1])
    if options.task in VLM3_TASKS:
        vlm3 = options.vlm3_options()
        datasets = [
            None if scenes is None else VLM3Dataset(scenes[0], vlm3, geometry_size=geometry_size, seed=seed)
            for scenes in (train, held_out)
        ]
        return datasets[0], datasets[1]
    rows = {
        "num_frames": options.num_frames,
        "geometry_size": geometry_size,
        "questions_per_row": options.questions_per_row,
        "seed": seed,
        "max_depth_metres": options.depth_range[1],
    }
    kind = ShownBoxDataset if options.box_prompt == "frame" else SpatialDataset
    if options.task == TEXT_BOXES:
        kind = TextBoxDataset
        rows["any_number"] = asks_for_any_number(options, options.dataset)
    train_rows = kind(*train, geometry_only_ratio=options.geometry_only_ratio, **rows)
    if held_out is None:
        return train_rows, None
    if options.eval_frame_fraction is not None:
        return train_rows, HeldOutFrames(
            held_out[0],
            num_frames=options.num_frames,
            geometry_size=geometry_size,
            max_depth_metres=options.depth_range[1],
        )
    return train_rows, kind(*held_out, **rows)


def _recorded_rows(options: RowOptions) -> ConversationDataset | VSIBenchDataset:
    """Rows of a file that holds questions about videos or images."""
    if options.dataset_path is None:
        raise ValueError(f"dataset={options.dataset!r} needs dataset_path: give the file.")
    _refuse_held_out(options)
    file, folder, num_frames = options.dataset_path, options.image_folder, options.num_frames
    if options.dataset == "vsi_bench":
        return VSIBenchDataset(
            file,
            num_frames=num_frames,
            video_root=folder,
            prompt=options.vsi_bench_prompt,
            questions_per_row=options.questions_per_row,
        )
    return ConversationDataset(file, num_frames=num_frames, media_root=folder, images_in_text=options.images_in_text)


def _refuse_held_out(options: RowOptions) -> None:
    for name in ("eval_rooms", "eval_scenes", "eval_frame_fraction"):
        if vars(options)[name]:
            raise ValueError(
                f"{name}={vars(options)[name]} cannot hold out rows of a {options.dataset} file: split the file, or "
                "unset it."
            )


def _depthlm_rows(options: RowOptions, seed: int) -> DepthLMDataset:
    if options.dataset_path is None:
        raise ValueError("dataset='depthlm' needs dataset_path: give the file of JSON lines.")
    if options.depth_kind is None:
        raise ValueError(
            "dataset='depthlm' needs depth_kind: say whether the file's depths are z (along the optical axis) or "
            "euclidean."
        )
    _refuse_held_out(options)
    return DepthLMDataset(
        options.dataset_path,
        options.vlm3_options(),
        depth_kind=options.depth_kind,
        image_root=options.image_folder,
        seed=seed,
        calibrator=None if options.calibrator is None else calibrator_of(options.calibrator),
    )
