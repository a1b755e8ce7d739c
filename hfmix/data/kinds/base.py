"""The record that describes a kind of input, and the protocols that its parts follow."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Protocol, Self

from datasets import Audio, Dataset, Image, Value
from torch import Tensor

from hfmix.data.contents import content_of
from hfmix.data.kind_words import KIND_WORDS, KindWords
from hfmix.data.kinds.stored import described, is_file, with_stored

_REPR = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>|<_io\.BytesIO[^>]*>")


@dataclass(frozen=True)
class Kind:
    """A kind of input: how it is stored, decoded, preprocessed and named.

    Attributes:
        name: "image", "audio" or "table".
        cells: the class that holds such a column as it is stored.
        preprocessor: the class that turns examples into a model's inputs.
        transform: takes a processor and the `DataArguments` (None in evaluation) and returns the function from
            an example to a model's inputs.
        is_constant: whether training never changes the examples, which are small enough to prepare once and keep.
    """

    name: str
    cells: "type[Cells]"
    preprocessor: "Callable[[Any], Preprocessor]"
    transform: Callable[..., Callable[[Any], dict[str, Tensor]]]
    is_constant: bool = False

    @property
    def words(self) -> KindWords:
        """Returns the words for it in messages, reports and cards."""
        return KIND_WORDS[self.name]


class Cells(Protocol):
    """The inputs of a data set as they are stored: `ImageCells`, `SoundCells` or `TableCells`."""

    kind: str

    def __len__(self) -> int: ...

    def stored(self, rows: Sequence[int]) -> list[Any]:
        """Returns the inputs of these rows, not decoded."""

    def read(self, row: int, where: str) -> Any:
        """Decodes the input of a row; `where` names it in messages."""

    def content(self, example: Any) -> bytes:
        """Returns the bytes that identify an input, for fingerprints."""


class Preprocessor(Protocol):
    """The step from examples to a model's inputs: an image, sound or table preprocessor."""

    max_batch_size: int | None

    def features(self, example: Any) -> dict[str, Tensor]:
        """Computes a model's inputs for one example, without the batch dimension."""

    def collate(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Makes a batch of what `features` returned, labels included."""

    def inputs(self, examples: Sequence[Any]) -> dict[str, Tensor]:
        """Computes a model's inputs for a batch of examples."""


@dataclass(frozen=True, eq=False)
class FileCells(ABC):
    """A column of encoded files, each ``{"bytes": …, "path": …}``: what images and sound have in common.

    Attributes:
        cells: a data set with one column, the files, not decoded.
        feature: the column's type in `datasets`, set not to decode.
        fact_names: the names of the numbers that `facts` returns.
    """

    cells: Dataset
    kind: ClassVar[str]
    feature: ClassVar[Image | Audio]
    fact_names: ClassVar[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.cells)

    @classmethod
    def of(cls, dataset: Dataset, column: str, name: str) -> Self:
        """Takes a column of `dataset`; `name` says in messages which set it is.

        Raises:
            ValueError: the column holds neither this kind of input nor files or bytes.
        """
        feature = dataset.features[column]
        if not (isinstance(feature, type(cls.feature)) or is_file(feature)):
            plural = KIND_WORDS[cls.kind].plural
            raise ValueError(
                f"column {column!r} of the {name} set does not hold {plural} but {described(feature)}: set "
                f"{cls.kind}_column_name to a column of files, bytes or paths"
            )
        if isinstance(feature, dict) or (isinstance(feature, Value) and feature.dtype not in ("string", "binary")):
            dataset = with_stored(dataset, column)
        return cls(dataset.select_columns([column]).cast_column(column, cls.feature))

    def stored(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Returns the files of these rows, not decoded."""
        (cells,) = self.cells[list(rows)].values()
        return cells

    def read(self, row: int, where: str) -> Any:
        """Decodes the file of a row.

        Raises:
            ValueError: as `decode`; `where` names the row.
        """
        (cell,) = self.cells[row].values()
        return self.decode(cell, where)

    @staticmethod
    @abstractmethod
    def decode(cell: dict[str, Any] | None, where: str) -> Any:
        """Decodes a cell, ``{"bytes": …, "path": …}``."""

    @staticmethod
    @abstractmethod
    def facts(cell: dict[str, Any] | None, where: str) -> tuple[float, ...]:
        """Reads a cell as far as it takes to know that it can be decoded; returns numbers about it.

        Raises:
            ValueError: as `decode`.
        """

    @staticmethod
    @abstractmethod
    def content(example: Any) -> bytes:
        """Returns the bytes that identify an input, for fingerprints."""


def unreadable(cell: Mapping[str, Any] | None, where: str, kind: str, error: Exception) -> ValueError:
    """Returns the error on a cell that cannot be read: it names the row, the file, and what the file really is.

    Args:
        cell: ``{"bytes": …, "path": …}``.
        where: the row.
        kind: "image" or "audio".
        error: the reading library's error, which may name an object in memory.
    """
    path, content = ((cell or {}).get(name) for name in ("path", "bytes"))
    source = content if content is not None else path
    actual = None if source is None else content_of(source, kind)
    what = {"image": "an image", "audio": "sound"}[kind]
    reason = f"it is {actual}" if actual else _REPR.sub("it", " ".join(str(error).split()))
    return ValueError(f"{where}{f' ({path})' if path else ''} is not {what} that can be read: {reason}")


def imported_on_call(module: str, name: str) -> Callable[..., Any]:
    """Returns a function that imports `name` from `module` when it is called.

    The transforms in `hfmix.data.augment` import the kinds; and timm, which an evaluation does not need.
    """
    return lambda *args: getattr(import_module(module), name)(*args)
