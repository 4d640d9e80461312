"""The last look at tables of scenes that would be published: their texts, and where their images lie."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Image, List

from igep.trainers.publishing.last_net import LeakError, check_published, check_text


def check_images(table: Dataset, folder: Path) -> None:
    """Looks at where the images of a table lie: a link in a folder of scenes may lead to any file of this machine.

    Args:
        table (`Dataset`): Its images are files, or lie in the table.
        folder (`Path`): The folder of the scenes.

    Raises:
        LeakError: An image that would go along lies outside of the folder.
    """
    home = folder.resolve()
    names = [name for name, feature in table.features.items() if _is_of_images(feature)]
    for batch in table.select_columns(names).with_format("arrow").iter(batch_size=16):
        for name in names:
            for file in _files(batch[name]):
                if not Path(file).resolve().is_relative_to(home):
                    raise LeakError(f"{file} leads out of {folder}: put the file itself into it.")


def check_staged(folder: Path) -> None:
    """Looks at all texts of what was laid out: the card, and every column of the tables that holds texts.

    Args:
        folder (`Path`): The card, and tables in Parquet.

    Raises:
        LeakError: One holds what looks like an access token, or a path of this machine.
    """
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        check_published(file)
        if file.suffix == ".parquet":
            for column, text in _texts(file):
                check_text(f"{column} in {file.relative_to(folder)}", text, paths=True)


def _is_of_images(feature: object) -> bool:
    return _is_of_images(feature.feature) if isinstance(feature, List) else isinstance(feature, Image)


def _files(images: pa.ChunkedArray) -> Iterator[str]:
    """Paths of the images that are not in the table themselves."""
    for chunk in images.chunks:
        while not pa.types.is_struct(chunk.type):
            chunk = chunk.flatten()
        in_the_table = chunk.field("bytes").is_valid()
        for path, is_held in zip(chunk.field("path").to_pylist(), in_the_table.to_pylist(), strict=True):
            if path is not None and not is_held:
                yield path


def _texts(file: Path) -> Iterator[tuple[str, str]]:
    """Texts of a table, each with the name of its column; no bytes of images are read."""
    table = pq.ParquetFile(file)
    for place in range(len(table.schema)):
        column = table.schema.column(place)
        if column.logical_type.type != "STRING":
            continue
        for batch in table.iter_batches(columns=[column.path]):
            for value in batch.column(0).to_pylist():
                yield from ((column.path.split(".")[0], text) for text in _strings(value))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)
