"""Options: documented, checked early, and those of every part of the model."""

import dataclasses
import warnings

import pytest
from trl import SFTConfig

from igep.configuration_igep import SUPERVISION_FIELDS, IGEPConfig
from igep.trainers.sft_config import IGEPSFTConfig


OWN = [
    field
    for field in dataclasses.fields(IGEPSFTConfig)
    if field.name in IGEPSFTConfig.__annotations__ or field.name not in SFTConfig.__dataclass_fields__
]


def make_config(**fields) -> IGEPSFTConfig:
    return IGEPSFTConfig(output_dir="unused", use_cpu=True, report_to="none", **fields)


@pytest.mark.parametrize("field", OWN, ids=lambda field: field.name)
def test_every_own_option_is_documented_twice(field):
    assert field.metadata["help"].endswith((".", ")."))
    assert f"        {field.name} (`" in IGEPSFTConfig.__doc__


def test_supervision_options_are_those_of_the_model():
    for name in SUPERVISION_FIELDS:
        default = IGEPConfig.__dataclass_fields__[name].default
        mine = vars(make_config())[name]
        assert mine == (list(default) if isinstance(default, tuple) else default), name


def test_learning_rates_fall_back_to_the_common_one():
    config = make_config(learning_rate=1e-4, vision_learning_rate=1e-5, heads_learning_rate=0.0)
    common = {"projector": 1e-4, "language": 1e-4, "ground_head": 1e-4}
    assert config.learning_rates == {"vision": 1e-5, "heads": 0.0} | common


def test_supervises_geometry_if_any_weight_is_set():
    off = {"geometry_weight": 0.0, "cross_view_weight": 0.0, "global_weight": 0.0}
    assert make_config().supervises_geometry
    assert make_config(**(off | {"cross_view_weight": 0.1})).supervises_geometry
    assert make_config(**(off | {"photometric_weight": 0.1})).supervises_geometry
    assert not make_config(**off).supervises_geometry


def test_visual_tokens_are_not_cut_and_half_precision_follows_the_hardware():
    config = make_config()
    assert config.max_length is None
    assert config.remove_unused_columns is False
    assert config.bf16 is False
    assert make_config(bf16=True).bf16 is True


def test_checkpointing_goes_by_either_name_and_the_default_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert make_config().activation_checkpointing
        assert not make_config(gradient_checkpointing=False).activation_checkpointing
        config = make_config(activation_checkpointing=False)
    assert (config.gradient_checkpointing, config.activation_checkpointing) == (False, False)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"supervise": "decoder"}, r"supervise='decoder' is unknown: use one of encoder, llm"),
        ({"teacher": "flare"}, r"teacher='flare' is unknown: use one of none, geometry_oracle"),
        ({"frames_as": "clips"}, r"frames_as='clips'"),
        ({"freeze": ["heads"]}, r"freeze='heads' is unknown: use one of vision, projector, language"),
        ({"geometry_weight": -1.0}, r"geometry_weight=-1.0 must be a finite number >= 0"),
        ({"global_weight": float("inf")}, r"global_weight=inf"),
        ({"uncertainty_alpha": float("nan")}, r"uncertainty_alpha=nan"),
        ({"neighbour_window": 0}, r"neighbour_window=0 must be at least 1"),
        ({"oracle_grid": 0}, r"oracle_grid=0"),
        ({"heads_learning_rate": -1e-3}, r"heads_learning_rate=-0.001"),
        ({"geometry_size": [64]}, r"geometry_size=\[64\] must be two positive integers"),
        ({"geometry_size": 64}, r"geometry_size=64 must be two positive integers"),
        ({"geometry_size": [64, "x"]}, r"geometry_size=\[64, 'x'\] must be two positive integers"),
        ({"frozen_vision_layers": -1}, "frozen_vision_layers=-1: give 0 or more"),
        ({"freeze": "vision"}, r"freeze='vision' must be a list of parts: write \[vision\]"),
        ({"teacher": "none"}, r"global_weight=0.5 needs a teacher"),
        ({"teacher": "backbone"}, r"teacher='backbone' needs teacher_name_or_path"),
        ({"verifier_max_depth_metres": 0.05}, r"verifier_max_depth_metres=0.05 must satisfy 0 < min < max"),
        ({"push_to_hub": True, "hub_strategy": "every_save"}, r"hub_strategy='every_save'.*set it to end"),
        ({"packing": True}, r"packing=True would change nothing.*pack_questions packs questions"),
    ],
)
def test_bad_values_fail_early(fields, message):
    with pytest.raises(ValueError, match=message):
        make_config(**fields)


def test_teacher_may_be_missing_when_nothing_is_aligned():
    assert make_config(teacher="none", global_weight=0.0).teacher == "none"
