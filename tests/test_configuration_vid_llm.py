import pytest
from tiny_vid_llm import FIELDS

from igep.configuration_vid_llm import VidLLMConfig, heads_of


def test_it_holds_both_configurations_and_survives_saving(tmp_path):
    config = VidLLMConfig(
        vision_config={"model_type": "dinov2_with_registers", "hidden_size": 48, "patch_size": 14},
        text_config={"model_type": "llama", "hidden_size": 32},
        **FIELDS,
    )
    config.save_pretrained(tmp_path)
    again = VidLLMConfig.from_pretrained(tmp_path)
    assert again.to_dict() == config.to_dict()
    assert (again.vision_config.model_type, again.get_text_config().model_type) == ("dinov2_with_registers", "llama")
    assert (again.stream_channels, again.patch_size) == (48, 14)
    assert VidLLMConfig(adapter_channels=24).stream_channels == 24


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bridge_scope": "room"}, "bridge_scope='room' is unknown: use one of frame, scene"),
        ({"bridge_write_back": "concat"}, "bridge_write_back='concat' is unknown"),
        ({"adapter_start": "zero"}, "adapter_start='zero' is unknown: use one of random, identity"),
        (
            {"adapter_start": "identity", "adapter_expansion": 1},
            "needs adapter_expansion of at least 2, not 1: raise it",
        ),
        (
            {"adapter_start": "identity", "adapter_channels": 24},
            "as wide as the encoder .768., not adapter_channels=24",
        ),
        ({"position_start": "identity"}, "position_start='identity' is unknown: use one of random, zero"),
        ({"bridge_tokens": -1}, "bridge_tokens=-1 must be 0 or more"),
        ({"camera_iterations": 0}, "camera_iterations=0 must be at least 1"),
        ({"geometry_taps": 9}, "geometry_taps=9 is more than geometry_blocks=8"),
        ({"metric_taps": 13}, "metric_taps=13 is more than the 12 layers"),
        ({"metric_bins": 1}, "metric_bins=1 must be at least 2"),
        ({"metric_min_depth_metres": 30}, "must satisfy 0 < min < max"),
        ({"scale_trim": 0}, "scale_trim=0 must be a finite number above 0"),
        ({"adapter_channels": 0}, "adapter_channels=0 must be at least 1, or None"),
        ({"ground_min_coverage": 2}, "ground_min_coverage=2 must be above 0 and at most 1"),
        ({"ground_geometry_inputs": "pose"}, "ground_geometry_inputs='pose' is unknown: use one of predicted"),
    ],
)
def test_bad_values_name_the_field_and_the_remedy(fields, message):
    with pytest.raises(ValueError, match=message):
        VidLLMConfig(**fields)


def test_heads_have_64_channels_where_that_divides_them():
    assert [heads_of(None, channels) for channels in (1024, 768, 32, 16, 8, 12)] == [16, 12, 4, 2, 1, 1]
    assert heads_of(3, 1024) == 3
