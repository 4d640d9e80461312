"""Uploads to the Hub: what must hold before, one commit for each repository, and failures told in one line."""

import fnmatch
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled

from igep.trainers.training_run import RUN_FILE


STALE = (".safetensors", ".safetensors.index.json", ".py", ".bin", ".pt", ".pth")  # left by an earlier upload
EMPTY = {".gitattributes", "README.md"}  # what a repository of the Hub holds before anything is uploaded
OURS = {"model": RUN_FILE, "space": "scene_page.py", "dataset": "scenes/train-*.parquet"}


class UploadError(ValueError):
    """The Hub did not take something; the message is one line."""


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
            f"the Hub cannot be reached ({_line(error)}): check the network and HF_ENDPOINT, and run the command again."
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
            f"{repo_id} is another {kind} already (it holds {min(files - EMPTY)} and no {OURS[kind]}): choose another id, "
            "or delete it."
        )


def upload_folder(api: HfApi, repo_id: str, kind: str, folder: Path, message: str) -> list[str]:
    """Uploads a folder as one commit, which also removes weights and code of an earlier upload that it does not replace.

    Args:
        api (`HfApi`): The Hub, with a token that may write.
        repo_id (`str`): An existing repository.
        kind (`str`): `model`, `dataset` or `space`.
        folder (`Path`): What to upload.
        message (`str`): Of the commit.

    Returns:
        `list[str]`: What was removed.

    Raises:
        HfHubHTTPError: The Hub refuses; `hub_errors` makes one line of it and the rest.
    """
    kept = {path.name for path in folder.iterdir()}
    there = api.list_repo_files(repo_id, repo_type=kind)
    stale = [name for name in there if "/" not in name and name.endswith(STALE) and name not in kept]
    api.upload_folder(
        repo_id=repo_id, repo_type=kind, folder_path=folder, commit_message=message, delete_patterns=stale
    )
    return stale


def _line(error: BaseException | None) -> str:
    return " ".join(str(error).split())
