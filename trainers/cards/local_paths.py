"""Paths of this machine in texts that others read, whatever their root: `/nfs`, `C:\\`, `\\\\server`, `~`, `file://`."""

import re
from pathlib import PurePath, PureWindowsPath


_PART = r"[\w.@+~$-]+"
# One folder and something in it at least: `/think` is no path. What is after a word, a bracket or a slash is none either:
# `and/or`, addresses, closing tags.
LOCAL_PATH = re.compile(
    rf"file:/{{1,3}}{_PART}[^\s\"'<>)\]]*"
    rf"|(?<![\w./\\~)\]}}<>%*-])/(?:{_PART}/)+(?:[\w.@+~ -]*[\w.@+~-])?"
    rf"|(?<![A-Za-z0-9])[A-Za-z]:(?:\\{{1,2}}|/)(?!/){_PART}[^\s\"'<>]*"
    r"|(?<![\\\w])\\{2,4}[A-Za-z0-9][\w.-]+\\{1,2}[\w$.-]{2,}[^\s\"'<>]*"
    rf"|(?<![\w~])~[\w.-]*/{_PART}[^\s\"'<>]*"
)


def find_local_path(text: str) -> str | None:
    """Finds a path of this machine in a text.

    Args:
        text (`str`): Anything.

    Returns:
        `str` or `None`: The first one; `None` where there is none.
    """
    found = LOCAL_PATH.search(text)
    return None if found is None else found.group().strip()


def is_local_path(text: str) -> bool:
    """Whether a whole text is a path from a root.

    Args:
        text (`str`): Anything.

    Returns:
        `bool`
    """
    return LOCAL_PATH.fullmatch(text) is not None or PurePath(text).is_absolute()


def last_name(path: str) -> str:
    """The last name of a path, of Windows' ones too.

    Args:
        path (`str`): A path.

    Returns:
        `str`
    """
    return PureWindowsPath(path.removeprefix("file:")).name
