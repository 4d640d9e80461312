"""The teacher that a recipe asks for by name."""

from igep.trainers.supervision.backbone_teacher import BackboneTeacher
from igep.trainers.supervision.geometry_oracle import GeometryOracleTeacher
from igep.trainers.supervision.precomputed_teacher import PrecomputedTeacher
from igep.trainers.supervision.teacher import Teacher
from igep.trainers.supervision.vggt_teacher import VGGTTeacher


def build_teacher(
    kind: str,
    *,
    name_or_path: str | None = None,
    layer: int | None = None,
    transform: str = "resize",
    oracle_grid: int = 8,
) -> Teacher:
    """The teacher that the options of a recipe ask for.

    Args:
        kind (`str`): `"geometry_oracle"`, `"backbone"`, `"precomputed"` or `"vggt"`.
        name_or_path (`str`, *optional*): Hub id or folder of a backbone or of VGGT, folder of precomputed descriptors.
        layer (`int`, *optional*): See `BackboneTeacher`.
        transform (`str`, *optional*, defaults to `"resize"`): See `PrecomputedTeacher`.
        oracle_grid (`int`, *optional*, defaults to `8`): See `GeometryOracleTeacher`.

    Returns:
        `Teacher`

    Raises:
        ValueError: An unknown kind, or a missing name.
        ImportError: VGGT is asked for and not installed.
    """
    if kind == "geometry_oracle":
        return GeometryOracleTeacher(grid=oracle_grid)
    if kind == "vggt":
        return VGGTTeacher() if name_or_path is None else VGGTTeacher(name_or_path)
    if kind not in ("backbone", "precomputed"):
        raise ValueError(f"teacher={kind!r} is unknown: use geometry_oracle, backbone, precomputed or vggt.")
    if name_or_path is None:
        raise ValueError(f"teacher={kind!r} needs teacher_name_or_path: a Hub id or a folder.")
    if kind == "backbone":
        return BackboneTeacher(name_or_path, layer=layer)
    return PrecomputedTeacher(name_or_path, transform=transform)
