"""Vid-LLM's second stage: reconstruction and reasoning learn together; answering teaches reconstruction nothing."""

import copy
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model
from torch import nn
from transformers import TrainerCallback

from igep.box_queries import along_box_axes
from igep.ground_head import PREDICTED
from igep.modeling_vid_llm import VidLLMForConditionalGeneration, VidLLMOutput
from igep.processing_igep import IGEPProcessor
from igep.trainers.data.collator import IGEPDataCollator
from igep.trainers.data.row_texts import check_texts, row_texts
from igep.trainers.joint_config import GROUNDING_WEIGHTS, JointConfig
from igep.trainers.loop.running_metrics import token_metrics
from igep.trainers.reached_parameters import reached_parts, unreached_parameters
from igep.trainers.supervision.box_query_loss import box_query_loss
from igep.trainers.supervision.geometry_losses import measured_pixels, verifier_metrics
from igep.trainers.supervision.metric_depth_loss import metric_depth_loss
from igep.trainers.supervision.per_sample import graph_zero
from igep.trainers.supervision.reconstruction_losses import reconstruction_objective
from igep.trainers.supervision.reconstruction_targets import reconstruction_targets
from igep.trainers.vid_llm_trainer import GEOMETRY_INPUTS, NAMES, VidLLMTrainer, check_model


# Modules that train in full beside adapters, by the name of their part.
FULL_MODULES = {"vision": "vision", "adapter": "adapter", "reconstruction": "reconstruction"}
FULL_MODULES |= {"metric_depth": "reconstruction", "language_projection": "language_input"}
FULL_MODULES |= {"ground_head": "ground_head", "box_decoder": "box_decoder"}
GROUNDING_LOSSES = ("loss_ground", "loss_box", "loss_match")
TEXT_INPUTS = ("input_ids", "attention_mask", "labels", "mm_token_type_ids", "set_index", "block_index", "grounding")


