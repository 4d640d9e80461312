"""Writes the whole model of a folder that holds an adapter alone, which can then be served and published."""

from pathlib import Path

from peft import PeftModel

from igep.configuration_igep import GROUND_FIELDS
from igep.configuration_vid_llm import VidLLMConfig
from igep.processing_igep import IGEPProcessor
from igep.trainers.cards.model_card import model_card
from igep.trainers.cards.saved_config import name_bases
from igep.trainers.cards.saved_weights import parameters_on_disk
from igep.trainers.cards.training_run import read_training_run, write_training_run
from igep.trainers.evaluation.load_vlm import load_vlm
from igep.trainers.package_files import find_model
from igep.trainers.publishing.published_folder import check_new_folder


def merge_adapter(folder: str | Path, output: str | Path, base: str | None = None) -> None:
    """Merges an adapter into its base.

    Args:
        folder (`str | Path`): What a training run with `merge_adapter_at_save: false` saved.
        output (`str | Path`): New folder, for the merged model, its processor, `training_run.json` and card.
        base (`str`, *optional*): Folder or Hub id of the base; the id (and revision) that training noted, unless
            given. Of a local base only the last name was noted.

    Raises:
        ValueError: The folder holds no adapter alone, the output something, or the base is of another architecture.
        OSError: There is no base of the name.
    """
    folder, output = Path(folder), Path(output)
    check_new_folder(output)
    run = read_training_run(folder)
    adapter = folder / "adapter"
    if not run["adapter_only"] or not adapter.is_dir():
        raise ValueError(f"{folder} holds no adapter alone: there is nothing to merge.")
    name = base or run["base_model"]["name"]
    revision = run["recipe"].get("model_revision") if base is None else None
    trained = run.get("model", {}).get("architecture")
    keeps_geometry = trained == VidLLMConfig.model_type  # a Vid-LLM is a whole model, all others stand within IGEP's
    try:
        model = load_vlm(find_model(name), wrapped=not keeps_geometry, revision=revision, dtype="auto")
    except OSError as error:
        raise OSError(
            f"the base {name} is neither a folder here nor on the Hub: give its place with --base."
        ) from error
    found = model.config.model_type if keeps_geometry else model.config.vlm_config.model_type
    if trained not in (None, found):
        raise ValueError(f"the base {name} is a {found}, the adapter was trained on a {trained}: give its base.")
    ground = {name: value for name, value in run["recipe"].items() if name in GROUND_FIELDS}
    if not keeps_geometry and ground.get("ground_weight"):
        # The adapter's folder holds the head, which its base has no place for; a Vid-LLM's own configuration has it.
        model.add_ground_head(**ground)
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    merged.save_pretrained(output)
    IGEPProcessor.from_pretrained(adapter).save_pretrained(output)
    name_bases(output)
    run = {**run, "adapter_only": False, "model": {"architecture": trained, "parameters": parameters_on_disk(output)}}
    write_training_run(output, run)
    (output / "README.md").write_text(model_card(run, repo_id=output.resolve().name), encoding="utf-8")
