"""What a run logged, as a table: its first and last training log and its last evaluation."""

from collections.abc import Mapping, Sequence


Column = tuple[str, str, Mapping[str, float]]  # title, what stands before the names in the entry, the entry


def log_columns(log_history: Sequence[Mapping[str, float]]) -> list[Column]:
    """Picks the logs that are shown.

    Args:
        log_history (`Sequence[Mapping[str, float]]`): The trainer's.

    Returns:
        `list[Column]`: First and last training log, then the last evaluation if there is one; empty where no step was
        logged.
    """
    training = [entry for entry in log_history if "loss" in entry]
    evaluation = [entry for entry in log_history if "eval_loss" in entry]
    if not training:
        return []
    columns = [(f"step {entry['step']}", "", entry) for entry in (training[0], training[-1])]
    return columns + [(f"held out, step {entry['step']}", "eval_", entry) for entry in evaluation[-1:]]


def log_table(columns: Sequence[Column], names: Sequence[str], width: int = 22) -> str:
    """Writes logs side by side.

    Args:
        columns (`Sequence[Column]`): The logs.
        names (`Sequence[str]`): What is shown, a line each where any log has it.
        width (`int`, *optional*, defaults to `22`): Characters of the names.

    Returns:
        `str`
    """
    if not columns:
        return "No step was logged: set logging_steps below the number of steps."
    lines = [f"{'':<{width}}" + "".join(f"{title:>22}" for title, _, _ in columns)]
    for name in names:
        cells = [entry.get(prefix + name) for _, prefix, entry in columns]
        if any(cell is not None for cell in cells):
            lines.append(
                f"{name:<{width}}" + "".join(f"{'-' if cell is None else f'{cell:.4f}':>22}" for cell in cells)
            )
    return "\n".join(lines)
