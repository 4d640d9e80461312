"""The options of a recipe give the teacher that they name."""

import pytest
import torch

from igep.trainers.supervision.build_teacher import build_teacher
from igep.trainers.supervision.geometry_oracle import GeometryOracleTeacher
from igep.trainers.supervision.precomputed_teacher import PrecomputedTeacher, write_descriptors


def test_each_kind_with_its_options(tmp_path):
    oracle = build_teacher("geometry_oracle", oracle_grid=4)
    assert isinstance(oracle, GeometryOracleTeacher)
    assert oracle.grid == 4
    write_descriptors(tmp_path, "scene", ["0"], torch.zeros(1, 2, 2, 3), transform="flip")
    precomputed = build_teacher("precomputed", name_or_path=str(tmp_path), transform="flip")
    assert isinstance(precomputed, PrecomputedTeacher)
    assert precomputed.transform == "flip"


def test_what_no_teacher_can_be_built_from():
    with pytest.raises(
        ValueError, match="teacher='flare' is unknown: use geometry_oracle, backbone, precomputed or vggt"
    ):
        build_teacher("flare")
    for kind in ("backbone", "precomputed"):
        with pytest.raises(ValueError, match=f"teacher='{kind}' needs teacher_name_or_path"):
            build_teacher(kind)
