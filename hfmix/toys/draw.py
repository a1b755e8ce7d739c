"""The two figures of `hfmix figure`: trains the toy nets and draws them."""

import json
from argparse import Namespace
from dataclasses import asdict
from io import BytesIO
from math import fsum, isfinite
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.figure import Figure
from PIL import Image
from tqdm.auto import tqdm

from hfmix import __version__
from hfmix.robustness.presentation.style import STYLE
from hfmix.toys import gans, surfaces
from hfmix.toys.gan_figure import draw_gans
from hfmix.toys.surface_figure import draw_surfaces
from hfmix.utils.errors import UsageError


def draw_surface(arguments: Namespace) -> None:
    """Trains the classifiers of `hfmix figure surface` and writes the figure and its numbers."""
    _check_out(arguments.out)
    _check_choice("--data", [arguments.data], surfaces.DATA)
    if arguments.examples < surfaces.MIN_EXAMPLES:
        raise UsageError(f"--examples is at least {surfaces.MIN_EXAMPLES}, not {arguments.examples}")
    settings = surfaces.Settings(
        **_taken(arguments, "data", "examples", "noise", "alpha", "regmixup_alpha", "steps", "hidden")
    )
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    total = len(seeds) * len(settings.policies()) * settings.steps
    with tqdm(total=total, unit="step", desc="decision surface") as bar:
        runs = [surfaces.surfaces(settings, seed, bar.update) for seed in seeds]
    methods = {name: [run[2][name].figures for run in runs] for name in runs[0][2]}
    _save(arguments, draw_surfaces, runs[0], settings, methods)


def draw_gan(arguments: Namespace) -> None:
    """Trains the GANs of `hfmix figure gan` and writes the figure and its numbers."""
    _check_out(arguments.out)
    _check_choice("--data", arguments.data, gans.SUPPORTS)
    _check_choice("--generator_loss", [arguments.generator_loss], gans.GENERATOR_LOSSES)
    late = [step for step in arguments.snapshots or [] if step > arguments.steps]
    if late:
        raise UsageError(f"--snapshots {late[0]} comes after the last of {arguments.steps} steps: raise --steps")
    settings = gans.Settings(
        **_taken(arguments, "alpha", "noise", "steps", "discriminator_steps", "hidden", "generator_loss")
    )
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    kinds = [(data, method) for data in dict.fromkeys(arguments.data) for method in gans.METHODS]
    with tqdm(total=len(seeds) * len(kinds) * settings.steps, unit="step", desc="GANs") as bar:
        runs = [
            {kind: gans.train(kind[1], kind[0], settings, seed, arguments.snapshots, bar.update) for kind in kinds}
            for seed in seeds
        ]
    figures = {
        f"{data}, {method}, {snapshot.step} steps": [run[data, method][i].figures for run in runs]
        for data, method in kinds
        for i, snapshot in enumerate(runs[0][data, method])
    }
    _save(arguments, draw_gans, (runs[0], settings.noise), settings, figures)


def _taken(arguments: Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in names}


def _save(arguments: Namespace, draw: Any, drawn: tuple[Any, ...], settings: Any, figures: dict[str, Any]) -> None:
    """Writes the figure and, beside it, a JSON file of its settings and each number's mean and value by seed."""
    out = Path(arguments.out)
    with matplotlib.rc_context(STYLE):
        figure: Figure = draw(*drawn)
        drawing = BytesIO()
        figure.savefig(drawing, format="png")
    with Image.open(drawing) as picture:  # 256 colours look the same and take half the bytes
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(out, optimize=True)
    content = {
        "settings": asdict(settings),
        "seeds": list(range(arguments.seed, arguments.seed + arguments.seeds)),
        "versions": {"hfmix": __version__, "torch": torch.__version__},
        "figures": {name: _over_seeds(values) for name, values in figures.items()},
    }
    record = out.with_suffix(".json")
    record.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    print(f"the figure is {out}, the numbers behind it are in {record}")


def _over_seeds(values: list[dict[str, float]]) -> dict[str, Any]:
    """Returns each number's mean and values by seed; null where it is not finite, as for GANs that explode."""
    summary = {}
    for name in values[0]:
        column = [float(f"{value[name]:.6g}") if isfinite(value[name]) else None for value in values]
        finite = [value for value in column if value is not None]
        mean = fsum(finite) / len(finite) if len(finite) == len(column) else None
        summary[name] = {"mean": mean, "seeds": column}
    return summary


def _check_out(out: str) -> None:
    """Checks the file's name and makes its folder, so that errors come before the work."""
    if not out.lower().endswith(".png"):
        raise UsageError(f"--out is a file that ends in .png, not {out!r}")
    Path(out).parent.mkdir(parents=True, exist_ok=True)


def _check_choice(option: str, values: list[str], known: Any) -> None:
    for value in values:
        if value not in known:
            raise UsageError(f"{option} is {' or '.join(known)}, not {value!r}")
