"""Which options of TRL's `SFTConfig` and transformers' `TrainingArguments` hold here, and which are refused and why.

`IGEPSFTTrainer` computes its own loss, in evaluation too, and makes its own batches. What only TRL's loss, collator
and dataset preparation read, or transformers' evaluation loop, would be accepted, change nothing and stand on the
card: it is refused.
"""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from trl import ModelConfig


# Read by transformers' trainer, its callbacks and accelerate, by TRL's trainer where it is ours as well, or by
# `sft.py`.
WORKS = frozenset(
    {
        # length and size of the run, optimizer and schedule
        *("output_dir", "per_device_train_batch_size", "num_train_epochs", "max_steps", "gradient_accumulation_steps"),
        *("learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "optim", "optim_args"),
        *("weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "optim_target_modules", "max_grad_norm"),
        *("average_tokens_across_devices", "neftune_noise_alpha", "seed", "data_seed", "full_determinism"),
        # the model
        *("model_init_kwargs", "trust_remote_code", "chat_template_path", "eos_token", "max_length", "use_cache"),
        # precision, memory, compilation
        *("bf16", "fp16", "bf16_full_eval", "fp16_full_eval", "tf32", "torch_compile", "torch_compile_backend"),
        *("torch_compile_mode", "torch_empty_cache_steps", "activation_checkpointing", "gradient_checkpointing"),
        *("activation_checkpointing_kwargs", "gradient_checkpointing_kwargs", "activation_offloading", "use_cpu"),
        # logs
        *("logging_strategy", "logging_steps", "logging_first_step", "log_on_each_node", "log_level", "disable_tqdm"),
        *("log_level_replica", "include_num_input_tokens_seen", "report_to", "run_name", "project", "debug"),
        *("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id", "skip_memory_metrics"),
        # evaluation
        *("eval_strategy", "eval_steps", "eval_delay", "per_device_eval_batch_size", "eval_on_start"),
        *("load_best_model_at_end", "metric_for_best_model", "greater_is_better"),
        # checkpoints and the Hub
        *("save_strategy", "save_steps", "save_total_limit", "save_on_each_node", "save_only_model"),
        *("enable_jit_checkpoint", "resume_from_checkpoint", "ignore_data_skip"),
        *("restore_callback_states_from_checkpoint", "push_to_hub", "hub_token", "hub_private_repo", "hub_model_id"),
        *("hub_strategy", "hub_revision"),
        # reading rows
        *("dataloader_drop_last", "dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers"),
        *("dataloader_prefetch_factor", "dataloader_multiprocessing_context", "dataloader_in_order"),
        # several devices; `local_rank` is set by launchers
        *("accelerator_config", "ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers"),
        *("ddp_static_graph", "ddp_backend", "ddp_timeout", "fsdp", "fsdp_config", "deepspeed", "local_rank"),
    }
)

OWN_LOSS = "the loss is the mean cross-entropy of the answers, beside the geometric terms"
OWN_ROWS = "rows are made of scenes and questions here, not by TRL's preparation of a text dataset"
OWN_BATCHES = "batches are made by igep's collator, not by TRL's"
NO_PREDICTIONS = "an evaluation adds up losses and keeps no predictions; `igep score` scores answers"
LIGER = "Liger chooses its kernels by the type of the model and has none for `igep`"
ORDER = "rows come in random order or as the dataset has them, and their lengths are not known before they are read"
SCRIPT = "`igep sft` always trains, and evaluates where eval_strategy says so"

# Option to the reason why no other value than the default (and those of `ALSO_ALLOWED`) is taken.
REFUSED = {
    "label_smoothing_factor": OWN_LOSS,
    "loss_type": OWN_LOSS,
    "completion_only_loss": f"{OWN_LOSS}: questions are never supervised",
    "assistant_only_loss": f"{OWN_LOSS}: questions are never supervised",
    "router_aux_loss_coef": f"{OWN_LOSS}: no balancing of experts is added",
    "dataset_text_field": OWN_ROWS,
    "dataset_kwargs": OWN_ROWS,
    "dataset_num_proc": f"{OWN_ROWS}: dataloader_num_workers reads rows in processes of their own",
    "shuffle_dataset": f"{OWN_ROWS}; their order is shuffled as it is, from the seed",
    "packing": f"{OWN_ROWS}, and TRL's packing is for text alone: pack_questions packs questions about images",
    "packing_strategy": f"{OWN_ROWS}, and TRL's packing is for text alone: pack_questions packs questions about "
    "images",
    "eval_packing": f"{OWN_ROWS}, and TRL's packing is for text alone: pack_questions packs questions about images",
    "padding_free": f"{OWN_BATCHES}: pack_questions and max_packed_tokens save padding",
    "pad_to_multiple_of": f"{OWN_BATCHES}: rows are padded to the longest of a batch",
    "pad_token": f"{OWN_BATCHES}: the padding token is that of the model's tokenizer",
    "truncation_mode": f"{OWN_BATCHES}: max_length cuts the end of a conversation, never its frames",
    "remove_unused_columns": f"{OWN_BATCHES}: a row is joined from scenes and questions and has no columns",
    "label_names": OWN_BATCHES,
    "prediction_loss_only": NO_PREDICTIONS,
    "eval_do_concat_batches": NO_PREDICTIONS,
    "eval_use_gather_object": NO_PREDICTIONS,
    "eval_accumulation_steps": NO_PREDICTIONS,
    "include_for_metrics": NO_PREDICTIONS,
    "batch_eval_metrics": NO_PREDICTIONS,
    "use_liger_kernel": LIGER,
    "liger_kernel_config": LIGER,
    "logging_nan_inf_filter": "a loss that is not finite stops the run, so none is ever logged",
    "hub_always_push": "only the saved model is uploaded, at the end",
    "train_sampling_strategy": ORDER,
    "length_column_name": ORDER,
    "auto_find_batch_size": "logs, mixtures and resuming count in samples of a global batch, which would change in "
    "the run: set per_device_train_batch_size, and gradient_accumulation_steps for the rest",
    "parallelism_config": "the geometric terms need whole sequences and frames on each device: use ddp, fsdp or "
    "deepspeed",
    "do_train": SCRIPT,
    "do_eval": SCRIPT,
    "do_predict": SCRIPT,
}
ALSO_ALLOWED = {
    "loss_type": ("chunked_nll",),  # TRL's older name of the default
    "pad_to_multiple_of": (None,),
    "train_sampling_strategy": ("sequential",),
    "dataset_kwargs": ({"skip_prepare_dataset": True},),  # as the trainer sets it
}
ACCELERATOR_REFUSED = {
    "split_batches": "per_device_train_batch_size counts the samples of each device",
    "dispatch_batches": "a batch holds names besides tensors, which cannot be sent from one process to the others",
}

# Optimizers that read neither `optim_args` nor `optim_target_modules`.
OPTIMIZERS_WITHOUT_ARGS = ("adamw_torch", "adamw_torch_fused", "adafactor")
# Options of TRL's `ModelConfig` that another one switches on.
LORA_OPTIONS = (
    *("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_target_parameters"),
    *("lora_modules_to_save", "use_rslora", "use_dora"),
)
FOUR_BIT_OPTIONS = ("bnb_4bit_quant_type", "use_bnb_nested_quant", "bnb_4bit_quant_storage")


def check_inherited_options(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Makes sure that no option is set that would change nothing.

    Args:
        values (`Mapping[str, Any]`): Every option by its name, as it was given.
        defaults (`Mapping[str, Any]`): The default of each.

    Raises:
        ValueError: One of `REFUSED` is no default, or one is set that needs another or a device; the message says why
            it is refused.
    """
    check_training_options(values, defaults)
    if values["activation_offloading"] and (values["use_cpu"] or not torch.accelerator.is_available()):
        raise ValueError(
            "activation_offloading=True moves activations off a device, and this run has none: leave it out."
        )
    template = values["chat_template_path"]
    if template is not None and not (Path(template).suffix in (".jinja", ".j2") and Path(template).is_file()):
        raise ValueError(
            f"chat_template_path={template!r} is no Jinja file (.jinja, .j2): write the template to one, with the "
            "tokens that the model's tokenizer has."
        )


def check_training_options(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """As `check_inherited_options`, of those that are transformers' `TrainingArguments` alone.

    Args:
        values (`Mapping[str, Any]`): Every option by its name, as it was given.
        defaults (`Mapping[str, Any]`): The default of each.

    Raises:
        ValueError: An option is set that would change nothing; the message says why.
    """
    for name, reason in REFUSED.items():
        if name not in values or values[name] in (defaults[name], *ALSO_ALLOWED.get(name, ())):
            continue
        if name == "do_eval" and values["eval_strategy"] != "no":  # which sets it
            continue
        raise ValueError(f"{name}={values[name]!r} would change nothing: {reason}. Leave it out.")
    accelerator = values["accelerator_config"]
    for name, reason in ACCELERATOR_REFUSED.items():
        if isinstance(accelerator, Mapping) and accelerator.get(name):
            raise ValueError(f"accelerator_config: {name}={accelerator[name]!r} is refused: {reason}. Leave it out.")
    optim = str(values["optim"].value if isinstance(values["optim"], Enum) else values["optim"])
    for name in ("optim_args", "optim_target_modules"):
        if values[name] and optim in OPTIMIZERS_WITHOUT_ARGS:
            raise ValueError(
                f"{name}={values[name]!r} would change nothing: optim={optim} does not read it. Leave it out."
            )


def check_model_options(model_args: ModelConfig) -> None:
    """Makes sure that no option of adapters or of quantisation is set while these are off.

    Args:
        model_args (`ModelConfig`): The options of the model.

    Raises:
        ValueError: One is.
    """
    defaults = ModelConfig()
    switches = (("use_peft", LORA_OPTIONS), ("load_in_4bit", FOUR_BIT_OPTIONS))
    for switch, names in switches:
        for name in names:
            value = vars(model_args)[name]
            if not vars(model_args)[switch] and value != vars(defaults)[name]:
                raise ValueError(
                    f"{name}={value!r} would change nothing without {switch}: set that to true, or leave it out."
                )
