"""Vid-LLM as a whole: what it computes, what passes gradients, what it makes of frames that cannot be."""

import copy

import pytest
import torch
from tiny_checkpoints import build_tokenizer, random_frames
from tiny_vid_llm import FIELDS, GRID, POOLED_GRID, build_vid_llm, tiny_encoder, tiny_language_model
from transformers import AutoBackbone, AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.pose_encoding import decode_cameras
from igep.question_packing import answer_questions
from igep.spatial_patches import back_project


QUESTIONS = ("How far is the chair?", "Is it red?", "Which box is closer to the door?")
GREEDY = {"max_new_tokens": 6, "do_sample": False}
TOKENS_PER_FRAME = POOLED_GRID[0] * POOLED_GRID[1]
UNTOUCHED_BY_LANGUAGE = (  # writes into the geometry stream alone
    "adapter.bridge.write_geometry",
)


@pytest.fixture(scope="module")
def built():
    return build_vid_llm()


@pytest.fixture(scope="module")
def model(built):
    return built[0]


@pytest.fixture(scope="module")
def processor(built):
    return built[1]


def frames_of(count, seed=0):
    return torch.randn(1, count, 3, 32, 48, generator=torch.Generator().manual_seed(seed))


def new_tokens(model, inputs, **options):
    return model.generate(**inputs, **(GREEDY | options))[0, inputs["input_ids"].shape[1] :].tolist()


def without_pixels(inputs):
    return {name: value for name, value in inputs.items() if "pixel" not in name}


def supervised(processor, count=3):
    """A question about some frames, of which the last tokens are supervised."""
    inputs = processor.question_inputs(random_frames(count), QUESTIONS[0])
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[:, -5:] = inputs["input_ids"][:, -5:]
    return dict(inputs) | {"labels": labels}


# What it computes


def test_a_reconstruction_is_consistent_with_itself(model):
    found = model.reconstruct(frames_of(3))
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert found.depth_metres.shape == (1, 3, 32, 48)
    assert torch.equal(found.world_from_camera[:, 0], torch.eye(4)[None])
    torch.testing.assert_close(found.depth_metres, found.relative_depth * found.scale[:, None, None, None])
    poses, intrinsics = decode_cameras(found.camera_encodings[-1], (32, 48))
    torch.testing.assert_close(found.intrinsics, intrinsics)
    torch.testing.assert_close(found.world_from_camera[..., :3, :3], poses[..., :3, :3])
    torch.testing.assert_close(found.world_from_camera[..., :3, 3], poses[..., :3, 3] * found.scale[:, None, None])
    points = back_project(found.depth_metres, found.intrinsics, found.world_from_camera)
    torch.testing.assert_close(found.points_world, points)
    assert (found.depth_confidence > 1).all()
    assert (found.depth_metres > 0).all()
    asked = model(pixel_values_videos=frames_of(3), output_reconstruction=True)
    torch.testing.assert_close(asked.reconstruction.depth_metres, found.depth_metres)
    assert asked.logits is None


def test_streams_are_what_the_first_stage_distils(model):
    geometry, language = model.encode_streams(frames_of(2))
    assert geometry.shape == language.shape == (1, 2, *GRID, 32)
    output = model(pixel_values_videos=frames_of(2), output_streams=True)
    torch.testing.assert_close(output.geometry_tokens, geometry)
    torch.testing.assert_close(output.language_tokens, language)
    with pytest.raises(ValueError, match="nothing to do"):
        model(output_streams=True)


def test_permuting_frames_other_than_the_first_permutes_what_is_reconstructed(model):
    pixels, order = frames_of(4), [0, 3, 1, 2]
    found, moved = model.reconstruct(pixels), model.reconstruct(pixels[:, order])
    torch.testing.assert_close(moved.scale, found.scale)
    for name in ("depth_metres", "metric_depth_metres", "world_from_camera", "points_world", "intrinsics"):
        torch.testing.assert_close(moved[name], found[name][:, order], rtol=1e-3, atol=1e-4)


