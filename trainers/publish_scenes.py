"""Publishes converted scenes on the Hub as Parquet tables with a card, or writes what would be published.

    igep publish-scenes --dataset scannet --dataset_path path/to/scenes --repo-id user/rooms --licence mit
        --source "Recorded with a phone in our office." --dry-run outputs/rooms_dataset

Every other flag says which scenes, as in `sft.py`. Check the licence of what you convert: ScanNet's terms, for one, do
not allow to publish its frames.
"""

import argparse
import math
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from datasets import Dataset, Image, List, Value
from datasets.table import embed_table_storage
from huggingface_hub import DatasetCard, DatasetCardData, HfApi
from tqdm import tqdm
from transformers import HfArgumentParser

from igep.trainers.cards.licences import Licence
from igep.trainers.cards.markdown import in_markdown
from igep.trainers.data.load_scenes import SceneSource, load_scenes
from igep.trainers.data.scannet_scenes import load_object_table
from igep.trainers.data.scenes.stored_depth import npy_as_image
from igep.trainers.package_files import CARD_TEMPLATES
from igep.trainers.publishing.hub_upload import check_repo_id, check_repository, hub_errors, listing, upload_folder
from igep.trainers.publishing.last_net import LeakError
from igep.trainers.publishing.published_folder import PublishError, check_new_folder
from igep.trainers.publishing.published_tables import check_images, check_staged
from igep.trainers.scene_check.check_scenes import check_scenes
from igep.trainers.scene_check.report_table import format_reports


SCENES_PER_FILE = 50
CHECKED_SCENES = 3


def dataset_card(
    scenes: Dataset,
    questions: Dataset | None,
    objects: Dataset | None = None,
    *,
    repo_id: str,
    licence: str | None,
    source: str,
    check: str = "",
) -> str:
    """Writes the card of converted scenes.

    Args:
        scenes (`Dataset`): Table with `SCENE_FEATURES`.
        questions (`Dataset`, *optional*): Table with `QUESTION_FEATURES`.
        objects (`Dataset`, *optional*): Table with `OBJECT_FEATURES`.
        repo_id (`str`): `user/name` on the Hub.
        licence (`str`, *optional*): Licence of the data.
        source (`str`): A sentence on where the scenes come from; the card says so if it is empty.
        check (`str`, *optional*): What `igep check` printed.

    Returns:
        `str`: Markdown; its metadata names the tables.
    """
    light = scenes.with_format("arrow").select_columns(["frame_ids", "depth", "world_from_camera", "boxes"])
    rows = [light[number].to_pylist()[0] for number in range(len(light))]
    tables = {"scenes": scenes, "questions": questions, "objects": objects}
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
        template_path=str(CARD_TEMPLATES / "dataset_card.md.jinja"),
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
        object_columns=[] if objects is None else [(n, _kind(f)) for n, f in objects.features.items()],
        check=check,
        licence_text=f"`{licence}`." if licence else "Not stated by whoever published it.",
    )
    return str(card).rstrip() + "\n"


def stage_scenes(
    scenes: Dataset, questions: Dataset | None, card: str, target: Path, objects: Dataset | None = None
) -> None:
    """Writes the tables and the card into a new folder.

    Args:
        scenes (`Dataset`): Table of scenes.
        questions (`Dataset`, *optional*): Table of questions.
        card (`str`): README.md.
        target (`Path`): The folder.
        objects (`Dataset`, *optional*): Table of objects and proposals.

    Raises:
        PublishError: A text holds an access token or a path of this machine; nothing is left in the folder.
    """
    for name, table in (("scenes", scenes), ("questions", questions), ("objects", objects)):
        if table is None:
            continue
        (target / name).mkdir(parents=True)
        shards = math.ceil(len(table) / SCENES_PER_FILE) if name == "scenes" else 1
        for shard in tqdm(range(shards), desc=f"writing {name}", unit="file"):
            part = table.shard(shards, shard, contiguous=True).with_format("arrow")
            # Loaders note where an image lies; what is published holds the image itself.
            part = part.map(_embedded, batched=True, batch_size=1, load_from_cache_file=False)
            part.to_parquet(target / name / f"train-{shard:05d}-of-{shards:05d}.parquet")
    (target / "README.md").write_text(card, encoding="utf-8")
    try:
        check_staged(target)
    except LeakError as error:
        shutil.rmtree(target)
        raise PublishError(str(error)) from error


def _embedded(table: pa.Table) -> pa.Table:
    """Rows that hold their images; depth in `.npy` becomes images, which is what the column says it holds."""
    if "depth" not in table.column_names:
        return embed_table_storage(table)
    depth = table["depth"].combine_chunks()
    paths = depth.flatten().field("path").to_pylist()
    if any(path is not None and path.lower().endswith(".npy") for path in paths):
        rows = [
            entry and {"bytes": npy_as_image(entry["path"]), "path": None}
            for row in depth.to_pylist()
            for entry in row
        ]
        images = pa.ListArray.from_arrays(depth.offsets, pa.array(rows, type=depth.type.value_type))
        place = table.column_names.index("depth")
        table = table.set_column(place, table.schema.field("depth"), images)
    return embed_table_storage(table)


def _kind(feature: object) -> str:
    """The type of a column for its card, such as `list of string`."""
    if isinstance(feature, Value):
        return feature.dtype
    if isinstance(feature, List):
        return f"list of {_kind(feature.feature)}"
    if isinstance(feature, dict):
        return f"({', '.join(f'{name}: {_kind(part)}' for name, part in feature.items())})"
    return "image" if isinstance(feature, Image) else type(feature).__name__


