"""Text of others in Markdown of ours."""


def in_markdown(text: object) -> str:
    """Text of others for a line or a cell of Markdown: it can neither end the cell nor bring HTML.

    Args:
        text (`object`): A name or a sentence.

    Returns:
        `str`: One line.
    """
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;").replace("](", "] (")