def test_padding_frames_change_nothing(model, processor):
    long, short = frames_of(3), frames_of(2, seed=1)
    pixels = torch.cat([long, torch.cat([short, torch.full_like(short[:, :1], torch.nan)], 1)])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    together, alone = model.reconstruct(pixels, mask), model.reconstruct(short)
    for name in ("depth_metres", "metric_depth_metres", "world_from_camera", "points_world", "depth_confidence"):
        torch.testing.assert_close(together[name][1:, :2], alone[name], rtol=1e-4, atol=1e-4)
    assert not together.depth_metres[1, 2].any()
    assert not together.points_world[1, 2].any()
    texts = [processor.question_inputs(random_frames(count), QUESTIONS[0])["input_ids"][0] for count in (3, 2)]
    ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=256)
    logits = model(ids, (ids != 256).long(), pixels, mask).logits
    for row, (text, own) in enumerate(zip(texts, (long, short), strict=True)):
        torch.testing.assert_close(
            logits[row, : len(text)], model(text[None], pixel_values_videos=own).logits[0], rtol=1e-3, atol=1e-3
        )


def test_visual_tokens_stand_where_the_text_has_their_places(model, processor):
    inputs = processor.question_inputs(random_frames(3), QUESTIONS[0])
    places = inputs["input_ids"][0] == processor.tokenizer.video_token_id
    assert int(places.sum()) == 3 * TOKENS_PER_FRAME
    encoded = model.encode_vision(**inputs)["video"]
    embedded = model.model.embed(inputs["input_ids"], encoded)[0]
    torch.testing.assert_close(embedded[places], encoded.tokens[0].flatten(0, 2))
    torch.testing.assert_close(embedded[~places], model.get_input_embeddings()(inputs["input_ids"][0, ~places]))
    with pytest.raises(ValueError, match="18 places for visual tokens, the frames make 12"):
        model(inputs["input_ids"], pixel_values_videos=inputs["pixel_values_videos"][:, :2])


def test_generating_looks_at_the_frames_once_and_gives_the_likeliest_tokens(model, processor, monkeypatch):
    inputs = processor.question_inputs(random_frames(3), QUESTIONS[0])
    looks = []
    encode = model.model.vision.forward
    monkeypatch.setattr(model.model.vision, "forward", lambda **given: looks.append(1) or encode(**given))
    answer = new_tokens(model, inputs)
    assert len(looks) == 1
    ids = inputs["input_ids"]
    for _ in answer:
        logits = model(ids, pixel_values_videos=inputs["pixel_values_videos"], logits_to_keep=1).logits
        assert logits.shape[1] == 1
        ids = torch.cat([ids, logits[:, -1].argmax(-1, keepdim=True)], 1)
    assert answer == ids[0, inputs["input_ids"].shape[1] :].tolist()
    other = processor.question_inputs(random_frames(3, seed=1), QUESTIONS[0])
    assert new_tokens(model, other) != answer, "the tiny model does not look at its frames: the test proves nothing"

    generated = model.generate(**inputs, **GREEDY, output_reconstruction=True)
    assert generated.sequences[0, inputs["input_ids"].shape[1] :].tolist() == answer
    torch.testing.assert_close(
        generated.reconstruction.depth_metres, model.reconstruct(inputs["pixel_values_videos"]).depth_metres
    )
    encoded = model.encode_vision(**inputs)
    assert new_tokens(model, without_pixels(inputs), mm_encoder_outputs=encoded) == answer
    text = processor.question_inputs(random_frames(1), QUESTIONS[0])
    text = {name: value[:, -20:] for name, value in without_pixels(text).items()}
    assert len(new_tokens(model, text)) > 0  # without frames it is its language model


def test_a_cache_given_by_hand_is_the_language_models(model, processor):
    inputs = processor.question_inputs(random_frames(2), QUESTIONS[0])
    first = model(**inputs, use_cache=True)
    token = first.logits[:, -1:].argmax(-1)
    again = model(token, cache=first.cache, use_cache=True)
    ids = torch.cat([inputs["input_ids"], token], 1)
    whole = model(ids, pixel_values_videos=inputs["pixel_values_videos"])
    torch.testing.assert_close(again.logits[:, -1], whole.logits[:, -1], rtol=1e-3, atol=1e-3)


