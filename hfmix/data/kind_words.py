"""The words for each kind of input; cheap to import, since reports and cards use them without any data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KindWords:
    """The words for a kind of input.

    Attributes:
        plural: the inputs as a whole ("images", "sound", "tables").
        examples: what its examples are called in a count ("images", "clips", "rows").
        task: the Hub's name of the task, a model card's `pipeline_tag`.
    """

    plural: str
    examples: str
    task: str


KIND_WORDS = {
    "image": KindWords("images", "images", "image-classification"),
    "audio": KindWords("sound", "clips", "audio-classification"),
    "table": KindWords("tables", "rows", "tabular-classification"),
}


def words_for(kind: str) -> KindWords:
    """Returns the words for a kind; for one that is not known (in an edited report), general ones."""
    return KIND_WORDS.get(kind) or KindWords("examples", "examples", f"{kind}-classification")
