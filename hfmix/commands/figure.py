"""`hfmix figure`: the toy figures of the papers, drawn anew."""

import argparse
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from hfmix.commands.options import Commands, Parser, count
from hfmix.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DESCRIPTION = """\
Trains small nets on points in the plane and draws what they learn. Each figure
comes with the numbers behind it, in a JSON file beside it.
"""

EPILOG = """\
for example:
  hfmix figure decision-surface                         half a minute
  hfmix figure decision-surface --data circles --alpha 0.2 --seeds 5
  hfmix figure gan                                      a minute or two
  hfmix figure gan --steps 20000 --hidden 512           as long as the paper's, hours on a CPU
  hfmix figure gan --data ring spiral --generator_loss non-saturating
"""


def add(commands: Commands) -> None:
    """Its options: those of each figure."""
    parser = commands.add_parser(
        "figure",
        help="draw the papers' toy figures: decision-surface, gan",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    names = parser.add_subparsers(title="figures", metavar="NAME", required=True, parser_class=Parser)
    _add_surface(names)
    _add_gan(names)


def _add_surface(names: Commands) -> None:
    parser = names.add_parser(
        "decision-surface",
        help="two classes in the plane: p(y = 1 | x) and its entropy under ERM, mixup and RegMixup",
        allow_abbrev=False,
    )
    parser.add_argument("--data", default="moons", help="moons, circles or blobs [moons]")
    parser.add_argument("--examples", type=count, default=300, help="training points [300]")
    parser.add_argument("--noise", type=_positive, help="spread of the points [the set's own]")
    parser.add_argument("--alpha", type=_positive, default=1.0, help="mixup's α [1, as in the paper's figure]")
    parser.add_argument("--regmixup_alpha", type=_positive, default=20.0, help="RegMixup's α [20]")
    parser.add_argument("--steps", type=count, default=1000, help="of training [1000]")
    parser.add_argument("--hidden", type=count, default=64, help="units in each of the two hidden layers [64]")
    _add_common(parser, "decision_surface.png", seeds=3)
    parser.set_defaults(command=_draw_surface)


def _add_gan(names: Commands) -> None:
    parser = names.add_parser(
        "gan",
        help="GANs whose discriminator sees real and generated samples, or mixtures of them",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--data", nargs="+", default=["grid", "ring"], help="any of grid, ring, spiral [grid ring, the paper's]"
    )
    parser.add_argument("--noise", type=_positive, default=0.01, help="spread of the data around it [0.01]")
    parser.add_argument("--alpha", type=_positive, default=0.2, help="mixup's α [0.2, as in the paper]")
    parser.add_argument("--steps", type=count, default=1000, help="of the generator [1000; the paper's: 20000]")
    parser.add_argument(
        "--snapshots",
        type=count,
        nargs="+",
        metavar="STEP",
        help="when to look [five times, on a logarithmic scale]",
    )
    parser.add_argument(
        "--hidden",
        type=count,
        default=128,
        help="units in each of the three hidden layers [128; the paper's: 512]",
    )
    parser.add_argument(
        "--discriminator_steps", type=count, default=5, help="to one of the generator [5, as in the paper's code]"
    )
    parser.add_argument(
        "--generator_loss", default="minimax", help="minimax, as in the paper, or non-saturating [minimax]"
    )
    _add_common(parser, "gan.png", seeds=1)
    parser.set_defaults(command=_draw_gan)


def _add_common(parser: ArgumentParser, out: str, seeds: int) -> None:
    parser.add_argument("--seed", type=int, default=0, help="of the data, the weights and the batches [0]")
    parser.add_argument(
        "--seeds",
        type=count,
        default=seeds,
        metavar="N",
        help=f"run N seeds from --seed on: all go into the numbers, the first is drawn [{seeds}]",
    )
    parser.add_argument(
        "--out", default=out, metavar="FILE.png", help=f"where to; the JSON goes beside it [{out}]"
    )


def _draw_surface(arguments: Namespace) -> None:
    _check_out(arguments.out)
    from tqdm.auto import tqdm

    from hfmix.toys.surface_figure import draw_surfaces
    from hfmix.toys.surfaces import DATA, MIN_EXAMPLES, Settings, surfaces

    _check_choice("--data", [arguments.data], DATA)
    if arguments.examples < MIN_EXAMPLES:
        raise UsageError(f"--examples is at least {MIN_EXAMPLES}, not {arguments.examples}")
    settings = Settings(
        **_taken(arguments, "data", "examples", "noise", "alpha", "regmixup_alpha", "steps", "hidden")
    )
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    total = len(seeds) * len(settings.policies()) * settings.steps
    with tqdm(total=total, unit="step", desc="decision surface") as bar:
        runs = [surfaces(settings, seed, bar.update) for seed in seeds]
    methods = {name: [run[2][name].figures for run in runs] for name in runs[0][2]}
    _save(arguments, draw_surfaces, runs[0], settings, methods)


def _draw_gan(arguments: Namespace) -> None:
    _check_out(arguments.out)
    from tqdm.auto import tqdm

    from hfmix.toys.gan_figure import draw_gans
    from hfmix.toys.gans import GENERATOR_LOSSES, METHODS, SUPPORTS, Settings, train

    _check_choice("--data", arguments.data, SUPPORTS)
    _check_choice("--generator_loss", [arguments.generator_loss], GENERATOR_LOSSES)
    late = [step for step in arguments.snapshots or [] if step > arguments.steps]
    if late:
        raise UsageError(f"--snapshots {late[0]} comes after the last of {arguments.steps} steps: raise --steps")
    settings = Settings(
        **_taken(arguments, "alpha", "noise", "steps", "discriminator_steps", "hidden", "generator_loss")
    )
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    kinds = [(data, method) for data in dict.fromkeys(arguments.data) for method in METHODS]
    with tqdm(total=len(seeds) * len(kinds) * settings.steps, unit="step", desc="GANs") as bar:
        runs = [
            {kind: train(kind[1], kind[0], settings, seed, arguments.snapshots, bar.update) for kind in kinds}
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
    """Writes the figure and, beside it, what it was made with and each figure's mean and value for each seed."""
    import json
    from dataclasses import asdict
    from io import BytesIO
    from pathlib import Path

    import matplotlib
    import torch
    from PIL import Image

    from hfmix import __version__
    from hfmix.robustness.figures.style import STYLE

    out = Path(arguments.out)
    with matplotlib.rc_context(STYLE):
        figure: Figure = draw(*drawn)
        drawing = BytesIO()
        figure.savefig(drawing, format="png")
    with Image.open(drawing) as picture:  # 256 colours, which nobody can tell apart, take half the bytes
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
    """Each figure's mean and its value for each seed; null where it is not finite, as where GANs explode."""
    from math import fsum, isfinite

    found = {}
    for name in values[0]:
        column = [float(f"{value[name]:.6g}") if isfinite(value[name]) else None for value in values]
        finite = [value for value in column if value is not None]
        found[name] = {"mean": fsum(finite) / len(finite) if len(finite) == len(column) else None, "seeds": column}
    return found


def _check_out(out: str) -> None:
    """Also makes its folder: what cannot be written is said before the work."""
    from pathlib import Path

    if not out.lower().endswith(".png"):
        raise UsageError(f"--out is a file that ends in .png, not {out!r}")
    Path(out).parent.mkdir(parents=True, exist_ok=True)


def _check_choice(option: str, values: list[str], known: Any) -> None:
    for value in values:
        if value not in known:
            raise UsageError(f"{option} is {' or '.join(known)}, not {value!r}")


def _positive(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a finite number above 0")
    return value
