"""ScanNet-like folders as scenes: the exporter's layout, and frames, depth and poses in one folder.

Exported layout: `color/*.jpg`, `depth/*.png`, `pose/*.txt` (4x4 camera to world) of the same names,
`intrinsic/intrinsic_color.txt`, and where present `intrinsic/intrinsic_depth.txt` and
`intrinsic/extrinsic_{color,depth}.txt`; the folders' names in either case.
One folder: `00000.jpg`, `00000.png`, `00000.txt`, ..., `intrinsic.txt`, and where present `depth_intrinsic.txt`.
Intrinsics are 3x3 or 4x4, fy = 0 stands for fx; where a calibrator estimates them they may be missing. Depth is whole
numbers of millimetres or floating-point metres unless said otherwise, in any of `DEPTH_SUFFIXES`; matrices may be
`.npy`; suffixes of either case.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from igep.calibrator import EXAMPLE
from igep.trainers.data.dataset_options import DatasetPlace, depth_kind_field
from igep.trainers.data.question_file import read_questions
from igep.trainers.data.scene_boxes import scene_boxes
from igep.trainers.data.scenes.camera_arrays import with_fy
from igep.trainers.data.scenes.frame_files import find_folder, find_frame_files, find_matrix_file, visible_files
from igep.trainers.data.scenes.frame_sampling import natural_order
from igep.trainers.data.scenes.matrix_file import MATRIX_SUFFIXES, read_matrices, read_matrix
from igep.trainers.data.scenes.scene_validation import lost_poses, validate_scene
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError
from igep.trainers.data.scenes.stored_depth import DEPTH_SUFFIXES, MAY_FLOAT, UNREAD_DEPTH_SUFFIXES, is_floating_depth


logger = logging.getLogger(__name__)

FLAT_COLOUR_SUFFIXES = (".jpg", ".jpeg")  # in one folder the others are depth
COLOUR_SUFFIXES = (*FLAT_COLOUR_SUFFIXES, ".png", ".bmp", ".webp", ".tif", ".tiff")
QUESTION_FILE = "questions.jsonl"
METRES_PER_DEPTH_UNIT = 0.001


@dataclass
class ScanNetOptions(DatasetPlace):
    """Options of `scannet`.

    Args:
        question_file (`str`, *optional*): `scannet`: JSON lines; by default each scene's `questions.jsonl`.
        frame_stride (`int`, *optional*, defaults to `1`): `scannet`: keep every n-th frame.
        metres_per_depth_unit (`float`, *optional*): `scannet`: scale of the depth maps. By default whole numbers are
            millimetres (0.001) and floating-point numbers metres (1).
        depth_kind (`str`, *optional*): `z`, or `euclidean` for distances to the camera; `scannet`: `z` by default.
        scene_boxes (`bool`, *optional*, defaults to `False`): `scannet`: read the boxes of objects, from `boxes.json`
            or ScanNet's own files (see `trainers/data/scene_boxes.py`). Task `objects` reads them anyway.
    """

    question_file: str | None = field(
        default=None, metadata={"help": "scannet: JSON lines of questions (default: questions.jsonl of each scene)."}
    )
    frame_stride: int = field(default=1, metadata={"help": "scannet: keep every n-th frame."})
    metres_per_depth_unit: float | None = field(
        default=None,
        metadata={
            "help": "scannet: scale of the depth maps (default: 0.001 for whole numbers, 1 for floating-point)."
        },
    )
    depth_kind: str | None = depth_kind_field()
    scene_boxes: bool = field(
        default=False, metadata={"help": "scannet: read boxes of objects (task objects reads them anyway)."}
    )


def load_scannet(
    root: str | Path,
    questions: str | Path | None = None,
    *,
    frame_stride: int = 1,
    metres_per_depth_unit: float | None = None,
    depth_kind: str = "z",
    may_lack_intrinsics: bool = False,
    with_boxes: bool = False,
) -> tuple[Dataset, Dataset | None]:
    """Read one scene folder, or every scene folder in a folder. Images stay files: none is decoded here.

    Frames without a pose that is one (tracking failed: see `lost_poses`) are left out. Frames without a depth map
    stay, and so does a scene without any depth or poses. The log says each of it.

    Args:
        root (`str | Path`): A scene folder, or a folder of them. The folder's name is the scene's.
        questions (`str | Path`, *optional*): Question file about these scenes (see `question_file`). By default each
            scene's own `questions.jsonl`, where there is one.
        frame_stride (`int`, *optional*, defaults to `1`): Keep every n-th frame.
        metres_per_depth_unit (`float`, *optional*): Scale of the depth maps. By default whole numbers are millimetres
            and floating-point numbers metres.
        depth_kind (`str`, *optional*, defaults to `"z"`): `"z"`, or `"euclidean"` for distances to the camera.
        may_lack_intrinsics (`bool`, *optional*, defaults to `False`): Read scenes without intrinsics too: a calibrator
            will estimate them. In one folder, `.jpg` images then make a scene.
        with_boxes (`bool`, *optional*, defaults to `False`): Read the boxes of objects too (see `scene_boxes`).

    Returns:
        `tuple[Dataset, Dataset | None]`: Scenes and questions; `None` when no scene has a question.

    Raises:
        SpatialDataError: No scene there, a missing or malformed file, no valid frame: the message names the file.
    """
    if frame_stride < 1:
        raise ValueError(f"frame_stride={frame_stride}: give 1 or more.")
    folders = scene_folders(root, may_lack_intrinsics)
    rows = [
        read_scene_folder(folder, frame_stride, metres_per_depth_unit, depth_kind, may_lack_intrinsics)
        for folder in folders
    ]
    if with_boxes:
        for folder, row in zip(folders, rows, strict=True):
            row["boxes"] = scene_boxes(folder)
    scenes = Dataset.from_list(rows, features=SCENE_FEATURES)
    scene_ids = [folder.name for folder in folders]
    if questions is not None:
        asked = read_questions(questions, scene_ids)
    else:
        files = [(folder / QUESTION_FILE, folder.name) for folder in folders if (folder / QUESTION_FILE).is_file()]
        asked = [row for path, scene_id in files for row in read_questions(path, [scene_id])]
    return scenes, Dataset.from_list(asked, features=QUESTION_FEATURES) if asked else None


def scene_folders(root: str | Path, may_lack_intrinsics: bool = False) -> list[Path]:
    """The scene folders that `load_scannet` reads.

    Args:
        root (`str | Path`): A scene folder, or a folder of them.
        may_lack_intrinsics (`bool`, *optional*, defaults to `False`): Take folders of frames without intrinsics too.

    Returns:
        `list[Path]`: Absolute paths in natural order of their names.

    Raises:
        SpatialDataError: No such folder, or no scene in it.
    """
    root = Path(root).absolute()
    if not root.is_dir():
        raise SpatialDataError(f"{root}: no such folder. Give a scene folder or a folder of scene folders.")
    if _is_scene(root):
        return [root]
    folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX"))]
    folders.sort(key=lambda path: natural_order(path.name))
    scenes = [folder for folder in folders if _is_scene(folder) or (may_lack_intrinsics and _has_frames(folder))]
    if not scenes and may_lack_intrinsics and _has_frames(root):  # after those in it: a preview may lie beside scenes
        return [root]
    if not scenes:
        raise SpatialDataError(
            f"{root}: no scene here. A scene folder has color/, depth/, pose/ and intrinsic/, or 00000.jpg, "
            "00000.png, 00000.txt, ... and intrinsic.txt (not needed with a calibrator)."
        )
    if len(scenes) < len(folders):
        others = [folder.name for folder in folders if folder not in scenes]
        logger.warning("%s: %d folders are not scenes and are left out: %s", root, len(others), ", ".join(others[:5]))
    return scenes


def scene_images(folder: Path) -> list[Path]:
    """The colour images of a scene folder of either layout, in natural order, those without a valid pose as well.

    Args:
        folder (`Path`): The folder.

    Returns:
        `list[Path]`

    Raises:
        SpatialDataError: There is none.
    """
    exported = is_exported(folder)
    return _colour_files(find_folder(folder, "color") if exported else folder, exported)


def is_exported(folder: Path) -> bool:
    """Whether a folder is in the exporter's layout.

    Args:
        folder (`Path`): The folder; it may be missing.

    Returns:
        `bool`
    """
    return find_folder(folder, "color").is_dir()


def _is_scene(folder: Path) -> bool:
    return is_exported(folder) or any((folder / f"intrinsic{suffix}").is_file() for suffix in MATRIX_SUFFIXES)


def _has_frames(folder: Path) -> bool:
    return any(path.suffix.lower() in FLAT_COLOUR_SUFFIXES for path in visible_files(folder))


def read_scene_folder(
    folder: Path,
    frame_stride: int = 1,
    metres_per_depth_unit: float | None = None,
    depth_kind: str = "z",
    may_lack_intrinsics: bool = False,
) -> dict[str, Any]:
    """Read one scene folder of either layout.

    Args:
        folder (`Path`): The folder; its name is the scene's.
        frame_stride (`int`, *optional*, defaults to `1`): Keep every n-th frame.
        metres_per_depth_unit (`float`, *optional*): Scale of the depth maps, see `load_scannet`.
        depth_kind (`str`, *optional*, defaults to `"z"`): `"z"` or `"euclidean"`.
        may_lack_intrinsics (`bool`, *optional*, defaults to `False`): Whether there may be none.

    Returns:
        `dict`: Row of `SCENE_FEATURES` without boxes; images are paths.

    Raises:
        SpatialDataError: A missing or malformed file, or no valid frame.
    """
    exported = is_exported(folder)
    if exported:
        depth_folder, pose_folder, camera_folder = (
            find_folder(folder, name) for name in ("depth", "pose", "intrinsic")
        )
        colour_camera, depth_camera = "intrinsic_color", "intrinsic_depth"
    else:
        depth_folder = pose_folder = camera_folder = folder
        colour_camera, depth_camera = "intrinsic", "depth_intrinsic"
    all_colour_files = scene_images(folder)
    names = [path.stem for path in all_colour_files]
    colour_files = all_colour_files[::frame_stride]
    poses = _read_poses(colour_files, names, pose_folder, exported)
    if exported:
        rig_from_colour, colour_from_depth = _read_extrinsics(camera_folder)
    else:
        rig_from_colour, colour_from_depth = np.eye(4), np.eye(4)
    if poses is None:
        looked_for = (pose_folder / f"{names[0]}.txt").relative_to(folder)
        logger.warning(
            "%s: no pose files (such as %s), so no pose supervises this scene. It holds %s.",
            *(folder, looked_for, _content(folder)),
        )
    else:
        lost = lost_poses(poses)
        if lost.all():
            raise SpatialDataError(
                f"{folder}: none of its {len(poses)} poses is one: they are not finite, zero, one number throughout, "
                "or empty files. Remove this scene or its poses."
            )
        if lost.any():
            logger.warning("%s: %d of %d frames have no valid pose and are left out.", folder, lost.sum(), len(lost))
        colour_files = [path for path, is_lost in zip(colour_files, lost, strict=True) if not is_lost]
        poses = poses[~lost] @ rig_from_colour
    depth_files = _depth_files(depth_folder, names, exported)
    if metres_per_depth_unit is None:
        metres_per_depth_unit = _usual_unit(depth_files)
    depth = [str(depth_files[path.stem]) if path.stem in depth_files else None for path in colour_files]
    num_missing = depth.count(None)
    if num_missing:
        logger.warning(
            "%s: %d of %d frames have no depth map. It holds %s.", folder, num_missing, len(depth), _content(folder)
        )
    has_depth = num_missing < len(depth)
    depth_intrinsics_file = find_matrix_file(camera_folder, depth_camera)
    has_depth_camera = has_depth and depth_intrinsics_file is not None
    if has_depth and not has_depth_camera and np.abs(colour_from_depth - np.eye(4)).max() > 0:
        raise SpatialDataError(
            f"{camera_folder / depth_camera}.txt: no such file, but the extrinsics tell of a second camera."
        )
    colour_intrinsics_file = find_matrix_file(camera_folder, colour_camera)
    if colour_intrinsics_file is None and not may_lack_intrinsics:
        raise SpatialDataError(
            f"{camera_folder / colour_camera}.txt: no such file. Export it, or set calibrator to a depth model that "
            f"estimates the field of view, such as {EXAMPLE}."
        )
    intrinsics = [] if colour_intrinsics_file is None else [_read_intrinsics(colour_intrinsics_file)]
    row = {
        "scene_id": folder.name,
        "frame_ids": [path.stem for path in colour_files],
        "frames": [str(path) for path in colour_files],
        "depth": depth if has_depth else [],
        "metres_per_depth_unit": metres_per_depth_unit,
        "depth_kind": depth_kind,
        "intrinsics": intrinsics * len(colour_files),
        "depth_intrinsics": [_read_intrinsics(depth_intrinsics_file)] * len(colour_files) if has_depth_camera else [],
        "colour_from_depth": colour_from_depth.tolist() if has_depth_camera else [],
        "world_from_camera": [] if poses is None else poses.tolist(),
        "boxes": [],
    }
    try:
        validate_scene(row)
    except SpatialDataError as error:
        raise SpatialDataError(f"{folder}: {error}") from error
    return row


def _content(folder: Path) -> str:
    """Names of what a scene folder holds, for messages."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")


