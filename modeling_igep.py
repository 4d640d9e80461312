"""IGEP: a video VLM whose vision encoder learns geometry from heads that exist only while it trains (3D-IDE, CVPR 2026).

The model is the base VLM and nothing else: the depth verifier and the teacher projector are built by
`add_training_heads()`, called inside `forward` when geometry targets are given, and never written to disk.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoModelForImageTextToText,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.modeling_outputs import ModelOutput

from .configuration_igep import IGEPConfig
from .dense_prediction import DensePredictionDecoder
from .frame_grids import FrameGrids, read_frame_grids
from .processing_igep import IGEPProcessor
from .question_packing import packed_inputs


IGNORED_LABEL = -100
HEAD_NAMES = ("depth_verifier", "teacher_projector")
INITIAL_DEPTH_METRES = 2.5  # an untrained verifier answers the middle of a room
CONFIDENCE_LOG_RANGE = 4.0  # S stays within exp(-4) .. exp(4)
LOGIT_TRANSFORMS = ("final_logit_softcapping", "logit_scale", "logits_scaling")
AUTO_MAP = {
    "AutoConfig": "configuration_igep.IGEPConfig",
    "AutoModel": "modeling_igep.IGEPForConditionalGeneration",
    "AutoModelForImageTextToText": "modeling_igep.IGEPForConditionalGeneration",
    "AutoProcessor": "processing_igep.IGEPProcessor",
}


@dataclass
class IGEPOutput(ModelOutput):
    """What a training forward returns; a term that was not computed is `None`.

    Args:
        loss (`Tensor`, *optional*): Weighted total of the terms below, with gradients.
        loss_ce (`Tensor`, *optional*): Cross-entropy of the supervised tokens.
        loss_geometry (`Tensor`, *optional*): Depth term of the verifier, unweighted.
        loss_cross_view (`Tensor`, *optional*): Cross-view consistency term, unweighted.
        loss_global (`Tensor`, *optional*): Teacher alignment term, unweighted.
        logits (`Tensor`, *optional*): (N, V) at the N supervised positions only.
        supervised_labels (`Tensor`, *optional*): (N,) labels of those positions.
        predicted_depth_metres (`Tensor`, *optional*): (B, F, H, W) float32; 0 in padded frames.
        confidence (`Tensor`, *optional*): (B, F, H, W) float32, the map `S`; 0 in padded frames.
        confidence_mean (`Tensor`, *optional*): Mean of `S`, detached.
        cross_view_coverage (`Tensor`, *optional*): Share of pixels that the cross-view term saw, detached.
        depth_abs_rel (`Tensor`, *optional*): Mean relative error of the verifier's depth, detached.
        depth_delta_1 (`Tensor`, *optional*): Share of its pixels within a factor of 1.25, detached.
    """

    loss: Tensor | None = None
    loss_ce: Tensor | None = None
    loss_geometry: Tensor | None = None
    loss_cross_view: Tensor | None = None
    loss_global: Tensor | None = None
    logits: Tensor | None = None
    supervised_labels: Tensor | None = None
    predicted_depth_metres: Tensor | None = None
    confidence: Tensor | None = None
    confidence_mean: Tensor | None = None
    cross_view_coverage: Tensor | None = None
    depth_abs_rel: Tensor | None = None
    depth_delta_1: Tensor | None = None


class DepthVerifier(nn.Module):
    """Predicts metric depth and the map `S` from encoder feature maps: a weak decoder, trained from scratch.

    Args:
        in_channels (`int`): Channels of the encoder's hidden states.
        channels (`int`): Width of the decoder.
        num_taps (`int`): Number of encoder layers it reads.
        frames_per_map (`int`): Frames that one feature frame covers (Qwen encoders merge two).
        min_depth_metres (`float`): Smallest depth it can predict.
        max_depth_metres (`float`): Largest depth it can predict.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_taps: int,
        frames_per_map: int,
        min_depth_metres: float,
        max_depth_metres: float,
    ):
        super().__init__()
        self.frames_per_map = frames_per_map
        self.log_min = math.log(min_depth_metres)
        self.log_max = math.log(max_depth_metres)
        start = (math.log(INITIAL_DEPTH_METRES) - self.log_min) / (self.log_max - self.log_min)
        start = min(max(start, 0.1), 0.9)  # a range that excludes the initial depth starts near its nearer end
        self.depth_offset = math.log(start / (1 - start))
        self.decoder = DensePredictionDecoder(
            in_channels=in_channels,
            channels=channels,
            num_layers_tapped=num_taps,
            out_channels=2 * frames_per_map,
        )

    def forward(self, feature_maps: tuple[Tensor, ...], output_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Predicts every frame of every feature map.

        Args:
            feature_maps (`tuple[Tensor, ...]`): One (N, h, w, C) per tap.
            output_size (`tuple[int, int]`): H and W of the prediction.

        Returns:
            Depth in metres and `S`, each (N * frames_per_map, H, W) float32.
        """
        dtype = next(self.parameters()).dtype
        raw = self.decoder([maps.movedim(-1, 1).to(dtype) for maps in feature_maps], output_size)
        with torch.autocast(raw.device.type, enabled=False):
            raw = raw.float().unflatten(1, (self.frames_per_map, 2)).flatten(0, 1)
            # Both are squashed smoothly in log space: bounded, and never without a gradient.
            share = torch.sigmoid(raw[:, 0] + self.depth_offset)
            depth_metres = torch.exp(self.log_min + (self.log_max - self.log_min) * share)
            confidence = torch.exp(CONFIDENCE_LOG_RANGE * torch.tanh(raw[:, 1] / CONFIDENCE_LOG_RANGE))
        return depth_metres, confidence


class TeacherProjector(nn.Module):
    """Maps visual tokens to the space of a frozen teacher's descriptors.

    Args:
        in_channels (`int`): Channels of the visual tokens.
        teacher_channels (`int`): Channels of the teacher's descriptors.
    """

    def __init__(self, in_channels: int, teacher_channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(in_channels)
        self.hidden = nn.Linear(in_channels, teacher_channels)
        self.output = nn.Linear(teacher_channels, teacher_channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Projects (..., in_channels) to (..., teacher_channels)."""
        tokens = tokens.to(self.norm.weight.dtype)
        return self.output(functional.gelu(self.hidden(self.norm(tokens))))


class IGEPForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """A VLM trained under geometry supervision and used as the VLM it is.

    Without labels and geometry, `forward` is the base model's forward. With labels it returns the cross-entropy of the
    supervised tokens; with `frame_mask` it also runs the training heads on the encoder's features.

    Args:
        config (`IGEPConfig`): Configuration.
        vlm (`PreTrainedModel`, *optional*): The base VLM; built from `config.vlm_config` when not given.
    """

    config: IGEPConfig
    base_model_prefix = "vlm"
    input_modalities = ("image", "video", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: IGEPConfig, vlm: PreTrainedModel | None = None):
        super().__init__(config)
        self.vlm = AutoModelForImageTextToText.from_config(config.vlm_config) if vlm is None else vlm
        _check_base(self.vlm)
        self.objective: Callable | None = None
        self.depth_verifier: DepthVerifier | None = None
        self.teacher_projector: TeacherProjector | None = None
        self.post_init()

    @classmethod
    def from_base(
        cls, model_or_id: PreTrainedModel | str | Path, *, dtype: torch.dtype | str | None = None, **igep_config_fields
    ) -> "IGEPForConditionalGeneration":
        """Wraps a plain VLM.

        Args:
            model_or_id (`PreTrainedModel`, `str` or `Path`): The VLM, or its id on the Hub or its folder.
            dtype (`torch.dtype` or `str`, *optional*): Type to load the weights in; the checkpoint's own by default.
                Only with an id or a folder.
            **igep_config_fields: Fields of `IGEPConfig` other than `vlm_config`.

        Returns:
            The model, in the mode (train or eval) of the base, which is not copied.

        Raises:
            TypeError: If `model_or_id` is none of these types, or a field is not one of `IGEPConfig`.
            ValueError: If the base cannot be supervised, with the reason.
        """
        unknown = sorted(set(igep_config_fields) - set(IGEPConfig.__annotations__))
        if unknown or "vlm_config" in igep_config_fields:
            raise TypeError(
                f"from_base: {', '.join(unknown) or 'vlm_config'} cannot be given; the fields are "
                f"{', '.join(name for name in IGEPConfig.__annotations__ if name != 'vlm_config')}."
            )
        if isinstance(model_or_id, (str, Path)):
            if PreTrainedConfig.get_config_dict(model_or_id)[0].get("model_type") == IGEPConfig.model_type:
                raise ValueError(
                    f"{model_or_id} is an IGEP model already: load it with {cls.__name__}.from_pretrained."
                )
            options = {} if dtype is None else {"dtype": dtype}
            vlm = AutoModelForImageTextToText.from_pretrained(model_or_id, **options)
        elif isinstance(model_or_id, PreTrainedModel):
            vlm = model_or_id
            if dtype is not None:
                raise ValueError(f"dtype={dtype} only applies to an id or a folder: cast the model you pass instead.")
        else:
            raise TypeError(f"model_or_id must be a model, an id or a folder, not {type(model_or_id).__name__}.")
        _check_base(vlm)
        model = cls(IGEPConfig(vlm_config=vlm.config, dtype=vlm.dtype, **igep_config_fields), vlm=vlm)
        model.generation_config = vlm.generation_config
        return model.train(vlm.training)

    def add_training_heads(self, objective: Callable[..., dict[str, Tensor]]) -> None:
        """Builds the heads that the loss weights ask for, in float32, and freezes what no loss can reach.

        Calling it again changes the objective and keeps the heads.

        Args:
            objective (`Callable`): Computes the geometry terms; `igep.trainers.supervision.geometry_losses.igep_objective`.

        Raises:
            ValueError: If the encoder has fewer layers than `verifier_taps`.
        """
        config = self.config
        channels, num_layers = _encoder_shape(config.vlm_config)
        if config.verifier_taps > num_layers:
            raise ValueError(
                f"verifier_taps={config.verifier_taps} is more than the {num_layers} layers of the vision encoder."
            )
        self.objective = objective
        needs_verifier = config.geometry_weight > 0 or config.cross_view_weight > 0
        if needs_verifier and self.depth_verifier is None:
            self.depth_verifier = DepthVerifier(
                in_channels=channels,
                channels=config.verifier_channels,
                num_taps=config.verifier_taps,
                frames_per_map=config.vlm_config.vision_config.to_dict().get("temporal_patch_size", 1),
                min_depth_metres=config.verifier_min_depth_metres,
                max_depth_metres=config.verifier_max_depth_metres,
            ).to(self.device)
        if config.global_weight > 0 and config.teacher_channels is not None and self.teacher_projector is None:
            source = channels if config.supervise == "encoder" else config.get_text_config().hidden_size
            self.teacher_projector = TeacherProjector(source, config.teacher_channels).to(self.device)
        self._freeze_unread_parameters()

    def remove_training_heads(self) -> None:
        """Drops the heads and the objective: what is left is the model that is saved."""
        self.objective = None
        self.depth_verifier = None
        self.teacher_projector = None

    @property
    def training_heads(self) -> dict[str, nn.Module]:
        """The heads that exist, by name; empty for a loaded model."""
        heads = {"depth_verifier": self.depth_verifier, "teacher_projector": self.teacher_projector}
        return {name: head for name, head in heads.items() if head is not None}

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        mm_encoder_outputs: dict | None = None,
        depth_metres: Tensor | None = None,
        intrinsics: Tensor | None = None,
        world_from_camera: Tensor | None = None,
        frame_mask: Tensor | None = None,
        neighbour_index: Tensor | None = None,
        teacher_descriptors: Tensor | None = None,
        set_index: Tensor | None = None,
        block_index: Tensor | None = None,
        **vlm_kwargs,
    ) -> IGEPOutput | ModelOutput:
        """Runs the base VLM; with labels or geometry, computes the losses.

        With `set_index` and `block_index` a row holds one or more sets of images with many independent questions each
        (see `question_packing`). Geometry then has one sample B per set, and vision inputs come in the order of the sets.

        Args:
            input_ids (`Tensor`): (B, T) tokens.
            attention_mask (`Tensor`, *optional*): (B, T).
            labels (`Tensor`, *optional*): (B, T), -100 where nothing is supervised. Not shifted.
            num_items_in_batch (`Tensor` or `int`, *optional*): Number of supervised tokens of the whole step. The
                cross-entropy is divided by it; by the tokens of this batch when not given.
            mm_encoder_outputs (`dict`, *optional*): Outputs of the encoder computed before; without geometry only.
            depth_metres (`Tensor`, *optional*): (B, F, H, W) z-depth, 0 = invalid.
            intrinsics (`Tensor`, *optional*): (B, F, 3, 3) in pixels of `depth_metres`, NaN = unknown.
            world_from_camera (`Tensor`, *optional*): (B, F, 4, 4), NaN = unknown.
            frame_mask (`Tensor`, *optional*): (B, F) bool, the frames that are real. Switches the heads on.
            neighbour_index (`Tensor`, *optional*): (B, F) frame that each frame is compared with, -1 = none.
            teacher_descriptors (`Tensor`, *optional*): (B, F, h, w, C) of the frozen teacher.
            set_index (`Tensor`, *optional*): (B, T) long, the set of images each token belongs to, numbered from 0 over the
                whole batch in the order of the tokens; -1 = padding. Packs questions.
            block_index (`Tensor`, *optional*): (B, T) long, 0 = prefix of its set, k = its k-th question and answer.
            **vlm_kwargs: Everything else the base VLM takes: pixels, grids, token types.

        Returns:
            The base VLM's output without labels and geometry, `IGEPOutput` with either.

        Raises:
            ValueError: If the geometry does not fit the batch or the heads are missing, with the remedy.
        """
        if (set_index is None) != (block_index is None):
            raise ValueError("set_index and block_index pack questions together: give both or neither.")
        vlm_kwargs |= {"input_ids": input_ids, "attention_mask": attention_mask}
        if set_index is not None:
            vlm_kwargs |= packed_inputs(self.vlm, input_ids, set_index, block_index, vlm_kwargs)
        geometry = {
            "depth_metres": depth_metres,
            "intrinsics": intrinsics,
            "world_from_camera": world_from_camera,
            "frame_mask": frame_mask,
            "neighbour_index": neighbour_index,
            "teacher_descriptors": teacher_descriptors,
        }
        has_geometry = any(value is not None for value in geometry.values())
        if labels is None and not has_geometry:
            return self.vlm(mm_encoder_outputs=mm_encoder_outputs, **vlm_kwargs)
        if has_geometry:
            self._check_geometry(geometry)

        output = IGEPOutput()
        maps = grids = modality = slots = None
        if self.training_heads and has_geometry:
            if mm_encoder_outputs is not None:
                raise ValueError("mm_encoder_outputs cannot be given with geometry: give the pixels instead.")
            modality, encoded, grids, maps = self._encode(vlm_kwargs)
            slots = grids.frame_slots(frame_mask)
            mm_encoder_outputs = {modality: encoded}
            vlm_kwargs.pop("pixel_values_videos" if modality == "video" else "pixel_values")

        reads_language = has_geometry and self.teacher_projector is not None and self.config.supervise == "llm"
        hidden = None
        if labels is not None or reads_language:
            decoded = self.vlm.base_model(
                mm_encoder_outputs=mm_encoder_outputs, **(vlm_kwargs | {"use_cache": False, "return_dict": True})
            )
            hidden = decoded.last_hidden_state
        losses = {}
        if labels is not None:
            losses["loss_ce"] = self._cross_entropy(hidden, labels, num_items_in_batch, output)
        if self.training_heads and has_geometry:
            language_maps = None
            if reads_language:
                language_maps = self._language_maps(hidden, input_ids, modality, mm_encoder_outputs[modality], grids)
            losses |= self._geometry_terms(geometry, slots, grids.temporal_patch_size, maps, language_maps, output)
        return self._total(losses, output)

    @torch.no_grad()
    def encode_frames(self, frame_mask: Tensor | None = None, **inputs) -> tuple[Tensor, ...]:
        """Returns what the vision encoder knows of each frame: the tokens that the depth verifier would read.

        Args:
            frame_mask (`Tensor`, *optional*): (B, F) bool, the real frames. Without it, encoders that merge frames in
                pairs return an even number of frames per video.
            **inputs: The processor's tensors; text is not used.

        Returns:
            One (N, h, w, C) per tapped layer, N frames in order; the last entry is the encoder's last layer.
        """
        _, _, grids, maps = self._encode(inputs)
        patch = grids.temporal_patch_size
        slots = torch.arange(sum(grids.frames_per_unit) * patch, device=maps[0].device)
        if frame_mask is not None:
            slots = grids.frame_slots(frame_mask)
        elif not grids.is_video:
            slots = slots[::patch]
        return tuple(tap[slots // patch] for tap in maps)

    @torch.no_grad()
    def encode_vision(self, **inputs) -> dict[str, ModelOutput]:
        """Runs the vision encoder alone, so that many questions about the same frames pay for it once.

        `generate` and `forward` take the result as `mm_encoder_outputs`, in place of the pixels:

            encoded = model.encode_vision(**inputs)
            del inputs["pixel_values_videos"]
            model.generate(**inputs, mm_encoder_outputs=encoded)

        Args:
            **inputs: The processor's tensors; text is not used.

        Returns:
            `dict[str, ModelOutput]`: Per modality (`"image"` or `"video"`) what the base's encoder returns.

        Raises:
            ValueError: If there are no pixels.
        """
        base, encoded = self.vlm.base_model, {}
        encoders = {
            "pixel_values": ("image", base.get_image_features),
            "pixel_values_videos": ("video", base.get_video_features),
        }
        for pixels, (modality, encoder) in encoders.items():
            if inputs.get(pixels) is not None:
                accepted = inspect.signature(encoder).parameters
                given = {name: value for name, value in inputs.items() if name in accepted}
                encoded[modality] = encoder(**given, return_dict=True)
        if not encoded:
            raise ValueError(
                f"inputs hold neither pixel_values nor pixel_values_videos but {sorted(inputs)}: give what the processor "
                "returned for the frames."
            )
        return encoded

    def generate(self, *args, **kwargs) -> Tensor | ModelOutput:
        """Generates with the base VLM; takes and returns exactly what its `generate` does."""
        self.vlm.generation_config = self.generation_config
        return self.vlm.generate(*args, **kwargs)

    def prepare_inputs_for_generation(self, *args, **kwargs) -> dict:
        """The base VLM's own."""
        return self.vlm.prepare_inputs_for_generation(*args, **kwargs)

    def get_input_embeddings(self) -> nn.Module:
        """The base VLM's own."""
        return self.vlm.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """The base VLM's own."""
        self.vlm.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The base VLM's own."""
        return self.vlm.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """The base VLM's own."""
        self.vlm.set_output_embeddings(new_embeddings)

    def part_of_parameter(self, name: str) -> str:
        """Says which part of the model a parameter belongs to.

        Args:
            name (`str`): As in `named_parameters()`; a prefix of a wrapper (peft, DDP) does no harm.

        Returns:
            `"vision"`, `"projector"`, `"language"` or `"heads"`.
        """
        dotted = f".{name}."
        if any(f".{head}." in dotted for head in HEAD_NAMES):
            return "heads"
        parts = {id(self.vlm.get_decoder()): "language", id(self.vlm.get_output_embeddings()): "language"}
        parts[id(self.vlm.get_encoder(modality="image"))] = "vision"
        for path, module in self.vlm.named_modules():
            if id(module) in parts and f".vlm.{path}." in dotted:
                part = parts[id(module)]
                # The modules that bring the patches to the language model live inside the tower in Qwen models.
                merges = ".merger." in dotted or ".deepstack_merger_list." in dotted
                return "projector" if part == "vision" and merges else part
        return "projector"

    def save_pretrained(self, save_directory: str | Path, state_dict: dict | None = None, **kwargs) -> None:
        """Writes the model without its training heads, the code that loads it, and the complete `auto_map`.

        Args:
            save_directory (`str` or `Path`): Folder to write to.
            state_dict (`dict`, *optional*): Weights to write instead of the model's own, as a trainer gathers them.
            **kwargs: Further arguments of `PreTrainedModel.save_pretrained`.
        """
        weights = self.state_dict() if state_dict is None else state_dict
        weights = {name: value for name, value in weights.items() if name.split(".")[0] not in HEAD_NAMES}
        self.config.auto_map = dict(AUTO_MAP)
        super().save_pretrained(save_directory, state_dict=weights, **kwargs)

    def export_vlm(self, save_directory: str | Path, processor: ProcessorMixin | None = None) -> None:
        """Writes the plain base VLM, which loads without any code of this package.

        Args:
            save_directory (`str` or `Path`): Folder to write to.
            processor (`ProcessorMixin`, *optional*): The processor to write beside it, wrapped in `IGEPProcessor` or not.
        """
        self.vlm.generation_config = self.generation_config
        if "_weight_conversions" not in vars(self.vlm):
            # Loaded as a part of this model, the base has lost the names of its published checkpoints, which servers read.
            self.vlm._weight_conversions = get_model_conversion_mapping(self.vlm, add_legacy=False)
        self.vlm.save_pretrained(save_directory)
        if processor is not None:
            IGEPProcessor.from_base(processor).base_processor.save_pretrained(save_directory)

    def _encode(self, inputs: dict) -> tuple[str, ModelOutput, FrameGrids, tuple[Tensor, ...]]:
        """Runs the vision encoder once; returns the modality, its outputs, the grids and the maps of the taps."""
        given = {name: value for name, value in inputs.items() if value is not None}
        pixels = [name for name in ("pixel_values", "pixel_values_videos") if name in given]
        if len(pixels) != 1:
            raise ValueError(
                f"geometry supervision needs either pixel_values or pixel_values_videos, found {pixels or 'neither'}: "
                "a batch is all images or all videos."
            )
        is_video = pixels == ["pixel_values_videos"]
        base = self.vlm.base_model
        encoder = base.get_video_features if is_video else base.get_image_features
        accepted = inspect.signature(encoder).parameters
        outputs = encoder(
            **{name: value for name, value in given.items() if name in accepted},
            output_hidden_states=True,
            return_dict=True,
        )
        hidden_states = outputs.hidden_states
        last = self._read_layer(len(hidden_states) - 1)
        taps = self.config.verifier_taps
        chosen = [hidden_states[max(1, round(last * (tap + 1) / taps))] for tap in range(taps)]
        grids = read_frame_grids(self.config.vlm_config, chosen[-1], given, is_video)
        return "video" if is_video else "image", outputs, grids, tuple(grids.encoder_maps(tap) for tap in chosen)

    def _read_layer(self, num_layers: int) -> int:
        """Index of the hidden state that the language model is fed from: what lies above it is never used."""
        layer = self.config.vlm_config.to_dict().get("vision_feature_layer", num_layers)
        layer = max(layer) if isinstance(layer, (list, tuple)) else layer
        return layer if layer >= 0 else num_layers + 1 + layer

    def _freeze_unread_parameters(self) -> None:
        """Freezes what follows the encoder's last read layer: with no gradient it would stop distributed training."""
        config = self.config.vlm_config
        if "vision_feature_layer" not in config.to_dict():
            return
        _, num_layers = _encoder_shape(config)
        unread = [f".layers.{layer}." for layer in range(self._read_layer(num_layers), num_layers)]
        unread += [".post_layernorm.", ".head."]
        for name, parameter in self.vlm.get_encoder(modality="image").named_parameters():
            if any(part in f".{name}" for part in unread):
                parameter.requires_grad_(False)

    def _check_geometry(self, geometry: dict[str, Tensor | None]) -> None:
        if self.objective is None:
            raise ValueError(
                "geometry was given but the model has no training heads: call add_training_heads(objective) first."
            )
        frame_mask = geometry["frame_mask"]
        if frame_mask is None or frame_mask.dim() != 2 or frame_mask.dtype != torch.bool:
            found = None if frame_mask is None else f"{tuple(frame_mask.shape)} {frame_mask.dtype}"
            raise ValueError(f"frame_mask must be a (B, F) bool tensor with the other geometry, found {found}.")
        batch, frames = frame_mask.shape
        shapes = {
            "depth_metres": (batch, frames, None, None),
            "intrinsics": (batch, frames, 3, 3),
            "world_from_camera": (batch, frames, 4, 4),
            "neighbour_index": (batch, frames),
            "teacher_descriptors": (batch, frames, None, None, self.config.teacher_channels),
        }
        for name, shape in shapes.items():
            value = geometry[name]
            if value is None:
                continue
            fits = value.dim() == len(shape) and all(
                want in (None, size) for want, size in zip(shape, value.shape, strict=True)
            )
            if not fits:
                wanted = ", ".join("any" if size is None else str(size) for size in shape)
                raise ValueError(
                    f"{name} has shape {tuple(value.shape)}, expected ({wanted}) to match frame_mask {(batch, frames)} "
                    "and the configuration."
                )
        if geometry["teacher_descriptors"] is not None and self.config.teacher_channels is None:
            raise ValueError("teacher_descriptors was given but teacher_channels is None: set it in IGEPConfig.")

    def _cross_entropy(
        self, hidden: Tensor, labels: Tensor, num_items_in_batch: Tensor | int | None, output: IGEPOutput
    ) -> Tensor:
        supervised = labels[:, 1:] != IGNORED_LABEL
        output.supervised_labels = labels[:, 1:][supervised]
        # No supervised token leaves an empty matrix here, and a sum of nothing: zero, with every weight in its graph.
        output.logits = self.vlm.get_output_embeddings()(hidden[:, :-1][supervised])
        total = functional.cross_entropy(output.logits.float(), output.supervised_labels, reduction="sum")
        count = output.supervised_labels.numel() if num_items_in_batch is None else num_items_in_batch
        return total / torch.as_tensor(count, device=total.device).clamp(min=1)

    def _language_maps(
        self, hidden: Tensor, input_ids: Tensor, modality: str, encoded: ModelOutput, grids: FrameGrids
    ) -> Tensor:
        config = self.config.vlm_config
        token_id = config.video_token_id if modality == "video" else config.image_token_id
        pooled = encoded.pooler_output
        return grids.language_maps(hidden[input_ids == token_id], [len(tokens) for tokens in pooled])

    def _geometry_terms(
        self,
        geometry: dict[str, Tensor | None],
        slots: Tensor,
        temporal_patch_size: int,
        maps: tuple[Tensor, ...],
        language_maps: Tensor | None,
        output: IGEPOutput,
    ) -> dict[str, Tensor]:
        frame_mask = geometry["frame_mask"]
        student = None
        if self.depth_verifier is not None:
            depth_metres = geometry["depth_metres"]
            size = self.config.geometry_size if depth_metres is None else depth_metres.shape[-2:]
            predicted, confidence = self.depth_verifier(maps, tuple(size))
            output.predicted_depth_metres = _scatter_frames(predicted[slots], frame_mask)
            output.confidence = _scatter_frames(confidence[slots], frame_mask)
        if self.teacher_projector is not None:
            descriptors = self.teacher_projector(maps[-1] if language_maps is None else language_maps)
            student = _scatter_frames(descriptors[slots // temporal_patch_size], frame_mask)
        terms = self.objective(
            predicted_depth_metres=output.predicted_depth_metres,
            confidence=output.confidence,
            student=student,
            **geometry,
            geometry_weight=self.config.geometry_weight,
            cross_view_weight=self.config.cross_view_weight,
            global_weight=self.config.global_weight if student is not None else 0.0,
            uncertainty_alpha=self.config.uncertainty_alpha,
            pooled_alignment=self.config.pooled_alignment,
        )
        for name in ("confidence_mean", "cross_view_coverage", "depth_abs_rel", "depth_delta_1"):
            if name in terms:
                output[name] = terms[name]
        return {name: value for name, value in terms.items() if name.startswith("loss_")}

    def _total(self, losses: dict[str, Tensor], output: IGEPOutput) -> IGEPOutput:
        weights = {
            "loss_ce": 1.0,
            "loss_geometry": self.config.geometry_weight,
            "loss_cross_view": self.config.cross_view_weight,
            "loss_global": self.config.global_weight,
        }
        for name, value in losses.items():
            output[name] = value
        if losses:
            output.loss = sum(weights[name] * value for name, value in losses.items())
        return output


def _scatter_frames(frames: Tensor, frame_mask: Tensor) -> Tensor:
    """Puts the (R, ...) real frames of a batch at their places in (B, F, ...), zero elsewhere."""
    padded = frames.new_zeros(*frame_mask.shape, *frames.shape[1:])
    padded[frame_mask] = frames
    return padded


def _encoder_shape(vlm_config: PreTrainedConfig) -> tuple[int, int]:
    """Channels and layers of the vision encoder's hidden states; families name these fields differently."""
    fields = vlm_config.vision_config.to_dict()
    channels = fields.get("embed_dim", fields.get("hidden_size"))  # Qwen2-VL calls the output's width hidden_size
    layers = fields.get("num_hidden_layers", fields.get("depth"))
    if channels is None or layers is None:
        raise ValueError(
            f"{vlm_config.model_type} cannot be supervised: its vision_config names neither hidden_size and "
            f"num_hidden_layers nor embed_dim and depth, but {sorted(fields)}. Use another base model."
        )
    return channels, layers


def _check_base(vlm: PreTrainedModel) -> None:
    """Raises if a VLM cannot be supervised."""
    name = type(vlm).__name__
    if "mm_encoder_outputs" not in inspect.signature(vlm.forward).parameters:
        raise ValueError(
            f"{name} cannot be supervised: its forward has no argument mm_encoder_outputs, so its vision encoder would "
            "have to run twice. Use a VLM of transformers that has it, such as LLaVA-OneVision or Qwen3-VL."
        )
    if vlm.config.to_dict().get("vision_config") is None:
        raise ValueError(f"{name} cannot be supervised: its configuration has no vision_config.")
    _encoder_shape(vlm.config)
    transforms = vlm.config.get_text_config().to_dict()
    for field in LOGIT_TRANSFORMS:
        if transforms.get(field) is not None:
            raise ValueError(
                f"{name} cannot be supervised: its head changes the logits ({field}={transforms[field]}), which the "
                "loss at supervised positions does not do. Use another base model."
            )


IGEPForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")