def test_images_are_the_frames_of_a_video(processor):
    model, square = build_vid_llm(frame_size=(32, 32))
    frames = random_frames(3)
    as_video = square.question_inputs(frames, QUESTIONS[0])
    as_images = square.question_inputs(frames, QUESTIONS[0], frames_as="images")
    first, second = (next(iter(model.encode_vision(**inputs).values())) for inputs in (as_video, as_images))
    torch.testing.assert_close(first.tokens, second.tokens, rtol=1e-2, atol=1e-2)  # two ways to resize
    with pytest.raises(ValueError, match="places for visual tokens of images, 2 images make 4 each"):
        model(as_images["input_ids"], pixel_values=as_images["pixel_values"][:2])


def test_questions_that_share_a_prefix_get_the_answers_of_single_ones(model, processor):
    frames = random_frames(3)
    prefix, questions = processor.packed_question_inputs(frames, list(QUESTIONS))
    together = answer_questions(model, dict(prefix), questions, max_new_tokens=6, eos_token_ids=[258])
    assert together == [new_tokens(model, processor.question_inputs(frames, question)) for question in QUESTIONS]


def test_autocast_leaves_geometry_in_full_precision(model):
    found = model.reconstruct(frames_of(2))
    with torch.autocast("cpu", torch.bfloat16):
        cast = model.reconstruct(frames_of(2))
    assert {value.dtype for value in cast.values()} == {torch.float32}
    torch.testing.assert_close(
        cast.points_world, back_project(cast.depth_metres, cast.intrinsics, cast.world_from_camera)
    )
    torch.testing.assert_close(cast.depth_metres, found.depth_metres, rtol=0.1, atol=0.1)


