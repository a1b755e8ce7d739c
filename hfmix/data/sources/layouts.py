"""Layouts of known data sets: Speech Commands as it is shipped, and folders of `save_to_disk`."""

from collections import defaultdict
from pathlib import Path

from datasets import Dataset, DatasetDict, load_from_disk

from hfmix.data.sources.files_as_rows import as_stream
from hfmix.data.sources.media_folder import MediaFiles, media_splits
from hfmix.data.sources.opened import LeftOut, Opened
from hfmix.data.sources.split_words import Split, split_of_value
from hfmix.data.sources.structure import Structure
from hfmix.data.sources.walk import Parts

_NOISE = "_background_noise_"
_LISTS: dict[Split, str] = {"validation": "validation_list.txt", "test": "testing_list.txt"}


def is_saved_to_disk(folder: Path) -> bool:
    """Returns whether `datasets` wrote the folder with `save_to_disk`."""
    is_dataset = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return is_dataset or (folder / "dataset_dict.json").is_file()


def saved_to_disk(folder: Path, streaming: bool) -> Opened:
    """Opens what `save_to_disk` wrote; a single data set is the training set.

    Raises:
        ValueError: the folder is incomplete.
    """
    if "::" in str(folder):
        raise ValueError(
            f"{str(folder)!r} has '::' in its path, which datasets takes for an address: rename the folder"
        )
    try:
        saved = load_from_disk(str(folder))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{str(folder)!r} cannot be read as save_to_disk wrote it: {error}") from error
    splits: dict[str, Dataset] = dict(saved) if isinstance(saved, DatasetDict) else {"train": saved}
    origins, named = {}, {}
    for name, dataset in splits.items():
        split = split_of_value(name) or name
        if split in named:
            raise ValueError(
                f"{origins[split]} and {name} in {str(folder)!r} would both be the {split} set: rename one"
            )
        named[split], origins[split] = dataset, f"the split {name} of save_to_disk"
    if streaming:
        named = {name: as_stream(dataset) for name, dataset in named.items()}
    return Opened(named, origins)


def is_speech_commands(files: MediaFiles) -> bool:
    """Returns whether a folder of clips has the lists of Speech Commands at its top."""
    return set(_LISTS.values()) <= set(files.walked.names[()])


def speech_commands(files: MediaFiles) -> Opened:
    """Opens Speech Commands: its lists name the clips to validate and test on; its background noise is no word.

    Raises:
        ValueError: a list names clips that are not there.
    """
    of_list: dict[str, Split] = {}
    for split, name in _LISTS.items():
        lines = Path(files.walked.path((), name)).read_text(encoding="utf-8").split("\n")
        of_list |= dict.fromkeys((line.strip() for line in lines if line.strip()), split)
    present = {"/".join((*folder, name)) for folder, names in files.names.items() for name in names}
    if missing := sorted(of_list.keys() - present):
        raise ValueError(
            f"{len(missing)} of the clips that {' and '.join(_LISTS.values())} list are not there: "
            f"{', '.join(missing[:5])}"
        )
    names: dict[Split, dict[Parts, list[str]]] = defaultdict(lambda: defaultdict(list))
    noise: list[str] = []
    for folder, of_folder in files.names.items():
        for name in of_folder:
            path = "/".join((*folder, name))
            if folder[:1] == (_NOISE,):
                noise.append(path)
            else:
                names[of_list.get(path, "train")][folder].append(name)
    splits, notes = {}, []
    for split in ("train", "validation", "test"):
        if split not in names:
            continue
        counts = dict.fromkeys(names[split], split)
        part = MediaFiles(files.walked, files.kind, names[split])
        opened = media_splits(part, Structure(counts, {folder: folder[:1] for folder in counts}))
        splits[split] = opened.splits[split]
        notes += opened.notes
    origins = {split: name for split, name in _LISTS.items() if split in splits}
    origins["train"] = f"the clips that neither {' nor '.join(_LISTS.values())} names"
    left_out = [*files.walked.left_out, *files.left_out({}, _LISTS.values())]
    if noise:
        left_out.append(LeftOut(f"in {_NOISE}, which is background noise and no word", tuple(sorted(noise))))
    return Opened(splits, origins, tuple(left_out), tuple(notes))
