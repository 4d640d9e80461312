"""BLEU, CIDEr-D and ROUGE-L of captions with several references, in the form of the COCO caption evaluation.

Written from the papers and from the definitions of the COCO evaluation, because no maintained library gives its
numbers without its 100 MB of Java: sacrebleu and NLTK know BLEU without COCO's tiny constants, which show in small
sets and single items; rouge-score and torchmetrics take the best reference where COCO takes the best precision and the
best recall; none has CIDEr-D.

Captions are lists of tokens: how text becomes tokens is the caller's protocol. Scores are in [0, 1], CIDEr-D in
[0, 10].

Sources: Papineni et al. 2002; Vedantam et al., CIDEr, 2015 (arXiv 1411.5726); Lin, ROUGE, 2004; Chen et al. 2015
(arXiv 1504.00325).
"""

import math
from collections import Counter
from collections.abc import Sequence


ORDER = 4  # longest n-gram
SIGMA = 6.0  # of CIDEr-D's length penalty
BETA = 1.2  # weight of recall in ROUGE-L
TINY, SMALL = 1e-15, 1e-9  # COCO's guards against division by zero

Tokens = Sequence[str]


def corpus_scores(
    candidates: Sequence[str], references: Sequence[Sequence[str]], single_spaces: bool = False
) -> dict[str, float]:
    """Every caption score of a set of captions whose tokens stand between spaces.

    Args:
        candidates (`Sequence[str]`): One caption per item.
        references (`Sequence[Sequence[str]]`): At least one per item.
        single_spaces (`bool`, *optional*, defaults to `False`): ROUGE-L splits at every single space, as COCO's does:
            two in a row then hold an empty token, which matches other empty tokens, and an empty caption is one such
            token.

    Returns:
        `dict[str, float]`: `cider`, `bleu_1`, `bleu_2`, `bleu_3`, `bleu_4`, `rouge_l`, all times 100.

    Raises:
        ValueError: No items, or an item without a reference.
    """
    separator = " " if single_spaces else None
    tokens = [caption.split() for caption in candidates]
    reference_tokens = [[caption.split() for caption in item] for item in references]
    bleus, _ = bleu(tokens, reference_tokens)
    cider, _ = cider_d(tokens, reference_tokens)
    rouge, _ = rouge_l(
        [caption.split(separator) for caption in candidates],
        [[caption.split(separator) for caption in item] for item in references],
    )
    scores = {"cider": cider} | {f"bleu_{order}": score for order, score in enumerate(bleus, start=1)}
    return {name: 100 * score for name, score in (scores | {"rouge_l": rouge}).items()}


def bleu(
    candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]
) -> tuple[list[float], list[list[float]]]:
    """BLEU-1 to BLEU-4 with the closest reference's length.

    Args:
        candidates (`Sequence[Tokens]`): One caption per item.
        references (`Sequence[Sequence[Tokens]]`): At least one per item.

    Returns:
        `tuple[list[float], list[list[float]]]`: Four scores of the whole set, whose counts are summed first, and four
        of each item.

    Raises:
        ValueError: No items, or an item without a reference.
    """
    _check(candidates, references)
    totals = [0] * (2 * ORDER + 2)
    per_item = []
    for candidate, item_references in zip(candidates, references, strict=True):
        clipped: Counter = Counter()
        for reference in item_references:
            clipped |= _ngrams(reference)
        matches = [0] * ORDER
        for ngram, count in _ngrams(candidate).items():
            matches[len(ngram) - 1] += min(count, clipped[ngram])
        guesses = [max(0, len(candidate) - order) for order in range(ORDER)]
        closest = min((abs(len(reference) - len(candidate)), len(reference)) for reference in item_references)[1]
        counts = [*matches, *guesses, len(candidate), closest]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        per_item.append(_bleu_of_counts(counts))
    return _bleu_of_counts(totals), per_item


