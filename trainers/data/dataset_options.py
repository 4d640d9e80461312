"""Which dataset, and where it lies: the options that several loaders share."""

from dataclasses import dataclass, field


SCANNET_BENCHMARKS = ("scanrefer", "multi3drefer", "scan2cap", "scanqa", "sqa3d")
DATASETS = ("synthetic_rooms", "scannet", "hub", "depthlm", "conversations", "vsi_bench", *SCANNET_BENCHMARKS)


@dataclass
class DatasetKind:
    """Which loader reads the dataset.

    Args:
        dataset (`str`, *optional*, defaults to `"synthetic_rooms"`): `synthetic_rooms`, `scannet`, `hub`, `depthlm`,
            `conversations` or `vsi_bench`; or a benchmark on ScanNet: `scanrefer`, `multi3drefer`, `scan2cap`,
            `scanqa` or `sqa3d`.
    """

    dataset: str = field(
        default="synthetic_rooms", metadata={"help": "Scenes to train on.", "choices": list(DATASETS)}
    )


@dataclass
class DatasetPlace:
    """Where a dataset lies that is not rendered.

    Args:
        dataset_path (`str`, *optional*): `scannet`: a scene folder or a folder of them. `hub`: id or folder of a
            dataset with the configurations `scenes` and, if it has any, `questions`. `depthlm`: a file of JSON lines.
            `conversations`: one of JSON lines or of a JSON list. `vsi_bench`: one of JSON lines or Parquet. Benchmarks
            on ScanNet: a ScanNet download (see `scannet_tree`), or what `igep prepare scannet` made of it.
        image_folder (`str`, *optional*): `depthlm`, `conversations`, `vsi_bench`: where the paths of images and videos
            start; the folder of the file by default.
    """

    dataset_path: str | None = field(
        default=None,
        metadata={"help": "scannet: scene folder or folder of scenes; hub: dataset id or folder; others: a file."},
    )
    image_folder: str | None = field(
        default=None,
        metadata={"help": "Files of rows: where paths of images and videos start (default: the folder of the file)."},
    )


def depth_kind_field() -> str | None:
    """The option `depth_kind`, for loaders of files that do not say what their depths are."""
    return field(
        default=None,
        metadata={
            "help": "Depth along the optical axis or to the camera (scannet: z by default; depthlm: must be said).",
            "choices": ["z", "euclidean"],
        },
    )
