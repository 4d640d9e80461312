"""A room with three objects, by hand."""

import numpy as np

from igep.trainers.data.rooms.room_scans import RoomObject, RoomScan


def room_scan() -> RoomScan:
    """Ahead of the camera a red box to the left, a blue sphere behind it, and a green box beyond, to the right."""
    objects = (
        RoomObject(0, "box", "red", (-1.0, 2.0, 0.6, 0.5, 0.5, 1.2)),
        RoomObject(1, "sphere", "blue", (-1.0, 4.0, 0.25, 0.5, 0.5, 0.5)),
        RoomObject(3, "box", "green", (0.864, 6.0, 0.4, 0.5, 0.5, 0.8)),
    )
    return RoomScan("room00000_00", objects, 30.2, np.zeros((2, 64, 64, 3), dtype=np.uint8))
