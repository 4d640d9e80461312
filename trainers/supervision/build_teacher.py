"""The teacher that a recipe asks for by name."""

from collections.abc import Sequence

from igep.trainers.supervision.backbone_teacher import BackboneTeacher
from igep.trainers.supervision.depth_anything_3_teacher import DepthAnything3Teacher
from igep.trainers.supervision.geometry_oracle import GeometryOracleTeacher
from igep.trainers.supervision.map_anything_teacher import MapAnythingTeacher
from igep.trainers.supervision.precomputed_teacher import PrecomputedTeacher, described_by
from igep.trainers.supervision.teacher import Teacher
from igep.trainers.supervision.vggt_teacher import VGGTTeacher


# Class of each, and what its kind says of it.
FOUNDATION_MODELS = {
    "vggt": (VGGTTeacher, {}),
    "vggt_patch_encoder": (VGGTTeacher, {"part": "patch_encoder"}),
    "depth_anything_3": (DepthAnything3Teacher, {}),
    "map_anything": (MapAnythingTeacher, {}),
}
TEACHERS = ("geometry_oracle", "backbone", "precomputed", *FOUNDATION_MODELS)


def build_teacher(
    kind: str,
    *,
    name_or_path: str | None = None,
    layer: int | None = None,
    frame_size: Sequence[int] | None = None,
    transform: str = "resize",
    oracle_grid: int = 8,
) -> Teacher:
    """The teacher that the options of a recipe ask for.

    Args:
        kind (`str`): One of `TEACHERS`.
        name_or_path (`str`, *optional*): Hub id or folder of a backbone or a multi-view model (which have one by
            default), folder of precomputed descriptors.
        layer (`int`, *optional*): See the teacher's class; of a backbone or a multi-view model.
        frame_size (`Sequence[int]`, *optional*): (H, W) of the frames that such a teacher looks at.
        transform (`str`, *optional*, defaults to `"resize"`): See `PrecomputedTeacher`.
        oracle_grid (`int`, *optional*, defaults to `8`): See `GeometryOracleTeacher`.

    Returns:
        `Teacher`

    Raises:
        ValueError: An unknown kind, a missing name, or an option that this kind does not take.
        ModuleNotFoundError: The package of a multi-view model is not installed; says how, and under which licence.
    """
    check_teacher(kind, name_or_path, layer, frame_size)
    if kind == "geometry_oracle":
        return GeometryOracleTeacher(grid=oracle_grid)
    if kind == "precomputed":
        return PrecomputedTeacher(name_or_path, transform=transform)
    given = {"layer": layer, "frame_size": frame_size and tuple(frame_size)}
    chosen = {name: value for name, value in given.items() if value is not None}
    if kind == "backbone":
        return BackboneTeacher(name_or_path, **chosen)
    teacher, fixed = FOUNDATION_MODELS[kind]
    return teacher(name_or_path or teacher.default_id, **fixed, **chosen)


def check_teacher(
    kind: str, name_or_path: str | None, layer: int | None = None, frame_size: Sequence[int] | None = None
) -> None:
    """Refuses options that no teacher can be built from, before anything is loaded.

    Args:
        kind (`str`): The kind.
        name_or_path (`str`, *optional*): Its name.
        layer (`int`, *optional*): Its layer.
        frame_size (`Sequence[int]`, *optional*): (H, W).

    Raises:
        ValueError: An unknown kind, a missing name, or an option that this kind does not take.
    """
    if kind not in TEACHERS:
        raise ValueError(f"teacher={kind!r} is unknown: use one of {', '.join(TEACHERS)}.")
    if kind in ("backbone", "precomputed") and name_or_path is None:
        raise ValueError(f"teacher={kind!r} needs teacher_name_or_path: a Hub id or a folder.")
    for option, value in (("teacher_layer", layer), ("teacher_frame_size", frame_size)):
        if value is not None and kind in ("geometry_oracle", "precomputed"):
            raise ValueError(f"{option}={value} does nothing with teacher={kind!r}: leave it out.")
    if frame_size is not None and (len(frame_size) != 2 or min(frame_size) < 1):
        raise ValueError(f"teacher_frame_size={frame_size}: give two positive numbers, height and width.")


def named_teacher(kind: str, name_or_path: str | None) -> dict[str, str | None]:
    """What a card calls a teacher: the model whose licence its student may inherit.

    Args:
        kind (`str`): One of `TEACHERS`.
        name_or_path (`str`, *optional*): Hub id or folder; multi-view models have one by default.

    Returns:
        `dict`: `kind`, and `name`: an id, a folder or `None`. Descriptors that `igep describe` wrote are those of the
        teacher that it wrote them with.
    """
    if kind == "precomputed":
        written = described_by(name_or_path)
        if written is None:
            return {"kind": kind, "name": name_or_path}
        return {"kind": f"precomputed, {written['teacher']}", "name": written["name"]}
    if kind in FOUNDATION_MODELS and name_or_path is None:
        return {"kind": kind, "name": FOUNDATION_MODELS[kind][0].default_id}
    return {"kind": kind, "name": name_or_path}
