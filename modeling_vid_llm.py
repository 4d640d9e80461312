"""Vid-LLM: reconstruction and reasoning in one model (ICLR 2026), from RGB frames alone.

One encoder; the Cross-Task Adapter makes a geometry and a language stream of its tokens; the reconstruction branch
turns the first into cameras and depth in metres; the language stream gets the 3D places of its patches and goes,
pooled, to a language model. Gradients go one way: what the language model reads of the reconstruction is detached.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import ModelOutput

from .base_vlm import LOGIT_TRANSFORMS
from .box_queries import (
    FIRST_CAMERA,
    BoxDecoder,
    BoxPredictions,
    RegressedBoxes,
    regressed_boxes,
    world_from_box_axes,
)
from .configuration_vid_llm import VidLLMConfig, heads_of
from .ground_head import Grounded, GroundHead, checked_boxes, grounded
from .predicted_geometry import finite_pose, predicted_geometry
from .processing_igep import IGEPProcessor
from .processing_vid_llm import COLOUR_MEAN, COLOUR_STD, IMAGE_TOKEN, VIDEO_TOKEN, assemble_processor
from .question_packing import join_prefix, packed_inputs
from .reconstruction import Reconstruction
from .spatial_prompts import GROUND_TOKEN
from .vid_llm_model import EncodedFrames, VidLLMModel, VidLLMPreTrainedModel
from .vision_encoder import plain_encoder


IGNORED_LABEL = -100
AUTO_MAP = {
    "AutoConfig": "configuration_vid_llm.VidLLMConfig",
    "AutoModel": "modeling_vid_llm.VidLLMForConditionalGeneration",
    "AutoModelForImageTextToText": "modeling_vid_llm.VidLLMForConditionalGeneration",
    "AutoProcessor": "processing_igep.IGEPProcessor",
}
PARTS = {  # of the names of parameters, the more special first
    ".metric_depth.": "metric_depth",
    ".ground_head.": "ground_head",
    ".box_decoder.": "box_decoder",
    ".reconstruction.": "reconstruction",
    ".vision.": "vision",
    ".adapter.": "adapter",
    ".language_input.": "language_projection",
    ".causal_lm.": "language",
}


@dataclass
class VidLLMOutput(ModelOutput):
    """What a forward returns; what was not asked for is `None`.

    Args:
        loss (`Tensor`, *optional*): Cross-entropy of the supervised tokens. Other terms are the trainer's.
        logits (`Tensor`, *optional*): (B, L, V); with labels (N, V) at the N supervised positions only.
        supervised_labels (`Tensor`, *optional*): (N,) labels of those positions.
        cache (`Cache`, *optional*): The language model's keys and values; `past_key_values` before transformers 5.24.
        last_hidden_state (`Tensor`, *optional*): (B, L, C) of the language model.
        reconstruction (`Reconstruction`, *optional*): With `output_reconstruction`.
        geometry_tokens (`Tensor`, *optional*): (B, F, h, w, C) `T'_geom`, with `output_streams`.
        language_tokens (`Tensor`, *optional*): (B, F, h, w, C) `T'_lang`, with `output_streams`.
        loss_ground (`Tensor`, *optional*): Loss of the ground head, with `grounding`: the sum over questions, over the
            number of samples. Not part of `loss`.
        ground_accuracy (`Tensor`, *optional*): Share of grounding questions whose best fit, "none of them" included,
            is meant.
        ground_seen (`Tensor`, *optional*): Share of the proposals that a frame shows, by the reconstruction.
        box_predictions (`list[BoxPredictions | None]`, *optional*): Of each sample with grounding questions, in their
            order, from the first camera along `box_axes` of the configuration.
        box_zero (`Tensor`, *optional*): 0 that depends on every weight of the box decoder, for the losses of a batch
            without such questions: distributed training waits for the gradient of every weight.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    supervised_labels: Tensor | None = None
    cache: Any = None
    last_hidden_state: Tensor | None = None
    reconstruction: Reconstruction | None = None
    geometry_tokens: Tensor | None = None
    language_tokens: Tensor | None = None
    loss_ground: Tensor | None = None
    ground_accuracy: Tensor | None = None
    ground_seen: Tensor | None = None
    box_predictions: list[BoxPredictions | None] | None = None
    box_zero: Tensor | None = None


