"""Descriptions of single objects as ScanRefer's annotation file holds them, from which Scan2Cap is made as well."""

import random
from typing import Any

from igep.trainers.data.rooms.room_relations import clearly_closest, is_left_of, of_shape
from igep.trainers.data.rooms.room_scans import RoomObject, RoomScan


# NYU40 classes of the shapes, by ScanNet's raw category: any three that ScanNet evaluates.
NYU40 = {"box": 3, "sphere": 5, "cylinder": 7}


def scanrefer_entries(scan: RoomScan, per_object: int, rng: random.Random) -> list[dict[str, Any]]:
    """Entries of `ScanRefer_filtered_<split>.json` about one room: each object by its colour and by what is beside it.

    Args:
        scan (`RoomScan`): The room.
        per_object (`int`): Most descriptions of an object; its colour is in the first.
        rng (`random.Random`): Source of randomness.

    Returns:
        `list[dict]`: Every description means one object of the room, and no other.
    """
    entries = []
    for each in scan.objects:
        named, *beside = _descriptions(scan, each)
        told = [named, *rng.sample(beside, min(per_object - 1, len(beside)))]
        for ann_id, description in enumerate(told):
            entries.append(
                {
                    "scene_id": scan.scene_id,
                    "object_id": f"{each.object_id}",
                    "object_name": each.shape,
                    "ann_id": f"{ann_id}",
                    "description": description,
                    "token": description.split(),
                }
            )
    return entries


def label_table() -> str:
    """The text of `scannetv2-labels.combined.tsv` for rooms: the class of each shape."""
    lines = ["id\traw_category\tcategory\tcount\tnyu40id"]
    lines += [f"{number}\t{shape}\t{shape}\t1\t{nyu40}" for number, (shape, nyu40) in enumerate(NYU40.items(), 1)]
    return "\n".join(lines) + "\n"


def _descriptions(scan: RoomScan, each: RoomObject) -> list[str]:
    """By colour, then by the closest and by the side of other objects, where that leaves no other of the shape."""
    told = [f"this is the {each.name}"]
    for anchor in scan.objects:
        if anchor == each:
            continue
        alike = [other for other in of_shape(scan.objects, each.shape) if other != anchor]
        if clearly_closest(anchor, alike) == each:
            told.append(f"this is the {each.shape} closest to the {anchor.name}")
        for word, wanted in (("left", True), ("right", False)):
            sides = [is_left_of(other, anchor) for other in alike]
            if None not in sides and [o for o, left in zip(alike, sides, strict=True) if left == wanted] == [each]:
                told.append(f"this is the {each.shape} {word} of the {anchor.name}")
    return told
