"""Lengths as text: a number with its unit, feet and inches or metres and centimetres together, halves and quarters.

What is read, and what is not:

- A number is `2`, `2.5`, `.5`, `1e1`, `1,200` (thousands), `1/2`, `1 1/2`, `2½`, `2 and a half`, or `half a`. Words of
  numbers ("two") are not read.
- A whole number of a unit and a smaller one of the same system are one length, and summed: `5 feet 3 inches`, `5'3"`,
  `1 m 20 cm`, `2 metres and 30 centimetres`. The smaller part is less than one of the larger unit: `1 m 120 cm` are
  two lengths.
- Of several lengths the last one counts: `3 ft and then 2 m` are two metres, and so are `2 m (6.6 ft)` nearly.
- What leaves open which length is meant is none: a range (`2 to 3 m`, `2-3 m`, `between 2 and 3 m`), two numbers of
  one unit (`2 or 3 m`, `2 x 3 m`), a tolerance (`2 ± 0.1 m`, `2 m ± 5 %`), a decimal comma (`1,5 m`), thousands set
  apart by spaces or apostrophes (`1 000 m`), a number glued to the unit before it (`1m20`).
"""

import math
import re


METRES_PER_UNIT = {
    "km": 1000.0,
    "kilometer": 1000.0,
    "kilometre": 1000.0,
    "m": 1.0,
    "meter": 1.0,
    "metre": 1.0,
    "dm": 0.1,
    "decimeter": 0.1,
    "decimetre": 0.1,
    "cm": 0.01,
    "centimeter": 0.01,
    "centimetre": 0.01,
    "mm": 0.001,
    "millimeter": 0.001,
    "millimetre": 0.001,
    "yd": 0.9144,
    "yard": 0.9144,
    "ft": 0.3048,
    "foot": 0.3048,
    "feet": 0.3048,
    "'": 0.3048,
    "in": 0.0254,
    "inch": 0.0254,
    "inche": 0.0254,  # "inches" without its s
    '"': 0.0254,
}
_IMPERIAL = ("yd", "yard", "ft", "foot", "feet", "in", "inch", "inche")
_HALVES = {"half": 0.5, "quarter": 0.25, "½": 0.5, "¼": 0.25, "¾": 0.75}

# Possessive or bounded, as all that repeats: no text takes more than linear time.
DIGITS = r"[+-]?(?:[0-9]++(?:\.[0-9]++)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?"
GAP = r"[ \t\n\u00a0\u2009\u202f]{0,8}"
_WORD_UNITS = "|".join(sorted((unit for unit in METRES_PER_UNIT if unit.isalpha()), key=len, reverse=True))
_NO_INCHES = r"(?!in\s{1,8}(?:the|this|that|these|those|an?|both|each|every|all|front|total)\b)"  # "2 in the room"
_UNIT = rf"{_NO_INCHES}(?:{_WORD_UNITS})s?(?![^\W\d]|\^)\.?"
_NUMBER = r"[+-]?(?:[0-9]++(?:,[0-9]++)*+(?:\.[0-9]++)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?"
_THOUSANDS = r"(?<=[0-9][ '’\u00a0\u2009\u202f])[0-9]{3}(?![0-9])"  # of "1 000 m" and "1'000 m"
_FRACTION = r"[0-9]{1,4}/[0-9]{1,4}|[½¼¾]"
_LENGTH = re.compile(
    # After another character of a word a number begins in "1m20cm" alone.
    rf"(?:(?<![\w.+/-])(?<![0-9],)(?!{_THOUSANDS})|(?<=[0-9]m)|(?<=[0-9]cm)|(?<=[0-9]ft))"
    rf"(?:(?P<number>(?>{_NUMBER}))(?:{GAP}(?:and{GAP})?(?P<fraction>{_FRACTION}))?"
    rf"|(?P<alone>{_FRACTION})|(?P<half>half|a{GAP}quarter)(?:{GAP}of)?{GAP}(?:an?)?\b)"
    rf"(?P<before>{GAP}and{GAP}a{GAP}(?:half|quarter)\b)?{GAP}-?(?P<unit>{_UNIT})"
    rf"(?P<after>{GAP}and{GAP}a{GAP}(?:half|quarter)\b)?"
    # Of quotes, both: what is quoted may end with a number.
    rf"|(?<![\w.+/-])(?P<feet>[0-9]++){GAP}['’′]{GAP}(?P<inches>(?>[0-9]++(?:\.[0-9]++)?)){GAP}(?:[\"″”]|''|’’|′′)",
    re.IGNORECASE,
)
_JOINED = re.compile(rf"{GAP},?{GAP}(?:and{GAP})?", re.IGNORECASE)
_ANY_UNIT = rf"(?:{_UNIT}|degrees?|deg|°|o['’]{GAP}clock)"
_GIVE_OR_TAKE = rf"(?:±|\+/-|\+-|(?:plus{GAP}or{GAP}minus|give{GAP}or{GAP}take)\b)"
_NEARLY = rf"{GAP}(?:about|around|roughly|approximately|maybe|perhaps)?{GAP}"
_TOLERANCE = re.compile(rf"{GAP},?{GAP}\(?{_GIVE_OR_TAKE}", re.IGNORECASE)
_OPEN = re.compile(
    rf"[0-9½¼¾]{GAP}(?:(?:{_ANY_UNIT})?{GAP}"
    rf"(?:(?:up{GAP})?to|through|-|–|—|~|x|×|by|{_GIVE_OR_TAKE}){_NEARLY}|(?:or|and){_NEARLY})$"
    rf"|{_GIVE_OR_TAKE}{GAP}$"
    rf"|\bbetween{GAP}[0-9.,/]{{1,16}}{GAP}(?:{_ANY_UNIT})?{GAP}and{GAP}$",
    re.IGNORECASE,
)
_LOOKED_BACK = 96  # characters, which hold whatever `_OPEN` may match


