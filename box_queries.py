"""Boxes regressed from 3D patches, told apart by a location token (LLaVA-3D, supplement; the decoder Vid-LLM names).

Queries are places among the 3D patches, far from each other. In every layer they read the patches, then each other and
the location token, which is the language model's hidden state at the end of `<ground>`; near queries read each other
more. Every layer regresses a box from each query and compares the query with the location token.

Unlike LLaVA-3D, whose queries read their nearest patches only, queries read all of them, with their places in the
keys: of what Vid-LLM pools there are a few thousand.

Boxes are not turned: their sizes lie along three axes that the decoder is told by the places of the patches. The
origin is the first camera's place; `box_axes` of the configuration says which axes:

- `first_camera`: those of the first camera. RGB frames are all that is needed; a box of the scene is learnt as the
  smallest one along these axes around it, and where the first camera's pose is known boxes are carried by it, turned,
  into the scene.
- `scene`: those of the scene, as benchmarks and their proposals have them. Which way they point RGB does not tell: the
  pose of the first frame must be given wherever boxes are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils import ModelOutput

from .configuration_vid_llm import BOX_AXES
from .ground_head import PREDICTED
from .multi_head_attention import MultiHeadAttention, two_layers
from .spatial_patches import PositionEmbedding


LARGEST_LOG_SIZE = 3.0  # boxes are between 5 cm and 20 m wide
FIRST_CAMERA, SCENE = BOX_AXES


@dataclass
class BoxPredictions(ModelOutput):
    """What G location tokens made of the 3D patches of one sample, layer by layer; the last layer is the answer.

    Args:
        boxes (`Tensor`): (layers, G, N, 6) centre and sizes in metres, along the axes that the places of the patches
            have.
        similarities (`Tensor`): (layers, G, N) cosines of queries and location token.
    """

    boxes: Tensor | None = None
    similarities: Tensor | None = None


@dataclass(frozen=True)
class RegressedBoxes:
    """What a description was found to mean among regressed boxes, best first.

    Args:
        boxes (`list[list[float]]`): N of six numbers: centre and full sizes in metres. The centre is in `world`.
        axes (`list[list[float]]`): (3, 3); its columns are the directions in `world` along which the three sizes of
            every box lie.
        probabilities (`list[float]`): N of them, a softmax over all queries.
        world (`str`): `"first_camera"` (x right, y down, z forward, its origin the first camera's place) or `"scene"`,
            in which the pose of the first frame was given.
        geometry_inputs (`str`): What was given besides RGB: `"none"`, or `"predicted"` for the first frame's pose
            (depth and cameras are the model's own in both).
    """

    boxes: list[list[float]]
    axes: list[list[float]]
    probabilities: list[float]
    world: str
    geometry_inputs: str


def world_from_box_axes(world_from_first_camera: Tensor, box_axes: str) -> Tensor:
    """The axes along which the decoder's boxes lie.

    Args:
        world_from_first_camera (`Tensor`): (4, 4) the first camera's pose in the scene.
        box_axes (`str`): `"first_camera"` or `"scene"`.

    Returns:
        `Tensor`: (3, 3) rotation, its columns the axes in the scene.
    """
    rotation = world_from_first_camera[:3, :3]
    return rotation if box_axes == FIRST_CAMERA else torch.eye(3).to(rotation)


def along_box_axes(boxes: Tensor, world_from_first_camera: Tensor, box_axes: str) -> Tensor:
    """Scene boxes as the decoder learns them: from the first camera, the smallest along its axes around those given.

    Of a box with sizes s along the scene's axes, the extents along axes `A = world_from_box_axes` are `|A'| s`.

    Args:
        boxes (`Tensor`): (P, 6) centre and sizes in metres along the axes of the scene.
        world_from_first_camera (`Tensor`): (4, 4).
        box_axes (`str`): `"first_camera"` or `"scene"`.

    Returns:
        `Tensor`: (P, 6).
    """
    axes = world_from_box_axes(world_from_first_camera, box_axes).to(boxes)
    offsets = boxes[:, :3] - world_from_first_camera[:3, 3].to(boxes)
    # Sums of products, where a product of matrices may be computed in lower precision.
    centres = (offsets[:, :, None] * axes).sum(1)
    return torch.cat([centres, (boxes[:, 3:, None] * axes.abs()).sum(1)], 1)


def regressed_boxes(
    predictions: BoxPredictions, temperature: float, world_from_first_camera: Tensor | None, box_axes: str
) -> list[RegressedBoxes]:
    """What the last layer says.

    Args:
        predictions (`BoxPredictions`): Of G questions, along `box_axes` from the first camera.
        temperature (`float`): Divides the similarities.
        world_from_first_camera (`Tensor`, *optional*): (4, 4) float64; without, boxes stay in the first camera's
            world.
        box_axes (`str`): `"first_camera"` or `"scene"`.

    Returns:
        `list[RegressedBoxes]`: G of them.
    """
    given = world_from_first_camera is not None
    pose = world_from_first_camera if given else torch.eye(4, dtype=torch.float64)
    axes = world_from_box_axes(pose, box_axes)
    found = []
    # On the CPU in float64: an origin may be so far away that float32 is too coarse.
    for boxes, scores in zip(
        predictions.boxes[-1].cpu().double(), predictions.similarities[-1].cpu().double(), strict=True
    ):
        order = scores.argsort(descending=True, stable=True)
        centres = boxes[order, :3] @ axes.T + pose[:3, 3]
        found.append(
            RegressedBoxes(
                boxes=torch.cat([centres, boxes[order, 3:]], 1).tolist(),
                axes=axes.tolist(),
                probabilities=(scores[order] / temperature).softmax(0).tolist(),
                world=SCENE if given else FIRST_CAMERA,
                geometry_inputs=PREDICTED if given else "none",
            )
        )
    return found


def chosen_boxes(probabilities: Sequence[float], min_probability: float) -> list[int]:
    """The boxes that are meant where none, one or several may be: those that are probable enough by themselves.

    Args:
        probabilities (`Sequence[float]`): Of `RegressedBoxes`.
        min_probability (`float`): Least probability; at most `1 / min_probability` boxes can be meant.

    Returns:
        `list[int]`: Their places, best first; none where the model is sure of none.
    """
    return [place for place, probability in enumerate(probabilities) if probability >= min_probability]


def farthest_points(positions: Tensor, count: int) -> Tensor:
    """Chooses places far apart: first the one farthest from the mean, then always the one farthest from those chosen.

    Args:
        positions (`Tensor`): (M, 3).
        count (`int`): How many; M where there are fewer.

    Returns:
        `Tensor`: (min(count, M),) long, indices; in order of the places where all are chosen.
    """
    if count >= len(positions):
        return torch.arange(len(positions), device=positions.device)
    nearest = (positions - positions.mean(0)).square().sum(-1)
    chosen = []
    for step in range(count):
        chosen.append(nearest.argmax())
        distance = (positions - positions[chosen[-1]]).square().sum(-1)
        nearest = distance if step == 0 else torch.minimum(nearest, distance)
        nearest = nearest.index_fill(0, torch.stack(chosen), -1.0)
    return torch.stack(chosen)


class BoxLayer(nn.Module):
    """Queries read patches, then each other and the location token.

    Args:
        channels (`int`): Channels of queries and patches.
        heads (`int`): Heads of the attentions.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.patch_norm = nn.LayerNorm(channels)
        self.read_patches = MultiHeadAttention(channels, heads)
        self.query_norm = nn.LayerNorm(channels)
        self.read_queries = MultiHeadAttention(channels, heads)
        self.reach = nn.Linear(channels, 1)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp = two_layers(channels, 4 * channels, channels)

    def forward(
        self, queries: Tensor, places: Tensor, location: Tensor, patches: Tensor, distances_metres: Tensor
    ) -> Tensor:
        """One layer.

        Args:
            queries (`Tensor`): (G, N, C).
            places (`Tensor`): (N, C) embedded places of the queries.
            location (`Tensor`): (G, 1, C) location tokens.
            patches (`Tensor`): (G, M, C) with their places.
            distances_metres (`Tensor`): (N, N) between queries.

        Returns:
            `Tensor`: (G, N, C).
        """
        queries = queries + self.read_patches(self.patch_norm(queries) + places, patches)
        normed = self.query_norm(queries) + places
        # softmax(q k / sqrt(C) - sigma d): every query has its own reach, and the location token is near to all.
        bias = -functional.softplus(self.reach(normed)) * distances_metres
        bias = torch.cat([bias, bias.new_zeros(*bias.shape[:2], 1)], -1)
        queries = queries + self.read_queries(normed, torch.cat([normed, location], 1), bias=bias)
        return queries + self.mlp(self.mlp_norm(queries))


class BoxDecoder(nn.Module):
    """Regresses boxes. It computes in float32 outside autocast.

    Args:
        channels (`int`): Hidden size of the language model.
        width (`int`): Channels of the queries.
        queries (`int`): Most queries.
        layers (`int`): Layers.
        heads (`int`): Heads of the attentions.
    """

    def __init__(self, channels: int, width: int, queries: int, layers: int, heads: int):
        super().__init__()
        self.queries = queries
        self.patch_projection = nn.Linear(channels, width)
        self.location_projection = nn.Linear(channels, width)
        self.places = PositionEmbedding(width)
        self.layers = nn.ModuleList(BoxLayer(width, heads) for _ in range(layers))
        self.output_norm = nn.LayerNorm(width)
        self.box = two_layers(width, width, 6)
        self.query_mlp = two_layers(width, width, width)
        self.location_mlp = two_layers(width, width, width)

    def forward(self, tokens: Tensor, positions_metres: Tensor, locations: Tensor) -> BoxPredictions:
        """Answers the questions about one sample.

        Args:
            tokens (`Tensor`): (M, C) 3D patches as they enter the language model.
            positions_metres (`Tensor`): (M, 3) where they lie.
            locations (`Tensor`): (G, C) location tokens.

        Returns:
            `BoxPredictions`
        """
        with torch.autocast(tokens.device.type, enabled=False):
            dtype = self.patch_projection.weight.dtype
            positions = positions_metres.to(dtype)
            chosen = farthest_points(positions, self.queries)
            embedded = self.places(positions).to(dtype)
            patches = (self.patch_projection(tokens.to(dtype)) + embedded).expand(len(locations), -1, -1)
            location = self.location_projection(locations.to(dtype))[:, None]
            # An exact difference, where cdist multiplies matrices.
            distances = (positions[chosen][:, None] - positions[chosen]).square().sum(-1).sqrt()
            queries = patches.new_zeros(len(locations), len(chosen), patches.shape[-1])
            wanted = functional.normalize(self.location_mlp(location), dim=-1)
            boxes, similarities = [], []
            for layer in self.layers:
                queries = layer(queries, embedded[chosen], location, patches, distances)
                normed = self.output_norm(queries)
                offset, size = self.box(normed).split(3, -1)
                size = (LARGEST_LOG_SIZE * (size / LARGEST_LOG_SIZE).tanh()).exp()
                boxes.append(torch.cat([positions[chosen] + offset, size], -1).float())
                found = functional.normalize(self.query_mlp(normed), dim=-1)
                similarities.append((found * wanted).sum(-1).float())
        return BoxPredictions(torch.stack(boxes), torch.stack(similarities))
