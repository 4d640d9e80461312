"""Unknown cameras: a depth model that tells the field of view stands in for them, by its id."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_checkpoints import random_frames
from tiny_depth_pro import save_tiny_depth_pro, tiny_depth_pro
from transformers import DepthProImageProcessor
from transformers.modeling_outputs import DepthEstimatorOutput

from igep import calibrator
from igep.calibrator import calibrator_of, depth_model_calibrator, load_calibrator
from igep.focal_unification import intrinsics_from_field_of_view
from igep.processing_igep import IGEPProcessor


FRAME = random_frames(1, size=(48, 64))[0]


def test_depth_pro_calibrates():
    model = tiny_depth_pro(use_fov_model=True)
    processor = DepthProImageProcessor(size={"height": 32, "width": 32})
    with torch.no_grad():
        expected = model(**processor(images=FRAME, return_tensors="pt")).field_of_view.item()
    assert depth_model_calibrator(model, processor)(FRAME) == pytest.approx(expected)


def test_a_depth_model_without_field_of_view_is_named():
    class Plain(torch.nn.Module):
        device, dtype = torch.device("cpu"), torch.float32

        def forward(self, pixel_values):
            return DepthEstimatorOutput(predicted_depth=pixel_values[:, 0])

    processor = DepthProImageProcessor(size={"height": 32, "width": 32})
    with pytest.raises(ValueError, match="Plain estimates no field of view"):
        depth_model_calibrator(Plain(), processor)(Image.new("RGB", (64, 48)))


def test_weights_that_are_not_there_are_named(tmp_path):
    folder = save_tiny_depth_pro(tmp_path / "depth_pro")
    file = tmp_path / "depth_pro" / "model.safetensors"
    save_file(
        {name: value for name, value in load_file(file).items() if not name.startswith("fov_model")},
        file,
        {"format": "pt"},
    )
    with pytest.raises(ValueError, match=r"its weights lack fov_model.*estimates would be random\. Download it anew"):
        load_calibrator(folder)


def test_by_its_id_loaded_once_and_late(tmp_path, monkeypatch, checkpoint_folders):
    folder = save_tiny_depth_pro(tmp_path / "depth_pro")
    loaded = []
    real = calibrator.AutoModelForDepthEstimation.from_pretrained
    monkeypatch.setattr(
        calibrator.AutoModelForDepthEstimation,
        "from_pretrained",
        lambda *arguments, **options: loaded.append(arguments) or real(*arguments, **options),
    )
    estimates = calibrator_of(folder)
    assert loaded == []
    degrees = estimates(FRAME)
    assert degrees == pytest.approx(load_calibrator(folder)(FRAME)) == pytest.approx(70, abs=5)
    processor = IGEPProcessor.from_base(checkpoint_folders["qwen3_vl"])
    asked, known = (
        processor.depth_question_inputs(FRAME, (20.5, 30.5), focal_pixels=96, **camera)
        for camera in ({"calibrator": folder}, {"intrinsics": intrinsics_from_field_of_view((48, 64), degrees)})
    )
    assert all(np.array_equal(asked[name], known[name]) for name in known)
    assert len(loaded) == 1
    with pytest.raises(OSError, match="nowhere"):
        calibrator_of(str(tmp_path / "nowhere"))(FRAME)