# What passes gradients


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {
        name: 0.0 if parameter.grad is None else parameter.grad.abs().max().item()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def test_language_trains_nothing_of_the_reconstruction_and_all_of_what_it_reads(processor):
    model, _ = build_vid_llm()
    with torch.no_grad():  # gates and factors that begin small hide nothing
        for name, parameter in model.named_parameters():
            if name.endswith("scale"):
                parameter.fill_(0.5)
    found = gradients(model, model(**supervised(processor)).loss)
    parts = {name: model.part_of_parameter(name) for name in found}
    assert set(parts.values()) == {
        "vision",
        "adapter",
        "reconstruction",
        "metric_depth",
        "language_projection",
        "language",
    }
    for name, gradient in found.items():
        geometric = parts[name] in ("reconstruction", "metric_depth")
        zero = geometric or any(part in name for part in UNTOUCHED_BY_LANGUAGE) or name.endswith(".query.bias")
        if geometric:
            assert gradient == 0, name
        elif not zero and not name.endswith(("key_norm.bias", "k_proj.bias", "attention.key.bias")):
            assert gradient > 0, name


def test_reconstruction_trains_its_branch_the_adapter_and_the_encoder_and_no_language_model(processor):
    model, _ = build_vid_llm()
    output = model(**supervised(processor), output_reconstruction=True)
    found = output.reconstruction
    loss = found.camera_encodings[:, :, 1:].square().sum() + found.camera_encodings[..., 7:].sum()
    loss = loss + found.relative_depth.log().square().mean() + found.depth_confidence.mean()
    loss = loss + (found.metric_depth_metres.log() - 1).square().mean() + found.points_world.square().mean()
    for name, gradient in gradients(model, loss).items():
        part = model.part_of_parameter(name)
        if part in ("language", "language_projection") or "write_language" in name:
            assert gradient == 0, name
        elif part in ("reconstruction", "metric_depth", "adapter") and not name.endswith(
            ("query.bias", "key_norm.bias")
        ):
            assert gradient > 0, name


def test_the_loss_is_that_of_the_supervised_tokens(model, processor):
    inputs = supervised(processor)
    output = model(**inputs)
    whole = model(**{name: value for name, value in inputs.items() if name != "labels"}).logits[0, -6:-1]
    torch.testing.assert_close(output.logits, whole)
    torch.testing.assert_close(output.loss, torch.nn.functional.cross_entropy(whole, inputs["labels"][0, -5:]))
    torch.testing.assert_close(model(**inputs, num_items_in_batch=10).loss, output.loss / 2)
    inputs["labels"][:] = -100
    nothing = model(**inputs).loss
    assert nothing.item() == 0
    assert nothing.requires_grad


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated")
def test_gradient_checkpointing_changes_no_loss(processor):
    model, _ = build_vid_llm()
    inputs = supervised(processor)
    expected = model(**inputs).loss.item()
    model.train().gradient_checkpointing_enable()
    assert model.model.reconstruction.geometry_branch.gradient_checkpointing
    loss = model(**inputs).loss
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_without_bridge_and_metric_depth_it_is_the_ablations_base(processor):
    model, _ = build_vid_llm(bridge_tokens=0, metric_depth=False)
    assert not [name for name, _ in model.named_parameters() if "bridge" in name or "metric" in name]
    found = model.reconstruct(frames_of(2))
    assert found.metric_depth_metres is None
    assert found.scale.tolist() == [1]
    assert model(**supervised(processor)).loss.isfinite()


# What it makes of frames that cannot be


@pytest.mark.parametrize(
    "pixels",
    [
        frames_of(1),
        frames_of(1).expand(1, 4, -1, -1, -1),
        torch.zeros(1, 3, 3, 32, 48),
        frames_of(20),
        torch.randn(1, 2, 3, 37, 61, generator=torch.Generator().manual_seed(0)),
        1e4 * frames_of(2),
    ],
    ids=[
        "one frame",
        "identical",
        "textureless",
        "more than the scale looks at",
        "no multiple of the patch",
        "glaring",
    ],
)
def test_odd_frames_are_reconstructed(model, pixels):
    found = model.reconstruct(pixels)
    for name, value in found.items():
        assert value.isfinite().all(), name
    assert found.depth_metres.shape == (*pixels.shape[:2], *pixels.shape[-2:])


def test_frames_that_cannot_be_are_refused(model):
    for pixels, message in (
        (frames_of(2).masked_fill(torch.rand(1, 2, 3, 32, 48) > 0.5, torch.nan), "pixels that are not finite"),
        (torch.rand(1, 2, 3, 7, 48), "smaller than a patch"),
        (torch.rand(2, 3, 32, 48), "give \\(B, F, 3, H, W\\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model.reconstruct(pixels)
    with pytest.raises(ValueError, match="inputs hold no frames"):
        model.encode_vision(input_ids=torch.zeros(1, 3))
    with pytest.raises(ValueError, match="output_reconstruction needs frames"):
        model.generate(torch.zeros(1, 3, dtype=torch.long), output_reconstruction=True)


def test_depth_heads_that_are_not_finite_say_so():
    model, _ = build_vid_llm()
    torch.nn.init.constant_(model.model.reconstruction.depth_decoder.prediction.bias, torch.nan)
    with pytest.raises(ValueError, match="its scale is unknown"):
        model.reconstruct(frames_of(2))


@pytest.mark.parametrize("piece", ["camera_head.output.2.bias", "depth_decoder.prediction.bias"])
def test_no_reconstruction_is_nan_without_a_word(piece):
    model, processor = build_vid_llm(metric_depth=False)
    torch.nn.init.constant_(model.model.reconstruction.get_parameter(piece), torch.nan)
    inputs = processor.question_inputs(random_frames(2), "How far is it?")
    for look in (lambda: model.reconstruct(frames_of(2)), lambda: model.generate(**inputs, max_new_tokens=2)):
        with pytest.raises(ValueError, match="the reconstruction is not finite"):
            look()


# What it is made of


@pytest.mark.parametrize("kind", ["objects", "folders", "backbone"])
def test_parts_come_as_objects_or_folders(kind, tmp_path):
    torch.manual_seed(0)
    vision, language = tiny_encoder(), tiny_language_model(265)
    parts = [vision, language]
    if kind == "folders":
        for name, part in zip(("vision", "language"), parts, strict=True):
            part.save_pretrained(tmp_path / name)
        parts = [str(tmp_path / "vision"), tmp_path / "language"]
    if kind == "backbone":
        parts[0] = AutoBackbone.from_config(vision.config)
        parts[0].load_state_dict(vision.state_dict())
    model = VidLLMForConditionalGeneration.from_parts(*parts, **FIELDS)
    for own, given in ((model.model.vision, vision), (model.model.causal_lm, language)):
        assert own.state_dict().keys() == given.state_dict().keys()
        assert all(torch.equal(own.state_dict()[name], value) for name, value in given.state_dict().items())
    assert model.training


@pytest.mark.parametrize("language", ["llama", "gpt2"])
def test_other_language_models_answer(language):
    """GPT-2 calls its layers and widths by other names, and its vocabulary lacks the tokens for frames."""
    tokenizer = build_tokenizer("<image>", "<video>")
    vocabulary = len(tokenizer) - 2
    if language == "llama":
        fields = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
        part = LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, eos_token_id=258, **fields))
    else:
        part = GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, n_embd=32, n_layer=2, n_head=2, eos_token_id=258))
    model = VidLLMForConditionalGeneration.from_parts(tiny_encoder(0), part, **FIELDS).eval()
    processor = model.build_processor(tokenizer, frame_size=32)
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    assert model.config.get_text_config().vocab_size == len(tokenizer)
    inputs = processor.question_inputs(random_frames(2), QUESTIONS[0])
    assert 0 < len(new_tokens(model, inputs)) <= 6
    assert model(**inputs).logits.shape == (*inputs["input_ids"].shape, len(tokenizer))


