"""A row of LLaVA's or ShareGPT's conversation files as turns and media: roles and placeholders understood, or refused.

    {"video": "scannet/scene0000_00.mp4",
     "conversations": [{"from": "human", "value": "<image>\\nHow many chairs are there?"},
                       {"from": "gpt", "value": "4"}]}

`messages` with `role` and `content` mean the same. Media are under `video`, `videos`, `image` or `images`: one path,
or a list of them. Each image has an `<image>` of its own in the questions, a video one `<video>` or, as in LLaVA's
files, one `<image>`.
"""

from dataclasses import dataclass
from itertools import count
from typing import Any, NoReturn

from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.special_tokens import CHAT_TOKEN, LEADING_PLACEHOLDERS, PLACEHOLDER


QUESTION_ROLES, ANSWER_ROLES, SYSTEM_ROLE = ("human", "user"), ("gpt", "assistant"), "system"
ROLES = (*QUESTION_ROLES, *ANSWER_ROLES, SYSTEM_ROLE)
MEDIA_KEYS = ("video", "videos", "image", "images")
IMAGES_IN_TEXT = ("refuse", "number")


@dataclass(frozen=True)
class ConversationTurns:
    """A row without its media.

    Args:
        turns (`tuple[tuple[str, str], ...]`): Questions and answers, without placeholders: frames stand before the
            first.
        media (`tuple[str, ...]`): Paths as the row has them: one video, or its images in the order of the
            placeholders.
        is_video (`bool`): Whether `media` is a video.
        question_type (`str`, *optional*): What the row says of itself.
    """

    turns: tuple[tuple[str, str], ...]
    media: tuple[str, ...]
    is_video: bool
    question_type: str | None


def parse_conversation(where: str, entry: dict[str, Any], images_in_text: str = "refuse") -> ConversationTurns:
    """Understands a row.

    Placeholders at the beginning of the first question, and a single one anywhere in it, say what all of them mean
    here: the frames come first. A system message is put before the first question.

    Args:
        where (`str`): Place of the row, for messages.
        entry (`dict`): The row.
        images_in_text (`str`, *optional*, defaults to `"refuse"`): What is done with placeholders between words or in
            a later turn: `refuse`, or `number` = the text has "image 1" in its place (a video: "the video").

    Returns:
        `ConversationTurns`

    Raises:
        SpatialDataError: No conversation or media, a role that is unknown or out of turn, an empty text, a token of a
            chat template in a text, or placeholders that do not fit the media.
    """
    media, is_video = _media(where, entry)
    system, texts = _texts(where, entry)
    for number, text in enumerate(texts):
        token = CHAT_TOKEN.search(text)
        if token is not None:
            _fail(where, f"turn {number + 1} contains {token.group()!r}, a token of chat templates. Take it out.")
        if number % 2 and PLACEHOLDER.search(text):
            _fail(where, f"turn {number + 1} is an answer with a placeholder, {text!r}. Move it into a question.")
    questions = _without_placeholders(where, texts[::2], len(media), is_video, images_in_text)
    if system:
        questions[0] = f"{system}\n{questions[0]}"
    for number, text in enumerate(text for turn in zip(questions, texts[1::2], strict=True) for text in turn):
        if not text.strip():
            _fail(where, f"turn {number + 1} has no text. Write it, or leave the row out.")
    return ConversationTurns(
        turns=tuple(zip(questions, texts[1::2], strict=True)),
        media=media,
        is_video=is_video,
        question_type=_question_type(entry),
    )


def _fail(where: str, what: str) -> NoReturn:
    raise SpatialDataError(f"{where}: {what}")


def _media(where: str, entry: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
    named = [key for key in MEDIA_KEYS if entry.get(key)]
    if len(named) != 1:
        found = f"both {named[0]!r} and {named[1]!r}" if named else "no image and no video"
        _fail(where, f"{found}. A row needs one of {', '.join(MEDIA_KEYS)}; leave it out if it is text alone.")
    key = named[0]
    value = entry[key]
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) and name for name in names):
        _fail(where, f"{key!r} is {value!r}. Give a path, or a list of paths.")
    is_video = key in ("video", "videos")
    if is_video and len(names) > 1:
        _fail(where, f"{key!r} has {len(names)} videos. One is shown to the model: make a row of each.")
    return tuple(names), is_video


def _texts(where: str, entry: dict[str, Any]) -> tuple[str, list[str]]:
    """The text of a system message, if there is one, and those of questions and answers by turns."""
    key, role_key, text_key = "conversations", "from", "value"
    if key not in entry:
        key, role_key, text_key = "messages", "role", "content"
    messages = entry.get(key)
    if not isinstance(messages, list) or not messages:
        _fail(where, f"{key!r} is {messages!r}. Give `conversations` (or `messages`), a list of turns.")
    system, texts = "", []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict) or not isinstance(message.get(text_key), str):
            _fail(where, f"turn {number} is {message!r}. Give {{{role_key!r}: ..., {text_key!r}: a text}}.")
        role, text = message.get(role_key), message[text_key]
        if role not in ROLES:
            _fail(where, f"turn {number} has the role {role!r}, which is unknown: use one of {', '.join(ROLES)}.")
        if role == SYSTEM_ROLE:
            if number > 1 or PLACEHOLDER.search(text) or CHAT_TOKEN.search(text):
                _fail(where, f"turn {number}: a system message comes first, and is words alone. Correct it.")
            system = text.strip()
            continue
        if role not in (ANSWER_ROLES if len(texts) % 2 else QUESTION_ROLES):
            wanted = "an answer" if len(texts) % 2 else "a question"
            _fail(where, f"turn {number} is of {role!r} where {wanted} is due. Questions and answers take turns.")
        texts.append(text)
    if not texts or len(texts) % 2:
        _fail(where, "the conversation does not end with an answer. Add it, or leave its question out.")
    return system, texts


def _without_placeholders(
    where: str, questions: list[str], num_media: int, is_video: bool, images_in_text: str
) -> list[str]:
    found = [placeholder for question in questions for placeholder in PLACEHOLDER.findall(question)]
    if not is_video and "<video>" in found:
        _fail(where, "<video> in a row of images. Write <image> for each of them.")
    if len(found) != num_media:
        kind = "a video, which needs one" if is_video else f"{num_media} images"
        _fail(where, f"{len(found)} placeholders (<image>, <video>) for {kind}. Write one for each in the questions.")
    first = questions[0]
    if num_media == 1 and PLACEHOLDER.search(first):
        return [PLACEHOLDER.sub("", first).strip(), *questions[1:]]
    leading = LEADING_PLACEHOLDERS.match(first)
    if leading and len(PLACEHOLDER.findall(leading.group())) == num_media:
        return [first[leading.end() :].rstrip(), *questions[1:]]
    if images_in_text == "refuse":
        _fail(
            where,
            "placeholders between words or in a later turn, but all frames come before the first question. Set "
            "images_in_text to number, which writes 'image 1' in their place, or move them.",
        )
    numbers = count(1)
    return [
        PLACEHOLDER.sub(lambda _: "the video" if is_video else f"image {next(numbers)}", question).strip()
        for question in questions
    ]


def _question_type(entry: dict[str, Any]) -> str | None:
    """The row's own `question_type`, or that of its `metadata`, as most sets have one of the two."""
    metadata = entry.get("metadata")
    for fields in (entry, metadata if isinstance(metadata, dict) else {}):
        if isinstance(fields.get("question_type"), str):
            return fields["question_type"]
    return None
