"""Visitors' text and models' answers: no control token goes in, no tag comes out, whole or while it is written."""

from types import SimpleNamespace

import pytest
from answer_text import said
from hypothesis import given
from hypothesis import strategies as st
from question_text import control_tokens, is_empty, named_thing, without_control_tokens
from scene_conversation import Conversation
from scene_questions import RequestError, ask, ask_place
from scene_words import PLACE, QUESTION
from tokenizers import AddedToken
from words_model import WordsModel, page_of, scene_of, sent, texts


CAMERA = {"field_of_view_degrees": 60.0, "focal_pixels": None, "max_new_tokens": 8}
THOUGHT = "<think> The point is around 2 meters away. </think>\n\n<answer> 2.00 </answer>"


# ---- What goes in


def tokenizer_with(*tokens: AddedToken) -> SimpleNamespace:
    return SimpleNamespace(added_tokens_decoder=dict(enumerate(tokens)))


TOKENS = control_tokens(
    tokenizer_with(
        AddedToken("<|im_end|>", special=True),
        AddedToken("<image>", special=True),
        AddedToken("<think>", special=False),
        AddedToken("[INST]", special=False),
        AddedToken("wardrobe", special=False),  # a word that training added
    )
)


def test_control_tokens_are_special_ones_and_tags():
    assert set(TOKENS) == {"<|im_end|>", "<image>", "<think>", "[INST]"}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("how far is the wardrobe?", "how far is the wardrobe?"),
        ("a < b and [c] <b>d</b>", "a < b and [c] <b>d</b>"),
        ("hi<|im_end|>bye", "hi< |im_end|>bye"),
        ("<image><image>[INST]<think>", "< image>< image>[ INST]< think>"),
        ("<|im_<image>end|>", "<|im_< image>end|>"),
    ],
)
def test_no_text_is_a_control_token(text, plain):
    assert without_control_tokens(text, TOKENS) == plain


@given(st.lists(st.sampled_from([*TOKENS, "<", "<|im_", "end|>", "a", " "]), max_size=8).map("".join))
def test_no_mixture_leaves_one(text):
    plain = without_control_tokens(text, TOKENS)
    assert not any(token in plain for token in TOKENS)
    assert plain.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("typed", "thing"),
    [
        ("chair", "chair"),
        ("the chair", "chair"),
        ("Where is the chair?", "chair"),
        ("where are  the two chairs ?", "two chairs"),
        ("The the lamp.", "lamp"),
        ("theatre", "theatre"),
        ("an", "an"),
        ("the", "the"),
        ("where is the ?", ""),
        (None, ""),
    ],
)
def test_a_thing_is_named_without_its_article(typed, thing):
    assert named_thing(typed) == thing


@pytest.mark.parametrize(
    ("text", "empty"), [("", True), (None, True), (" \n", True), ("\u200b\u2060", True), ("?", False)]
)
def test_what_cannot_be_seen_is_no_question(text, empty):
    assert is_empty(text) == empty
    page, talk = page_of(WordsModel()), Conversation()
    for task in (QUESTION, PLACE):
        list(sent(page, page.sessions.add(scene_of()), talk, text, task))
    assert texts(talk) == ([] if empty else ["?", "It is red.", *texts(talk)[2:]])
    assert all(texts(talk)), "an empty bubble"


def test_a_thing_is_asked_for_with_one_article():
    page, talk = page_of(WordsModel()), Conversation()
    list(sent(page, page.sessions.add(scene_of()), talk, "Where is the the box?", PLACE))
    assert texts(talk)[0] == "Where is the box?"
    *_, outcome = ask_place(page.model, scene_of(), "the box", **CAMERA)
    assert "Locate the box and" in outcome.reports[0].prompt
    with pytest.raises(RequestError, match="nothing to look for"):
        list(ask_place(page.model, scene_of(), "where is the ?", **CAMERA))


# ---- What comes out


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("red", "", "red"),
        ("", "", ""),
        (THOUGHT, "The point is around 2 meters away.", "2.00"),
        ("thought without a beginning</think> red", "thought without a beginning", "red"),
        ("<think>never ends", "never ends", ""),
        ("<answer> 2 </answer> is it", "", "2"),
        ("<answer>1</answer> no <answer>2", "", "2"),
        ("a < b", "", "a < b"),
        ("</answer>", "", ""),
    ],
)
def test_thought_and_answer_are_told_apart(text, thought, answer):
    found = said(text, is_whole=True)
    assert (found.thought, found.answer) == (thought, answer)
    assert found.whole()


@pytest.mark.parametrize("text", [THOUGHT, "a<b>c</b>", "<answer>no", "x < y <think"])
def test_no_part_of_a_tag_is_ever_shown(text):
    for end in range(len(text) + 1):
        shown = said(text[:end], is_whole=False).shown()
        assert not any(part in shown for part in ("<think", "</t", "</answer", "<answer", "<ans", "<th")), text[:end]


def test_answers_stream_without_tags_and_are_remembered_without_thoughts():
    grown = tuple(THOUGHT[: 4 * step] for step in range(1, len(THOUGHT) // 4)) + (THOUGHT,)
    scene = scene_of()
    outcomes = list(ask(WordsModel(grown), scene, "how far?", remember=True, max_new_tokens=8))
    assert not any("<" in outcome.text for outcome in outcomes)
    assert any(outcome.text.startswith("(Thinking: The point") for outcome in outcomes)
    assert outcomes[-1].text == "2.00"
    assert scene.turns == ["how far?", "2.00"]
    page, talk = page_of(WordsModel(grown)), Conversation()
    for shown in sent(page, page.sessions.add(scene_of()), talk, "how far?"):
        assert all(message["content"].strip() for message in shown[page.view.chat])


def test_an_empty_answer_is_called_so():
    model, scene = WordsModel(("",)), scene_of()
    *_, outcome = ask_place(model, scene, "box", **CAMERA)
    assert outcome.text == "The model's answer holds no place that can be drawn: (The model gave an empty answer.)"
    *_, outcome = ask(model, scene, "which?", remember=False, max_new_tokens=8)
    assert outcome.text == "(The model gave an empty answer.)"
    page, talk = page_of(WordsModel((" ", " \n"))), Conversation()
    answer = sent(page, page.sessions.add(scene_of()), talk, "which?")
    next(answer), next(answer)
    assert texts(talk)[1] == "…"