def test_parts_that_cannot_be_are_refused(tmp_path):
    vision, language = tiny_encoder(), tiny_language_model(265)
    for wrong, error, message in (
        ({"vision": 3}, TypeError, "vision must be a model, an id or a folder, not int"),
        ({"depth": 3}, TypeError, "from_parts: depth cannot be given; the fields are image_token_id"),
        ({"vision_config": {}}, TypeError, "vision_config cannot be given"),
        ({"dtype": "bfloat16"}, ValueError, "only applies to ids and folders"),
        ({"language": tiny_encoder()}, ValueError, "has no language head"),
    ):
        with pytest.raises(error, match=message):
            VidLLMForConditionalGeneration.from_parts(**({"vision": vision, "language": language} | FIELDS | wrong))
    capped = copy.deepcopy(language)
    capped.config.final_logit_softcapping = 30.0
    with pytest.raises(ValueError, match="changes its logits \\(final_logit_softcapping=30"):
        VidLLMForConditionalGeneration.from_parts(vision, capped, **FIELDS)
    model, _ = build_vid_llm()
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a Vid-LLM model already"):
        VidLLMForConditionalGeneration.from_parts(vision, tmp_path)


def test_a_model_without_a_processor_names_the_remedy():
    model = VidLLMForConditionalGeneration.from_parts(tiny_encoder(), tiny_language_model(265), **FIELDS)
    with pytest.raises(ValueError, match="call build_processor"):
        model(torch.zeros(1, 30, dtype=torch.long), pixel_values_videos=frames_of(1))


def test_saving_and_loading_in_this_process(tmp_path, processor):
    starts = {"bridge_write_back": "gated_attention", "adapter_start": "identity", "position_start": "zero"}
    model, _ = build_vid_llm(**starts, box_decoder=True, ground_head=True)
    assert not model.model.language_input.position_mlp.mlp[-1].weight.any()
    streams = torch.randn(1, 2, 4, 6, 32)
    for stream in model.model.adapter(streams, torch.ones(1, 2, dtype=torch.bool)):
        torch.testing.assert_close(stream, streams)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    model.save_pretrained(tmp_path)
    again = VidLLMForConditionalGeneration.from_pretrained(tmp_path)
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, value in again.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    half = VidLLMForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.bfloat16)
    kept = {model.part_of_parameter(name) for name, value in half.named_parameters() if value.dtype == torch.float32}
    assert kept == {"reconstruction", "metric_depth", "language_projection", "ground_head", "box_decoder"}
    assert {value.dtype for value in half.model.adapter.parameters()} == {torch.bfloat16}
    inputs = processor.question_inputs(random_frames(2), QUESTIONS[0])
    assert 0 < len(new_tokens(half, inputs)) <= 6
    assert half.reconstruct(inputs["pixel_values_videos"]).depth_metres.dtype == torch.float32
    assert isinstance(AutoModelForCausalLM.from_config(again.config.text_config), type(again.model.causal_lm))
