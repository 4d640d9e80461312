"""METEOR where its program is installed, and what is said where it is not."""

import importlib.util
import shutil

import pytest
from golden_metrics import golden

from igep.trainers.metrics.meteor import meteor
from igep.trainers.metrics.scanqa import scanqa_scores


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install pycocoevalcap"):
        meteor(["a"], [["a"]])


def test_without_java(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="java"):
        meteor(["a"], [["a"]])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="METEOR is a Java program")
def test_golden():
    pytest.importorskip("pycocoevalcap", reason="METEOR comes with pycocoevalcap")
    case = golden("scanqa")[0]
    scores = scanqa_scores(
        [{"sample_id": item["sample_id"], "answer": item["pred_response"]} for item in case["items"]],
        [{"sample_id": item["sample_id"], "answers": item["references"]} for item in case["items"]],
        protocol="peer",
        meteor=True,
    )
    assert scores["meteor"] == pytest.approx(case["expected"]["METEOR"], abs=1e-9)
