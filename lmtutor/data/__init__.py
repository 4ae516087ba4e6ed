"""Real text for the chapters, and the reader's own: each loader returns a `datasets.DatasetDict` and has a card."""

from .bbc import load_bbc
from .cards import CARDS, Card, card
from .dialogues import load_dialogues
from .reviews import load_reviews
from .tables import load_csv, require_columns

__all__ = ["CARDS", "Card", "card", "load_bbc", "load_csv", "load_dialogues", "load_reviews", "require_columns"]
