"""The stand-in of the Hub through the real client: it keeps what was sent, and refuses what is wrong."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hub_stand_in import HubStandIn, LargeFile
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    create_repo,
    hf_hub_download,
    snapshot_download,
    upload_folder,
)
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session
from safetensors.numpy import save_file


pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning:httpx2")  # huggingface_hub 2.4 itself


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with HubStandIn(organizations=("lab",)) as stand_in:
        stand_in.connect(monkeypatch, tmp_path / "cache")
        yield stand_in


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder as a model leaves it: weights, text, a binary file with an innocent name, an empty file."""
    root = tmp_path / "folder"
    (root / "nested" / "deep").mkdir(parents=True)
    save_file({"weight": np.arange(50_000, dtype=np.float32)}, root / "model.safetensors")
    (root / "README.md").write_text("---\nlicense: apache-2.0\ntags: [rooms]\n---\n# Rooms\n")
    (root / "nested" / "notes with spaces.txt").write_text("é" * 700, encoding="utf-8")  # cut by the sample
    (root / "nested" / "deep" / "blob").write_bytes(bytes(range(256)))
    (root / "nested" / "empty.bin").touch()
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def without_attributes(files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: content for path, content in files.items() if path != ".gitattributes"}


@pytest.mark.parametrize("repo_type", ["model", "dataset"])
def test_a_folder_comes_back_byte_for_byte(hub, folder, repo_type):
    url = create_repo("user/rooms", repo_type=repo_type)
    assert (url.repo_id, url.repo_type) == ("user/rooms", repo_type)
    commit = upload_folder(repo_id="user/rooms", repo_type=repo_type, folder_path=folder, commit_message="All of it")
    repo = hub.repos[f"{repo_type}/user/rooms"]
    assert without_attributes(repo.files) == contents(folder)
    large = {path for path, content in repo.files.items() if isinstance(content, LargeFile)}
    assert large == {"model.safetensors", "nested/deep/blob"}
    assert repo.commits == ["initial commit", "All of it"]
    assert hub.calls.count("lfs_upload") == hub.calls.count("lfs_verify") == 2

    copy = Path(snapshot_download("user/rooms", repo_type=repo_type))
    assert copy.name == commit.oid == HfApi().repo_info("user/rooms", repo_type=repo_type).sha
    assert contents(copy) == repo.files
    assert contents(Path(snapshot_download("user/rooms", repo_type=repo_type, revision=copy.name))) == repo.files

    hub.calls.clear()  # what is there already is not sent again
    upload_folder(repo_id="user/rooms", repo_type=repo_type, folder_path=folder)
    assert repo.commits == ["initial commit", "All of it"]
    assert not {"lfs_upload", "commit"} & set(hub.calls)


def test_listings(hub, folder):
    create_repo("user/rooms")
    upload_folder(repo_id="user/rooms", folder_path=folder)
    api = HfApi()
    assert set(api.list_repo_files("user/rooms")) == {*contents(folder), ".gitattributes"}
    top = {entry.path: entry for entry in api.list_repo_tree("user/rooms")}
    assert set(top) == {".gitattributes", "README.md", "model.safetensors", "nested"}
    assert top["model.safetensors"].lfs.size == (folder / "model.safetensors").stat().st_size
    nested = {entry.path for entry in api.list_repo_tree("user/rooms", "nested", recursive=True)}
    assert nested == {"nested/notes with spaces.txt", "nested/deep", "nested/deep/blob", "nested/empty.bin"}
    git = subprocess.run(["git", "hash-object", folder / "README.md"], capture_output=True, text=True, check=True)
    assert top["README.md"].blob_id == git.stdout.strip()
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree("user/rooms", "missing"))
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("user/rooms", "missing.json")
    with pytest.raises(RevisionNotFoundError):
        snapshot_download("user/rooms", revision="missing")


def test_creating_repositories(hub):
    with pytest.raises(RepositoryNotFoundError):
        HfApi().repo_info("user/rooms")
    assert not HfApi().repo_exists("user/rooms")
    create_repo("rooms")  # under the name of the owner of the token
    assert HfApi().repo_exists("user/rooms")
    assert create_repo("user/rooms", exist_ok=True).repo_id == "user/rooms"
    with pytest.raises(HfHubHTTPError, match="409"):
        create_repo("user/rooms")
    create_repo("lab/rooms", repo_type="dataset")
    with pytest.raises(HfHubHTTPError, match="403.*namespace"):
        create_repo("somebody/rooms")
    assert set(hub.repos) == {"model/user/rooms", "dataset/lab/rooms"}
    assert HfApi().whoami()["name"] == "user"


