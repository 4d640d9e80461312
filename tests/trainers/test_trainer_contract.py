"""What our trainers use from inside `transformers.Trainer` and `trl.SFTTrainer`: each name, as releases may change it.

A failure names what a new release has moved. Read its trainer, follow it in `trainers/loop/`, then correct the table
here.
"""

import ast
import inspect

import pytest
from transformers import Trainer
from trl import SFTTrainer

from igep.trainers import sft_trainer
from igep.trainers.loop import compared_run, resumable_trainer, weighted_loss


# Methods that we override or call, with the parameters that we give or take.
METHODS = {
    (Trainer, "_get_grad_norm"): ("self", "model", "grad_norm"),
    (Trainer, "_get_num_items_in_batch"): ("self", "batch_samples", "device"),
    (Trainer, "_get_output_dir"): ("self", "trial"),
    (Trainer, "_load_best_model"): ("self",),
    (Trainer, "_load_optimizer_and_scheduler"): ("self", "checkpoint"),
    (Trainer, "_load_from_checkpoint"): ("self", "resume_from_checkpoint", "model"),
    (Trainer, "_prepare_inputs"): ("self", "inputs"),
    (Trainer, "_save_checkpoint"): ("self", "model", "trial"),
    (SFTTrainer, "_save_checkpoint"): ("self", "model", "trial"),
    (Trainer, "compute_loss"): ("self", "model", "inputs", "return_outputs", "num_items_in_batch"),
    (SFTTrainer, "compute_loss"): ("self", "model", "inputs", "return_outputs", "num_items_in_batch"),
    (Trainer, "create_optimizer"): ("self", "model"),
    (SFTTrainer, "create_model_card"): ("self", "model_name", "dataset_name", "tags"),
    (Trainer, "log"): ("self", "logs", "start_time"),
    (SFTTrainer, "log"): ("self", "logs", "start_time"),
    (Trainer, "prediction_step"): ("self", "model", "inputs", "prediction_loss_only", "ignore_keys"),
    (SFTTrainer, "prediction_step"): ("self", "model", "inputs", "prediction_loss_only", "ignore_keys"),
    (Trainer, "save_model"): ("self", "output_dir", "_internal_call"),
    (Trainer, "train"): ("self", "resume_from_checkpoint", "trial", "ignore_keys_for_eval"),
}
# Attributes that we read or set.
ATTRIBUTES = {"_globalstep_last_logged", "_name", "_tag_names", "_tr_loss"}

OURS = (
    weighted_loss.WeightedLossTrainer,
    compared_run.ComparedRunTrainer,
    resumable_trainer.ResumableTrainer,
    sft_trainer.IGEPSFTTrainer,
)
THEIRS = [kind for kind in SFTTrainer.__mro__ if kind.__module__.split(".")[0] in ("trl", "transformers")]


def names_in(kind: type) -> set[str]:
    """The names that a class defines, and those of its own that it reads or sets."""
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(kind))):
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "super()"):
            found.add(node.attr)
    return found | {name for name in vars(kind) if not name.startswith("__")}


def names_set_by(kind: type) -> set[str]:
    """The names that a class defines, and the attributes that it sets on itself."""
    nodes = ast.walk(ast.parse(inspect.getsource(kind)))
    stored = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)]
    return {node.attr for node in stored if ast.unparse(node.value) == "self"} | set(vars(kind))


@pytest.mark.parametrize(("kind", "name"), METHODS, ids=lambda part: part if isinstance(part, str) else part.__name__)
def test_signature_of_what_is_overridden_or_called(kind, name):
    method = inspect.getattr_static(kind, name, None)
    assert method is not None, f"{kind.__name__}.{name} is gone from this release: our trainers override or call it."
    found = tuple(inspect.signature(method).parameters)
    assert found == METHODS[kind, name], (
        f"{kind.__name__}.{name} takes {found} in this release, our trainers expect {METHODS[kind, name]}."
    )


def test_attributes_that_are_read_or_set():
    gone = ATTRIBUTES - set().union(*(names_in(kind) for kind in THEIRS))
    assert not gone, f"{sorted(gone)} are gone from the trainers of this release: our trainers read or set them."


def test_nothing_else_of_theirs_is_used_and_no_name_of_ours_is_theirs():
    theirs = set().union(*(names_in(kind) for kind in THEIRS))
    shared = {name for kind in OURS for name in names_in(kind) if name.startswith("_") and not name.startswith("__")}
    shared &= theirs
    listed = ATTRIBUTES | {name for _, name in METHODS if name.startswith("_")}
    assert shared == listed, (
        f"not in the tables of this test: {sorted(shared - listed)} (used by our trainers and private to theirs, or a "
        f"name of ours that this release has taken); listed and not used: {sorted(listed - shared)}."
    )


def test_no_public_name_of_ours_is_theirs_unless_it_is_meant_to_be():
    meant = {name for _, name in METHODS} | {"loss_is_scaled_for_ga", "train_dataset", "eval_dataset"}
    ours, theirs = (set().union(*(names_set_by(kind) for kind in kinds)) for kinds in (OURS, THEIRS))
    taken = {name for name in ours & theirs - meant if not name.startswith("_")}
    assert not taken, (
        f"{sorted(taken)} are names of this release's trainers too: rename ours, or list them in this test."
    )
