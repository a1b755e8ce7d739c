"""The protocols that each kind of input follows."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor


class Cells(Protocol):
    """The inputs of a data set as they are stored: `ImageCells`, `SoundCells`, `TableCells`."""

    kind: str

    def __len__(self) -> int: ...

    def read(self, row: int, where: str) -> Any:
        """The input of a row, decoded; `where` names it in messages."""

    def content(self, example: Any) -> bytes:
        """What makes an input this one and no other, for fingerprints."""


class Preprocessor(Protocol):
    """`ImagePreprocessor`, `SoundPreprocessor` or `TablePreprocessor`."""

    max_batch_size: int | None

    def features(self, example: Any) -> dict[str, Tensor]:
        """A model's inputs for one example, without the dimension of the batch."""

    def collate(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """A batch from what `features` gave, labels among it."""

    def inputs(self, examples: Sequence[Any]) -> dict[str, Tensor]:
        """A batch of a model's inputs."""
