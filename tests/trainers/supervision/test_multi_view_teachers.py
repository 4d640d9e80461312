"""The adapters of the multi-view models, against stand-ins with the packages' own signatures and shapes."""

import sys
import types

import pytest
import torch
from teacher_geometry import make_geometry

from igep.trainers.supervision.build_teacher import build_teacher, named_teacher


SIZE = (28, 42)  # 2 x 3 patches
PATCHES = (2, 3)
LAYERS = 4


def patch_means(images):
    """(N, 3, H, W) -> (N, h * w, 3)."""
    return torch.nn.functional.avg_pool2d(images, 14).flatten(2).transpose(1, 2)


class PatchEncoder(torch.nn.Module):
    """`patch_embed(images[N, 3, H, W])` -> tokens by name."""

    def forward(self, images):
        return {"x_norm_patchtokens": patch_means(images), "x_norm_clstoken": images.mean((2, 3))}


class Aggregator(torch.nn.Module):
    """`aggregator(images[B, S, 3, H, W] in [0, 1])` -> a list of (B, S, 1 + 4 + h * w, 2 C), and 5."""

    def __init__(self):
        super().__init__()
        self.patch_embed = PatchEncoder()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, images):
        self.seen.append(images)
        batch, frames = images.shape[:2]
        tokens = patch_means(images.flatten(0, 1)).unflatten(0, (batch, frames))
        both = torch.cat([tokens, tokens[:, :1].expand_as(tokens)], -1)  # a frame, and the reference
        special = torch.full((batch, frames, 5, 6), 9.0)
        return [torch.cat([special, both * self.scale + layer], 2) for layer in range(LAYERS)], 5


