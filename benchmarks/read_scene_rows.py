"""How many rows a second come out of long scenes: reading the sampled frames alone, and reading whole scenes first.

python benchmarks/read_scene_rows.py

The table is laid out as one that was published: Parquet with the images inside, every scene a video of 300 posed RGB-D
frames. Both ways give the same rows, which are compared. "stored" stops before an image is decoded: what is left
beyond it is decoding, which both ways share.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, disable_progress_bars, load_dataset
from PIL import Image

from igep.trainers.data.scenes.frame_sampling import uniform_frame_indices
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES, SpatialExample
from igep.trainers.data.spatial_dataset import SpatialDataset, build_example


GEOMETRY_SIZE = (96, 128)


def encoded(pixels: np.ndarray, file_format: str) -> dict:
    """An image as a table stores it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=file_format)
    return {"bytes": buffer.getvalue(), "path": None}


def scene(number: int, frames: int, size: tuple[int, int]) -> dict:
    """A scene whose images are slanted surfaces under the noise of a sensor, about as large in bytes as rooms' are."""
    rng = np.random.default_rng(number)
    height, width = size
    ramp = np.add.outer(np.arange(height) + 7 * number, 2 * np.arange(width))
    colour = np.stack([ramp // 4, ramp // 5, ramp // 6], -1) + rng.normal(scale=6, size=(height, width, 3))
    colour = colour.clip(0, 255).astype(np.uint8)
    depth = (1000 + 3 * ramp + rng.normal(scale=4, size=size)).round().astype(np.uint16)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 3] = 0.01 * np.arange(frames)
    return {
        "scene_id": f"scene{number}",
        "frame_ids": [f"{frame:05d}" for frame in range(frames)],
        "frames": [encoded(colour, "JPEG")] * frames,
        "depth": [encoded(depth, "PNG")] * frames,
        "metres_per_depth_unit": 0.001,
        "depth_kind": "z",
        "intrinsics": [[[0.9 * width, 0, width / 2], [0, 0.9 * width, height / 2], [0, 0, 1]]] * frames,
        "depth_intrinsics": [],
        "colour_from_depth": [],
        "world_from_camera": poses.tolist(),
        "boxes": [],
    }


def rows_per_second(read: Callable[[int], Any], rows: int) -> tuple[float, list]:
    """Rows a second of processor time, which does not depend on what else runs, and the rows."""
    start = time.process_time()
    found = [read(row) for row in range(rows)]
    return rows / (time.process_time() - start), found


def published_scenes(folder: Path, number: int, frames: int, size: tuple[int, int]) -> Dataset:
    """The table as it comes from the Hub."""
    file = str(folder / "scenes.parquet")
    rows = [scene(index, frames, size) for index in range(number)]
    Dataset.from_list(rows, features=SCENE_FEATURES).to_parquet(file)
    return load_dataset("parquet", data_files=file, split="train", cache_dir=str(folder)).cast(SCENE_FEATURES)


def stored_speeds(scenes: Dataset, num_frames: int) -> tuple[float, float]:
    """Stored rows a second: whole scenes, and the frames of a row alone."""
    stored, table = scenes.with_format("arrow"), SceneTable(scenes)
    frames = uniform_frame_indices(len(table.frame_ids(0)), num_frames).tolist()
    whole, _ = rows_per_second(lambda number: stored[number].to_pylist()[0]["scene_id"], len(table))
    alone, _ = rows_per_second(lambda number: table.row(number, frames)["scene_id"], len(table))
    return whole, alone


def example_speeds(scenes: Dataset, num_frames: int) -> tuple[float, float]:
    """Decoded rows a second, likewise."""
    dataset = SpatialDataset(scenes, None, num_frames=num_frames, geometry_size=GEOMETRY_SIZE)
    stored = scenes.with_format("arrow")
    number_of = {f"{name}/geometry-0": number for number, name in enumerate(scenes["scene_id"])}

    def read_whole(row: int) -> SpatialExample:
        name = dataset.sample_ids[row]
        return build_example(stored[number_of[name]].to_pylist()[0], (), num_frames, GEOMETRY_SIZE, name)

    whole, expected = rows_per_second(read_whole, len(dataset))
    alone, found = rows_per_second(dataset.__getitem__, len(dataset))
    for one, two in zip(expected, found, strict=True):
        assert one.frame_ids == two.frame_ids
        np.testing.assert_array_equal(one.depth_metres, two.depth_metres)
    return whole, alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--frames", type=int, default=300, help="frames of a scene")
    parser.add_argument("--num_frames", type=int, nargs="+", default=[2, 8, 32], help="frames of a row")
    parser.add_argument("--size", type=int, nargs=2, default=(240, 320), metavar=("H", "W"))
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many runs counts")
    options = parser.parse_args()
    disable_progress_bars()
    height, width = options.size
    print(f"{options.scenes} scenes of {options.frames} frames of {width}x{height}\n")
    print("| rows | frames a row | whole scenes, rows/s | sampled frames, rows/s | ratio |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        scenes = published_scenes(Path(folder), options.scenes, options.frames, (height, width))
        for name, speeds in (("stored", stored_speeds), ("decoded", example_speeds)):
            for num_frames in options.num_frames:
                runs = [speeds(scenes, num_frames) for _ in range(options.repeats)]
                whole, alone = (max(speed) for speed in zip(*runs, strict=True))
                print(f"| {name} | {num_frames} | {whole:.1f} | {alone:.1f} | {alone / whole:.1f} |", flush=True)


if __name__ == "__main__":
    main()
