"""IGEP (3D-IDE, CVPR 2026): a video VLM whose encoder learns geometry from heads that exist only while it trains.

The model is the base VLM and nothing else, but for a head that points at boxes where it was trained to: the depth
verifier and the teacher projector are built by `add_training_heads()`, called inside `forward` when geometry targets
are given, and never written to disk. With `position_encoding` it is the baseline that reads depth and poses: the 3D
positions of its visual tokens are added to them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForImageTextToText, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from .base_vlm import (
    PIXELS,
    check_base,
    encode_pixels,
    encoder_shape,
    frames_per_feature,
    freeze_unread_parameters,
    part_of_parameter,
    read_layer,
)
from .configuration_igep import GROUND_FIELDS, IGEPConfig, check_ground_head
from .frame_grids import FrameGrids, read_frame_grids
from .ground_head import Grounded, GroundHead, checked_boxes, grounded
from .position_encoding import GEOMETRY, add_positions, check_position_geometry
from .question_packing import join_prefix, packed_inputs
from .training_heads import (
    HEAD_NAMES,
    DepthVerifier,
    PoseEmbedding,
    TeacherProjector,
    check_geometry,
    neighbour_depths,
    scatter_frames,
)


IGNORED_LABEL = -100
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
        loss_photometric (`Tensor`, *optional*): Photometric term of frames without measured depth, unweighted.
        loss_global (`Tensor`, *optional*): Teacher alignment term, unweighted.
        loss_ground (`Tensor`, *optional*): Grounding term, unweighted: sum over questions, over number of samples.
        logits (`Tensor`, *optional*): (N, V) at the N supervised positions only.
        supervised_labels (`Tensor`, *optional*): (N,) labels of those positions.
        predicted_depth_metres (`Tensor`, *optional*): (B, F, H, W) float32; 0 in padded frames.
        confidence (`Tensor`, *optional*): (B, F, H, W) float32, the map `S`; 0 in padded frames.
        confidence_mean (`Tensor`, *optional*): Mean of `S`, detached.
        cross_view_coverage (`Tensor`, *optional*): Share of pixels that the cross-view term saw, detached.
        photometric_coverage (`Tensor`, *optional*): Share of those that depth explains by a neighbour's colours.
        depth_abs_rel (`Tensor`, *optional*): Mean relative error of the verifier's depth, detached.
        depth_delta_1 (`Tensor`, *optional*): Share of its pixels within a factor of 1.25, detached.
        ground_accuracy (`Tensor`, *optional*): Share of grounding questions whose best fit is meant ("none" too).
        ground_seen (`Tensor`, *optional*): Share of the proposals that a frame shows.
    """

    loss: Tensor | None = None
    loss_ce: Tensor | None = None
    loss_geometry: Tensor | None = None
    loss_cross_view: Tensor | None = None
    loss_photometric: Tensor | None = None
    loss_global: Tensor | None = None
    loss_ground: Tensor | None = None
    logits: Tensor | None = None
    supervised_labels: Tensor | None = None
    predicted_depth_metres: Tensor | None = None
    confidence: Tensor | None = None
    confidence_mean: Tensor | None = None
    cross_view_coverage: Tensor | None = None
    photometric_coverage: Tensor | None = None
    depth_abs_rel: Tensor | None = None
    depth_delta_1: Tensor | None = None
    ground_accuracy: Tensor | None = None
    ground_seen: Tensor | None = None


@dataclass(frozen=True)
class EncodedFrames:
    """What one pass of the vision encoder gave.

    Args:
        modality (`str`): `"image"` or `"video"`.
        outputs (`ModelOutput`): As the base's forward takes them.
        grids (`FrameGrids`): Where the tokens lie.
        maps (`tuple[Tensor, ...]`): One (N, h, w, C) per tapped layer, N feature frames.
    """

    modality: str
    outputs: ModelOutput
    grids: FrameGrids
    maps: tuple[Tensor, ...]


class IGEPForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """A VLM trained under geometry supervision and used as the VLM it is.

    Without labels and geometry, `forward` is the base model's forward. With labels it returns the cross-entropy of the
    supervised tokens; with `frame_mask` it also runs the training heads on the encoder's features. A configuration
    with `position_encoding` makes depth, intrinsics and poses inputs wherever pixels are.

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
    _keep_in_fp32_modules_strict = ["ground_head"]

    def __init__(self, config: IGEPConfig, vlm: PreTrainedModel | None = None):
        super().__init__(config)
        self.vlm = AutoModelForImageTextToText.from_config(config.vlm_config) if vlm is None else vlm
        check_base(self.vlm)
        self.objective: Callable | None = None
        self.packs_with_block_mask = False  # to be set where packed questions meet flex attention
        self.depth_verifier: DepthVerifier | None = None
        self.pose_embedding: PoseEmbedding | None = None
        self.teacher_projector: TeacherProjector | None = None
        self.ground_head = self._new_ground_head() if config.ground_head else None
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
        check_base(vlm)
        has_ground_head = igep_config_fields.pop("ground_head", False)
        model = cls(IGEPConfig(vlm_config=vlm.config, dtype=vlm.dtype, **igep_config_fields), vlm=vlm)
        if has_ground_head:
            model.add_ground_head()
        model.generation_config = vlm.generation_config
        return model.train(vlm.training)

    def add_ground_head(self, **fields) -> None:
        """Builds the head that points at proposals, in float32. Unlike the training heads it is saved with the model.

        Where there is one, it is kept, and the fields that do not shape it are set.

        Args:
            **fields: Fields of `IGEPConfig` that begin with `ground_`; the configuration's own unless given.

        Raises:
            TypeError: Another field.
            ValueError: A value is out of range, or the model has a ground head of another kind.
        """
        unknown = sorted(set(fields) - set(GROUND_FIELDS))
        if unknown:
            raise TypeError(
                f"add_ground_head: {unknown[0]} cannot be given; the fields are {', '.join(GROUND_FIELDS)}."
            )
        config = self.config
        before = {name: vars(config)[name] for name in GROUND_FIELDS}
        check_ground_head(before | fields)
        if self.ground_head is not None:
            for name in ("ground_geometry_inputs", "ground_object_features", "ground_width"):
                if fields.get(name, before[name]) != before[name]:
                    raise ValueError(
                        f"The model has a ground head with {name}={before[name]!r}, {fields[name]!r} is asked for: "
                        "change the option, or start from a model without one."
                    )
        for name, value in fields.items():
            setattr(config, name, value)
        config.ground_head = True
        if self.ground_head is None:
            self.ground_head = self._new_ground_head().to(self.device)
        self.ground_head.min_coverage = config.ground_min_coverage

    def _new_ground_head(self) -> GroundHead:
        config = self.config
        channels = config.get_text_config().hidden_size
        width = config.ground_width or channels
        return GroundHead(channels, width, config.ground_geometry_inputs, config.ground_min_coverage)

    def add_training_heads(self, objective: Callable[..., dict[str, Tensor]]) -> None:
        """Builds the heads that the loss weights ask for, in float32, and freezes what no loss can reach.

        Calling it again changes the objective and keeps the heads.

        Args:
            objective (`Callable`): Computes the geometry terms: `igep_objective` of
                `igep.trainers.supervision.geometry_losses`, or `release_objective` of `release_losses` beside it where
                the configuration says `objective: release`.

        Raises:
            ValueError: If the encoder has fewer layers than `verifier_taps`, or not those of `verifier_layers`.
        """
        config = self.config
        channels, num_layers = encoder_shape(config.vlm_config)
        if config.verifier_taps > num_layers:
            raise ValueError(
                f"verifier_taps={config.verifier_taps} is more than the {num_layers} layers of the vision encoder."
            )
        layers, last = config.verifier_layers, read_layer(config.vlm_config, num_layers)
        if layers is not None and (layers[0] < 1 or layers[-1] != last):
            raise ValueError(
                f"verifier_layers={list(layers)} must begin at 1 or above and end at {last}, the layer that the "
                "language model reads."
            )
        self.objective = objective
        needs_verifier = max(config.geometry_weight, config.cross_view_weight, config.photometric_weight) > 0
        if needs_verifier and self.depth_verifier is None:
            self.depth_verifier = DepthVerifier(
                in_channels=channels,
                channels=config.verifier_channels,
                num_taps=config.verifier_taps,
                frames_per_map=frames_per_feature(config.vlm_config),
                min_depth_metres=config.verifier_min_depth_metres,
                max_depth_metres=config.verifier_max_depth_metres,
                activation=config.verifier_activation,
                projection_channels=config.verifier_projection_channels,
            ).to(self.device)
        predicts_neighbours = config.objective == "release" and config.cross_view_weight > 0
        if predicts_neighbours and self.pose_embedding is None:
            self.pose_embedding = PoseEmbedding(channels, config.verifier_taps).to(self.device)
        if config.global_weight > 0 and config.teacher_channels is not None and self.teacher_projector is None:
            source = channels if config.supervise == "encoder" else config.get_text_config().hidden_size
            self.teacher_projector = TeacherProjector(
                source, config.teacher_channels, config.teacher_projector_channels, config.teacher_projector_norm
            ).to(self.device)
        freeze_unread_parameters(self.vlm)

    def remove_training_heads(self) -> None:
        """Drops the heads and the objective: what is left is the model that is saved."""
        self.objective = None
        self.depth_verifier = None
        self.pose_embedding = None
        self.teacher_projector = None

    @property
    def reads_positions(self) -> bool:
        """Whether depth and poses of the frames are inputs, in answering as well."""
        return self.config.position_encoding != "none"

    @property
    def training_heads(self) -> dict[str, nn.Module]:
        """The heads that exist, by name; empty for a loaded model."""
        heads = {
            "depth_verifier": self.depth_verifier,
            "pose_embedding": self.pose_embedding,
            "teacher_projector": self.teacher_projector,
        }
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
        frame_colours: Tensor | None = None,
        set_index: Tensor | None = None,
        block_index: Tensor | None = None,
        grounding: dict | None = None,
        **vlm_kwargs,
    ) -> IGEPOutput | ModelOutput:
        """Runs the base VLM; with labels or geometry, computes the losses.

        With `set_index` and `block_index` a row holds one or more sets of images with many independent questions each
        (see `question_packing`). Geometry then has a sample B per set, and vision inputs come in the sets' order.

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
            frame_mask (`Tensor`, *optional*): (B, F) bool, the frames that are real. Switches the heads on. Needed
                with the three above where the configuration has a `position_encoding`.
            neighbour_index (`Tensor`, *optional*): (B, F) frame that each frame is compared with, -1 = none; with
                `objective: release` (B, F, K), those whose depth is predicted from it.
            teacher_descriptors (`Tensor`, *optional*): (B, F, h, w, C) of the frozen teacher.
            frame_colours (`Tensor`, *optional*): (B, F, 3, H, W) uint8, with `photometric_weight`.
            set_index (`Tensor`, *optional*): (B, T) long, the set of images each token belongs to, numbered from 0
                over the whole batch in the order of the tokens; -1 = padding. Packs questions: with `sdpa` or `eager`
                attention, or with `flex_attention` and `packs_with_block_mask` set, as the trainer does.
            block_index (`Tensor`, *optional*): (B, T) long, 0 = prefix of its set, k = its k-th question and answer.
            grounding (`dict`, *optional*): G questions that boxes answer, in training: `boxes` (B tensors of (P, 6),
                in the world of the poses), `origin` ((B, 3), where that world's origin lies in the scene's), `sample`,
                `row` and `column` ((G,) long, the sample of each question, and the place in `input_ids` whose hidden
                state asks), `meant` (G tensors of (P + 1,) bool, the last for "none of them"), `frame_mask` (B, F),
                and as the configuration's `ground_geometry_inputs` has it `intrinsics`, `world_from_camera`,
                `image_size` and `depth_metres`.
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
            vlm_kwargs |= packed_inputs(
                self.vlm, input_ids, set_index, block_index, vlm_kwargs, as_block_mask=self.packs_with_block_mask
            )
        geometry = {
            "depth_metres": depth_metres,
            "intrinsics": intrinsics,
            "world_from_camera": world_from_camera,
            "frame_mask": frame_mask,
            "neighbour_index": neighbour_index,
            "teacher_descriptors": teacher_descriptors,
        }
        if self.config.photometric_weight > 0:
            geometry["frame_colours"] = frame_colours
        has_geometry = any(value is not None for value in geometry.values())
        if grounding is not None and (self.ground_head is None or labels is None):
            missing = "labels" if self.ground_head is not None else "a ground head: call add_ground_head first"
            raise ValueError(f"grounding was given without {missing}.")
        supervises = has_geometry and (self.objective is not None or not self.reads_positions)
        if labels is None and not supervises:
            if self.reads_positions and _has_pixels(vlm_kwargs):
                mm_encoder_outputs = self.encode_vision(**vlm_kwargs, **{name: geometry[name] for name in GEOMETRY})
                vlm_kwargs = {name: value for name, value in vlm_kwargs.items() if name not in PIXELS.values()}
            return self.vlm(mm_encoder_outputs=mm_encoder_outputs, **vlm_kwargs)
        if has_geometry:
            if self.objective is None and not self.reads_positions:
                raise ValueError(
                    "geometry was given but the model has no training heads: call add_training_heads(objective) first."
                )
            several = self.config.objective == "release"
            check_geometry(geometry, self.config.teacher_channels, several_neighbours=several)

        # The encoder runs once: the heads read its layers, and the language model goes on from its outputs.
        output = IGEPOutput()
        runs_heads = bool(self.training_heads) and supervises
        encoded = slots = None
        grounds = grounding is not None and len(grounding["sample"]) > 0
        if runs_heads or grounds or (self.reads_positions and _has_pixels(vlm_kwargs)):
            if mm_encoder_outputs is not None:
                raise ValueError("mm_encoder_outputs cannot be given with geometry: give the pixels instead.")
            if self.reads_positions:
                check_position_geometry(geometry)
            encoded = self._encode(vlm_kwargs)
            slots = encoded.grids.frame_slots(grounding["frame_mask"] if frame_mask is None else frame_mask)  # (R,)
            mm_encoder_outputs = {encoded.modality: self._with_positions(encoded, slots, geometry)}
            vlm_kwargs.pop(PIXELS[encoded.modality])

        # The language model runs for its own loss, or where the student is what it makes of the visual tokens.
        reads_language = runs_heads and self.teacher_projector is not None and self.config.supervise == "llm"
        hidden = None  # (B, T, C)
        if labels is not None or reads_language:
            decoded = self.vlm.base_model(
                mm_encoder_outputs=mm_encoder_outputs, **(vlm_kwargs | {"use_cache": False, "return_dict": True})
            )
            hidden = decoded.last_hidden_state

        losses = {}
        if labels is not None:
            losses["loss_ce"] = self._cross_entropy(hidden, labels, num_items_in_batch, output)
        if grounding is not None:
            losses["loss_ground"] = self._ground_term(
                hidden, input_ids, grounding, encoded if grounds else None, slots, output
            )
        if runs_heads:
            student_maps = self._language_maps(hidden, input_ids, encoded) if reads_language else encoded.maps[-1]
            losses |= self._geometry_terms(geometry, encoded, slots, student_maps, output)
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
        encoded = self._encode(inputs)
        grids, maps = encoded.grids, encoded.maps
        patch = grids.temporal_patch_size
        slots = torch.arange(sum(grids.frames_per_unit) * patch, device=maps[0].device)
        if frame_mask is not None:
            slots = grids.frame_slots(frame_mask)
        elif not grids.is_video:
            slots = slots[::patch]
        return tuple(tap[slots // patch] for tap in maps)

    @torch.no_grad()
    def encode_vision(
        self,
        depth_metres: Tensor | None = None,
        intrinsics: Tensor | None = None,
        world_from_camera: Tensor | None = None,
        frame_mask: Tensor | None = None,
        **inputs,
    ) -> dict[str, ModelOutput]:
        """Runs the vision encoder alone, so that many questions about the same frames pay for it once.

        `generate` and `forward` take the result as `mm_encoder_outputs`, in place of the pixels:

            encoded = model.encode_vision(**inputs)
            del inputs["pixel_values_videos"]
            model.generate(**inputs, mm_encoder_outputs=encoded)

        Args:
            depth_metres (`Tensor`, *optional*): As in `forward`. With `position_encoding` it is needed, else not used,
                and so are the other three.
            intrinsics (`Tensor`, *optional*): As in `forward`.
            world_from_camera (`Tensor`, *optional*): As in `forward`.
            frame_mask (`Tensor`, *optional*): As in `forward`.
            **inputs: The processor's tensors; text is not used.

        Returns:
            `dict[str, ModelOutput]`: Per modality (`"image"` or `"video"`) what the base's encoder returns, with 3D
            positions where the model reads them.

        Raises:
            ValueError: If there are no pixels, or no geometry to a model that reads positions.
        """
        if self.reads_positions and _has_pixels(inputs):
            geometry = dict(zip(GEOMETRY, (depth_metres, intrinsics, world_from_camera, frame_mask), strict=True))
            check_position_geometry(geometry)
            check_geometry({**dict.fromkeys(("neighbour_index", "teacher_descriptors")), **geometry}, None)
            encoding = self._encode(inputs)
            slots = encoding.grids.frame_slots(frame_mask)
            return {encoding.modality: self._with_positions(encoding, slots, geometry)}
        encoded = {
            modality: encode_pixels(self.vlm, modality, inputs)
            for modality, pixels in PIXELS.items()
            if inputs.get(pixels) is not None
        }
        if not encoded:
            raise ValueError(
                f"inputs hold neither pixel_values nor pixel_values_videos but {sorted(inputs)}: give what the "
                "processor returned for the frames."
            )
        return encoded

    @torch.no_grad()
    def ground(
        self,
        inputs: dict,
        questions: list[list[int]],
        boxes: Tensor | list,
        *,
        intrinsics: Tensor | None = None,
        world_from_camera: Tensor | None = None,
        image_size: tuple[int, int] | None = None,
        depth_metres: Tensor | None = None,
        geometry_inputs: str | None = None,
        share_prefix: bool = True,
    ) -> list[Grounded]:
        """Says which proposals of a scene descriptions mean; `IGEPProcessor.ground_inputs` prepares both.

        Args:
            inputs (`dict`): The processor's tensors for frames and the text that questions share, a batch of one.
            questions (`list[list[int]]`): Token ids of each question, up to the end of `<ground>`.
            boxes (`Tensor` or `list`): (P, 6) proposals: centre and full sizes in metres, in the world of
                `world_from_camera`, along its axes; P may be 0.
            intrinsics (`Tensor`, *optional*): (F, 3, 3) in pixels of an image of `image_size`.
            world_from_camera (`Tensor`, *optional*): (F, 4, 4). A frame that is not finite shows nothing.
            image_size (`tuple[int, int]`, *optional*): Height and width; those of `depth_metres` unless given.
            depth_metres (`Tensor`, *optional*): (F, H, W) z-depth, 0 = invalid.
            geometry_inputs (`str`, *optional*): `"pose"` for a model of `"depth+pose"`, or the reverse; the model's
                own setting unless given. What it does not name must not be given.
            share_prefix (`bool`, *optional*, defaults to `True`): Ask all questions in one pass over the frames, for
                which the attention must be `sdpa`, `eager` or, with `packs_with_block_mask`, flex: the same values.

        Returns:
            `list[Grounded]`: One for each question.

        Raises:
            ValueError: There is no ground head, the geometry is not that of the setting, or a box is none.
        """
        head = self.ground_head
        if head is None:
            raise ValueError(
                "this model has no ground head: it was not trained to point at boxes (ground_weight), or it was "
                "exported as a plain VLM."
            )
        given = {"intrinsics": intrinsics, "world_from_camera": world_from_camera, "depth_metres": depth_metres}
        geometry = head.geometry_of(geometry_inputs, given, image_size, self.device)
        proposals = checked_boxes(boxes, self.device)
        encoded = self._encode(inputs)
        slots, positions = None, {}
        if geometry is not None:
            frame_mask = torch.ones(1, len(geometry.intrinsics), dtype=torch.bool, device=self.device)
            slots = encoded.grids.frame_slots(frame_mask)
            given = {name: vars(geometry)[name] for name in ("depth_metres", "intrinsics", "world_from_camera")}
            positions = {name: value[None] for name, value in given.items() if value is not None}
            positions["frame_mask"] = frame_mask
        if self.reads_positions:
            check_position_geometry(positions)
        inputs = {name: value for name, value in inputs.items() if name != PIXELS[encoded.modality]}
        inputs["mm_encoder_outputs"] = {encoded.modality: self._with_positions(encoded, slots, positions)}
        together = [questions] if share_prefix or not questions else [[question] for question in questions]
        asked = [self._ground_queries(inputs, part) for part in together]
        queries, hidden = torch.cat([part for part, _ in asked]), asked[0][1]
        maps = self._object_maps(hidden, inputs["input_ids"], encoded)
        if slots is not None:
            maps = maps[slots // encoded.grids.temporal_patch_size]
        objects, _ = head.embed_objects(maps, proposals, proposals.new_zeros(3), geometry)
        similarities = head.similarities(queries, objects)
        return grounded(similarities, self.config.ground_temperature, self.config.ground_cumulative_mass)

    def generate(self, *args, **kwargs) -> Tensor | ModelOutput:
        """Generates with the base VLM; takes and returns exactly what its `generate` does.

        With `position_encoding` it also takes, and needs, `depth_metres`, `intrinsics`, `world_from_camera` and
        `frame_mask` of `forward` besides pixels.
        """
        self.vlm.generation_config = self.generation_config
        if self.reads_positions and _has_pixels(kwargs):
            kwargs["mm_encoder_outputs"] = self.encode_vision(**kwargs)
            kwargs = {name: value for name, value in kwargs.items() if name not in (*GEOMETRY, *PIXELS.values())}
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
            `"vision"`, `"projector"`, `"language"`, `"heads"` or `"ground_head"`.
        """
        if ".ground_head." in f".{name}.":
            return "ground_head"
        if any(f".{head}." in f".{name}." for head in HEAD_NAMES):
            return "heads"
        return part_of_parameter(self.vlm, name)

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

    def _encode(self, inputs: dict) -> EncodedFrames:
        given = {name: value for name, value in inputs.items() if value is not None}
        found = [modality for modality, pixels in PIXELS.items() if pixels in given]
        if len(found) != 1:
            raise ValueError(
                "the frames must come as either pixel_values or pixel_values_videos, found "
                f"{[PIXELS[modality] for modality in found] or 'neither'}: a batch is all images or all videos."
            )
        modality = found[0]
        outputs = encode_pixels(self.vlm, modality, given, output_hidden_states=True)
        hidden_states = outputs.hidden_states
        last = read_layer(self.config.vlm_config, len(hidden_states) - 1)
        taps = self.config.verifier_taps
        layers = self.config.verifier_layers or [max(1, round(last * (tap + 1) / taps)) for tap in range(taps)]
        chosen = [hidden_states[layer] for layer in layers]
        grids = read_frame_grids(self.config.vlm_config, chosen[-1], given, modality == "video")
        return EncodedFrames(modality, outputs, grids, tuple(grids.encoder_maps(tap) for tap in chosen))

    def _with_positions(
        self, encoded: EncodedFrames, slots: Tensor, geometry: dict[str, Tensor | None]
    ) -> ModelOutput:
        """What the language model goes on from: the encoder's outputs, with positions where the model reads them."""
        if not self.reads_positions:
            return encoded.outputs
        tokens = encoded.outputs.pooler_output
        moved = add_positions(
            list(tokens),
            encoded.grids,
            slots,
            {name: geometry[name] for name in GEOMETRY},
            voxel_metres=self.config.position_voxel_metres,
            range_metres=self.config.position_range_metres,
        )
        fields = dict(encoded.outputs) | {
            "pooler_output": torch.stack(moved) if isinstance(tokens, Tensor) else tuple(moved)
        }
        return type(encoded.outputs)(**fields)

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

    def _language_maps(self, hidden: Tensor, input_ids: Tensor, encoded: EncodedFrames) -> Tensor:
        config = self.config.vlm_config
        token_id = config.video_token_id if encoded.modality == "video" else config.image_token_id
        tokens_per_unit = [len(tokens) for tokens in encoded.outputs.pooler_output]
        return encoded.grids.language_maps(hidden[input_ids == token_id], tokens_per_unit)

    def _object_maps(self, hidden: Tensor, input_ids: Tensor, encoded: EncodedFrames) -> Tensor:
        """(N, h, w, C) tokens that describe proposals, without 3D positions as Video-3D LLM has them."""
        units = list(encoded.outputs.pooler_output)
        maps = encoded.grids.language_maps(torch.cat(units), [len(tokens) for tokens in units])
        if self.config.ground_object_features == "vision":
            return maps
        return (maps + self._language_maps(hidden, input_ids, encoded)) / 2

    def _ground_queries(self, inputs: dict, questions: list[list[int]]) -> tuple[Tensor, Tensor]:
        """(K, C) hidden states at the end of questions about a batch of one, and (1, P, C) of their prefix."""
        input_ids, blocks, rest = join_prefix(inputs, questions)
        rest["attention_mask"] = torch.ones_like(input_ids)
        if len(questions) > 1:
            sets = torch.zeros_like(input_ids)
            rest |= packed_inputs(
                self.vlm, input_ids, sets, blocks[None], rest, as_block_mask=self.packs_with_block_mask
            )
        decoded = self.vlm.base_model(input_ids=input_ids, **rest, use_cache=False, return_dict=True)
        lengths = torch.tensor([len(ids) for ids in questions], device=input_ids.device)
        prefix = inputs["input_ids"].shape[1]
        return decoded.last_hidden_state[0, lengths.cumsum(0) - 1 + prefix], decoded.last_hidden_state[:, :prefix]

    def _ground_term(
        self,
        hidden: Tensor,
        input_ids: Tensor,
        grounding: dict,
        encoded: EncodedFrames | None,
        slots: Tensor | None,
        output: IGEPOutput,
    ) -> Tensor:
        """The grounding term. Every weight of the head is in its graph, so that all processes have the same one."""
        # A sum of nothing where no box is asked about, and where the scenes have none.
        everything = sum(parameter.sum() for parameter in self.ground_head.parameters()) * 0.0
        if encoded is None:
            return everything
        frames = self._object_maps(hidden, input_ids, encoded)[slots // encoded.grids.temporal_patch_size]
        maps = frames.split(grounding["frame_mask"].sum(1).tolist())
        queries = hidden[grounding["row"], grounding["column"]]  # (G, C)
        loss, output.ground_accuracy, output.ground_seen = self.ground_head.loss(
            maps, queries, grounding, self.config.ground_temperature
        )
        return loss / len(maps) + everything

    def _geometry_terms(
        self,
        geometry: dict[str, Tensor | None],
        encoded: EncodedFrames,
        slots: Tensor,
        student_maps: Tensor,
        output: IGEPOutput,
    ) -> dict[str, Tensor]:
        frame_mask = geometry["frame_mask"]
        student = None
        if self.depth_verifier is not None:
            depth_metres = geometry["depth_metres"]
            size = self.config.geometry_size if depth_metres is None else depth_metres.shape[-2:]
            predicted, confidence = self.depth_verifier(encoded.maps, tuple(size))
            output.predicted_depth_metres = scatter_frames(predicted[slots], frame_mask)
            output.confidence = scatter_frames(confidence[slots], frame_mask)
        if self.teacher_projector is not None:
            descriptors = self.teacher_projector(student_maps)
            student = scatter_frames(descriptors[slots // encoded.grids.temporal_patch_size], frame_mask)
        further = {}
        if self.config.photometric_weight > 0:
            further["photometric_weight"] = self.config.photometric_weight
        if self.pose_embedding is not None:
            patch = encoded.grids.temporal_patch_size
            further = neighbour_depths(self.depth_verifier, self.pose_embedding, encoded.maps, slots, patch, geometry)
        terms = self.objective(
            **further,
            predicted_depth_metres=output.predicted_depth_metres,
            confidence=output.confidence,
            student=student,
            **geometry,
            geometry_weight=self.config.geometry_weight,
            cross_view_weight=self.config.cross_view_weight,
            global_weight=self.config.global_weight if student is not None else 0.0,
            uncertainty_alpha=self.config.uncertainty_alpha,
            pooled_alignment=self.config.pooled_alignment,
            alignment_distance=self.config.alignment_distance,
        )
        losses = {name: value for name, value in terms.items() if name.startswith("loss_")}
        for name, value in terms.items():
            if name not in losses:
                output[name] = value
        return losses

    def _total(self, losses: dict[str, Tensor], output: IGEPOutput) -> IGEPOutput:
        weights = {
            "loss_ce": 1.0,
            "loss_geometry": self.config.geometry_weight,
            "loss_cross_view": self.config.cross_view_weight,
            "loss_photometric": self.config.photometric_weight,
            "loss_global": self.config.global_weight,
            "loss_ground": self.config.ground_weight,
        }
        for name, value in losses.items():
            output[name] = value
        if losses:
            output.loss = sum(weights[name] * value for name, value in losses.items())
        return output


def _has_pixels(inputs: dict) -> bool:
    return any(inputs.get(name) is not None for name in PIXELS.values())


IGEPForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")
