"""Files of many objects: the same entries as json reads, at any size of the window, and broken files named by line."""

import json
import pickle
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from igep.trainers.data import json_entries
from igep.trainers.data.json_entries import JSONEntries
from igep.trainers.data.scenes.spatial_example import SpatialDataError


objects = st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=20), st.integers(), st.none()), max_size=4)


def written(folder: Path, text: str, name: str = "rows.json") -> Path:
    (folder / name).write_bytes(text.encode())
    return folder / name


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    entries=st.lists(objects, min_size=1, max_size=6),
    layout=st.sampled_from(["lines", "list", "indented list"]),
    mark=st.booleans(),
    as_ascii=st.booleans(),
    chunk=st.sampled_from([1, 3, 64]),
)
def test_entries_are_those_of_json(tmp_path, monkeypatch, entries, layout, mark, as_ascii, chunk):
    monkeypatch.setattr(json_entries, "CHUNK_CHARACTERS", chunk)
    if layout == "lines":
        text = "\n".join(json.dumps(entry, ensure_ascii=as_ascii) for entry in entries)
    else:
        text = json.dumps(entries, ensure_ascii=as_ascii, indent=2 if layout == "indented list" else None)
    seen = []
    file = written(tmp_path, "\ufeff" * mark + text)
    found = JSONEntries(file, lambda where, entry: seen.append((where, entry)))
    assert [found.read(row) for row in range(len(found))] == entries
    assert seen == [(found.where(row), entry) for row, entry in enumerate(entries)]
    assert len(set(found.names)) == len(entries)
    assert list(pickle.loads(pickle.dumps(found)).names) == list(found.names)


def test_names_and_places(tmp_path):
    lines = JSONEntries(written(tmp_path, '{"a": 1}\n\n{"a": 2}\r\n', "talk.jsonl"))
    assert list(lines.names) == ["talk/1", "talk/3"]
    assert list(lines.names[1:]) == ["talk/3"]
    assert lines.where(1).endswith("talk.jsonl, line 3")
    listed = JSONEntries(written(tmp_path, '[\n{"a": 1},\n\n{"a": "[}"}]\n', "talk.json"))
    assert list(listed.names) == ["talk/1", "talk/2"]
    assert listed.where(1).endswith("talk.json, line 4 (entry 2)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no entry"),
        ("[]", "has no entry"),
        ("\n \n", "has no entry"),
        ('{"a": 1}\n{"a": ', r"line 2: no JSON .*The file ends within it: it may have been cut off"),
        ('{"a": 1}\n{"a": \n{"a": 3}\n', r"line 2: no JSON .*one object per line\.$"),
        ('{"a": 1}\n[1]\n', "line 2: a list, not an object"),
        ('[{"a": 1}\n, {"b": "', r"line 2: no JSON .*cut off"),
        ('[{"a": 1},\n', "line 2: the file ends within its list"),
        ('[{"a": 1}\n{"a": 2}]', "line 2: no comma between two entries"),
        ('[{"a": 1},\n7]', "line 2: a int, not an object"),
        ('[{"a": 1}]\n{"a": 2}', "line 2: more text behind the end"),
        ('[{"a": 1},]', r"line 1: no JSON \(Expecting value\)\.$"),
        ('[{"a": 1}, {"a" 2}, {"a": 3}]', r"line 1: no JSON \(Expecting ':' delimiter\)\.$"),
        ("[", "line 1: the file ends within its list"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(SpatialDataError, match=message) as caught:
        JSONEntries(written(tmp_path, text))
    assert "rows.json" in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SpatialDataError, match=r"nowhere\.json cannot be read"):
        JSONEntries(tmp_path / "nowhere.json")
    (tmp_path / "latin.json").write_bytes('[{"a": "é"}]'.encode("latin-1"))
    with pytest.raises(SpatialDataError, match="UTF-8"):
        JSONEntries(tmp_path / "latin.json")
    file = written(tmp_path, '{"a": 1}\n')
    entries = JSONEntries(file)
    file.write_text("[gone]")
    with pytest.raises(SpatialDataError, match="line 1: not as it was when the file was opened"):
        entries.read(0)


def test_a_broken_entry_of_a_long_list_is_not_waited_for_until_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(json_entries, "CHUNK_CHARACTERS", 16)
    monkeypatch.setattr(json_entries, "LONGEST_ENTRY", 64)
    read = []

    class Counting(json_entries._ListText):
        def _grow(self, characters):
            super()._grow(characters)
            read.append(len(self._window) - self._place)

    monkeypatch.setattr(json_entries, "_ListText", Counting)
    file = written(tmp_path, '[{"a" 1},' + '{"a": 1},' * 1000 + '{"a": 1}]')
    with pytest.raises(SpatialDataError, match="line 1: no JSON"):
        JSONEntries(file)
    assert max(read) <= 128


@pytest.mark.parametrize("as_list", [False, True])
def test_a_large_file_is_not_held_in_memory(tmp_path, as_list):
    entry = {"conversations": [{"from": "human", "value": "How many chairs are there? " * 8}]}
    lines = [json.dumps(entry)] * 20_000
    file = written(tmp_path, f"[{','.join(lines)}]" if as_list else "\n".join(lines))
    size = file.stat().st_size
    del lines
    tracemalloc.start()
    try:
        entries = JSONEntries(file)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(entries) == 20_000
    assert held < 40 * len(entries) < size / 5, "three numbers of eight bytes per entry, and room to grow"
    assert most - held < 10 * json_entries.CHUNK_CHARACTERS