class VGGT(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.aggregator = Aggregator()
        self.camera_head = torch.nn.Linear(1, 1)

    @classmethod
    def from_pretrained(cls, name):
        cls.loaded = name
        return cls()


class DepthAnything3Network(torch.nn.Module):
    """`model.model(x[B, N, 3, H, W], export_feat_layers=, ref_view_strategy=)` -> `aux["feat_layer_i"]`
    (B, N, h, w, C).
    """

    def forward(self, x, extrinsics=None, intrinsics=None, export_feat_layers=(), ref_view_strategy="saddle_balanced"):
        # Its features stay in the order that the chosen reference view has brought about.
        order = list(range(x.shape[1])) if ref_view_strategy == "first" else list(range(x.shape[1]))[::-1]
        tokens = patch_means(x[:, order].flatten(0, 1))
        height, width = x.shape[-2] // 14, x.shape[-1] // 14
        maps = tokens.reshape(x.shape[0], x.shape[1], height, width, 3)
        return {"depth": x[:, :, 0], "aux": {f"feat_layer_{i}": maps + i for i in export_feat_layers if i < 12}}


class DepthAnything3(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = DepthAnything3Network()

    @classmethod
    def from_pretrained(cls, name):
        cls.loaded = name
        return cls()

    @torch.inference_mode()
    def forward(self, *args, **kwargs):
        raise AssertionError("inference tensors cannot enter a loss")


class Encoder(torch.nn.Module):
    data_norm_type = "dinov2"


class InfoSharing(torch.nn.Module):
    """Lists of one (B, C, h, w) per view: the final layer, and two before it."""

    def forward(self, features):
        def layer(number):
            return types.SimpleNamespace(features=[view + number for view in features])

        return layer(2), [layer(0), layer(1)]


class MapAnything(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.info_sharing = Encoder(), InfoSharing()

    @classmethod
    def from_pretrained(cls, name):
        cls.loaded = name
        return cls()

    def forward(self, views):
        torch.rand(5)  # masks of the inputs that are not given
        assert all(view["data_norm_type"] == ["dinov2"] for view in views)
        features = [torch.nn.functional.avg_pool2d(view["img"], 14) for view in views]
        self.info_sharing(features)
        return [{} for _ in views]


STAND_INS = {
    "vggt": ("vggt.models.vggt", "VGGT", VGGT),
    "depth_anything_3": ("depth_anything_3.api", "DepthAnything3", DepthAnything3),
    "map_anything": ("mapanything.models", "MapAnything", MapAnything),
}


@pytest.fixture
def installed(monkeypatch):
    for module, name, stand_in in STAND_INS.values():
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
        setattr(sys.modules[module], name, stand_in)


@pytest.fixture
def frames():
    return torch.randint(0, 256, (2, 3, 3, *SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def normalised(frames):
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    return (frames.float() / 255 - mean) / std


def grid(frames):
    return patch_means(frames).reshape(len(frames), *PATCHES, 3)


MASK = torch.tensor([[True, True, True], [True, True, False]])


def describe(teacher, frames):
    descriptors = teacher(frames, make_geometry(torch.ones(2, 3, 8, 8), MASK))
    assert descriptors.shape == (2, 3, *PATCHES, teacher.channels)
    assert descriptors.dtype == torch.float32
    assert not descriptors.requires_grad
    assert not descriptors.is_inference()
    assert (descriptors[1, 2] == 0).all()  # padding
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())
    return descriptors


def test_vggt_gives_its_layers_without_special_tokens(installed, frames):
    teacher = build_teacher("vggt", frame_size=SIZE)
    assert VGGT.loaded == "facebook/VGGT-1B"
    assert teacher.channels == 6
    own = grid(frames[0].float() / 255)
    expected = torch.cat([own, own[:1].expand_as(own)], -1)
    torch.testing.assert_close(describe(teacher, frames)[0], expected + LAYERS - 1)
    assert teacher.model.seen[-1].shape[:2] == (1, 2)  # frames of one sample together, padding left out
    last_but_one = build_teacher("vggt", name_or_path="mine", layer=-2, frame_size=SIZE)
    assert VGGT.loaded == "mine"
    torch.testing.assert_close(describe(last_but_one, frames)[0], expected + LAYERS - 2)
    with pytest.raises(ValueError, match=r"layer=7 of teacher 'vggt': it has 4 layers to read, -4 to 3"):
        build_teacher("vggt", layer=7, frame_size=SIZE)


def test_vggt_s_patch_encoder_alone(installed, frames):
    from igep.trainers.supervision.vggt_teacher import VGGTTeacher

    teacher = build_teacher("vggt_patch_encoder", frame_size=SIZE)
    assert VGGT.loaded == "facebook/VGGT-1B"
    torch.testing.assert_close(describe(teacher, frames)[0], grid(normalised(frames[0])))
    with pytest.raises(ValueError, match="part='head' of teacher 'vggt' is unknown"):
        VGGTTeacher(part="head")
    with pytest.raises(ValueError, match="its patch encoder gives its last layer alone"):
        VGGTTeacher(part="patch_encoder", layer=3)


def test_depth_anything_3_gives_frames_in_their_order(installed, frames):
    teacher = build_teacher("depth_anything_3", frame_size=SIZE)
    assert DepthAnything3.loaded == "depth-anything/DA3-BASE"
    torch.testing.assert_close(describe(teacher, frames)[0], grid(normalised(frames[0])) + 11)
    torch.testing.assert_close(
        describe(build_teacher("depth_anything_3", layer=5, frame_size=SIZE), frames)[0],
        grid(normalised(frames[0])) + 5,
    )
    with pytest.raises(ValueError, match="layer=40 of teacher 'depth_anything_3': the model gave features of"):
        build_teacher("depth_anything_3", layer=40, frame_size=SIZE)


def test_map_anything_is_read_before_its_heads_and_draws_no_number_of_ours(installed, frames, monkeypatch):
    teacher = build_teacher("map_anything", frame_size=SIZE)
    assert MapAnything.loaded == "facebook/map-anything-apache"
    before = torch.get_rng_state()
    torch.testing.assert_close(describe(teacher, frames)[0], grid(normalised(frames[0])) + 2)
    assert torch.equal(torch.get_rng_state(), before)
    first = build_teacher("map_anything", layer=0, frame_size=SIZE)
    torch.testing.assert_close(describe(first, frames)[0], grid(normalised(frames[0])))
    monkeypatch.setattr(Encoder, "data_norm_type", "croco")
    with pytest.raises(ValueError, match="normalises colours as 'croco'"):
        build_teacher("map_anything", frame_size=SIZE)


@pytest.mark.parametrize(
    ("kind", "remedy", "licence"),
    [
        ("vggt", "pip install git", "CC BY-NC 4.0"),
        ("depth_anything_3", "--no-deps depth-anything-3", "Apache-2.0"),
        ("map_anything", "pip install git", "Apache-2.0"),
    ],
)
def test_what_is_not_installed_says_how_and_under_which_licence(kind, remedy, licence, monkeypatch):
    monkeypatch.setitem(sys.modules, STAND_INS[kind][0].split(".")[0], None)
    with pytest.raises(ModuleNotFoundError, match=f"teacher='{kind}' needs the package") as raised:
        build_teacher(kind)
    assert remedy in str(raised.value)
    assert licence in str(raised.value)
    assert "igep describe" in str(raised.value)


def test_frames_of_another_size_and_models_that_are_not_as_expected(installed, frames, monkeypatch):
    with pytest.raises(
        ValueError, match=r"frame_size=\(30, 42\) of teacher 'vggt' is no whole number of patches of 14"
    ):
        build_teacher("vggt", frame_size=(30, 42))
    teacher = build_teacher("vggt", frame_size=SIZE)
    with pytest.raises(ValueError, match=r"looks at frames of \(28, 42\), got None"):
        teacher(None, make_geometry(torch.ones(2, 3, 8, 8), MASK))
    monkeypatch.setattr(
        DepthAnything3Network, "forward", lambda *_, **__: {"aux": {"feat_layer_11": torch.ones(1, 2, 3)}}
    )
    with pytest.raises(ValueError, match="its package differs from the one that this adapter was written for"):
        build_teacher("depth_anything_3", frame_size=SIZE)


def test_a_card_names_the_model_behind_the_default():
    assert named_teacher("vggt", None) == {"kind": "vggt", "name": "facebook/VGGT-1B"}
    assert named_teacher("vggt_patch_encoder", None)["name"] == "facebook/VGGT-1B"
    assert named_teacher("vggt", "mine") == {"kind": "vggt", "name": "mine"}
    assert named_teacher("geometry_oracle", None) == {"kind": "geometry_oracle", "name": None}
