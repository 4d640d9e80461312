"""The card beside a saved model: what it says is what was done, and its code runs as it stands."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import av
import numpy as np
import pytest
import yaml
from card_runs import a_run
from grounded_walls import GroundedWalls
from huggingface_hub import ModelCard
from peft import LoraConfig
from PIL import Image
from tiny_checkpoints import random_frames
from tiny_training import make_trainer
from video_files import encode, moving_frames, set_display_matrix

from igep.trainers import cli, sft
from igep.trainers.cards import training_run
from igep.trainers.cards.evaluation_results import Evaluation
from igep.trainers.cards.licences import licence_of
from igep.trainers.cards.made_base import made_by, write_made_by
from igep.trainers.cards.model_card import model_card
from igep.trainers.cards.training_run import read_training_run
from igep.trainers.data.scenes.video_decoding import read_shown_frames
from igep.trainers.data.scenes.video_display import displayed
from igep.trainers.metrics.figure import R2, SHARE, Figure
from igep.trainers.package_files import PACKAGE


LORA = LoraConfig(r=4, target_modules=r".*\.(q_proj|v_proj|qkv)", task_type="CAUSAL_LM")
PROTOCOL = {
    "dataset": "synthetic_rooms",
    "dataset_name": "Synthetic rooms",
    "split": "held out: 8 rooms of seed 7",
    "inputs": "2 RGB frames",
    "questions": "64 questions",
    "metrics": "share of answers equal to the reference",
}


@pytest.fixture(scope="module")
def base(checkpoint_folders):
    return checkpoint_folders["llava_onevision"]


def write_video(file: Path, frames: list[Image.Image]) -> None:
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())


def run_card(folder: Path, repo_id: str, check: str = "") -> str:
    """Runs all Python of a folder's card in one new process beside a video and a photo; returns what it prints."""
    card = ModelCard.load(folder / "README.md")
    blocks = [block.split("```")[0] for block in card.text.split("```python\n")[1:]]
    code = "\n".join(blocks).replace(f'"{repo_id}"', repr(str(folder))) + check
    workplace = folder.parent / "workplace"
    workplace.mkdir(exist_ok=True)
    frames = random_frames(5)
    write_video(workplace / "video.mp4", frames)
    frames[0].save(workplace / "photo.jpg")
    done = subprocess.run([sys.executable, "-c", code], cwd=workplace, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


# ---- as the trainer writes it


@pytest.mark.slow
def test_its_code_runs_and_it_says_what_was_trained(base, tmp_path):
    trainer = make_trainer(base, tmp_path / "my_model", cross_view_weight=0.0, geometry_weight=0.3)
    trainer.train()
    trainer.save_model()
    card = ModelCard.load(tmp_path / "my_model" / "README.md")
    assert {"igep", "sft", "trl"} <= set(card.data.tags)
    assert card.data.pipeline_tag == "image-text-to-text"
    assert card.data.base_model is None, "a folder of this machine is no base model for others"
    for place in (tmp_path, base):
        assert str(place) not in card.content
        assert str(place) not in (tmp_path / "my_model" / "training_run.json").read_text()
    assert f"{base.name}, fine-tuned for 2 steps" in card.text
    assert "layers | 0.3 |" in card.text
    assert "cross-view" not in card.text
    assert "**not in this repository**" in card.text
    assert "No score was measured" in card.text
    assert cited(card.text) == {"igep", "zhang2026ide"}
    recipe = yaml.safe_load(card.text.split("```yaml\n")[1].split("```")[0])
    assert recipe["geometry_weight"] == 0.3
    assert recipe["max_steps"] == 2
    assert "output_dir" not in recipe
    run_card(tmp_path / "my_model", "my_model", "\nassert answer.shape[0] == 1\nassert len(frames) == 2, len(frames)")
    assert 'igep export "my_model" plain\n' in card.text
    assert cli.main(["export", str(tmp_path / "my_model"), str(tmp_path / "plain")]) == 0
    assert (tmp_path / "plain" / "config.json").exists()


@pytest.mark.slow
def test_its_code_asks_how_far_a_pixel_is_where_that_was_learned(tmp_path):
    recipe = sft.__file__.replace("sft.py", "recipes/vlm3_rooms.yaml")
    options = ["--num_rooms", "8", "--max_steps", "2", "--disable_tqdm", "true", "--lr_scheduler_type", "constant"]
    options += ["--lr_scheduler_kwargs", "{}", "--per_device_train_batch_size", "2", "--dataloader_num_workers", "0"]
    options += ["--add_unknown_words", "true"]  # the tiny base has no words for distances
    sft.main(["--config", recipe, "--output_dir", str(tmp_path / "depth"), *options])
    run = read_training_run(tmp_path / "depth")
    assert run["usage"]["tasks"] == ["depth"]
    assert run["usage"]["text_pixel_steps"] == 64
    assert run["recipe"]["task"] == "depth"
    assert run["recipe"]["max_steps"] == 2, "a flag wins over the recipe"
    assert run["base_model"]["licence"] == {"name": "apache-2.0", "link": None}
    assert run["recipe"]["model_name_or_path"] == "tiny_base", "a file of this package is named as it is"
    assert ModelCard.load(tmp_path / "depth" / "README.md").data.license == "apache-2.0"
    card = ModelCard.load(tmp_path / "depth" / "README.md").text
    assert "60 degrees" not in card, "no focal length is unified: no field of view is assumed"
    assert "| depth | synthetic_rooms | depth |" in card
    assert "CC BY-NC 4.0" in card.split("## Licence")[1]
    printed = run_card(tmp_path / "depth", "depth")
    assert "metres" in printed


@pytest.mark.slow
def test_the_code_of_an_adapter_alone_loads_it(base, tmp_path):
    trainer = make_trainer(base, tmp_path / "my_model", peft_config=LORA, merge_adapter_at_save=False, max_steps=1)
    trainer.train()
    trainer.save_model()
    assert not (tmp_path / "my_model" / "adapter" / "README.md").exists(), "peft's form, not filled in"
    card = (tmp_path / "my_model" / "README.md").read_text()
    (tmp_path / "my_model" / "README.md").write_text(card.replace(f'"{base.name}"', repr(str(base))))
    assert "the base model with other weights" not in card
    assert "a LoRA adapter, which can be merged" in card
    check = "\nassert any('lora_' in name for name, _ in model.named_parameters())"
    run_card(tmp_path / "my_model", "my_model", check)


def test_a_base_on_the_hub_is_named_and_linked(base, tmp_path):
    trainer = make_trainer(base, tmp_path, global_weight=0.0, geometry_weight=0.0, cross_view_weight=0.0)
    trainer.base_model = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
    trainer.create_model_card(model_name="rooms", dataset_name="someone/rooms", tags="indoor")
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.base_model == "llava-hf/llava-onevision-qwen2-7b-ov-hf"
    assert card.data.datasets == ["someone/rooms"]
    assert "indoor" in card.data.tags
    assert "No geometry supervised it." in card.text
    assert "# rooms\n" in card.text


# ---- from what is known


def test_scores_become_a_table_and_metadata_of_the_hub():
    match = Figure(0.46918, 512, SHARE)
    scores = {
        "rooms": {"exact match, mean": match, "depth probe, r2": Figure(0.874, 4096, R2)},
        "before": {"exact match, mean": Figure(0.4, 512, SHARE)},
    }
    others = {"before": "another run of the same comparison"}
    card = ModelCard(model_card(a_run(), repo_id="user/rooms", evaluations=[Evaluation(PROTOCOL, scores, others)]))
    assert "|                   | unit  | better | answers | this model | before |" in card.text
    assert "| exact match, mean | share | higher | 512     | 0.469      | 0.400  |" in card.text
    assert "| depth probe, r2   | R2    | higher | 4,096   | 0.874      | -      |" in card.text
    assert "- before: another run of the same comparison.\n" in card.text
    assert "2 RGB frames" in card.text
    found = {result.metric_name: result for result in card.data.eval_results}
    assert found["exact match, mean"].metric_value == 0.4692
    assert found["exact match, mean"].metric_type == "exact_match"
    assert found["depth probe, r2"].dataset_type == "synthetic_rooms"
    assert len(found) == 2, "of the model itself, not of what it is compared with"
    assert card.data.model_name == "rooms"
    assert yaml.safe_load(card.content.split("---")[1])["model-index"][0]["name"] == "rooms"


DEPTH_LOSS = {"name": "depth, by a verifier of 8 channels on 2 encoder layers", "weight": 0.3}
ALIGNMENT_LOSS = {"name": "alignment of encoder tokens with a frozen 3D teacher (backbone)", "weight": 0.2}
CONSISTENCY_LOSS = {"name": "cross-view consistency of that depth", "weight": 0.1}
PHOTOMETRIC_LOSS = {
    "name": "photometric consistency of that depth with the neighbour's colours, where none is measured",
    "weight": 1.0,
}


@pytest.mark.parametrize("setting", ["none", "pose", "depth+pose"])
def test_a_ground_head_is_shown_with_what_it_takes(setting):
    grounding = {"name": f"grounding among boxes (geometry inputs: {setting})", "weight": 1.0}
    run = a_run()
    run["losses"] = [*run["losses"], grounding]
    run["usage"] = run["usage"] | {"ground_geometry_inputs": setting}
    card = ModelCard(model_card(run, repo_id="user/rooms")).text
    assert "No geometry supervised it." in card
    assert "it is the base model with other weights, at the same cost per answer, and the ground head." in card
    code = card.split("Which of the boxes of a scene")[1].split("```")[1]
    assert "found.best, found.chosen" in code
    assert ("depth_metres" in code) == (setting == "depth+pose")
    assert ("world_from_camera" in code) == ("**camera" in code) == (setting != "none")
    given = {
        "none": "and takes these besides.",
        "pose": "and takes these and the intrinsics and poses of the frames besides.",
        "depth+pose": "and takes these and the depth, intrinsics and poses of the frames besides.",
    }
    words = " ".join(card.split())
    assert f"Its ground head chooses among the boxes of a scene, {given[setting]}" in words
    run["usage"] |= {"geometry_inputs": "depth+pose"}
    words = " ".join(ModelCard(model_card(run, repo_id="user/rooms")).text.split())
    assert "scene, and takes these besides." in words, "depth and poses were named a sentence before"


@pytest.mark.slow
def test_its_code_points_at_boxes_where_that_was_learned(base, tmp_path):
    options = {"geometry_weight": 0.0, "cross_view_weight": 0.0, "global_weight": 0.0, "ground_weight": 1.0}
    trainer = make_trainer(base, tmp_path / "grounds", GroundedWalls(), **options, max_steps=1)
    trainer.train()
    trainer.save_model()
    assert read_training_run(tmp_path / "grounds")["usage"]["ground_geometry_inputs"] == "depth+pose"
    run_card(tmp_path / "grounds", "grounds", "\nassert len(found.similarities) == 3, found")


@pytest.mark.parametrize(
    ("losses", "heads"),
    [
        ([DEPTH_LOSS, CONSISTENCY_LOSS], "(a depth verifier)"),
        ([PHOTOMETRIC_LOSS], "(a depth verifier)"),
        ([ALIGNMENT_LOSS], "(a projector to the teacher)"),
        ([DEPTH_LOSS, ALIGNMENT_LOSS], "(a depth verifier, a projector to the teacher)"),
    ],
)
def test_only_heads_that_the_run_had_are_named(losses, heads):
    card = model_card(a_run(losses=[*a_run()["losses"], *losses]), repo_id="user/rooms")
    assert f"The heads that supervised the training {heads} are **not in this repository**" in card


def test_a_field_of_view_is_assumed_only_where_focal_lengths_are_unified():
    usage = a_run()["usage"] | {"tasks": ["depth"], "text_pixel_steps": 64}
    for focal_pixels in (None, 1000.0):
        card = model_card(a_run(usage=usage | {"focal_pixels": focal_pixels}), repo_id="user/rooms")
        assert ("60 degrees is assumed" in card) == (focal_pixels is not None)


@pytest.mark.parametrize("losses", [[], [DEPTH_LOSS]])
def test_an_adapter_is_not_called_a_whole_model(losses):
    card = model_card(a_run(adapter_only=True, losses=[*a_run()["losses"], *losses]), repo_id="user/rooms")
    assert "This repository holds a LoRA adapter" in card
    assert "is the base model with other weights" not in card


def test_training_data_is_named_and_linked():
    dataset = {"kind": "hub", "name": "someone/flats", "on_hub": True}
    part = {"name": "flats", "task": "questions", "rows": 8, "samples": 40, "dataset": dataset}
    own = part | {"dataset": {"kind": "scannet", "name": "my|scans", "on_hub": False}}
    card = model_card(a_run(data=[part, own]), repo_id="user/rooms")
    assert (
        "| flats | hub: [someone/flats](https://huggingface.co/datasets/someone/flats) | questions | 8 | 40 |" in card
    )
    assert "| flats | scannet: my\\|scans | questions | 8 | 40 |" in card
    assert "| training rows | not recorded | questions | 8 | 40 |" in model_card(a_run(), repo_id="user/rooms")


def test_boxes_are_asked_for_where_they_were_taught():
    part = {"name": "scanrefer", "task": "text_boxes", "rows": 8, "samples": 40}
    card = model_card(a_run(data=[part]), repo_id="user/rooms")
    compile(card.split("3D boxes")[1].split("```python\n")[1].split("```")[0], "card", "exec")
    assert "box_question_inputs" not in model_card(a_run(), repo_id="user/rooms")


def test_architecture_and_size_are_told():
    run = a_run(model={"architecture": "llava_onevision", "parameters": 1234567})
    assert "Architecture: `llava_onevision`, 1,234,567 parameters." in model_card(run, repo_id="user/rooms")
    run = a_run(model={"architecture": "llava_onevision", "parameters": None})
    assert "Architecture: `llava_onevision`.\n" in model_card(run, repo_id="user/rooms")
    assert "Architecture" not in model_card(a_run(), repo_id="user/rooms"), "an older file does not say"


def cited(card: str) -> set[str]:
    """Keys of the BibTeX entries on a card."""
    return set(re.findall(r"^@\w+\{(\w+),", card.split("```bibtex\n")[1].split("```")[0], re.MULTILINE))


@pytest.mark.parametrize(
    ("losses", "tasks", "keys"),
    [
        ([], ["questions"], set()),
        ([DEPTH_LOSS], ["questions"], {"zhang2026ide"}),
        ([], ["depth"], {"cai2026vlm3", "cai2025depthlm"}),
        ([ALIGNMENT_LOSS], ["pose", "questions"], {"zhang2026ide", "cai2026vlm3"}),
    ],
)
def test_only_the_papers_of_the_method_are_cited_and_the_software(losses, tasks, keys):
    usage = a_run()["usage"] | {"tasks": tasks, "text_pixel_steps": 64}
    card = model_card(a_run(losses=[*a_run()["losses"], *losses], usage=usage), repo_id="user/rooms")
    assert cited(card) == keys | {"igep"}
    assert ("CC BY-NC 4.0" in card) == (tasks != ["questions"])


def test_the_software_is_cited_as_its_citation_file_says():
    root = PACKAGE
    stated = yaml.safe_load((root / "CITATION.cff").read_text())
    entry = (root / "hub_cards" / "citation.bib").read_text().split("@software{igep,")[1].split("\n}")[0]
    found = dict(re.findall(r"(\w+)\s*= \{(.*)\},?$", entry, re.MULTILINE))
    assert found["version"] == stated["version"]
    assert found["url"] == stated["repository-code"]
    assert re.sub("[{}]", "", found["title"]) == stated["title"]
    assert re.sub("[{}]", "", found["author"]) == stated["authors"][0]["name"]


def test_the_packages_it_tells_to_install_have_the_bounds_of_this_project():
    root = PACKAGE
    bounds = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    line, _ = [line for line in model_card(a_run(), repo_id="user/x").splitlines() if line.startswith("pip install")]
    wanted = shlex.split(line)[2:]
    assert set(wanted) <= set(bounds)
    assert {re.split(">=", package)[0] for package in wanted} == {
        "transformers",
        "torch",
        "torchvision",
        "av",
        "pillow",
    }


def test_the_recipe_is_said_to_run_by_the_command():
    assert "with [igep](https://github.com/igep/igep) by\n`igep sft --config recipe.yaml`" in model_card(
        a_run(), repo_id="user/rooms"
    )


def test_names_of_others_stay_names():
    hostile = "</h1>|x\n# y <script>alert(1)</script>"
    run = a_run(
        base_model={"name": hostile, "on_hub": False, "licence": None},
        data=[{"name": hostile, "task": "questions", "rows": 1, "samples": 1}],
        recipe={"note": "a\n```\n# out"},
        tags=["a: b", "- c"],
    )
    card = ModelCard(model_card(run, repo_id='user/my "best" | model'))
    assert "<script>" not in card.content
    assert "\n# y" not in card.text
    assert {"a: b", "- c"} <= set(card.data.tags)
    assert yaml.safe_load(card.text.split("````yaml\n")[1].split("````")[0]) == run["recipe"]
    (row,) = [line for line in card.text.splitlines() if "| questions |" in line]
    assert row.replace("\\|", "").count("|") == 6
    compile(card.text.split("```python\n")[1].split("```")[0], "card", "exec")


def test_a_base_that_a_command_makes_is_said_to_be_made_by_it(tmp_path):
    write_made_by(tmp_path, "igep demo-rooms")
    assert made_by(str(tmp_path)) == "igep demo-rooms"
    assert licence_of(str(tmp_path))["name"] == "apache-2.0"
    assert made_by("user/base") is made_by(str(tmp_path / "nothing")) is made_by("") is None
    base = {"name": tmp_path.name, "on_hub": False, "licence": None}
    run = a_run(base_model=base, base_made_by="igep demo-rooms", recipe={"model_name_or_path": tmp_path.name})
    assert "`--model_name_or_path`, the base that `igep demo-rooms` makes" in model_card(run, repo_id="user/rooms")
    assert "and the path of the base as `--model_name_or_path`" in model_card(
        run | {"base_made_by": None}, repo_id="user/rooms"
    )


@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
def test_its_code_turns_a_video_as_a_player_does(tmp_path, monkeypatch, matrix):
    monkeypatch.chdir(tmp_path)
    encode(Path("video.mp4"), moving_frames(6))
    set_display_matrix(Path("video.mp4"), matrix)
    code = model_card(a_run(), repo_id="user/rooms").split("```python\n")[1].split("```")[0]
    reading = code[code.index("with av.open") : code.index("inputs = ")]
    found: dict = {"av": av, "np": np}
    exec(reading, found)  # noqa: S102 - the code of the card
    expected = read_shown_frames("video.mp4", lambda timeline: 2, displayed).images
    assert [frame.size for frame in found["frames"]] == [frame.size for frame in expected]
    for frame, shown in zip(found["frames"], expected, strict=True):
        assert np.abs(np.asarray(frame, int) - np.asarray(shown, int)).max() <= 2


def test_what_was_trained_before_is_told(base, tmp_path):
    first = make_trainer(base, tmp_path / "first", max_steps=1)
    first.train()
    first.save_model()
    told = {"frames_as": "video", "losses": first.args.losses, "samples_per_step": first.args.samples_per_step}
    rows, base_model = first.train_dataset, str(tmp_path / "first")
    run = training_run.training_run(first.args, {}, rows, base_model=base_model, steps=3, tags=[], **told)
    assert [before["steps"] for before in run["earlier"]] == [1]
    card = model_card(run, repo_id="user/rooms")
    assert f"| {base.name} | 1 | cross-entropy of the answers (1)" in card


def test_earlier_runs_count_for_what_the_model_is():
    depth = {"name": "depth", "task": "depth", "rows": 8, "samples": 40}
    losses = [*a_run()["losses"], {"name": "depth, by a verifier of 8 channels", "weight": 0.3}]
    earlier = {**a_run(losses=losses, data=[depth], datasets=["someone/depth"]), "teacher": None}
    card = ModelCard(model_card(a_run(earlier=[earlier]), repo_id="user/rooms"))
    assert "Geometry supervised it in an earlier run" in card.text
    assert "No geometry supervised it" not in card.text
    assert "(a depth verifier) are **not in this repository**" in card.text
    assert "CC BY-NC 4.0" in card.text
    assert {"zhang2026ide", "cai2026vlm3", "cai2025depthlm"} <= set(re.findall(r"@\w+{(\w+),", card.text))
    assert card.data.datasets == ["someone/depth"]
    adapter = model_card(a_run(earlier=[earlier], adapter_only=True), repo_id="user/rooms")
    assert 'IGEPForConditionalGeneration.from_pretrained("org/base")' in adapter


@pytest.mark.parametrize(
    ("recipe", "told"), [({"dataset_path": "my_scenes"}, True), ({"model_name_or_path": "x"}, False)]
)
def test_paths_in_the_recipe_are_named_as_cut(recipe, told):
    assert ("paths are cut to" in model_card(a_run(recipe=recipe), repo_id="user/rooms")) == told


@pytest.mark.parametrize("broken", [{"environment": {}}, {"usage": {}}, {"losses": [{"name": "x", "weight": None}]}])
def test_a_broken_run_is_told_in_a_sentence(broken):
    with pytest.raises(ValueError, match=r"training_run.json is not what a trainer writes"):
        model_card(a_run(**broken), repo_id="user/rooms")


def test_a_question_cannot_leave_its_string():
    question = 'How "far"\n is it?\\'
    run = a_run(usage=a_run()["usage"] | {"examples": [question]})
    code = model_card(run, repo_id="user/rooms").split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")
    assert json.dumps(question) in code


def test_the_video_of_these_tests_has_its_frames(tmp_path):
    frames = random_frames(5)
    write_video(tmp_path / "video.mp4", frames)
    with av.open(str(tmp_path / "video.mp4")) as video:
        read = [frame.to_image() for frame in video.decode(video=0)]
    assert len(read) == 5
    assert np.asarray(read[0]).shape == np.asarray(frames[0]).shape
