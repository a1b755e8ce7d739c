"""A table that lists paths and labels of images or clips: CSV, TSV, Parquet or JSON lines."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, DatasetInfo, Features
from pyarrow import csv, json

from hfmix.data.kind_words import KIND_WORDS
from hfmix.data.sources.files_as_rows import FEATURES, file_cells
from hfmix.data.sources.suffixes import SUFFIXES, suffix_of, why_left_out
from hfmix.data.sources.walk import Walked

_SAMPLE = 64  # cells that tell whether a column holds paths
_SHOWN = 5
_PATH_COLUMNS = ("file_name", "filename", "image", "audio", "path", "file", "filepath", "file_path")
# columns of classes where there is no `label`; words come before the numbers that stand for them
_LABEL_COLUMNS = ("class", "class_name", "category", "species", "breed", "target", "labels", "class_id", "classID")

Finder = Callable[[str], str | None]
"""A function from a cell to the absolute path of the file that it names, or None."""


@dataclass(frozen=True)
class Listing:
    """A table with a column of files that are there.

    Attributes:
        file: the table's path.
        table: its columns.
        column: the name of the column of paths.
        paths: (N,) absolute paths, one a row.
        kind: "image" or "audio".
    """

    file: str
    table: pa.Table
    column: str
    paths: list[str]
    kind: str

    def words(self) -> Iterator[tuple[str, list[str | None]]]:
        """Yields name and cells of each other column of strings."""
        for name in self.table.column_names:
            if name != self.column and pa.types.is_string(self.table.schema.field(name).type):
                yield name, self.table.column(name).to_pylist()


def read_listing(file: str, column: str | None = None, walked: Walked | None = None) -> Listing | None:
    """Reads a table of paths; returns None if no column holds any.

    A path is relative to the table, to a folder beside it or beside its own folder, or, within a walked folder, to
    that; there also a file's name alone, or its name without suffix, is enough if only one file has it.

    Args:
        file: a CSV, TSV, Parquet or JSON lines file.
        column: the column of paths, if it is known; None looks for the one whose cells are existing files.
        walked: the folder that holds both the table and the files.

    Raises:
        ValueError: two columns hold paths, or files that the table lists are missing or of another kind.
    """
    table = _read(file)
    if table is None:
        return None
    text = {name: cells for name, cells in _text_columns(table, file) if column in (None, name)}
    finders = _finders(Path(file), walked)
    scores = {name: _score(_sample(cells), finders) for name, cells in text.items()}
    fitting = [name for name, (share, _) in scores.items() if share >= 0.5]
    if not fitting:
        fitting = [name for name, cells in text.items() if _look_like_paths(_sample(cells))]
    if not fitting:
        return None
    name = _only(fitting, file)
    finder = scores[name][1]
    cells = text[name].to_pylist()
    paths = [None if cell is None else finder(cell) for cell in cells]
    if missing := [str(cell) for cell, path in zip(cells, paths, strict=True) if path is None]:
        shown = ", ".join(missing[:_SHOWN]) + (
            f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        )
        raise ValueError(
            f"{len(missing)} of the {len(cells)} files that {file} lists in its column {name!r} are not there: "
            f"{shown} (paths are relative to the table, or to a folder beside it)"
        )
    return Listing(file, table, name, paths, _kind(paths, file, name))


def listing_rows(listing: Listing) -> tuple[Dataset, tuple[str, ...]]:
    """Makes a data set of a listing: its column of paths becomes one of files, its column of classes a ClassLabel.

    Classes are in the column `label`, or the only other one, or the first with a usual name; whole numbers are the
    names of classes, since nothing says that they count from 0.

    Returns:
        The data set, and what was guessed.
    """
    table, notes = listing.table.replace_schema_metadata(None), []
    features = Features.from_arrow_schema(listing.table.schema)
    place = table.column_names.index(listing.column)
    table = table.set_column(place, listing.column, file_cells(listing.paths))
    features[listing.column] = FEATURES[listing.kind]
    name = Path(listing.file).name
    notes.append(f"the paths are in the column {listing.column!r} of {name}")
    label = label_column(listing)
    if label is not None and not isinstance(features[label], ClassLabel):
        if classes := _class_names(listing.table.column(label)):
            texts = listing.table.column(label).cast(pa.string())
            index = pc.index_in(texts, pa.array(classes)).cast(pa.int64())
            table = table.set_column(table.column_names.index(label), label, index)
            features[label] = ClassLabel(names=classes)
        if label != "label":
            notes.append(f"the classes are in the column {label!r} of {name}")
    return Dataset(table, info=DatasetInfo(features=features)), tuple(notes)


def label_column(listing: Listing) -> str | None:
    """Returns the column of classes of a listing, as far as its name tells."""
    others = [name for name in listing.table.column_names if name != listing.column]
    if "label" in others:
        return "label"
    if len(others) == 1:
        return others[0]
    return next((name for name in _LABEL_COLUMNS if name in others), None)


def _class_names(column: pa.ChunkedArray) -> list[str] | None:
    """Returns the sorted classes of a column of words or whole numbers without gaps; None for any other."""
    if column.null_count or not len(column):
        return None
    if pa.types.is_integer(column.type):
        return [str(number) for number in sorted(column.unique().to_pylist())]
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return sorted(column.unique().to_pylist())
    return None


def _read(file: str) -> pa.Table | None:
    """Reads a table, or returns None if it is none or its own columns hold the files."""
    suffix = suffix_of(Path(file).name)
    try:
        if suffix == ".parquet":
            schema = pq.read_schema(file)
            if not any(_is_text(field.type) or pa.types.is_dictionary(field.type) for field in schema):
                return None
            if any(pa.types.is_struct(field.type) or pa.types.is_binary(field.type) for field in schema):
                return None
            with Path(file).open("rb") as stream:
                return pq.read_table(stream)
        if suffix == ".jsonl":
            return json.read_json(file)
        return csv.read_csv(
            file, _csv_reading(file), _csv_parsing(file), csv.ConvertOptions(strings_can_be_null=True)
        )
    except (pa.ArrowException, UnicodeDecodeError, OverflowError):
        return None  # those who read it as rows say what is wrong


def _text_columns(table: pa.Table, file: str) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Yields the columns that can hold paths, as strings; from CSV also those that look like numbers ("0001")."""
    if suffix_of(Path(file).name) in (".csv", ".tsv"):
        names = dict.fromkeys(table.column_names, pa.string())
        converting = csv.ConvertOptions(column_types=names, strings_can_be_null=True)
        table = csv.read_csv(file, _csv_reading(file), _csv_parsing(file), converting)
    for name in dict.fromkeys(table.column_names):
        if table.column_names.count(name) == 1:
            cells = table.column(name)
            if _is_text(cells.type) or (pa.types.is_dictionary(cells.type) and _is_text(cells.type.value_type)):
                yield name, cells.cast(pa.string())


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _csv_reading(file: str) -> csv.ReadOptions:
    return csv.ReadOptions(block_size=Path(file).stat().st_size + 1)


