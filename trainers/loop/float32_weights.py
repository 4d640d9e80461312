"""What trains is float32, whatever type a model was loaded in; what is saved for its users has that type again.

bfloat16 has 8 significant bits: a step of less than about 1/500 of a weight is rounded away. At a learning rate of
1e-5 that is most steps of most weights. FSDP and DeepSpeed keep float32 weights by themselves; this does for one whole
model per process.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn


HALVES = (torch.bfloat16, torch.float16)


class MixedTypesError(ValueError):
    """Weights of two types would meet in a step, and nothing casts between them; the message says what to set."""


def float32_parameters(
    model: nn.Module, part_of_parameter: Callable[[str], str] | None, *, beside_adapters: bool
) -> set[str]:
    """Which parameters are float32 in training: those that train, and frozen ones among them, which meet their type.

    Args:
        model (`torch.nn.Module`): The model, with what trains already told from what does not.
        part_of_parameter (`Callable[[str], str]`, *optional*): The part that a parameter belongs to: a part of which
            anything trains has one type.
        beside_adapters (`bool`): The model holds adapters of peft; beside these, copies of modules train.

    Returns:
        `set[str]`: Names as in `model.named_parameters()`.
    """
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    if beside_adapters:
        return trained | {name for name, _ in model.named_parameters() if ".modules_to_save." in name}
    if part_of_parameter is None:
        return trained
    parts = {part_of_parameter(name) for name in trained}
    return {name for name, _ in model.named_parameters() if part_of_parameter(name) in parts}


def cast_to_float32(model: nn.Module, names: Collection[str]) -> dict[str, torch.dtype]:
    """Makes bfloat16 and float16 parameters float32. They stay the same objects, as an optimizer knows them.

    Args:
        model (`torch.nn.Module`): The model, which is changed.
        names (`Collection[str]`): The parameters, as in `model.named_parameters()`.

    Returns:
        `dict[str, torch.dtype]`: What type those were that changed.
    """
    types = {name: value.dtype for name, value in model.named_parameters() if name in names and value.dtype in HALVES}
    for name in types:
        value = model.get_parameter(name)
        value.data = value.data.float()
    return types


def check_one_type(model: nn.Module) -> None:
    """Makes sure that no frozen weight is left in bfloat16 or float16, where nothing casts between the two types.

    Args:
        model (`torch.nn.Module`): The model, whose trained weights `cast_to_float32` has cast.

    Raises:
        MixedTypesError: One is.
    """
    for name, value in model.named_parameters():
        if value.dtype in HALVES:
            half = str(value.dtype).removeprefix("torch.")
            raise MixedTypesError(
                f"dtype={half}: what trains is float32, {name} is frozen in {half}, and nothing casts between them. "
                f"Set {'bf16' if half == 'bfloat16' else 'fp16'} to true, or dtype to float32."
            )


@contextmanager
def in_loaded_types(model: nn.Module, types: Mapping[str, torch.dtype]) -> Iterator[None]:
    """Within it the parameters have the types in which they were loaded; afterwards they are as before, to the bit.

    Args:
        model (`torch.nn.Module`): The model.
        types (`Mapping[str, torch.dtype]`): What `cast_to_float32` returned.
    """
    held = {name: model.get_parameter(name).data for name in types}
    try:
        for name, dtype in types.items():
            model.get_parameter(name).data = held[name].to(dtype)
        yield
    finally:
        for name, value in held.items():
            model.get_parameter(name).data = value
