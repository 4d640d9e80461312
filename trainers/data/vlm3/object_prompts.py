"""VLM3's object-level questions and answers as text, in the style of SpatialRGPT: objects are boxes written into the text.

The release shows one question and answer ("Can you confirm if bounding box region ... is smaller than bounding box region
...?"). The other wordings follow it and are ours.

Parsers take any text and return `None` for what is no answer: nothing is evaluated, nothing raises.
"""

import re


METRES_PER_UNIT = {
    "m": 1.0,
    "meter": 1.0,
    "metre": 1.0,
    "cm": 0.01,
    "centimeter": 0.01,
    "centimetre": 0.01,
    "mm": 0.001,
    "millimeter": 0.001,
    "millimetre": 0.001,
    "ft": 0.3048,
    "foot": 0.3048,
    "feet": 0.3048,
    "in": 0.0254,
    "inch": 0.0254,
    "inche": 0.0254,  # "inches" without its s
}

_NUMBER = r"(?<![\w.+-])([+-]?[0-9]{1,7}(?:\.[0-9]{1,12})?)(?![\w.]*[0-9])"
_GAP = r"[ \t\n]{0,8}"
_LENGTH = re.compile(
    rf"{_NUMBER}{_GAP}({'|'.join(sorted(METRES_PER_UNIT, key=len, reverse=True))})s?\b", re.IGNORECASE
)
_CLOCK = re.compile(rf"{_NUMBER}{_GAP}o['’]{_GAP}clock\b", re.IGNORECASE)
_POLARITY = re.compile(r"\b(?:(yes|correct|true|indeed)|(no|not|incorrect|wrong|false))\b", re.IGNORECASE)
_BOX = re.compile(r"\([ ]{0,4}" + r"[ ]{0,4},[ ]{0,4}".join([r"([0-9]{1,7})"] * 4) + r"[ ]{0,4}\)")


def region(text_box: tuple[int, int, int, int]) -> str:
    """Names an object by its box in text steps (see `text_pixels.text_from_boxes`)."""
    return "bounding box region ({}, {}, {}, {})".format(*text_box)


def confirm_question(first: str, relation: str, second: str) -> str:
    """Asks whether one region stands in a relation ("smaller than", "to the left of") to another."""
    return f"Can you confirm if {first} is {relation} {second}?"


def confirm_answer(first: str, relation: str, second: str, holds: bool) -> str:
    """Answers it: "Correct, ..." or "Incorrect, ... not ..."."""
    return f"Correct, {first} is {relation} {second}." if holds else f"Incorrect, {first} is not {relation} {second}."


def choice_question(comparative: str, first: str, second: str) -> str:
    """Asks which of two regions is closer, larger, taller ..."""
    return f"Which is {comparative}, {first} or {second}?"


def choice_answer(chosen: str, comparative: str) -> str:
    """Answers it with the region."""
    return f"{chosen[0].upper()}{chosen[1:]} is {comparative}."


def measure_question(quantity: str) -> str:
    """Asks for a length, such as "the width of bounding box region (...)"."""
    return f"What is {quantity}?"


def measure_answer(quantity: str, metres: float) -> str:
    """Answers it in centimetres."""
    return f"{quantity[0].upper()}{quantity[1:]} is {metres:.2f} meters."


def clock_question(start: str, target: str) -> str:
    """Asks where one region is as seen from another, on a clock face on the ground with 12 away from the camera."""
    return f"If you are at {start}, facing away from the camera, in which clock direction is {target}?"


def clock_answer(start: str, target: str, hour: int) -> str:
    """Answers it with the hour, 1 to 12."""
    return f"{target[0].upper()}{target[1:]} is roughly at {hour} o'clock from {start}."


def parse_polarity(text: str) -> bool | None:
    """Whether an answer affirms: the first word that says so, or denies, decides."""
    found = _POLARITY.search(text) if isinstance(text, str) else None
    return None if found is None else found.group(1) is not None


def parse_choice(text: str) -> tuple[int, int, int, int] | None:
    """The first box that an answer names, in text steps."""
    found = _BOX.search(text) if isinstance(text, str) else None
    return None if found is None else tuple(int(number) for number in found.groups())


def parse_length(text: str) -> float | None:
    """The last length of an answer in metres: a number with its unit, metric or feet and inches; not negative."""
    found = _LENGTH.findall(text) if isinstance(text, str) else []
    if not found:
        return None
    number, unit = found[-1]
    metres = float(number) * METRES_PER_UNIT[unit.lower()]
    return metres if metres >= 0 else None


def parse_clock(text: str) -> int | None:
    """The last hour of an answer, 1 to 12."""
    found = _CLOCK.findall(text) if isinstance(text, str) else []
    if not found:
        return None
    hour = float(found[-1])
    return int(hour) if hour.is_integer() and 1 <= hour <= 12 else None
