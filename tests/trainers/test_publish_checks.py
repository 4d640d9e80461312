"""`trainers/publish.py`: what of a folder is never published, and what stops it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from publish_command import arguments, contents, refusal, write_results
from published_models import LORA
from safetensors.torch import load_file, save_file
from tiny_training import make_trainer

from igep.trainers import publish
from igep.trainers.publish import PublishOptions
from igep.trainers.publishing.published_folder import PublishError, check_folder
from igep.trainers.publishing.shipped_code import shipped_code


pytest_plugins = ["publish_command", "published_models"]
pytestmark = pytest.mark.usefixtures("loaded_once")


def test_heads_are_refused(saved, model):
    weights = load_file(model / "model.safetensors")
    save_file({**weights, "depth_verifier.decoder.weight": torch.zeros(2)}, model / "model.safetensors")
    with pytest.raises(PublishError, match="holds training heads \\(depth_verifier.decoder.weight"):
        check_folder(model)
    with pytest.raises(PublishError, match="which runs code when loaded"):
        check_folder(saved / "checkpoint-2")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda weights: weights.pop(next(iter(weights))), "loads with missing keys"),
        (lambda weights: next(iter(weights.values())).fill_(torch.nan), "holds NaN or infinity"),
    ],
    ids=["missing", "diverged"],
)
def test_weights_that_do_not_fit_are_refused(model, tmp_path, real_loading, spoil, message):
    weights = load_file(model / "model.safetensors")
    spoil(weights)
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    assert message in refusal(*arguments(model, "--dry-run", str(tmp_path / "dry")))
    assert not any((tmp_path / "dry").iterdir()), "the next dry run goes to the same folder"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "pytorch_model.bin").write_bytes(b"x"), "pytorch_model.bin, which runs code"),
        (lambda folder: (folder / "config.json").unlink(), "lacks config.json"),
        (lambda folder: (folder / "modeling_igep.py").unlink(), "lacks modeling_igep.py"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"truncated"), "cannot be read as safetensors"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text("{}"), "no index of weights"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text("{"), "no index of weights"),
        (lambda folder: (folder / "config.json").rename(folder / "adapter"), "igep merge"),
    ],
)
def test_broken_folders_are_refused(model, spoil, message):
    spoil(model)
    with pytest.raises(PublishError, match=message):
        check_folder(model)


def _import_a_file_that_stays_at_home(folder: Path) -> None:
    (folder / "extra.py").write_text("SCALE = 1\n")
    with (folder / "modeling_igep.py").open("a") as code:
        code.write("from .extra import SCALE\n")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "text_pixels.py").write_text("1 / 0"), "ZeroDivisionError"),
        (lambda folder: (folder / "chat_template.jinja").unlink(), "chat template"),
        (_import_a_file_that_stays_at_home, "extra.py"),
    ],
    ids=["code", "template", "import"],
)
def test_what_is_tried_is_what_would_be_uploaded(model, tmp_path, real_loading, spoil, message):
    spoil(model)
    told = refusal(*arguments(model, "--dry-run", str(tmp_path / "dry")))
    assert "does not load and answer" in told
    assert message in told


def test_changed_code_is_named_and_searched_for_secrets(model, tmp_path, capsys):
    with (model / "modeling_igep.py").open("a") as code:
        code.write("# mine\n")
    publish.main(arguments(model, "--dry-run", str(tmp_path / "dry")))
    assert "Not as in this version of igep, published as it is: modeling_igep.py\n" in capsys.readouterr().out
    with (model / "modeling_igep.py").open("a") as code:
        code.write(f"TOKEN = 'hf_{'a' * 34}'\n")
    assert "looks like an access token" in refusal(*arguments(model, "--dry-run", str(tmp_path / "again")))


def test_files_of_others_stay_at_home(model, tmp_path, capsys):
    foreign = ("secret.py", "customers.json", ".hidden.json", "optimizer.safetensors", "trainer_state.json")
    for name in foreign:
        shutil.copy(model / "model.safetensors", model / name)
    publish.main(arguments(model, "--dry-run", str(tmp_path / "dry")))
    assert not set(foreign) & set(contents(tmp_path / "dry" / "model"))
    shown = capsys.readouterr().out
    assert all(name in shown.split("left out:")[1].splitlines()[0] for name in foreign)


def test_a_dry_run_shares_no_file_with_the_model(model, tmp_path):
    publish.main(arguments(model, "--dry-run", str(tmp_path / "dry")))
    before = (model / "model.safetensors").read_bytes()
    (tmp_path / "dry" / "model" / "model.safetensors").write_bytes(b"edited")
    assert (model / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", ["training_run.json", "model.safetensors"])
def test_links_out_of_the_folder_are_not_followed(model, tmp_path, name):
    (model / name).rename(tmp_path / name)
    (model / name).symlink_to(tmp_path / name)
    assert f"{name} leads out of the folder" in refusal(*arguments(model, "--dry-run", str(tmp_path / "dry")))
    (model / name).unlink()
    (tmp_path / name).rename(model / f"real_{name}")
    (model / name).symlink_to(f"real_{name}")
    publish.main(arguments(model, "--dry-run", str(tmp_path / "dry")))
    assert (tmp_path / "dry" / "model" / name).is_file()


def test_an_index_that_leads_elsewhere_is_refused(model, tmp_path):
    shutil.copy(model / "model.safetensors", tmp_path / "other.safetensors")
    index = {"metadata": {}, "weight_map": {"weight": "../other.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "leads out of the folder" in refusal(*arguments(model, "--dry-run", str(tmp_path / "dry")))


@pytest.mark.parametrize("secret", ["hf_" + "a" * 34, "sk-ant-" + "b" * 30, "AKIA" + "C" * 16, "ghp_" + "d" * 36])
def test_tokens_are_not_published(model, tmp_path, secret):
    run = json.loads((model / "training_run.json").read_text())
    run["recipe"]["unannotated_prompt"] = secret
    (model / "training_run.json").write_text(json.dumps(run))
    message = refusal(*arguments(model, "--dry-run", str(tmp_path / "dry")))
    assert "looks like an access token" in message
    assert secret not in message


def test_paths_of_this_machine_are_not_published(model, tmp_path):
    config = json.loads((model / "generation_config.json").read_text()) | {"note": "/home/alice/private/scans"}
    (model / "generation_config.json").write_text(json.dumps(config))
    message = refusal(*arguments(model, "--dry-run", str(tmp_path / "dry")))
    assert "generation_config.json would hold the path '/home/alice/private/scans'" in message


def test_sharded_weights_and_binary_tokenizers_are_published(saved, model, tmp_path, real_loading):
    from igep.modeling_igep import IGEPForConditionalGeneration

    (model / "model.safetensors").unlink()
    IGEPForConditionalGeneration.from_pretrained(saved).save_pretrained(model, max_shard_size="50KB")
    shutil.copy(saved / "model.safetensors", model / "model.safetensors")  # left behind by an earlier run
    (model / "tokenizer.model").write_bytes(bytes(range(256)))
    publish.main(arguments(model, "--dry-run", str(tmp_path / "dry")))
    names = set(contents(tmp_path / "dry" / "model"))
    assert {"model.safetensors.index.json", "tokenizer.model"} <= names
    assert len([name for name in names if name.startswith("model-0")]) > 1
    assert "model.safetensors" not in names


def test_an_adapter_alone_is_refused(base, tmp_path):
    trainer = make_trainer(base, tmp_path, peft_config=LORA, merge_adapter_at_save=False, max_steps=1)
    trainer.train()
    trainer.save_model()
    with pytest.raises(PublishError, match="an adapter and no whole model"):
        check_folder(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repo_id": "rooms"}, "give user/name"),
        ({"repo_id": "user/ro oms"}, "--repo-id user/ro oms"),
        ({"repo_id": "user/rooms", "space_id": "user/x"}, "add --space"),
        ({"repo_id": "user/rooms", "space": True, "space_hardware": "abacus"}, "the Hub has .*zero-a10g"),
        ({"repo_id": "user/rooms", "results": (Path("none.json"),)}, "--results none.json: there is no such file"),
        ({"repo_id": "user/rooms", "run": "igep"}, "add --results"),
        ({"repo_id": "user/" + "r" * 91, "space": True}, "--space-id"),
        ({"repo_id": "user/rooms", "results": (Path("a.json"), Path("./a.json"))}, "names a file twice"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        PublishOptions(model=Path(), **options)


def test_a_folder_that_is_none_of_ours(tmp_path):
    assert "is no folder" in refusal(*arguments(tmp_path / "none", "--dry-run", str(tmp_path / "dry")))
    assert "lacks config.json" in refusal(*arguments(tmp_path, "--dry-run", str(tmp_path / "dry")))


def test_results_of_another_model_are_refused(saved, tmp_path):
    results = write_results(tmp_path / "results.json", saved, model_name="someone_else")
    message = refusal(*arguments(saved, "--results", str(results), "--dry-run", str(tmp_path / "dry")))
    assert "has no run of 'my_model' but of other, someone_else" in message
    publish.main(
        arguments(saved, "--results", str(results), "--run", "someone_else", "--dry-run", str(tmp_path / "dry"))
    )


def test_results_of_other_weights_are_refused(saved, model, tmp_path):
    results = write_results(tmp_path / "results.json", saved)
    weights = {name: value + 1 for name, value in load_file(model / "model.safetensors").items()}
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    message = refusal(*arguments(model, "--results", str(results), "--dry-run", str(tmp_path / "dry")))
    assert "has the scores of other weights" in message


def test_published_code_is_what_a_saved_model_ships(saved):
    assert set(shipped_code()["igep"]) == {file.name for file in saved.glob("*.py")}
