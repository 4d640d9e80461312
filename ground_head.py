"""The head that points at boxes: which of a scene's proposals a description means (as Video-3D LLM does, CVPR 2025).

The query is the language model's last hidden state at the end of `<ground>`, which stands where an answer would. Every
proposal is described by the visual tokens inside it, as they enter the language model (projected and pooled), and by
its numbers; one learned vector stands for "none of them". Both sides go through an MLP each, and their cosine over a
temperature is the score.

Which geometry tells what is inside a box is a setting, `geometry_inputs`, that belongs beside every score:

- `depth+pose`: pixels are carried into the world by their true depth and the camera's pose; tokens belong to the boxes
  that hold enough of their pixels. This is what Video-3D LLM, 3DRS and the authors of 3D-IDE do, also where they
  answer.
- `pose`: the box is projected into every frame; tokens in the rectangle around it belong to it. What stands before the
  object is pooled as well.
- `predicted`: as `depth+pose`, but depth, cameras and poses are those that the model itself reconstructed from RGB.
  The pose of the first frame alone is given: it says where the scene's world, in which the proposals are, lies. For
  models that reconstruct.
- `none`: no depth, no camera. A box is known by its numbers alone: encoded, they attend to all visual tokens of the
  scene. RGB does not show where a scan's world has its origin or heading; what can be learnt is what sizes, heights
  and places go with which objects. Scores under this setting are far below the others, and honest.

Unlike Video-3D LLM, whose boxes enter by the place of their centre alone, size is encoded too; tokens are those after
pooling (its `patch27`: from a quarter of a token's pixels on it is inside); and a box that holds so much of no token
takes those that it holds most of, where Video-3D LLM leaves it empty.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .box_coverage import FrameGeometry, box_coverage, pooled_tokens


GEOMETRY_OF = {  # what each setting of `geometry_inputs` takes
    "none": (),
    "pose": ("intrinsics", "world_from_camera"),
    "depth+pose": ("intrinsics", "world_from_camera", "depth_metres"),
    "predicted": ("world_from_camera",),  # of the first frame: where the model's own reconstruction lies
}
PREDICTED = "predicted"  # for models that reconstruct (Vid-LLM)
TEMPERATURE = 0.07
CUMULATIVE_MASS = 0.4
WAVELENGTHS_METRES = tuple(0.25 * 2**octave for octave in range(9))  # of the encoding of a box: up to 64 m


@dataclass(frozen=True)
class Grounded:
    """What a description was found to mean.

    Args:
        similarities (`list[float]`): Cosine with each proposal, and last with "none of them".
        best (`int`, *optional*): The one proposal that fits best (ScanRefer's rule); `None` where there are no
            proposals.
        chosen (`list[int]`): Those that are meant, perhaps none (Multi3DRefer's rule, see `select_proposals`).
    """

    similarities: list[float]
    best: int | None
    chosen: list[int]


class BoxEncoder(nn.Module):
    """Encodes centre and size of boxes.

    Args:
        channels (`int`): Channels of the encoding.
        width (`int`): Hidden channels.
    """

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.hidden = nn.Linear(12 * len(WAVELENGTHS_METRES), width)
        self.output = nn.Linear(width, channels)

    def forward(self, boxes: Tensor) -> Tensor:
        """Encodes (P, 6) boxes, centre and size in metres, to (P, channels)."""
        turns = boxes[..., None] * (2 * math.pi / boxes.new_tensor(WAVELENGTHS_METRES))
        waves = torch.cat([turns.sin(), turns.cos()], -1).flatten(1)
        return self.output(functional.gelu(self.hidden(waves)))


class TokenAttention(nn.Module):
    """Lets boxes look at all visual tokens of their scene, where no geometry tells which are theirs: one head.

    Args:
        channels (`int`): Channels of boxes and tokens.
        width (`int`): Channels that are compared.
    """

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.query = nn.Linear(channels, width)
        self.key = nn.Linear(channels, width)
        self.value = nn.Linear(channels, width)
        self.output = nn.Linear(width, channels)

    def forward(self, boxes: Tensor, tokens: Tensor) -> Tensor:
        """Describes (P, C) encoded boxes by (M, C) tokens: (P, C)."""
        attended = functional.scaled_dot_product_attention(
            self.query(boxes)[None], self.key(tokens)[None], self.value(tokens)[None]
        )
        return self.output(attended[0])


class GroundHead(nn.Module):
    """Scores proposals against queries. It computes in float32 whatever the model's type and ships in the saved model.

    Args:
        channels (`int`): Hidden size of the language model.
        width (`int`): Channels of the compared embeddings.
        geometry_inputs (`str`): `"none"`, `"pose"` or `"depth+pose"`.
        min_coverage (`float`): Share of a token's pixels from which on it is inside a box.
    """

    def __init__(self, channels: int, width: int, geometry_inputs: str, min_coverage: float):
        super().__init__()
        self.geometry_inputs = geometry_inputs
        self.min_coverage = min_coverage
        self.zero_target = nn.Embedding(
            1, channels
        )  # a vector as good as any: `nn.Parameter` would load uninitialised
        self.box_encoder = BoxEncoder(channels, width)
        self.token_attention = TokenAttention(channels, width) if geometry_inputs == "none" else None
        self.object_mlp = _mlp(channels, width)
        self.query_mlp = _mlp(channels, width)

    def embed_objects(
        self, maps: Tensor, boxes: Tensor, origin: Tensor, geometry: FrameGeometry | None
    ) -> tuple[Tensor, Tensor | None]:
        """Describes the proposals of one scene.

        Args:
            maps (`Tensor`): (F, h, w, C) visual tokens of the scene's frames.
            boxes (`Tensor`): (P, 6) float32 in the world of `geometry`: centre and sizes in metres.
            origin (`Tensor`): (3,) where the origin of that world lies in the scene's own.
            geometry (`FrameGeometry`, *optional*): Of these frames; `None` under `none`.

        Returns:
            `tuple[Tensor, Tensor | None]`: (P + 1, width) unit vectors, the last for "none of them"; and (P,) bool,
            which proposals any frame shows, `None` where that is not known.
        """
        with torch.autocast(maps.device.type, enabled=False):
            maps = maps.float()
            encoded = self.box_encoder(torch.cat([boxes[:, :3] + origin, boxes[:, 3:]], 1))
            seen = None
            if geometry is None:
                features = self.token_attention(encoded, maps.flatten(0, 2))
            else:
                features, seen = pooled_tokens(maps, box_coverage(boxes, geometry, maps.shape[1:3]), self.min_coverage)
            objects = torch.cat([features + encoded, self.zero_target.weight])
            return functional.normalize(self.object_mlp(objects), dim=-1), seen

    def similarities(self, queries: Tensor, objects: Tensor) -> Tensor:
        """Compares queries with the proposals of their scene.

        Args:
            queries (`Tensor`): (K, C) hidden states of the language model.
            objects (`Tensor`): (P + 1, width) of `embed_objects`.

        Returns:
            `Tensor`: (K, P + 1) float32 cosines.
        """
        with torch.autocast(queries.device.type, enabled=False):
            return functional.normalize(self.query_mlp(queries.float()), dim=-1) @ objects.T

    def loss(
        self, maps: Sequence[Tensor], queries: Tensor, grounding: dict, temperature: float
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The loss of a batch of questions.

        Args:
            maps (`Sequence[Tensor]`): (F, h, w, C) visual tokens of each sample's frames.
            queries (`Tensor`): (G, C) hidden states of the questions.
            grounding (`dict`): Of the batch, as `IGEPForConditionalGeneration.forward` takes it.
            temperature (`float`): Divides the similarities.

        Returns:
            `tuple[Tensor, Tensor, Tensor | None]`: The sum of `ground_loss` over the questions; the share of them
            whose best fit is meant; and the share of proposals that a frame shows, `None` where that is not known. The
            last two are detached.
        """
        losses, hits, seen = [], [], []
        for sample, frames in enumerate(maps):
            asked = (grounding["sample"] == sample).nonzero().flatten().tolist()
            if not asked:
                continue
            geometry = None
            if self.geometry_inputs != "none":
                cameras = {name: grounding[name][sample, : len(frames)] for name in GEOMETRY_OF[self.geometry_inputs]}
                geometry = FrameGeometry(image_size=grounding["image_size"], **cameras)
            objects, shown = self.embed_objects(
                frames, grounding["boxes"][sample], grounding["origin"][sample], geometry
            )
            scores = self.similarities(queries[asked], objects)
            meant = torch.stack([grounding["meant"][question] for question in asked])
            losses.append(ground_loss(scores, meant, temperature))
            hits.append(meant.gather(1, scores.argmax(1, keepdim=True))[:, 0].float())
            if shown is not None:
                seen.append(shown.float())
        known = len(seen) > 0 and sum(map(len, seen)) > 0
        return torch.cat(losses).sum(), torch.cat(hits).mean(), torch.cat(seen).mean() if known else None

    def geometry_of(
        self, geometry_inputs: str | None, given: dict, image_size: tuple[int, int] | None, device: torch.device
    ) -> FrameGeometry | None:
        """Checks that the geometry given with a question is that of a setting.

        Args:
            geometry_inputs (`str`, *optional*): The setting; that of the head unless given.
            given (`dict`): `intrinsics`, `world_from_camera` and `depth_metres`, each a `Tensor`, array or `None`.
            image_size (`tuple[int, int]`, *optional*): Of the intrinsics; that of the depth unless given.
            device (`torch.device`): Where it is wanted.

        Returns:
            `FrameGeometry`, *optional*: In float32; `None` under `none`.

        Raises:
            ValueError: A setting that the head was not trained for, or geometry that is missing, or that it does not
                name.
        """
        setting = self.geometry_inputs if geometry_inputs is None else geometry_inputs
        measured = [name != "none" for name in (setting, self.geometry_inputs)]
        if setting not in GEOMETRY_OF or setting == PREDICTED or measured[0] != measured[1]:
            raise ValueError(
                f"geometry_inputs={setting!r}: the ground head was trained with {self.geometry_inputs!r} and has "
                "learnt nothing of it."
            )
        wanted = GEOMETRY_OF[setting]
        for name, value in given.items():
            if (value is None) == (name in wanted):
                raise ValueError(
                    f"geometry_inputs={setting!r} takes {', '.join(wanted) or 'no geometry'}: {name} is "
                    f"{'missing' if value is None else 'too much'}."
                )
        if not wanted:
            return None
        own = {name: torch.as_tensor(given[name], dtype=torch.float32, device=device) for name in wanted}
        if image_size is None:
            if "depth_metres" not in own:
                raise ValueError("image_size is missing: give the height and width that the intrinsics speak of.")
            image_size = (own["depth_metres"].shape[-2], own["depth_metres"].shape[-1])
        return FrameGeometry(image_size=tuple(image_size), **own)


def _mlp(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, width), nn.ReLU(), nn.LayerNorm(width), nn.Linear(width, width))


def ground_loss(similarities: Tensor, meant: Tensor, temperature: float) -> Tensor:
    """InfoNCE with the sum over positives inside the logarithm: one good positive is enough, as in Video-3D LLM.

    Args:
        similarities (`Tensor`): (..., N) cosines, that of the zero target among them.
        meant (`Tensor`): (..., N) bool, at least one each.
        temperature (`float`): Divides the similarities.

    Returns:
        `Tensor`: (...) `-log(sum over meant of exp(s / t) / sum of exp(s / t))`.
    """
    logits = similarities / temperature
    return logits.logsumexp(-1) - logits.masked_fill(~meant, -torch.inf).logsumexp(-1)


def select_proposals(
    scores: list[float], temperature: float = TEMPERATURE, cumulative_mass: float = CUMULATIVE_MASS
) -> list[int]:
    """The boxes that similarities point to, as Video-3D LLM's evaluator of Multi3DRefer chooses them.

    Nothing, if the zero target scores highest. Otherwise boxes in falling order of their probability (a softmax over
    boxes and zero target, in float32) until the sum of those taken reaches `cumulative_mass`; at least one. Equal
    scores keep their order (the evaluator's `torch.sort` promises none, and changes it beyond 16 proposals).

    Args:
        scores (`list[float]`): One similarity per proposal, and last that of the zero target.
        temperature (`float`, *optional*, defaults to `0.07`): Divides the similarities.
        cumulative_mass (`float`, *optional*, defaults to `0.4`): Probability at which to stop.

    Returns:
        `list[int]`: Indices of proposals, most probable first.

    Raises:
        ValueError: No scores, one that is not finite, or options out of range.
    """
    values = np.asarray(scores, dtype=np.float32)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"scores={list(scores)}: give finite numbers, one per proposal and one for the zero target.")
    if not temperature > 0 or not 0 < cumulative_mass <= 1:
        raise ValueError(f"temperature={temperature} must be positive, cumulative_mass={cumulative_mass} in (0, 1].")
    if values.argmax() == len(values) - 1:
        return []
    logits = values / np.float32(temperature)
    shares = np.exp(logits - logits.max())
    shares = (shares / shares.sum())[:-1]
    order = np.argsort(-shares, kind="stable")
    reached = np.cumsum(shares[order], dtype=np.float32) >= np.float32(cumulative_mass)
    return order[: reached.argmax() + 1 if reached.any() else len(order)].tolist()


