"""Tokens beside what Stanford CoreNLP 3.4.1 and COCO's filter gave for the same text."""

import json
import shutil
import subprocess
import sys

import pytest
from golden_metrics import golden
from hypothesis import given
from hypothesis import strategies as st

from igep.trainers.metrics.answer_matching import leo_clean_answer
from igep.trainers.metrics.penn_treebank_tokens import caption_tokens


# What the program gave for each line.
SEEN = {
    "It's the left/right side, don't 10:30": "it 's the left/right side do n't 10:30",
    "I can't go cannot gonna 'tis": "i ca n't go can not gon na 't is",
    "wanna gotta gimme lemme whatcha": "wan na got ta gim me lem me whatcha",
    "(brown) [x] {y}": "-lrb- brown -rrb- -lsb- x -rsb- -lcb- y -rcb-",
    "$5 5% #5 5' 5\" ½ £5 €5": "$ 5 5 % # 5 5 5 1/2 # 5 $ 5",
    "café naïve – — ’s it’s “quoted”": "café naïve 's it 's quoted",
    "a.b.c. A.M. p.m. 3 p.m.": "a.b.c. a.m. p.m. 3 p.m.",
    "the Mr. chair etc. no. 5, no.": "the mr. chair etc. no. 5 no",
    "o'clock o'brien d'angelo ma'am": "o'clock o'brien d'angelo ma'am",
    "it..end it...end it....": "it end it end it",
    "two.three right.Left tv.": "two.three right.left tv",
    "left/right/back/front and/or": "left/right/back / front and/or",
    "a*b a+b=c ~5 a_b a@b": "a * b a + b = c ~ 5 a_b a@b",
    "white-board l-shaped two--three a - b -left": "white-board l-shaped two three a b left",
    "1,000.5 3.5. 3. .5 -5 +5 5x5 2x4": "1,000.5 3.5 3 .5 -5 +5 5x5 2x4",
    "2.5m 10:30pm 5cm 1.5-2 10-12cm 1990s 3rd '70s": "2.5 m 10:30 pm 5cm 1.5-2 10-12cm 1990s 3rd '70s",
    "I'd I'll we've he's dogs' 'hello'": "i 'd i 'll we 've he 's dogs hello",
    "hi!!! hi?! what?? ! ? ;:": "hi !!! hi ?! what ??",
    "日本 chair": "日本 chair",
    "😀 ok": "ok",
    "chair\nlamp\tdesk": "chair lamp desk",
    "": "",
    " . , ' ": "",
}


@pytest.mark.parametrize("text", SEEN)
def test_seen(text):
    assert " ".join(caption_tokens(text)) == SEEN[text]


def test_golden():
    for case in golden("scanqa"):
        for item in case["items"]:
            expected = item.get("expected_llava3d", {})
            if "tok_pred" in expected:
                assert " ".join(caption_tokens(leo_clean_answer(item["pred_response"]))) == expected["tok_pred"]
                tokens = [" ".join(caption_tokens(leo_clean_answer(text))) for text in item["references"]]
                assert tokens == expected["tok_refs"]


@given(st.text())
def test_any_text_gives_lower_case_words_without_spaces(text):
    for token in caption_tokens(text):
        assert token
        assert token == token.lower()
        assert not any(character.isspace() for character in token)


@given(st.lists(st.sampled_from(["chair", "left-hand", "3", "it 's", "-lrb-", "brown"]), max_size=6))
def test_words_that_are_tokens_stay(words):
    text = " ".join(words)
    assert " ".join(caption_tokens(text.replace("-lrb-", "("))) == text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="COCO's tokeniser is a Java program")
def test_cocos_own_tokeniser():
    pytest.importorskip("pycocoevalcap", reason="COCO's tokeniser comes with pycocoevalcap")
    script = (
        "import json, sys\nfrom pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer\n"
        "lines = json.load(sys.stdin)\n"
        "tokens = PTBTokenizer().tokenize({i: [{'caption': line}] for i, line in enumerate(lines)})\n"
        "json.dump([tokens[i][0] for i in range(len(lines))], sys.stdout)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(list(SEEN)), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == list(SEEN.values())
