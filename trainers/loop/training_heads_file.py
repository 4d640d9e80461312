"""What a checkpoint needs beyond the saved model to resume exactly: the training heads, and weights read back whole."""

from pathlib import Path

from safetensors.torch import load_file, save_file

from igep.modeling_igep import IGEPForConditionalGeneration


HEADS_FILE = "training_heads.safetensors"


def save_heads(model: IGEPForConditionalGeneration, checkpoint: Path) -> None:
    """Writes the training heads, which `save_pretrained` leaves out, beside the weights of a checkpoint.

    Args:
        model (`IGEPForConditionalGeneration`): The model being trained.
        checkpoint (`Path`): Folder of the checkpoint.
    """
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, head in model.training_heads.items()
        for key, value in head.state_dict().items()
    }
    save_file(tensors, checkpoint / HEADS_FILE)


def load_heads(model: IGEPForConditionalGeneration, checkpoint: Path) -> None:
    """Reads the training heads of a checkpoint into those of the model.

    Args:
        model (`IGEPForConditionalGeneration`): A model with the same heads.
        checkpoint (`Path`): Folder of the checkpoint.

    Raises:
        ValueError: The checkpoint has other heads.
    """
    tensors = load_file(checkpoint / HEADS_FILE)
    saved = sorted({key.split(".")[0] for key in tensors})
    if saved != sorted(model.training_heads):
        raise ValueError(
            f"{checkpoint} has the heads {saved}, the options ask for {sorted(model.training_heads)}: resume with the loss "
            "weights and teacher it was trained with."
        )
    for name, head in model.training_heads.items():
        prefix = f"{name}."
        head.load_state_dict({key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)})


def load_weights(model: IGEPForConditionalGeneration, checkpoint: Path) -> None:
    """Reads the weights of a checkpoint into the model, heads apart.

    Through `from_pretrained`, which undoes the renaming of keys that saving does for some bases. Loading the file's own
    keys, as `Trainer` does, would leave those weights as they are and say nothing.

    Args:
        model (`IGEPForConditionalGeneration`): A model of the same architecture.
        checkpoint (`Path`): Folder of the checkpoint.

    Raises:
        ValueError: The checkpoint is of another model.
    """
    saved = type(model).from_pretrained(checkpoint, dtype="auto")
    result = model.load_state_dict(saved.state_dict(), strict=False)
    missing = [name for name in result.missing_keys if model.part_of_parameter(name) != "heads"]
    if missing or result.unexpected_keys:
        raise ValueError(
            f"{checkpoint} holds another model: missing {missing[:3]}, unexpected {result.unexpected_keys[:3]}. Resume with "
            "the base it was trained from."
        )
