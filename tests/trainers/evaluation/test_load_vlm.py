"""One place tells a model of igep from a plain VLM, whoever asks."""

import pytest
import torch
from tiny_checkpoints import random_frames

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.evaluation.load_vlm import is_igep, load_for_answers, load_vlm, vlm_of


@pytest.fixture(scope="module")
def saved(checkpoint_folders, tmp_path_factory):
    """A plain VLM and the model of igep that wraps it, on disk."""
    plain, igep = checkpoint_folders["qwen3_vl"], tmp_path_factory.mktemp("igep")
    IGEPForConditionalGeneration.from_base(plain).save_pretrained(igep)
    IGEPProcessor.from_base(plain).save_pretrained(igep)
    return {"plain": plain, "igep": igep}


@pytest.mark.parametrize("kind", ["plain", "igep"])
def test_both_kinds_are_wrapped_for_training(saved, kind):
    model = load_vlm(saved[kind], wrapped=True, dtype=torch.bfloat16)
    assert type(model) is IGEPForConditionalGeneration, "the class of this package, which trains"
    assert model.dtype == model.vlm.dtype == torch.bfloat16
    original = load_vlm(saved["plain"], dtype=torch.bfloat16).state_dict()
    assert all(torch.equal(value, original[name]) for name, value in model.vlm.state_dict().items())


def test_a_plain_vlm_stays_plain_unless_it_is_to_be_wrapped(saved):
    assert load_vlm(saved["plain"]).config.model_type == "qwen3_vl"
    assert not is_igep(load_vlm(saved["plain"]).config)


def test_a_saved_model_runs_its_own_code_only_where_that_is_trusted(saved):
    trusted, ours = load_vlm(saved["igep"], trust_remote_code=True), load_vlm(saved["igep"])
    assert type(ours) is IGEPForConditionalGeneration
    assert type(trusted) is not IGEPForConditionalGeneration
    assert type(trusted).__module__.startswith("transformers_modules.")
    assert is_igep(trusted.config)
    assert is_igep(ours.config)


@pytest.mark.parametrize("kind", ["plain", "igep"])
def test_what_answers_is_the_plain_vlm_with_its_settings(saved, kind):
    model, processor = load_for_answers(saved[kind], "cpu")
    assert not model.training
    assert type(processor).__name__ == "IGEPProcessor"
    assert processor.question_inputs(random_frames(2), "?")["input_ids"].shape[0] == 1
    vlm = vlm_of(model)
    assert vlm.config.model_type == "qwen3_vl"
    assert vlm.generation_config is model.generation_config


def test_no_such_model(tmp_path):
    for wrapped in (True, False):
        with pytest.raises(OSError, match=r"nowhere: no saved model in this directory"):
            load_vlm(tmp_path / "nowhere", wrapped=wrapped)
    with pytest.raises(ValueError, match="device='bogus' cannot be used here"):
        load_for_answers(tmp_path, "bogus")
