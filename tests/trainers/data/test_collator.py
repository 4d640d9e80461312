"""The batch that training sees: the tokens of the saved model's prompt, labels on answers alone, geometry to scale."""

import pickle

import numpy as np
import pytest
import torch
from tiny_checkpoints import FAMILIES, FRAME_SIZE, random_frames

from igep.processing_igep import IGEPProcessor
from igep.trainers.data.collator import IGEPDataCollator
from igep.trainers.data.scenes.spatial_example import SpatialDataError, SpatialExample


SIZE = (8, 12)
TWO_TURNS = (("How far is the box?", "2.5"), ("And the ball?", "one metre"))


def make_example(conversation=TWO_TURNS, num_frames=2, sample_id="sample", size=SIZE, **fields) -> SpatialExample:
    rng = np.random.default_rng(num_frames)
    defaults = {
        "sample_id": sample_id,
        "scene_id": f"scene of {sample_id}",
        "frame_ids": tuple(f"{frame:03d}" for frame in range(num_frames)),
        "frames": tuple(random_frames(num_frames, seed=num_frames)),
        "depth_metres": rng.uniform(1, 3, (num_frames, *size)).astype(np.float32),
        "intrinsics": np.tile(np.array([[10, 0, 6], [0, 10, 4], [0, 0, 1]], np.float32), (num_frames, 1, 1)),
        "world_from_camera": np.tile(np.eye(4), (num_frames, 1, 1)),
        "conversation": conversation,
    }
    return SpatialExample(**(defaults | fields))


@pytest.fixture(scope="module")
def processors(checkpoint_folders) -> dict[str, IGEPProcessor]:
    return {family: IGEPProcessor.from_base(folder) for family, folder in checkpoint_folders.items()}


def supervised_text(batch: dict, processor: IGEPProcessor, row: int) -> str:
    return processor.tokenizer.decode(batch["input_ids"][row][batch["labels"][row] != -100])


