"""The words of the embedded texts: what the synthetic reviews and the tagged sentences are made of."""

# fmt: off
from __future__ import annotations

GOOD = (
    "good", "great", "fine", "lovely", "brilliant", "moving", "funny", "clever", "charming", "touching",
    "gripping", "fresh", "superb", "warm", "bold", "honest", "elegant", "witty", "tender", "rich",
)
BAD = (
    "bad", "awful", "poor", "dull", "boring", "clumsy", "weak", "stupid", "bland", "tedious", "ugly",
    "stale", "lazy", "cheap", "hollow", "flat", "silly", "cold", "messy", "dreary",
)
ASPECTS = (
    "plot", "acting", "music", "script", "ending", "cast", "dialogue", "camera", "pacing", "humour",
    "sound", "editing", "hero", "villain", "opening", "story", "costumes", "scenery", "songs", "romance",
)
NAMES = (
    "adler", "brandt", "castel", "dorn", "elsner", "falk", "gerber", "holm", "ibsen", "jansen", "keller",
    "lorenz", "marek", "nolde", "olsen", "pauli", "quint", "rossi", "seidel", "tamm", "ulmer", "varga",
    "wedel", "xaver", "yorck", "zeller",
)
THINGS = (
    "river", "garden", "winter", "mirror", "island", "harbour", "window", "summer", "shadow", "letter",
    "tower", "forest", "bridge", "station",
)
DEGREES = (
    "very", "quite", "really", "rather", "truly", "so",
)
DAYS = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
)
RELATIVES = (
    "friend", "sister", "brother", "mother", "father", "wife", "husband", "neighbour",
)
