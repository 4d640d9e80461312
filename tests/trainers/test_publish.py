"""`trainers/publish.py`: what is checked, what would be uploaded, and what a Hub on this machine really receives."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_stand_in import LargeFile
from huggingface_hub import HfApi, ModelCard
from publish_command import arguments, contents, pushed, refusal, write_results
from published_models import LORA
from safetensors.torch import load_file
from tiny_training import make_trainer

from igep.trainers import publish, sft
from igep.trainers.publish import SPACE
from igep.trainers.publishing.hub_upload import UploadError, hub_errors


pytest_plugins = ["publish_command", "published_models"]

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning:httpx2"),  # huggingface_hub 2.4 itself
    pytest.mark.usefixtures("loaded_once"),
]


# ---- dry run


def test_dry_run_writes_a_model_that_loads(saved, tmp_path, capsys, real_loading):
    results = write_results(tmp_path / "results.json", saved)
    options = ["--results", str(results), "--space", "--dry-run", str(tmp_path / "dry")]
    publish.main(arguments(saved, *options))
    shown = capsys.readouterr().out
    assert "no training head, no pickle" in shown
    assert "checkpoint-2" in shown, "what is left out is said"
    names = set(contents(tmp_path / "dry" / "model"))
    assert {"README.md", "config.json", "model.safetensors", "modeling_igep.py", "training_run.json"} <= names
    assert not [name for name in names if "checkpoint" in name or name.endswith((".bin", ".pt", ".pth"))]
    assert all(name in shown for name in names)
    card = ModelCard.load(tmp_path / "dry" / "model" / "README.md")
    assert {result.metric_value for result in card.data.eval_results} == {0.5, 0.9}
    assert "| exact match, mean, rooms | share | higher | -       | 0.500      | 0.400 |" in card.text
    space = contents(tmp_path / "dry" / "space")
    assert space["app.py"] == (SPACE / "app.py").read_bytes()
    assert "user/rooms" in space["README.md"].decode()
    code = (
        "from transformers import AutoModelForImageTextToText, AutoProcessor\n"
        f"folder = {str(tmp_path / 'dry' / 'model')!r}\n"
        "AutoProcessor.from_pretrained(folder, trust_remote_code=True)\n"
        "AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=True)\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=True, capture_output=True)


def test_dry_run_sends_nothing_and_overwrites_nothing(saved, tmp_path, hub):
    publish.main(arguments(saved, "--dry-run", str(tmp_path / "dry")))
    assert hub.calls == []
    before = contents(tmp_path / "dry")
    assert "holds something: give a new folder" in refusal(*arguments(saved, "--dry-run", str(tmp_path / "dry")))
    assert contents(tmp_path / "dry") == before


def test_published_configuration_names_no_folder(saved, model, base, tmp_path):
    assert str(base.parent) not in (saved / "config.json").read_text(), "what the trainer pushes itself"
    config = json.loads((model / "config.json").read_text())
    config["vlm_config"]["_name_or_path"] = str(base)  # as older folders have it
    (model / "config.json").write_text(json.dumps(config))
    saved = model
    publish.main(arguments(saved, "--dry-run", str(tmp_path / "dry")))
    for name, content in contents(tmp_path / "dry" / "model").items():
        if not name.endswith(".safetensors"):
            assert str(base.parent) not in content.decode(), name
            assert str(saved.parent) not in content.decode(), name
    assert json.loads((tmp_path / "dry/model/config.json").read_text())["vlm_config"]["_name_or_path"] == base.name


# ---- upload


def test_upload_is_what_the_dry_run_wrote(saved, tmp_path, hub, capsys):
    publish.main(arguments(saved, "--space", "--private", "--dry-run", str(tmp_path / "dry")))
    publish.main(arguments(saved, "--space", "--private"))
    repo, space = hub.repos["model/user/rooms"], hub.repos["space/user/rooms-space"]
    assert pushed(repo) == contents(tmp_path / "dry" / "model")
    assert pushed(space) == contents(tmp_path / "dry" / "space")
    assert isinstance(repo.files["model.safetensors"], LargeFile)
    assert isinstance(space.files["examples/room_1.mp4"], LargeFile)
    assert repo.private
    assert space.private
    assert space.space_sdk == "gradio"
    assert space.variables == {"MODEL_ID": "user/rooms"}
    shown = capsys.readouterr().out
    assert f"Published {hub.endpoint}/user/rooms\n" in shown
    assert "HF_TOKEN" in shown


@pytest.mark.slow
def test_the_uploaded_model_loads_by_its_id(saved, tmp_path, hub):
    publish.main(arguments(saved))
    code = (
        "from transformers import AutoModelForImageTextToText, AutoProcessor\n"
        "AutoProcessor.from_pretrained('user/rooms', trust_remote_code=True)\n"
        "model = AutoModelForImageTextToText.from_pretrained('user/rooms', trust_remote_code=True)\n"
        "print(sum(value.double().sum().item() for value in model.state_dict().values()))\n"
    )
    environment = {**os.environ, **hub.environment(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    expected = sum(value.double().sum().item() for value in load_file(saved / "model.safetensors").values())
    assert float(done.stdout.split()[-1]) == pytest.approx(expected, rel=1e-9)


def test_a_second_upload_replaces_the_first(saved, model, hub):
    publish.main(arguments(saved))
    stale = hub.repos["model/user/rooms"]
    stale.files["model-00001-of-00002.safetensors"] = b"old"
    stale.files["notes.md"] = stale.files["scripts/eval.py"] = stale.files["gguf/model.safetensors"] = b"by hand"
    stale.files["pytorch_model.bin"] = b"old"
    publish.main(arguments(model))
    files = hub.repos["model/user/rooms"].files
    assert not {"model-00001-of-00002.safetensors", "pytorch_model.bin"} & set(files)
    for name in ("notes.md", "scripts/eval.py", "gguf/model.safetensors"):
        assert files[name] == b"by hand", "what others have added stays"
    assert len(hub.repos["model/user/rooms"].commits) <= 3


def test_failures_are_told_in_one_line(saved, hub, monkeypatch):
    hub.fail_next("commit", 403, "you may not write here")
    assert "you may not write here" in refusal(*arguments(saved))
    assert pushed(hub.repos["model/user/rooms"]) == {}, "all or nothing"
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "Invalid user token" in refusal(*arguments(saved))
    monkeypatch.delenv("HF_TOKEN")
    assert "hf auth login" in refusal(*arguments(saved))


def test_without_network_it_says_so(saved, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_TOKEN", "hf_stand_in")
    message = refusal(*arguments(saved))
    assert message.startswith("publish.py: error: ")
    assert "offline" in message.lower()


def test_a_public_repository_does_not_take_what_is_private(saved, hub):
    publish.main(arguments(saved))
    before = dict(hub.repos["model/user/rooms"].files)
    assert "user/rooms is public already" in refusal(*arguments(saved, "--private"))
    assert hub.repos["model/user/rooms"].files == before


def test_a_private_model_gets_no_public_space(saved, hub):
    publish.main(arguments(saved, "--private"))
    assert "user/rooms is private, which a public Space could not read" in refusal(*arguments(saved, "--space"))
    publish.main(arguments(saved, "--space", "--private"))


@pytest.mark.parametrize("error", [ConnectionError("Network error: no route"), TimeoutError("timed out")])
def test_other_failures_of_the_network_are_told_as_such(error):
    with pytest.raises(UploadError, match="the Hub cannot be reached .*run the command again"), hub_errors():
        raise error


def test_another_model_is_not_overwritten(saved, hub):
    HfApi().create_repo("user/rooms")
    HfApi().upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="user/rooms")
    assert "user/rooms is another model already (it holds config.json" in refusal(*arguments(saved))
    assert pushed(hub.repos["model/user/rooms"]) == {"config.json": b"{}"}


def test_a_space_may_bear_the_name_of_its_model(saved, hub, capsys):
    publish.main(arguments(saved, "--space", "--space-id", "user/rooms"))
    assert "model.safetensors" in hub.repos["model/user/rooms"].files
    assert "app.py" in hub.repos["space/user/rooms"].files


def test_another_space_is_not_overwritten(saved, hub):
    HfApi().create_repo("user/rooms-space", repo_type="space", space_sdk="docker")
    HfApi().upload_file(path_or_fileobj=b"mine", path_in_repo="app.py", repo_id="user/rooms-space", repo_type="space")
    assert "user/rooms-space is another space already" in refusal(*arguments(saved, "--space"))
    assert hub.repos["space/user/rooms-space"].files["app.py"] == b"mine"
    assert "model/user/rooms" not in hub.repos, "nothing is half published"
    publish.main(arguments(saved, "--space", "--space-id", "user/other"))
    publish.main(arguments(saved, "--space", "--space-id", "user/other"))


def test_a_space_that_fails_says_that_the_model_is_there(saved, hub):
    hub.fail_next("settings", 403, "no variables for you")
    message = refusal(*arguments(saved, "--space"))
    assert "The model is at" in message
    assert "no variables for you" in message
    publish.main(arguments(saved, "--space"))
    assert "app.py" in hub.repos["space/user/rooms-space"].files, "the same command succeeds afterwards"


@pytest.mark.parametrize(("step", "status"), [("lfs_upload", 400), ("lfs_verify", 403)])
def test_large_files_that_fail_are_told_in_one_line(saved, hub, step, status):
    hub.fail_next(step, status)
    message = refusal(*arguments(saved, "--space"))
    assert "Error while uploading 'model.safetensors'" in message
    assert "injected failure" in message
    assert "run the same command again" in message
    assert pushed(hub.repos["model/user/rooms"]) == {}
    publish.main(arguments(saved, "--space"))


def test_a_space_whose_large_file_failed_can_be_published_again(saved, hub):
    publish.main(arguments(saved))
    hub.fail_next("lfs_upload", 400)
    message = refusal(*arguments(saved, "--space"))
    assert "The model is at" in message
    assert "Error while uploading" in message
    publish.main(arguments(saved, "--space"))
    assert "app.py" in hub.repos["space/user/rooms-space"].files


# ---- the trainer's own push


@pytest.mark.slow
@pytest.mark.parametrize("peft_config", [None, LORA], ids=["full", "lora"])
def test_pushing_while_training_gives_the_same_card(base, tmp_path, hub, peft_config):
    options = {"push_to_hub": True, "hub_model_id": "user/rooms"}
    trainer = make_trainer(base, tmp_path / "my_model", peft_config=peft_config, **options)
    trainer.train()
    trainer.save_model()
    repo = hub.repos["model/user/rooms"]
    publish.main(arguments(tmp_path / "my_model", "--dry-run", str(tmp_path / "dry")))
    staged = contents(tmp_path / "dry" / "model")
    assert repo.files["README.md"] == staged["README.md"]
    assert repo.files["training_run.json"] == staged["training_run.json"]
    assert repo.files["config.json"] == staged["config.json"]
    assert bytes(repo.files["model.safetensors"]) == staged["model.safetensors"]
    assert "hf_stand_in" not in repo.files["training_run.json"].decode()


def train_and_push(base: Path, folder: Path, *more: str) -> list[str]:
    options = {
        "output_dir": folder,
        "model_name_or_path": base,
        "num_rooms": 2,
        "max_steps": 1,
        "hub_model_id": "user/rooms",
    }
    quick = {"report_to": "none", "use_cpu": True, "save_strategy": "no", "verifier_channels": 8, "global_weight": 0}
    given = {
        **options,
        **quick,
        "push_to_hub": True,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 1,
    }
    return [*(f"--{name}={value}" for name, value in given.items()), *more]


@pytest.mark.slow
def test_a_push_that_fails_leaves_the_model_and_says_how_to_go_on(base, tmp_path, hub, monkeypatch):
    hub.fail_next("lfs_upload", 400)
    with pytest.raises(SystemExit) as caught:
        sft.main(train_and_push(base, tmp_path / "my_model"))
    assert "Error while uploading" in str(caught.value)
    assert "igep publish --model" in str(caught.value)
    publish.main(["--model", str(tmp_path / "my_model"), "--repo-id", "user/rooms"])
    with pytest.raises(SystemExit, match="user/rooms is public already"):
        sft.main(train_and_push(base, tmp_path / "private", "--hub_private_repo=true"))
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(SystemExit, match="hf auth login"):
        sft.main(train_and_push(base, tmp_path / "nobody"))


def test_training_from_a_published_model_keeps_its_history(saved, base, tmp_path, hub):
    publish.main(arguments(saved))
    trainer = make_trainer(base, tmp_path / "next")
    trainer.base_model = "user/rooms"
    trainer.create_model_card()
    run = json.loads((tmp_path / "next" / "training_run.json").read_text())
    assert [before["base_model"]["name"] for before in run["earlier"]] == [base.name]
