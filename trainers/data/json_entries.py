"""The objects of a file of JSON lines, or of a JSON list, read one by one: only where they begin is held in memory."""

import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from igep.trainers.data.scenes.spatial_example import SpatialDataError


CHUNK_CHARACTERS = 1 << 20
LONGEST_ENTRY = 1 << 26  # characters of one object of a list: beyond it, what is no JSON is not waited for any longer
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
WHITESPACE = " \t\r\n"
CUT_OFF = " The file ends within it: it may have been cut off."


class JSONEntries:
    """A file of many JSON objects: one per line, or all in a list. It is read once, whole, to check it; then by entry.

    Args:
        file (`str | Path`): UTF-8.
        check (`Callable`, *optional*): Called with the place and the value of each object (`str`, `dict`) when the
            file is read; it raises for one that cannot be used.

    Raises:
        SpatialDataError: The file cannot be read, has no entry, or an entry is no JSON object, cut off at the end of
            the file included; the message has the file and the line.
    """

    def __init__(self, file: str | Path, check: Callable[[str, dict], None] | None = None):
        self.file = Path(file)
        self._starts, self._ends, self._lines = array("q"), array("q"), array("q")
        try:
            with self.file.open("rb") as stream:
                self._is_list = stream.read(1 << 12).removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"[")
            for line, start, end, entry in self._list_entries() if self._is_list else self._line_entries():
                self._lines.append(line)
                self._starts.append(start)
                self._ends.append(end)
                if not isinstance(entry, dict):
                    self._fail(line, f"a {type(entry).__name__}, not an object. Write {{...}} for each entry.")
                if check is not None:
                    check(self.where(len(self) - 1), entry)
        except OSError as error:
            raise SpatialDataError(
                f"{self.file} cannot be read ({error}): give the path of a file of JSON lines or of a JSON list."
            ) from error
        except UnicodeDecodeError as error:
            raise SpatialDataError(f"{self.file}: not readable as UTF-8 text ({error}). Save it as UTF-8.") from error
        if not self._starts:
            raise SpatialDataError(f"{self.file} has no entry: write one JSON object per line.")

    def __len__(self) -> int:
        return len(self._starts)

    def where(self, row: int) -> str:
        """The place of an entry, for messages.

        Args:
            row (`int`): Number of the entry, counted from 0.

        Returns:
            `str`: File, line, and in a list the number of the entry counted from 1.
        """
        entry = f" (entry {row + 1})" if self._is_list else ""
        return f"{self.file}, line {self._lines[row]}{entry}"

    def read(self, row: int) -> dict[str, Any]:
        """Reads an entry.

        Args:
            row (`int`): Number of the entry, counted from 0.

        Returns:
            `dict`

        Raises:
            SpatialDataError: The file has changed since it was opened.
        """
        try:
            with self.file.open("rb") as stream:
                stream.seek(self._starts[row])
                entry = json.loads(stream.read(self._ends[row] - self._starts[row]))
        except (OSError, ValueError) as error:
            raise SpatialDataError(
                f"{self.where(row)}: not as it was when the file was opened ({error}). Leave the file alone while it "
                "is used."
            ) from error
        return entry

    @property
    def names(self) -> Sequence[str]:
        """Unique names of the entries, in order: the file's and the number of the line, or of the entry of a list."""
        return _EntryNames(self.file.stem, range(1, len(self) + 1) if self._is_list else self._lines)

    def _fail(self, line: int, what: str) -> NoReturn:
        raise SpatialDataError(f"{self.file}, line {line}: {what}")

    def _line_entries(self) -> Iterator[tuple[int, int, int, Any]]:
        start = 0
        with self.file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                text = line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
                if text.strip():
                    try:
                        entry = json.loads(text)
                    except (ValueError, RecursionError) as error:
                        cut = CUT_OFF * (not line.endswith(b"\n"))
                        self._fail(number, f"no JSON ({error}): write one object per line.{cut}")
                    yield number, start + len(line) - len(text), start + len(line), entry
                start += len(line)

    def _list_entries(self) -> Iterator[tuple[int, int, int, Any]]:
        """The entries of a list, of which a part is in memory at a time."""
        with self.file.open(encoding="utf-8-sig", newline="") as stream:
            text = _ListText(stream.read, len(BYTE_ORDER_MARK) if self._has_mark() else 0)
            text.skip("[")
            text.skip(WHITESPACE)
            more = text.peek() != "]"
            while more:
                text.skip(WHITESPACE)
                self._assert_goes_on(text)
                line, start = text.line, text.byte
                try:
                    entry = text.decode()
                except (ValueError, RecursionError) as error:
                    # The place that the message goes on to name is one in the window.
                    reason = error.msg if isinstance(error, json.JSONDecodeError) else error
                    self._fail(line, f"no JSON ({reason}).{CUT_OFF * text.ends_within(error)}")
                yield line, start, text.byte, entry
                text.skip(WHITESPACE)
                self._assert_goes_on(text)
                if text.peek() not in ",]":
                    self._fail(text.line, f"no comma between two entries, but {text.peek()!r}. Write a JSON list.")
                more = text.skip(",")
            text.skip("]")
            text.skip(WHITESPACE)
            if text.peek():
                self._fail(text.line, "more text behind the end of the list. Write one list, or one object per line.")

    def _assert_goes_on(self, text: "_ListText") -> None:
        if not text.peek():
            self._fail(text.line, "the file ends within its list: it was cut off. Write it again.")

    def _has_mark(self) -> bool:
        with self.file.open("rb") as stream:
            return stream.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK


class _ListText:
    """A moving window of a text, with the line and the byte at which it stands."""

    def __init__(self, read: Callable[[int], str], byte: int):
        self.line, self.byte, self.at_end = 1, byte, False
        self._read, self._window, self._place = read, "", 0
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character; nothing at the end of the file."""
        if self._place == len(self._window):
            self._grow(CHUNK_CHARACTERS)
        return self._window[self._place : self._place + 1]

    def skip(self, characters: str) -> bool:
        """Goes on past the next character if it is one of these, or past all whitespace; says whether it was there."""
        found = False
        while (not found or characters == WHITESPACE) and (character := self.peek()) and character in characters:
            self._move(self._place + 1)
            found = True
        return found

    def decode(self) -> Any:
        """The JSON value that begins here."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._window, self._place)
            except json.JSONDecodeError:
                missing = len(self._window) - self._place
                if self.at_end or missing >= LONGEST_ENTRY:
                    raise
                self._grow(max(missing, CHUNK_CHARACTERS))
            else:
                self._move(end)
                return value

    def ends_within(self, error: Exception) -> bool:
        """Whether the file ends where there should be more of the value that `decode` did not find."""
        if not self.at_end or not isinstance(error, json.JSONDecodeError):
            return False
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._window.rstrip())

    def _grow(self, characters: int) -> None:
        added = self._read(characters)
        self.at_end = len(added) < characters
        self._window, self._place = self._window[self._place :] + added, 0

    def _move(self, place: int) -> None:
        passed = self._window[self._place : place]
        self.line += passed.count("\n")
        self.byte += len(passed.encode())
        self._place = place


class _EntryNames(Sequence[str]):
    """Names that are written when they are asked for: a million of them take as much memory as their numbers."""

    def __init__(self, stem: str, numbers: Sequence[int]):
        self._stem, self._numbers = stem, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return _EntryNames(self._stem, self._numbers[index])
        return f"{self._stem}/{self._numbers[index]}"
