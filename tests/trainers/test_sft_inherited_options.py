"""Options of TRL and transformers: each one works or is refused with the reason, and a new one has to be placed."""

import dataclasses

import pytest
from tiny_training import SlantedWalls, logged, make_trainer
from trl import ModelConfig, SFTConfig

from igep.trainers.sft_config import IGEPSFTConfig
from igep.trainers.sft_inherited_options import (
    ACCELERATOR_REFUSED,
    FOUR_BIT_OPTIONS,
    LORA_OPTIONS,
    REFUSED,
    WORKS,
    check_model_options,
)


INHERITED = {field.name: field for field in dataclasses.fields(SFTConfig)}
OTHER_VALUES = {  # of options whose default does not tell a value that is none
    "completion_only_loss": False,
    "router_aux_loss_coef": 0.01,
    "dataset_kwargs": {"add_special_tokens": False},
    "dataset_num_proc": 2,
    "eval_packing": False,
    "pad_to_multiple_of": 8,
    "pad_token": "<|endoftext|>",
    "truncation_mode": "keep_end",
    "label_names": ["labels"],
    "eval_accumulation_steps": 2,
    "include_for_metrics": ["inputs"],
    "liger_kernel_config": {"rope": True},
    "train_sampling_strategy": "group_by_length",
    "length_column_name": "tokens",
    "parallelism_config": {"cp_size": 2},
    "packing_strategy": "wrapped",
    "loss_type": "dft",
    "dataset_text_field": "messages",
}


def make_config(**fields) -> IGEPSFTConfig:
    return IGEPSFTConfig(output_dir="unused", use_cpu=True, **({"report_to": "none"} | fields))


def other_value(name: str):
    """A value that is not the default of an option."""
    default = IGEPSFTConfig.__dataclass_fields__[name].default
    if name in OTHER_VALUES:
        return OTHER_VALUES[name]
    return not default if isinstance(default, bool) else default + 0.5


@pytest.mark.parametrize("name", INHERITED)
def test_every_inherited_option_works_or_is_refused(name):
    """A release of TRL or transformers that adds one fails here: read who uses it, then place it."""
    assert (name in WORKS) + (name in REFUSED) == 1, (
        f"{name} is an option of this release of TRL or transformers: say in sft_inherited_options.py whether it "
        "works here."
    )
    if name in REFUSED:
        with pytest.raises(ValueError, match=rf"^{name}=.* would change nothing: .*Leave it out\.$"):
            make_config(**{name: other_value(name)})


@pytest.mark.parametrize("name", REFUSED)
def test_defaults_are_taken_when_they_are_written_out(name):
    field = IGEPSFTConfig.__dataclass_fields__[name]
    default = field.default_factory() if field.default is dataclasses.MISSING else field.default
    make_config(**{name: default})


def test_what_transformers_sets_itself_is_not_refused():
    config = make_config(eval_strategy="steps", eval_steps=2)
    assert config.do_eval
    assert dataclasses.replace(config, output_dir="elsewhere").output_dir == "elsewhere"
    assert make_config(train_sampling_strategy="sequential").train_sampling_strategy == "sequential"


@pytest.mark.parametrize("name", ACCELERATOR_REFUSED)
def test_refused_parts_of_the_accelerator_config(name):
    with pytest.raises(ValueError, match=f"accelerator_config: {name}=True is refused"):
        make_config(accelerator_config={name: True})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"optim_args": "rank=4"}, "optim_args='rank=4' would change nothing: optim=adamw_torch_fused"),
        (
            {"optim": "adamw_torch", "optim_target_modules": ["q_proj"]},
            "optim_target_modules=.*optim=adamw_torch does",
        ),
        ({"activation_offloading": True}, "activation_offloading=True .* has none"),
        ({"chat_template_path": "a/folder"}, "chat_template_path='a/folder' is no Jinja file"),
    ],
)
def test_options_that_need_another(fields, message):
    with pytest.raises(ValueError, match=message):
        make_config(**fields)


def test_optim_args_go_to_the_optimizers_that_read_them():
    assert make_config(optim="sgd", optim_args="momentum=0.5").optim_args == "momentum=0.5"


@pytest.mark.parametrize(
    ("switch", "names"),
    [("use_peft", LORA_OPTIONS), ("load_in_4bit", FOUR_BIT_OPTIONS)],
    ids=lambda part: str(part)[:12],
)
def test_options_of_the_model_that_are_switched_off(switch, names):
    assert all(name in ModelConfig.__dataclass_fields__ for name in names)
    for name in names:
        default = vars(ModelConfig())[name]
        other = not default if isinstance(default, bool) else 3 if isinstance(default, int) else "fp4"
        with pytest.raises(ValueError, match=f"{name}=.* would change nothing without {switch}"):
            check_model_options(ModelConfig(**{name: other}))
        check_model_options(ModelConfig(**{name: other, switch: True}))


def test_options_of_transformers_that_could_be_lost_on_the_way_do_change_the_run(checkpoint_folders, tmp_path):
    """Those that act on embeddings, the rows' order or the prompt, through the wrapped model and our own batches."""
    template = tmp_path / "template.jinja"
    text = (checkpoint_folders["llava_onevision"] / "chat_template.jinja").read_text()
    template.write_text(text.replace("'<|im_start|>'", "'<|im_start|>the '"))

    def losses(**fields):
        trainer = make_trainer(
            checkpoint_folders["llava_onevision"],
            tmp_path,
            dataset=SlantedWalls(4),
            per_device_train_batch_size=2,
            **fields,
        )
        trainer.train()
        return logged(trainer, "loss"), trainer

    plain, _ = losses()
    assert losses()[0] == plain
    assert losses(neftune_noise_alpha=5.0)[0] != plain
    assert losses(data_seed=7)[0] != plain
    assert losses(chat_template_path=str(template))[0] != plain
    counted, trainer = losses(include_num_input_tokens_seen="non_padding")
    assert counted == plain
    assert trainer.state.num_input_tokens_seen > 0
