"""METEOR among the figures of captions where this machine has it, and why not where it has not."""

import pytest

from igep.trainers.evaluation.benchmarks.scan2cap import SCAN2CAP
from igep.trainers.evaluation.benchmarks.scanqa import SCANQA
from igep.trainers.evaluation.benchmarks.sqa3d import SQA3D
from igep.trainers.metrics import caption_at_iou, meteor, scanqa


ANSWER = {"sample_id": "a", "prediction": "two", "reference": {"answers": ["two"], "question_type": "what"}}
CAPTION = {"sample_id": "a", "prediction": "a chair", "reference": {"captions": ["a chair"], "iou": 0.6}}


def test_meteor_stands_with_the_other_scores(monkeypatch):
    for metric in (scanqa, caption_at_iou):
        monkeypatch.setattr(metric, "check_meteor", lambda: None)
        monkeypatch.setattr(metric, "meteor_score", lambda texts, references: 12.5)
    figures, facts = SCANQA.figures([ANSWER], None)
    for protocol in ("peer", "standard"):
        figure = figures[f"meteor, {protocol}"]
        assert (figure.value, figure.n, figure.scale.unit) == (12.5, 1, "x 100")
    assert "not_computed" not in facts
    figures, _ = SCAN2CAP.figures([CAPTION], None)
    assert {name for name in figures if "meteor" in name} == {
        f"meteor_{threshold}, {protocol}" for threshold in (25, 50) for protocol in ("peer", "standard")
    }


@pytest.mark.parametrize(("benchmark", "row"), [(SCANQA, ANSWER), (SCAN2CAP, CAPTION)], ids=["scanqa", "scan2cap"])
def test_without_it_the_others_stand_and_the_reason_is_told(monkeypatch, benchmark, row):
    monkeypatch.setattr(meteor.importlib.util, "find_spec", lambda name: None)
    figures, facts = benchmark.figures([row], None)
    assert not any("meteor" in name for name in figures)
    assert any("rouge_l" in name for name in figures)
    assert facts["not_computed"] == {"METEOR": "METEOR needs pycocoevalcap: pip install pycocoevalcap"}
    assert "not_computed" not in SQA3D.figures([ANSWER], None)[1], "which has no captions"
