"""Publishes converted scenes on the Hub as two Parquet tables with a card, or writes what would be published.

    python trainers/publish_scenes.py --dataset scannet --dataset_path path/to/scenes --repo-id user/rooms --licence mit
        --source "Recorded with a phone in our office." --dry-run outputs/rooms_dataset

Every other flag says which scenes, as in `sft.py`. Check the licence of what you convert: ScanNet's terms, for one, do not
allow to publish its frames.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx2
from datasets import Dataset
from datasets.table import embed_table_storage
from huggingface_hub import DatasetCard, DatasetCardData, HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled
from tqdm import tqdm
from transformers import HfArgumentParser

from igep.trainers.check_scenes import check_scenes, format_reports
from igep.trainers.data.load_scenes import SceneSource, load_scenes
from igep.trainers.licences import Licence
from igep.trainers.model_card import TEMPLATES, in_markdown
from igep.trainers.publish import checked_repo_id, listing
from igep.trainers.published_folder import PublishError


SCENES_PER_FILE = 50
CHECKED_SCENES = 3
GAPS = (1, 5)


def dataset_card(
    scenes: Dataset, questions: Dataset | None, *, repo_id: str, licence: str | None, source: str, check: str = ""
) -> str:
    """Writes the card of converted scenes.

    Args:
        scenes (`Dataset`): Table with `SCENE_FEATURES`.
        questions (`Dataset`, *optional*): Table with `QUESTION_FEATURES`.
        repo_id (`str`): `user/name` on the Hub.
        licence (`str`, *optional*): Licence of the data.
        source (`str`): A sentence on where the scenes come from.
        check (`str`, *optional*): What `igep check` printed.

    Returns:
        `str`: Markdown; its metadata names the two tables.
    """
    light = scenes.with_format("arrow").select_columns(["frame_ids", "depth", "world_from_camera", "boxes"])
    rows = [light[number].to_pylist()[0] for number in range(len(light))]
    tables = {"scenes": scenes, "questions": questions}
    configs = [
        {"config_name": name, "data_files": [{"split": "train", "path": f"{name}/train-*"}]}
        for name, table in tables.items()
        if table is not None
    ]
    data = DatasetCardData(
        **({} if licence is None else Licence(licence).metadata),
        language="en",
        task_categories=["visual-question-answering", "depth-estimation"],
        tags=["3d", "igep", "rgb-d", "camera-poses"],
        pretty_name=repo_id.split("/")[-1],
        configs=configs,
    )
    card = DatasetCard.from_template(
        data,
        template_path=str(TEMPLATES / "dataset_card.md.jinja"),
        name=repo_id.split("/")[-1],
        repo_id=repo_id,
        source=in_markdown(source),
        num_scenes=len(rows),
        num_frames=sum(len(row["frame_ids"]) for row in rows),
        num_depth=sum(sum(image is not None for image in row["depth"] or ()) for row in rows),
        num_posed=sum(bool(row["world_from_camera"]) for row in rows),
        num_boxed=sum(bool(row["boxes"]) for row in rows),
        num_questions=0 if questions is None else len(questions),
        scene_columns=[(name, _kind(feature)) for name, feature in scenes.features.items()],
        question_columns=[] if questions is None else [(n, _kind(f)) for n, f in questions.features.items()],
        check=check,
        licence_text=f"`{licence}`." if licence else "Not stated by whoever published it.",
    )
    return str(card).rstrip() + "\n"


def stage_scenes(scenes: Dataset, questions: Dataset | None, card: str, target: Path) -> None:
    """Writes both tables and the card into a new folder.

    Args:
        scenes (`Dataset`): Table of scenes.
        questions (`Dataset`, *optional*): Table of questions.
        card (`str`): README.md.
        target (`Path`): The folder.
    """
    for name, table in (("scenes", scenes), ("questions", questions)):
        if table is None:
            continue
        (target / name).mkdir(parents=True)
        shards = math.ceil(len(table) / SCENES_PER_FILE) if name == "scenes" else 1
        for shard in tqdm(range(shards), desc=f"writing {name}", unit="file"):
            part = table.shard(shards, shard, contiguous=True).with_format("arrow")
            # Loaders note where an image lies; what is published holds the image itself.
            part = part.map(embed_table_storage, batched=True, batch_size=1, load_from_cache_file=False)
            part.to_parquet(target / name / f"train-{shard:05d}-of-{shards:05d}.parquet")
    (target / "README.md").write_text(card, encoding="utf-8")


def _kind(feature: object) -> str:
    """A feature in one short line."""
    text = repr(feature).replace("'", "")
    for long, short in (("(mode=None, decode=True)", ""), ("Value(", ""), ("List(", "list of ("), ("id=None", "")):
        text = text.replace(long, short)
    return text if len(text) < 60 else "see `igep.trainers.data.spatial_example`"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = HfArgumentParser(SceneSource, prog="publish_scenes.py", description=__doc__.split("\n")[0])
    parser.add_argument("--repo-id", required=True, help="user/name on the Hub")
    parser.add_argument("--licence", help="licence of the data, such as mit or cc-by-4.0")
    parser.add_argument("--source", default="", help="a sentence on where the scenes come from")
    parser.add_argument("--private", action="store_true", help="for nobody else to see")
    parser.add_argument("--dry-run", type=Path, metavar="FOLDER", help="write to this new folder, upload nothing")
    parser.add_argument("--publish-wrong-geometry", action="store_true", help="even where `igep check` says wrong")
    try:
        source, options = parser.parse_args_into_dataclasses(arguments)
        checked_repo_id("repo-id", options.repo_id)
        if options.licence is not None:
            Licence(options.licence)
        publish_scenes(source, options)
    except LocalTokenNotFoundError:
        sys.exit("publish_scenes.py: error: not logged in to the Hub: run `hf auth login`, or set HF_TOKEN.")
    except httpx2.TransportError as error:
        sys.exit(f"publish_scenes.py: error: the Hub cannot be reached ({error}): check the network and HF_ENDPOINT.")
    except (ValueError, OSError, HfHubHTTPError, OfflineModeIsEnabled) as error:
        sys.exit(f"publish_scenes.py: error: {' '.join(str(error).split())}")


def publish_scenes(source: SceneSource, options: argparse.Namespace) -> None:
    """Converts, checks and publishes.

    Args:
        source (`SceneSource`): Which scenes.
        options (`argparse.Namespace`): `repo_id`, `licence`, `source`, `private` and `dry_run`.

    Raises:
        SpatialDataError: The scenes break their format.
        ValueError: The folder of a dry run holds something.
        HfHubHTTPError: The Hub refuses.
    """
    if options.dry_run is not None and options.dry_run.exists() and any(options.dry_run.iterdir()):
        raise ValueError(f"--dry-run {options.dry_run} holds something: give a new folder, or remove it.")
    scenes, questions = load_scenes(source)
    reports = check_scenes(scenes.select(range(min(CHECKED_SCENES, len(scenes)))), gaps=GAPS)
    print(format_reports(reports, GAPS))
    wrong = [report.scene_id for report in reports if report.verdict == "wrong"]
    if wrong and not options.publish_wrong_geometry:
        raise PublishError(
            f"the geometry of {', '.join(wrong)} is wrong (see above, and `igep check`): mend it, or give --publish-wrong-geometry."
        )
    card = dataset_card(
        scenes,
        questions,
        repo_id=options.repo_id,
        licence=options.licence,
        source=options.source,
        check=format_reports(reports, GAPS),
    )
    if options.dry_run is not None:
        stage_scenes(scenes, questions, card, options.dry_run)
        print(f"Would be uploaded to {options.repo_id}, now in {options.dry_run}:\n\n{listing(options.dry_run)}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        stage_scenes(scenes, questions, card, Path(scratch))
        api = HfApi()
        if api.repo_exists(options.repo_id, repo_type="dataset"):
            info = api.repo_info(options.repo_id, repo_type="dataset")
            if options.private and not info.private:
                raise PublishError(
                    f"{options.repo_id} is public already: make it private in its settings first, or leave --private out."
                )
        address = api.create_repo(options.repo_id, repo_type="dataset", private=options.private, exist_ok=True)
        api.upload_folder(
            repo_id=options.repo_id,
            repo_type="dataset",
            folder_path=scratch,
            commit_message="Publish the scenes",
            delete_patterns=["scenes/train-*.parquet", "questions/train-*.parquet"],
        )
    print(f"Published {address}")


if __name__ == "__main__":
    main()