def _colour_files(folder: Path, exported: bool) -> list[Path]:
    suffixes = COLOUR_SUFFIXES if exported else FLAT_COLOUR_SUFFIXES
    files = visible_files(folder)
    images = [path for path in files if path.suffix.lower() in suffixes]
    if not images:
        raise SpatialDataError(f"{folder}: no colour image ({', '.join(suffixes)}) here. Export the scene again.")
    if exported and len(images) < len(files):
        others = [path.name for path in files if path not in images]
        logger.warning(
            "%s: %d files are no images of a type that is read and are left out: %s",
            *(folder, len(others), ", ".join(others[:5])),
        )
    return sorted(images, key=lambda path: natural_order(path.name))


def _depth_files(folder: Path, names: Sequence[str], exported: bool) -> dict[str, Path]:
    """Depth map of each frame that has one."""
    found = find_frame_files(folder, names, "depth", DEPTH_SUFFIXES, None if exported else UNREAD_DEPTH_SUFFIXES)
    # In one folder `.npy` may be either.
    return {} if found and not exported and _is_pose(next(iter(found.values()))) else found


def _usual_unit(depth_files: dict[str, Path]) -> float:
    """Metres for floating-point depth, millimetres for whole numbers, as the first map of each suffix says."""
    first_of_suffix = {path.suffix.lower(): path for path in reversed(depth_files.values())}
    floating = {}
    for path in first_of_suffix.values():
        try:
            floating[path] = path.suffix.lower() in MAY_FLOAT and is_floating_depth(path)
        except (OSError, ValueError) as error:
            raise SpatialDataError(f"{path}: not a readable depth map ({error}). Export this file again.") from error
    if len(set(floating.values())) > 1:
        raise SpatialDataError(
            f"{next(iter(floating)).parent}: depth in whole numbers and in floating-point numbers, which have two "
            "units. Convert one to the other."
        )
    if not any(floating.values()):
        return METRES_PER_DEPTH_UNIT
    logger.warning(
        "%s: floating-point depth is taken for metres; if it is not, set metres_per_depth_unit.",
        next(iter(floating)).parent,
    )
    return 1.0


