"""Options of Vid-LLM's first stage, distillation from a geometry teacher and a semantic teacher."""

from dataclasses import dataclass, field

from igep.trainers.supervision.distillation_losses import GRAM_STACKINGS
from igep.trainers.vid_llm_config import VidLLMTrainingConfig, check_weights


GEOMETRY_TEACHERS = ("geometry_oracle", "backbone", "vggt_patch_encoder", "precomputed")
LANGUAGE_TEACHERS = ("backbone", "precomputed")


@dataclass
class DistillConfig(VidLLMTrainingConfig):
    r"""
    Configuration of [`DistillTrainer`]. Everything of [`VidLLMTrainingConfig`] holds. The vision encoder, the adapter
    and two linear projections train, the last in training alone; the rest of the model stays as it is.

    Args:
        geometry_weight (`float`, *optional*, defaults to `1.0`):
            Weight of `L_geo`.
        language_weight (`float`, *optional*, defaults to `1.0`):
            Weight of `L_lang`.
        structure_weight (`float`, *optional*, defaults to `0.1`):
            Lambda, the weight of `L_sc`, on which the paper is silent; 0 = not computed.
        structure_stacking (`str`, *optional*, defaults to `"channels"`):
            How `L_sc` joins both streams: see `structure_consistency_loss`. `"tokens"` needs teachers of one width.
        geometry_teacher (`str`, *optional*, defaults to `"geometry_oracle"`):
            `"geometry_oracle"` (no weights), `"vggt_patch_encoder"` (the paper's, where VGGT is installed),
            `"backbone"` (any vision encoder of transformers) or `"precomputed"`.
        geometry_teacher_name_or_path (`str`, *optional*):
            Hub id or folder of the encoder, or folder of the descriptors.
        geometry_teacher_layer (`int`, *optional*):
            `backbone`: index into the hidden states; the final output unless given.
        geometry_teacher_transform (`str`, *optional*, defaults to `"resize"`):
            `precomputed`: transform under which the descriptors were written.
        oracle_grid (`int`, *optional*, defaults to `8`):
            `geometry_oracle`: patches along each side of a depth map.
        language_teacher (`str`, *optional*, defaults to `"backbone"`):
            `"backbone"` (any CLIP, SigLIP or other vision encoder, or the tower of a LLaVA) or `"precomputed"`.
        language_teacher_name_or_path (`str`, *optional*, defaults to `"tiny_base"`):
            Hub id or folder. The paper takes the CLIP of LLaVA-3D; the default is the embedded base's SigLIP.
        language_teacher_layer (`int`, *optional*):
            As of the geometry teacher.
        language_teacher_transform (`str`, *optional*, defaults to `"resize"`):
            As of the geometry teacher.
        heads_learning_rate (`float`, *optional*):
            Learning rate of the projections to the teachers; `learning_rate` unless given.

    Raises:
        ValueError: A field has a value outside its range; the message names it, the value and the remedy.
    """

    geometry_weight: float = field(default=1.0, metadata={"help": "Weight of L_geo."})
    language_weight: float = field(default=1.0, metadata={"help": "Weight of L_lang."})
    structure_weight: float = field(default=0.1, metadata={"help": "Weight of L_sc (lambda); 0 = not computed."})
    structure_stacking: str = field(
        default="channels",
        metadata={
            "help": "How L_sc joins both streams; tokens needs teachers of one width.",
            "choices": list(GRAM_STACKINGS),
        },
    )
    geometry_teacher: str = field(
        default="geometry_oracle", metadata={"help": "Teacher of geometry.", "choices": list(GEOMETRY_TEACHERS)}
    )
    geometry_teacher_name_or_path: str | None = field(
        default=None, metadata={"help": "Hub id or folder of the encoder, or folder of its descriptors."}
    )
    geometry_teacher_layer: int | None = field(
        default=None, metadata={"help": "backbone: index into the hidden states (default: the final output)."}
    )
    geometry_teacher_transform: str = field(
        default="resize", metadata={"help": "precomputed: transform under which the descriptors were written."}
    )
    oracle_grid: int = field(default=8, metadata={"help": "geometry_oracle: patches along each side of a depth map."})
    language_teacher: str = field(
        default="backbone", metadata={"help": "Teacher of meaning.", "choices": list(LANGUAGE_TEACHERS)}
    )
    language_teacher_name_or_path: str | None = field(
        default="tiny_base", metadata={"help": "Hub id or folder of the encoder, or folder of its descriptors."}
    )
    language_teacher_layer: int | None = field(
        default=None, metadata={"help": "backbone: index into the hidden states (default: the final output)."}
    )
    language_teacher_transform: str = field(
        default="resize", metadata={"help": "precomputed: transform under which the descriptors were written."}
    )
    heads_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the projections to the teachers (default: learning_rate)."}
    )

    def __post_init__(self):
        super().__post_init__()
        check_weights({name: vars(self)[name] for name in ("geometry_weight", "language_weight", "structure_weight")})
        for name, choices in (
            ("structure_stacking", GRAM_STACKINGS),
            ("geometry_teacher", GEOMETRY_TEACHERS),
            ("language_teacher", LANGUAGE_TEACHERS),
        ):
            if vars(self)[name] not in choices:
                raise ValueError(f"{name}={vars(self)[name]!r} is unknown: use one of {', '.join(choices)}.")
        for stream in ("geometry", "language"):
            kind, name = vars(self)[f"{stream}_teacher"], f"{stream}_teacher_name_or_path"
            if kind in ("backbone", "precomputed") and vars(self)[name] is None:
                raise ValueError(f"{stream}_teacher={kind!r} needs {name}: a Hub id or a folder.")
        if self.oracle_grid < 1:
            raise ValueError(f"oracle_grid={self.oracle_grid} must be at least 1.")

    @property
    def learning_rates(self) -> dict[str, float]:
        """Learning rate of each part of the model and of the heads."""
        heads = self.learning_rate if self.heads_learning_rate is None else self.heads_learning_rate
        return super().learning_rates | {"heads": heads}

    @property
    def losses(self) -> dict[str, float]:
        """Weight of each loss by its name in words, as a card lists them."""
        return {
            f"distance of geometry tokens from a teacher ({self.geometry_teacher})": self.geometry_weight,
            f"distance of each frame's language tokens from a teacher ({self.language_teacher})": self.language_weight,
            "difference of both streams' Gram matrix from the teachers'": self.structure_weight,
        }
