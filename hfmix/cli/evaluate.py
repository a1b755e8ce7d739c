"""`hfmix evaluate`: how robust a model is."""

from argparse import Namespace

from hfmix.cli.parsing import Commands, add_test_set, count, launched, named
from hfmix.robustness.names import ATTACK_NAMES, AXES, DEFAULT_AXES, NORM_NAMES


def add(commands: Commands) -> None:
    """Its options."""
    parser = commands.add_parser("evaluate", help="measure how robust a model is", allow_abbrev=False)
    parser.add_argument("model", metavar="MODEL", help="a run's folder or a Hub id")
    add_test_set(parser)
    usual = ", ".join(DEFAULT_AXES)
    parser.add_argument("--axes", nargs="+", choices=AXES, help=f"what to measure [{usual}]")
    parser.add_argument(
        "--ood", nargs="+", type=named, default=[], metavar="NAME=SOURCE", help="out-of-distribution data"
    )
    parser.add_argument("--near", nargs="+", default=[], metavar="NAME", help="which of --ood are near")
    parser.add_argument("--far", nargs="+", default=[], metavar="NAME", help="which of --ood are far")
    parser.add_argument(
        "--shift", nargs="+", type=named, default=[], metavar="NAME=SOURCE", help="further labelled data"
    )
    parser.add_argument("--validation", metavar="SOURCE", help="data to fit the temperature on")
    parser.add_argument(
        "--reference",
        metavar="SOURCE",
        help="training data: its features for k-NN and Mahalanobis, its pairs for interpolation",
    )
    parser.add_argument(
        "--corruptions", nargs="+", metavar="NAME", help="which corruptions [the 15 of ImageNet-C; all of sound]"
    )
    parser.add_argument(
        "--mode",
        choices=("parity", "corrected"),
        default="parity",
        help="with or without ImageNet-C's slips [parity]",
    )
    parser.add_argument(
        "--corrupted", metavar="FOLDER", help="take these images, in the layout of CIFAR-10-C, corrupted before"
    )
    attacks = parser.add_argument_group("adversarial input (--axes adversarial)")
    attacks.add_argument(
        "--attacks",
        nargs="+",
        choices=tuple(ATTACK_NAMES),
        default=["fgsm", "ifgsm", "pgd"],
        help="by what, from weak to strong; autoattack needs hfmix[autoattack] and hours [fgsm ifgsm pgd]",
    )
    attacks.add_argument(
        "--eps", nargs="+", help="radii, such as 8/255, in the input's own range [linf: 2/255 8/255; l2: 0.25 0.5]"
    )
    attacks.add_argument(
        "--norms", nargs="+", choices=tuple(NORM_NAMES), default=["linf"], help="of the radii [linf]"
    )
    attacks.add_argument("--attack_steps", type=count, default=10, help="of ifgsm and pgd [10]")
    attacks.add_argument("--restarts", type=count, default=1, help="of pgd [1]")
    attacks.add_argument("--attack_samples", type=count, help="attack so many examples [all]")
    between = parser.add_argument_group("in between examples (--axes interpolation)")
    between.add_argument("--pairs", type=count, default=500, help="of examples [500]")
    wrong = parser.add_argument_group("wrong labels (--axes memorization)")
    wrong.add_argument("--label_noise", type=float, help="the run's: which labels of --reference were wrong")
    wrong.add_argument("--label_noise_seed", type=int, default=0, help="the run's [0]")
    parser.add_argument("--max_samples", type=count, help="measure on so many examples [all]")
    parser.add_argument("--corruption_samples", type=count, help="corrupt so many examples [all]")
    parser.add_argument("--batch_size", type=count, default=128, help="examples a forward pass [128]")
    parser.add_argument("--seed", type=int, default=0, help="of corruption and draws [0]")
    parser.add_argument(
        "--skip_unreadable", action="store_true", help="leave files out that cannot be read, and count them"
    )
    parser.add_argument("--num_processes", type=count, default=1, help="share the work among so many [1]")
    parser.add_argument("--out", help="a folder for the report; started again, it goes on from where it was")
    parser.set_defaults(command=_run)


def _run(arguments: Namespace) -> None:
    if launched(arguments):
        return
    from hfmix.evaluate import evaluate

    evaluate(arguments)
