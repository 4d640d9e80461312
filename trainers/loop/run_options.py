"""What a run started with, kept in its checkpoints: resuming says what differs, and refuses what makes another run."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


logger = logging.getLogger(__name__)

OPTIONS_FILE = "run_options.json"
SHOWN_CHARACTERS = 40

# Options of transformers' `TrainingArguments` that change nothing of what is learned: where and how often something is
# written, read ahead or printed. How the global batch is split is one of them; its size is not.
FREE_OPTIONS = frozenset(
    {
        *("output_dir", "resume_from_checkpoint", "use_cpu", "local_rank", "debug", "skip_memory_metrics"),
        *("per_device_train_batch_size", "gradient_accumulation_steps", "torch_empty_cache_steps"),
        *("activation_checkpointing", "activation_checkpointing_kwargs", "gradient_checkpointing"),
        *("gradient_checkpointing_kwargs", "activation_offloading", "model_init_kwargs", "trust_remote_code"),
        *("logging_strategy", "logging_steps", "logging_first_step", "log_on_each_node", "log_level", "disable_tqdm"),
        *("log_level_replica", "include_num_input_tokens_seen", "report_to", "run_name", "project"),
        *("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"),
        *("eval_strategy", "eval_steps", "eval_delay", "per_device_eval_batch_size", "eval_on_start", "do_eval"),
        *("bf16_full_eval", "fp16_full_eval", "load_best_model_at_end", "metric_for_best_model", "greater_is_better"),
        *("save_strategy", "save_steps", "save_total_limit", "save_on_each_node", "save_only_model"),
        *("enable_jit_checkpoint", "restore_callback_states_from_checkpoint", "push_to_hub", "hub_token"),
        *("hub_private_repo", "hub_model_id", "hub_strategy", "hub_revision", "dataset_kwargs"),
        *("dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers"),
        *("dataloader_prefetch_factor", "dataloader_multiprocessing_context", "dataloader_in_order"),
        *("ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_static_graph"),
        *("ddp_backend", "ddp_timeout"),
    }
)
# Those that change how far the run goes or how it is computed, not what it is: said, and taken.
SAID_OPTIONS = frozenset(
    {
        *("max_steps", "num_train_epochs", "bf16", "fp16", "tf32", "full_determinism", "ignore_data_skip"),
        *("torch_compile", "torch_compile_backend", "torch_compile_mode", "accelerator_config"),
        *("fsdp", "fsdp_config", "deepspeed"),
    }
)


class ChangedRunError(ValueError):
    """A checkpoint belongs to another run than the options describe; the message has a table of what differs."""


@dataclass(frozen=True)
class Difference:
    """An option that is not what it was.

    Args:
        name (`str`): The option.
        old (`Any`): Its value in the checkpoint; `None` where it was not given.
        new (`Any`): Its value now.
    """

    name: str
    old: Any
    new: Any


def write_run_options(checkpoint: Path, options: Mapping[str, Any], trained: Mapping[str, tuple[int, ...]]) -> None:
    """Writes what a run was started with into a checkpoint.

    Args:
        checkpoint (`Path`): Folder of the checkpoint.
        options (`Mapping[str, Any]`): The options of the run by name.
        trained (`Mapping[str, tuple[int, ...]]`): Shape of each parameter that trains, by name.
    """
    record = {"options": _as_json(options), "trained_parameters": {name: list(size) for name, size in trained.items()}}
    (checkpoint / OPTIONS_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def check_run_options(
    checkpoint: Path,
    options: Mapping[str, Any],
    trained: Mapping[str, tuple[int, ...]],
    *,
    free: frozenset[str] = FREE_OPTIONS,
    said: frozenset[str] = SAID_OPTIONS,
    allow_changed: bool = False,
) -> list[Difference]:
    """Compares what a checkpoint was written under with the options now, and says what differs.

    Args:
        checkpoint (`Path`): Folder of the checkpoint.
        options (`Mapping[str, Any]`): As in `write_run_options`.
        trained (`Mapping[str, tuple[int, ...]]`): As in `write_run_options`.
        free (`frozenset[str]`, *optional*, defaults to `FREE_OPTIONS`): Options that may change without a word.
        said (`frozenset[str]`, *optional*, defaults to `SAID_OPTIONS`): Options that may change, and are said.
        allow_changed (`bool`, *optional*, defaults to `False`): Go on with other options than those as well.

    Returns:
        `list[Difference]`: What differs beyond `free`.

    Raises:
        ChangedRunError: Other parameters train than those of which the checkpoint holds the state; or an option that
            makes it another run differs and `allow_changed` is off.
    """
    file = checkpoint / OPTIONS_FILE
    if not file.exists():
        logger.warning("%s was written before options were kept in checkpoints: they are not compared.", checkpoint)
        return []
    record = json.loads(file.read_text(encoding="utf-8"))
    old, new = record["options"], _as_json(options)
    names = [name for name in {**old, **new} if name not in free and old.get(name) != new.get(name)]
    found = [Difference(name, old.get(name), new.get(name)) for name in names]
    others = _other_parameters(record["trained_parameters"], trained)
    if others is not None:
        because = f" What differs:\n{difference_table(found)}\n" if found else " "
        raise ChangedRunError(
            f"{checkpoint} holds the state of other parameters than train now: {others}.{because}Resume with the "
            "options and the base of the checkpoint, or start another run from the model that was saved."
        )
    refused = [difference for difference in found if difference.name not in said]
    if refused and not allow_changed:
        raise ChangedRunError(
            f"{checkpoint} was written under other options, so going on would be another "
            f"run:\n{difference_table(refused)}\nGive the old values to resume; allow_changed_resume goes on from "
            "there with the new ones."
        )
    if found:
        logger.warning("Resuming from %s with other options:\n%s", checkpoint, difference_table(found))
    return found


def difference_table(differences: list[Difference]) -> str:
    """What differs, an option a line: its value in the checkpoint, and now.

    Args:
        differences (`list[Difference]`): At least one.

    Returns:
        `str`
    """
    rows = [("option", "checkpoint", "now")]
    rows += [(one.name, _shown(one.old), _shown(one.new)) for one in differences]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows)


def _other_parameters(old: Mapping[str, list[int]], new: Mapping[str, tuple[int, ...]]) -> str | None:
    """In words, how the parameters that train differ from those that did; `None` if they are the same."""
    gone, added = [name for name in old if name not in new], [name for name in new if name not in old]
    resized = [name for name in old if name in new and old[name] != list(new[name])]
    found = []
    if resized:
        found.append(f"{len(resized)} of another size ({resized[0]}: {old[resized[0]]}, now {list(new[resized[0]])})")
    if gone:
        found.append(f"{len(gone)} train no more ({gone[0]} ...)")
    if added:
        found.append(f"{len(added)} are new ({added[0]} ...)")
    return "; ".join(found) or None


def _as_json(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as they come back from a file."""
    return json.loads(json.dumps(dict(options), default=str))


def _shown(value: Any) -> str:
    text = "-" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 4]} ..."
