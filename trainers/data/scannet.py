"""ScanNet-like folders as scenes: the exporter's layout, and frames, depth and poses in one folder.

Exported layout: `color/*.jpg`, `depth/*.png` (uint16, millimetres unless said otherwise), `pose/*.txt` (4x4 camera to
world) of the same names, `intrinsic/intrinsic_color.txt`, and where present `intrinsic/intrinsic_depth.txt` and
`intrinsic/extrinsic_{color,depth}.txt`. One folder: `00000.jpg`, `00000.png`, `00000.txt`, ..., `intrinsic.txt`, and where
present `depth_intrinsic.txt`. Intrinsics are 3x3 or 4x4.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from igep.trainers.data.dataset_options import DatasetPlace, depth_kind_field
from igep.trainers.data.question_file import read_questions
from igep.trainers.data.scenes.frame_sampling import natural_order
from igep.trainers.data.scenes.scene_validation import validate_scene
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError


logger = logging.getLogger(__name__)

COLOUR_SUFFIXES = (".jpg", ".jpeg", ".png")
QUESTION_FILE = "questions.jsonl"
METRES_PER_DEPTH_UNIT = 0.001


@dataclass
class ScanNetOptions(DatasetPlace):
    """Options of `scannet`.

    Args:
        question_file (`str`, *optional*): `scannet`: JSON lines; by default each scene's `questions.jsonl`.
        frame_stride (`int`, *optional*, defaults to `1`): `scannet`: keep every n-th frame.
        metres_per_depth_unit (`float`, *optional*, defaults to `0.001`): `scannet`: scale of the depth maps.
        depth_kind (`str`, *optional*): `z`, or `euclidean` for distances to the camera; `scannet`: `z` by default.
    """

    question_file: str | None = field(
        default=None, metadata={"help": "scannet: JSON lines of questions (default: questions.jsonl of each scene)."}
    )
    frame_stride: int = field(default=1, metadata={"help": "scannet: keep every n-th frame."})
    metres_per_depth_unit: float = field(
        default=METRES_PER_DEPTH_UNIT, metadata={"help": "scannet: scale of the depth maps (default: millimetres)."}
    )
    depth_kind: str | None = depth_kind_field()


def load_scannet(
    root: str | Path,
    questions: str | Path | None = None,
    *,
    frame_stride: int = 1,
    metres_per_depth_unit: float = METRES_PER_DEPTH_UNIT,
    depth_kind: str = "z",
) -> tuple[Dataset, Dataset | None]:
    """Read one scene folder, or every scene folder in a folder. Images stay files: none is opened here.

    Frames whose pose is not finite (tracking failed) are left out. Frames without a depth map stay, and so does a scene
    without any depth or poses. The log says each of it.

    Args:
        root (`str | Path`): A scene folder, or a folder of them. The folder's name is the scene's.
        questions (`str | Path`, *optional*): Question file about these scenes (see `question_file`). By default each
            scene's own `questions.jsonl`, where there is one.
        frame_stride (`int`, *optional*, defaults to `1`): Keep every n-th frame.
        metres_per_depth_unit (`float`, *optional*, defaults to `0.001`): Scale of the depth maps; millimetres by default.
        depth_kind (`str`, *optional*, defaults to `"z"`): `"z"`, or `"euclidean"` for distances to the camera.

    Returns:
        `tuple[Dataset, Dataset | None]`: Scenes and questions; `None` when no scene has a question.

    Raises:
        SpatialDataError: No scene there, a missing or malformed file, no valid frame: the message names the file.
    """
    if frame_stride < 1:
        raise ValueError(f"frame_stride={frame_stride}: give 1 or more.")
    folders = scene_folders(root)
    rows = [read_scene_folder(folder, frame_stride, metres_per_depth_unit, depth_kind) for folder in folders]
    scenes = Dataset.from_list(rows, features=SCENE_FEATURES)
    scene_ids = [folder.name for folder in folders]
    if questions is not None:
        asked = read_questions(questions, scene_ids)
    else:
        files = [(folder / QUESTION_FILE, folder.name) for folder in folders if (folder / QUESTION_FILE).is_file()]
        asked = [row for path, scene_id in files for row in read_questions(path, [scene_id])]
    return scenes, Dataset.from_list(asked, features=QUESTION_FEATURES) if asked else None


def scene_folders(root: str | Path) -> list[Path]:
    """The scene folders that `load_scannet` reads.

    Args:
        root (`str | Path`): A scene folder, or a folder of them.

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
    folders = sorted((path for path in root.iterdir() if path.is_dir()), key=lambda path: natural_order(path.name))
    scenes = [folder for folder in folders if _is_scene(folder)]
    if not scenes:
        raise SpatialDataError(
            f"{root}: no scene here. A scene folder has color/, depth/, pose/ and intrinsic/, or 00000.jpg, 00000.png, "
            "00000.txt, ... and intrinsic.txt."
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
    exported = (folder / "color").is_dir()
    return _colour_files(folder / "color" if exported else folder, may_be_png=exported)


def _is_scene(folder: Path) -> bool:
    return (folder / "color").is_dir() or (folder / "intrinsic.txt").is_file()


def read_scene_folder(
    folder: Path,
    frame_stride: int = 1,
    metres_per_depth_unit: float = METRES_PER_DEPTH_UNIT,
    depth_kind: str = "z",
) -> dict[str, Any]:
    """Read one scene folder of either layout.

    Args:
        folder (`Path`): The folder; its name is the scene's.
        frame_stride (`int`, *optional*, defaults to `1`): Keep every n-th frame.
        metres_per_depth_unit (`float`, *optional*, defaults to `0.001`): Scale of the depth maps.
        depth_kind (`str`, *optional*, defaults to `"z"`): `"z"` or `"euclidean"`.

    Returns:
        `dict`: Row of `SCENE_FEATURES` without boxes; images are paths.

    Raises:
        SpatialDataError: A missing or malformed file, or no valid frame.
    """
    exported = (folder / "color").is_dir()
    if exported:
        depth_folder, pose_folder = folder / "depth", folder / "pose"
        colour_intrinsics_file = folder / "intrinsic" / "intrinsic_color.txt"
        depth_intrinsics_file = folder / "intrinsic" / "intrinsic_depth.txt"
    else:
        depth_folder = pose_folder = folder
        colour_intrinsics_file, depth_intrinsics_file = folder / "intrinsic.txt", folder / "depth_intrinsic.txt"
    colour_files = scene_images(folder)[::frame_stride]
    poses = _read_poses(colour_files, pose_folder, has_own_folder=exported)
    if exported:
        rig_from_colour, colour_from_depth = _read_extrinsics(folder / "intrinsic")
    else:
        rig_from_colour, colour_from_depth = np.eye(4), np.eye(4)
    if poses is None:
        logger.warning("%s: no pose files, so no pose supervises this scene.", folder)
    else:
        valid = np.isfinite(poses).all((1, 2))
        if not valid.any():
            raise SpatialDataError(
                f"{folder}: none of its {len(poses)} poses is finite. Remove this scene or its poses."
            )
        if not valid.all():
            logger.warning(
                "%s: %d of %d frames have no valid pose and are left out.", folder, (~valid).sum(), len(valid)
            )
        colour_files = [path for path, is_valid in zip(colour_files, valid, strict=True) if is_valid]
        poses = poses[valid] @ rig_from_colour
    depth = [depth_folder / f"{path.stem}.png" for path in colour_files]
    depth = [str(path) if path.is_file() else None for path in depth]
    num_missing = depth.count(None)
    if num_missing == len(depth):
        _assert_none(depth_folder, ".png", colour_files)
    if num_missing:
        logger.warning("%s: %d of %d frames have no depth map.", folder, num_missing, len(depth))
    has_depth = num_missing < len(depth)
    has_depth_camera = has_depth and depth_intrinsics_file.is_file()
    if has_depth and not has_depth_camera and np.abs(colour_from_depth - np.eye(4)).max() > 0:
        raise SpatialDataError(f"{depth_intrinsics_file}: no such file, but the extrinsics tell of a second camera.")
    row = {
        "scene_id": folder.name,
        "frame_ids": [path.stem for path in colour_files],
        "frames": [str(path) for path in colour_files],
        "depth": depth if has_depth else [],
        "metres_per_depth_unit": metres_per_depth_unit,
        "depth_kind": depth_kind,
        "intrinsics": [_read_intrinsics(colour_intrinsics_file)] * len(colour_files),
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


def _colour_files(folder: Path, may_be_png: bool) -> list[Path]:
    suffixes = COLOUR_SUFFIXES if may_be_png else COLOUR_SUFFIXES[:2]
    files = [path for path in folder.iterdir() if path.suffix.lower() in suffixes]
    if not files:
        raise SpatialDataError(f"{folder}: no colour image ({', '.join(suffixes)}) here. Export the scene again.")
    return sorted(files, key=lambda path: natural_order(path.name))


def _assert_none(folder: Path, suffix: str, colour_files: list[Path]) -> None:
    """Files of this kind that belong to no frame have other names than they should."""
    files = sorted(folder.glob(f"*{suffix}"))
    if files:
        raise SpatialDataError(
            f"{folder}: none of the {len(files)} {suffix} files ({files[0].name!r}, ...) belongs to a frame. Name each "
            f"after its colour image, such as {colour_files[0].stem}{suffix}."
        )


def _read_poses(colour_files: list[Path], folder: Path, has_own_folder: bool) -> np.ndarray | None:
    """(F, 4, 4) camera to world, or `None` where no frame has a file."""
    files = [folder / f"{path.stem}.txt" for path in colour_files]
    present = [path.is_file() for path in files]
    if not any(present):
        if has_own_folder:
            _assert_none(folder, ".txt", colour_files)
        return None
    if not all(present):
        raise SpatialDataError(
            f"{files[present.index(False)]}: no such pose file, though {sum(present)} of {len(files)} frames have one. "
            "Export it, or remove the frame."
        )
    return np.stack([_read_matrix(path, ((4, 4),)) for path in files])


def _read_extrinsics(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rig from colour camera and colour from depth camera. A file holds camera from rig; the pose is the rig's."""
    colour_from_rig, depth_from_rig = np.eye(4), np.eye(4)
    if (folder / "extrinsic_color.txt").is_file():
        colour_from_rig = _read_matrix(folder / "extrinsic_color.txt", ((4, 4),))
    if (folder / "extrinsic_depth.txt").is_file():
        depth_from_rig = _read_matrix(folder / "extrinsic_depth.txt", ((4, 4),))
    for name, matrix in (("color", colour_from_rig), ("depth", depth_from_rig)):
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-6:
            raise SpatialDataError(f"{folder / f'extrinsic_{name}.txt'}: singular. Remove the file if it is unknown.")
    return np.linalg.inv(colour_from_rig), colour_from_rig @ np.linalg.inv(depth_from_rig)


def _read_intrinsics(path: Path) -> list[list[float]]:
    return _read_matrix(path, ((3, 3), (4, 4)))[:3, :3].tolist()


def _read_matrix(path: Path, shapes: tuple[tuple[int, int], ...]) -> np.ndarray:
    try:
        text = path.read_text(encoding="utf-8")
        matrix = np.loadtxt(text.splitlines(), dtype=np.float64, ndmin=2) if text.strip() else np.empty((0, 0))
    except FileNotFoundError as error:
        raise SpatialDataError(f"{path}: no such file. Export the scene again.") from error
    except (OSError, ValueError) as error:
        raise SpatialDataError(f"{path}: not a matrix of numbers ({error}). Export this file again.") from error
    if matrix.shape not in shapes:
        wanted = " or ".join(f"{rows}x{columns}" for rows, columns in shapes)
        raise SpatialDataError(
            f"{path}: a matrix of {matrix.shape[0]}x{matrix.shape[1]} numbers, not {wanted}. Write all of its numbers, one "
            "row of the matrix a line."
        )
    return matrix
