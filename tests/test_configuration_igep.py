import json

import pytest
from transformers import LlavaOnevisionConfig, Qwen3VLConfig

from igep.configuration_igep import IGEPConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("supervise", "decoder"),
        ("verifier_channels", 0),
        ("verifier_taps", 0),
        ("teacher_channels", 0),
        ("verifier_min_depth_metres", 0.0),
        ("verifier_min_depth_metres", 20.0),
        ("verifier_max_depth_metres", float("inf")),
        ("geometry_size", [96]),
        ("geometry_size", [96, 0]),
        ("geometry_weight", -1.0),
        ("cross_view_weight", float("nan")),
        ("global_weight", float("inf")),
        ("uncertainty_alpha", -0.1),
        ("photometric_weight", -0.1),
    ],
)
def test_values_out_of_range_name_the_field_and_the_value(field, value):
    with pytest.raises(ValueError, match=field) as error:
        IGEPConfig(**{field: value})
    assert str(value) in str(error.value)


def test_the_release_has_no_photometric_term():
    with pytest.raises(ValueError, match=r"photometric_weight=0.5: objective='release' has no such term"):
        IGEPConfig(objective="release", photometric_weight=0.5)


def test_values_of_the_wrong_type_are_refused():
    with pytest.raises(Exception, match="verifier_taps") as error:
        IGEPConfig(verifier_taps="2")
    assert "expected int" in str(error.value)


def test_round_trip_through_disk(tmp_path):
    config = IGEPConfig(
        vlm_config=Qwen3VLConfig(), supervise="llm", teacher_channels=7, geometry_size=(48, 64), global_weight=0.25
    )
    config.save_pretrained(tmp_path)
    again = IGEPConfig.from_pretrained(tmp_path)
    assert again.to_dict() == config.to_dict()
    assert again.vlm_config.model_type == "qwen3_vl"
    assert again.geometry_size == [48, 64]
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["model_type"] == "igep"
    assert saved["auto_map"]["AutoConfig"] == "configuration_igep.IGEPConfig"


def test_the_default_base_is_the_architecture_of_the_paper():
    config = IGEPConfig()
    assert isinstance(config.vlm_config, LlavaOnevisionConfig)
    assert config.get_text_config() is config.vlm_config.text_config


def test_the_attention_of_the_base_is_kept():
    base = Qwen3VLConfig()
    base._attn_implementation = {"": "sdpa", "vision_config": "eager", "text_config": "sdpa"}
    config = IGEPConfig(vlm_config=base)
    assert config.vlm_config.vision_config._attn_implementation == "eager"
    assert config.vlm_config.text_config._attn_implementation == "sdpa"


def test_an_attention_asked_for_reaches_every_part():
    config = IGEPConfig(vlm_config=Qwen3VLConfig(), attn_implementation="eager")
    assert config.vlm_config.vision_config._attn_implementation == "eager"
