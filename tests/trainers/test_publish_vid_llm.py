"""A Vid-LLM on the Hub: what its card says and runs, what is uploaded, and what is refused."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from card_runs import a_run
from huggingface_hub import ModelCard
from publish_command import arguments, contents, refusal
from scored_model import save_vid_llm
from tiny_checkpoints import random_frames
from video_files import encode, moving_frames

from igep.trainers import publish
from igep.trainers.cards.model_card import model_card
from igep.trainers.publishing.published_folder import check_folder
from igep.trainers.publishing.shipped_code import shipped_code


RUN = a_run(
    base_model={"name": "tiny-qwen2", "on_hub": False, "licence": None},
    model={"architecture": "vid_llm", "parameters": 1234},
    recipe={"vision_name_or_path": "org/dinov2", "language_name_or_path": "org/qwen2", "max_steps": 10},
    losses=[{"name": "cross-entropy of the answers", "weight": 1.0}, {"name": "cameras", "weight": 5.0}],
    usage={
        "tasks": ["questions"],
        "num_frames": 3,
        "frames_as": "video",
        "multi_turn": False,
        "examples": ["Is it red?"],
    },
    tags=["igep", "vid-llm"],
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = save_vid_llm(tmp_path_factory.mktemp("publish") / "my_vid_llm")
    (folder / "training_run.json").write_text(json.dumps(RUN))
    return folder


def test_the_card_says_what_it_is():
    card = model_card(RUN, repo_id="user/rooms")
    assert "trained for 10 steps as a Vid-LLM (after the paper of ICLR 2026)" in card
    assert "**its geometry stays at\ninference**" in card
    assert "**Input: RGB frames and a question, nothing else.**" in card
    assert set(re.findall(r"^@\w+\{(\w+),", card, re.MULTILINE)) == {"igep", "chen2026vidllm"}
    assert 'igep reconstruct --model "user/rooms" --video video.mp4 --output scene.glb' in card
    assert "`igep joint --config recipe.yaml`:" in card, "nor is the place of a base asked for, there is none"
    assert "vid-llm" in ModelCard(card).data.tags
    for wrong in (
        "igep export",
        "training head",
        "IGEP, after 3D-IDE",
        "No geometry supervised",
        "igep sft",
        "with other weights",
    ):
        assert wrong not in card, wrong
    distilled = model_card(RUN | {"tags": [*RUN["tags"], "distillation"]}, repo_id="user/rooms")
    assert "`igep distill --config recipe.yaml`" in distilled
    adapter = model_card(RUN | {"adapter_only": True}, repo_id="user/rooms")
    assert 'VidLLMForConditionalGeneration.from_pretrained("tiny-qwen2")' in adapter


@pytest.mark.slow
def test_a_dry_run_writes_a_model_that_loads_answers_and_reconstructs(saved, tmp_path, capsys):
    publish.main(arguments(saved, "--space", "--dry-run", str(tmp_path / "dry")))
    assert "load and answer in a new process" in capsys.readouterr().out
    folder = tmp_path / "dry" / "model"
    names = set(contents(folder))
    assert set(shipped_code()["vid_llm"]) <= names
    assert {"config.json", "model.safetensors", "training_run.json", "README.md"} <= names
    assert not [name for name in names if name.endswith("_igep.py") and name != "processing_igep.py"]
    # All Python of the card, as it stands, in a process of its own.
    blocks = [block.split("```")[0] for block in ModelCard.load(folder / "README.md").text.split("```python\n")[1:]]
    code = "\n".join(blocks).replace('"user/rooms"', repr(str(folder)))
    encode(tmp_path / "video.mp4", moving_frames(9))
    random_frames(1)[0].save(tmp_path / "photo.jpg")
    code += "\nassert found.depth_metres.shape == (1, 3, 32, 42), found.depth_metres.shape\nassert len(frames) == 3"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_what_is_published_is_checked(saved, tmp_path):
    """A weight may bear a name that IGEP's training heads have: these are no heads."""
    assert "modeling_vid_llm.py" in check_folder(saved).files
    broken = Path(shutil.copytree(saved, tmp_path / "my_vid_llm"))
    (broken / "modeling_vid_llm.py").unlink()
    assert "lacks modeling_vid_llm.py: it is no model that igep saved" in refusal(
        *arguments(broken, "--dry-run", str(tmp_path / "d"))
    )
