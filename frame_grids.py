"""Where the tokens of a vision encoder and of a language model lie in the frames they came from.

Encoders hand out tokens in two layouts: one row per frame or tile (SigLIP, CLIP), or one flat sequence over all videos
in which patches that are merged later are neighbours, sometimes grouped by attention window as well (Qwen). Everything
that looks at pixels needs plain maps in frame order instead.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedConfig


POOLINGS = (1, 2, 3, 4)  # sides of the patch blocks that projectors pool before the language model


@dataclass(frozen=True)
class FrameGrids:
    """The patch grids of one batch, and how to read them from a sequence of tokens.

    Args:
        units (`tuple[tuple[int, int, int], ...]`): Per video or image, in order: feature frames, rows and columns of
            the encoder's patch grid. A feature frame covers `temporal_patch_size` frames.
        temporal_patch_size (`int`): Frames per feature frame.
        merge_size (`int`): Side of the blocks of patches that follow each other; 1 = raster order.
        flat (`bool`): Whether the encoder returns one flat sequence (Qwen) or one row per view (SigLIP).
        is_video (`bool`): Whether the units are videos.
        view_of_unit (`tuple[int, ...]`): Per unit, index of its first view among the rows of the encoder's output; the
            views of an image after the first are its high-resolution tiles. Only used when `flat` is false.
        window_index (`Tensor`, *optional*): Order in which the encoder puts the merge blocks (see `window_order`).
        coverage (`Tensor`, *optional*): (units, 2) height and width of the frame as a fraction of the view, when the
            processor padded the frame to a square around its centre.
        covered (`tuple[float, float]`, *optional*, defaults to the whole): Height and width of the part of a view,
            from its top left corner, that the patches cover: what is left over by whole patches is never seen.
        pooled_side (`int`, *optional*): Side of the blocks of patches that make one visual token of a flat encoder;
            `merge_size` unless given.
    """

    units: tuple[tuple[int, int, int], ...]
    temporal_patch_size: int
    merge_size: int
    flat: bool
    is_video: bool
    view_of_unit: tuple[int, ...] = ()
    window_index: Tensor | None = None
    coverage: Tensor | None = None
    covered: tuple[float, float] = (1.0, 1.0)
    pooled_side: int | None = None

    @property
    def frames_per_unit(self) -> tuple[int, ...]:
        """Feature frames of each video or image."""
        return tuple(frames for frames, _, _ in self.units)

    def encoder_maps(self, hidden_state: Tensor) -> Tensor:
        """Rearranges one layer's hidden state into maps.

        Args:
            hidden_state (`Tensor`): As the encoder returned it: (views, tokens, C) or (tokens, C).

        Returns:
            (N, h, w, C) with one map per feature frame, in order, in raster order within a frame.
        """
        if not self.flat:
            frames, rows, columns = zip(*self.units, strict=True)
            views = [
                view + frame for view, count in zip(self.view_of_unit, frames, strict=True) for frame in range(count)
            ]
            maps = hidden_state[torch.tensor(views, device=hidden_state.device)]
            maps = maps[:, -rows[0] * columns[0] :]  # a class token, where there is one, comes first
            return self._crop_to_frame(maps.unflatten(1, (rows[0], columns[0])))
        if hidden_state.dim() == 3:  # a batch of one that holds all images
            hidden_state = hidden_state.squeeze(0)
        if self.window_index is not None:
            blocks = hidden_state.unflatten(0, (-1, self.merge_size**2))
            hidden_state = blocks[torch.argsort(self.window_index).to(blocks.device)].flatten(0, 1)
        maps = []
        sizes = [math.prod(unit) for unit in self.units]
        for tokens, (frames, rows, columns) in zip(hidden_state.split(sizes), self.units, strict=True):
            size = self.merge_size
            blocks = tokens.view(frames, rows // size, columns // size, size, size, -1)
            maps.append(blocks.transpose(2, 3).reshape(frames, rows, columns, -1))
        return _stack_maps(maps)

    def language_maps(self, visual_tokens: Tensor, tokens_per_unit: list[int]) -> Tensor:
        """Rearranges what the language model returned at the places of the visual tokens into maps.

        Args:
            visual_tokens (`Tensor`): (M, C), all visual tokens of the batch in order.
            tokens_per_unit (`list[int]`): How many of them belong to each video or image; they sum to M.

        Returns:
            (N, h', w', C) with one map per feature frame; the grid is that of the merged or pooled tokens.

        Raises:
            ValueError: If the tokens of a unit do not form a grid.
        """
        if not self.flat and len(tokens_per_unit) < len(self.units) and len(visual_tokens) % len(self.units) == 0:
            # Idefics counts by sample; all views have the same number.
            tokens_per_unit = [len(visual_tokens) // len(self.units)] * len(self.units)
        if len(tokens_per_unit) != len(self.units) or sum(tokens_per_unit) != len(visual_tokens):
            raise ValueError(
                f"supervise='llm': the projector returned features for {len(tokens_per_unit)} videos or images "
                f"({sum(tokens_per_unit)} tokens), the prompts hold {len(self.units)} of them "
                f"({len(visual_tokens)} tokens). Use supervise='encoder' for this base model."
            )
        maps = []
        for tokens, unit in zip(visual_tokens.split(tokens_per_unit), self.units, strict=True):
            frames, rows, columns = self._language_grid(
                unit, len(tokens), "supervise='llm'", "use supervise='encoder' for this base model"
            )
            maps.append(tokens[: frames * rows * columns].view(frames, rows, columns, -1))
        return self._crop_to_frame(_stack_maps(maps))

    def token_grids(self, tokens_per_unit: list[int]) -> list[tuple[int, int, int]]:
        """Says which grids the visual tokens of the language model form.

        Args:
            tokens_per_unit (`list[int]`): How many of them belong to each video or image.

        Returns:
            `list[tuple[int, int, int]]`: Per unit feature frames, rows and columns; what follows them is a separator.

        Raises:
            ValueError: The tokens of a unit do not form a grid over its frames alone.
        """
        if self.coverage is not None:
            raise ValueError(
                "position_encoding: images of this base are padded to a square, and padding has no position: set "
                "frames_as to video."
            )
        grids = []
        for unit, count in zip(self.units, tokens_per_unit, strict=True):
            frames, rows, columns = self._language_grid(unit, count, "position_encoding", "set frames_as to video")
            if count - frames * rows * columns > 1:
                raise ValueError(
                    f"position_encoding: an image has {count} visual tokens, more than its {rows} x {columns} "
                    "patches: this base cuts images into tiles. Set frames_as to video."
                )
            grids.append((frames, rows, columns))
        return grids

    def frame_slots(self, frame_mask: Tensor) -> Tensor:
        """Says where the frames of the batch are among the slots of the feature frames.

        Args:
            frame_mask (`Tensor`): (B, F) bool, real frames first.

        Returns:
            (R,) long: for each real frame, sample by sample, `feature_frame * temporal_patch_size + slot`.

        Raises:
            ValueError: If the number of frames differs from what the encoder saw.
        """
        counts = frame_mask.sum(dim=1).tolist()
        padded = frame_mask.shape[1]
        prefix = torch.arange(padded, device=frame_mask.device) < frame_mask.sum(dim=1, keepdim=True)
        if not torch.equal(prefix, frame_mask):
            raise ValueError(f"frame_mask={frame_mask.tolist()}: the real frames of a sample must come first.")
        patch = self.temporal_patch_size
        if not self.is_video:
            if len(self.units) != sum(counts):
                raise ValueError(
                    f"frame_mask marks {sum(counts)} frames ({counts} per sample) but the batch holds "
                    f"{len(self.units)} images: every frame must be one image of its sample. Does the processor cut "
                    "images into tiles (do_image_splitting, crop_to_patches)? Show the frames as a video, or switch "
                    "that off."
                )
            return torch.arange(len(self.units), device=frame_mask.device) * patch
        if len(self.units) != len(counts):
            raise ValueError(
                f"frame_mask has {len(counts)} samples but the batch holds {len(self.units)} videos: every sample "
                "must have one video."
            )
        slots, start = [], 0
        for sample, (count, frames) in enumerate(zip(counts, self.frames_per_unit, strict=True)):
            if frames not in (math.ceil(count / patch), math.ceil(padded / patch)):
                raise ValueError(
                    f"frame_mask marks {count} of {padded} frames of sample {sample}, but the encoder returned "
                    f"features of {frames} x {patch} frames: give the processor exactly the frames that the geometry "
                    "is for (do_sample_frames=False)."
                )
            slots.append(torch.arange(count, device=frame_mask.device) + start * patch)
            start += frames
        return torch.cat(slots)

    def _language_grid(
        self, unit: tuple[int, int, int], num_tokens: int, wanted_by: str, remedy: str
    ) -> tuple[int, int, int]:
        frames, rows, columns = unit
        if self.flat:
            side = self.merge_size if self.pooled_side is None else self.pooled_side
            grids = [(rows // side, columns // side)]
            extra = (0,)
        else:
            grids = [(math.ceil(rows / pool), math.ceil(columns / pool)) for pool in POOLINGS]
            extra = (0, 1)  # one separator after a video
            if not self.is_video and num_tokens >= rows * columns:
                # The whole view comes first; a separator and the high-resolution tiles of a single image follow.
                return frames, rows, columns
        for grid in grids:
            if num_tokens - frames * math.prod(grid) in extra:
                return frames, *grid
        raise ValueError(
            f"{wanted_by}: {num_tokens} visual tokens do not form {frames} maps of any of the sizes {grids}: {remedy}."
        )

    def _crop_to_frame(self, maps: Tensor) -> Tensor:
        if self.coverage is None:
            return maps
        scale = self.coverage.to(maps.device, torch.float32)
        transform = torch.zeros(len(maps), 2, 3, device=maps.device)
        transform[:, 0, 0] = scale[:, 1]
        transform[:, 1, 1] = scale[:, 0]
        channels_first = maps.movedim(-1, 1).float()
        grid = functional.affine_grid(transform, list(channels_first.shape), align_corners=False)
        cropped = functional.grid_sample(channels_first, grid, padding_mode="border", align_corners=False)
        return cropped.movedim(1, -1).to(maps.dtype)


def read_frame_grids(config: PreTrainedConfig, hidden_state: Tensor, inputs: dict, is_video: bool) -> FrameGrids:
    """Finds the patch grids of a batch from what the processor gave and what the encoder returned.

    Args:
        config (`PreTrainedConfig`): Configuration of the base VLM.
        hidden_state (`Tensor`): A hidden state of its vision encoder.
        inputs (`dict`): The processor's tensors, pixels included.
        is_video (`bool`): Whether the batch is made of videos or of images.

    Returns:
        The grids.

    Raises:
        ValueError: If the layout of the tokens cannot be mapped to frames.
    """
    grid_name = "video_grid_thw" if is_video else "image_grid_thw"
    if hidden_state.dim() == 2 and grid_name in inputs:
        merges = inputs.get("video_merge_sizes" if is_video else "image_merge_sizes")
        if merges is not None:  # VideoLLaMA 3, which merges frames of videos and leaves images whole
            merge_size = int(merges[0])
        else:
            merge_size = config.vision_config.to_dict().get("spatial_merge_size", 1)
        return _flat_grids(config.vision_config, hidden_state, inputs[grid_name], is_video, merge_size)
    if config.vision_config.model_type == "pixtral":
        return _raster_grids(config, hidden_state, inputs["image_sizes"])
    if hidden_state.dim() == 3:
        return _view_grids(config, hidden_state, inputs, is_video)
    raise ValueError(
        f"{config.model_type}: the vision encoder returned hidden states of shape {tuple(hidden_state.shape)} and the "
        f"processor gave {sorted(inputs)}. Geometry supervision needs (views, tokens, channels), or (tokens, "
        f"channels) with {grid_name}: use another base model."
    )


def _flat_grids(
    vision_config: PreTrainedConfig, hidden_state: Tensor, grid_thw: Tensor, is_video: bool, merge_size: int
) -> FrameGrids:
    units = tuple((int(frames), int(rows), int(columns)) for frames, rows, columns in grid_thw.tolist())
    num_tokens = sum(math.prod(unit) for unit in units)
    if num_tokens != len(hidden_state):
        raise ValueError(
            f"{vision_config.model_type}: grids {list(units)} hold {num_tokens} patches but the encoder returned "
            f"{len(hidden_state)} tokens: this layout is not supported, use another base model."
        )
    window_index = None
    fields = vision_config.to_dict()
    if "fullatt_block_indexes" in fields:  # Qwen2.5-VL and its relatives
        side = vision_config.window_size // vision_config.patch_size // merge_size
        window_index = window_order(units, merge_size, side)
    elif "window_size" in fields:
        raise ValueError(
            f"{vision_config.model_type}: the order in which its attention windows put the tokens is not known here: "
            "use another base model."
        )
    return FrameGrids(
        units=units,
        temporal_patch_size=fields.get("temporal_patch_size", 1),
        merge_size=merge_size,
        flat=True,
        is_video=is_video,
        window_index=window_index,
    )


def _raster_grids(config: PreTrainedConfig, hidden_state: Tensor, image_sizes: Tensor) -> FrameGrids:
    """Grids of an encoder that takes images of any size behind each other, row by row (Pixtral)."""
    side = _pair(config.vision_config.patch_size)
    units = tuple((1, int(height) // side[0], int(width) // side[1]) for height, width in image_sizes.tolist())
    if sum(math.prod(unit) for unit in units) != hidden_state.shape[1]:
        raise ValueError(
            f"{config.model_type}: images of {image_sizes.tolist()} pixels do not make the {hidden_state.shape[1]} "
            "tokens that the encoder returned: this layout is not supported, use another base model."
        )
    pool = config.to_dict().get("spatial_merge_size", 1)
    return FrameGrids(units, temporal_patch_size=1, merge_size=1, flat=True, is_video=False, pooled_side=pool)


def _view_grids(config: PreTrainedConfig, hidden_state: Tensor, inputs: dict, is_video: bool) -> FrameGrids:
    vision_config = config.vision_config
    if "image_size" not in vision_config.to_dict():
        raise ValueError(
            f"{config.model_type}: images of any size make rows of patches that its processor fills up, and their "
            f"places in the rows of {vision_config.model_type} are not known here: use another base model."
        )
    size, patch = _pair(vision_config.image_size), _pair(vision_config.patch_size)
    rows, columns = size[0] // patch[0], size[1] // patch[1]
    num_views, num_tokens, _ = hidden_state.shape
    if num_tokens not in (rows * columns, rows * columns + 1):
        raise ValueError(
            f"{config.model_type}: the vision encoder returned {num_tokens} tokens per view, which is not the "
            f"{rows} x {columns} grid of image_size {vision_config.image_size} and patch_size "
            f"{vision_config.patch_size} (with or without a class token): use another base model."
        )
    coverage = None
    if is_video:
        pixels = inputs["pixel_values_videos"]
        frames_per_unit = [pixels.shape[1]] * pixels.shape[0] if pixels.dim() == 5 else [num_views]
        views_per_unit = frames_per_unit
    else:
        views_per_unit = _views_per_image(config, inputs, num_views)
        frames_per_unit = [1] * len(views_per_unit)
        if config.model_type == "llava_onevision" and "batch_num_images" in inputs:
            coverage = _square_coverage(inputs["image_sizes"], inputs["batch_num_images"])
    if sum(views_per_unit) != num_views:
        raise ValueError(
            f"{config.model_type}: the inputs hold {views_per_unit} views per video or image but the encoder returned "
            f"{num_views}: this layout is not supported, use another base model."
        )
    starts = torch.tensor([0, *views_per_unit]).cumsum(0)[:-1].tolist()
    return FrameGrids(
        units=tuple((frames, rows, columns) for frames in frames_per_unit),
        temporal_patch_size=1,
        merge_size=1,
        flat=False,
        is_video=is_video,
        view_of_unit=tuple(starts),
        coverage=coverage,
        covered=(rows * patch[0] / size[0], columns * patch[1] / size[1]),
    )


def window_order(units: tuple[tuple[int, int, int], ...], merge_size: int, window_side: int) -> Tensor:
    """The order in which an encoder with window attention (Qwen2.5-VL) puts its merge blocks: window by window.

    Args:
        units (`tuple[tuple[int, int, int], ...]`): Per video or image, feature frames, rows and columns of patches.
        merge_size (`int`): Patches along the side of a merge block.
        window_side (`int`): Merge blocks along the side of a window.

    Returns:
        `Tensor`: (blocks,) long, which block, counted in raster order over all units, stands at each place. Windows
        follow each other in raster order frame by frame, and so do the blocks of a window; those at the edges may be
        smaller.
    """
    orders, start = [], 0
    for frames, rows, columns in units:
        rows, columns = rows // merge_size, columns // merge_size
        frame, row, column = torch.meshgrid(
            torch.arange(frames), torch.arange(rows), torch.arange(columns), indexing="ij"
        )
        windows = (math.ceil(rows / window_side), math.ceil(columns / window_side))
        window = (frame * windows[0] + row // window_side) * windows[1] + column // window_side
        orders.append(start + torch.argsort(window.flatten(), stable=True))
        start += frames * rows * columns
    return torch.cat(orders)


def tiled_size(size: tuple[int, int], grid_pinpoints: list[list[int]]) -> tuple[int, int]:
    """The size that a processor which cuts images into tiles (LLaVA's "anyres") brings an image to.

    Args:
        size (`tuple[int, int]`): Height and width of the image.
        grid_pinpoints (`list[list[int]]`): Heights and widths to choose from.

    Returns:
        `tuple[int, int]`: The one in which most of the image's pixels survive and, among those, fewest are padding.
    """
    height, width = size

    def kept_and_padding(pinpoint: list[int]) -> tuple[int, int]:
        scale = min(pinpoint[0] / height, pinpoint[1] / width)
        kept = min(int(height * scale) * int(width * scale), height * width)
        return kept, kept - pinpoint[0] * pinpoint[1]

    best = max(grid_pinpoints, key=kept_and_padding)
    return best[0], best[1]


def _pair(value: int | list[int] | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _views_per_image(config: PreTrainedConfig, inputs: dict, num_views: int) -> list[int]:
    """Counts the whole view of each image and the tiles that the processor cut from it (LLaVA's "anyres")."""
    if "image_sizes" not in inputs:
        # Idefics and SmolVLM pad samples with empty images, which their encoder leaves out.
        return [1] * (num_views if inputs["pixel_values"].dim() == 5 else len(inputs["pixel_values"]))
    image_sizes = inputs["image_sizes"].tolist()
    tiled = [True] * len(image_sizes)
    if "batch_num_images" in inputs:
        tiled = [count == 1 for count in inputs["batch_num_images"].tolist() for _ in range(count)]
    side = config.vision_config.image_size
    views = []
    for size, is_tiled in zip(image_sizes, tiled, strict=True):
        height, width = tiled_size(size, config.image_grid_pinpoints) if is_tiled else (0, 0)
        views.append(1 + math.ceil(height / side) * math.ceil(width / side))
    return views


def _square_coverage(image_sizes: Tensor, batch_num_images: Tensor) -> Tensor | None:
    """LLaVA-OneVision pads an image to a square when its sample has several, and stretches it when it is alone."""
    padded = torch.repeat_interleave(batch_num_images > 1, batch_num_images)
    fractions = image_sizes / image_sizes.amax(dim=1, keepdim=True)
    fractions = torch.where(padded.unsqueeze(1), fractions, torch.ones_like(fractions))
    return None if bool((fractions == 1).all()) else fractions


def _stack_maps(maps: list[Tensor]) -> Tensor:
    """Concatenates (n, h, w, C) maps, resampled to the largest grid where frames of the batch differ in size."""
    rows, columns = max(item.shape[1] for item in maps), max(item.shape[2] for item in maps)
    return torch.cat(
        [
            item
            if item.shape[1:3] == (rows, columns)
            else functional.interpolate(
                item.movedim(-1, 1).float(), (rows, columns), mode="bilinear", align_corners=False
            )
            .movedim(1, -1)
            .to(item.dtype)
            for item in maps
        ]
    )
