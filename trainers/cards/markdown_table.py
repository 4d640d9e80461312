"""Tables that read well in a terminal and in Markdown."""

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
