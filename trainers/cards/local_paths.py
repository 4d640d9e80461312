"""Paths of this machine in texts that others read, whatever their root: `/nfs`, `C:\\`, `\\\\server`, `//server`, `~`,
`$HOME`, `file://`.
"""

import re
from pathlib import PurePath, PureWindowsPath


_PART = r"[\w.@+~$-]+"
# Folders that stand at the root of machines, and are paths alone; other roots need something below them.
_ROOTS = (
    "home|root|Users|Volumes|data|datasets?|scratch|mnt|nfs|gpfs|lustre|beegfs|ceph|tmp|var|opt|srv|usr|work|workspace|"
    "projects?|storage|shared|raid|ssd|hdd|nvme|disk|fsx|efs|dbfs|kaggle"
)
_NOT_AFTER = r"(?<![\w./\\~)\]}<>%*-])"
# What every machine has, and what documentation writes for a path of the reader's.
_OF_NOBODY = (
    r"(?!(?:dev/(?:null|stdin|stdout|stderr)|usr/bin/env|bin/(?:ba)?sh|path/to/[\w.@+~/-]*|your/[\w.@+~/-]*)"
    r"(?![\w/-]))"
)
_WINDOWS_REST = r"[^\s\"'<>]*"
# After a word, a bracket or a slash nothing is a path: `and/or`, addresses, closing tags. Nor are addresses that leave
# out their host: in links of Markdown and HTML (unless they begin with a known root), of an API (`/v1/models`).
LOCAL_PATH = re.compile(
    rf"file:/{{1,3}}{_PART}[^\s\"'<>)\]]*"
    rf"|{_NOT_AFTER}(?<!\]\()(?<!href=.)(?<!src=.)/(?!(?:v\d+|api|gradio_api|\$defs)/){_OF_NOBODY}"
    rf"(?:{_PART}/)+(?:[\w.@+~ -]*[\w.@+~-])?"
    rf"|{_NOT_AFTER}/{_OF_NOBODY}(?:{_ROOTS})[0-9]{{0,2}}(?:/(?:[\w.@+~ -]*[\w.@+~-])?)*(?![\w/-])"
    # Glued to a flag of one letter, or of a compiler: `-I/nfs/a`.
    rf"|(?<![\w/.-])-(?:[A-Za-z]|isystem|include)/(?:\w[\w.@+~-]+/{_PART}|(?:{_ROOTS})(?![\w-]))(?:/{_PART})*"
    # Shares: `\\server\share`, `//server/share`; not the address of a host that the whole net knows.
    rf"|(?<![\\\w])\\{{2,4}}[A-Za-z0-9][\w.$-]+\\{{1,2}}[\w$.-]{{2,}}{_WINDOWS_REST}"
    r"|(?<![\w:/.\\)\]}<>*-])//(?![\w-]+(?:\.[\w-]+)*\.(?!local|lan|internal|intranet|corp|home)[A-Za-z]{2,}/)"
    rf"[A-Za-z0-9][\w.-]+/{_PART}(?:/{_PART})*"
    rf"|(?<![\w+.-])(?:smb|nfs|cifs|afp|sftp|scp|rsync|hdfs)://{_PART}/{_PART}[^\s\"'<>)\]]*"
    # Drives; `f:\Omega \to \mathbb{{R}}` and `$f:\Omega` are none.
    r"|(?<![A-Za-z0-9$])(?<!\\\()[A-Za-z]:(?:\\{1,2}|/)(?!/)"
    rf"(?!\S{{0,99}}[{{^]|\S{{0,99}}\s?\\(?:to|rightarrow|mapsto)\b){_PART}{_WINDOWS_REST}"
    # What a shell puts in: `~/x` (not `~5/6`, nor in an address), `$HOME/x`, `${VAR}/x`, `%USERPROFILE%\x`; `$RGB/D$`
    # is a formula.
    rf"|(?<![\w~/])~(?![0-9]+/)[\w.-]*/{_PART}{_WINDOWS_REST}"
    r"|(?<![\w$\\])\$(?:[A-Z][A-Z0-9_]{2,}/(?![^\s\"'<>$]*\$(?![\w{]))"
    rf"|\{{[A-Za-z_][\w.]*+(?::?[-=?][^}}\s$]{{0,99}})?\}}/)[\w.$~]{_WINDOWS_REST}"
    rf"|(?<![\w$])\$env:\w+[\\/]\w{_WINDOWS_REST}"
    rf"|(?<![\w%])%[A-Za-z_]\w{{2,}}%[\\/]\w{_WINDOWS_REST}"
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
    path = path.removeprefix("file:")
    return (
        PureWindowsPath(path).name or re.split(r"[\\/]", path.rstrip("\\/"))[-1]
    )  # a share is a root, without a name
