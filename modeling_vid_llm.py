"""Vid-LLM: reconstruction and reasoning in one model (ICLR 2026), from RGB frames alone.

One encoder; the Cross-Task Adapter makes a geometry and a language stream of its tokens; the reconstruction branch turns the
first into cameras and depth in metres; the language stream gets the 3D places of its patches and goes, pooled, to a language
model. Gradients go one way: what the language model reads of the reconstruction is detached.
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

from .base_vlm import LOGIT_TRANSFORMS, cache_argument
from .configuration_vid_llm import VidLLMConfig, heads_of
from .cross_task_adapter import CrossTaskAdapter
from .multi_head_attention import LayerScale
from .processing_igep import IGEPProcessor
from .processing_vid_llm import COLOUR_MEAN, COLOUR_STD, IMAGE_TOKEN, VIDEO_TOKEN, assemble_processor
from .question_packing import packed_inputs
from .reconstruction import Reconstruction, ReconstructionBranch
from .spatial_patches import LanguageProjection
from .vision_encoder import freeze_unread, patch_maps, plain_encoder, scattered, videos_of_images, whole_patches


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
    ".language_model.": "language",
}


@dataclass
class EncodedFrames(ModelOutput):
    """What the model makes of frames before it reads any text.

    Args:
        pooler_output (`tuple[Tensor, ...]`): Per sample (M, language channels), as they enter the language model.
        tokens (`Tensor`): (B, F, gh, gw, language channels), the same with padding.
        positions_metres (`Tensor`): (B, F, gh, gw, 3) where these lie, in the world of the first camera.
        reconstruction (`Reconstruction`): With gradients.
        geometry_tokens (`Tensor`): (B, F, h, w, C) `T'_geom`.
        language_tokens (`Tensor`): (B, F, h, w, C) `T'_lang`.
    """

    pooler_output: tuple[Tensor, ...] | None = None
    tokens: Tensor | None = None
    positions_metres: Tensor | None = None
    reconstruction: Reconstruction | None = None
    geometry_tokens: Tensor | None = None
    language_tokens: Tensor | None = None


@dataclass
class VidLLMOutput(ModelOutput):
    """What a forward returns; what was not asked for is `None`.

    Args:
        loss (`Tensor`, *optional*): Cross-entropy of the supervised tokens. Other terms are the trainer's.
        logits (`Tensor`, *optional*): (B, L, V); with labels (N, V) at the N supervised positions only.
        supervised_labels (`Tensor`, *optional*): (N,) labels of those positions.
        past_key_values (`Cache`, *optional*): The language model's cache.
        last_hidden_state (`Tensor`, *optional*): (B, L, C) of the language model.
        reconstruction (`Reconstruction`, *optional*): With `output_reconstruction`.
        geometry_tokens (`Tensor`, *optional*): (B, F, h, w, C) `T'_geom`, with `output_streams`.
        language_tokens (`Tensor`, *optional*): (B, F, h, w, C) `T'_lang`, with `output_streams`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    supervised_labels: Tensor | None = None
    past_key_values: Any = None
    last_hidden_state: Tensor | None = None
    reconstruction: Reconstruction | None = None
    geometry_tokens: Tensor | None = None
    language_tokens: Tensor | None = None


@dataclass
class VidLLMGeneration(ModelOutput):
    """Generated tokens and what the model saw.

    Args:
        sequences (`Tensor`): (B, L) tokens.
        reconstruction (`Reconstruction`): Without gradients.
    """

    sequences: Tensor | None = None
    reconstruction: Reconstruction | None = None


class VidLLMPreTrainedModel(PreTrainedModel):
    """What the two classes below have in common."""

    config: VidLLMConfig
    base_model_prefix = "model"
    input_modalities = ("video", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _keep_in_fp32_modules_strict = [
        *("camera_head", "depth_decoder", "metric_depth", "position_mlp"),
        *("ground_head", "box_decoder"),
    ]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, (LayerScale, nn.Linear, nn.Conv2d, nn.LayerNorm)):
            module.reset_parameters()


