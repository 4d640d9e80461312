"""Vid-LLM up to the last hidden state: encoder, adapter, reconstruction, 3D patches, language model."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import ModelOutput

from .base_vlm import cache_argument
from .configuration_vid_llm import VidLLMConfig, heads_of
from .cross_task_adapter import CrossTaskAdapter
from .multi_head_attention import LayerScale
from .reconstruction import Reconstruction, ReconstructionBranch
from .spatial_patches import LanguageProjection
from .vision_encoder import checked_frames, freeze_unread, patch_maps, scattered, videos_of_images, whole_patches


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
        # Not `language_model`: transformers 5.24 renames weights of that name when it loads, and others when it saves.
        self.causal_lm = AutoModelForCausalLM.from_config(config.text_config) if language is None else language
        config.text_config = self.causal_lm.config
        channels, language_channels = config.stream_channels, config.get_text_config().hidden_size
        self.adapter = CrossTaskAdapter(
            config.vision_config.hidden_size,
            channels,
            config.adapter_expansion,
            config.bridge_tokens,
            heads_of(config.bridge_heads, channels),
            config.bridge_scope,
            config.bridge_write_back,
            config.adapter_start,
        )
        self.reconstruction = ReconstructionBranch(config)
        self.language_input = LanguageProjection(
            channels, language_channels, config.pooling_ratio, config.position_start
        )
        freeze_unread(self.vision, config.vision_final_norm)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The language model's own."""
        return self.causal_lm.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """The language model's own."""
        self.causal_lm.set_input_embeddings(value)

    def encode_streams(
        self, pixel_values_videos: Tensor, frame_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
        """Runs the encoder and the adapter.

        Args:
            pixel_values_videos (`Tensor`): (B, F, 3, H, W).
            frame_mask (`Tensor`, *optional*): (B, F) bool, the real frames; all unless given.

        Returns:
            `tuple[Tensor, Tensor, list[Tensor], Tensor]`: `T'_geom` and `T'_lang`, (B, F, h, w, C); the encoder's
            tapped layers, (B, F, h, w, channels of the encoder); and the mask.

        Raises:
            ValueError: Pixels or mask that cannot be; the message says what to do.
        """
        frame_mask = checked_frames(pixel_values_videos, frame_mask)
        config = self.config
        # Padding frames never reach the encoder.
        pixels = whole_patches(pixel_values_videos[frame_mask], config.patch_size)
        last, tapped = patch_maps(
            self.vision,
            pixels,
            config.patch_size,
            config.metric_taps if config.metric_depth else 0,
            config.vision_final_norm,
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
                f"the text has {int(places.sum())} places for visual tokens, the frames make {len(visual)}: prepare "
                "both with one call of the model's processor, and give frame_mask where frames are padded."
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
        """What was encoded before, or is to be encoded now; `None` without frames. Images are frames of a video.

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
                f"the text has {places.tolist()} places for visual tokens of images, {len(images)} images make {each} "
                "each: prepare both with one call of the model's processor, one sample a row."
            )
        return self.encode(*videos_of_images(images, places[places > 0] // each))

    def _visual_token_ids(self) -> Tensor:
        ids = [self.config.image_token_id, self.config.video_token_id]
        if None in ids:
            raise ValueError(
                "image_token_id and video_token_id are not set: call build_processor(tokenizer), which gives the "
                "tokenizer tokens that hold the places of visual tokens."
            )
        return torch.tensor(ids, device=self.device)

    def read(self, inputs_embeds: Tensor, attention_mask: Tensor | None, **language_kwargs) -> ModelOutput:
        """Runs the language model without its head."""
        names = [name for name in ("cache", "past_key_values") if name in language_kwargs]
        given = {cache_argument(self.causal_lm): language_kwargs.pop(name) for name in names}
        return self.causal_lm.base_model(
            inputs_embeds=inputs_embeds, attention_mask=attention_mask, return_dict=True, **given, **language_kwargs
        )