class JointTrainer(VidLLMTrainer):
    """Trains a Vid-LLM on cross-entropy, cameras, relative depth, points and metric depth at once.

    Cross-entropy is the mean over the supervised tokens of the global batch, every other term the mean over its
    samples. The model detaches its reconstruction before the language model reads it, so the cross-entropy gives
    reconstruction and metric depth no gradient, and adapter and encoder theirs. Targets are in the scene's own unit
    (see `reconstruction_targets`), or in metres for a model without metric depth.

    Args:
        model (`VidLLMForConditionalGeneration`): The model.
        args (`JointConfig`): Options.
        train_dataset (`torch.utils.data.Dataset`): Map-style dataset of `SpatialExample`; a mixture is read in its
            order.
        processing_class (`IGEPProcessor`): Processor of the model.
        eval_dataset (`torch.utils.data.Dataset`, *optional*): Held-out dataset of `SpatialExample`.
        peft_config (`PeftConfig`, *optional*): Adapters of the language model; all other parts train in full.
        callbacks (`list[TrainerCallback]`, *optional*): As in `Trainer`.
        optimizers (`tuple`, *optional*): Optimizer and scheduler, as in `Trainer`.
        recipe (`dict`, *optional*): See `VidLLMTrainer`.
        data_options (`dict`, *optional*): See `VidLLMTrainer`.

    Raises:
        TypeError: The model is no Vid-LLM.
        SpatialDataError: A text of the rows holds a special token of the model, or words that its tokenizer does not
            know.
        ValueError: An empty dataset, a weight for metric depth that the model has not, or nothing is left to train.
    """

    _tag_names = ["igep", "vid-llm"]
    _name = "Vid-LLM"
    item_losses = ("loss_ce",)  # over the supervised tokens
    summed_metrics = ("num_tokens",)
    loss_needs = {
        "loss_ce": "a question with its answer",
        "loss_camera": "intrinsics, or poses of the first and further frames",
        "loss_depth": "measured depth",
        "loss_points": "measured depth, intrinsics and poses",
        "loss_metric_depth": "measured depth",
        "loss_ground": "a question that boxes answer",
        "loss_box": "a question that boxes answer",
        "loss_match": "a question that boxes answer",
    }

    def __init__(
        self,
        model: VidLLMForConditionalGeneration,
        args: JointConfig,
        train_dataset: torch.utils.data.Dataset,
        processing_class: IGEPProcessor,
        eval_dataset: torch.utils.data.Dataset | None = None,
        peft_config: PeftConfig | None = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[torch.optim.Optimizer | None, torch.optim.lr_scheduler.LRScheduler | None] = (None, None),
        recipe: dict[str, Any] | None = None,
        data_options: dict[str, Any] | None = None,
    ):
        check_model(model)
        texts = [text for rows in (train_dataset, eval_dataset) if rows is not None for text in row_texts(rows)]
        check_texts(texts, processing_class.tokenizer)
        self.has_metric_depth = model.config.metric_depth
        _check_heads(model, args)
        trained_parts = reached_parts(args)
        if peft_config is not None:
            if "language" not in trained_parts - args.frozen_parts:
                raise ValueError(
                    "use_peft adapts the language model, which does not train: remove one of both options."
                )
            model = get_peft_model(model, beside_full_parts(peft_config, model, trained_parts - args.frozen_parts))
        base = model.get_base_model() if isinstance(model, PeftModel) else model
        for name in unreached_parameters(base, args):
            base.get_parameter(name).requires_grad_(False)
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            processing_class=processing_class,
            data_collator=IGEPDataCollator(
                processing_class,
                None,
                max_length=args.max_length,
                unannotated_prompt=args.unannotated_prompt,
                pack_questions=args.pack_questions,
                max_packed_tokens=args.max_packed_tokens,
                ground_geometry_inputs=PREDICTED if _grounds(args) else None,
            ),
            trained_parts=trained_parts,
            read_taps=base.config.metric_taps if args.metric_depth_weight else 0,
            reads_vision_output="adapter" in trained_parts,
            eval_dataset=eval_dataset,
            callbacks=callbacks,
            optimizers=optimizers,
            recipe=recipe,
            data_options=data_options,
        )

    @property
    def loss_weights(self) -> dict[str, float]:
        return {
            "loss_ce": self.args.language_weight,
            "loss_camera": self.args.camera_weight,
            "loss_depth": self.args.depth_weight,
            "loss_points": self.args.points_weight,
            "loss_metric_depth": self.args.metric_depth_weight,
            "loss_ground": self.args.ground_weight,
            "loss_box": self.args.box_weight,
            "loss_match": self.args.match_weight,
        }

    @property
    def merges_adapter(self) -> bool:
        return self.args.merge_adapter_at_save

    def count_items(self, batch: dict[str, Any]) -> torch.Tensor:
        return batch["labels"][:, 1:].ne(-100).sum()

    def run_record(self, folder: Path, **kwargs) -> dict[str, Any]:
        run = super().run_record(folder, **kwargs)
        run["usage"]["geometry_inputs"] = "none"
        return run

    # ---- Loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, VidLLMOutput]:
        """Calls the model on a batch and adds up the loss terms.

        Args:
            model (`torch.nn.Module`): The model, wrapped or not.
            inputs (`dict`): A batch of `IGEPDataCollator`.
            return_outputs (`bool`, *optional*, defaults to `False`): Also return the model's output.
            num_items_in_batch (`torch.Tensor`, *optional*): Supervised tokens of the step; `None` in evaluation.

        Returns:
            The loss, scaled so that gradients averaged over ranks and summed over micro-batches are those of the
            global batch.

        Raises:
            NonFiniteLossError: The loss is not finite.
        """
        given = {name: value for name, value in inputs.items() if name not in (*NAMES, *GEOMETRY_INPUTS)}
        if not self.args.reads_text:
            given = {name: value for name, value in given.items() if name not in TEXT_INPUTS}
        elif "grounding" in given:
            given["grounding"] = given["grounding"] | {"world_from_camera": inputs["world_from_camera"]}
        outputs = model(
            **given,
            frame_mask=inputs["frame_mask"],
            output_reconstruction=True,
            num_items_in_batch=num_items_in_batch,
        )
        terms = self._geometry_terms(outputs, inputs)
        if outputs.loss is not None:
            terms["loss_ce"] = outputs.loss
        if outputs.loss_ground is not None:
            terms["loss_ground"] = outputs.loss_ground
        if outputs.box_predictions is not None:
            config = self.unwrapped_model.config
            terms |= box_terms(outputs, given["grounding"], config.ground_temperature, config.box_axes)
        if outputs.last_hidden_state is not None and not self.args.language_weight:
            # Rows that no box answers would leave the language model without a gradient, which other processes wait
            # for.
            zero = graph_zero(outputs.last_hidden_state).mean()
            terms |= {name: terms[name] + zero for name in GROUNDING_LOSSES if name in terms}
        weighted = {name: terms[name] for name, weight in self.loss_weights.items() if weight and name in terms}
        loss = self.total_loss(weighted, inputs, num_items_in_batch)
        self._record_metrics(outputs, terms, inputs, "eval" if num_items_in_batch is None else "train")
        return (loss, outputs) if return_outputs else loss

    def _geometry_terms(self, outputs: VidLLMOutput, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        found = outputs.reconstruction
        geometry = {name: batch[name] for name in GEOMETRY_INPUTS}
        terms = reconstruction_objective(
            relative_depth=found.relative_depth,
            depth_confidence=found.depth_confidence,
            points=found.points_world / found.scale[:, None, None, None, None],
            camera_encodings=found.camera_encodings,
            targets=reconstruction_targets(**geometry, in_metres=not self.has_metric_depth),
            confidence_alpha=self.args.confidence_alpha,
            **self.args.camera_options,
        )
        if self.has_metric_depth:
            terms["loss_metric_depth"] = metric_depth_loss(
                found.metric_depth_metres,
                _of_real_frames(batch),
                self.args.metric_alpha,
                self.args.metric_epsilon_metres,
            ).mean()
        return terms

    @torch.no_grad()
    def _record_metrics(
        self, outputs: VidLLMOutput, terms: dict[str, torch.Tensor], batch: dict[str, Any], mode: str
    ) -> None:
        """Adds what a batch measures besides its losses to the running metrics of `"train"` or `"eval"`."""
        running, samples = self.running[mode], len(batch["sample_ids"])
        if mode == "train":
            running.add("num_tokens", batch["attention_mask"].sum(), 1)
        if outputs.loss is not None:
            tokens = outputs.supervised_labels.numel()
            correct, entropy = token_metrics(outputs.logits, outputs.supervised_labels)
            running.add("mean_token_accuracy", correct, tokens)
            running.add("entropy", entropy, tokens)
        for name, value in terms.items():
            if not name.startswith("loss_"):
                running.add(name, value * samples, samples)
        truth, found = _of_real_frames(batch), outputs.reconstruction
        measured = measured_pixels(truth).sum()
        kinds = {"depth": found.depth_metres, "metric_depth": found.metric_depth_metres}
        for kind, depth in kinds.items():
            if depth is not None:
                metrics = verifier_metrics(depth, truth)
                running.add(f"{kind}_abs_rel", metrics["abs_rel"] * measured, measured)
                running.add(f"{kind}_delta_1", metrics["delta_1"] * measured, measured)
        running.add("scale_metres", found.scale.sum(), samples)
        if outputs.ground_accuracy is not None:
            questions, boxes = len(batch["grounding"]["meant"]), sum(map(len, batch["grounding"]["boxes"]))
            running.add("ground_accuracy", outputs.ground_accuracy * questions, questions)
            running.add("ground_seen", outputs.ground_seen * boxes, boxes)


def beside_full_parts(
    peft_config: PeftConfig, model: VidLLMForConditionalGeneration, trained_parts: set[str]
) -> PeftConfig:
    """Adapters of the language model alone, beside which the other parts train in full and with which they are saved.

    Args:
        peft_config (`PeftConfig`): The adapters. Target modules are looked for in the language model alone; all its
            linear layers but the head unless given.
        model (`VidLLMForConditionalGeneration`): The model.
        trained_parts (`set[str]`): Parts that train.

    Returns:
        `PeftConfig`: A copy.

    Raises:
        ValueError: No layer of the language model has such a name, or the targets are a regular expression.
    """
    wanted = peft_config.target_modules
    if isinstance(wanted, str) and wanted != "all-linear":
        raise ValueError(
            f"lora_target_modules={wanted!r}: give a list of names such as [q_proj, v_proj], or leave it out for all "
            "linear layers."
        )
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and model.part_of_parameter(f"{name}.weight") == "language"
        and module is not model.get_output_embeddings()
    ]
    if wanted is not None and wanted != "all-linear":
        names = [name for name in names if name.split(".")[-1] in wanted]
    if not names:
        raise ValueError(
            f"lora_target_modules={sorted(wanted)}: no linear layer of the language model has such a name."
        )
    changed = copy.deepcopy(peft_config)
    changed.task_type = None  # peft's class of a task hands the model arguments of plain language models
    changed.target_modules = set(names)
    full = {module for part, module in FULL_MODULES.items() if part in trained_parts}
    changed.modules_to_save = sorted({*(peft_config.modules_to_save or ()), *full})
    return changed


