"""Where the files of this package lie: in a checkout, and in an installed package alike."""

from pathlib import Path


PACKAGE = Path(__file__).resolve().parent.parent
CARD_TEMPLATES = PACKAGE / "hub_cards"
SPACE = PACKAGE / "spaces" / "scene_qa"
RECIPES = PACKAGE / "trainers" / "recipes"
TINY_BASE = PACKAGE / "trainers" / "tiny_base"
