"""The model card: `hub_cards/model_card.md.jinja`, filled from `training_run.json` and, if there are any, scores."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData

from igep.trainers.evaluation_results import Evaluation


TEMPLATES = Path(__file__).resolve().parent.parent / "hub_cards"
PIPELINE = "image-text-to-text"  # what `transformers.pipeline` runs; the Hub finds videos by the tag
DEFAULT_QUESTION = "How far is the chair?"
NON_COMMERCIAL = "-nc"  # as in cc-by-nc-4.0


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
    """
    name = repo_id.split("/")[-1]
    base = run["base_model"]
    usage = {"focal_pixels": None, "focal_mode": "both", "canvas_size": None} | run["usage"]
    example = (usage["examples"] or [DEFAULT_QUESTION])[0]
    inherited, licence_text = inherited_licence(run)
    licence = licence or inherited
    tags = {*run["tags"], "igep", "3d", "video-text-to-text", "vision-language"}
    data = ModelCardData(
        model_name=name if evaluations else None,
        base_model=base["name"] if base["on_hub"] else None,
        datasets=run["datasets"] or None,
        library_name="transformers",
        pipeline_tag=PIPELINE,
        license=licence,
        tags=sorted(tags),
        language="en",
        eval_results=[result for evaluation in evaluations for result in evaluation.eval_results()] or None,
    )
    card = ModelCard.from_template(
        data,
        template_path=str(TEMPLATES / "model_card.md.jinja"),
        name=name,
        repo_id=repo_id,
        base=f"[{base['name']}](https://huggingface.co/{base['name']})" if base["on_hub"] else base["name"],
        base_id=base["name"],
        steps=run["steps"],
        samples_per_step=run["samples_per_step"],
        supervised=len(run["losses"]) > 1,
        written_tasks=[task for task in usage["tasks"] if task != "questions"],
        adapter_only=run["adapter_only"],
        usage=usage,
        example=json.dumps(example, ensure_ascii=False),
        losses=run["losses"],
        data=run["data"],
        recipe=yaml.safe_dump(run["recipe"], sort_keys=False, width=100).strip(),
        environment=run["environment"],
        evaluations=[{"table": each.table(), "protocol": each.protocol} for each in evaluations],
        licence_text=licence_text,
        citation=(TEMPLATES / "citation.bib").read_text(encoding="utf-8").strip(),
    )
    return str(card).rstrip() + "\n"


def inherited_licence(run: dict[str, Any]) -> tuple[str | None, str]:
    """The licence that a model has from what it was made of.

    Args:
        run (`dict`): What `training_run.json` holds.

    Returns:
        `tuple[str | None, str]`: Its name, `None` where the base's is not known, and sentences for the card. A teacher for
        non-commercial use makes the model so.
    """
    base, teacher = run["base_model"], run["teacher"]
    licence = base["licence"]
    sentences = [
        f"The base model {base['name']} states the licence `{licence}`, which holds for this model as well."
        if licence
        else f"The licence of the base model {base['name']} could not be read when this was written; it holds here too."
    ]
    if teacher is not None and teacher["name"]:
        if teacher["licence"] is None:
            sentences.append(
                f"The licence of the teacher {teacher['name']} could not be read. Several 3D foundation models are for "
                "non-commercial use only, and so is what is trained on them: look it up before you use this model."
            )
        elif NON_COMMERCIAL in teacher["licence"]:
            licence = teacher["licence"]
            sentences.append(
                f"**Non-commercial:** the teacher {teacher['name']} is licensed under `{licence}`, which holds for what was "
                "trained on it."
            )
        else:
            sentences.append(f"The teacher {teacher['name']} is licensed under `{teacher['licence']}`.")
    sentences.append("The licences of the training data hold as well.")
    return licence, " ".join(sentences)
