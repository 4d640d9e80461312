"""METEOR where its program is installed, and what is said where it is not."""

import importlib.util
import shutil
import sys
from types import SimpleNamespace

import pytest
from golden_metrics import golden

from igep.trainers.metrics.caption_at_iou import caption_at_iou_scores
from igep.trainers.metrics.meteor import MeteorMissingError, meteor
from igep.trainers.metrics.scanqa import scanqa_scores


ROWS = [{"sample_id": "a", "answer": "a"}], [{"sample_id": "a", "answers": ["a"]}]


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for asked in (lambda: meteor(["a"], [["a"]]), lambda: scanqa_scores(*ROWS, meteor=True)):
        with pytest.raises(MeteorMissingError, match="pip install pycocoevalcap"):
            asked()


def test_without_java(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MeteorMissingError, match="java"):
        meteor(["a"], [["a"]])


def test_its_program_may_end_early(monkeypatch):
    """Where Java has less memory than it asks for, it writes nothing."""
    program = SimpleNamespace(Meteor=lambda: SimpleNamespace(compute_score=lambda *texts: float("")))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    for name in ("pycocoevalcap", "pycocoevalcap.meteor", "pycocoevalcap.meteor.meteor"):
        monkeypatch.setitem(sys.modules, name, program)
    with pytest.raises(MeteorMissingError, match="give it 2 GB of memory"):
        meteor(["a"], [["a"]])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="METEOR is a Java program")
def test_golden():
    """Of every whole case: the others are single items and empty ones."""
    pytest.importorskip("pycocoevalcap", reason="METEOR comes with pycocoevalcap")
    case = golden("scanqa")[0]
    answers = (
        [{"sample_id": item["sample_id"], "answer": item["pred_response"]} for item in case["items"]],
        [{"sample_id": item["sample_id"], "answers": item["references"]} for item in case["items"]],
    )
    peer, leo = (scanqa_scores(*answers, protocol=name, meteor=True)["meteor"] for name in ("peer", "leo"))
    assert peer == pytest.approx(case["expected"]["METEOR"], abs=1e-9)
    assert leo == pytest.approx(100 * case["expected_llava3d"]["METEOR"], abs=1e-9)
    case = golden("scan2cap")[0]
    scores = caption_at_iou_scores(
        [{"sample_id": item["sample_id"], "caption": item["pred_response"], "iou": None} for item in case["items"]],
        [{"sample_id": item["sample_id"], "captions": item["gt_response"]} for item in case["items"]],
        protocol="peer",
        meteor=True,
    )
    assert scores["meteor_50"] == pytest.approx(case["expected"]["METEOR@0.5"], abs=1e-9)