def box_terms(
    outputs: VidLLMOutput, grounding: dict[str, Any], temperature: float, box_axes: str
) -> dict[str, torch.Tensor]:
    """Losses of regressed boxes, as means over the samples of a batch; a sample without such questions adds 0.

    Args:
        outputs (`VidLLMOutput`): The model's, with `box_predictions` and `box_zero`.
        grounding (`dict`): Of the collator, with the poses of the batch.
        temperature (`float`): Divides the similarities.
        box_axes (`str`): Of the model's configuration.

    Returns:
        `dict[str, torch.Tensor]`: `loss_box` and `loss_match`, each with all weights of the box decoder in its graph.
    """
    terms = dict.fromkeys(("loss_box", "loss_match"), outputs.box_zero)
    for sample, predicted in enumerate(outputs.box_predictions):
        if predicted is not None:
            asked = (grounding["sample"] == sample).nonzero()[:, 0].tolist()
            first = grounding["world_from_camera"][sample, 0]
            boxes = along_box_axes(grounding["boxes"][sample], first, box_axes)
            targets = [boxes[grounding["meant"][question][:-1]] for question in asked]
            losses = box_query_loss(predicted, targets, temperature)
            terms = {name: value + losses[name] / len(outputs.box_predictions) for name, value in terms.items()}
    return terms


def _grounds(args: JointConfig) -> bool:
    return any(vars(args)[name] for name in GROUNDING_WEIGHTS)


def _check_heads(model: VidLLMForConditionalGeneration, args: JointConfig) -> None:
    """Raises where a term has a weight and the model has not what it trains."""
    heads = {"metric_depth_weight": "metric_depth", "ground_weight": "ground_head"}
    heads |= {"box_weight": "box_decoder", "match_weight": "box_decoder"}
    for weight, part in heads.items():
        if vars(args)[weight] and not model.config.to_dict()[part]:
            raise ValueError(
                f"{weight}={vars(args)[weight]}, but the model has no {part}: set it to 0, or make the model with "
                f"{part}: true in vid_llm_config."
            )


def _of_real_frames(batch: dict[str, Any]) -> torch.Tensor:
    """(B, F, H, W) measured depth, 0 in padded frames."""
    return torch.where(batch["frame_mask"][..., None, None], batch["depth_metres"], 0.0)
