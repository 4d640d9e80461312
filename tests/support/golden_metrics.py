"""Inputs and scores of the benchmarks' published evaluators, as JSON beside the metrics' tests."""

import json
from pathlib import Path


FOLDER = Path(__file__).parents[1] / "trainers" / "metrics" / "golden"


def golden(benchmark: str) -> list[dict]:
    """Every case of a benchmark: `name`, `items` and `expected`, and what else its file says of the whole."""
    cases = []
    for file in sorted(FOLDER.glob(f"{benchmark}.*.json")):
        whole = json.loads(file.read_text(encoding="utf-8"))
        extra = whole.pop("extra_cases", [])
        cases += [{**whole, "name": file.stem}, *extra]
    return cases