@dataclass
class VidLLMGeneration(ModelOutput):
    """Generated tokens and what the model saw.

    Args:
        sequences (`Tensor`): (B, L) tokens.
        reconstruction (`Reconstruction`): Without gradients.
    """

    sequences: Tensor | None = None
    reconstruction: Reconstruction | None = None


class VidLLMForConditionalGeneration(VidLLMPreTrainedModel, GenerationMixin):
    """Answers questions about a video and reconstructs it.

    Args:
        config (`VidLLMConfig`): Configuration.
        vision (`PreTrainedModel`, *optional*): Encoder; built from the configuration unless given.
        language (`PreTrainedModel`, *optional*): Causal language model; likewise.
    """

    def __init__(
        self, config: VidLLMConfig, vision: PreTrainedModel | None = None, language: PreTrainedModel | None = None
    ):
        super().__init__(config)
        self.model = VidLLMModel(config, vision, language)
        channels = config.get_text_config().hidden_size
        self.ground_head, self.box_decoder = None, None
        if config.ground_head:
            # Its geometry is that of the frames, though it comes from the reconstruction.
            width = config.ground_width or channels
            self.ground_head = GroundHead(channels, width, "depth+pose", config.ground_min_coverage)
        if config.box_decoder:
            width = config.stream_channels
            heads = heads_of(None, width)
            self.box_decoder = BoxDecoder(channels, width, config.box_queries, config.box_layers, heads)
        for field in LOGIT_TRANSFORMS:
            value = config.get_text_config().to_dict().get(field)
            if value is not None:
                raise ValueError(
                    f"{type(self.model.causal_lm).__name__} changes its logits ({field}={value}), which the loss at "
                    "supervised positions does not do: use another language model."
                )
        self.post_init()

    @classmethod
    def from_parts(
        cls,
        vision: PreTrainedModel | str | Path,
        language: PreTrainedModel | str | Path,
        *,
        dtype: torch.dtype | str | None = None,
        **config_fields,
    ) -> "VidLLMForConditionalGeneration":
        """Joins an encoder and a language model; all between them is new.

        Args:
            vision (`PreTrainedModel`, `str` or `Path`): Encoder of patches (DINOv2 with or without registers, as a
                model or a backbone), or its id on the Hub or its folder.
            language (`PreTrainedModel`, `str` or `Path`): Causal language model, or its id or folder.
            dtype (`torch.dtype` or `str`, *optional*): Type to load the parts in; only with ids or folders.
            **config_fields: Fields of `VidLLMConfig` other than the two configurations.

        Returns:
            The model in train mode. New modules are float32.

        Raises:
            TypeError: A part is none of these types, or a field is not one of `VidLLMConfig`.
            ValueError: A part cannot be used, with the reason.
        """
        parts = ("vision_config", "text_config")
        unknown = sorted(set(config_fields) - set(VidLLMConfig.__annotations__) | set(config_fields) & set(parts))
        if unknown:
            raise TypeError(
                f"from_parts: {', '.join(unknown)} cannot be given; the fields are "
                f"{', '.join(name for name in VidLLMConfig.__annotations__ if name not in parts)}."
            )
        vision = plain_encoder(_part("vision", vision, AutoModel, dtype))
        language = _part("language", language, AutoModelForCausalLM, dtype)
        if language.get_output_embeddings() is None:
            raise ValueError(f"{type(language).__name__} has no language head: give an AutoModelForCausalLM.")
        for part in (vision, language):
            part.config.dtype = part.dtype  # a part that was built, and not loaded, does not say
        config = VidLLMConfig(vision_config=vision.config, text_config=language.config, **config_fields)
        model = cls(config, vision=vision, language=language)
        model.generation_config = language.generation_config
        return model.train()

    def build_processor(
        self,
        tokenizer: PreTrainedTokenizerBase | str | Path,
        *,
        frame_size: int | tuple[int, int] = 518,
        image_mean: tuple[float, float, float] = COLOUR_MEAN,
        image_std: tuple[float, float, float] = COLOUR_STD,
    ) -> IGEPProcessor:
        """Assembles the model's processor, and makes the model know its tokens.

        The embeddings of the language model grow where its vocabulary lacks the tokens that hold the places of visual
        ones.

        Args:
            tokenizer (`PreTrainedTokenizerBase`, `str` or `Path`): Tokenizer of the language model, or its id or
                folder.
            frame_size (`int` or `tuple[int, int]`, *optional*, defaults to `518`): Shorter side of the frames that the
                encoder sees, or their height and width.
            image_mean (`tuple`, *optional*): Mean of the colours in [0, 1] that the encoder expects; ImageNet's by
                default.
            image_std (`tuple`, *optional*): Their standard deviation; likewise.

        Returns:
            `IGEPProcessor`: To be saved beside the model.
        """
        processor = assemble_processor(
            tokenizer,
            self.config.get_text_config(),
            patch_size=self.config.patch_size,
            pooling_ratio=self.config.pooling_ratio,
            frame_size=frame_size,
            image_mean=image_mean,
            image_std=image_std,
        )
        known = processor.tokenizer
        if len(known) > self.get_input_embeddings().num_embeddings:
            self.model.causal_lm.resize_token_embeddings(len(known))
        self.config.image_token_id = known.convert_tokens_to_ids(IMAGE_TOKEN)
        self.config.video_token_id = known.convert_tokens_to_ids(VIDEO_TOKEN)
        self.config.location_token_ids = known(GROUND_TOKEN, add_special_tokens=False).input_ids
        return processor

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        frame_mask: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        pixel_values: Tensor | None = None,
        mm_encoder_outputs: dict | None = None,
        set_index: Tensor | None = None,
        block_index: Tensor | None = None,
        grounding: dict | None = None,
        output_reconstruction: bool = False,
        output_streams: bool = False,
        logits_to_keep: int = 0,
        return_dict: bool | None = None,
        **language_kwargs,
    ) -> VidLLMOutput:
        """Runs the model.

        Args:
            input_ids (`Tensor`, *optional*): (B, L) tokens. Without, the language model does not run.
            attention_mask (`Tensor`, *optional*): (B, L).
            pixel_values_videos (`Tensor`, *optional*): (B, F, 3, H, W), as the processor makes them. A size that is no
                multiple of the patch is squeezed to one; what is reconstructed has the size that was given.
            frame_mask (`Tensor`, *optional*): (B, F) bool, the real frames; all unless given. The first is always one.
            labels (`Tensor`, *optional*): (B, L), -100 where nothing is supervised. Not shifted.
            num_items_in_batch (`Tensor` or `int`, *optional*): Supervised tokens of the whole step, by which the
                cross-entropy is divided; those of this batch unless given.
            pixel_values (`Tensor`, *optional*): (N, 1, 3, H, W) images, those of a row in its order: the frames of its
                video.
            mm_encoder_outputs (`dict`, *optional*): Of `encode_vision`, in place of pixels.
            set_index (`Tensor`, *optional*): (R, L) packs questions, see `question_packing`.
            block_index (`Tensor`, *optional*): (R, L) likewise.
            grounding (`dict`, *optional*): G questions that boxes answer: `boxes` (B tensors of (P, 6), in the world
                of the poses), `origin` ((B, 3), where that world's origin lies in the scene's), `sample`, `row` and
                `column` ((G,) long, the sample of each question, and the place in `input_ids` whose hidden state
                asks), `meant` (G tensors of (P + 1,) bool, the last for "none of them") and `world_from_camera`
                (B, F, 4, 4), of which the first frame's is read.
            output_reconstruction (`bool`, *optional*, defaults to `False`): Return the reconstruction.
            output_streams (`bool`, *optional*, defaults to `False`): Return the adapter's streams. Without text and
                `output_reconstruction` nothing else runs.
            logits_to_keep (`int`, *optional*, defaults to `0`): Logits of so many last positions; 0 = of all.
            return_dict (`bool`, *optional*): Without effect.
            **language_kwargs: Everything else that the language model takes: cache, positions. Entries of a batch that
                no model reads (geometry, names) are the trainer's to leave out.

        Returns:
            `VidLLMOutput`

        Raises:
            ValueError: Inputs that do not fit each other, with the remedy.
        """
        output = VidLLMOutput()
        reads_text = input_ids is not None
        if not reads_text and not output_reconstruction:
            if not output_streams or pixel_values_videos is None:
                raise ValueError(
                    "nothing to do: give input_ids, or frames and output_reconstruction or output_streams."
                )
            output.geometry_tokens, output.language_tokens = self.encode_streams(pixel_values_videos, frame_mask)
            return output
        encoded = self.model.encoded(
            input_ids,
            pixel_values=pixel_values,
            pixel_values_videos=pixel_values_videos,
            frame_mask=frame_mask,
            mm_encoder_outputs=mm_encoder_outputs,
        )
        if encoded is None and (output_reconstruction or output_streams):
            raise ValueError("output_reconstruction and output_streams need frames: give pixel_values_videos.")
        if output_reconstruction:
            output.reconstruction = encoded.reconstruction
        if output_streams:
            output.geometry_tokens, output.language_tokens = encoded.geometry_tokens, encoded.language_tokens
        if not reads_text:
            return output
        if (set_index is None) != (block_index is None):
            raise ValueError("set_index and block_index pack questions together: give both or neither.")
        if set_index is not None:
            packed = packed_inputs(self, input_ids, set_index, block_index, language_kwargs)
            attention_mask = packed.pop("attention_mask")
            language_kwargs |= packed
        if labels is not None:
            language_kwargs["use_cache"] = False
        decoded = self.model.read(self.model.embed(input_ids, encoded), attention_mask, **language_kwargs)
        hidden = output.last_hidden_state = decoded.last_hidden_state
        output.cache = dict(decoded).get("cache", dict(decoded).get("past_key_values"))
        if labels is None:
            output.logits = self.get_output_embeddings()(hidden[:, -logits_to_keep:])
        else:
            self._cross_entropy(hidden, labels, num_items_in_batch, output)
        if grounding is not None:
            self._ground(hidden, grounding, encoded, output)
        return output

    def encode_streams(self, pixel_values_videos: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns what stage 1 distils: the adapter's geometry and language stream, (B, F, h, w, C) each."""
        geometry, language, _, _ = self.model.encode_streams(pixel_values_videos, frame_mask)
        return geometry, language

    @torch.no_grad()
    def reconstruct(self, pixel_values_videos: Tensor, frame_mask: Tensor | None = None) -> Reconstruction:
        """Reconstructs videos; the language model does not run.

        Args:
            pixel_values_videos (`Tensor`): (B, F, 3, H, W).
            frame_mask (`Tensor`, *optional*): (B, F) bool, the real frames; all unless given.

        Returns:
            `Reconstruction`: Without gradients.
        """
        geometry, _, tapped, frame_mask = self.model.encode_streams(pixel_values_videos, frame_mask)
        return self.model.reconstruction(geometry, tapped, frame_mask, tuple(pixel_values_videos.shape[-2:]))

    @torch.no_grad()
    def encode_vision(self, frame_mask: Tensor | None = None, **inputs) -> dict[str, EncodedFrames]:
        """Runs all that comes before the language model, so that many questions about the same frames pay for it once.

        Args:
            frame_mask (`Tensor`, *optional*): (B, F) bool, the real frames; all unless given.
            **inputs: The processor's tensors; text only tells what images belong together.

        Returns:
            `dict[str, EncodedFrames]`: Under `"video"` or `"image"`, as `forward` and `generate` take it as
            `mm_encoder_outputs`.

        Raises:
            ValueError: There are no frames.
        """
        given = {name: inputs[name] for name in ("pixel_values", "pixel_values_videos") if name in inputs}
        encoded = self.model.encoded(inputs.get("input_ids"), frame_mask=frame_mask, **given)
        if encoded is None:
            raise ValueError(f"inputs hold no frames but {sorted(inputs)}: give what the processor returned for them.")
        return {"image" if "pixel_values" in given else "video": encoded}

    @torch.no_grad()
    def ground(
        self,
        inputs: dict,
        questions: list[list[int]],
        boxes: Tensor | list,
        *,
        world_from_camera: Tensor,
        geometry_inputs: str = "predicted",
        image_size: tuple[int, int] | None = None,
        share_prefix: bool = True,
    ) -> list[Grounded]:
        """Says which proposals descriptions mean; `IGEPProcessor.ground_inputs` prepares frames and descriptions.

        Which visual tokens are inside a proposal is told by the model's own reconstruction.

        Args:
            inputs (`dict`): The processor's tensors for the frames and the text that the questions share, a batch of
                one.
            questions (`list[list[int]]`): Token ids of each question, up to the end of `<ground>`.
            boxes (`Tensor` or `list`): (P, 6) proposals: centre and full sizes in metres, along the axes of their
                world.
            world_from_camera (`Tensor`): (F, 4, 4) or (1, 4, 4); the first frame's pose in the world of the proposals
                is read, and no other.
            geometry_inputs (`str`, *optional*, defaults to `"predicted"`): The one choice.
            image_size (`tuple[int, int]`, *optional*): Without effect: cameras are the model's own.
            share_prefix (`bool`, *optional*, defaults to `True`): Ask all questions in one pass over the frames.

        Returns:
            `list[Grounded]`: One for each question.

        Raises:
            ValueError: There is no ground head, a box is none, the pose is not finite, another geometry is asked for,
                or a question does not end with `<ground>`.
        """
        if self.ground_head is None:
            other = "; for boxes that it regresses call ground_boxes" if self.config.box_decoder else ""
            raise ValueError(
                f"this model has no ground head: it was not trained to point at boxes (ground_head){other}."
            )
        if geometry_inputs != self.config.ground_geometry_inputs:
            raise ValueError(
                f"geometry_inputs={geometry_inputs!r}: this model grounds by its own reconstruction (predicted)."
            )
        proposals = checked_boxes(boxes, self.device)
        (encoded,) = self.encode_vision(**inputs).values()
        first = torch.as_tensor(world_from_camera, dtype=torch.float32, device=self.device)[0]
        geometry = predicted_geometry(encoded.reconstruction, 0, encoded.tokens.shape[1], first)
        objects, _ = self.ground_head.embed_objects(encoded.tokens[0], proposals, proposals.new_zeros(3), geometry)
        queries = self._ground_queries(inputs, encoded, questions, share_prefix)
        similarities = self.ground_head.similarities(queries, objects)
        return grounded(similarities, self.config.ground_temperature, self.config.ground_cumulative_mass)

    @torch.no_grad()
    def ground_boxes(
        self,
        inputs: dict,
        questions: list[list[int]],
        *,
        world_from_camera: Tensor | None = None,
        share_prefix: bool = True,
    ) -> list[RegressedBoxes]:
        """Boxes of its own for what descriptions mean; `IGEPProcessor.ground_inputs` prepares frames and descriptions.

        The boxes are regressed from 3D patches, whose places are the model's own reconstruction.

        Args:
            inputs (`dict`): The processor's tensors for the frames and the text that the questions share, a batch of
                one.
            questions (`list[list[int]]`): Token ids of each question, up to the end of `<ground>`.
            world_from_camera (`Tensor`, *optional*): (F, 4, 4) or (1, 4, 4), the first frame's pose in the scene, in
                which the boxes then are; no other pose is read. Without, they are in the world of the first camera.
            share_prefix (`bool`, *optional*, defaults to `True`): Ask all questions in one pass over the frames.

        Returns:
            `list[RegressedBoxes]`: One for each question, with a box of every query, best first.

        Raises:
            ValueError: There is no box decoder, the pose is not finite, or missing where the model's boxes lie along
                the scene's axes (`box_axes`), or a question does not end with `<ground>`.
        """
        if self.box_decoder is None:
            other = "; for proposals call ground" if self.config.ground_head else ""
            raise ValueError(
                "this model has no box decoder: train with box_weight and match_weight above 0 and box_decoder: true "
                f"in vid_llm_config{other}."
            )
        axes = self.config.box_axes
        if world_from_camera is None and axes != FIRST_CAMERA:
            raise ValueError(
                "world_from_camera is missing: the boxes of this model lie along the axes of the scene "
                f"(box_axes={axes!r}), of which RGB shows nothing. Give the pose of the first frame, or train with "
                "box_axes: first_camera."
            )
        first = None
        if world_from_camera is not None:
            first = finite_pose(torch.as_tensor(world_from_camera, dtype=torch.float64, device="cpu")[0])
        (encoded,) = self.encode_vision(**inputs).values()
        queries = self._ground_queries(inputs, encoded, questions, share_prefix)
        pose = torch.eye(4) if first is None else first
        found = self._box_predictions(encoded, 0, encoded.tokens.shape[1], pose, queries)
        return regressed_boxes(found, self.config.ground_temperature, first, axes)

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, **kwargs) -> Tensor | ModelOutput:
        """Generates with the language model; frames are looked at once.

        Args:
            inputs (`Tensor`, *optional*): (B, L) tokens; `input_ids` is the same.
            **kwargs: The processor's tensors, `frame_mask`, `mm_encoder_outputs`, `output_reconstruction`, and
                everything that the language model's `generate` takes.

        Returns:
            What the language model's `generate` returns, the prompt included; with `output_reconstruction` a
            `VidLLMGeneration`.
        """
        language = self.model.causal_lm
        language.generation_config = self.generation_config
        input_ids = kwargs.pop("input_ids", inputs)
        names = ("pixel_values", "pixel_values_videos", "frame_mask", "mm_encoder_outputs")
        frames = {name: kwargs.pop(name, None) for name in names}
        asked = kwargs.pop("output_reconstruction", False)
        encoded = self.model.encoded(input_ids, **frames)
        if asked and encoded is None:
            raise ValueError("output_reconstruction needs frames: give pixel_values_videos.")
        if encoded is not None:
            kwargs["inputs_embeds"] = self.model.embed(input_ids, encoded)
        sequences = language.generate(input_ids=input_ids, **kwargs)
        return VidLLMGeneration(sequences, encoded.reconstruction) if asked else sequences

    def get_input_embeddings(self) -> nn.Module:
        """The language model's own."""
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """The language model's own."""
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The language model's own."""
        return self.model.causal_lm.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """The language model's own."""
        self.model.causal_lm.set_output_embeddings(new_embeddings)

    def part_of_parameter(self, name: str) -> str:
        """Says which part of the model a parameter belongs to.

        Args:
            name (`str`): As in `named_parameters()`; a prefix of a wrapper (peft, DDP) does no harm.

        Returns:
            `"vision"`, `"adapter"`, `"reconstruction"`, `"metric_depth"`, `"language_projection"`, `"language"`,
            `"ground_head"` or `"box_decoder"`.
        """
        return next(part for piece, part in PARTS.items() if piece in f".{name}.")

    def save_pretrained(self, save_directory: str | Path, **kwargs) -> None:
        """Writes the model, the code that loads it, and the complete `auto_map`.

        Args:
            save_directory (`str` or `Path`): Folder to write to.
            **kwargs: Further arguments of `PreTrainedModel.save_pretrained`.
        """
        self.config.auto_map = dict(AUTO_MAP)
        super().save_pretrained(save_directory, **kwargs)

    def _ground_queries(
        self, inputs: dict, encoded: EncodedFrames, questions: list[list[int]], share_prefix: bool
    ) -> Tensor:
        """(K, C) hidden states that end questions about the frames of a batch of one, asked together or one by one."""
        ending = self.config.location_token_ids
        for number, ids in enumerate(questions):
            if ending is not None and list(ids[-len(ending) :]) != ending:
                raise ValueError(
                    f"questions[{number}] does not end with {GROUND_TOKEN}, whose hidden state asks: prepare it with "
                    "the processor's ground_inputs."
                )
        together = [questions] if share_prefix or not questions else [[question] for question in questions]
        queries = []
        for part in together:
            input_ids, blocks, _ = join_prefix({"input_ids": inputs["input_ids"]}, part)
            packed = packed_inputs(self, input_ids, torch.zeros_like(input_ids), blocks[None], {})
            hidden = self.model.read(self.model.embed(input_ids, encoded), use_cache=False, **packed).last_hidden_state
            lengths = torch.tensor([len(ids) for ids in part], device=input_ids.device)
            queries.append(hidden[0, lengths.cumsum(0) - 1 + inputs["input_ids"].shape[1]])
        return torch.cat(queries)

    def _box_predictions(
        self, encoded: EncodedFrames, sample: int, frames: int, world_from_first_camera: Tensor, queries: Tensor
    ) -> BoxPredictions:
        """What (G, C) location tokens make of the 3D patches of real frames, given the first camera's (4, 4) pose."""
        positions = encoded.positions_metres[sample, :frames].flatten(0, 2)
        pose = world_from_first_camera.to(positions)
        axes = world_from_box_axes(pose, self.config.box_axes)
        turn = (axes[:, :, None] * pose[:3, None, :3]).sum(0)  # from the first camera to the boxes' axes
        # Sums of products, where a product of matrices may be computed in lower precision.
        positions = (positions[:, None, :] * turn).sum(-1)
        return self.box_decoder(encoded.pooler_output[sample], positions, queries)

    def _ground(self, hidden: Tensor, grounding: dict, encoded: EncodedFrames | None, output: VidLLMOutput) -> None:
        """What both grounding heads make of the questions. All weights are in the graph, so all processes have one."""
        if encoded is None:
            raise ValueError("grounding needs frames: give pixel_values_videos.")
        samples = range(len(encoded.pooler_output))
        frames = [len(tokens) // encoded.tokens[0, 0, ..., 0].numel() for tokens in encoded.pooler_output]
        queries = hidden[grounding["row"], grounding["column"]]  # (G, C)
        poses = grounding["world_from_camera"][:, 0]
        asked = [grounding["sample"] == sample for sample in samples]
        # Of a sample without such questions the pose is not read: it may be unknown.
        nowhere = torch.eye(4).to(poses)
        first = [pose if bool(here.any()) else nowhere for pose, here in zip(poses, asked, strict=True)]
        if self.ground_head is not None:
            everything = sum(parameter.sum() for parameter in self.ground_head.parameters()) * 0.0
            output.loss_ground = everything
            if len(queries):
                geometries = [
                    predicted_geometry(encoded.reconstruction, sample, frames[sample], first[sample])
                    for sample in samples
                ]
                given = {
                    name: [vars(geometry)[name] for geometry in geometries]
                    for name in ("intrinsics", "world_from_camera", "depth_metres")
                }
                given = {name: torch.nn.utils.rnn.pad_sequence(value, True) for name, value in given.items()}
                given["image_size"] = geometries[0].image_size
                maps = [encoded.tokens[sample, : frames[sample]] for sample in samples]
                loss, output.ground_accuracy, output.ground_seen = self.ground_head.loss(
                    maps, queries, grounding | given, self.config.ground_temperature
                )
                output.loss_ground = loss / len(maps) + everything
        if self.box_decoder is not None:
            output.box_predictions = []
            output.box_zero = sum(parameter.sum() for parameter in self.box_decoder.parameters()) * 0.0
            for sample in samples:
                if not bool(asked[sample].any()):
                    output.box_predictions.append(None)
                    continue
                output.box_predictions.append(
                    self._box_predictions(
                        encoded, sample, frames[sample], finite_pose(first[sample]), queries[asked[sample]]
                    )
                )

    def _cross_entropy(
        self, hidden: Tensor, labels: Tensor, num_items_in_batch: Tensor | int | None, output: VidLLMOutput
    ) -> None:
        supervised = labels[:, 1:] != IGNORED_LABEL
        output.supervised_labels = labels[:, 1:][supervised]
        # No supervised token leaves an empty matrix here, and a sum of nothing: zero, with every weight in its graph.
        output.logits = self.get_output_embeddings()(hidden[:, :-1][supervised])
        total = functional.cross_entropy(output.logits.float(), output.supervised_labels, reduction="sum")
        count = output.supervised_labels.numel() if num_items_in_batch is None else num_items_in_batch
        output.loss = total / torch.as_tensor(count, device=total.device).clamp(min=1)


def _part(name: str, part: PreTrainedModel | str | Path, auto_class: type, dtype: torch.dtype | str | None):
    if isinstance(part, (str, Path)):
        if PreTrainedConfig.get_config_dict(part)[0].get("model_type") == VidLLMConfig.model_type:
            raise ValueError(f"{name}={part} is a Vid-LLM model already: load it with from_pretrained.")
        return auto_class.from_pretrained(part, **({} if dtype is None else {"dtype": dtype}))
    if not isinstance(part, PreTrainedModel):
        raise TypeError(f"{name} must be a model, an id or a folder, not {type(part).__name__}.")
    if dtype is not None:
        raise ValueError(f"dtype={dtype} only applies to ids and folders: cast the model that you pass as {name}.")
    return part


VidLLMForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")
