"""How many synthetic rooms a second: ray casting alone, and with questions and PNG tables.

python benchmarks/render_rooms.py
"""

import argparse
import time

import torch

from igep.trainers.data.rooms.room_renderer import RoomSpec
from igep.trainers.data.rooms.synthetic_rooms import rendered_chunks, synthetic_rooms


def rooms_per_second(work, rooms: int) -> float:
    start = time.perf_counter()
    work(rooms)
    return rooms / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--rooms", type=int, default=512, help="rooms of each size")
    parser.add_argument("--threads", type=int, default=2, help="threads of the processor")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.rooms} rooms, 2 frames, {options.threads} threads\n")
    print("| image size | rendered rooms/s | rooms/s with questions and tables |")
    print("|---|---|---|")
    for size in (64, 96):
        spec = RoomSpec(image_size=size)
        rendered = rooms_per_second(lambda n, spec=spec: list(rendered_chunks(n, seed=0, spec=spec)), options.rooms)
        tables = rooms_per_second(lambda n, size=size: synthetic_rooms(n, seed=0, image_size=size), options.rooms)
        print(f"| {size} px | {rendered:.0f} | {tables:.0f} |")


if __name__ == "__main__":
    main()
