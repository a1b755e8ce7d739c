"""A folder on this machine as splits: what it holds is decided here, and read by the rules for that."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import pyarrow as pa
from datasets import ClassLabel, Dataset, IterableDataset

from hfmix.data.kind_words import KIND_WORDS
from hfmix.data.sources.archives import open_shards
from hfmix.data.sources.files_as_rows import as_stream
from hfmix.data.sources.layouts import is_saved_to_disk, is_speech_commands, saved_to_disk, speech_commands
from hfmix.data.sources.listing import Listing, label_column, listing_rows, read_listing
from hfmix.data.sources.media_folder import SPLITS, MediaFiles, media_splits
from hfmix.data.sources.opened import LeftOut, Opened
from hfmix.data.sources.rows import check_content, row_splits, rows_by_split
from hfmix.data.sources.split_words import Split, split_of, split_of_value
from hfmix.data.sources.structure import ClassFolder, Structure, class_name
from hfmix.data.sources.suffixes import kind_of_closed, suffix_of, why_left_out
from hfmix.data.sources.walk import Parts, Walked, count_suffixes, walk

_FEW = 4  # images or clips for each file of rows, up to which the rows are the data and the images beside them


@dataclass(frozen=True)
class Reading:
    """Choices for a source whose files leave room for some.

    Attributes:
        class_folder: which folder is a file's class, "top" or "deepest", where both make sense.
        paths: the column of paths in a table that lists files.
        is_table: whether tables hold features and no paths.
        labelled: whether classes are needed; out-of-distribution data has none.
    """

    class_folder: ClassFolder | None = None
    paths: str | None = None
    is_table: bool = False
    labelled: bool = True


DEFAULT = Reading()


def open_folder(folder: Path, reading: Reading = DEFAULT, streaming: bool = False) -> Opened:
    """Opens a folder: images or sound in a subfolder per class or listed in a table, or files of rows.

    Raises:
        ValueError: the folder holds no data, or what it holds can be understood in two ways.
    """
    if is_saved_to_disk(folder):
        return saved_to_disk(folder, streaming)
    walked = walk(folder)
    kinds = walked.by_kind()
    media = _media(walked, kinds)
    rows = [PurePath(*parts, name) for parts, names in sorted(kinds["list"].items()) for name in names]
    if media is not None:
        opened = _open_media(media, rows, reading)
        if opened is not None:
            return _streamed(opened) if streaming else opened
    if rows := [file for file in rows if suffix_of(file.name) != ".jsonl"]:
        return _open_rows(walked, rows, media, streaming)
    if kinds["archive"]:
        return open_shards(walked, kinds["archive"], streaming)
    raise ValueError(
        f"no images, no sound, no Parquet and no CSV files in the folder {str(folder)!r}{_present(walked)}"
    )


def open_list(files: Mapping[Split, Sequence[str]], reading: Reading, streaming: bool) -> Opened | None:
    """Opens files that list paths, by split; returns None if the first one holds rows of another kind.

    Raises:
        ValueError: a file that they list is missing, or one of several files lists none.
    """
    if reading.is_table:
        return None
    splits: dict[Split, Dataset] = {}
    notes: tuple[str, ...] = ()
    for split, names in files.items():
        for name in names:
            check_content(name)
        listings = [read_listing(name, reading.paths) for name in names]
        if not any(listings):
            if not splits:
                return None
            raise ValueError(f"{names[0]} lists no images and no sound, as the files of the other splits do")
        if not all(listings):
            odd = names[listings.index(None)]
            raise ValueError(f"{odd} lists no images and no sound, as {names[0]} does: give them apart")
        splits[split], own_notes = _joined(listings)
        notes += own_notes
    opened = Opened(splits, {}, (), tuple(dict.fromkeys(notes)))
    return _streamed(opened) if streaming else opened


def _media(walked: Walked, kinds: Mapping[str, Mapping[Parts, list[str]]]) -> MediaFiles | None:
    """Returns the folder's images or its clips, whichever it holds more of in subfolders; None if it has neither.

    Raises:
        ValueError: there are many of both.
    """
    found = [MediaFiles(walked, kind, kinds[kind]) for kind in ("image", "audio") if kinds.get(kind)]
    if len(found) < 2:
        return found[0] if found else None

    def in_folders(files: MediaFiles) -> int:
        return sum(len(names) for folder, names in files.names.items() if folder)

    less, more = sorted(found, key=lambda files: (in_folders(files), len(files)))
    if 4 * in_folders(less) > in_folders(more) or (not in_folders(more) and 4 * len(less) > len(more)):
        counts = " and ".join(f"{len(files)} {KIND_WORDS[files.kind].examples}" for files in found)
        raise ValueError(f"{walked.root!r} holds {counts}, and a model takes one kind: move the others elsewhere")
    return more


def _open_media(media: MediaFiles, rows: Sequence[PurePath], reading: Reading) -> Opened | None:
    """Opens images or sound, by their folders or by a table of paths; None if the files of rows are the data.

    Raises:
        ValueError: neither folders nor a table give every file a class, or they give different ones.
    """
    if media.kind == "audio" and is_speech_commands(media):
        return speech_commands(media)
    hub = [file for file in rows if file.stem.lower() == "metadata"]
    try:
        structure = media.structure(reading.class_folder, reading.labelled)
    except ValueError as error:
        if listed := _by_tables(media, hub or rows, reading, structure=None):
            return listed
        data = [file for file in rows if suffix_of(file.name) != ".jsonl"]
        if data and len(media) <= _FEW * len(data):
            return None
        beside = f"; {_named(data)} {'lists' if len(data) == 1 else 'list'} none of them" if data else ""
        raise ValueError(f"{media.walked.root!r}: {error}{beside}") from error
    if listed := _by_tables(media, hub or rows, reading, structure):
        return listed
    named = [file for file in rows if suffix_of(file.name) == ".parquet" and split_of(file)]
    if named and len(media) <= _FEW * len(named):
        raise ValueError(
            f"{media.walked.root!r} holds {len(media)} {KIND_WORDS[media.kind].examples} and {len(named)} Parquet "
            f"files of splits: give the files by train_file and test_file, or move one kind elsewhere"
        )
    return media_splits(media, structure)


def _by_tables(
    media: MediaFiles, files: Sequence[PurePath], reading: Reading, structure: Structure | None
) -> Opened | None:
    """Opens a folder by the tables in it that list its files; None if none does, or if it agrees with the folders.

    Raises:
        ValueError: a table gives classes that differ from the folders'; or it lists files that are missing.
    """
    if reading.is_table or not reading.labelled:
        return None
    listings: dict[PurePath, Listing] = {}
    for file in files:
        path = str(Path(media.walked.root, file))
        if structure is None:  # else a table that cannot be read is no reason to refuse the folder
            check_content(path)
        listing = read_listing(path, reading.paths, media.walked)
        if listing is not None and listing.kind == media.kind:
            listings[file] = listing
    of_hub = any(file.stem.lower() == "metadata" for file in listings)
    count = sum(len(set(listing.paths)) for listing in listings.values())
    if not listings or (2 * count < len(media) and not of_hub):
        return None
    notes: list[str] = []
    if structure is not None and structure.class_parts:
        classes = _classes_by_path(media, structure)
        if all(_agrees(listing, classes) for listing in listings.values()):
            return None
        if not of_hub:
            names = " and ".join(map(str, listings))
            raise ValueError(
                f"{media.walked.root!r}: the classes can be the folders' names or those in {names}, which differ: "
                f"give the table by train_file, or move it elsewhere to use the folders"
            )
        if all(label_column(listing) is None for listing in listings.values()):
            listings = {file: _with_label(listing, classes) for file, listing in listings.items()}
            notes.append(f"the classes are the folders' names: {next(iter(listings))} has no column 'label'")
        else:
            notes.append(f"the classes are those in {next(iter(listings))}, not the folders' names")
    return _of_listings(media, listings, notes)


def _of_listings(media: MediaFiles, listings: Mapping[PurePath, Listing], notes: Sequence[str]) -> Opened:
    """Makes splits of tables that list a folder's files: by the tables' names, or by a column of splits."""
    by_split: dict[Split | None, list[PurePath]] = defaultdict(list)
    for file in listings:
        by_split[split_of(file)].append(file)
    if None in by_split and "train" in by_split:
        raise ValueError(
            f"{media.walked.root!r}: {by_split[None][0]} and {by_split['train'][0]} both list files: remove one"
        )
    splits: dict[Split, Dataset] = {}
    origins: dict[Split, str] = {}
    notes, left_out = list(notes), list(media.walked.left_out)
    label = label_column(listings[by_split.get("train", by_split.get(None, [*listings]))[0]])
    for split, files in by_split.items():
        if label and any(label not in listings[file].table.column_names for file in files):
            left_out.append(LeftOut(f"listed without the column {label!r}, the class", tuple(map(str, files))))
            continue
        dataset, own_notes = _joined([listings[file] for file in files])
        notes += own_notes
        where = " and ".join(map(str, files))
        column = None if len(by_split) > 1 or split else _split_column(dataset, label)
        if column is None:
            splits[split or "train"], origins[split or "train"] = dataset, where
            continue
        values = list(dataset.with_format(None)[column])
        for value in dict.fromkeys(values):
            name = split_of_value(value)
            if name in splits:
                raise ValueError(
                    f"two values of the column {column!r} of {where} would be the {name} set: rename one"
                )
            splits[name] = dataset.select([i for i, other in enumerate(values) if other == value])
            origins[name] = f"the rows of {where} with {column} = {value}"
    unlisted = {path for listing in listings.values() for path in listing.paths}
    others = [
        "/".join((*folder, name))
        for folder, names in media.names.items()
        for name in names
        if media.walked.path(folder, name) not in unlisted
    ]
    left_out += [LeftOut("not listed in " + " or ".join(map(str, listings)), tuple(others))] if others else []
    left_out += media.left_out({}, {file.as_posix() for file in listings})
    splits = {split: splits[split] for split in SPLITS if split in splits}
    return Opened(splits, origins, tuple(left_out), tuple(dict.fromkeys(notes)))


def _joined(listings: Sequence[Listing]) -> tuple[Dataset, tuple[str, ...]]:
    """Makes one data set of the tables of a split.

    Raises:
        ValueError: their columns differ.
    """
    first = listings[0]
    for other in listings[1:]:
        if other.table.column_names != first.table.column_names or other.kind != first.kind:
            raise ValueError(f"{other.file} has other columns than {first.file}: give them apart")
    table = pa.concat_tables([listing.table for listing in listings], promote_options="permissive")
    paths = [path for listing in listings for path in listing.paths]
    return listing_rows(replace(first, table=table, paths=paths))


def _split_column(dataset: Dataset, label: str | None) -> str | None:
    """Returns the column of strings whose values all name splits, training among them, if there is one."""
    for name, feature in dataset.features.items():
        if name != label and not isinstance(feature, ClassLabel) and getattr(feature, "dtype", "") == "string":
            values = {split_of_value(value) for value in dataset.unique(name)}
            if None not in values and "train" in values and len(values) > 1:
                return name
    return None


def _classes_by_path(media: MediaFiles, structure: Structure) -> dict[str, str]:
    return {
        media.walked.path(folder, name): class_name(structure.class_parts[folder])
        for folder, names in media.names.items()
        if folder in structure.class_parts
        for name in names
    }


def _agrees(listing: Listing, classes: Mapping[str, str]) -> bool:
    """Returns whether a column of a table gives every file the class of its folder."""
    expected = [classes.get(path) for path in listing.paths]
    return any(words == expected for _, words in listing.words())


def _with_label(listing: Listing, classes: Mapping[str, str]) -> Listing:
    labels = pa.array([classes.get(path) for path in listing.paths], pa.string())
    return replace(listing, table=listing.table.append_column("label", labels))


def _open_rows(walked: Walked, files: Sequence[PurePath], media: MediaFiles | None, streaming: bool) -> Opened:
    """Opens files of rows, all Parquet or all CSV.

    Raises:
        ValueError: there are as many of the one as of the other, or see `row_splits`.
    """
    parquet = [file for file in files if suffix_of(file.name) == ".parquet"]
    text = [file for file in files if file not in parquet]
    if parquet and len(parquet) == len(text):
        raise ValueError(
            f"{walked.root!r} holds {len(parquet)} Parquet and {len(text)} CSV files: give those to use by "
            f"train_file and test_file"
        )
    data, others = (parquet, text) if len(parquet) > len(text) else (text, parquet)
    paths, said = rows_by_split(walked, data)
    kind = "Parquet" if data is parquet else "CSV"
    left_out = [*walked.left_out, *said.left_out]
    if others:
        left_out.append(LeftOut(f"beside the {kind} files", tuple(map(str, others))))
    if media is not None:
        names = ("/".join((*folder, name)) for folder, names in media.names.items() for name in names)
        left_out.append(LeftOut(f"beside the {kind} files", tuple(names)))
    return Opened(row_splits(paths, streaming), said.origins, tuple(left_out), said.notes)


def _streamed(opened: Opened) -> Opened:
    return replace(opened, splits={name: _as_stream(split) for name, split in opened.splits.items()})


def _as_stream(split: Dataset | IterableDataset) -> IterableDataset:
    return split if isinstance(split, IterableDataset) else as_stream(split)


def _named(files: Sequence[PurePath], most: int = 3) -> str:
    more = [f"{len(files) - most} more tables"] if len(files) > most else []
    return " and ".join([*map(str, files[:most]), *more])


def _present(walked: Walked) -> str:
    """Returns what a folder holds instead of data, for a message."""
    counts: Counter[str] = count_suffixes(walked.names)
    if not counts:
        return ", which is empty"
    shown = [
        f"{count} × {why_left_out(suffix, kind) if (kind := kind_of_closed(suffix)) else suffix or 'no suffix'}"
        for suffix, count in counts.most_common(5)
    ]
    return f", only {', '.join(shown)}"
