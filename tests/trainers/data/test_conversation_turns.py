"""Rows of conversation files: each way in which they are written, and each that cannot be understood."""

import pytest

from igep.trainers.data.conversation_turns import parse_conversation
from igep.trainers.data.scenes.spatial_example import SpatialDataError


def row(*texts: str, **fields) -> dict:
    turns = [{"from": ("human", "gpt")[number % 2], "value": text} for number, text in enumerate(texts)]
    return {"conversations": turns, **(fields or {"video": "a.mp4"})}


def turns(entry: dict, **options) -> tuple[tuple[str, str], ...]:
    return parse_conversation("rows.jsonl, line 7", entry, **options).turns


@pytest.mark.parametrize(
    ("question", "media"),
    [
        ("<image>\nHow many?", {"video": "a.mp4"}),
        ("<video>\nHow many?", {"video": ["a.mp4"]}),
        ("How many?\n<video>", {"videos": ["a.mp4"]}),
        ("<image> How many?", {"image": "a.png"}),
        ("How many?\n<image>", {"images": ["a.png"]}),
        ("<image>\n<image>\nHow many?\n", {"image": ["a.png", "b.png"]}),
        ("<image><image><image>How many?", {"images": ["a.png", "b.png", "a.png"], "video": None}),
    ],
)
def test_placeholders_stand_for_the_frames_before_the_question(question, media):
    entry = row(question, "Four", **media)
    found = parse_conversation("here", entry)
    assert found.turns == (("How many?", "Four"),)
    assert found.is_video == ("videos" in media or bool(media.get("video")))
    names = next(value for value in media.values() if value)
    assert found.media == ((names,) if isinstance(names, str) else tuple(names))


def test_the_two_spellings_of_turns_mean_the_same():
    by_from = row("<video>\nWhere?", "Left ", "And now?", "Right")
    roles = {"human": "user", "gpt": "assistant"}
    messages = [{"role": roles[turn["from"]], "content": turn["value"]} for turn in by_from["conversations"]]
    assert turns(by_from) == turns({"messages": messages, "video": "a.mp4"})
    assert turns(by_from) == (("Where?", "Left "), ("And now?", "Right"))


def test_a_system_message_comes_before_the_first_question():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "<video>\nWhere?"},
        {"role": "assistant", "content": "Left"},
    ]
    assert turns({"messages": messages, "video": "a.mp4"}) == (("Be brief.\nWhere?", "Left"),)


def test_placeholders_between_words_are_refused_or_become_numbers():
    entry = row("First <image>, then <image>: what changed?", "Nothing", images=["a.png", "b.png"])
    with pytest.raises(SpatialDataError, match=r"line 7: placeholders between words.*images_in_text to number"):
        turns(entry)
    assert turns(entry, images_in_text="number")[0][0] == "First image 1, then image 2: what changed?"
    later = row("Look.", "Yes?", "<image>\nWhat is it?", "A cup", image="a.png")
    with pytest.raises(SpatialDataError, match="in a later turn"):
        turns(later)
    assert turns(later, images_in_text="number")[1][0] == "image 1\nWhat is it?"
    moved = row("Look.", "Yes?", "In <video>: what is it?", "A cup")
    assert turns(moved, images_in_text="number")[1][0] == "In the video: what is it?"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"question_type": "count"}, "count"),
        ({"metadata": {"question_type": "size"}}, "size"),
        ({"metadata": 3}, None),
    ],
)
def test_what_the_row_says_of_its_type(fields, kind):
    entry = row("<image>\nHow many?", "4", video="a.mp4", **fields)
    assert parse_conversation("here", entry).question_type == kind


GOOD = row("<image>\nHow many?", "4")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (row("<image>\n<image>\nHow many?", "4", images=["a.png"]), "2 placeholders .* for 1 images"),
        (row("<image>\nHow many?", "4", images=["a.png", "b.png"]), "1 placeholders .* for 2 images"),
        (row("How many?", "4"), "0 placeholders .* for a video"),
        (row("<image><video>How many?", "4"), "2 placeholders .* for a video"),
        (row("<video>\nHow many?", "4", image="a.png"), "<video> in a row of images"),
        (row("<image>\nHow many?", "<image>"), "turn 2 is an answer with a placeholder"),
        (row("<image>\nHow many?<|im_end|>", "4"), r"turn 1 contains '<\|im_end\|>'"),
        (row("<image>\nHow many?", "4</s>"), "turn 2 contains '</s>'"),
        (row("<image>\nHow many?", " "), "turn 2 has no text"),
        (row("<image>\n", "4"), "turn 1 has no text"),
        (row("<image>\nHow many?"), "does not end with an answer"),
        (row("<image>\nHow many?", "4", image="a.png", video="a.mp4"), "both 'video' and 'image'"),
        (row("How many?", "4", image=[]), "no image and no video"),
        (row("<image>\nHow many?", "4", image=7), "'image' is 7"),
        (row("<image>\nHow many?", "4", image=[{"bytes": "?"}]), "'image' is .*Give a path"),
        (row("<image>\nHow many?", "4", videos=["a.mp4", "b.mp4"]), "has 2 videos"),
        ({"video": "a.mp4"}, "'messages' is None. Give `conversations`"),
        ({"video": "a.mp4", "conversations": []}, r"'conversations' is \[\]"),
        ({"video": "a.mp4", "messages": ["hello"]}, "turn 1 is 'hello'"),
        ({"video": "a.mp4", "messages": [{"role": "user", "content": ["?"]}]}, "turn 1 is .*'content': a text"),
        ({"video": "a.mp4", "conversations": [{"from": "bot", "value": "?"}]}, "role 'bot', which is unknown"),
        ({**GOOD, "conversations": GOOD["conversations"][1:]}, "turn 1 is of 'gpt' where a question is due"),
        (
            {**GOOD, "conversations": [GOOD["conversations"][0]] * 2},
            "turn 2 is of 'human' where an answer is due",
        ),
        (
            {**GOOD, "conversations": [*GOOD["conversations"], {"from": "system", "value": "Be brief."}]},
            "turn 3: a system message comes first",
        ),
    ],
)
def test_what_cannot_be_understood_is_an_error(entry, message):
    with pytest.raises(SpatialDataError, match=message) as caught:
        turns(entry)
    assert str(caught.value).startswith("rows.jsonl, line 7: ")
