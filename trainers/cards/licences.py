"""Licences of models: read from the cards of what a model was made of, and what follows for the model itself."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from transformers.utils import logging


logger = logging.get_logger(__name__)

# The Hub knows these by name; every other one is "other" with a name of its own.
HUB_LICENCES = (
    *("apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m"),
    *("bigscience-bloom-rail-1.0", "bigcode-openrail-m", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd"),
    *("bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5"),
    *("cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0"),
    *("cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0"),
    *("cc-by-nc-sa-4.0", "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0"),
    *("epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0"),
    *("gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "intel-research", "h-research", "lppl-1.3c", "ms-pl"),
    *("apple-ascl", "apple-amlr", "mpl-2.0", "odc-by", "odbl", "openmdw-1.0", "openrail++", "osl-3.0"),
    *("postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib", "pddl", "lgpl-lr", "deepfloyd-if-license"),
    *("fair-noncommercial-research-license", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4"),
    *("grok2-community", "gemma"),
)
SEVERAL = "several-see-card"
UNSTATED = ("unknown", "other")  # the Hub's words for a licence that nobody named
PERMISSIVE = (
    *("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "bsl-1.0", "isc", "ncsa"),
    *("zlib", "unlicense", "wtfpl", "cc0-1.0", "pddl", "postgresql", "openmdw-1.0", "cdla-permissive-1.0"),
    "cdla-permissive-2.0",
)
ATTRIBUTION = ("cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "odc-by")
# Their names do not say so, but their texts do; `several-see-card` may stand for such a one.
NON_COMMERCIAL = (
    *("apple-amlr", "deepfloyd-if-license", "mnpl", "mnpl-0.1", "mrl", "exaone", "coqui-public-model-license"),
    SEVERAL,
)
NON_COMMERCIAL_NAME = re.compile(r"(?<![a-z])nc(?![a-z])|non[-_.]?(commercial|production)|research", re.IGNORECASE)
NO_DERIVATIVES_NAME = re.compile(r"(?<![a-z])nd(?![a-z])", re.IGNORECASE)
NO_CARD = (EntryNotFoundError, LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError, ValueError)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,95}")


@dataclass(frozen=True)
class Licence:
    """A licence as the metadata of a card states it.

    Args:
        name (`str`): `apache-2.0` and so on, or a name that the Hub does not know.
        link (`str`, *optional*): Where its text is.

    Raises:
        ValueError: The name is none.
    """

    name: str
    link: str | None = None

    def __post_init__(self):
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"licence {self.name!r} is no name of a licence: use one of the Hub's, such as apache-2.0 or "
                "cc-by-nc-4.0, or another of letters, digits, dots and dashes."
            )

    @property
    def metadata(self) -> dict[str, str]:
        """`license` for a card; `other` and a name for what the Hub does not know."""
        if self.key in HUB_LICENCES:
            return {"license": self.key}
        link = {} if self.link is None else {"license_link": self.link}
        return {"license": "other", "license_name": self.key, **link}

    @property
    def key(self) -> str:
        """Its name as two spellings of it agree on."""
        return self.name.lower()

    @property
    def is_non_commercial(self) -> bool:
        """Whether it forbids commercial use, or may do so, by its name."""
        return self.key in NON_COMMERCIAL or NON_COMMERCIAL_NAME.search(self.name) is not None

    @property
    def is_permissive(self) -> bool:
        """Whether what is made from it may bear any licence."""
        return self.key in PERMISSIVE or self.key in ATTRIBUTION


def licence_of(name: str) -> dict[str, str | None] | None:
    """The licence that a model's own card states.

    Args:
        name (`str`): Id on the Hub or folder.

    Returns:
        `dict` or `None`: `name` and `link`; `None` where there is no card to read, or it names none.
    """
    folder = Path(name)
    card_file = folder / "README.md"
    if not name or (folder.is_dir() and not card_file.is_file()):
        return None
    try:
        data = ModelCard.load(card_file if folder.is_dir() else name).data
    except NO_CARD as error:
        logger.warning("The licence of %s could not be read from its card (%s).", name, type(error).__name__)
        return None
    stated = data.license_name if data.license in ("other", None) else data.license
    if not isinstance(stated, str) or not NAME.fullmatch(stated):
        return None
    return {"name": stated, "link": data.license_link}


def inherited_licence(run: dict[str, Any], given: str | None = None) -> tuple[Licence | None, str]:
    """The licence that a model has from what it was made of, in its last run and in those before.

    Args:
        run (`dict`): What `training_run.json` holds.
        given (`str`, *optional*): The licence that its owner names.

    Returns:
        `tuple[Licence | None, str]`: The licence, `None` where it is not known, and sentences for the card.

    Raises:
        ValueError: The licence that is given is no name, or is not what a base or a teacher asks for.
    """
    sources = _sources(run)
    known = [(what, licence) for what, licence in sources if licence is not None]
    complete = len(known) == len(sources)
    sentences = [_sentence(what, licence) for what, licence in sources]
    if not complete:
        sentences.append(
            "Several 3D foundation models are for non-commercial use only, and so is what is trained on them."
        )
    if given is not None and not complete:
        sentences.append(f"Whoever published this model states `{given}` for it.")
    sentences.append("The licences of the training data hold as well.")
    licence = _of_all(known, complete=complete)
    if given is not None:
        licence = _checked(Licence(given), known, inherited=licence)
    return licence, " ".join(sentences)


def _sources(run: dict[str, Any]) -> list[tuple[str, Licence | None]]:
    """What a model was made of, each with its licence, `None` where it states none; the last run first."""
    sources = {}
    for number, part in enumerate((run, *reversed(run["earlier"]))):
        when = " of an earlier run" if number else ""
        for role, source in (("base model", part["base_model"]), ("teacher", part["teacher"])):
            if source is None or (role == "teacher" and not source["name"]):
                continue
            stated = source["licence"]
            licence = None if stated is None or stated["name"].lower() in UNSTATED else Licence(**stated)
            sources.setdefault((source["name"], licence), (f"The {role} {source['name']}{when}", licence))
    return list(sources.values())


def _sentence(what: str, licence: Licence | None) -> str:
    """What the card says of one source."""
    inside = _inside(what)
    if licence is None:
        return (
            f"{what} states no licence that could be read when this was written: look it up before you use this model."
        )
    if licence.key == SEVERAL:
        return (
            f"**Maybe non-commercial:** {inside} is under several licences, which its card names and which hold for "
            "what was made with it."
        )
    if licence.is_non_commercial:
        sentence = f"**Non-commercial:** {inside} is under `{licence.name}`, which holds for what was made with it."
    else:
        sentence = f"{what} is under `{licence.name}`."
    if NO_DERIVATIVES_NAME.search(licence.name):
        sentence += f" `{licence.name}` does not allow to share what is made from it."
    return sentence


def _inside(what: str) -> str:
    """The start of a sentence as it stands inside one."""
    return f"{what[0].lower()}{what[1:]}"


def _of_all(known: list[tuple[str, Licence]], *, complete: bool) -> Licence | None:
    """One licence for all, the one that binds; `None` where one is not known, unless another is non-commercial."""
    binding = {licence.key: licence for _, licence in reversed(known) if licence.key not in PERMISSIVE}
    if not complete and not any(licence.is_non_commercial for licence in binding.values()):
        return None
    if len(binding) > 1:
        return Licence(SEVERAL)
    return next(iter(binding.values()), known[0][1])


def _checked(given: Licence, known: list[tuple[str, Licence]], *, inherited: Licence | None) -> Licence:
    """The licence that is given, with its link where a source has it too; raises if a source does not allow it."""
    if inherited is not None and given.key == inherited.key:
        return inherited
    binding = [(what, licence) for what, licence in known if not licence.is_permissive]
    binding = [(what, licence) for what, licence in binding if licence.is_non_commercial] or binding
    allowed = {licence.key: licence for _, licence in binding}
    if binding and given.key not in allowed:
        what, licence = binding[0]
        raise ValueError(
            f"--licence {given.name}: {_inside(what)} is under {licence.name}, which does not allow it. Give "
            f"{' or '.join(allowed)}, or leave --licence out."
        )
    return allowed.get(given.key, given)
