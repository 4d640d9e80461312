"""From the options of a recipe to the scenes and questions tables, and to those that are held out of training."""

from dataclasses import dataclass, field

from datasets import Dataset, concatenate_datasets

from igep.calibrator import calibrator_of
from igep.trainers.data.calibrated_scenes import CalibrationOptions, calibrated_scenes
from igep.trainers.data.dataset_options import DATASETS, DatasetKind
from igep.trainers.data.depthlm import DepthLMOptions
from igep.trainers.data.hub_tables import HubOptions, load_hub_tables
from igep.trainers.data.multi3drefer import Multi3DReferOptions, load_multi3drefer
from igep.trainers.data.rooms.synthetic_rooms import SyntheticRoomsOptions, rendered_rooms
from igep.trainers.data.scan2cap import Scan2CapOptions, load_scan2cap
from igep.trainers.data.scannet import ScanNetOptions, load_scannet
from igep.trainers.data.scanqa import load_scanqa
from igep.trainers.data.scanrefer import load_scanrefer
from igep.trainers.data.scenes.scene_frames import hold_out_block, split_into_clips
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.sqa3d import SQA3DOptions, load_sqa3d


SceneTables = tuple[Dataset, Dataset | None]
SCANNET_BENCHMARK_LOADERS = {
    "scanrefer": load_scanrefer,
    "multi3drefer": load_multi3drefer,
    "scan2cap": load_scan2cap,
    "scanqa": load_scanqa,
    "sqa3d": load_sqa3d,
}


@dataclass
class ClipOptions:
    """How scenes are cut.

    Args:
        clip_frames (`int`, *optional*): Cut the scenes into clips of so many neighbouring frames, which train through
            the geometry alone. Scenes with questions stay whole as well.
    """

    clip_frames: int | None = field(
        default=None,
        metadata={"help": "Cut scenes into clips of so many neighbouring frames for the geometry losses."},
    )


@dataclass
class HeldOutOptions:
    """What is held out of training.

    Args:
        eval_scenes (`list[str]`, *optional*): Ids of scenes that are held out, with their questions.
        eval_frame_fraction (`float`, *optional*): Hold out this share of every scene's frames, the last ones: a block
            of time, of which every frame is evaluated once.
        eval_margin_fraction (`float`, *optional*, defaults to `0.05`): With `eval_frame_fraction`: share of the frames
            before that block that is neither trained on nor evaluated, because these are its near-copies.
    """

    eval_scenes: list[str] | None = field(
        default=None, metadata={"help": "Ids of scenes that are held out, with their questions."}
    )
    eval_frame_fraction: float | None = field(
        default=None, metadata={"help": "Hold out this share of every scene's frames, a block of time at its end."}
    )
    eval_margin_fraction: float = field(
        default=0.05, metadata={"help": "Share of the frames before that block that is left out altogether."}
    )


@dataclass
class SceneSource(
    SQA3DOptions,
    Scan2CapOptions,
    Multi3DReferOptions,
    HeldOutOptions,
    SyntheticRoomsOptions,
    ClipOptions,
    CalibrationOptions,
    DepthLMOptions,
    ScanNetOptions,
    HubOptions,
    DatasetKind,
):
    """Which scenes to train on, and which to hold out: the options of every loader, each described beside it, in one.

    Fields stand in the order in which `--help` lists them: those of the last base first.
    """


def load_scenes(source: SceneSource) -> SceneTables:
    """Read the tables that a source names, nothing held out.

    Args:
        source (`SceneSource`): The options; those about held-out scenes and clips are not used.

    Returns:
        `tuple[Dataset, Dataset | None]`: Scenes and questions, `None` without any question.

    Raises:
        ValueError: An option is unknown or missing.
        SpatialDataError: The files or tables break the row schema.
        OSError: There is no calibrator of the name, and some scene has no intrinsics.
    """
    scenes, questions = _stored_scenes(source)
    if source.calibrator is not None:
        scenes = calibrated_scenes(scenes, calibrator_of(source.calibrator))
    return scenes, questions


