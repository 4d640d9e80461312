"""What the losses of a run reach of a Vid-LLM. The rest is frozen: distributed training waits for every gradient."""

import torch

from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.trainers.joint_config import JointConfig
from igep.vision_encoder import patch_maps


def reached_parts(args: JointConfig) -> set[str]:
    """The parts of the model that the weighted terms reach; the others would get no gradient.

    Args:
        args (`JointConfig`): The weights.

    Returns:
        `set[str]`
    """
    parts = {"vision"}
    reconstructs = _reconstructs(args)
    if args.reads_text or reconstructs:
        parts.add("adapter")
    if args.reads_text:
        parts |= {"language_projection", "language"}
    if args.ground_weight:
        parts.add("ground_head")
    if args.box_weight or args.match_weight:
        parts.add("box_decoder")
    if reconstructs:
        parts.add("reconstruction")
    if args.metric_depth_weight:
        parts.add("metric_depth")
    return parts


def unreached_parameters(model: VidLLMForConditionalGeneration, args: JointConfig) -> set[str]:
    """What the weighted terms do not reach within the parts that they reach.

    Args:
        model (`VidLLMForConditionalGeneration`): The model, adapters within it or not.
        args (`JointConfig`): The weights.

    Returns:
        `set[str]`: Names as in `model.named_parameters()`.
    """
    bridged = model.config.bridge_tokens > 0  # each stream reaches the other then
    pieces = {
        ".camera_head.": args.camera_weight or args.points_weight,
        ".depth_decoder.": args.depth_weight or args.points_weight,
        ".adapter.geometry_projection.": bridged or _reconstructs(args),
        ".adapter.language_projection.": bridged or args.reads_text,
        ".bridge.write_geometry.": _reconstructs(args),
        ".bridge.geometry_gate.": _reconstructs(args),
        ".bridge.write_language.": args.reads_text,
        ".bridge.language_gate.": args.reads_text,
    }
    silent = [piece for piece, weight in pieces.items() if not weight]
    names = {name for name, _ in model.named_parameters() if any(piece in f".{name}" for piece in silent)}
    if not args.language_weight:  # what writes words, unless it also reads them
        writes = {id(value) for value in model.get_output_embeddings().parameters()}
        reads = {id(value) for value in model.get_input_embeddings().parameters()}
        names |= {name for name, value in model.named_parameters() if id(value) in writes - reads}
    return names


def freeze_unread_by_patches(model: VidLLMForConditionalGeneration, *, taps: int, reads_output: bool) -> None:
    """Freezes what of the vision encoder no patch depends on, such as a pooling head, or no patch that losses reach.

    `freeze_unread` goes by names, as a model must that is made without weights; here one empty frame tells, whatever
    the class.

    Args:
        model (`VidLLMForConditionalGeneration`): The model, which is changed.
        taps (`int`): Layers that losses reach for metric depth.
        reads_output (`bool`): Whether losses reach the encoder's output.
    """
    vision = model.model.vision
    trained = [value for value in vision.parameters() if value.requires_grad]
    if not trained:
        return
    size = vision.config.to_dict().get("image_size") or 4 * model.config.patch_size
    height, width = (size, size) if isinstance(size, int) else size
    was_training = vision.training
    vision.eval()  # a draw would move the run's random numbers
    pixels = torch.zeros(1, 3, height, width, device=model.device)
    output, tapped = patch_maps(vision, pixels, model.config.patch_size, taps, model.config.vision_final_norm)
    total = sum(value.float().sum() for value in (*tapped, *([output] if reads_output else ())))
    for value, gradient in zip(trained, torch.autograd.grad(total, trained, allow_unused=True), strict=True):
        value.requires_grad_(gradient is not None)
    vision.train(was_training)


def _reconstructs(args: JointConfig) -> bool:
    return any((args.camera_weight, args.depth_weight, args.points_weight))
