"""The short README.md of a training run: what was trained on what, with which losses, and how to ask the model."""

from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import ModelCardData

from igep.configuration_igep import IGEPConfig
from igep.trainers.sft_config import IGEPSFTConfig


LOADING = """from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("{where}", trust_remote_code=True)
processor = AutoProcessor.from_pretrained("{where}", trust_remote_code=True)"""
LOADING_ADAPTER = """from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from peft import PeftModel

model = PeftModel.from_pretrained(IGEPForConditionalGeneration.from_base("{base}"), "{where}", subfolder="adapter")
processor = IGEPProcessor.from_base("{base}")"""
CARD = """---
{metadata}
---

# {name}

{base_link}, fine-tuned for {steps} steps on questions about posed RGB-D scenes. {supervision}

| loss | weight |
|---|---|
{losses}

It answers from RGB frames alone:

```python
{loading}
frames = [...]  # PIL images in order
inputs = processor.question_inputs(frames, "How far is the chair?", frames_as="{frames_as}").to(model.device)
answer = model.generate(**inputs, max_new_tokens=32)[:, inputs["input_ids"].shape[1] :]
print(processor.batch_decode(answer, skip_special_tokens=True)[0])
```

Written by the trainer, which has measured no score. The licences of the base model and of the training data hold.
"""


def model_card(
    config: IGEPConfig,
    args: IGEPSFTConfig,
    *,
    name: str,
    steps: int,
    tags: Iterable[str],
    dataset_name: str | None = None,
    adapter_only: bool = False,
) -> str:
    """Writes the card.

    Args:
        config (`IGEPConfig`): Of the trained model.
        args (`IGEPSFTConfig`): Options of the run.
        name (`str`): Title.
        steps (`int`): Optimiser steps so far.
        tags (`Iterable[str]`): Tags on the Hub.
        dataset_name (`str`, *optional*): Id of the training data on the Hub.
        adapter_only (`bool`, *optional*, defaults to `False`): The folder holds an adapter and no whole model.

    Returns:
        `str`: Markdown with its metadata.
    """
    base = config.name_or_path or config.vlm_config.name_or_path
    # A folder means nothing to others, and its path is nobody's business.
    on_hub = bool(base) and not Path(base).exists()
    shown = base if on_hub else Path(base).name or "A video VLM"
    metadata = ModelCardData(
        base_model=base if on_hub else None,
        datasets=dataset_name,
        library_name="transformers",
        pipeline_tag="video-text-to-text",
        tags=sorted(tags),
    )
    weights = {
        "cross-entropy of the answers": 1.0,
        f"depth, by a verifier of {args.verifier_channels} channels on {args.verifier_taps} encoder layers": (
            args.geometry_weight
        ),
        "cross-view consistency of that depth": args.cross_view_weight,
        f"alignment of {args.supervise} tokens with a frozen teacher ({args.teacher})": args.global_weight,
    }
    supervision = "No geometry supervised it."
    if args.supervises_geometry:
        supervision = (
            "Geometry supervised it while it trained (IGEP, after 3D-IDE, CVPR 2026): the heads that did so are gone, what is "
            "left is the base model."
        )
    where = args.hub_model_id or Path(args.output_dir).name
    return CARD.format(
        metadata=metadata.to_yaml(),
        name=name,
        base_link=f"[{base}](https://huggingface.co/{base})" if on_hub else shown,
        steps=steps,
        supervision=supervision,
        losses="\n".join(f"| {loss} | {weight:g} |" for loss, weight in weights.items() if weight),
        loading=(LOADING_ADAPTER if adapter_only else LOADING).format(where=where, base=shown),
        frames_as=args.frames_as,
    )
