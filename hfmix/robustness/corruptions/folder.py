"""`hfmix corrupt`: a folder of images or sound, corrupted."""

from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from tqdm.auto import tqdm

from hfmix.data.kinds.image import read_image
from hfmix.data.sources.open import SOUND_SUFFIXES
from hfmix.data.splits import load_part
from hfmix.robustness.corruptions import corruption_names
from hfmix.robustness.corruptions.audio import AUDIO, corrupt_sound
from hfmix.robustness.corruptions.cifar_c import save_cifar_c
from hfmix.robustness.corruptions.image import corrupt


def corrupt_folder(source: str | Path, out: str | Path, name: str, severity: int = 3, seed: int = 0) -> int:
    """Writes a corrupted copy of each image, or of each clip, under the same relative path; PNG or WAV.

    Lossless files, so that nothing is added to the corruption. Files are numbered in the order of their paths.

    Args:
        source: a folder; files of another kind are left out.
        out: another folder; existing files are not replaced.
        name, severity, seed: see `hfmix.corrupt` and `hfmix.robustness.corruptions.audio.corrupt_sound`.

    Returns:
        How many were written.

    Raises:
        ValueError: an unknown corruption, no files of its kind, or a file that cannot be read.
        FileExistsError: a file would be replaced.
    """
    source, out = Path(source), Path(out)
    images = corruption_names("image", extra=True)
    if name not in (*images, *AUDIO):
        raise ValueError(f"unknown corruption {name!r}: there are {', '.join((*images, *AUDIO))}")
    if not source.is_dir():
        raise ValueError(f"no folder {str(source)!r}")
    of_sound = name in AUDIO
    suffixes = SOUND_SUFFIXES if of_sound else set(Image.registered_extensions())
    files = [path for path in sorted(source.rglob("*")) if path.is_file() and path.suffix.lower() in suffixes]
    if not files:
        raise ValueError(f"no {'sound' if of_sound else 'images'} in {str(source)!r}, which {name} is for")
    targets = [out / file.relative_to(source).with_suffix(".wav" if of_sound else ".png") for file in files]
    if taken := [target for target in targets if target.exists()]:
        raise FileExistsError(f"{taken[0]} is there already: choose another folder")
    if len(set(targets)) < len(targets):
        twice = next(target for i, target in enumerate(targets) if target in targets[:i])
        raise ValueError(f"two files of {str(source)!r} would become {twice}: rename one")
    for index, (file, target) in enumerate(tqdm(list(zip(files, targets, strict=True)), unit="file", desc=name)):
        target.parent.mkdir(parents=True, exist_ok=True)
        if of_sound:
            _corrupt_clip(file, target, name, severity, seed, index)
        else:
            corrupted = corrupt(np.array(read_image(file, str(file))), name, severity, seed, index)
            Image.fromarray(corrupted).save(target)
    return len(files)


def save_as_cifar_c(source: str, out: str | Path, name: str | None = None, seed: int = 0) -> None:
    """The test split of a data set in CIFAR-10-C's layout: one corruption, or all nineteen.

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
        raise ValueError(f"{file} is not sound that can be read: {error}") from error
    channels = [
        corrupt_sound(channel, name, severity, sampling_rate=rate, seed=seed, first_index=index)
        for channel in np.ascontiguousarray(samples.T)
    ]
    soundfile.write(target, np.stack(channels, axis=1), rate, subtype="PCM_16")
