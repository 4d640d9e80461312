import numpy as np
import pytest

from igep.camera_geometry import relative_pose
from igep.trainers.data.rooms.room_renderer import RoomSpec
from igep.trainers.data.rooms.room_scans import FALSE_PROPOSALS, MIN_OBJECTS, proposed_boxes, write_room_scans
from igep.trainers.data.rooms.synthetic_rooms import rendered_chunks
from igep.trainers.data.scannet_tree import ScanNetTree
from igep.trainers.data.scenes.scene_validation import decode_depth, decode_frame
from igep.trainers.geometry.oriented_boxes import box_iou


NUM_ROOMS, SEED = 12, 5


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("rooms")


@pytest.fixture(scope="module")
def scans(root):
    return list(write_room_scans(root, NUM_ROOMS, seed=SEED, spec=RoomSpec()))


def test_a_room_is_read_like_any_scan(root, scans):
    tree = ScanNetTree(root)
    assert tree.scene_ids() == [scan.scene_id for scan in scans] == [f"room{n:05d}_00" for n in range(NUM_ROOMS)]
    for scan in scans:
        read = tree.read(scan.scene_id)
        assert read.notes == []
        assert read.object_ids == [each.object_id for each in scan.objects]
        assert len(read.object_ids) >= MIN_OBJECTS
        assert [box["label"] for box in read.row["boxes"]] == [each.shape for each in scan.objects]
        for box, each in zip(read.row["boxes"], scan.objects, strict=True):
            assert np.allclose(box["centre_metres"] + box["size_metres"], each.box, atol=1e-4)
        assert np.allclose(read.proposals, proposed_boxes(scan.scene_id, scan.objects), atol=1e-4)


def test_ids_leave_out_numbers_where_an_object_is_not_seen(scans):
    assert any([each.object_id for each in scan.objects] != list(range(len(scan.objects))) for scan in scans)


def test_the_aligned_world_stands_below_the_first_camera_and_looks_along_it(root, scans):
    tree = ScanNetTree(root)
    for scan in scans:
        first = np.array(tree.read(scan.scene_id).row["world_from_camera"])[0]
        assert np.allclose(first[:2, 3], 0, atol=1e-5)
        assert 1.3 < first[2, 3] < 1.7  # eye height above the floor
        assert np.allclose(first[:3, 0], [1, 0, 0], atol=1e-5)  # the camera's right is the world's
        assert first[1, 2] > 0  # it looks ahead
    for each in (each for scan in scans for each in scan.objects):
        assert each.box[2] == pytest.approx(each.box[5] / 2, abs=1e-6)  # everything stands on the floor


def test_the_points_of_an_object_lie_in_its_box(root, scans):
    """Depth, poses, alignment, intrinsics and boxes agree: what a frame shows of an object is inside its box."""
    rendered = next(rendered_chunks(1, seed=SEED, spec=RoomSpec()))  # the first room is one of those that are written
    read = ScanNetTree(root).read(scans[0].scene_id)
    intrinsics = np.array(read.row["intrinsics"])[0]
    for number, frame in enumerate(read.row["frames"]):
        depth = decode_depth(scans[0].scene_id, number, read.row["depth"][number]) * read.row["metres_per_depth_unit"]
        assert np.abs(depth - rendered.depth_metres[0, number].numpy()).max() < 0.001
        pixels = np.asarray(decode_frame(scans[0].scene_id, number, frame)).astype(int)
        assert np.abs(pixels - rendered.frames[0, number].numpy()).mean() < 4  # of 255, in JPEG
        rows, columns = np.indices(depth.shape) + 0.5
        rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(intrinsics).T
        pose = np.array(read.row["world_from_camera"][number])
        points = (rays * depth[..., None]) @ pose[:3, :3].T + pose[:3, 3]
        for each in scans[0].objects:
            mine = points[(rendered.object_index[0, number] == each.object_id).numpy()]
            centre, size = np.array(each.box[:3]), np.array(each.box[3:])
            assert (np.abs(mine - centre) <= size / 2 + 0.02).all()


def test_moving_between_frames_is_that_of_the_renderer(root, scans):
    rendered = next(rendered_chunks(1, seed=SEED, spec=RoomSpec()))
    read = np.array(ScanNetTree(root).read(scans[0].scene_id).row["world_from_camera"])
    truth = rendered.layout.world_from_camera[0]
    moved = np.linalg.inv(read[0]) @ read[1]
    assert np.allclose(moved, relative_pose(truth[0], truth[1]).numpy(), atol=1e-4)


def test_most_proposals_overlap_an_object_and_none_is_exact(scans):
    best = []
    for scan in scans:
        proposals = proposed_boxes(scan.scene_id, scan.objects)
        assert len(proposals) == len(scan.objects) + FALSE_PROPOSALS
        best += [max(box_iou(each.box, proposal) for proposal in proposals) for each in scan.objects]
    assert 0.5 < np.mean(np.array(best) >= 0.5) <= 1
    assert max(best) < 0.999


def test_the_same_seed_writes_the_same_rooms(tmp_path, root, scans):
    again = list(write_room_scans(tmp_path, 2, seed=SEED, spec=RoomSpec()))
    assert [scan.objects for scan in again] == [scan.objects for scan in scans[:2]]
    for name in (
        "posed_images/room00001_00/00001.jpg",
        "mask/room00001_00.mask.npz",
        "scans/room00001_00/room00001_00.txt",
    ):
        assert (tmp_path / name).exists()
    assert (tmp_path / "posed_images/room00001_00/00001.jpg").read_bytes() == (
        root / "posed_images/room00001_00/00001.jpg"
    ).read_bytes()


def test_rooms_are_not_written_over(root, scans):
    with pytest.raises(FileExistsError):
        next(write_room_scans(root, 1, seed=SEED, spec=RoomSpec()))
