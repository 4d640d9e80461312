"""How an answer is written word by word, in a thread of its own, and ends when nobody waits for it any more."""

import threading
import time

import torch
from transformers import PreTrainedTokenizerBase, StoppingCriteria, TextIteratorStreamer


THINK, TAGS = "<think>", ("<think>", "</think>", "<answer>", "</answer>")


class End(StoppingCriteria):
    """Ends generation when nobody listens any more, or so many seconds after the first token.

    Before it, the prompt is read, which takes as long as it takes.

    Args:
        seconds (`float`): Longest time.
        cancelled (`threading.Event`, *optional*): Is set when nobody listens any more; one of its own unless given.
    """

    def __init__(self, seconds: float, cancelled: threading.Event | None = None):
        self.seconds = seconds
        self.cancelled = cancelled or threading.Event()
        self.begin: float | None = None
        self.late = False

    def __call__(self, input_ids, scores, **kwargs) -> torch.Tensor:
        now = time.monotonic()
        self.begin = now if self.begin is None else self.begin
        self.late = now - self.begin > self.seconds
        return torch.full((input_ids.shape[0],), self.late or self.cancelled.is_set(), device=input_ids.device)


class UnwantedError(Exception):
    """Nobody listens to an answer any more."""


class Writing(threading.local):
    """The end of the answer that a thread writes."""

    end: End | None = None


class WordStreamer(TextIteratorStreamer):
    """Streams words and tags; tokens that are neither are left out.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): That of the model.
        silent (`torch.Tensor`): (N,) ids that are not shown.
        seconds (`float`): Longest wait for the next word.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, silent: torch.Tensor, seconds: float):
        super().__init__(tokenizer, skip_prompt=True, timeout=seconds)
        self.silent = silent

    def put(self, value: torch.Tensor) -> None:
        is_prompt = self.next_tokens_are_prompt
        super().put(value if is_prompt else value[~torch.isin(value, self.silent)])


def silent_tokens(tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    """Ids of the tokens that are not shown: special ones, tags of thoughts and answers aside.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): That of the model.

    Returns:
        `torch.Tensor`: (N,), int64.
    """
    added = tokenizer.added_tokens_decoder.items()
    silent = [number for number, token in added if token.special and token.content not in TAGS]
    return torch.tensor(silent, dtype=torch.long)
