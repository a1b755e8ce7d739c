"""Corrupted copies of a folder of images or sound, for `hfmix corrupt`."""

from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from tqdm.auto import tqdm

from hfmix.data.kinds.image import ImageCells
from hfmix.data.sources.walk import walk
from hfmix.data.splits import load_part
from hfmix.robustness.corruptions import corruption_names
from hfmix.robustness.corruptions.audio import AUDIO, corrupt_sound
from hfmix.robustness.corruptions.cifar_c import save_cifar_c
from hfmix.robustness.corruptions.image import corrupt


def corrupt_folder(source: str | Path, out: str | Path, name: str, severity: int = 3, seed: int = 0) -> int:
    """Writes a corrupted copy of each image (as PNG) or clip (as WAV) under the same relative path.

    Both formats are lossless here, so that nothing is added to the corruption. Files are numbered in path order.

    Args:
        source: a folder; files of other kinds are skipped.
        out: another folder; existing files are not replaced.
        name, severity, seed: see `hfmix.corrupt` and `hfmix.robustness.corruptions.audio.corrupt_sound`.

    Returns:
        The number of files written.

    Raises:
        ValueError: an unknown corruption, no files that it applies to, or an unreadable file.
        FileExistsError: a file would be replaced.
    """
    source, out = Path(source), Path(out)
    images = corruption_names("image", extra=True)
    if name not in (*images, *AUDIO):
        raise ValueError(f"unknown corruption {name!r}: there are {', '.join((*images, *AUDIO))}")
    if not source.is_dir():
        raise ValueError(f"no folder {str(source)!r}")
    is_audio = name in AUDIO
    names = walk(source).by_kind()["audio" if is_audio else "image"]
    files = sorted(source.joinpath(*folder, name) for folder, of_folder in names.items() for name in of_folder)
    if not files:
        kind = "sound" if is_audio else "image"
        raise ValueError(f"no {kind} files in {str(source)!r}: {name} corrupts nothing else")
    targets = [out / file.relative_to(source).with_suffix(".wav" if is_audio else ".png") for file in files]
    if taken := [target for target in targets if target.exists()]:
        raise FileExistsError(f"{taken[0]} already exists: choose another folder")
    if len(set(targets)) < len(targets):
        twice = next(target for i, target in enumerate(targets) if target in targets[:i])
        raise ValueError(f"two files of {str(source)!r} would become {twice}: rename one")
    for index, (file, target) in enumerate(tqdm(list(zip(files, targets, strict=True)), unit="file", desc=name)):
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_audio:
            _corrupt_clip(file, target, name, severity, seed, index)
        else:
            image = np.array(ImageCells.decode({"bytes": None, "path": str(file)}, file.name))
            corrupted = corrupt(image, name, severity, seed, index)
            Image.fromarray(corrupted).save(target)
    return len(files)


def save_as_cifar_c(source: str, out: str | Path, name: str | None = None, seed: int = 0) -> None:
    """Writes a data set's test split in CIFAR-10-C's layout: under one corruption, or all nineteen.

    Raises:
        ValueError: an unknown corruption, no such data set, or images of different sizes.
    """
    known = corruption_names("image", extra=True)
    if name is not None and name not in known:
        raise ValueError(f"unknown corruption {name!r}: there are {', '.join(known)}")
    save_cifar_c(load_part(source, "test"), out, known if name is None else [name], seed)


def _corrupt_clip(file: Path, target: Path, name: str, severity: int, seed: int, index: int) -> None:
    try:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{file} cannot be read as sound: {error}") from error
    channels = [
        corrupt_sound(channel, name, severity, sampling_rate=rate, seed=seed, first_index=index)
        for channel in np.ascontiguousarray(samples.T)
    ]
    soundfile.write(target, np.stack(channels, axis=1), rate, subtype="PCM_16")