def grounded(similarities: Tensor, temperature: float, cumulative_mass: float) -> list[Grounded]:
    """What similarities say.

    Args:
        similarities (`Tensor`): (K, P + 1), the last that of "none of them".
        temperature (`float`): See `select_proposals`.
        cumulative_mass (`float`): See `select_proposals`.

    Returns:
        `list[Grounded]`: K of them.
    """
    found = []
    for scores in similarities.tolist():
        best = None if len(scores) == 1 else max(range(len(scores) - 1), key=scores.__getitem__)
        found.append(Grounded(scores, best, select_proposals(scores, temperature, cumulative_mass)))
    return found


def checked_boxes(boxes: Tensor | np.ndarray | list, device: torch.device) -> Tensor:
    """Proposals as a tensor.

    Args:
        boxes (`Tensor`, `np.ndarray` or `list`): P boxes of six numbers; P may be 0.
        device (`torch.device`): Where they are wanted.

    Returns:
        `Tensor`: (P, 6) float32.

    Raises:
        ValueError: Other than six numbers, one that is not finite, or a negative size; the message has the place.
    """
    found = torch.as_tensor(boxes, dtype=torch.float32, device=device)
    if not found.numel():
        return found.new_zeros(0, 6)
    if found.dim() != 2 or found.shape[1] != 6:
        raise ValueError(f"boxes has shape {tuple(found.shape)}: give (P, 6), centre and size of each in metres.")
    wrong = ~found.isfinite().all(1) | (found[:, 3:] < 0).any(1)
    if bool(wrong.any()):
        place = int(wrong.float().argmax())
        raise ValueError(f"boxes[{place}]={found[place].tolist()} is no box: numbers are finite, sizes not negative.")
    return found
