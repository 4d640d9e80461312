"""`igep prepare`: what it says, and a run that is killed and goes on."""

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from processes import end
from scannet_tree import write_json, write_scan
from waiting import wait_until

from igep.trainers import cli
from igep.trainers.commands.prepare import format_prepared
from igep.trainers.data.prepared_scenes import SceneReport


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(6):
        write_scan(tmp_path / "scannet", f"scene{number:04d}_00", masks=[[]] if number == 1 else None)
    return tmp_path / "scannet"


def words(root: Path, out: Path, *more: str) -> list[str]:
    return ["prepare", "scannet", "--root", str(root), "--out", str(out), "--scenes_per_shard", "1", *more]


def test_a_run_says_what_it_wrote_and_what_it_left_out(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (root / "posed_images" / "scene0003_00" / "intrinsic.txt").write_text("1 2 3")
    np.savetxt(root / "posed_images" / "scene0004_00" / "00002.txt", np.full((4, 4), -np.inf))
    assert cli.main(words(root, tmp_path / "out", "--num_frames", "2")) == 0
    output = capsys.readouterr()
    assert output.out.split("\n")[1].split() == ["5", "10", "20", "16", "1"]
    assert "scene0003_00" in output.out
    assert "intrinsic.txt: a matrix of 1x3" in output.out
    assert "1 x its masks propose nothing at all" in output.out
    assert "no valid pose (tracking failed): 1\n" in output.out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [scene["frames_without_pose"] for scene in report] == [0, 0, 0, 0, 1, 0]
    objects = load_dataset(str(tmp_path / "out"), "objects", split="train", cache_dir=str(tmp_path / "cache"))
    assert "frames without a valid pose, which are left out: 1" in objects["notes"][3]
    assert "preparing: 100%" in output.err
    assert "Creating parquet" not in output.err


def test_some_scans(root: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("scene0002_00\nscene0000_00\n")
    for number, chosen in enumerate((["--scene_list", str(tmp_path / "list.txt")], ["--scenes", "scene0002_00"])):
        out = tmp_path / str(number)
        assert cli.main(words(root, out, *chosen)) == 0
        assert len(list((out / "scenes").iterdir())) == 2 - number


def test_what_the_user_can_correct_is_one_line(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(words(tmp_path / "none", tmp_path / "out")) == 2
    assert "none: no such folder" in capsys.readouterr().err
    boxes = write_json(tmp_path / "boxes.json", {})
    Path(boxes).write_text("{")
    assert cli.main(words(root, tmp_path / "out", "--object_box_file", boxes)) == 2
    assert "boxes.json: not JSON, or cut off" in capsys.readouterr().err
    (tmp_path / "empty.txt").touch()
    assert cli.main(words(root, tmp_path / "out", "--scene_list", str(tmp_path / "empty.txt"))) == 2
    assert "no scene in it" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_to_is_named(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").touch()
    for out, message in (
        (tmp_path / "file", "file: a file. Give"),
        (tmp_path / "file" / "out", "cannot be written to"),
    ):
        assert cli.main(words(root, out)) == 2
        assert f"{out}: " in (error := capsys.readouterr().err)
        assert message in error


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_same_command_goes_on(root: Path, tmp_path: Path) -> None:
    """Files may not grow beyond 4 KiB, as where no room is left."""
    command = shlex.join([sys.executable, "-m", "igep.trainers.cli", *words(root, tmp_path / "out")])
    full = subprocess.run(["bash", "-c", f"ulimit -f 4; {command}"], check=False, capture_output=True, text=True)
    assert full.returncode == 2
    assert f"{tmp_path / 'out'}: cannot be written to ([Errno 27]" in full.stderr
    assert not list((tmp_path / "out").glob("[!.]*/*"))
    assert cli.main(words(root, tmp_path / "out")) == 0


def test_an_interrupted_run_says_how_to_go_on(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def interrupted(*_arguments, **_options):
        yield [SceneReport("scene0000_00")]
        raise KeyboardInterrupt

    monkeypatch.setattr("igep.trainers.data.prepared_scenes.prepare_scannet", interrupted)
    assert cli.main(words(root, tmp_path / "out")) == 130
    assert "The same command goes on after 1 scenes" in capsys.readouterr().err


def test_many_notes_are_cut() -> None:
    reports = [SceneReport(str(number), notes=[f"note {number}"]) for number in range(12)]
    assert "and 2 other notes" in format_prepared(reports)


@pytest.mark.slow
def test_a_killed_run_goes_on(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = out / ".prepare" / "shard-00000.json"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "igep.trainers.cli", *words(root, out)], stdout=log, stderr=log
        )
    try:
        wait_until(lambda: first.is_file() or process.poll() is not None, "the first shard is written", 0.001)
        process.send_signal(signal.SIGKILL)
    finally:
        end(process)
    assert first.is_file(), (tmp_path / "log").read_text()
    finished = [record.stem.split("-")[1] for record in sorted((out / ".prepare").glob("shard-*.json"))]
    written = {path: path.stat().st_ino for name in finished for path in out.glob(f"[!.]*/train-{name}-*")}
    for path in out.glob("[!.]*/*.parquet"):
        assert pq.read_table(path).num_rows == 1
    assert cli.main(words(root, out)) == 0
    assert {path: path.stat().st_ino for path in written} == written
    scenes = load_dataset(str(out), "scenes", split="train", cache_dir=str(tmp_path / "cache"))
    assert scenes["scene_id"][:] == [f"scene{number:04d}_00" for number in range(6)]
