"""Boxes as text, captions and words in one run of the command; the saved model is asked and scored as taught."""

import json

import numpy as np
import pytest
from PIL import Image
from scannet_tree import write_json, write_labels, write_scan
from transformers import AutoModel, AutoProcessor

from igep.trainers import score, sft


SCAN = "scene0000_00"
ENTRY = {"scene_id": SCAN, "object_name": "chair", "ann_id": "0", "description": "A chair."}


@pytest.mark.slow
def test_from_scans_to_scores(checkpoint_folders, tmp_path):
    root = tmp_path / "scannet"
    write_scan(root, SCAN)
    write_labels(root / "scannetv2-labels.combined.tsv")
    one = write_json(root / "scanrefer.json", [{**ENTRY, "object_id": str(number)} for number in (0, 3)])
    any_number = [("zt_w_d", []), ("mt", [0, 3])]
    several = write_json(
        root / "multi3drefer.json", [{**ENTRY, "eval_type": kind, "object_ids": ids} for kind, ids in any_number]
    )
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"model_name_or_path: {checkpoint_folders['llava_onevision']}\noutput_dir: {tmp_path / 'run'}\nnum_frames: 3\n"
        f"dataset_path: {root}\ngeometry_size: [16, 16]\nmax_steps: 2\nper_device_train_batch_size: 3\n"
        "logging_steps: 1\nsave_strategy: 'no'\nreport_to: none\nuse_cpu: true\ngradient_checkpointing: false\n"
        "disable_tqdm: true\nmixture_weights: uniform\nbox_prompt: frame\nmixture:\n"
        f"  - {{name: one, dataset: scanrefer, annotation_file: {one}, task: text_boxes}}\n"
        f"  - {{name: several, dataset: multi3drefer, annotation_file: {several}, task: text_boxes}}\n"
        f"  - {{name: captions, dataset: scan2cap, annotation_file: {one}}}\n"
    )
    sft.main(["--config", str(recipe)])
    run = json.loads((tmp_path / "run" / "training_run.json").read_text())
    assert [(part["name"], part["task"], part["rows"]) for part in run["data"]] == [
        ("one", "text_boxes", 2),
        ("several", "text_boxes", 2),
        ("captions", "questions", 2),
    ]
    assert (run["usage"]["num_frames"], run["usage"]["tasks"]) == (3, ["questions"])
    assert run["usage"]["task_options"] == {"questions": {"box_prompt": "frame"}}
    model = AutoModel.from_pretrained(tmp_path / "run", trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(tmp_path / "run", trust_remote_code=True)
    frames = [Image.fromarray(np.full((48, 64, 3), shade, dtype=np.uint8)) for shade in (0, 90, 180)]
    card = (tmp_path / "run" / "README.md").read_text()
    code = card.split("as 3D boxes in the camera of a frame")[1].split("```python\n")[1].split("```")[0]
    names = {"model": model, "processor": processor, "frames": frames}
    exec(code.replace("max_new_tokens=256", "max_new_tokens=4"), names)  # noqa: S102
    assert (names["found"].boxes, len(names["found"].problems)) == ((), 1), "two steps teach nothing"
    score.main(
        ["--model", str(tmp_path / "run"), "--output", str(tmp_path / "scores.json"), "--dataset_path", str(root)]
        + ["--benchmark", "scanrefer_boxes", "multi3drefer_boxes", "scan2cap", "--max_new_tokens", "4"]
        + ["--data", "scanrefer_boxes.dataset=scanrefer", f"scanrefer_boxes.annotation_file={one}"]
        + ["multi3drefer_boxes.dataset=multi3drefer", f"multi3drefer_boxes.annotation_file={several}"]
        + ["scan2cap.dataset=scan2cap", f"scan2cap.annotation_file={one}"]
    )
    results = json.loads((tmp_path / "scores.json").read_text())["benchmarks"]
    assert {name: each["facts"]["answered"] for name, each in results.items()} == {
        "scanrefer_boxes": 2,
        "multi3drefer_boxes": 2,
        "scan2cap": 2,
    }
    assert results["scan2cap"]["protocol"]["geometry_inputs"] == "pose", "boxes are shown as they were in training"
    assert all("3 RGB frames" in each["protocol"]["inputs"] for each in results.values())
