"""BLEU, CIDEr-D and ROUGE-L: every item of the published evaluators' cases, closed forms, invariances."""

import math

import pytest
from golden_metrics import golden
from hypothesis import given
from hypothesis import strategies as st

from igep.trainers.metrics.caption_scores import bleu, cider_d, corpus_scores, rouge_l


WORDS = st.lists(st.sampled_from("abcde"), max_size=8)
SETS = st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=3)), min_size=1, max_size=5)


def scan2cap_words(text):
    return "sos " + text.replace(".", " . ").replace(",", " , ").lower() + " eos"


CASES = [
    (f"{benchmark} {case['name']}", case["items"], predicted, true, field)
    for benchmark, predicted, true, field in (
        ("scanqa", lambda text: text.rstrip("."), lambda text: text, "references"),
        ("scan2cap", scan2cap_words, scan2cap_words, "gt_response"),
    )
    for case in golden(benchmark)
    if case["name"] != "duplicate_sample_id_last_wins"
]


@pytest.mark.parametrize(("name", "items", "predicted", "true", "field"), CASES, ids=[case[0] for case in CASES])
def test_golden_items(name, items, predicted, true, field):
    candidates = [predicted(item["pred_response"]) for item in items]
    references = [[true(text) for text in item[field]] for item in items]
    tokens = [text.split() for text in candidates], [[text.split() for text in item] for item in references]
    spaced = [text.split(" ") for text in candidates], [[text.split(" ") for text in item] for item in references]
    _, bleus = bleu(*tokens)
    _, ciders = cider_d(*tokens)
    _, rouges = rouge_l(*spaced)
    for item, four, cider, rouge in zip(items, bleus, ciders, rouges, strict=True):
        expected = item["expected"]
        assert four == pytest.approx([expected[f"bleu{order}"] for order in (1, 2, 3, 4)], rel=1e-9)
        assert cider == pytest.approx(expected["cider"], rel=1e-9)
        assert rouge == pytest.approx(expected["rouge_l"], rel=1e-9)


def test_golden_counts():
    for benchmark, words, field in (("scanqa", str, "references"), ("scan2cap", scan2cap_words, "gt_response")):
        case = golden(benchmark)[0]
        totals = case["bleu_totals"]
        end = "." if words is str else ""
        candidates = [words(item["pred_response"].rstrip(end)).split() for item in case["items"]]
        assert sum(map(len, candidates)) == totals["testlen"]
        scores, _ = bleu(candidates, [[words(text).split() for text in item[field]] for item in case["items"]])
        assert scores[0] == pytest.approx(
            totals["correct"][0] / totals["guess"][0] * math.exp(min(0, 1 - 1 / totals["ratio"])), rel=1e-8
        )


def test_bleu_by_hand():
    # Two of three words right, one pair of two; "the" counts once, as often as the reference has it.
    scores, items = bleu([["the", "cat", "the"]], [[["the", "cat", "sat"]]])
    assert scores[0] == items[0][0] == pytest.approx(2 / 3)
    assert scores[1] == pytest.approx(math.sqrt(2 / 3 * 1 / 2))
    # The brevity penalty takes the closest reference, the shorter of two equally close ones.
    assert bleu([["a"]], [[["a", "b"]]])[0][0] == pytest.approx(math.exp(-1))
    assert bleu([["a", "b"]], [[["a"], ["a", "b", "c"]]])[0][0] == pytest.approx(1)


def test_bleu_of_a_set_sums_counts_first():
    scores, items = bleu([["a"], ["x", "y", "z"]], [[["a"]], [["b", "c", "d"]]])
    assert scores[0] == pytest.approx(1 / 4)
    assert [item[0] for item in items] == pytest.approx([1, 0], abs=1e-8)


def test_cider_by_hand():
    # One word each: only the first of four orders, and its weight cancels. The other item's word has no part in it.
    mean, items = cider_d([["a"], ["b"]], [[["a"]], [["b"]]])
    assert items == pytest.approx([2.5, 2.5])
    assert mean == pytest.approx(2.5)
    assert cider_d([["a"], ["c"]], [[["a"]], [["b"]]])[1] == pytest.approx([2.5, 0])
    # Against two bigrams fewer the length penalty is exp(-4 / 72); a word said twice is clipped to once.
    long = ["a", "x", "y"]
    expected = 10 / 4 * math.exp(-4 / 72) / math.sqrt(3)
    assert cider_d([["a"], ["b"]], [[long], [["b"]]])[1][0] == pytest.approx(expected)


def test_cider_of_one_item_is_0():
    assert cider_d([["a", "b"]], [[["a", "b"]]]) == (0, [0])


def test_rouge_by_hand():
    # Precision of the first reference, recall of the second.
    _, items = rouge_l([["a", "b"]], [[["a", "b", "c", "d"], ["b"]]])
    assert items[0] == pytest.approx(1)
    _, items = rouge_l([["a", "x", "b", "y"]], [[["a", "b", "c"]]])
    precision, recall, square = 2 / 4, 2 / 3, 1.2**2
    assert items[0] == pytest.approx((1 + square) * precision * recall / (recall + square * precision))


@given(SETS)
def test_bounds_and_perfect_captions(pairs):
    candidates, references = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    totals, items = bleu(candidates, references)
    for scores in (totals, *items):
        assert all(0 <= value <= 1 + 1e-9 for value in scores)
    for score, limit in ((cider_d, 10), (rouge_l, 1)):
        mean, values = score(candidates, references)
        assert all(0 <= value <= limit + 1e-9 for value in values)
        assert mean == pytest.approx(sum(values) / len(values))
    firsts = [item[0] for item in references]
    assert rouge_l(firsts, references)[1] == [float(bool(first)) for first in firsts]


@given(SETS, st.permutations("abcde"))
def test_neither_names_nor_order_matter(pairs, names):
    renamed = dict(zip("abcde", names, strict=True))
    other = [
        ([renamed[word] for word in candidate], [[renamed[word] for word in text] for text in reversed(item)])
        for candidate, item in reversed(pairs)
    ]
    for score in (bleu, cider_d, rouge_l):
        total, _ = score([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        again, _ = score([pair[0] for pair in other], [pair[1] for pair in other])
        assert again == pytest.approx(total, abs=1e-9)


def test_single_spaces_match_each_other():
    assert corpus_scores(["a  b"], [["c  d"]])["rouge_l"] == 0
    assert corpus_scores(["a  b"], [["c  d"]], single_spaces=True)["rouge_l"] == pytest.approx(100 / 3)
    assert corpus_scores([""], [[""]], single_spaces=True)["rouge_l"] == 100


@pytest.mark.parametrize("score", [bleu, cider_d, rouge_l])
def test_nothing_to_score(score):
    with pytest.raises(ValueError, match="no captions"):
        score([], [])
    with pytest.raises(ValueError, match="Item 1 has no reference"):
        score([["a"], ["b"]], [[["a"]], []])
