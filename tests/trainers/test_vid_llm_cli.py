"""Both launchers of Vid-LLM as users type them: a new model of its parts, a saved one, what is refused in one line."""

import dataclasses

import pytest
from hub_stand_in import HubStandIn
from huggingface_hub import HfApi
from tiny_checkpoints import build_tokenizer
from tiny_vid_llm import FIELDS, tiny_encoder, tiny_language_model

from igep.trainers import distill, joint
from igep.trainers.load_vid_llm import load_vid_llm


SMALL = (
    '{"bridge_tokens": 3, "geometry_blocks": 2, "geometry_taps": 1, "metric_taps": 2, '
    '"depth_channels": 8, "metric_channels": 8, "pooling_ratio": 2}'
)
ROWS = ("--num_rooms", "2", "--geometry_size", "32", "32", "--use_cpu", "--report_to", "none")


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> tuple[str, ...]:
    """Folders of an encoder and of a language model, as flags."""
    folder = tmp_path_factory.mktemp("parts")
    tokenizer = build_tokenizer("<image>", "<video>")
    tiny_encoder().save_pretrained(folder / "vision")
    tiny_language_model(len(tokenizer)).save_pretrained(folder / "language")
    tokenizer.save_pretrained(folder / "language")
    return ("--vision_name_or_path", str(folder / "vision"), "--language_name_or_path", str(folder / "language"))


@pytest.mark.parametrize("launcher", [distill, joint])
def test_help_lists_every_option_with_an_explanation(launcher, capsys):
    with pytest.raises(SystemExit) as stopped:
        launcher.parse(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for options in launcher.PARSER.options:
        assert all(f"--{option.name}" in text for option in dataclasses.fields(options))
    own = {option.name: option for options in launcher.PARSER.options[:2] for option in dataclasses.fields(options)}
    assert all(option.metadata.get("help") for option in own.values())


def test_a_model_of_its_parts_is_the_same_for_a_seed_and_comes_back_from_its_folder(parts, tmp_path):
    arguments = [*parts, *ROWS, "--output_dir", str(tmp_path), "--frame_size", "32", "--vid_llm_config", SMALL]
    script_args, training_args, model_args = joint.parse(arguments)
    model, processor = load_vid_llm(script_args, model_args, training_args.seed)
    assert model.config.bridge_tokens == 3
    eager, _ = load_vid_llm(script_args, dataclasses.replace(model_args, attn_implementation="eager"), 0)
    assert eager.model.vision.config._attn_implementation == "eager"
    assert eager.model.causal_lm.config._attn_implementation == "eager"
    again, _ = load_vid_llm(script_args, model_args, training_args.seed)
    assert all((value == again.state_dict()[name]).all() for name, value in model.state_dict().items())
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    script_args, _, model_args = joint.parse(
        [*ROWS, "--output_dir", str(tmp_path), "--model_name_or_path", str(tmp_path)]
    )
    loaded, _ = load_vid_llm(script_args, model_args, 1)
    assert all((value == loaded.state_dict()[name]).all() for name, value in model.state_dict().items())
    with pytest.raises(SystemExit, match="is a model already, vid_llm_config would make a new one"):
        joint.prepare([*ROWS, "--output_dir", "x", "--model_name_or_path", str(tmp_path), "--vid_llm_config", SMALL])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "no model is named"),
        (("--model_name_or_path", "no where"), "no where: there is no such folder"),
        (("--vid_llm_config", "{bridge"), "vid_llm_config is not JSON"),
        (("--vid_llm_config", "[1]"), r"vid_llm_config=\[1\] must be a mapping"),
        (("--frame_size", "0"), r"frame_size=\[0\]"),
        (("--camera_wieght", "1"), "unknown flag: 'camera_wieght'. Did you mean 'camera_weight'"),
        (("--lora_r", "4"), "lora_r=4 would change nothing without use_peft"),
        (("--load_in_4bit",), "load_in_4bit and load_in_8bit: the parts that train in full"),
        (("--use_peft", "--merge_adapter_at_save", "false"), "a base that is made of parts lies nowhere"),
    ],
)
def test_what_is_wrong_ends_in_one_line(flags, message):
    with pytest.raises(SystemExit, match=f"igep joint: error: .*{message}"):
        joint.prepare([*ROWS, "--output_dir", "unused", *flags])


def test_fields_that_the_model_has_not_and_adapters_in_stage_1_are_refused(parts):
    with pytest.raises(SystemExit, match="igep distill: error: use_peft adapts the language model"):
        distill.parse([*ROWS, "--output_dir", "unused", "--use_peft"])
    assert "bridge_token" not in FIELDS
    arguments = [*ROWS, *parts, "--output_dir", "unused", "--vid_llm_config", '{"bridge_token": 3}']
    with pytest.raises(SystemExit, match="bridge_token cannot be given"):
        joint.prepare(arguments)


def test_where_the_model_is_to_go_is_looked_at_before_training(parts, tmp_path, monkeypatch):
    with HubStandIn() as hub:
        hub.connect(monkeypatch, tmp_path / "home")
        HfApi().create_repo("user/rooms")
        HfApi().upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="user/rooms")
        push = ("--push_to_hub", "--hub_model_id", "user/rooms", "--output_dir", str(tmp_path / "out"))
        for launcher, own in ((joint, ()), (distill, ("--language_teacher", "backbone"))):
            with pytest.raises(SystemExit, match="user/rooms is another model already"):
                launcher.prepare([*ROWS, *parts, *own, *push, "--frame_size", "32", "--vid_llm_config", SMALL])
