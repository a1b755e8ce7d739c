"""`hfmix figure`: the papers' toy figures."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace

from hfmix.cli.parsing import Commands, Parser, count

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
    """Adds the command and, for each figure, a sub-command with its options."""
    parser = commands.add_parser(
        "figure",
        help="draw the papers' toy figures: decision-surface, gan",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    names = parser.add_subparsers(title="figures", metavar="NAME", required=True, parser_class=Parser)
    _add_surface(names)
    _add_gan(names)


def _add_surface(names: Commands) -> None:
    text = "two classes in the plane: p(y = 1 | x) and its entropy under ERM, mixup and RegMixup"
    parser = names.add_parser("decision-surface", help=text, description=f"Draw {text}.")
    parser.add_argument("--data", metavar="NAME", default="moons", help="moons, circles or blobs [moons]")
    parser.add_argument("--examples", type=count, metavar="N", default=300, help="number of training points [300]")
    parser.add_argument("--noise", type=_positive, metavar="SD", help="spread of the points [the data's own]")
    parser.add_argument(
        "--alpha", type=_positive, metavar="A", default=1.0, help="mixup's α [1, as in the paper's figure]"
    )
    parser.add_argument("--regmixup_alpha", type=_positive, metavar="A", default=20.0, help="RegMixup's α [20]")
    parser.add_argument("--steps", type=count, metavar="N", default=1000, help="training steps [1000]")
    parser.add_argument(
        "--hidden", type=count, metavar="N", default=64, help="units in each of the two hidden layers [64]"
    )
    _add_common(parser, "decision_surface.png", seeds=3)
    parser.set_defaults(command=_draw_surface)


def _add_gan(names: Commands) -> None:
    text = "GANs whose discriminator sees real and generated samples, or mixtures of them"
    parser = names.add_parser("gan", help=text, description=f"Draw {text}.")
    parser.add_argument(
        "--data",
        nargs="+",
        metavar="NAME",
        default=["grid", "ring"],
        help="any of grid, ring, spiral [grid ring, the paper's]",
    )
    parser.add_argument(
        "--noise", type=_positive, metavar="SD", default=0.01, help="spread of the data around its shape [0.01]"
    )
    parser.add_argument(
        "--alpha", type=_positive, metavar="A", default=0.2, help="mixup's α [0.2, as in the paper]"
    )
    parser.add_argument(
        "--steps", type=count, metavar="N", default=1000, help="generator steps [1000; the paper's: 20000]"
    )
    parser.add_argument(
        "--snapshots",
        type=count,
        nargs="+",
        metavar="STEP",
        help="generator steps to draw [five, on a logarithmic scale]",
    )
    parser.add_argument(
        "--hidden",
        type=count,
        metavar="N",
        default=128,
        help="units in each of the three hidden layers [128; the paper's: 512]",
    )
    parser.add_argument(
        "--discriminator_steps",
        type=count,
        metavar="N",
        default=5,
        help="discriminator steps per generator step [5, as in the paper's code]",
    )
    parser.add_argument(
        "--generator_loss",
        metavar="NAME",
        default="minimax",
        help="minimax, as in the paper, or non-saturating [minimax]",
    )
    _add_common(parser, "gan.png", seeds=1)
    parser.set_defaults(command=_draw_gan)


def _add_common(parser: ArgumentParser, out: str, seeds: int) -> None:
    parser.add_argument(
        "--seed", type=int, metavar="N", default=0, help="first seed, of data, weights and batches [0]"
    )
    parser.add_argument(
        "--seeds",
        type=count,
        metavar="N",
        default=seeds,
        help=f"number of seeds, from --seed on: all enter the numbers, the first is drawn [{seeds}]",
    )
    parser.add_argument(
        "--out",
        metavar="FILE.png",
        default=out,
        help=f"image file; a JSON file is written beside it [{out}]",
    )


def _positive(text: str) -> float:
    """Converts an option's value to a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a finite number above 0")
    return value


def _draw_surface(arguments: Namespace) -> None:
    from hfmix.toys.draw import draw_surface

    draw_surface(arguments)


def _draw_gan(arguments: Namespace) -> None:
    from hfmix.toys.draw import draw_gan

    draw_gan(arguments)
