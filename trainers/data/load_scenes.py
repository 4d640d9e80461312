"""From the options of a recipe to the scenes and questions tables, and to those that are held out of training."""

from dataclasses import dataclass, field

from datasets import Dataset, Features, concatenate_datasets, get_dataset_config_names, load_dataset

from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms
from igep.trainers.data.scannet import load_scannet
from igep.trainers.data.scenes.scene_frames import hold_out_frames, split_into_clips
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError


DATASETS = ("synthetic_rooms", "scannet", "hub", "depthlm")
SceneTables = tuple[Dataset, Dataset | None]


@dataclass
class SceneSource:
    """Which scenes to train on, and which to hold out.

    Args:
        dataset (`str`, *optional*, defaults to `"synthetic_rooms"`): `synthetic_rooms`, `scannet`, `hub` or `depthlm`.
        dataset_path (`str`, *optional*): `scannet`: a scene folder or a folder of them. `hub`: id or folder of a dataset
            with the configurations `scenes` and, if it has any, `questions`. `depthlm`: a file of JSON lines.
        image_folder (`str`, *optional*): `depthlm`: where the image paths of the file start; its own folder by default.
        dataset_split (`str`, *optional*, defaults to `"train"`): `hub`: split of both tables.
        question_file (`str`, *optional*): `scannet`: JSON lines; by default each scene's `questions.jsonl`.
        frame_stride (`int`, *optional*, defaults to `1`): `scannet`: keep every n-th frame.
        metres_per_depth_unit (`float`, *optional*, defaults to `0.001`): `scannet`: scale of the depth maps.
        depth_kind (`str`, *optional*): `z`, or `euclidean` for distances to the camera. `scannet`: `z` by default.
            `depthlm`: must be said, since its sets differ.
        clip_frames (`int`, *optional*): Cut the scenes into clips of so many neighbouring frames, which train through
            the geometry alone. Scenes with questions stay whole as well.
        num_rooms (`int`, *optional*, defaults to `4096`): `synthetic_rooms`: rooms to train on.
        room_seed (`int`, *optional*, defaults to `0`): `synthetic_rooms`: seed; held-out rooms take the next one.
        room_frames (`int`, *optional*, defaults to `2`): `synthetic_rooms`: frames of a room.
        room_image_size (`int`, *optional*, defaults to `64`): `synthetic_rooms`: width and height in pixels.
        room_focal_range (`list[float]`, *optional*, defaults to `[0.8, 0.8]`): `synthetic_rooms`: lowest and highest focal
            length, over image width.
        room_fixed_gaze (`bool`, *optional*, defaults to `False`): `synthetic_rooms`: the camera moves without turning.
        questions_per_room (`int`, *optional*, defaults to `2`): `synthetic_rooms`: questions about a room.
        eval_rooms (`int`, *optional*, defaults to `0`): `synthetic_rooms`: further rooms that are held out.
        eval_scenes (`list[str]`, *optional*): Ids of scenes that are held out, with their questions.
        eval_every_nth_frame (`int`, *optional*): Hold out every n-th frame of every scene, with the scene's questions.
    """

    dataset: str = field(
        default="synthetic_rooms", metadata={"help": "Scenes to train on.", "choices": list(DATASETS)}
    )
    dataset_path: str | None = field(
        default=None,
        metadata={"help": "scannet: scene folder or folder of scenes; hub: dataset id or folder; depthlm: a file."},
    )
    image_folder: str | None = field(
        default=None, metadata={"help": "depthlm: where image paths start (default: the folder of the file)."}
    )
    dataset_split: str = field(default="train", metadata={"help": "hub: split of the scenes and questions tables."})
    question_file: str | None = field(
        default=None, metadata={"help": "scannet: JSON lines of questions (default: questions.jsonl of each scene)."}
    )
    frame_stride: int = field(default=1, metadata={"help": "scannet: keep every n-th frame."})
    metres_per_depth_unit: float = field(
        default=0.001, metadata={"help": "scannet: scale of the depth maps (default: millimetres)."}
    )
    depth_kind: str | None = field(
        default=None,
        metadata={
            "help": "Depth along the optical axis or to the camera (scannet: z by default; depthlm: must be said).",
            "choices": ["z", "euclidean"],
        },
    )
    clip_frames: int | None = field(
        default=None,
        metadata={"help": "Cut scenes into clips of so many neighbouring frames for the geometry losses."},
    )
    num_rooms: int = field(default=4096, metadata={"help": "synthetic_rooms: rooms to train on."})
    room_seed: int = field(default=0, metadata={"help": "synthetic_rooms: seed; held-out rooms take the next one."})
    room_frames: int = field(default=2, metadata={"help": "synthetic_rooms: frames of a room."})
    room_image_size: int = field(default=64, metadata={"help": "synthetic_rooms: width and height in pixels."})
    room_focal_range: list[float] = field(
        default_factory=lambda: [0.8, 0.8],
        metadata={"help": "synthetic_rooms: lowest and highest focal length, over image width."},
    )
    room_fixed_gaze: bool = field(
        default=False, metadata={"help": "synthetic_rooms: the camera moves without turning."}
    )
    questions_per_room: int = field(default=2, metadata={"help": "synthetic_rooms: questions about a room."})
    eval_rooms: int = field(default=0, metadata={"help": "synthetic_rooms: further rooms that are held out."})
    eval_scenes: list[str] | None = field(
        default=None, metadata={"help": "Ids of scenes that are held out, with their questions."}
    )
    eval_every_nth_frame: int | None = field(
        default=None, metadata={"help": "Hold out every n-th frame of every scene."}
    )


