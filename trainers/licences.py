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
    *(
        "apache-2.0",
        "mit",
        "openrail",
        "bigscience-openrail-m",
        "creativeml-openrail-m",
        "bigcode-openrail-m",
        "afl-3.0",
    ),
    *(
        "artistic-2.0",
        "bsl-1.0",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsd-3-clause-clear",
        "c-uda",
        "cc",
        "cc0-1.0",
    ),
    *(
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
    ),
    *("cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0"),
    *(
        "cc-by-nc-sa-4.0",
        "cdla-sharing-1.0",
        "cdla-permissive-1.0",
        "cdla-permissive-2.0",
        "wtfpl",
        "ecl-2.0",
        "epl-1.0",
    ),
    *(
        "epl-2.0",
        "eupl-1.1",
        "eupl-1.2",
        "agpl-3.0",
        "gfdl",
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "lgpl",
        "lgpl-2.1",
        "lgpl-3.0",
    ),
    *(
        "isc",
        "intel-research",
        "h-research",
        "lppl-1.3c",
        "ms-pl",
        "apple-ascl",
        "apple-amlr",
        "mpl-2.0",
        "odc-by",
        "odbl",
    ),
    *("openmdw-1.0", "openrail++", "osl-3.0", "postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib", "pddl", "lgpl-lr"),
    *(
        "deepfloyd-if-license",
        "fair-noncommercial-research-license",
        "llama2",
        "llama3",
        "llama3.1",
        "llama3.2",
        "llama3.3",
    ),
    *("llama4", "grok2-community", "gemma"),
)
PERMISSIVE = (
    "apache-2.0",
    "mit",
    "bsd",
    "bsd-2-clause",
    "bsd-3-clause",
    "bsl-1.0",
    "isc",
    "unlicense",
    "cc0-1.0",
    "zlib",
)
RESTRICTED = re.compile(r"(?<![a-z])nc(?![a-z])|non-?commercial|research|(?<![a-z])nd(?![a-z])", re.IGNORECASE)
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
                f"licence {self.name!r} is no name of a licence: use one of the Hub's, such as apache-2.0 or cc-by-nc-4.0, or "
                "another of letters, digits, dots and dashes."
            )

    @property
    def metadata(self) -> dict[str, str]:
        """`license` for a card; `other` and a name for what the Hub does not know."""
        if self.name.lower() in HUB_LICENCES:
            return {"license": self.name.lower()}
        link = {} if self.link is None else {"license_link": self.link}
        return {"license": "other", "license_name": self.name.lower(), **link}

    @property
    def is_restricted(self) -> bool:
        """Whether it forbids commercial use, or may do so, by its name."""
        return RESTRICTED.search(self.name) is not None


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
    except (
        EntryNotFoundError,
        LocalEntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        OSError,
        ValueError,
    ) as error:
        logger.warning("The licence of %s could not be read from its card (%s).", name, type(error).__name__)
        return None
    stated = data.license_name if data.license in ("other", None) else data.license
    if not isinstance(stated, str) or not NAME.fullmatch(stated):
        return None
    return {"name": stated, "link": data.license_link}


def inherited_licence(run: dict[str, Any], given: str | None = None) -> tuple[Licence | None, str]:
    """The licence that a model has from what it was made of.

    Args:
        run (`dict`): What `training_run.json` holds.
        given (`str`, *optional*): The licence that its owner names.

    Returns:
        `tuple[Licence | None, str]`: The licence, `None` where it is not known, and sentences for the card.

    Raises:
        ValueError: The licence that is given is no name, or allows what a non-commercial base or teacher forbids.
    """
    base, teacher = run["base_model"], run["teacher"]
    sources = [(f"The base model {base['name']}", base["licence"])]
    if teacher is not None and teacher["name"]:
        sources.append((f"The teacher {teacher['name']}", teacher["licence"]))
    known = [(what, Licence(**licence)) for what, licence in sources if licence is not None]
    restricted = [(what, licence) for what, licence in known if licence.is_restricted]
    sentences = [f"{what} is under `{licence.name}`." for what, licence in known if (what, licence) not in restricted]
    sentences += [
        f"**Non-commercial:** {what[0].lower()}{what[1:]} is under `{licence.name}`, which holds for what was made with it."
        for what, licence in restricted
    ]
    sentences += [
        f"{what} states no licence that could be read when this was written: look it up before you use this model. Several 3D "
        "foundation models are for non-commercial use only, and so is what is trained on them."
        for what, licence in sources
        if licence is None
    ]
    sentences.append("The licences of the training data hold as well.")
    if given is not None:
        chosen = Licence(given)
        if restricted and not chosen.is_restricted:
            what, licence = restricted[0]
            raise ValueError(
                f"--licence {given}: {what[0].lower()}{what[1:]} is under {licence.name}, which does not allow it. Give that one, "
                "or leave --licence out."
            )
        return chosen, " ".join(sentences)
    return _of_all(known, complete=len(known) == len(sources)), " ".join(sentences)


def _of_all(known: list[tuple[str, Licence]], *, complete: bool) -> Licence | None:
    """One licence for all: the one that is not permissive; `None` where several are not, or one is not known."""
    if not complete:
        restricted = {licence for _, licence in known if licence.is_restricted}
        return restricted.pop() if len(restricted) == 1 else None
    binding = {licence for _, licence in known if licence.name.lower() not in PERMISSIVE}
    if len(binding) > 1:
        return Licence("several-see-card")
    return binding.pop() if binding else known[0][1]