def cider_d(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> tuple[float, list[float]]:
    """CIDEr-D, with document frequencies from the references of the set that is scored.

    A subset of a benchmark therefore has another score than its items have within the whole, and a set of one item has
    0.

    Args:
        candidates (`Sequence[Tokens]`): One caption per item.
        references (`Sequence[Sequence[Tokens]]`): At least one per item.

    Returns:
        `tuple[float, list[float]]`: The mean over items, and each item's score.

    Raises:
        ValueError: No items, or an item without a reference.
    """
    _check(candidates, references)
    counted = [[_ngrams(reference) for reference in item_references] for item_references in references]
    frequency = Counter(ngram for item in counted for ngram in set().union(*item))
    log_items = math.log(len(candidates))

    def weighted(ngrams: Counter) -> tuple[dict, list[float], int]:
        """Weight of each n-gram, their norm for each order, and the length, which COCO counts in bigrams."""
        weights = {ngram: count * (log_items - math.log(max(1, frequency[ngram]))) for ngram, count in ngrams.items()}
        norms = [0.0] * ORDER
        for ngram, weight in weights.items():
            norms[len(ngram) - 1] += weight * weight
        bigrams = sum(count for ngram, count in ngrams.items() if len(ngram) == 2)
        return weights, [math.sqrt(norm) for norm in norms], bigrams

    per_item = []
    for candidate, item in zip(candidates, counted, strict=True):
        weights, norms, length = weighted(_ngrams(candidate))
        similarities = 0.0
        for ngrams in item:
            other_weights, other_norms, other_length = weighted(ngrams)
            products = [0.0] * ORDER
            for ngram, weight in weights.items():
                other = other_weights.get(ngram)
                if other is not None:
                    products[len(ngram) - 1] += min(weight, other) * other
            penalty = math.exp(-((length - other_length) ** 2) / (2 * SIGMA**2))
            similarities += penalty * sum(
                product / (norm * other_norm) if norm * other_norm else product
                for product, norm, other_norm in zip(products, norms, other_norms, strict=True)
            )
        per_item.append(10 * similarities / ORDER / len(item))
    return math.fsum(per_item) / len(per_item), per_item


def rouge_l(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> tuple[float, list[float]]:
    """ROUGE-L: F of the best precision and the best recall, which may come from different references.

    Args:
        candidates (`Sequence[Tokens]`): One caption per item.
        references (`Sequence[Sequence[Tokens]]`): At least one per item.

    Returns:
        `tuple[float, list[float]]`: The mean over items, and each item's score.

    Raises:
        ValueError: No items, or an item without a reference.
    """
    _check(candidates, references)
    per_item = []
    for candidate, item_references in zip(candidates, references, strict=True):
        shared = [_longest_common(candidate, reference) for reference in item_references]
        precision = max(shared) / len(candidate) if len(candidate) else 0.0
        recall = max(
            common / len(reference) if len(reference) else 0.0
            for common, reference in zip(shared, item_references, strict=True)
        )
        found = precision and recall
        per_item.append((1 + BETA**2) * precision * recall / (recall + BETA**2 * precision) if found else 0.0)
    return math.fsum(per_item) / len(per_item), per_item


def _check(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> None:
    if not len(candidates):
        raise ValueError("There are no captions to score.")
    for index, item_references in enumerate(references):
        if not len(item_references):
            raise ValueError(f"Item {index} has no reference caption: give at least one.")


def _ngrams(tokens: Tokens) -> Counter:
    return Counter(
        tuple(tokens[start : start + order])
        for order in range(1, ORDER + 1)
        for start in range(len(tokens) - order + 1)
    )


def _bleu_of_counts(counts: Sequence[int]) -> list[float]:
    """BLEU-1 to BLEU-4 of matches and guesses of each order, the candidates' length and the references'."""
    *ngrams, length, reference_length = counts
    ratio = (length + TINY) / (reference_length + SMALL)
    penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    scores, product = [], 1.0
    for order in range(ORDER):
        product *= (ngrams[order] + TINY) / (ngrams[ORDER + order] + SMALL)
        scores.append(penalty * product ** (1 / (order + 1)))
    return scores


def _longest_common(first: Tokens, second: Tokens) -> int:
    """Length of the longest common subsequence."""
    lengths = [0] * (len(second) + 1)
    for token in first:
        diagonal = 0
        for index, other in enumerate(second, start=1):
            diagonal, lengths[index] = (
                lengths[index],
                diagonal + 1 if token == other else max(lengths[index], lengths[index - 1]),
            )
    return lengths[-1]
