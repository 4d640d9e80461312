"""Uploads to the Hub: what must hold before, one commit for each repository, and failures told in one line."""

import fnmatch
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from igep.trainers.cards.markdown import markdown_table
from igep.trainers.cards.training_run import RUN_FILE


STALE = r"[^/]+\.(safetensors|safetensors\.index\.json|py|bin|pt|pth)"
EMPTY = {".gitattributes", "README.md"}  # what a repository of the Hub holds before anything is uploaded
OURS = {"model": RUN_FILE, "space": "scene_page.py", "dataset": "scenes/train-*.parquet"}


class UploadError(ValueError):
    """The Hub did not take something; the message is one line."""


def check_repo_id(option: str, repo_id: str) -> None:
    """Raises a `ValueError` that names the option if no repository of the Hub can be called so."""
    if repo_id.count("/") != 1:
        raise ValueError(f"--{option} {repo_id}: give user/name (or organisation/name).")
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"--{option} {repo_id}: {error}") from error


@contextmanager
def hub_errors() -> Iterator[None]:
    """What can go wrong with the Hub, from `with` to the end of the block, becomes an `UploadError`."""
    try:
        yield
    except LocalTokenNotFoundError as error:
        raise UploadError("not logged in to the Hub: run `hf auth login`, or set HF_TOKEN.") from error
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled) as error:
        raise UploadError(_line(error)) from error
    except (httpx2.TransportError, ConnectionError, TimeoutError) as error:
        raise UploadError(
            f"the Hub cannot be reached ({_line(error)}): check the network and HF_ENDPOINT, and run the command "
            "again."
        ) from error
    except RuntimeError as error:  # huggingface_hub wraps whatever befalls a large file
        if not str(error).startswith("Error while uploading"):
            raise
        raise UploadError(
            f"{_line(error)} ({_line(error.__cause__)}) Nothing was committed: run the same command again."
        ) from error


def check_repository(api: HfApi, repo_id: str, kind: str, *, private: bool) -> None:
    """Makes sure that an upload may go to a repository: nothing private for all to see, nothing of others overwritten.

    Args:
        api (`HfApi`): The Hub.
        repo_id (`str`): Repository; it need not exist.
        kind (`str`): `model`, `dataset` or `space`.
        private (`bool`): Whether it is meant to be private.

    Raises:
        UploadError: It is public and should not be, or holds what no upload of this package wrote.
    """
    if not api.repo_exists(repo_id, repo_type=kind):
        return
    info = api.repo_info(repo_id, repo_type=kind)
    if private and not info.private:
        raise UploadError(
            f"{repo_id} is public already: make it private in its settings first, or do not ask for a private one."
        )
    files = {file.rfilename for file in info.siblings}
    if not files <= EMPTY and not fnmatch.filter(files, OURS[kind]):
        raise UploadError(
            f"{repo_id} is another {kind} already (it holds {min(files - EMPTY)} and no {OURS[kind]}): choose another "
            "id, or delete it."
        )


def upload_folder(api: HfApi, repo_id: str, kind: str, folder: Path, message: str, stale: str = STALE) -> list[str]:
    """Uploads a folder as one commit, which also removes files of an earlier upload that it does not replace.

    Args:
        api (`HfApi`): The Hub, with a token that may write.
        repo_id (`str`): An existing repository.
        kind (`str`): `model`, `dataset` or `space`.
        folder (`Path`): What to upload.
        message (`str`): Of the commit.
        stale (`str`, *optional*): Which files those may be, a regular expression; weights and code at the root by
            default.

    Returns:
        `list[str]`: What was removed.

    Raises:
        HfHubHTTPError: The Hub refuses; `hub_errors` makes one line of it and the rest.
    """
    kept = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    there = api.list_repo_files(repo_id, repo_type=kind)
    removed = [name for name in there if re.fullmatch(stale, name) and name not in kept]
    api.upload_folder(
        repo_id=repo_id, repo_type=kind, folder_path=folder, commit_message=message, delete_patterns=removed
    )
    return removed


def listing(folder: Path) -> str:
    """The files of a folder and their sizes as a table."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = [["file", "bytes"]]
    rows += [[str(path.relative_to(folder)), f"{path.stat().st_size:,}"] for path in files]
    return markdown_table(rows)


def _line(error: BaseException | None) -> str:
    return " ".join(str(error).split())