@pytest.mark.parametrize("frames_as", ["video", "images"])
@pytest.mark.parametrize("family", FAMILIES)
def test_prompt_is_the_one_of_inference(processors, family, frames_as):
    processor = processors[family]
    examples = [make_example(), make_example(TWO_TURNS[:1]), make_example((("Short?", "yes"),))]
    batch = IGEPDataCollator(processor, SIZE, frames_as=frames_as)(examples)
    for row, example in enumerate(examples):
        asked = processor.question_inputs(list(example.frames), example.conversation[0][0], frames_as=frames_as)
        prompt = asked["input_ids"][0]
        assert torch.equal(batch["input_ids"][row, : len(prompt)], prompt)
        assert (batch["labels"][row, : len(prompt)] == -100).all()
        assert batch["labels"][row, len(prompt)] != -100  # the answer begins right after
        for name in asked.keys() - {"input_ids", "attention_mask", "mm_token_type_ids"}:
            assert torch.equal(batch[name].reshape(3, -1)[row], asked[name].reshape(-1)), name
        if "mm_token_type_ids" in asked:
            assert torch.equal(batch["mm_token_type_ids"][row, : len(prompt)], asked["mm_token_type_ids"][0])
            assert (batch["mm_token_type_ids"][row, len(prompt) :] == 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_only_answers_and_their_end_are_supervised(processors, family):
    processor = processors[family]
    batch = IGEPDataCollator(processor, SIZE)([make_example(), make_example(TWO_TURNS[1:])])
    assert supervised_text(batch, processor, 0) == "2.5<|im_end|>\none metre<|im_end|>\n"
    assert supervised_text(batch, processor, 1) == "one metre<|im_end|>\n"
    labels, ids = batch["labels"], batch["input_ids"]
    assert torch.equal(labels[labels != -100], ids[labels != -100])
    assert (labels[batch["attention_mask"] == 0] == -100).all()


def test_second_question_is_seen_but_not_supervised(processors):
    processor = processors["qwen3_vl"]
    batch = IGEPDataCollator(processor, SIZE)([make_example()])
    text = processor.tokenizer.decode(batch["input_ids"][0])
    assert "<|im_start|>user\nAnd the ball?<|im_end|>" in text
    assert text.count("<|im_start|>assistant") == 2


def test_padding_is_on_the_right(processors):
    batch = IGEPDataCollator(processors["llava_onevision"], SIZE)([make_example(), make_example((("Q?", "a"),))])
    lengths = batch["attention_mask"].sum(1)
    assert lengths[0] > lengths[1]
    assert batch["attention_mask"][1].tolist() == [1] * lengths[1] + [0] * (lengths[0] - lengths[1])
    assert (batch["input_ids"][1, lengths[1] :] == processors["llava_onevision"].tokenizer.pad_token_id).all()


def test_unannotated_scene_has_no_label(processors):
    processor = processors["qwen2_5_vl"]
    batch = IGEPDataCollator(processor, SIZE, unannotated_prompt="Look.")([make_example(()), make_example()])
    assert (batch["labels"][0] == -100).all()
    assert (batch["labels"][1] != -100).any()
    assert "Look." in processor.tokenizer.decode(batch["input_ids"][0])


def test_geometry_is_stacked_and_padded_by_frame(processors):
    examples = [make_example(num_frames=2), make_example(num_frames=4), make_example(num_frames=1)]
    batch = IGEPDataCollator(processors["llava_onevision"], SIZE)(examples[:1] + examples[:1])
    assert batch["depth_metres"].shape == (2, 2, *SIZE)
    mixed = IGEPDataCollator(processors["qwen3_vl"], SIZE)(examples)
    assert mixed["frame_mask"].tolist() == [[True, True, False, False], [True] * 4, [True, False, False, False]]
    assert (
        mixed["depth_metres"].dtype == mixed["intrinsics"].dtype == mixed["world_from_camera"].dtype == torch.float32
    )
    for row, example in enumerate(examples):
        frames = len(example.frames)
        assert torch.equal(mixed["depth_metres"][row, :frames], torch.from_numpy(example.depth_metres))
        assert (mixed["depth_metres"][row, frames:] == 0).all()
        assert mixed["intrinsics"][row, frames:].isnan().all()
        assert mixed["world_from_camera"][row, frames:].isnan().all()
    assert mixed["sample_ids"] == ["sample"] * 3
    assert mixed["frame_ids"][1] == ["000", "001", "002", "003"]


def test_unknown_geometry_is_zero_depth_and_nan_cameras(processors):
    unknown = make_example(depth_metres=None, intrinsics=None, world_from_camera=None)
    batch = IGEPDataCollator(processors["llava_onevision"], SIZE)([unknown, make_example()])
    assert (batch["depth_metres"][0] == 0).all()
    assert batch["intrinsics"][0].isnan().all()
    assert batch["world_from_camera"][0].isnan().all()
    assert batch["world_from_camera"][1].isfinite().all()


def test_depth_of_another_size_is_resampled_with_its_intrinsics(processors):
    depth = np.arange(4 * 6, dtype=np.float32).reshape(1, 4, 6).repeat(2, 0)
    example = make_example(depth_metres=depth)
    batch = IGEPDataCollator(processors["llava_onevision"], (2, 12))([example])
    assert batch["depth_metres"].shape == (1, 2, 2, 12)
    # Row 0 of the target has its centre on the border of rows 0 and 1; columns are doubled.
    assert batch["depth_metres"][0, 0, 0].tolist() == np.repeat(depth[0, 1], 2).tolist()
    expected = torch.tensor([[20.0, 0, 12], [0, 5.0, 2], [0, 0, 1]])
    torch.testing.assert_close(batch["intrinsics"][0, 0], expected)


def test_far_world_origin_keeps_its_millimetres(processors):
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[:, :3, 3] = [[4e6, 1e6, 100.0], [4e6 + 0.125, 1e6, 100.001]]
    batch = IGEPDataCollator(processors["llava_onevision"], SIZE)([make_example(world_from_camera=poses)])
    step = batch["world_from_camera"][0, 1, :3, 3] - batch["world_from_camera"][0, 0, :3, 3]
    torch.testing.assert_close(step, torch.tensor([0.125, 0.0, 0.001]), atol=1e-6, rtol=0)


def test_colours_are_carried_at_the_size_of_the_depth_where_a_loss_wants_them(processors):
    example = make_example()
    batch = IGEPDataCollator(processors["llava_onevision"], SIZE, carries_colours=True)([example])
    assert batch["frame_colours"].shape == (1, 2, 3, *SIZE)
    assert batch["frame_colours"].dtype == torch.uint8
    whole = IGEPDataCollator(processors["llava_onevision"], FRAME_SIZE, carries_colours=True)([example])
    pixels = torch.from_numpy(np.array(example.frames[1])).permute(2, 0, 1)
    assert torch.equal(whole["frame_colours"][0, 1], pixels)
    assert "frame_colours" not in IGEPDataCollator(processors["llava_onevision"], SIZE)([example])


def test_colours_of_padded_frames_are_black(processors):
    batch = IGEPDataCollator(processors["llava_onevision"], SIZE, frames_as="images", carries_colours=True)(
        [make_example(num_frames=2), make_example(num_frames=1, sample_id="short")]
    )
    assert batch["frame_colours"].shape == (2, 2, 3, *SIZE)
    assert not batch["frame_colours"][1, 1].any()


def test_teacher_frames_are_whole_frames_of_its_size(processors):
    example = make_example()
    batch = IGEPDataCollator(processors["llava_onevision"], SIZE, teacher_frame_size=(14, 28))([example])
    assert batch["teacher_frames"].shape == (1, 2, 3, 14, 28)
    assert batch["teacher_frames"].dtype == torch.uint8
    same = IGEPDataCollator(processors["llava_onevision"], SIZE, teacher_frame_size=(32, 48))([example])
    pixels = torch.from_numpy(np.array(example.frames[1])).permute(2, 0, 1)
    assert torch.equal(same["teacher_frames"][0, 1], pixels)
    assert "teacher_frames" not in IGEPDataCollator(processors["llava_onevision"], SIZE)([example])


@pytest.mark.parametrize("family", FAMILIES)
def test_max_length_that_would_cut_vision_tokens(processors, family):
    collator = IGEPDataCollator(processors[family], SIZE, max_length=10)
    with pytest.raises(SpatialDataError, match=r"'bad'.*2 frames.*max_length=10 would cut them.*num_frames"):
        collator([make_example(sample_id="bad")])


def test_max_length_cuts_the_end_of_a_long_conversation_and_says_so(processors, caplog):
    processor = processors["llava_onevision"]
    whole = IGEPDataCollator(processor, SIZE)([make_example()])
    length = whole["input_ids"].shape[1] - 4
    cut = IGEPDataCollator(processor, SIZE, max_length=length)([make_example(sample_id="long")])
    assert torch.equal(cut["input_ids"], whole["input_ids"][:, :length])
    assert torch.equal(cut["labels"], whole["labels"][:, :length])
    assert "'long'" in caplog.text


def test_bad_input(processors):
    collator = IGEPDataCollator(processors["llava_onevision"], SIZE)
    with pytest.raises(ValueError, match="empty batch"):
        collator([])
    with pytest.raises(SpatialDataError, match="'hollow' has no frames"):
        collator([make_example(sample_id="hollow", num_frames=2, frames=())])
    with pytest.raises(ValueError, match="frames_as='clips'"):
        IGEPDataCollator(processors["llava_onevision"], SIZE, frames_as="clips")


def test_videos_of_several_lengths_where_the_processor_cannot_stack_them(processors):
    examples = [make_example(num_frames=2, sample_id="short"), make_example(num_frames=3, sample_id="long")]
    with pytest.raises(SpatialDataError, match=r"\['short', 'long'\] have \[2, 3\] frames.*frames_as to images"):
        IGEPDataCollator(processors["llava_onevision"], SIZE)(examples)
    assert IGEPDataCollator(processors["llava_onevision"], SIZE, frames_as="images")(examples)["frame_mask"].sum() == 5


def test_template_of_the_published_llava_onevision(processors):
    """It writes `assistant\\n` before an answer to come and `assistant \\n` before one that is given."""
    processor = IGEPProcessor.from_base(pickle.loads(pickle.dumps(processors["llava_onevision"].base_processor)))
    processor.chat_template = (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
        "{% for content in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>' }}{% endfor %}"
        "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ '\\n' + content['text'] }}"
        "{% endfor %}{{ '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    batch = IGEPDataCollator(processor, SIZE)([make_example()])
    prompt = processor.question_inputs(list(make_example().frames), TWO_TURNS[0][0])["input_ids"][0]
    assert torch.equal(batch["input_ids"][0, : len(prompt)], prompt)
    text = processor.tokenizer.decode(batch["input_ids"][0, len(prompt) :])
    assert text == (
        "2.5<|im_end|><|im_start|>user \nAnd the ball?<|im_end|><|im_start|>assistant\none metre<|im_end|>"
    )
    assert supervised_text(batch, processor, 0) == "2.5<|im_end|>one metre<|im_end|>"


def test_template_that_rewrites_earlier_turns(processors):
    processor = IGEPProcessor.from_base(pickle.loads(pickle.dumps(processors["llava_onevision"].base_processor)))
    processor.chat_template = "{{ messages | length }}" + processor.chat_template
    with pytest.raises(ValueError, match="chat template rewrites earlier turns"):
        IGEPDataCollator(processor, SIZE)([make_example()])


def test_collator_travels_to_workers(processors):
    collator = IGEPDataCollator(processors["llava_onevision"], SIZE)
    expected = collator([make_example()])
    received = pickle.loads(pickle.dumps(collator))([make_example()])
    assert torch.equal(received["input_ids"], expected["input_ids"])


def test_origin_is_the_first_camera_with_a_pose(processors):
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[0] = np.nan
    poses[1:, :3, 3] = [[5e5, -3e5, 10], [5e5 + 0.001, -3e5, 10]]
    example = make_example(num_frames=3, world_from_camera=poses)
    found = IGEPDataCollator(processors["qwen3_vl"], SIZE)([example])["world_from_camera"][0]
    assert found[0].isnan().all()
    assert found[1, :3, 3].tolist() == [0, 0, 0]
    torch.testing.assert_close(found[2, :3, 3], torch.tensor([0.001, 0, 0]), rtol=1e-4, atol=1e-7)


def test_a_cut_conversation_is_said_once(processors, caplog):
    processor = processors["llava_onevision"]
    length = IGEPDataCollator(processor, SIZE)([make_example()])["input_ids"].shape[1] - 4
    collator = IGEPDataCollator(processor, SIZE, max_length=length)
    for number in range(3):
        collator([make_example(sample_id=f"long-{number}")])
    assert [record.args[0] for record in caplog.records] == ["long-0"]


def test_padding_of_packed_rows_belongs_to_no_set(processors):
    collator = IGEPDataCollator(processors["qwen3_vl"], SIZE, pack_questions=True)
    batch = collator([make_example(), make_example(TWO_TURNS[:1])])
    lengths = batch["attention_mask"].sum(1)
    assert lengths[0] > lengths[1]
    assert (batch["set_index"][1, lengths[1] :] == -1).all()
    assert batch["attention_mask"][1].tolist() == [1] * lengths[1] + [0] * (lengths[0] - lengths[1])
    assert (batch["labels"][1, lengths[1] :] == -100).all()


def test_special_tokens_in_rows_of_any_class_name_the_sample(processors):
    """Files are looked at before training; here it is a message in place of the processor's about counts of tokens."""
    collator = IGEPDataCollator(processors["llava_onevision"], SIZE)
    with pytest.raises(SpatialDataError, match=r"Sample 'odd': the question '<image> Where\?' holds '<image>'"):
        collator([make_example((("<image> Where?", "left"),), sample_id="odd")])
    with pytest.raises(SpatialDataError, match=r"Sample 'odd': the answer .* holds '<\|im_end\|>'"):
        collator([make_example((("Where?", "left<|im_end|>"),), sample_id="odd")])
