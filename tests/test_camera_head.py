import math

import pytest
import torch

from igep.camera_head import CameraHead


def head(iterations=3):
    torch.manual_seed(0)
    return CameraHead(32, 16, layers=1, heads=2, iterations=iterations)


def test_the_first_camera_is_the_world_and_all_are_cameras():
    encodings = head()(100 * torch.randn(2, 4, 32), torch.ones(2, 4, dtype=torch.bool))
    assert encodings.shape == (3, 2, 4, 9)
    assert torch.equal(encodings[:, :, 0, :7], torch.tensor([0.0, 0, 0, 0, 0, 0, 1]).expand(3, 2, 7))
    torch.testing.assert_close(encodings[..., 3:7].norm(dim=-1), torch.ones(3, 2, 4))
    assert ((encodings[..., 7:] > 0) & (encodings[..., 7:] < math.pi)).all()


def test_padding_frames_change_nothing_and_one_frame_alone_works():
    module = head()
    tokens = torch.randn(1, 3, 32)
    alone = module(tokens[:, :1], torch.ones(1, 1, dtype=torch.bool))
    beside = module(tokens, torch.tensor([[True, False, False]]))
    torch.testing.assert_close(beside[:, :, :1], alone)


@pytest.mark.parametrize("step", [0, 2])
def test_every_step_is_trained_by_itself(step):
    """The pose before is detached: the gradient of a step does not run through the steps before it."""
    module = head()
    tokens = torch.randn(1, 2, 32, requires_grad=True)
    steps = module(tokens, torch.ones(1, 2, dtype=torch.bool))
    (own,) = torch.autograd.grad(steps[step].sum(), tokens)
    state = {}
    module.pose_embedding.register_forward_hook(
        lambda _, inputs, __: state.setdefault("detached", []).append(inputs[0])
    )
    module(tokens, torch.ones(1, 2, dtype=torch.bool))
    assert not any(pose.requires_grad for pose in state["detached"])
    assert own.abs().sum() > 0
