"""What works with a base is found out before the first step, said, and is what trains."""

import pytest
import torch
from more_bases import BUILDERS, build_more
from other_bases import SPECIAL, build_other
from tiny_checkpoints import FAMILIES, build_checkpoint, random_frames
from tiny_training import SlantedWalls, logged, make_args

from igep.frame_grids import read_frame_grids
from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.sft_trainer import IGEPSFTTrainer
from igep.trainers.supervision.base_trial import WAYS, check_base_works, why_not


ALL = set(WAYS)
IMAGES = {way for way in WAYS if way[0] == "images"}
VIDEO = {way for way in WAYS if way[0] == "video"}
# As the table in docs/train.md has it.
WORKS = {
    ("gemma3", False): IMAGES,
    ("idefics3", False): IMAGES,
    ("idefics3", True): {("images", None)},
    ("internvl", True): VIDEO | {("images", None)},
    ("mistral3", False): IMAGES,
    ("smolvlm", False): IMAGES,
    ("video_llama_3", False): ALL,
    ("smolvlm", True): {("images", None)},
}
PLAIN = {way for way in WAYS if way[1] is None}
MORE_WORKS = {
    "glm4v": PLAIN,
    "idefics2": IMAGES,
    "lfm2_vl": PLAIN & IMAGES,
    "llava": IMAGES,
    "ovis2": PLAIN & IMAGES,
    "qwen2_vl": ALL,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_everything_works_with_the_bases_of_the_first_class(family):
    vlm, processor = build_checkpoint(family)
    assert all(why_not(vlm, IGEPProcessor.from_base(processor), *way) is None for way in WAYS)


@pytest.mark.parametrize(("family", "tiles"), WORKS, ids=lambda part: str(part))
def test_what_works_with_other_bases(family, tiles):
    vlm, processor = build_other(family, tiles=tiles)
    assert {way for way in WAYS if why_not(vlm, processor, *way) is None} == WORKS[family, tiles]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # GLM-4.1V's processor
@pytest.mark.parametrize("family", MORE_WORKS)
def test_what_works_with_more_bases(family):
    vlm, processor = build_more(family)
    reasons = {way: why_not(vlm, processor, *way) for way in WAYS}
    assert {way for way in WAYS if reasons[way] is None} == MORE_WORKS[family]
    assert not any("Error:" in reason for reason in reasons.values() if reason is not None)  # a sentence, not a fault


def test_all_bases_of_the_table_are_tried():
    assert {family for family, _ in WORKS} == set(SPECIAL)
    assert set(MORE_WORKS) == set(BUILDERS)


@pytest.mark.parametrize(
    ("family", "way", "message"),
    [
        (
            "gemma3",
            ("video", "llm"),
            "Gemma3Processor takes images and no videos.*works with it: frames_as=images and sup",
        ),
        (
            "internvl",
            ("images", "encoder"),
            "tiles .*crop_to_patches.*works with it: frames_as=video and supervise=encoder",
        ),
        (
            "idefics3",
            ("images", "llm"),
            "tiles .*do_image_splitting.*works with it: frames_as=images without geometry",
        ),
    ],
)
def test_the_message_says_why_and_what_works(family, way, message):
    vlm, processor = build_other(family, tiles=True)
    model = IGEPForConditionalGeneration.from_base(vlm)
    start = rf"{type(vlm).__name__} cannot be trained with frames_as={way[0]} and supervise={way[1]}: .*"
    with pytest.raises(ValueError, match=start + message):
        check_base_works(model, processor, *way)


def test_a_base_with_which_nothing_works(monkeypatch):
    vlm, processor = build_checkpoint("llava_onevision")
    model = IGEPForConditionalGeneration.from_base(vlm)

    def broken(*args, **kwargs):
        raise AttributeError("'NoneType' object has no attribute 'shape'")

    monkeypatch.setattr(vlm.model, "get_video_features", broken)
    monkeypatch.setattr(vlm.model, "get_image_features", broken)
    with pytest.raises(
        ValueError, match="AttributeError: 'NoneType'.*Nothing else works with it either: take another base"
    ):
        check_base_works(model, IGEPProcessor.from_base(processor), "video", "encoder")


def test_a_trial_leaves_no_trace():
    vlm, processor = build_checkpoint("qwen3_vl")
    vlm.train()
    next(vlm.parameters()).requires_grad_(False)
    before = {name: value.clone() for name, value in vlm.state_dict().items()}
    flags = [value.requires_grad for value in vlm.parameters()]
    random = torch.get_rng_state()
    for way in WAYS:
        why_not(vlm, IGEPProcessor.from_base(processor), *way)
    assert vlm.training
    assert [value.requires_grad for value in vlm.parameters()] == flags
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in vlm.state_dict().items())


@pytest.mark.parametrize("frames_as", ["video", "images"])
def test_patches_of_video_llama_3_stay_at_their_place(frames_as):
    """It merges patches of videos and leaves those of images whole, as its processor says, not its configuration."""
    vlm, processor = build_other("video_llama_3")
    frames = random_frames(4, size=(64, 96))
    changed = [frame.copy() for frame in frames]
    changed[2].paste((255, 0, 0), (48, 0, 96, 32))  # the upper right quarter
    pixels = "pixel_values_videos" if frames_as == "video" else "pixel_values"
    maps = []
    for shown in (frames, changed):
        inputs = processor.question_inputs(shown, "?", frames_as=frames_as)
        patches = inputs[pixels]
        maps.append(read_frame_grids(vlm.config, patches, inputs, frames_as == "video").encoder_maps(patches))
    differs = (maps[0] != maps[1]).any(-1)
    rows, columns = differs.shape[1:]
    assert differs[[0, 1, 3]].sum() == 0
    assert differs[2, : rows // 2 - 1, columns // 2 + 1 :].all()
    assert not differs[2, rows // 2 + 1 :].any()
    assert not differs[2, :, : columns // 2 - 1].any()


@pytest.mark.parametrize("family", ["idefics3", "mistral3"])
@pytest.mark.parametrize("supervise", ["encoder", "llm"])
def test_what_works_trains(family, supervise, tmp_path):
    vlm, processor = build_other(family)
    trainer = IGEPSFTTrainer(
        model=IGEPForConditionalGeneration.from_base(vlm),
        args=make_args(tmp_path, frames_as="images", supervise=supervise, max_steps=3, per_device_train_batch_size=2),
        train_dataset=SlantedWalls(2),
        processing_class=processor,
    )
    trainer.train()
    losses = logged(trainer, "loss")
    assert losses[-1] < losses[0]
    assert all(logged(trainer, name)[-1] > 0 for name in ("loss_ce", "loss_geometry", "loss_global"))


def test_the_trainer_refuses_before_its_first_step(tmp_path):
    vlm, processor = build_other("gemma3")
    with pytest.raises(ValueError, match="cannot be trained with frames_as=video and supervise=encoder"):
        IGEPSFTTrainer(
            model=IGEPForConditionalGeneration.from_base(vlm),
            args=make_args(tmp_path),
            train_dataset=SlantedWalls(2),
            processing_class=processor,
        )
