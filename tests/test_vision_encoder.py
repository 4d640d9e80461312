import pytest
import torch
from tiny_vid_llm import tiny_encoder
from transformers import AutoBackbone, CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel

from igep.vision_encoder import (
    checked_frames,
    freeze_unread,
    patch_maps,
    plain_encoder,
    scattered,
    videos_of_images,
    whole_patches,
)


@pytest.mark.parametrize("registers", [0, 4])
def test_only_patches_are_left(registers):
    """Class token and registers stand before the patches; each patch lies where it is in the image."""
    torch.manual_seed(0)
    vision = tiny_encoder(registers)
    pixels = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        last, tapped = patch_maps(vision, pixels, 8, taps=3)
        output = vision(pixels, output_hidden_states=True)
    assert last.shape == (2, 4, 6, 32)
    torch.testing.assert_close(last.flatten(1, 2), output.last_hidden_state[:, 1 + registers :])
    for tap, state in zip(tapped, output.hidden_states[1:], strict=True):
        torch.testing.assert_close(tap.flatten(1, 2), state[:, 1 + registers :])
    changed = pixels.clone()
    changed[:, :, 8:16, 40:48] += 3  # row 1, column 5
    moved = (vision.embeddings(changed) - vision.embeddings(pixels)).abs().sum(-1)[0]
    assert moved.nonzero()[:, 0].tolist() == [1 + registers + 6 * 1 + 5]


def test_other_encoders_of_patches_work_as_long_as_each_patch_has_one_token():
    fields = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    siglip = SiglipVisionModel(SiglipVisionConfig(image_size=32, patch_size=8, vision_use_head=False, **fields))
    clip = CLIPVisionModel(CLIPVisionConfig(image_size=32, patch_size=8, **fields))
    for vision in (siglip, clip):
        assert patch_maps(vision, torch.randn(1, 3, 32, 32), 8, taps=1)[0].shape == (1, 4, 4, 16)
    with pytest.raises(ValueError, match="made 17 tokens of a frame of 2 x 2 patches"):
        patch_maps(clip, torch.randn(1, 3, 32, 32), 16, taps=0)


def test_a_backbone_becomes_the_encoder_with_its_weights():
    torch.manual_seed(0)
    vision = tiny_encoder()
    backbone = AutoBackbone.from_config(vision.config).eval()
    plain = plain_encoder(backbone)
    assert type(plain) is type(vision)
    assert not plain.training
    for name, value in backbone.state_dict().items():
        assert torch.equal(plain.state_dict()[name], value)
    assert plain_encoder(vision) is vision


def test_what_was_trained_with_a_llava_reads_patches_before_the_last_norm():
    vision = tiny_encoder()
    pixels = torch.randn(1, 3, 32, 48)
    read, (tapped,) = patch_maps(vision, pixels, 8, taps=1, final_norm=False)
    assert torch.equal(read, tapped)
    torch.testing.assert_close(vision.layernorm(read), patch_maps(vision, pixels, 8, taps=0)[0])


@pytest.mark.parametrize("final_norm", [True, False])
def test_what_patches_do_not_depend_on_is_frozen(final_norm):
    vision = tiny_encoder().train()
    freeze_unread(vision, final_norm)
    patch_maps(vision, torch.randn(1, 3, 32, 48), 8, 0, final_norm)[0].square().sum().backward()
    for name, parameter in vision.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name


def test_frames_are_squeezed_to_whole_patches():
    pixels = torch.rand(1, 3, 33, 55)
    assert whole_patches(pixels, 8).shape == (1, 3, 32, 48)
    assert whole_patches(pixels[..., :32, :48], 8).data_ptr() == pixels.data_ptr()
    ramp = torch.linspace(0, 1, 55).expand(1, 3, 33, 55)
    torch.testing.assert_close(whole_patches(ramp, 8)[0, 0, 0, [0, -1]], torch.tensor([0.0, 1.0]), rtol=0, atol=0.02)
    with pytest.raises(ValueError, match="7 x 48 pixels are smaller than a patch"):
        whole_patches(torch.rand(1, 3, 7, 48), 8)


def test_frames_that_cannot_be_are_refused():
    pixels = torch.rand(2, 3, 3, 8, 8)
    assert checked_frames(pixels, None).all()
    for wrong, message in (
        (pixels[0], "give \\(B, F, 3, H, W\\)"),
        (pixels[:, :0], "at least one"),
        (pixels.masked_fill(pixels > 0.99, torch.nan), "not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            checked_frames(wrong, None)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    padded = pixels.masked_fill(~mask[..., None, None, None], torch.nan)
    assert torch.equal(checked_frames(padded, mask), mask)  # padding may hold anything
    with pytest.raises(ValueError, match="a first frame is padding"):
        checked_frames(pixels, ~mask)
    with pytest.raises(ValueError, match="give bool of \\(2, 3\\)"):
        checked_frames(pixels, mask.float())


def test_images_become_the_videos_they_belong_to():
    images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 2, 2)
    videos, mask = videos_of_images(images, torch.tensor([3, 2]))
    assert mask.tolist() == [[True, True, True], [True, True, False]]
    assert videos[:, :, 0, 0, 0].tolist() == [[0, 1, 2], [3, 4, 0]]
    assert torch.equal(scattered(images, mask), videos)