def parse(arguments: Sequence[str] | None = None) -> tuple[SceneSource, argparse.Namespace]:
    """Reads the command line.

    Args:
        arguments (`Sequence[str]`, *optional*): Those of the process unless given.

    Returns:
        `tuple[SceneSource, argparse.Namespace]`: Which scenes, and how to publish them.

    Raises:
        ValueError: A name that cannot be one on the Hub, or scenes that nobody can have meant.
    """
    parser = HfArgumentParser(
        SceneSource, prog="publish_scenes.py", description=__doc__.split("\n")[0], allow_abbrev=False
    )
    # The default of training, rendered rooms, is nothing to publish by accident.
    parser.set_defaults(dataset=None)
    parser.add_argument("--repo-id", "--repo_id", required=True, help="user/name on the Hub")
    parser.add_argument("--licence", "--license", help="licence of the data, such as mit or cc-by-4.0")
    parser.add_argument("--source", default="", help="a sentence on where the scenes come from")
    parser.add_argument("--private", action="store_true", help="for nobody else to see")
    parser.add_argument(
        "--dry-run",
        "--dry_run",
        type=Path,
        nargs="?",
        const=Path("outputs/dry_run"),
        metavar="FOLDER",
        help="upload nothing: write what would be uploaded to a new folder; outputs/dry_run unless given",
    )
    parser.add_argument(
        "--publish-wrong-geometry",
        "--publish_wrong_geometry",
        action="store_true",
        help="even where `igep check` says wrong",
    )
    source, options = parser.parse_args_into_dataclasses(arguments)
    check_repo_id("repo-id", options.repo_id)
    if options.licence is not None:
        Licence(options.licence)
    if source.dataset is None:
        raise ValueError(
            "--dataset is not given: name scannet or hub, or synthetic_rooms for rooms that are rendered."
        )
    if source.dataset == "synthetic_rooms" and source.dataset_path is not None:
        raise ValueError(
            f"--dataset_path {source.dataset_path}: --dataset synthetic_rooms renders its rooms and reads none. Give "
            "--dataset scannet or hub to publish those, or leave --dataset_path out."
        )
    return source, options


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        publish_scenes(*parse(arguments))
    except (ValueError, OSError) as error:
        sys.exit(f"publish_scenes.py: error: {' '.join(str(error).split())}")
    except KeyboardInterrupt:
        sys.exit("publish_scenes.py: interrupted.")


def publish_scenes(source: SceneSource, options: argparse.Namespace) -> None:
    """Converts, checks and publishes.

    Args:
        source (`SceneSource`): Which scenes.
        options (`argparse.Namespace`): `repo_id`, `licence`, `source`, `private`, `dry_run` and
            `publish_wrong_geometry`.

    Raises:
        SpatialDataError: The scenes break their format.
        ValueError: The folder of a dry run holds something.
        PublishError: The geometry is wrong; an image lies outside of the scenes' folder, or a text holds an access
            token or a path.
        UploadError: The Hub refuses, or the repository is public and should not be, or is something else.
    """
    if options.dry_run is not None:
        check_new_folder(options.dry_run, "--dry-run")
    if options.licence is None and not options.private:
        warning = "without a licence nobody may use what is public: give --licence, such as cc-by-4.0."
        print(f"publish_scenes.py: warning: {warning}", file=sys.stderr)
    api = HfApi()
    if options.dry_run is None:
        with hub_errors():
            api.whoami()
            check_repository(api, options.repo_id, "dataset", private=options.private)
    scenes, questions = load_scenes(source)
    # What `igep prepare` wrote beside its scenes goes along: without it no benchmark asks about their boxes.
    objects = load_object_table(source.dataset_path, source.dataset_split) if source.dataset == "hub" else None
    if source.dataset_path is not None and Path(source.dataset_path).is_dir():
        try:
            check_images(scenes, Path(source.dataset_path))
        except LeakError as error:
            raise PublishError(str(error)) from error
    reports = check_scenes(scenes.select(range(min(CHECKED_SCENES, len(scenes)))))
    print(format_reports(reports))
    wrong = [report.scene_id for report in reports if report.verdict == "wrong"]
    if wrong and not options.publish_wrong_geometry:
        raise PublishError(
            f"the geometry of {', '.join(wrong)} is wrong (see above, and `igep check`): mend it, or give "
            "--publish-wrong-geometry."
        )
    card = dataset_card(
        scenes,
        questions,
        objects,
        repo_id=options.repo_id,
        licence=options.licence,
        source=options.source,
        check=format_reports(reports),
    )
    if options.dry_run is not None:
        stage_scenes(scenes, questions, card, options.dry_run, objects)
        print(f"Would be uploaded to {options.repo_id}, now in {options.dry_run}:\n\n{listing(options.dry_run)}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        stage_scenes(scenes, questions, card, Path(scratch), objects)
        print(f"Published {_upload(Path(scratch), options, api)}")


def _upload(folder: Path, options: argparse.Namespace, api: HfApi) -> str:
    """Uploads what `stage_scenes` wrote as one commit; returns its address."""
    with hub_errors():
        address = api.create_repo(options.repo_id, repo_type="dataset", private=options.private, exist_ok=True)
        tables = r"(scenes|questions|objects)/train-.*\.parquet"
        upload_folder(api, options.repo_id, "dataset", folder, "Publish the scenes", stale=tables)
    return str(address)


if __name__ == "__main__":
    main()