def last_length(text: str) -> float | None:
    """Reads the last length of a text.

    Args:
        text (`str`): Anything.

    Returns:
        `float` or `None`: Metres; `None` without a length, or where it is left open, negative or not finite.
    """
    lengths = list(_LENGTH.finditer(text))
    if not lengths or _runs_on(text, lengths[-1]):
        return None
    parts = [lengths[-1]]
    while len(parts) < len(lengths) and _one_length(text, lengths[-len(parts) - 1], parts[-1]):
        parts.append(lengths[-len(parts) - 1])
    if leaves_open(text, parts[-1].start()):
        return None
    metres = [_metres(part) for part in parts]
    return None if None in metres or not 0 <= min(metres) <= sum(metres) < math.inf else sum(metres)


def leaves_open(text: str, start: int) -> bool:
    """Whether what stands before a quantity makes it the end of a range, an alternative or a tolerance.

    Args:
        text (`str`): An answer.
        start (`int`): Where the quantity begins in it.

    Returns:
        `bool`
    """
    return _OPEN.search(text[max(start - _LOOKED_BACK, 0) : start]) is not None


def _runs_on(text: str, length: re.Match) -> bool:
    """Whether a digit follows the unit directly, as in "1m20", or a tolerance, as in "2 m ± 10 %"."""
    return text[length.end() : length.end() + 1].isdecimal() or _TOLERANCE.match(text, length.end()) is not None


def _one_length(text: str, larger: re.Match, smaller: re.Match) -> bool:
    """Whether two neighbours are parts of one length: "5 feet" and "3 inches"."""
    if not _JOINED.fullmatch(text, larger.end(), smaller.start()) or larger["feet"] or smaller["feet"]:
        return False
    if larger["after"] or not (larger["number"] or "").isdecimal() or larger["fraction"] or larger["before"]:
        return False
    of_larger, of_smaller = _unit(larger), _unit(smaller)
    metres = _metres(smaller)
    return (
        (of_larger in _IMPERIAL) == (of_smaller in _IMPERIAL)
        and metres is not None
        and METRES_PER_UNIT[of_smaller] < METRES_PER_UNIT[of_larger]
        and 0 <= metres < METRES_PER_UNIT[of_larger]
    )


def _unit(length: re.Match) -> str:
    unit = length["unit"].lower().removesuffix(".")
    return unit if unit in METRES_PER_UNIT else unit.removesuffix("s")


def _metres(length: re.Match) -> float | None:
    if length["feet"]:
        return float(length["feet"]) * METRES_PER_UNIT["'"] + float(length["inches"]) * METRES_PER_UNIT['"']
    number = length["number"]
    if number is not None:
        if "," in number and not re.fullmatch(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})++(?:\.[0-9]++)?", number):
            return None
        value = float(number.replace(",", ""))
    else:
        value = _HALVES[length["half"].split()[-1].lower()] if length["half"] else 0.0
    for fraction in (length["fraction"], length["alone"]):
        if fraction is not None:
            value += _share(fraction)
    for words in (length["before"], length["after"]):
        if words is not None:
            value += _HALVES[words.split()[-1].lower()]
    return value * METRES_PER_UNIT[_unit(length)]


def _share(fraction: str) -> float:
    if fraction in _HALVES:
        return _HALVES[fraction]
    above, below = (int(number) for number in fraction.split("/"))
    return above / below if below else math.nan
