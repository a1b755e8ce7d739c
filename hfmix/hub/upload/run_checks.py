"""Checks that a folder is a finished run that can be published, from its files alone, before anything is sent."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from hfmix.robustness.estimates import iter_estimates
from hfmix.run_folder import PICKLES, RUN_FILES
from hfmix.utils.errors import one_line

_INDEX = "model.safetensors.index.json"
# the exponent's bits in floating-point numbers that are read as integers
_EXPONENT = {
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
    "F32": ("<u4", 0x7F800000),
    "F64": ("<u8", 0x7FF0000000000000),
}


def check_finished_run(run: Path) -> list[str]:
    """Checks a finished run and returns its files that belong on the Hub, relative to its folder.

    Raises:
        ValueError: a file is missing, leads out of the folder, cannot be read, or does not fit the others; the
            message names the first fault, in one line.
    """
    if not run.is_dir():
        raise ValueError(f"{run} is not a folder: give the folder that a finished training run left")
    files = files_to_send(run)
    shards = weight_files(run)
    required = ["README.md", "config.json", "robustness.json", *shards]
    if missing := [name for name in required if name not in files]:
        raise ValueError(
            f"{run} is not a finished run, {' and '.join(missing)} missing: "
            "let `hfmix train` finish, then push the folder that it leaves"
        )
    for name in files:
        if name.endswith(".json"):
            read_json(run / name, strict=name == "robustness.json")
    if not any(iter_estimates(read_json(run / "robustness.json", strict=True))):
        raise ValueError(f"{run / 'robustness.json'} has no figures: measure the model with `hfmix evaluate`")
    check_card(run / "README.md", with_figures=True)
    check_weights(run)
    return files


def files_to_send(run: Path) -> list[str]:
    """Returns the files that `RUN_FILES` names, relative to the folder, without pickles and hidden files.

    Raises:
        ValueError: a file is a link to somewhere outside the folder.
    """
    files = sorted(
        {
            path.relative_to(run).as_posix()
            for pattern in RUN_FILES
            for path in run.glob(pattern)
            if path.is_file() and not is_pickle(path.name) and not path.name.startswith(".")
        }
    )
    for name in files:
        if not (run / name).resolve().is_relative_to(run.resolve()):
            raise ValueError(f"{run / name} leads out of the folder: put the file itself there")
    return files


def is_pickle(name: str) -> bool:
    """Returns whether a file of this name is a pickle, which can run code when it is loaded."""
    return Path(name).suffix.lower() in PICKLES


def weight_files(run: Path) -> list[str]:
    """Returns the files that hold the weights: one, or the shards that the index names."""
    return sorted(set(_shard_of(run).values())) or ["model.safetensors"]


def _shard_of(run: Path) -> dict[str, str]:
    """Maps each tensor of a sharded model to its file, as the index says; empty if the weights are one file."""
    index = run / _INDEX
    if (run / "model.safetensors").exists() or not index.exists():
        return {}
    try:
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        named = dict(shards.items())
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(f"{index} does not say which files hold the weights: save the model again") from None
    for name in named.values():
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(f"{index} names {name!r}, which is not a file of the folder: save the model again")
    return named


def read_json(path: Path, strict: bool = False) -> Any:
    """Reads a JSON file; with `strict`, one without NaN and infinities, which JSON does not have.

    Raises:
        ValueError: the file is not such JSON; the message names it.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{path} holds {constant}, which is no figure: measure the model again")

    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text, parse_constant=refuse if strict else None)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}): it is truncated, or was edited") from None


def check_card(card: Path, with_figures: bool) -> None:
    """Raises a ValueError if a card's YAML is broken, or its figures are not numbers or, if required, missing."""
    import yaml

    match = re.match(r"\s*---\r?\n(.*?)\r?\n---\s*(\n|$)", card.read_text(encoding="utf-8"), re.DOTALL)
    if match is None:
        raise ValueError(f"{card} has no metadata, the YAML between two lines of --- on top: write the card again")
    try:
        data = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        raise ValueError(f"{card}: its metadata is not YAML, {one_line(error)}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{card}: its metadata is not a mapping of names to values")
    try:
        values = [
            metric["value"]
            for model in data.get("model-index") or []
            for result in model["results"]
            for metric in result["metrics"]
        ]
    except (TypeError, KeyError):
        raise ValueError(f"{card}: its model-index is not made of results with metrics and values") from None
    if bad := [value for value in values if not isinstance(value, int | float) or not math.isfinite(value)]:
        raise ValueError(f"{card}: its model-index holds {bad[0]!r}, which is no figure: write the card again")
    if with_figures and not values:
        raise ValueError(f"{card} has no figures in its model-index: a card says what was measured")


def check_weights(run: Path) -> None:
    """Raises a ValueError if the weights are truncated, not finite, or do not fit ``config.json``."""
    shard_of, names, rows = _shard_of(run), set(), set()
    for file in weight_files(run):
        for name, shape in _finite_tensors(run / file):
            names.add(name)
            rows.update(shape[:1])
    if lacking := sorted(shard_of.keys() - names):
        raise ValueError(f"{run / _INDEX} names {lacking[0]}, which no shard holds: save the model again")
    counts = _numbers_of_classes(read_json(run / "config.json"))
    if len(set(counts.values())) > 1:
        statements = ", ".join(f"{number} by {key}" for key, number in counts.items())
        raise ValueError(f"{run / 'config.json'} contradicts itself on the number of classes: {statements}")
    for key, number in counts.items():
        if number not in rows:
            raise ValueError(
                f"{run / 'config.json'} has {number} classes ({key}), and no tensor of the weights has as many "
                "rows: the weights are another model's"
            )


def _finite_tensors(file: Path) -> Iterator[tuple[str, list[int]]]:
    """Yields the name and shape of each tensor once it is known to be finite; imports no torch, which is slow."""
    import numpy as np
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):  # checks the header, and that the data is as long as it says
            pass
    except SafetensorError as error:
        raise ValueError(f"{file} cannot be read, {error}: it is truncated; save it again") from None
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(length))
    header.pop("__metadata__", None)
    content = np.memmap(file, np.uint8, mode="r", offset=8 + length) if any(map(_size, header.values())) else None
    for name, tensor in header.items():
        if _size(tensor) and tensor["dtype"] in _EXPONENT:
            kind, ones = _EXPONENT[tensor["dtype"]]
            begin, end = tensor["data_offsets"]
            # infinities and NaN have all bits of the exponent set
            for at in range(begin, end, 1 << 24):
                if ((content[at : min(at + (1 << 24), end)].view(kind) & ones) == ones).any():
                    raise ValueError(f"{file}: {name} is not finite: the training diverged")
        yield name, tensor["shape"]


def _size(tensor: dict[str, Any]) -> int:
    begin, end = tensor["data_offsets"]
    return end - begin


def _numbers_of_classes(config: dict[str, Any]) -> dict[str, int]:
    """Maps each key of a config that implies a number of classes to that number."""
    lists = {key: len(config[key]) for key in ("id2label", "label_names") if config.get(key)}
    return lists | {key: config[key] for key in ("num_classes", "num_labels") if isinstance(config.get(key), int)}