def _csv_parsing(file: str) -> csv.ParseOptions:
    with Path(file).open(encoding="utf-8-sig") as lines:
        head = next(lines, "")
    return csv.ParseOptions(delimiter=max(",;\t|", key=head.count))


def _sample(cells: pa.ChunkedArray) -> list[str]:
    known = cells.drop_null()
    step = max(1, len(known) // _SAMPLE)
    return [known[i].as_py() for i in range(0, len(known), step)][:_SAMPLE]


def _look_like_paths(sample: Sequence[str]) -> bool:
    suffixes = image_and_sound()
    return bool(sample) and sum(suffix_of(cell) in suffixes for cell in sample) >= 0.9 * len(sample)


def image_and_sound() -> frozenset[str]:
    """Returns the suffixes of everything that Pillow or libsndfile opens."""
    return frozenset().union(*(suffixes() for suffixes in SUFFIXES.values()))


def _score(sample: Sequence[str], finders: Sequence[Finder]) -> tuple[float, Finder]:
    """Returns the largest share of a sample's cells that a finder finds, and that finder."""
    shares = [sum(finder(cell) is not None for cell in sample) / max(1, len(sample)) for finder in finders]
    best = max(range(len(finders)), key=shares.__getitem__)
    return shares[best], finders[best]


def _finders(file: Path, walked: Walked | None) -> list[Finder]:
    """Returns the ways to find what a cell names, the plainest first."""
    own = Path(os.path.abspath(file)).parent  # noqa: PTH100 - links keep their names
    bases = [own, *_subfolders(own)]
    if walked is None:
        return [_beneath(base) for base in bases]
    if walked.root != str(own):
        bases += [own.parent, *_subfolders(own.parent), Path(walked.root)]
    return [*(_beneath(base) for base in bases), *_by_name(walked)]


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")[:100]
    except OSError:
        return []


def _beneath(base: Path) -> Finder:
    def find(cell: str) -> str | None:
        for form in dict.fromkeys((cell.strip(), normalize("NFC", cell), normalize("NFD", cell))):
            path = os.path.normpath(os.path.join(base, form.replace("\\", "/")))  # noqa: PTH118
            if os.path.isfile(path) and suffix_of(path) in image_and_sound_here:  # noqa: PTH113
                return path
        return None

    image_and_sound_here = image_and_sound()
    return find


def _by_name(walked: Walked) -> list[Finder]:
    """Returns finders by a file's name, and by its name without suffix, where only one file has it."""
    suffixes = image_and_sound()
    names: dict[str, list[str]] = defaultdict(list)
    stems: dict[str, list[str]] = defaultdict(list)
    for folder, name in walked.files():
        if suffix_of(name) in suffixes:
            path, composed = walked.path(folder, name), normalize("NFC", name)
            names[composed].append(path)
            stems[composed.removesuffix(Path(composed).suffix)].append(path)

    def finder(known: dict[str, list[str]]) -> Finder:
        def find(cell: str) -> str | None:
            paths = known.get(normalize("NFC", cell.strip()), ())
            return paths[0] if len(paths) == 1 else None

        return find

    return [finder(names), finder(stems)]


def _only(columns: Sequence[str], file: str) -> str:
    for name in _PATH_COLUMNS:
        if name in columns:
            return name
    if len(columns) > 1:
        raise ValueError(
            f"the columns {' and '.join(map(repr, columns))} of {file} hold paths: set image_column_name or "
            f"audio_column_name to one of them"
        )
    return columns[0]


def _kind(paths: Sequence[str], file: str, column: str) -> str:
    suffixes = {suffix_of(path) for path in paths}
    for kind, known in SUFFIXES.items():
        if suffixes <= known():
            return kind
    odd = sorted(suffixes - SUFFIXES["image"]())
    kinds = " nor ".join(words.plural for words in (KIND_WORDS["image"], KIND_WORDS["audio"]))
    raise ValueError(
        f"{file} lists files in its column {column!r} that are neither all {kinds}: "
        f"{why_left_out(odd[0], 'image')}"
    )
