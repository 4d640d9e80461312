"""Whose turn it is: so many requests at once, the others in the order they came, and so many of each client."""

import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import gradio as gr
from scene_questions import Outcome, RequestError
from work_in_beats import BEAT_SECONDS


TOO_MANY = "Too many visitors are waiting for an answer: ask again in a while."


@dataclass(frozen=True, eq=False)
class Ticket:
    """A place in the queue.

    Args:
        client (`str`): Whose it is.
    """

    client: str


class Turns:
    """A queue of requests.

    Args:
        at_once (`int`): Requests whose turn it is at the same time.
        waiting (`int`, *optional*, defaults to `32`): Those that may wait for theirs; more are refused.
        per_client (`int`, *optional*, defaults to `8`): Those that one client may have in all.
    """

    def __init__(self, at_once: int, waiting: int = 32, per_client: int = 8):
        self.at_once = at_once
        self.waiting = waiting
        self.per_client = per_client
        self._tickets: list[Ticket] = []
        self._changed = threading.Condition()

    @contextmanager
    def ticket(self, client: str) -> Iterator[Ticket]:
        """A place in the queue, until the block ends.

        Args:
            client (`str`): Who asks.

        Raises:
            RequestError: There is no room, or the client has too many requests under way.
        """
        ticket = Ticket(client)
        with self._changed:
            if sum(other.client == client for other in self._tickets) >= self.per_client:
                raise RequestError(f"You have {self.per_client} requests under way: wait until one of them has ended.")
            if len(self._tickets) >= self.at_once + self.waiting:
                raise RequestError(TOO_MANY)
            self._tickets.append(ticket)
        try:
            yield ticket
        finally:
            with self._changed:
                self._tickets.remove(ticket)
                self._changed.notify_all()

    def wait(self, ticket: Ticket, seconds: float | None = None) -> bool:
        """Waits for a turn.

        Args:
            ticket (`Ticket`): A place in the queue.
            seconds (`float`, *optional*): Longest time to wait; that of a beat unless given.

        Returns:
            `bool`: Whether it has come.
        """
        with self._changed:
            beat = BEAT_SECONDS if seconds is None else seconds
            return self._changed.wait_for(lambda: ticket in self._tickets[: self.at_once], beat)


def in_turn(turns: Turns, client: str, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """An answer that waits for its turn once it has been checked.

    Whoever takes it gets the control back at every beat, and leaves the queue by closing it.

    Args:
        turns (`Turns`): The queue.
        client (`str`): Who asks.
        outcomes (`Iterator[Outcome]`): The answer as it grows; the first one has no text.

    Yields:
        `Outcome`

    Raises:
        RequestError: What was asked cannot be answered, or there is no room in the queue.
    """
    with closing(outcomes):
        first = next(outcomes)
        with turns.ticket(client) as ticket:
            yield first
            while not turns.wait(ticket):
                yield Outcome("", [])
            yield from outcomes


def client_of(request: gr.Request | None) -> str:
    """Who sent a request.

    Args:
        request (`gr.Request`, *optional*): From Gradio.

    Returns:
        `str`: An address. On the Hub it is the one that its proxy forwards: whoever forges it is held by the length of
            the queue alone.
    """
    if request is None or request.client is None:
        return ""
    forwarded = request.headers.get("x-forwarded-for", "") if "SPACE_ID" in os.environ else ""
    return forwarded.split(",")[0].strip() or request.client.host
