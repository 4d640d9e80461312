"""Alternating attention: the first frame is told apart, the others' order does not matter, padding is not there."""

import torch

from igep.geometry_branch import GeometryBranch, grid_encoding


def branch(taps=2):
    torch.manual_seed(0)
    return GeometryBranch(16, blocks=4, heads=2, register_tokens=2, expansion=4, layer_scale=1.0, taps=taps)


def test_shapes_and_which_pairs_are_tapped():
    module = branch()
    assert module.tapped == [1, 3]
    assert branch(taps=4).tapped == [0, 1, 2, 3]
    camera, maps = module(torch.randn(2, 3, 2, 5, 16), torch.ones(2, 3, dtype=torch.bool))
    assert camera.shape == (2, 3, 32)
    assert [value.shape for value in maps] == [(6, 32, 2, 5)] * 2


def test_permuting_the_other_frames_permutes_the_outputs_and_another_first_frame_changes_them():
    module = branch()
    tokens, mask = torch.randn(1, 4, 2, 3, 16), torch.ones(1, 4, dtype=torch.bool)
    camera, maps = module(tokens, mask)
    for order, same in (([0, 3, 1, 2], True), ([1, 0, 2, 3], False)):
        moved_camera, moved_maps = module(tokens[:, order], mask)
        assert torch.allclose(moved_camera, camera[:, order], atol=1e-5) == same
        assert torch.allclose(moved_maps[-1], maps[-1][order], atol=1e-5) == same


def test_padding_frames_change_nothing():
    module = branch()
    tokens = torch.randn(1, 2, 2, 3, 16)
    camera, maps = module(tokens, torch.ones(1, 2, dtype=torch.bool))
    padded = torch.cat([tokens, torch.randn(1, 1, 2, 3, 16)], 1)
    beside_camera, beside_maps = module(padded, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(beside_camera[:, :2], camera)
    torch.testing.assert_close(beside_maps[-1][:2], maps[-1])


def test_checkpointing_gives_the_same_gradients():
    module = branch().train()
    tokens, mask = torch.randn(1, 2, 2, 3, 16), torch.ones(1, 2, dtype=torch.bool)
    module(tokens, mask)[0].sum().backward()
    expected = {name: parameter.grad.clone() for name, parameter in module.named_parameters()}
    module.zero_grad()
    module.gradient_checkpointing = True
    module._gradient_checkpointing_func = lambda run, *inputs: torch.utils.checkpoint.checkpoint(
        run, *inputs, use_reentrant=False
    )
    module(tokens, mask)[0].sum().backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name])


def test_places_of_a_grid_are_those_of_the_image():
    places = grid_encoding(2, 4, 18)
    assert places.shape == (2, 4, 18)
    assert places.abs().max() <= 0.1
    assert not places[..., 16:].any()
    # Sines are odd around the middle of the image: opposite corners differ in sign alone.
    torch.testing.assert_close(places[0, 0, :4], -places[1, 3, :4])
    torch.testing.assert_close(places[0, 0, 8:12], -places[1, 3, 8:12])
