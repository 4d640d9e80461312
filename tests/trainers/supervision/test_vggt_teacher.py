"""VGGT's patch encoder as a teacher, by a stand-in of the package, which is on no index."""

import sys
import types

import pytest
import torch
from teacher_geometry import make_geometry

from igep.trainers.supervision.build_teacher import build_teacher
from igep.trainers.supervision.vggt_teacher import VGGTTeacher


class PatchEncoder(torch.nn.Module):
    """The mean colour of each patch of 14 pixels, as VGGT's encoder returns its tokens."""

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"x_norm_patchtokens": torch.nn.functional.avg_pool2d(pixels, 14).flatten(2).transpose(1, 2)}


class VGGT(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.aggregator = torch.nn.Module()
        self.aggregator.patch_embed = PatchEncoder()

    @classmethod
    def from_pretrained(cls, name: str) -> "VGGT":
        assert name == "facebook/VGGT-1B"
        return cls()


@pytest.fixture
def installed(monkeypatch):
    module = types.ModuleType("vggt.models.vggt")
    module.VGGT = VGGT
    for name, part in (
        ("vggt", types.ModuleType("vggt")),
        ("vggt.models", types.ModuleType("vggt.models")),
        (module.__name__, module),
    ):
        monkeypatch.setitem(sys.modules, name, part)


def test_patches_are_described_on_their_grid(installed):
    teacher = build_teacher("vggt")
    assert teacher.frame_size == (392, 518)
    teacher = VGGTTeacher(frame_size=(28, 42), frames_per_forward=2)
    frames = torch.randint(0, 256, (2, 2, 3, 28, 42), dtype=torch.uint8)
    mask = torch.tensor([[True, True], [True, False]])
    found = teacher(frames, make_geometry(torch.ones(2, 2, 16, 16), mask))
    assert found.shape == (2, 2, 2, 3, 3)
    assert teacher.channels == 3
    colour = frames[0, 1, :, 14:, 28:].float().mean((1, 2)) / 255
    expected = (colour - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(found[0, 1, 1, 2], expected)
    assert (found[1, 1] == 0).all()
    with pytest.raises(ValueError, match="looks at frames"):
        teacher(frames[..., :28], make_geometry(torch.ones(2, 2, 16, 16), mask))
    with pytest.raises(ValueError, match="multiples of 14"):
        VGGTTeacher(frame_size=(30, 42))


def test_where_vggt_is_missing_the_remedy_is_named():
    with pytest.raises(ImportError, match="pip install git"):
        build_teacher("vggt")
