"""Publishes a trained model on the Hub: weights, code, processor and a card, and a Space that shows it.

    igep publish --model outputs/my_model --repo-id user/name --results outputs/scores.json --space --dry-run
    igep publish --model outputs/my_model --repo-id user/name --results outputs/scores.json --space

What would be uploaded is checked first: it loads and answers in a new process through the Auto classes, and holds no
training head and no pickle. With `--dry-run` it is written to a folder instead, and nothing leaves this machine.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, ModelCard, SpaceHardware
from jinja2 import Template

from igep.trainers.cards.evaluation_results import read_all_results
from igep.trainers.cards.model_card import model_card, was_supervised
from igep.trainers.cards.training_run import read_training_run
from igep.trainers.package_files import CARD_TEMPLATES, SPACE
from igep.trainers.publishing.hub_upload import (
    UploadError,
    check_repo_id,
    check_repository,
    hub_errors,
    listing,
    upload_folder,
)
from igep.trainers.publishing.published_folder import check_folder, check_new_folder, stage_model, try_model


HARDWARE = {hardware.value for hardware in SpaceHardware}
SDK_VERSION = "6.31.0"  # of Gradio, which the Space was written for


@dataclass(frozen=True)
class PublishOptions:
    """What to publish, and where.

    Args:
        model (`Path`): Folder that `igep sft` saved.
        repo_id (`str`): `user/name` on the Hub.
        results (`tuple[Path, ...]`, *optional*): Scores, as the evaluations of this package write them.
        run (`str`, *optional*): Which run of the results is the model; the name of its folder unless given.
        licence (`str`, *optional*): Licence of the model; that of the base, or of a non-commercial teacher, unless
            given.
        space (`bool`, *optional*, defaults to `False`): Make a Space as well.
        space_id (`str`, *optional*): Its id; `<repo_id>-space` unless given.
        space_hardware (`str`, *optional*): Its hardware, such as `zero-a10g`; the free CPU unless given.
        private (`bool`, *optional*, defaults to `False`): For nobody else to see.

    Raises:
        ValueError: A name that cannot be one on the Hub, or options that need `space`.
    """

    model: Path
    repo_id: str
    results: tuple[Path, ...] = ()
    run: str | None = None
    licence: str | None = None
    space: bool = False
    space_id: str | None = None
    space_hardware: str | None = None
    private: bool = False

    def __post_init__(self):
        names = [("repo-id", self.repo_id), *([("space-id", self.space_name)] if self.space or self.space_id else [])]
        for name, value in names:
            check_repo_id(name, value)
        if not self.space and (self.space_id or self.space_hardware):
            raise ValueError("--space-id and --space-hardware are about a Space: add --space.")
        if self.run is not None and not self.results:
            raise ValueError(f"--run {self.run} picks one of several results: add --results.")
        if len({file.resolve() for file in self.results}) != len(self.results):
            raise ValueError("--results names a file twice: give each once.")
        missing = [str(file) for file in self.results if not file.is_file()]
        if missing:
            raise ValueError(f"--results {missing[0]}: there is no such file.")
        if self.space_hardware and self.space_hardware not in HARDWARE:
            raise ValueError(f"--space-hardware {self.space_hardware}: the Hub has {', '.join(sorted(HARDWARE))}.")

    @property
    def space_name(self) -> str:
        """Id of the Space."""
        return self.space_id or f"{self.repo_id}-space"


@dataclass(frozen=True)
class Staged:
    """What would be uploaded.

    Args:
        model (`Path`): Folder of the model's repository.
        space (`Path`, *optional*): Folder of the Space.
    """

    model: Path
    space: Path | None


def stage(options: PublishOptions, target: Path, *, link: bool = False) -> Staged:
    """Checks the model and lays out what would be uploaded; what is laid out is what is loaded and tried.

    Args:
        options (`PublishOptions`): What to publish.
        target (`Path`): Folder to write to; `model` and `space` in it must not exist.
        link (`bool`, *optional*, defaults to `False`): Weights are links, for an upload at once, instead of copies.

    Returns:
        `Staged`

    Raises:
        PublishError: The model must not be published as it is.
        ValueError: The results are not those of this model.
        OSError: A file cannot be read or written.
    """
    checked = check_folder(options.model)
    run = read_training_run(options.model)
    name = options.run or options.model.resolve().name
    evaluations = read_all_results(options.results, name, options.model)
    card = model_card(run, repo_id=options.repo_id, evaluations=evaluations, licence=options.licence)
    staged = Staged(target / "model", target / "space" if options.space else None)
    staged.model.mkdir(parents=True)
    stage_model(options.model, checked.files, card, staged.model, link=link)
    parameters = try_model(staged.model, run["usage"]["frames_as"])
    print(f"{options.model}: {parameters:,} parameters load and answer in a new process; no training head, no pickle.")
    if checked.left_out:
        print(f"Not part of the model, left out: {', '.join(checked.left_out)}")
    if checked.changed:
        print(f"Not as in this version of igep, published as it is: {', '.join(checked.changed)}")
    if staged.space is not None:
        shutil.copytree(SPACE, staged.space, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        card = space_card(options.space_name, options.repo_id, supervised=was_supervised(run))
        (staged.space / "README.md").write_text(card, encoding="utf-8")
    return staged


def space_card(space_id: str | None, model_id: str | None, *, supervised: bool = False) -> str:
    """README.md of the Space, with the front matter that the Hub reads.

    Args:
        space_id (`str`, *optional*): Its id; the address of a local one unless given.
        model_id (`str`, *optional*): The model that it shows.
        supervised (`bool`, *optional*, defaults to `False`): Whether 3D geometry supervised that model's training.

    Returns:
        `str`
    """
    template = Template((CARD_TEMPLATES / "space_card.md.jinja").read_text(encoding="utf-8"))
    card = template.render(
        title="Ask about a 3D scene" if model_id is None else model_id.split("/")[-1],
        sdk_version=SDK_VERSION,
        models=[] if model_id is None else [model_id],
        address=space_id or "http://127.0.0.1:7860",
        space_id=space_id,
        supervised=supervised,
    )
    return card.rstrip() + "\n"


def check_access(options: PublishOptions, api: HfApi) -> None:
    """Makes sure before anything else that the upload can succeed.

    Args:
        options (`PublishOptions`): What to publish.
        api (`HfApi`): The Hub.

    Raises:
        UploadError: Nobody is logged in, the Hub cannot be reached, or a repository of the name is public and should
            not be, or is something else.
    """
    with hub_errors():
        api.whoami()
        check_repository(api, options.repo_id, "model", private=options.private)
        if options.space:
            check_repository(api, options.space_name, "space", private=options.private)
            if not options.private and api.repo_exists(options.repo_id) and api.repo_info(options.repo_id).private:
                raise UploadError(f"{options.repo_id} is private, which a public Space could not read: add --private.")


def upload(options: PublishOptions, staged: Staged, api: HfApi) -> list[str]:
    """Uploads what `stage` laid out, each repository as one commit.

    Args:
        options (`PublishOptions`): What to publish.
        staged (`Staged`): What `stage` returned.
        api (`HfApi`): The Hub, with a token that may write.

    Returns:
        `list[str]`: Addresses of the repositories.

    Raises:
        UploadError: The Hub refuses; if only the Space failed, the message says that the model is there.
    """
    with hub_errors():
        ModelCard.load(staged.model / "README.md").validate()
        address = str(api.create_repo(options.repo_id, private=options.private, exist_ok=True))
        _tell(options.repo_id, upload_folder(api, options.repo_id, "model", staged.model, "Publish the model"))
    if staged.space is None:
        return [address]
    try:
        with hub_errors():
            return [address, _upload_space(options, staged.space, api)]
    except UploadError as error:
        raise UploadError(f"The model is at {address}, but its Space {options.space_name} failed: {error}") from error


def _upload_space(options: PublishOptions, folder: Path, api: HfApi) -> str:
    address = api.create_repo(
        options.space_name,
        repo_type="space",
        space_sdk="gradio",
        space_hardware=options.space_hardware,
        private=options.private,
        exist_ok=True,
    )
    # Before the files, so that the first start of the Space knows its model.
    api.add_space_variable(options.space_name, "MODEL_ID", options.repo_id)
    _tell(options.space_name, upload_folder(api, options.space_name, "space", folder, f"Show {options.repo_id}"))
    return str(address)


def _tell(repo_id: str, removed: list[str]) -> None:
    if removed:
        print(f"Removed from {repo_id}, being of an earlier upload: {', '.join(removed)}")


def parse(arguments: Sequence[str] | None = None) -> tuple[PublishOptions, Path | None]:
    """Reads the command line; the second value is the folder of a dry run."""
    parser = argparse.ArgumentParser(prog="publish.py", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--model", type=Path, required=True, help="folder that sft.py saved")
    parser.add_argument("--repo-id", "--repo_id", required=True, help="user/name on the Hub")
    parser.add_argument(
        "--results", type=Path, nargs="+", default=[], help="scores for the card: JSON files that evaluations wrote"
    )
    parser.add_argument("--run", help="which run of the results is this model (default: the folder's name)")
    parser.add_argument(
        "--licence", "--license", help="licence of the model (default: inherited from base and teacher)"
    )
    parser.add_argument("--space", action="store_true", help="make a Gradio Space of the model as well")
    parser.add_argument("--space-id", help="its id (default: <repo-id>-space)")
    parser.add_argument("--space-hardware", help="hardware of a new Space, such as zero-a10g (default: the free CPU)")
    parser.add_argument("--private", action="store_true", help="for nobody else to see")
    parser.add_argument(
        "--dry-run",
        type=Path,
        nargs="?",
        const=Path("outputs/dry_run"),
        metavar="FOLDER",
        help="upload nothing: write what would be uploaded to a new folder (default: outputs/dry_run)",
    )
    options = vars(parser.parse_args(arguments))
    dry_run = options.pop("dry_run")
    options["results"] = tuple(options["results"])
    return PublishOptions(**options), dry_run


def publish(options: PublishOptions, dry_run: Path | None) -> None:
    """Publishes, or writes what would be published to a new folder.

    Args:
        options (`PublishOptions`): What to publish.
        dry_run (`Path`, *optional*): The folder; nothing is uploaded if it is given.

    Raises:
        PublishError: The model must not be published as it is.
        ValueError: The folder of a dry run holds something.
        UploadError: The Hub refuses.
    """
    if dry_run is not None:
        _dry_run(options, dry_run)
        return
    api = HfApi()
    check_access(options, api)
    with tempfile.TemporaryDirectory() as scratch:
        staged = stage(options, Path(scratch), link=True)
        _show(options, staged)
        for address in upload(options, staged, api):
            print(f"Published {address}")
    if options.space and options.private:
        print(f"The Space needs a token to read the private model: set the secret HF_TOKEN of {options.space_name}.")


def _dry_run(options: PublishOptions, folder: Path) -> None:
    check_new_folder(folder, "--dry-run")
    try:
        staged = stage(options, folder)
    except BaseException:  # half a dry run would be in the way of the next
        for part in ("model", "space"):
            shutil.rmtree(folder / part, ignore_errors=True)
        raise
    _show(options, staged)
    print("Nothing was uploaded.")


def _show(options: PublishOptions, staged: Staged) -> None:
    for kind, repo_id, folder in (
        ("Model", options.repo_id, staged.model),
        ("Space", options.space_name, staged.space),
    ):
        if folder is not None:
            print(f"\n{kind} {repo_id}, from {folder}:\n\n{listing(folder)}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        publish(*parse(arguments))
    except (ValueError, OSError) as error:
        sys.exit(f"publish.py: error: {' '.join(str(error).split())}")
    except KeyboardInterrupt:
        sys.exit("publish.py: interrupted.")


if __name__ == "__main__":
    main()