def test_a_private_repository_is_shown_to_its_owner_only(hub, folder):
    create_repo("user/rooms", private=True)
    upload_folder(repo_id="user/rooms", folder_path=folder)
    assert hub.repos["model/user/rooms"].private
    assert HfApi().repo_info("user/rooms").private
    with pytest.raises(RepositoryNotFoundError):
        HfApi(token=False).repo_info("user/rooms")
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("user/rooms", "README.md", token=False)
    assert Path(hf_hub_download("user/rooms", "README.md")).read_bytes() == (folder / "README.md").read_bytes()


@pytest.mark.parametrize("token", ["hf_wrong", False])
def test_without_the_token_nothing_is_written(hub, folder, token):
    create_repo("user/rooms")
    for action in (
        lambda: create_repo("user/other", token=token),
        lambda: upload_folder(repo_id="user/rooms", folder_path=folder, token=token),
    ):
        with pytest.raises(HfHubHTTPError, match="401"):
            action()
    assert set(hub.repos) == {"model/user/rooms"}
    assert hub.repos["model/user/rooms"].commits == ["initial commit"]


def test_a_failing_commit_leaves_the_files_alone(hub, folder):
    create_repo("user/rooms")
    for status in (500, 403):
        hub.fail_next("commit", status, "out of order")
        with pytest.raises(HfHubHTTPError, match="out of order"):
            upload_folder(repo_id="user/rooms", folder_path=folder)
        assert without_attributes(hub.repos["model/user/rooms"].files) == {}
    upload_folder(repo_id="user/rooms", folder_path=folder)
    assert without_attributes(hub.repos["model/user/rooms"].files) == contents(folder)
    assert hub.calls.count("lfs_upload") == 2  # they stayed when the commit failed
    with pytest.raises(ValueError, match="no request is called comit"):
        hub.fail_next("comit", 500)


def test_a_transient_failure_is_repeated(hub, folder):
    create_repo("user/rooms")
    hub.fail_next("lfs_upload", 503)
    upload_folder(repo_id="user/rooms", folder_path=folder)
    assert without_attributes(hub.repos["model/user/rooms"].files) == contents(folder)
    assert hub.calls.count("lfs_upload") == 3


def test_a_commit_deletes_files_and_folders(hub, folder):
    create_repo("user/rooms")
    upload_folder(repo_id="user/rooms", folder_path=folder)
    repo = hub.repos["model/user/rooms"]
    before, files = repo.refs["main"], dict(repo.files)
    operations = [CommitOperationDelete("nested/deep/"), CommitOperationDelete("model.safetensors")]
    HfApi().create_commit("user/rooms", operations, commit_message="Less")
    assert set(files) - set(repo.files) == {"nested/deep/blob", "model.safetensors"}
    assert contents(Path(snapshot_download("user/rooms"))) == repo.files
    assert contents(Path(snapshot_download("user/rooms", revision=before))) == files
    with pytest.raises(EntryNotFoundError):
        HfApi().delete_file("model.safetensors", "user/rooms")
    with pytest.raises(HfHubHTTPError, match="412"):
        HfApi().delete_file("README.md", "user/rooms", parent_commit=before)

    (folder / "README.md").unlink()
    upload_folder(repo_id="user/rooms", folder_path=folder, delete_patterns="*")
    assert without_attributes(repo.files) == contents(folder)


def test_pull_requests_and_branches(hub):
    create_repo("user/rooms")
    HfApi().create_branch("user/rooms", branch="trial")
    addition = {"path_in_repo": "notes.txt", "repo_id": "user/rooms"}
    HfApi().upload_file(path_or_fileobj=b"trial", revision="trial", **addition)
    request = HfApi().upload_file(path_or_fileobj=b"request", create_pr=True, **addition)
    assert (request.pr_num, request.pr_revision) == (1, "refs/pr/1")
    assert "notes.txt" not in hub.repos["model/user/rooms"].files
    for revision, content in (("trial", b"trial"), ("refs/pr/1", b"request")):
        assert Path(hf_hub_download("user/rooms", "notes.txt", revision=revision)).read_bytes() == content


def test_an_object_that_was_not_uploaded_cannot_be_committed(hub):
    create_repo("user/rooms")
    addition = CommitOperationAdd("model.safetensors", b"weights")
    addition._upload_mode, addition._is_uploaded, addition._should_ignore = "lfs", True, False
    with pytest.raises(BadRequestError, match="was not uploaded"):
        HfApi().create_commit("user/rooms", [addition], commit_message="Weights")
    addition._upload_mode = "regular"
    with pytest.raises(BadRequestError, match="must be uploaded with LFS"):
        HfApi().create_commit("user/rooms", [addition], commit_message="Weights")


