import json
import subprocess
import sys
from collections import Counter

import pytest

from igep.text_boxes import TextBox, box_answer, parse_boxes
from igep.trainers.experiments.room_benchmarks import FIGURES, form_of, room_tasks, typical_answer, write_rooms
from igep.trainers.package_files import PACKAGE


def test_questions_of_one_form_differ_in_what_differs_from_room_to_room():
    one = form_of("What is closest to the box in red?")
    assert one == form_of("What is closest to the sphere in blue?") != form_of("What is left of the box in red?")
    assert form_of("How many boxes?\nOptions:\nA. 1") == form_of("How many spheres?\nOptions:\nA. 2\nB. 3")


def test_the_typical_answer_is_the_most_frequent_one_or_the_median_box():
    assert typical_answer(Counter({"yes": 2, "no": 3})) == "no"
    boxes = [
        TextBox(frame, (x, 0.0, 2.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)) for frame, x in ((0, 1.0), (1, 5.0), (1, 2.0))
    ]
    typical = parse_boxes(typical_answer(Counter(box_answer([box]) for box in boxes)), 2)
    assert typical.boxes == (boxes[2],)
    lists = Counter({box_answer([], any_number=True): 1, box_answer(boxes, any_number=True): 2})
    assert len(parse_boxes(typical_answer(lists), 2).boxes) == 3


def test_rooms_of_another_run_are_not_taken_for_those_that_are_asked_for(tmp_path):
    (tmp_path / "rooms").mkdir()
    with pytest.raises(ValueError, match="another --output"):
        write_rooms(tmp_path / "rooms", tmp_path / "prepared", 3, 1)


def test_a_task_names_the_same_rows_to_train_on_and_to_score(tmp_path):
    train, held_out = (room_tasks(tmp_path / "rooms", tmp_path / "prepared", split) for split in ("train", "val"))
    assert {task.benchmark for task in held_out} == set(FIGURES)
    for one, other in zip(train, held_out, strict=True):
        entry = json.loads(one.mixture_entry())
        assert entry["name"] == one.benchmark == other.benchmark
        assert one.options.keys() == other.options.keys()
        assert {name for name, value in one.options.items() if value != other.options[name]} <= {
            "annotation_file",
            *(["dataset_path"] if one.benchmark == "vsi_bench" else []),
        }


@pytest.mark.slow
def test_the_whole_command_at_a_few_steps(tmp_path):
    command = [sys.executable, "trainers/experiments/room_benchmarks.py", "--output", str(tmp_path)]
    command += ["--train_rooms", "16", "--held_out_rooms", "3", "--max_steps", "2", "--warmup_steps", "1"]
    done = subprocess.run(command, cwd=PACKAGE, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((tmp_path / "results.json").read_text())
    for column in ("trained", "blind"):
        assert set(results[column]["benchmarks"]) == set(FIGURES)
        assert all(
            each["facts"]["answered"] == each["facts"]["questions"] for each in results[column]["benchmarks"].values()
        )
    blind = results["blind"]["benchmarks"]
    assert blind["scanqa"]["figures"]["exact_match, standard"]["value"] > 0
    assert (tmp_path / "results.md").read_text().strip() in done.stdout
