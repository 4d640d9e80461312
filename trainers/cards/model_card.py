"""The model card: `hub_cards/model_card.md.jinja`, filled from `training_run.json` and, if there are any, scores."""

import json
import re
from collections.abc import Sequence
from typing import Any

import jinja2
import yaml
from huggingface_hub import ModelCard, ModelCardData

from igep.ground_head import GEOMETRY_OF
from igep.spatial_prompts import GROUND_ONE
from igep.trainers.cards.evaluation_results import Evaluation
from igep.trainers.cards.licences import inherited_licence
from igep.trainers.cards.markdown import in_markdown
from igep.trainers.data.text_box_dataset import TEXT_BOXES
from igep.trainers.package_files import CARD_TEMPLATES


PIPELINE = "image-text-to-text"  # what `transformers.pipeline` runs; the Hub finds videos by the tag
TASKS = ("depth", "correspondence", "pose", "objects")  # whose questions VLM3 worded
AS_IT_IS = {  # usage of a model that was trained on images as they are, or before these options
    **dict.fromkeys(("focal_pixels", "longest_side", "max_image_pixels", "canvas_size")),
    "focal_mode": "both",
    "pixel_mapping": "image",
    "geometry_inputs": "none",
}
DEFAULT_QUESTION = "How far is the chair?"
LOCAL_PATH = re.compile(r"(?<!name_or)_(path|file|folder|dir|root): (?!null)")
OF_ANSWERS = ("cross-entropy of the answers", "grounding among boxes")  # how the names of their losses begin
VID_LLM, DISTILLATION = "vid_llm", "distillation"  # architecture, and tag of its first stage
HEADS = {  # by how the names of their losses begin
    "depth, by a verifier": "a depth verifier",
    "cross-view consistency": "a depth verifier",
    "photometric consistency": "a depth verifier",
    "alignment of": "a projector to the teacher",
}


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
        ValueError: The run is not what a trainer writes; the licence is no name, or allows what the base or the
            teacher forbids.
    """
    try:
        return _rendered(run, repo_id, evaluations, licence)
    except (KeyError, TypeError, AttributeError, jinja2.UndefinedError) as error:
        raise ValueError(f"training_run.json is not what a trainer writes ({error}): save the model again.") from error


def was_supervised(run: dict[str, Any]) -> bool:
    """Whether 3D geometry supervised a model that keeps none of it, in its run or an earlier one.

    Args:
        run (`dict`): What `training_run.json` holds.

    Returns:
        `bool`
    """
    return not _reconstructs(run) and any(_is_supervised(each) for each in (run, *run["earlier"]))


def _reconstructs(run: dict[str, Any]) -> bool:
    """Whether it is a Vid-LLM, whose geometry stays."""
    return run.get("model", {}).get("architecture") == VID_LLM


def _rendered(run: dict[str, Any], repo_id: str, evaluations: Sequence[Evaluation], licence: str | None) -> str:
    name = repo_id.split("/")[-1]
    base = run["base_model"]
    usage = AS_IT_IS | run["usage"]
    ground_inputs = usage.get("ground_geometry_inputs")
    example = next((question for question in usage["examples"] if question.strip()), DEFAULT_QUESTION)
    found, licence_text = inherited_licence(run, licence)
    tags = {*run["tags"], "igep", "3d", "video-text-to-text", "vision-language"}
    data = ModelCardData(
        model_name=name if evaluations else None,
        base_model=base["name"] if base["on_hub"] else None,
        datasets=sorted({name for each in (run, *run["earlier"]) for name in each.get("datasets") or ()}) or None,
        library_name="transformers",
        pipeline_tag=PIPELINE,
        **({} if found is None else found.metadata),
        tags=sorted(tags),
        language="en",
        eval_results=[result for evaluation in evaluations for result in evaluation.eval_results()] or None,
    )
    base_name = in_markdown(base["name"])
    written_tasks = [task for task in usage["tasks"] if task in TASKS]
    runs = [run, *run["earlier"]]
    reconstructs = _reconstructs(run)
    ever_supervised = was_supervised(run)
    trained_tasks = {*usage["tasks"], *(part["task"] for each in runs for part in each["data"])}
    ever_written = [task for task in TASKS if task in trained_tasks]
    recipe = yaml.safe_dump(run["recipe"], sort_keys=False, width=100).strip()
    card = ModelCard.from_template(
        data,
        template_path=str(CARD_TEMPLATES / "model_card.md.jinja"),
        name=in_markdown(name),
        where=json.dumps(repo_id, ensure_ascii=False),
        base=f"[{base_name}](https://huggingface.co/{base['name']})" if base["on_hub"] else base_name,
        base_id=json.dumps(base["name"], ensure_ascii=False),
        base_is_elsewhere=_base_is_elsewhere(run, reconstructs),
        base_made_by=run.get("base_made_by"),  # older files do not say
        reconstructs=reconstructs,
        trained_by=_trained_by(run, reconstructs),
        steps=run["steps"],
        samples_per_step=run["samples_per_step"],
        earlier=[_cells(before) for before in run["earlier"]],
        model=_model(run.get("model", {})),
        supervised=not reconstructs and _is_supervised(run),
        ever_supervised=ever_supervised,
        ever_written=ever_written,
        heads=_heads([loss for each in runs for loss in each["losses"]]),
        written_tasks=written_tasks,
        grounds_with=None if ground_inputs is None else GEOMETRY_OF[ground_inputs],
        ground_question=json.dumps(GROUND_ONE.format(description="The chair at the window."), ensure_ascii=False),
        taught_boxes=any(part["task"] == TEXT_BOXES for part in run["data"]),
        adapter_only=run["adapter_only"],
        usage=usage | {name: json.dumps(usage[name]) for name in ("frames_as", "focal_mode", "pixel_mapping")},
        example=json.dumps(example, ensure_ascii=False),
        losses=[{"name": in_markdown(loss["name"]), "weight": float(loss["weight"])} for loss in run["losses"]],
        pretrained_heads=_pretrained_heads(run),
        data=[
            {key: in_markdown(part[key]) for key in ("name", "task", "rows", "samples")} | {"dataset": _dataset(part)}
            for part in run["data"]
        ],
        recipe=recipe,
        paths_are_cut=LOCAL_PATH.search(recipe) is not None,
        fence="`" * (3 if "```" not in recipe else 1 + max(len(ticks) for ticks in re.findall("`+", recipe))),
        environment=run["environment"],
        evaluations=[
            {
                "table": each.table(),
                "others": {in_markdown(name): what for name, what in each.others.items()},
                "protocol": {key: in_markdown(text) for key, text in each.protocol.items()},
            }
            for each in evaluations
        ],
        licence_text=in_markdown(licence_text),
        citation=_citation(ever_supervised, ever_written, reconstructs),
    )
    return str(card).rstrip() + "\n"


def _model(model: dict[str, Any]) -> dict[str, str]:
    """Architecture and size, of which an older file says nothing."""
    architecture, parameters = model.get("architecture"), model.get("parameters")
    return {
        "architecture": architecture and in_markdown(architecture),
        "parameters": f"{parameters:,}" if parameters else "",
    }


def _is_supervised(run: dict[str, Any]) -> bool:
    """Whether a run had a loss besides those of its answers, in words and in boxes."""
    return any(not loss["name"].startswith(OF_ANSWERS) for loss in run["losses"])


def _heads(losses: list[dict[str, Any]]) -> list[str]:
    """The heads that losses train, each once."""
    found = (head for loss in losses for start, head in HEADS.items() if loss["name"].startswith(start))
    return list(dict.fromkeys(found))


def _pretrained_heads(run: dict[str, Any]) -> str | None:
    """In words, the heads that did not begin at random; none in older files."""
    heads = run.get("pretrained_heads")
    if heads is None:
        return None
    return f"{' and '.join(name.replace('_', ' ') for name in heads['names'])}, trained for {heads['steps']} steps"


def _dataset(part: dict[str, Any], *, linked: bool = True) -> str:
    """The dataset of some rows, for a cell of a table."""
    dataset = part.get("dataset")
    if dataset is None:
        return "not recorded"
    if dataset["name"] is None:
        return in_markdown(dataset["kind"])
    name = in_markdown(dataset["name"])
    if linked and dataset["on_hub"]:
        name = f"[{name}](https://huggingface.co/datasets/{dataset['name']})"
    return f"{in_markdown(dataset['kind'])}: {name}"


def _base_is_elsewhere(run: dict[str, Any], reconstructs: bool) -> bool:
    """Whether a recipe does not say where the base is; a new Vid-LLM has none, but an encoder and a language model."""
    named = run["recipe"].get("model_name_or_path")
    if run["base_model"]["on_hub"] or (reconstructs and named is None):
        return False
    return "/" not in str(named)


def _trained_by(run: dict[str, Any], reconstructs: bool) -> str:
    """The command that repeats a run."""
    if not reconstructs:
        return "sft"
    return "distill" if DISTILLATION in run["tags"] else "joint"


def _citation(supervised: bool, written_tasks: Sequence[str], reconstructs: bool) -> str:
    """BibTeX of the software and of the papers of the method that was used."""
    depth = ["cai2025depthlm"] if "depth" in written_tasks else []
    method = ["chen2026vidllm"] if reconstructs else ["zhang2026ide"] if supervised else []
    wanted = ["igep", *method, *(["cai2026vlm3"] if written_tasks else []), *depth]
    entries = re.split(r"^(?=@)", (CARD_TEMPLATES / "citation.bib").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return "".join(entry for entry in entries if entry[entry.find("{") + 1 : entry.find(",")] in wanted).strip()


def _cells(before: dict[str, Any]) -> dict[str, str]:
    """An earlier run as cells of a table."""
    teacher = before["teacher"]
    return {
        "base": in_markdown(before["base_model"]["name"]),
        "steps": in_markdown(before["steps"]),
        "losses": in_markdown(", ".join(f"{loss['name']} ({loss['weight']:g})" for loss in before["losses"])),
        "data": ", ".join(
            f"{in_markdown(part['name'])} ({_dataset(part, linked=False)}, {in_markdown(part['samples'])} samples)"
            for part in before["data"]
        ),
        "teacher": in_markdown("none" if teacher is None else teacher["name"] or teacher["kind"]),
    }
