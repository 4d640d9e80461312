"""Every answer about objects against the boxes it was written from, read back from the text alone."""

import re

import numpy as np
import pytest
from PIL import Image

from igep.spatial_prompts import parse_choice, parse_clock, parse_length, parse_polarity
from igep.text_pixels import text_from_boxes
from igep.trainers.data.vlm3.object_boxes import seen_objects
from igep.trainers.data.vlm3.object_questions import ask_about_objects
from igep.trainers.data.vlm3.spatial_question import PosedView
from igep.trainers.data.vlm3.vlm3_options import VLM3Options
from igep.trainers.metrics.object_relations import object_scores


INTRINSICS = np.array([[300.0, 0, 320], [0, 300, 240], [0, 0, 1]])
POSE = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1.2], [0, 0, 0, 1]])  # looks along world y, z is up


def box(x, y, z, size, label):
    return {"label": label, "centre_metres": [x, y, z], "size_metres": list(size), "yaw_radians": 0.0}


BOXES = [
    box(-1.2, 3.0, 0.5, (0.4, 0.4, 1.0), "lamp"),
    box(1.0, 4.0, 0.4, (1.6, 0.8, 0.8), "sofa"),
    box(0.2, 5.5, 2.0, (0.9, 0.2, 0.6), "picture"),
    box(2.8, 4.2, 1.0, (0.5, 0.5, 2.0), "shelf"),
]


def view():
    return PosedView("0", Image.new("RGB", (640, 480)), None, INTRINSICS, POSE)


def asked(number=40, seed=0, boxes=BOXES, **meaning):
    options = VLM3Options(task="objects", questions_per_image=number, **meaning)
    return ask_about_objects(view(), boxes, options, np.random.default_rng(seed))


def objects_by_text():
    seen = seen_objects(view(), BOXES)
    return {tuple(text_from_boxes(one.image_box, (480, 640), 1000).tolist()): BOXES[one.index] for one in seen}


def named(text):
    """The boxes that a text names, in order."""
    found = re.findall(r"bounding box region \((\d+), (\d+), (\d+), (\d+)\)", text)
    return [objects_by_text()[tuple(int(number) for number in numbers)] for numbers in found]


def camera(one):
    x, y, z = one["centre_metres"]
    return np.array([x, 1.2 - z, y])


MORE = {
    "larger than": lambda one: np.prod(one["size_metres"]),
    "taller than": lambda one: one["size_metres"][2],
    "wider than": lambda one: max(one["size_metres"][:2]),
    "farther from the camera than": lambda one: np.linalg.norm(camera(one)),
    "to the right of": lambda one: camera(one)[0],
    "above": lambda one: one["centre_metres"][2],
    "behind": lambda one: camera(one)[2],
}
LESS = {
    "smaller than": "larger than",
    "shorter than": "taller than",
    "thinner than": "wider than",
    "closer to the camera than": "farther from the camera than",
    "to the left of": "to the right of",
    "below": "above",
    "in front of": "behind",
}


def true_polarity(question):
    first, second = named(question)
    relation = re.search(r"\) is (.*?) bounding box", question).group(1)
    sign = 1 if relation in MORE else -1
    quantity = MORE[relation if relation in MORE else LESS[relation]]
    return bool(sign * (quantity(first) - quantity(second)) > 0)


def test_every_kind_of_question_is_true():
    counts = {}
    for seed in range(20):
        for one in asked(seed=seed):
            kind, value = one.reference["kind"], one.reference["value"]
            counts.setdefault(one.question_type, []).append(value)
            if kind == "polarity":
                truth = true_polarity(one.question)
                assert parse_polarity(one.answer) is truth
                assert value == [float(truth)]
            elif kind == "choice":
                first, second = named(one.question)
                words = re.search(r"Which is (.*?), bounding", one.question).group(1)
                relation = f"{words} than"
                sign = 1 if relation in MORE else -1
                quantity = MORE[relation if relation in MORE else LESS[relation]]
                right = first if sign * (quantity(first) - quantity(second)) > 0 else second
                assert named(one.answer.lower()) == [right]
                assert list(parse_choice(one.answer)) == value
            elif kind == "clock":
                start, target = named(one.question)
                apart = np.subtract(target["centre_metres"], start["centre_metres"])
                hour = round(np.degrees(np.arctan2(apart[0], apart[1])) / 30) % 12 or 12
                assert value == [hour]
                assert parse_clock(one.answer) == hour
            else:
                boxes = named(one.question)
                apart = np.subtract(boxes[0]["centre_metres"], boxes[-1]["centre_metres"])
                truth = {
                    "object_width_metres": max(boxes[0]["size_metres"][:2]),
                    "object_height_metres": boxes[0]["size_metres"][2],
                    "object_distance_metres": np.linalg.norm(camera(boxes[0])),
                    "object_between_metres": np.linalg.norm(apart),
                    "object_horizontal_metres": np.linalg.norm(apart[:2]),
                    "object_vertical_metres": abs(apart[2]),
                }[one.question_type]
                assert value == pytest.approx([truth])
                assert parse_length(one.answer) == pytest.approx(truth, abs=0.00501)
    assert len(counts) == 14
    for family in ("object_size", "object_left_right", "object_above_below", "object_front_behind"):
        truths = [value[0] for value in counts[family] if len(value) == 1]
        assert 0.2 < np.mean(truths) < 0.8


