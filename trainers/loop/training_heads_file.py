"""What a checkpoint needs beyond the saved model to resume exactly: training heads, and weights read back whole."""

import functools
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel


HEADS_FILE = "training_heads.safetensors"


def save_heads(heads: Mapping[str, nn.Module], checkpoint: Path) -> None:
    """Writes the training heads, which the saved model leaves out, beside the weights of a checkpoint.

    Args:
        heads (`Mapping[str, nn.Module]`): The heads by name, of which none holds a dot.
        checkpoint (`Path`): Folder of the checkpoint.
    """
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, head in heads.items()
        for key, value in head.state_dict().items()
    }
    save_file(tensors, checkpoint / HEADS_FILE)


def load_heads(heads: Mapping[str, nn.Module], checkpoint: Path) -> None:
    """Reads the training heads of a checkpoint.

    Args:
        heads (`Mapping[str, nn.Module]`): The heads to read into, by the names under which they were saved.
        checkpoint (`Path`): Folder of the checkpoint.

    Raises:
        ValueError: The checkpoint has other heads.
    """
    tensors = load_file(checkpoint / HEADS_FILE)
    saved = sorted({key.split(".")[0] for key in tensors})
    if saved != sorted(heads):
        raise ValueError(
            f"{checkpoint} has the heads {saved}, the options ask for {sorted(heads)}: resume with the loss weights "
            "and teacher it was trained with."
        )
    fill_heads(heads, tensors, checkpoint, "Resume with the options of the heads it was trained with.")


def fill_heads(heads: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], checkpoint: Path, remedy: str) -> None:
    """Puts the tensors of a checkpoint into heads.

    Args:
        heads (`Mapping[str, nn.Module]`): The heads to fill; none is touched unless all fit.
        tensors (`Mapping[str, Tensor]`): What `save_heads` wrote; those of other heads may be among them.
        checkpoint (`Path`): Folder of the checkpoint, for the message.
        remedy (`str`): What to do where a tensor is missing or of another size.

    Raises:
        ValueError: One is.
    """
    for name, head in heads.items():
        for key, value in head.state_dict().items():
            found = tensors.get(f"{name}.{key}")
            if found is None or found.shape != value.shape:
                size = "missing" if found is None else f"of size {list(found.shape)}"
                raise ValueError(
                    f"{checkpoint} has other heads: {name}.{key} is {size} there and of size {list(value.shape)} "
                    f"here. {remedy}"
                )
    for name, head in heads.items():
        prefix = f"{name}."
        head.load_state_dict({key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)})


def load_weights(model: PreTrainedModel, checkpoint: Path, heads: Mapping[str, nn.Module]) -> None:
    """Reads the weights of a checkpoint into the model, heads apart.

    Through `from_pretrained`, which undoes the renaming of keys that saving does for some bases. Loading the file's
    own keys, as `Trainer` does, would leave those weights as they are and say nothing.

    Args:
        model (`PreTrainedModel`): A model of the same architecture.
        checkpoint (`Path`): Folder of the checkpoint.
        heads (`Mapping[str, nn.Module]`): The model's training heads.

    Raises:
        ValueError: The checkpoint is of another model.
    """
    own = model.state_dict()
    # The configuration names one type; a model whose trained weights are float32 among others must not be read in a
    # narrower.
    kinds = {value.dtype for value in own.values() if value.is_floating_point()}
    saved = type(model).from_pretrained(checkpoint, dtype=functools.reduce(torch.promote_types, kinds))
    weights = saved.state_dict()
    for name, value in weights.items():
        if name in own and own[name].shape != value.shape:
            raise ValueError(
                f"{checkpoint} holds another model: {name} is of size {list(value.shape)} there and of size "
                f"{list(own[name].shape)} here. Resume with the base it was trained from."
            )
    result = model.load_state_dict(weights, strict=False)
    of_heads = {
        f"{path}.{key}"
        for path, module in model.named_modules()
        if any(module is head for head in heads.values())
        for key in module.state_dict()
    }
    missing = [name for name in result.missing_keys if name not in of_heads]
    if missing or result.unexpected_keys:
        raise ValueError(
            f"{checkpoint} holds another model: missing {missing[:3]}, unexpected {result.unexpected_keys[:3]}. "
            "Resume with the base it was trained from."
        )