class VidLLMModel(VidLLMPreTrainedModel):
    """Everything of Vid-LLM up to the last hidden state.

    Args:
        config (`VidLLMConfig`): Configuration.
        vision (`PreTrainedModel`, *optional*): Encoder; built from the configuration unless given.
        language (`PreTrainedModel`, *optional*): Causal language model; likewise.
    """

    def __init__(
        self, config: VidLLMConfig, vision: PreTrainedModel | None = None, language: PreTrainedModel | None = None
    ):
        super().__init__(config)
        self.vision = AutoModel.from_config(config.vision_config) if vision is None else vision
        self.language_model = AutoModelForCausalLM.from_config(config.text_config) if language is None else language
        config.text_config = self.language_model.config
        channels, language_channels = config.stream_channels, config.get_text_config().hidden_size
        self.adapter = CrossTaskAdapter(
            config.vision_config.hidden_size,
            channels,
            config.adapter_expansion,
            config.bridge_tokens,
            heads_of(config.bridge_heads, channels),
            config.bridge_scope,
            config.bridge_write_back,
        )
        self.reconstruction = ReconstructionBranch(config)
        self.language_input = LanguageProjection(channels, language_channels, config.pooling_ratio)
        freeze_unread(self.vision)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The language model's own."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """The language model's own."""
        self.language_model.set_input_embeddings(value)

    def encode_streams(
        self, pixel_values_videos: Tensor, frame_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
        """Runs the encoder and the adapter.

        Args:
            pixel_values_videos (`Tensor`): (B, F, 3, H, W).
            frame_mask (`Tensor`, *optional*): (B, F) bool, the real frames; all unless given.

        Returns:
            `tuple[Tensor, Tensor, list[Tensor], Tensor]`: `T'_geom` and `T'_lang`, (B, F, h, w, C); the encoder's tapped
            layers, (B, F, h, w, channels of the encoder); and the mask.

        Raises:
            ValueError: Pixels or mask that cannot be; the message says what to do.
        """
        frame_mask = checked_frames(pixel_values_videos, frame_mask)
        config = self.config
        # Padding frames never reach the encoder.
        pixels = whole_patches(pixel_values_videos[frame_mask], config.patch_size)
        last, tapped = patch_maps(
            self.vision, pixels, config.patch_size, config.metric_taps if config.metric_depth else 0
        )
        dtype = self.adapter.geometry_projection[0].weight.dtype
        geometry, language = self.adapter(scattered(last, frame_mask).to(dtype), frame_mask)
        return geometry, language, [scattered(tap, frame_mask) for tap in tapped], frame_mask

    def encode(self, pixel_values_videos: Tensor, frame_mask: Tensor | None = None) -> EncodedFrames:
        """Runs everything that comes before the language model.

        Args:
            pixel_values_videos (`Tensor`): (B, F, 3, H, W).
            frame_mask (`Tensor`, *optional*): (B, F) bool, the real frames; all unless given.

        Returns:
            `EncodedFrames`
        """
        geometry, language, tapped, frame_mask = self.encode_streams(pixel_values_videos, frame_mask)
        size = tuple(pixel_values_videos.shape[-2:])
        reconstruction = self.reconstruction(geometry, tapped, frame_mask, size)
        tokens, positions = self.language_input(language, reconstruction.points_world.detach())
        tokens = tokens.to(self.get_input_embeddings().weight.dtype)
        videos = (video[real] for video, real in zip(tokens, frame_mask, strict=True))
        return EncodedFrames(
            pooler_output=tuple(video.flatten(0, 2) for video in videos),
            tokens=tokens,
            positions_metres=positions,
            reconstruction=reconstruction,
            geometry_tokens=geometry,
            language_tokens=language,
        )

    def embed(self, input_ids: Tensor, encoded: EncodedFrames | None) -> Tensor:
        """Embeds text, and puts visual tokens where those stand that hold their places.

        Args:
            input_ids (`Tensor`): (B, L).
            encoded (`EncodedFrames`, *optional*): Of the frames that the text speaks of, in its order.

        Returns:
            `Tensor`: (B, L, C).

        Raises:
            ValueError: There are not as many places as visual tokens, or no token stands for them.
        """
        embeddings = self.get_input_embeddings()
        if encoded is None:
            return embeddings(input_ids)
        visual = torch.cat(list(encoded.pooler_output))
        places = torch.isin(input_ids, self._visual_token_ids())
        if int(places.sum()) != len(visual):
            raise ValueError(
                f"the text has {int(places.sum())} places for visual tokens, the frames make {len(visual)}: prepare both with one "
                "call of the model's processor, and give frame_mask where frames are padded."
            )
        # The place itself may have an id beyond the embeddings: it is never looked up.
        embedded = embeddings(input_ids.masked_fill(places, 0))
        return embedded.masked_scatter(places[..., None], visual.to(embedded))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        frame_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        mm_encoder_outputs: dict | None = None,
        return_dict: bool | None = None,
        **language_kwargs,
    ) -> ModelOutput:
        """Runs the language model on text and frames.

        Args:
            input_ids (`Tensor`): (B, L).
            attention_mask (`Tensor`, *optional*): As the language model takes it.
            pixel_values_videos (`Tensor`, *optional*): (B, F, 3, H, W).
            frame_mask (`Tensor`, *optional*): (B, F) bool, the real frames.
            pixel_values (`Tensor`, *optional*): (N, 1, 3, H, W) images in place of a video.
            mm_encoder_outputs (`dict`, *optional*): Of `encode_vision`, in place of pixels.
            return_dict (`bool`, *optional*): Without effect.
            **language_kwargs: Everything else that the language model takes: cache, positions.

        Returns:
            `ModelOutput`: The language model's own, with `last_hidden_state`.
        """
        frames = {"pixel_values": pixel_values, "pixel_values_videos": pixel_values_videos, "frame_mask": frame_mask}
        encoded = self.encoded(input_ids, mm_encoder_outputs=mm_encoder_outputs, **frames)
        return self.read(self.embed(input_ids, encoded), attention_mask, **language_kwargs)

    def encoded(
        self,
        input_ids: Tensor | None,
        *,
        pixel_values: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        frame_mask: Tensor | None = None,
        mm_encoder_outputs: dict | None = None,
    ) -> EncodedFrames | None:
        """What was encoded before, or is to be encoded now; `None` where there are no frames. Images are frames of a video.

        Args:
            input_ids (`Tensor`, *optional*): (B, L), which tells what images belong together.
            pixel_values (`Tensor`, *optional*): (N, 1, 3, H, W) images.
            pixel_values_videos (`Tensor`, *optional*): (B, F, 3, H, W).
            frame_mask (`Tensor`, *optional*): (B, F) bool, the real frames of videos.
            mm_encoder_outputs (`dict`, *optional*): Of `encode_vision`.

        Returns:
            `EncodedFrames`, *optional*

        Raises:
            ValueError: Images and videos together, or images that the text has no places for.
        """
        given = list((mm_encoder_outputs or {}).values())
        if given:
            return given[0]
        if pixel_values is None:
            return None if pixel_values_videos is None else self.encode(pixel_values_videos, frame_mask)
        if pixel_values_videos is not None or input_ids is None:
            raise ValueError("pixel_values: give images alone, with the text that has places for them, or one video.")
        images = pixel_values.flatten(0, -4)  # (N, 3, H, W)
        unit = self.config.patch_size * self.config.pooling_ratio
        each = (images.shape[-2] // unit) * (images.shape[-1] // unit)
        places = (input_ids == self.config.image_token_id).sum(1)
        if not each or int(places.sum()) != each * len(images) or bool((places % each).any()):
            raise ValueError(
                f"the text has {places.tolist()} places for visual tokens of images, {len(images)} images make {each} each: "
                "prepare both with one call of the model's processor, one sample a row."
            )
        return self.encode(*videos_of_images(images, places[places > 0] // each))

    def _visual_token_ids(self) -> Tensor:
        ids = [self.config.image_token_id, self.config.video_token_id]
        if None in ids:
            raise ValueError(
                "image_token_id and video_token_id are not set: call build_processor(tokenizer), which gives the tokenizer tokens "
                "that hold the places of visual tokens."
            )
        return torch.tensor(ids, device=self.device)

    def read(self, inputs_embeds: Tensor, attention_mask: Tensor | None, **language_kwargs) -> ModelOutput:
        """Runs the language model without its head."""
        names = [name for name in ("cache", "past_key_values") if name in language_kwargs]
        given = {cache_argument(self.language_model): language_kwargs.pop(name) for name in names}
        return self.language_model.base_model(
            inputs_embeds=inputs_embeds, attention_mask=attention_mask, return_dict=True, **given, **language_kwargs
        )


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
        for field in LOGIT_TRANSFORMS:
            value = config.get_text_config().to_dict().get(field)
            if value is not None:
                raise ValueError(
                    f"{type(self.model.language_model).__name__} changes its logits ({field}={value}), which the loss at "
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
            vision (`PreTrainedModel`, `str` or `Path`): Encoder of patches (DINOv2 with or without registers, as a model or
                a backbone), or its id on the Hub or its folder.
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

        The embeddings of the language model grow where its vocabulary lacks the tokens that hold the places of visual ones.

        Args:
            tokenizer (`PreTrainedTokenizerBase`, `str` or `Path`): Tokenizer of the language model, or its id or folder.
            frame_size (`int` or `tuple[int, int]`, *optional*, defaults to `518`): Shorter side of the frames that the encoder
                sees, or their height and width.
            image_mean (`tuple`, *optional*): Mean of the colours in [0, 1] that the encoder expects; ImageNet's by default.
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
            self.model.language_model.resize_token_embeddings(len(known))
        self.config.image_token_id = known.convert_tokens_to_ids(IMAGE_TOKEN)
        self.config.video_token_id = known.convert_tokens_to_ids(VIDEO_TOKEN)
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
            pixel_values (`Tensor`, *optional*): (N, 1, 3, H, W) images, those of a row in its order: the frames of its video.
            mm_encoder_outputs (`dict`, *optional*): Of `encode_vision`, in place of pixels.
            set_index (`Tensor`, *optional*): (R, L) packs questions, see `question_packing`.
            block_index (`Tensor`, *optional*): (R, L) likewise.
            output_reconstruction (`bool`, *optional*, defaults to `False`): Return the reconstruction.
            output_streams (`bool`, *optional*, defaults to `False`): Return the adapter's streams. Without text and
                `output_reconstruction` nothing else runs.
            logits_to_keep (`int`, *optional*, defaults to `0`): Logits of so many last positions; 0 = of all.
            return_dict (`bool`, *optional*): Without effect.
            **language_kwargs: Everything else that the language model takes: cache, positions. Entries of a batch that no
                model reads (geometry, names) are the trainer's to leave out.

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
        output.past_key_values = dict(decoded).get("past_key_values", dict(decoded).get("cache"))
        if labels is None:
            output.logits = self.get_output_embeddings()(hidden[:, -logits_to_keep:])
        else:
            self._cross_entropy(hidden, labels, num_items_in_batch, output)
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
            `dict[str, EncodedFrames]`: Under `"video"` or `"image"`, as `forward` and `generate` take it as `mm_encoder_outputs`.

        Raises:
            ValueError: There are no frames.
        """
        given = {name: inputs[name] for name in ("pixel_values", "pixel_values_videos") if name in inputs}
        encoded = self.model.encoded(inputs.get("input_ids"), frame_mask=frame_mask, **given)
        if encoded is None:
            raise ValueError(f"inputs hold no frames but {sorted(inputs)}: give what the processor returned for them.")
        return {"image" if "pixel_values" in given else "video": encoded}

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, **kwargs) -> Tensor | ModelOutput:
        """Generates with the language model; frames are looked at once.

        Args:
            inputs (`Tensor`, *optional*): (B, L) tokens; `input_ids` is the same.
            **kwargs: The processor's tensors, `frame_mask`, `mm_encoder_outputs`, `output_reconstruction`, and everything
                that the language model's `generate` takes.

        Returns:
            What the language model's `generate` returns, the prompt included; with `output_reconstruction` a
            `VidLLMGeneration`.
        """
        language = self.model.language_model
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
        return self.model.language_model.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """The language model's own."""
        self.model.language_model.set_output_embeddings(new_embeddings)

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


