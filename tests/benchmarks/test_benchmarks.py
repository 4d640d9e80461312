"""Every script under `benchmarks/` runs to its table at the smallest size, so that what claims rest on can be run."""

import json
import runpy
import sys

import pytest
import torch

from igep.trainers.package_files import PACKAGE


BENCHMARKS = PACKAGE / "benchmarks"
SMALLEST = {
    "ask_the_space": ("--repeats 1 --new_tokens 2", 3),
    "pack_questions": ("--questions 2 --repeats 1 --new_tokens 2 --image_size 64 64 --no_memory --threads 1", 8),
    "read_scene_rows": ("--scenes 1 --frames 8 --num_frames 2 --size 24 32 --repeats 1", 2),
    "score_scenes": ("--questions 2 --num_frames 2 --size 64 96 --repeats 1 --threads 1", 2),
    "render_rooms": ("--rooms 2 --threads 1", 2),
}


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def printed(script: str, arguments: list[str], monkeypatch, capsys) -> list[str]:
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *arguments])
    runpy.run_path(str(BENCHMARKS / f"{script}.py"), run_name="__main__")
    return capsys.readouterr().out.splitlines()


def test_every_script_has_a_smallest_size():
    assert {path.stem for path in BENCHMARKS.glob("*.py")} == set(SMALLEST)


@pytest.mark.parametrize("script", SMALLEST)
def test_runs_to_its_table(script, monkeypatch, capsys):
    arguments, num_rows = SMALLEST[script]
    table = [line for line in printed(script, arguments.split(), monkeypatch, capsys) if line.startswith("|")]
    header, rule, *rows = table
    assert set(rule) == {"|", "-"}
    assert len(rows) == num_rows
    assert {row.count("|") for row in table} == {header.count("|")}
    for row in rows:
        rates = [cell.strip() for cell in row.split("|")[2:] if cell.strip().replace(".", "").isdigit()]
        assert rates
        assert all(float(rate) > 0 for rate in rates)


def test_peak_memory_of_one_job(monkeypatch, capsys):
    """What the process that measures memory prints."""
    smallest = [
        "--questions",
        "2",
        "--new_tokens",
        "1",
        "--image_size",
        "64",
        "64",
        "--family",
        "qwen3_vl",
        "--threads",
        "1",
        "--memory_of",
    ]
    *_, last = printed("pack_questions", [*smallest, "train, packed"], monkeypatch, capsys)
    assert 0 < json.loads(last) < 4