def load_scenes(source: SceneSource) -> SceneTables:
    """Read the tables that a source names, nothing held out.

    Args:
        source (`SceneSource`): The options; those about held-out scenes and clips are not used.

    Returns:
        `tuple[Dataset, Dataset | None]`: Scenes and questions, `None` without any question.

    Raises:
        ValueError: An option is unknown or missing.
        SpatialDataError: The files or tables break the row schema.
    """
    if source.dataset == "synthetic_rooms":
        return _rooms(source, source.num_rooms, source.room_seed)
    if source.dataset not in DATASETS:
        raise ValueError(f"dataset={source.dataset!r}: choose one of {', '.join(DATASETS)}.")
    if source.dataset_path is None:
        raise ValueError(
            f"dataset={source.dataset!r} needs dataset_path: give the folder, the file or the dataset's id."
        )
    if source.dataset == "depthlm":
        raise ValueError("dataset='depthlm' holds points of single images and no scenes: set task to depth.")
    if source.dataset == "scannet":
        return load_scannet(
            source.dataset_path,
            source.question_file,
            frame_stride=source.frame_stride,
            metres_per_depth_unit=source.metres_per_depth_unit,
            depth_kind=source.depth_kind or "z",
        )
    return _load_tables(source.dataset_path, source.dataset_split)


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
    ways = [bool(source.eval_rooms), bool(source.eval_scenes), source.eval_every_nth_frame is not None]
    if sum(ways) > 1:
        raise ValueError("Give one of eval_rooms, eval_scenes and eval_every_nth_frame, not several.")
    if source.eval_rooms and source.dataset != "synthetic_rooms":
        raise ValueError(
            f"eval_rooms={source.eval_rooms} is for synthetic_rooms, not {source.dataset}: use eval_scenes."
        )
    scenes, questions = load_scenes(source)
    held_out: SceneTables | None = None
    if source.eval_rooms:
        held_out = _rooms(source, source.eval_rooms, source.room_seed + 1)
    elif source.eval_scenes:
        (scenes, questions), held_out = _hold_out_scenes(scenes, questions, source.eval_scenes)
    elif source.eval_every_nth_frame is not None:
        scenes, held_out_scenes = hold_out_frames(scenes, source.eval_every_nth_frame)
        held_out = held_out_scenes, questions
    if source.clip_frames is not None:
        scenes = _with_clips(scenes, questions, source.clip_frames)
    return (scenes, questions), held_out


def _rooms(source: SceneSource, num_rooms: int, seed: int) -> SceneTables:
    if len(source.room_focal_range) != 2:
        raise ValueError(f"room_focal_range={source.room_focal_range} must be two numbers, lowest and highest.")
    scenes, questions = synthetic_rooms(
        num_rooms,
        seed=seed,
        num_frames=source.room_frames,
        image_size=source.room_image_size,
        questions_per_room=source.questions_per_room,
        focal_range=tuple(source.room_focal_range),
        fixed_gaze=source.room_fixed_gaze,
    )
    return scenes, questions if len(questions) else None


def _load_tables(path: str, split: str) -> SceneTables:
    names = get_dataset_config_names(path)
    if "scenes" not in names:
        raise SpatialDataError(
            f"{path}: its configurations are {names}, without 'scenes'. Write both tables with "
            "push_to_hub(..., config_name='scenes' or 'questions')."
        )
    scenes = _with_features(path, "scenes", load_dataset(path, "scenes", split=split), SCENE_FEATURES)
    if "questions" not in names:
        return scenes, None
    questions = _with_features(path, "questions", load_dataset(path, "questions", split=split), QUESTION_FEATURES)
    return scenes, questions


def _with_features(path: str, name: str, table: Dataset, features: Features) -> Dataset:
    missing = [column for column in features if column not in table.column_names]
    if missing:
        raise SpatialDataError(f"{path}: table {name!r} has no column {missing[0]!r} (it has {table.column_names}).")
    table = table.select_columns(list(features))
    return table if table.features == features else table.cast(features)


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
