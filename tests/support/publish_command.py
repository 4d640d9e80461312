"""What the tests of publishing share: the command, a Hub of their own, and scores."""

import json
from pathlib import Path

import pytest
from hub_stand_in import HubStandIn

from igep.trainers import publish
from igep.trainers.cards.saved_weights import weights_sha256


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with HubStandIn() as stand_in:
        stand_in.connect(monkeypatch, tmp_path / "cache")
        yield stand_in


def arguments(folder: Path, *more: str) -> list[str]:
    return ["--model", str(folder), "--repo-id", "user/rooms", *more]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pushed(repo) -> dict[str, bytes]:
    return {name: content for name, content in repo.files.items() if name != ".gitattributes"}


def refusal(*given: str) -> str:
    with pytest.raises(SystemExit) as caught:
        publish.main(list(given))
    return str(caught.value)


def write_results(file: Path, model: Path, model_name: str = "my_model") -> Path:
    protocol = {name: name for name in ("dataset", "dataset_name", "split", "inputs", "questions", "metrics")}
    figures = {"exact_match": {"mean": 0.5}, "depth_probe": {"r2": 0.9}, "seconds_per_answer": 0.1}
    run = {"method": "igep", "seed": 0, "model": model_name, "protocol": protocol, **figures}
    run["weights_sha256"] = weights_sha256(model)
    other = {**run, "model": "other", "method": "cross_entropy", "exact_match": {"mean": 0.4}}
    file.write_text(json.dumps({"recipe": "quickstart.yaml", "runs": [other, run], "seconds": 1}))
    return file