def _stored_scenes(source: SceneSource) -> SceneTables:
    if source.dataset == "synthetic_rooms":
        return rendered_rooms(source)
    if source.dataset not in DATASETS:
        raise ValueError(f"dataset={source.dataset!r}: choose one of {', '.join(DATASETS)}.")
    if source.dataset_path is None:
        raise ValueError(
            f"dataset={source.dataset!r} needs dataset_path: give the folder, the file or the dataset's id."
        )
    if source.dataset == "depthlm":
        raise ValueError("dataset='depthlm' holds points of single images and no scenes: set task to depth.")
    if source.dataset in ("conversations", "vsi_bench"):
        raise ValueError(f"dataset={source.dataset!r} holds questions and no scenes: set task to questions.")
    if source.dataset == "scannet":
        return load_scannet(
            source.dataset_path,
            source.question_file,
            frame_stride=source.frame_stride,
            metres_per_depth_unit=source.metres_per_depth_unit,
            depth_kind=source.depth_kind or "z",
            may_lack_intrinsics=source.calibrator is not None,
            with_boxes=source.scene_boxes,
        )
    if source.dataset in SCANNET_BENCHMARK_LOADERS:
        return SCANNET_BENCHMARK_LOADERS[source.dataset](source)
    return load_hub_tables(source.dataset_path, source.dataset_split)


def load_train_and_held_out(source: SceneSource) -> tuple[SceneTables, SceneTables | None]:
    """Read the tables that a source names, cut into clips and split as its options say.

    Args:
        source (`SceneSource`): The options.

    Returns:
        `tuple[SceneTables, SceneTables | None]`: Scenes and questions to train on, and those that are held out.

    Raises:
        ValueError: An option is unknown or missing, or two ways of holding out are asked for.
        SpatialDataError: The files or tables break the row schema, or a held-out scene is not there.
    """
    ways = [bool(source.eval_rooms), bool(source.eval_scenes), source.eval_frame_fraction is not None]
    if sum(ways) > 1:
        raise ValueError("Give one of eval_rooms, eval_scenes and eval_frame_fraction, not several.")
    if source.eval_rooms and source.dataset != "synthetic_rooms":
        raise ValueError(
            f"eval_rooms={source.eval_rooms} is for synthetic_rooms, not {source.dataset}: use eval_scenes."
        )
    scenes, questions = load_scenes(source)
    held_out: SceneTables | None = None
    if source.eval_rooms:
        held_out = rendered_rooms(source, held_out=True)
    elif source.eval_scenes:
        (scenes, questions), held_out = _hold_out_scenes(scenes, questions, source.eval_scenes)
    elif source.eval_frame_fraction is not None:
        scenes, held_out_scenes = hold_out_block(
            scenes, source.eval_frame_fraction, source.eval_margin_fraction, source.clip_frames or 1
        )
        held_out = held_out_scenes, questions
    if source.clip_frames is not None:
        scenes = _with_clips(scenes, questions, source.clip_frames)
    return (scenes, questions), held_out


def _hold_out_scenes(
    scenes: Dataset, questions: Dataset | None, scene_ids: list[str]
) -> tuple[SceneTables, SceneTables]:
    present = scenes["scene_id"][:]
    missing = [scene_id for scene_id in scene_ids if scene_id not in present]
    if missing:
        raise SpatialDataError(f"eval_scenes names {missing[0]!r}, which is not a scene: there are {present[:5]} ...")
    wanted = set(scene_ids)
    if wanted == set(present):
        raise SpatialDataError("eval_scenes names every scene: nothing is left to train on.")
    return _subset(scenes, questions, set(present) - wanted), _subset(scenes, questions, wanted)


def _subset(scenes: Dataset, questions: Dataset | None, scene_ids: set[str]) -> SceneTables:
    chosen = scenes.select([row for row, scene_id in enumerate(scenes["scene_id"]) if scene_id in scene_ids])
    if questions is None:
        return chosen, None
    asked = [row for row, scene_id in enumerate(questions["scene_id"]) if scene_id in scene_ids]
    return chosen, questions.select(asked) if asked else None


def _with_clips(scenes: Dataset, questions: Dataset | None, clip_frames: int) -> Dataset:
    clips = split_into_clips(scenes, clip_frames)
    if questions is None:
        return clips
    whole, _ = _subset(scenes, None, set(questions["scene_id"]))
    return concatenate_datasets([whole, clips])
