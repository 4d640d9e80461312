"""The model card: `hub_cards/model_card.md.jinja`, filled from `training_run.json` and, if there are any, scores."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml
from huggingface_hub import ModelCard, ModelCardData

from igep.trainers.evaluation_results import Evaluation
from igep.trainers.licences import inherited_licence


TEMPLATES = Path(__file__).resolve().parent.parent / "hub_cards"
PIPELINE = "image-text-to-text"  # what `transformers.pipeline` runs; the Hub finds videos by the tag
DEFAULT_QUESTION = "How far is the chair?"


def model_card(
    run: dict[str, Any], *, repo_id: str, evaluations: Sequence[Evaluation] = (), licence: str | None = None
) -> str:
    """Writes the card.

    Args:
        run (`dict`): What `training_run.json` holds.
        repo_id (`str`): Where the model is or will be: an id on the Hub or the name of a folder.
        evaluations (`Sequence[Evaluation]`, *optional*): Its scores.
        licence (`str`, *optional*): Licence of the model; inherited from the base and the teacher unless given.

    Returns:
        `str`: Markdown with its metadata.

    Raises:
        ValueError: The run is not what a trainer writes; the licence is no name, or allows what the base or the teacher
            forbids.
    """
    try:
        return _rendered(run, repo_id, evaluations, licence)
    except (KeyError, TypeError, AttributeError, jinja2.UndefinedError) as error:
        raise ValueError(f"training_run.json is not what a trainer writes ({error}): save the model again.") from error


def _rendered(run: dict[str, Any], repo_id: str, evaluations: Sequence[Evaluation], licence: str | None) -> str:
    name = repo_id.split("/")[-1]
    base = run["base_model"]
    usage = {"focal_pixels": None, "focal_mode": "both", "canvas_size": None} | run["usage"]
    example = next((question for question in usage["examples"] if question.strip()), DEFAULT_QUESTION)
    found, licence_text = inherited_licence(run, licence)
    tags = {*run["tags"], "igep", "3d", "video-text-to-text", "vision-language"}
    data = ModelCardData(
        model_name=name if evaluations else None,
        base_model=base["name"] if base["on_hub"] else None,
        datasets=run["datasets"] or None,
        library_name="transformers",
        pipeline_tag=PIPELINE,
        **({} if found is None else found.metadata),
        tags=sorted(tags),
        language="en",
        eval_results=[result for evaluation in evaluations for result in evaluation.eval_results()] or None,
    )
    base_name = in_markdown(base["name"])
    recipe = yaml.safe_dump(run["recipe"], sort_keys=False, width=100).strip()
    card = ModelCard.from_template(
        data,
        template_path=str(TEMPLATES / "model_card.md.jinja"),
        name=in_markdown(name),
        where=json.dumps(repo_id, ensure_ascii=False),
        base=f"[{base_name}](https://huggingface.co/{base['name']})" if base["on_hub"] else base_name,
        base_id=json.dumps(base["name"], ensure_ascii=False),
        base_is_elsewhere=not base["on_hub"] and "/" not in str(run["recipe"].get("model_name_or_path")),
        steps=run["steps"],
        samples_per_step=run["samples_per_step"],
        earlier=[_cells(before) for before in run["earlier"]],
        supervised=len(run["losses"]) > 1,
        written_tasks=[in_markdown(task) for task in usage["tasks"] if task != "questions"],
        adapter_only=run["adapter_only"],
        usage=usage | {"frames_as": json.dumps(usage["frames_as"]), "focal_mode": json.dumps(usage["focal_mode"])},
        example=json.dumps(example, ensure_ascii=False),
        losses=[{"name": in_markdown(loss["name"]), "weight": float(loss["weight"])} for loss in run["losses"]],
        data=[{key: in_markdown(part[key]) for key in ("name", "task", "rows", "samples")} for part in run["data"]],
        recipe=recipe,
        fence="`" * (3 if "```" not in recipe else 1 + max(len(ticks) for ticks in re.findall("`+", recipe))),
        environment=run["environment"],
        evaluations=[
            {"table": each.table(), "protocol": {key: in_markdown(text) for key, text in each.protocol.items()}}
            for each in evaluations
        ],
        licence_text=in_markdown(licence_text),
        citation=(TEMPLATES / "citation.bib").read_text(encoding="utf-8").strip(),
    )
    return str(card).rstrip() + "\n"


def in_markdown(text: object) -> str:
    """Text of others for a line or a cell of Markdown: it can neither end the cell nor bring HTML.

    Args:
        text (`object`): A name or a sentence.

    Returns:
        `str`: One line.
    """
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;").replace("](", "] (")


def _cells(before: dict[str, Any]) -> dict[str, str]:
    """An earlier run as cells of a table."""
    teacher = before["teacher"]
    return {
        "base": in_markdown(before["base_model"]["name"]),
        "steps": in_markdown(before["steps"]),
        "losses": in_markdown(", ".join(f"{loss['name']} ({loss['weight']:g})" for loss in before["losses"])),
        "data": in_markdown(", ".join(f"{part['name']} ({part['samples']} samples)" for part in before["data"])),
        "teacher": in_markdown("none" if teacher is None else teacher["name"] or teacher["kind"]),
    }