def test_an_upload_must_be_what_was_announced(hub):
    create_repo("user/rooms")
    batch = f"{hub.endpoint}/user/rooms.git/info/lfs/objects/batch"
    for announced, sent in ((b"weights", b"Weights"), (b"weights", b"weights"), (b"other", b"")):
        item = {"oid": hashlib.sha256(announced).hexdigest(), "size": len(announced)}
        answer = get_session().post(batch, json={"objects": [item]}, headers={"Authorization": "Bearer hf_stand_in"})
        upload = answer.json()["objects"][0]["actions"]["upload"]["href"]
        assert get_session().put(upload, content=sent).status_code == (200 if sent == announced else 400)
    assert list(hub.repos["model/user/rooms"].lfs_objects.values()) == [b"weights"]


def test_a_space_with_variables(hub):
    with pytest.raises(ValueError, match="space_sdk"):
        create_repo("user/demo", repo_type="space")
    create_repo("user/demo", repo_type="space", space_sdk="gradio", space_variables=[{"key": "FRAMES", "value": "8"}])
    api = HfApi()
    shown = api.add_space_variable("user/demo", "MODEL", "user/rooms")
    api.add_space_secret("user/demo", "HF_TOKEN", "hf_secret")
    space = hub.repos["space/user/demo"]
    assert (space.space_sdk, space.private) == ("gradio", False)
    assert {key: variable.value for key, variable in shown.items()} == {"FRAMES": "8", "MODEL": "user/rooms"}
    assert space.variables == {"FRAMES": "8", "MODEL": "user/rooms"}
    assert space.secrets == {"HF_TOKEN": "hf_secret"}
    api.delete_space_variable("user/demo", "FRAMES")
    assert api.get_space_variables("user/demo").keys() == {"MODEL"}
    assert api.space_info("user/demo").sdk == "gradio"


@pytest.mark.parametrize(
    ("repo_type", "metadata", "refused"),
    [
        ("model", "license: Apache 2", "license"),
        ("model", "tags: [3]", "tags"),
        ("model", "license: [", "YAML"),
        ("model", "just text", "mapping"),
        ("space", "sdk: gradium", "sdk"),
        ("space", "colorFrom: teal", "colorFrom"),
        ("space", f"short_description: {'long ' * 13}", "short_description"),
    ],
)
def test_a_card_with_wrong_metadata_is_refused(hub, repo_type, metadata, refused, monkeypatch):
    create_repo("user/rooms", repo_type=repo_type, space_sdk="gradio" if repo_type == "space" else None)
    target = {"path_in_repo": "README.md", "repo_id": "user/rooms", "repo_type": repo_type}
    card = f"---\n{metadata}\n---\n# Rooms\n".encode()
    with pytest.raises(ValueError, match=refused):
        HfApi().upload_file(path_or_fileobj=card, **target)
    hub.calls.clear()
    operation = CommitOperationAdd("README.md", card)
    monkeypatch.setattr(HfApi, "_validate_yaml", lambda *args, **kwargs: None)  # a client that does not ask
    with pytest.raises(BadRequestError, match=refused):
        HfApi().create_commit("user/rooms", [operation], commit_message="Card", repo_type=repo_type)
    assert "validate_yaml" not in hub.calls
    assert hub.repos[f"{repo_type}/user/rooms"].commits == ["initial commit"]


def test_a_model_card(hub):
    create_repo("user/rooms")
    card = ModelCard("---\nlicense: mit\nbase_model: user/base\n---\n# Rooms\n")
    card.validate()
    card.push_to_hub("user/rooms")
    assert hub.repos["model/user/rooms"].files["README.md"].decode() == str(card)
    assert HfApi().model_info("user/rooms").card_data.base_model == "user/base"
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        HfApi().upload_file(path_or_fileobj=b"# Rooms", path_in_repo="README.md", repo_id="user/rooms")


ROUND_TRIP = """
import sys
import torch
from transformers import AutoModelForImageTextToText
weights = AutoModelForImageTextToText.from_pretrained(sys.argv[1]).state_dict()
again = AutoModelForImageTextToText.from_pretrained("user/rooms", trust_remote_code=True).state_dict()
assert weights.keys() == again.keys() and all(torch.equal(weights[name], again[name]) for name in weights)
"""


@pytest.mark.slow
def test_another_process_loads_a_private_model(hub, checkpoint_folders, tmp_path):
    folder = checkpoint_folders["llava_onevision"]
    create_repo("user/rooms", private=True)
    upload_folder(repo_id="user/rooms", folder_path=folder)
    result = subprocess.run(
        [sys.executable, "-c", ROUND_TRIP, str(folder)],
        env={**os.environ, **hub.environment(tmp_path / "home")},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "resolve" in hub.calls