def _is_pose(path: Path) -> bool:
    return path.suffix.lower() == ".npy" and np.load(path, mmap_mode="r", allow_pickle=False).shape == (4, 4)


def _read_poses(colour_files: Sequence[Path], names: Sequence[str], folder: Path, exported: bool) -> np.ndarray | None:
    """(F, 4, 4) camera to world, or `None` where no frame has a file."""
    found = find_frame_files(folder, names, "pose", MATRIX_SUFFIXES, None if exported else ())
    files = [found.get(path.stem) for path in colour_files]
    present = [path for path in files if path is not None]
    if not present or (not exported and present[0].suffix.lower() == ".npy" and not _is_pose(present[0])):
        return None
    if None in files:
        raise SpatialDataError(
            f"{folder / colour_files[files.index(None)].stem}.txt: no such pose file, though {len(present)} of "
            f"{len(files)} frames have one. Export it, or remove the frame."
        )
    return read_matrices(present, ((4, 4),), lost_where_empty=True)


def _read_extrinsics(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rig from colour camera and colour from depth camera. A file holds camera from rig; the pose is the rig's."""
    colour_from_rig, depth_from_rig = np.eye(4), np.eye(4)
    colour_file, depth_file = (find_matrix_file(folder, f"extrinsic_{name}") for name in ("color", "depth"))
    if colour_file is not None:
        colour_from_rig = read_matrix(colour_file, ((4, 4),))
    if depth_file is not None:
        depth_from_rig = read_matrix(depth_file, ((4, 4),))
    for name, matrix in (("color", colour_from_rig), ("depth", depth_from_rig)):
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-6:
            raise SpatialDataError(f"{folder / f'extrinsic_{name}.txt'}: singular. Remove the file if it is unknown.")
    return np.linalg.inv(colour_from_rig), colour_from_rig @ np.linalg.inv(depth_from_rig)


def _read_intrinsics(path: Path) -> list[list[float]]:
    return with_fy(read_matrix(path, ((3, 3), (4, 4)))[:3, :3]).tolist()
