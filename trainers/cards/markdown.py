"""Markdown of ours: tables that read well in a terminal too, and text of others within it."""

from collections.abc import Sequence


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Writes rows of cells as Markdown; columns are aligned in plain text as well.

    Args:
        rows (`Sequence[Sequence[str]]`): Cells, the first row being the head; all rows have the same number.

    Returns:
        `str`
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def in_markdown(text: object) -> str:
    """Text of others for a line or a cell of Markdown: it can neither end the cell nor bring HTML.

    Args:
        text (`object`): A name or a sentence.

    Returns:
        `str`: One line.
    """
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;").replace("](", "] (")