def checked_frames(pixel_values_videos: Tensor, frame_mask: Tensor | None) -> Tensor:
    """Makes sure that frames can be looked at.

    Args:
        pixel_values_videos (`Tensor`): (B, F, 3, H, W).
        frame_mask (`Tensor`, *optional*): (B, F) bool.

    Returns:
        `Tensor`: (B, F) bool, the real frames.

    Raises:
        ValueError: Another shape, pixels that are not finite, or a sample whose first frame is padding.
    """
    shape = tuple(pixel_values_videos.shape)
    if len(shape) != 5 or shape[2] != 3 or 0 in shape:
        raise ValueError(
            f"pixel_values_videos has shape {shape}: give (B, F, 3, H, W), colour frames of one size, at least one."
        )
    if frame_mask is None:
        frame_mask = torch.ones(shape[:2], dtype=torch.bool, device=pixel_values_videos.device)
    if tuple(frame_mask.shape) != shape[:2] or frame_mask.dtype != torch.bool:
        raise ValueError(f"frame_mask is {tuple(frame_mask.shape)} {frame_mask.dtype}: give bool of {shape[:2]}.")
    if not bool(frame_mask[:, 0].all()):
        raise ValueError(
            "frame_mask says that a first frame is padding: the first camera is the world, so it must be real."
        )
    if not bool(pixel_values_videos[frame_mask].isfinite().all()):
        raise ValueError(
            "pixel_values_videos has pixels that are not finite (NaN or infinity): look at how the frames are read."
        )
    return frame_mask


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
