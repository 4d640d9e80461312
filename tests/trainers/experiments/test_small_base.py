import pytest
import torch
from tiny_checkpoints import random_frames, save_checkpoint
from tiny_parts import save_encoder, save_language_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Dinov2Model, Qwen2Config, Qwen2ForCausalLM

from igep.base_vlm import freeze_first_layers, freeze_unread_parameters
from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.experiments.small_base import assemble_base, resample_positions
from igep.trainers.supervision.base_trial import check_base_works


SIZES = {"frame_pixels": 42, "vision_layers": 2, "language_layers": 2, "seed": 3}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    return {
        "vision": str(save_encoder(folder / "vision")),
        "language": str(save_language_model(folder / "language")),
        "frames": random_frames(3),
    }


@pytest.fixture(scope="module")
def assembled(parts):
    return assemble_base(**parts, **SIZES)


def test_positions_are_resampled_and_the_class_tokens_stays():
    stored = torch.cat([torch.full((1, 1, 4), 9.0), torch.full((1, 25, 4), 2.0)], 1)
    resampled = resample_positions(stored, 3)
    assert resampled.shape == (1, 10, 4)
    assert (resampled[:, 0] == 9).all()
    assert torch.allclose(resampled[:, 1:], torch.tensor(2.0))
    ramp = torch.arange(6.0).repeat(6, 1).reshape(1, 36, 1)  # along the columns
    halved = resample_positions(torch.cat([ramp[:, :1], ramp], 1), 3)[0, 1:, 0].reshape(3, 3)
    assert torch.allclose(halved, halved[:1].expand(3, 3), atol=1e-5)
    assert halved[0, 1] == pytest.approx(2.5, abs=1e-4)


@torch.no_grad()
def test_parts_are_the_published_ones(parts, assembled):
    model, processor = assembled
    pixels = torch.randn(2, 3, 42, 42)
    encoder = Dinov2Model.from_pretrained(parts["vision"])
    encoder.embeddings.position_embeddings.data = resample_positions(encoder.embeddings.position_embeddings, 3)
    encoder.embeddings.interpolate_pos_encoding = lambda embeddings, height, width: (
        encoder.embeddings.position_embeddings
    )
    ours = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states
    assert len(ours) == 3
    assert torch.allclose(ours[-1], encoder(pixels, output_hidden_states=True).hidden_states[2], atol=1e-5)
    language = AutoModelForCausalLM.from_pretrained(parts["language"])
    tokens = torch.tensor([processor.tokenizer.encode("how far is it")])
    assert torch.equal(
        model.get_input_embeddings().weight[: language.config.vocab_size], language.get_input_embeddings().weight
    )
    assert model.lm_head.weight is model.get_input_embeddings().weight  # as the language model ties them
    hidden = language(tokens, output_hidden_states=True).hidden_states[2]
    last = model.model.language_model.layers[-1].register_forward_hook(lambda *seen: outputs.append(seen[2]))
    outputs = []
    model.model.language_model(tokens)
    last.remove()
    assert torch.allclose(outputs[0], hidden, atol=1e-5)


def test_a_language_model_may_say_of_what_kind_its_layers_are(parts, tmp_path):
    """As Qwen2 does, the language model of LLaVA-OneVision: of the layers that go, the kinds go too."""
    tokenizer = AutoTokenizer.from_pretrained(parts["language"])
    config = Qwen2Config(
        vocab_size=len(tokenizer) - 2,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model, _ = assemble_base(**parts | {"language": str(tmp_path)}, **SIZES)
    assert model.config.text_config.layer_types == ["full_attention"] * 2
    assert len(model.model.language_model.layers) == 2
    assert model.lm_head.weight is not model.get_input_embeddings().weight


def test_the_seed_draws_all_that_is_new(parts, assembled):
    torch.manual_seed(99)
    again = assemble_base(**parts, **SIZES)[0].state_dict()
    for name, value in assembled[0].state_dict().items():
        assert torch.equal(value, again[name]), name


@torch.no_grad()
def test_visual_tokens_are_as_loud_as_words_and_differ(parts, assembled):
    model, processor = assembled
    pixels = processor.video_processor([parts["frames"]], return_tensors="pt")["pixel_values_videos"]
    hidden = model.model.vision_tower(pixels[0], output_hidden_states=True).hidden_states[-1][:, 1:]
    tokens = model.model.multi_modal_projector(hidden)
    assert tokens.square().mean().sqrt() == pytest.approx(
        model.get_input_embeddings().weight.square().mean().sqrt().item(), rel=1e-4
    )
    assert tokens.flatten(0, 1).std(0).mean() > 0.5 * tokens.square().mean().sqrt()


def test_it_trains_as_any_base(tmp_path, assembled):
    model, processor = assembled
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    igep, ours = IGEPForConditionalGeneration.from_base(tmp_path), IGEPProcessor.from_base(tmp_path)
    check_base_works(igep, ours, "video", "encoder")
    assert igep.vlm.config.vision_config.image_size == 42
    texts = ours.prompt_text(["Which?"], 2)
    assert texts == "<|im_start|>user\n<video>Which?<|im_end|>\n<|im_start|>assistant\n"


def test_first_layers_freeze_with_the_embeddings_and_what_is_unread_too(parts):
    model, _ = assemble_base(**parts, **SIZES)
    freeze_unread_parameters(model)
    freeze_first_layers(model, 0)
    assert model.model.vision_tower.embeddings.cls_token.requires_grad
    assert not model.model.vision_tower.layernorm.weight.requires_grad  # it follows the layer that is read
    freeze_first_layers(model, 1)
    trains = {name for name, value in model.named_parameters() if value.requires_grad}
    vision = {name.split("vision_tower.")[1] for name in trains if "vision_tower" in name}
    assert vision
    assert all(name.startswith("encoder.layer.1.") for name in vision)
    assert {"model.image_newline", "model.multi_modal_projector.linear_1.weight"} < trains
    with pytest.raises(ValueError, match="frozen_vision_layers=3: the vision encoder has 2 layers"):
        freeze_first_layers(model, 3)


def test_what_cannot_be_assembled_is_said(parts, tmp_path):
    with pytest.raises(ValueError, match=r"vision_layers=9: the model has 4; give 1 to as many"):
        assemble_base(**parts, **SIZES | {"vision_layers": 9})
    with pytest.raises(ValueError, match=r"language_layers=0: the model has 3"):
        assemble_base(**parts, **SIZES | {"language_layers": 0})
    with pytest.raises(ValueError, match=r"frame_pixels=40: give a multiple of the encoder's patches of 14"):
        assemble_base(**parts, **SIZES | {"frame_pixels": 40})
    other = str(save_checkpoint("llava_onevision", tmp_path / "llava"))
    with pytest.raises(ValueError, match=r"is a llava_onevision: give an encoder of the class Dinov2Model"):
        assemble_base(**parts | {"vision": other}, **SIZES)
    tokenizer = AutoModelForCausalLM.from_pretrained(parts["language"])
    assert tokenizer.config.num_hidden_layers == 3  # the published one is not cut