def test_its_own_answers_score_full_marks():
    questions = asked(60)
    scores = object_scores(
        [one.answer for one in questions], [{"family": one.question_type, **one.reference} for one in questions]
    )
    assert scores["qualitative_accuracy"] == scores["quantitative_success"] == scores["clock_accuracy"] == 1
    assert scores["unparsed"] == 0


def test_the_wording_of_the_release():
    texts = [(one.question, one.answer) for seed in range(40) for one in asked(seed=seed)]
    pattern = re.compile(
        r"Can you confirm if (bounding box region \([\d, ]+\)) is smaller than (bounding box region \([\d, ]+\))\?"
    )
    matches = [(pattern.fullmatch(question), answer) for question, answer in texts if pattern.fullmatch(question)]
    assert matches
    for match, answer in matches:
        first, second = match.groups()
        assert answer in (
            f"Correct, {first} is smaller in size than {second}.",
            f"Incorrect, {first} is not smaller in size than {second}.",
        )


MEANT = {
    "object_left_right": ("by metres along the camera's horizontal axis?", "in the image?"),
    "object_above_below": ("by height in the world?", "in the image?"),
    "object_front_behind": ("along the camera's optical axis?",) * 2,
    "object_clock": ("facing the way the camera looks,", "facing straight away from the camera,"),
}


def test_every_place_says_in_which_frame_it_is_meant_and_is_true_there():
    other = {"clock_facing": "ray", "above_below_in": "image", "left_right_in": "image"}
    boxes_in_image = {one.index: one.image_box for one in seen_objects(view(), BOXES)}
    differ = set()
    for seed in range(30):
        for meaning, options in enumerate(({}, other)):
            for one in asked(60, seed, **options):
                if one.question_type in MEANT:
                    assert MEANT[one.question_type][meaning] in one.question
                if meaning == 0 or one.question_type not in MEANT:
                    continue
                first, second = (BOXES.index(found) for found in named(one.question))
                centres = [(boxes_in_image[index][:2] + boxes_in_image[index][2:]) / 2 for index in (first, second)]
                right, below = centres[0] > centres[1]
                if one.question_type == "object_left_right":
                    assert one.reference["value"] == [float(right == (" right of " in one.question))]
                elif one.question_type == "object_above_below":
                    assert one.reference["value"] == [float(below == (" below " in one.question))]
                elif one.question_type == "object_clock":
                    start, target = (np.array(BOXES[index]["centre_metres"][:2]) for index in (first, second))
                    turned = np.degrees(np.arctan2(start[0], start[1]))  # from the camera, which stands at the origin
                    apart = np.degrees(np.arctan2(*(target - start)))
                    hour = round((apart - turned) / 30) % 12 or 12
                    assert one.reference["value"] == [hour]
                    differ.add(hour != (round(apart / 30) % 12 or 12))
    assert differ == {True, False}, "what is meant must change some answers and not others"
    with pytest.raises(ValueError, match="above_below_in='sky' is unknown: use one of world, image"):
        VLM3Options(above_below_in="sky")


def test_nothing_is_asked_where_there_is_no_clear_answer():
    twins = [box(-0.8, 4, 1, (0.5, 0.5, 0.5), "a"), box(0.8, 4, 1, (0.52, 0.5, 0.52), "b")]
    families = {
        one.question_type for one in asked(200, boxes=twins) if one.reference["kind"] in ("polarity", "choice")
    }
    assert families == {"object_left_right"}


def test_questions_differ_and_number_at_most_k():
    assert len({one.question for one in asked(12)}) == 12
    assert asked(10, boxes=[]) == []
    alone = asked(10, boxes=BOXES[:1])
    assert {one.question_type for one in alone} <= {
        "object_width_metres",
        "object_height_metres",
        "object_distance_metres",
    }
    assert len(alone) == 3


def test_the_same_seed_asks_the_same():
    assert asked(seed=3) == asked(seed=3)
    assert asked(seed=3) != asked(seed=4)


def test_objects_whose_boxes_read_the_same_are_not_asked_about():
    assert asked(10, boxes=[BOXES[0], BOXES[0] | {"label": "twin"}]) == []
