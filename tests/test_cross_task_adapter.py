"""Eq. 2 of Vid-LLM, and what the bridge lets through."""

import pytest
import torch

from igep.cross_task_adapter import CrossTaskAdapter


def adapter(scope="frame", write_back="attention", tokens=3, start="random", channels=16):
    torch.manual_seed(0)
    return CrossTaskAdapter(8, channels, 4, tokens, 2, scope, write_back, start)


def encoded(batch=2, frames=3):
    return torch.randn(batch, frames, 2, 3, 8), torch.ones(batch, frames, dtype=torch.bool)


def test_the_projections_are_two_layers_of_expansion_four():
    module = adapter()
    assert [module.geometry_projection[layer].weight.shape for layer in (0, 2)] == [(32, 8), (16, 32)]
    assert isinstance(module.language_projection[1], torch.nn.GELU)


def test_bridge_tokens_read_the_sum_of_two_attentions_and_are_read_by_both_streams():
    bridge = adapter().bridge
    geometry, language = torch.randn(4, 6, 16), torch.randn(4, 6, 16)
    tokens = bridge.tokens.weight.expand(4, -1, -1)
    read = bridge.read_geometry(tokens, geometry) + bridge.read_language(tokens, language)
    torch.testing.assert_close(bridge.read(geometry, language, None), read)

    bridged = bridge(geometry, language)
    seen = bridge.bridge_norm(bridge.read(bridge.geometry_norm(geometry), bridge.language_norm(language), None))
    torch.testing.assert_close(bridged[0], geometry + bridge.write_geometry(bridge.geometry_norm(geometry), seen))
    torch.testing.assert_close(bridged[1], language + bridge.write_language(bridge.language_norm(language), seen))


@pytest.mark.parametrize(("scope", "others_change"), [("frame", False), ("scene", True)])
def test_the_scope_says_whether_frames_meet_in_the_bridge(scope, others_change):
    module = adapter(scope)
    tokens, mask = encoded()
    changed = tokens.clone()
    changed[:, 1] += 1
    before, after = module(tokens, mask), module(changed, mask)
    for first, second in zip(before, after, strict=True):
        assert not torch.allclose(first[:, 1], second[:, 1])
        assert torch.allclose(first[:, 2], second[:, 2], atol=1e-6) != others_change


@pytest.mark.parametrize("scope", ["frame", "scene"])
def test_padding_frames_change_nothing(scope):
    module = adapter(scope)
    tokens, mask = encoded(batch=1)
    padded = torch.cat([tokens, torch.randn(1, 2, 2, 3, 8)], 1)
    longer = torch.tensor([[True] * 3 + [False] * 2])
    for alone, beside in zip(module(tokens, mask), module(padded, longer), strict=True):
        torch.testing.assert_close(alone, beside[:, :3])


def test_without_a_bridge_the_streams_do_not_know_of_each_other():
    module = adapter(tokens=0)
    tokens, mask = encoded()
    geometry, language = module(tokens, mask)
    torch.testing.assert_close(geometry, module.geometry_projection(tokens))
    torch.testing.assert_close(language, module.language_projection(tokens))


def test_a_gated_bridge_is_closed_at_first_and_can_open():
    module = adapter(write_back="gated_attention")
    tokens, mask = encoded()
    geometry, language = module(tokens, mask)
    torch.testing.assert_close(geometry, module.geometry_projection(tokens))
    language.square().sum().backward()
    assert module.bridge.language_gate.scale.grad.abs().min() > 0


def test_projections_can_begin_as_the_identity_and_all_of_their_weights_learn():
    module = adapter(write_back="gated_attention", start="identity", channels=8)
    tokens, mask = encoded()
    geometry, language = module(3 * tokens, mask)
    torch.testing.assert_close(geometry, 3 * tokens)
    torch.testing.assert_close(language, 3 * tokens)
    language.square().sum().backward()
    assert module.language_projection[2].weight.grad.abs().min() > 0
    assert not torch.equal(module.geometry_projection[0].weight[16:], module.language_projection[0].weight[16:])
