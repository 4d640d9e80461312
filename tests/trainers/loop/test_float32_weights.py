"""What was loaded in bfloat16 trains in float32, resumes to the bit, is saved in bfloat16; types never meet unsaid."""

import json

import pytest
import torch
from line_training import LineConfig, LineModel, make_line_trainer
from safetensors.torch import load_file
from torch import nn

from igep.trainers.loop.float32_weights import cast_to_float32, float32_parameters, in_loaded_types


def half_line() -> LineModel:
    torch.manual_seed(0)
    return LineModel(LineConfig(dropout=0.0)).to(torch.bfloat16)


def test_small_steps_are_kept_and_the_saved_model_has_the_loaded_type(tmp_path):
    options = {"learning_rate": 1e-6, "lr_scheduler_type": "constant", "eval_strategy": "no", "save_steps": 2}
    whole = make_line_trainer(tmp_path, half_line(), max_steps=4, **options)
    before = {name: value.float() for name, value in whole.model.state_dict().items() if "head" not in name}
    whole.train()
    for name, value in before.items():
        assert 0 < (whole.model.state_dict()[name] - value).abs().max() < 1e-5, name

    resumed = make_line_trainer(tmp_path, half_line(), max_steps=4, **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name

    held = {name: value.clone() for name, value in whole.model.state_dict().items()}
    whole.save_model(str(tmp_path / "saved"))
    assert {value.dtype for value in load_file(tmp_path / "saved" / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["dtype"] == "bfloat16"
    assert all(torch.equal(value, held[name]) for name, value in whole.model.state_dict().items())


def test_types_that_would_meet_are_refused(tmp_path):
    model = half_line()
    model.features.requires_grad_(False)
    with pytest.raises(
        ValueError, match=r"dtype=bfloat16: .*features.weight is frozen in bfloat16.* Set bf16 to true"
    ):
        make_line_trainer(tmp_path, model).train()
    trainer = make_line_trainer(tmp_path, half_line(), max_steps=1, save_strategy="no", bf16=True)
    trainer.model.features.requires_grad_(False)
    trainer.train()
    assert trainer.model.features.weight.dtype == torch.bfloat16
    assert trainer.model.line.weight.dtype == torch.float32


def test_a_part_has_one_type_and_an_exception_leaves_the_weights():
    model = nn.ModuleDict({"seen": nn.Linear(2, 2), "still": nn.Linear(2, 2)}).half()
    model["still"].requires_grad_(False)
    model["seen"].bias.requires_grad_(False)
    assert float32_parameters(model, None, beside_adapters=False) == {"seen.weight"}
    names = float32_parameters(model, lambda name: name.split(".")[0], beside_adapters=False)
    assert names == {"seen.weight", "seen.bias"}
    parameter = model["seen"].weight
    types = cast_to_float32(model, names)
    assert types == dict.fromkeys(("seen.weight", "seen.bias"), torch.float16)
    assert cast_to_float32(model, names) == {}
    with torch.no_grad():
        parameter += 1e-6
    exact = parameter.clone()

    def write() -> None:
        with in_loaded_types(model, types):
            assert model["seen"].weight.dtype == torch.float16
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write()
    assert model["seen"].weight is parameter
    assert torch.equal(parameter, exact)
