"""The Space's camera: what a visitor set, else what a calibrator estimates once for a video, where the Space has one."""

from types import SimpleNamespace

import field_of_view
import pytest
from field_of_view import UNTOUCHED_DEGREES, known_field_of_view
from scene_layout import DEFAULT_FIELD_OF_VIEW_DEGREES
from scene_model import Scene
from scene_questions import RequestError, ask_distance, ask_place
from tiny_checkpoints import random_frames
from tiny_depth_pro import save_tiny_depth_pro
from words_model import WordsModel, scene_of

from igep.processing_igep import IGEPProcessor


def test_what_is_set_wins_and_what_is_not_is_estimated_once(tmp_path, monkeypatch, checkpoint_folders):
    assert UNTOUCHED_DEGREES == DEFAULT_FIELD_OF_VIEW_DEGREES
    processor = IGEPProcessor.from_base(checkpoint_folders["qwen3_vl"])
    model, scene = SimpleNamespace(processor=processor), Scene(random_frames(2, size=(48, 64)))
    assert known_field_of_view(model, scene, 60.0, None) == 60.0, "no calibrator"
    folder = save_tiny_depth_pro(tmp_path / "depth_pro")
    monkeypatch.setattr(field_of_view, "CALIBRATOR", folder)
    assert known_field_of_view(model, scene, 75.0, None) == 75.0
    assert known_field_of_view(model, scene, 60.0, 500.0) == 60.0
    assert scene.estimated_field_of_view is None
    estimated = known_field_of_view(model, scene, 60.0, None)
    assert estimated == pytest.approx(processor.estimated_field_of_view(scene.frames[0], folder)) != 60.0
    monkeypatch.setattr(field_of_view, "CALIBRATOR", "gone/model")
    assert known_field_of_view(model, scene, 60.0, None) == estimated, "of the same video"


def test_a_calibrator_is_asked_in_the_turn_of_the_answer_and_its_faults_are_sentences(monkeypatch):
    asked = []

    def estimated(frame, calibrator: str) -> float:
        asked.append(calibrator)
        raise OSError(f"{calibrator} is no model")

    monkeypatch.setattr(field_of_view, "CALIBRATOR", "gone/model")
    model = WordsModel()
    model.processor = SimpleNamespace(estimated_field_of_view=estimated)
    camera = {"field_of_view_degrees": 60.0, "focal_pixels": None, "max_new_tokens": 8}
    for answer in (
        ask_distance(model, scene_of(), 0, (3.0, 3.0), **camera),
        ask_place(model, scene_of(), "box", **camera),
    ):
        next(answer)
        assert not asked, "a request that is being checked has no turn yet"
        with pytest.raises(RequestError, match="cannot be estimated: set the field of view"):
            next(answer)
        assert asked.pop() == "gone/model"
