"""The page toys.md, from the JSON files that `hfmix figure` left beside the figures in experiments/results."""

import json
from typing import Any

from experiments.papers import RESULTS

PAGE = """\
# The papers' toy figures, redrawn

Written by `python -m experiments.papers.toys` from the JSON files that the two commands below left beside the
figures. The figures show the first seed. The machine had 2 CPU cores and other work to do; the same seed gives the
same figure on the same machine and torch version.

## Decision surface

`hfmix figure decision-surface --seeds 5 --out experiments/results/decision_surface.png`

![p(y = 1 | x) and its entropy under ERM, mixup and RegMixup](decision_surface.png)

Two moons of 300 points; a perceptron with two hidden layers of 64 units, trained on 1,000 batches of 128. Green
circles are class 0, orange triangles class 1, the black line is p = ½. Means over 5 seeds, with the lowest and the
highest:

{surface}

Entropies are in bits (1: both classes equally likely). The gap is where both classes are equally near; far away is
more than one standard deviation from any example. Slopes are of p(y = 1 | x), per standard deviation of the data.

- As in mixup's paper ([arXiv 1710.09412](https://arxiv.org/abs/1710.09412), figure 1): mixup's p changes more
  gradually than ERM's, with a mean slope 28 % and a largest slope 86 % lower on average, and lower for each of
  the seeds.
- As in RegMixup's ([arXiv 2206.14502](https://arxiv.org/abs/2206.14502)): mixup is uncertain even about its
  training data, RegMixup less so, ERM not at all, in this order for each seed. The difference between the gap and
  the data is largest with RegMixup: 0.60 bits, against 0.44 with mixup and 0.42 with ERM.
- Not "only in the gap": RegMixup is still unsure about the data themselves (0.2 bits), less than about the gap.
  Both mixing methods misclassify some training points where mixtures of others fall among them: mixup 3 %,
  RegMixup 1.5 %, ERM none.
- None of the three is unsure far away from the data. ReLU nets extrapolate linearly there, and mixing adds no
  example outside the data's convex hull. Only the band around the boundary continues, a broad one with mixup.

## GAN

`hfmix figure gan --out experiments/results/gan.png`

![Real and generated samples after 10 to 1,000 steps of four GANs](gan.png)

Mixtures of 25 and of 8 Gaussians (σ = 0.01); nets with three hidden layers of 128 units, five steps of the
discriminator for each of the generator, and the minimax loss for the generator. The discriminator of an ERM GAN
sees real and generated samples, that of a mixup GAN mixtures of the two, with λ ~ Beta(0.2, 0.2). After the last
step, one seed:

{gan}

- As in mixup's paper (its figure 5; data, rates and the generator's loss are those of the authors'
  [code](https://github.com/hongyi-zhang/mixup), the nets are narrower): with ERM the generator loses the data.
  Most of its samples end out of view, on the grid and on the ring; the modes are so narrow that the discriminator
  tells them from everything else, and gives little direction. With mixup all samples stay, spread over the data.
- They are spread, not sharp: 1 % or fewer lie within 3 σ of a mode. The authors show samples close to the modes
  after 20,000 steps with 512 units per layer, which we did not run: `hfmix figure gan --steps 20000 --hidden 512`.
- The instability comes from the minimax loss and the narrow modes. With σ = 0.05 and the same nets, ERM's GAN
  stayed in place as well as mixup's for 1,000 steps (one seed, in a trial before this run); with the usual
  non-saturating loss instead, ERM's had more samples near a mode than mixup's (ring: 53 % against 18 %). So this
  figure speaks for mixup where GANs are unstable, not everywhere.
"""
SURFACE_ROWS = {
    "accuracy": "accuracy on the training data, %",
    "entropy_data": "entropy on the training data",
    "entropy_gap": "entropy in the gap",
    "entropy_far": "entropy far away",
    "slope_mean": "mean slope of p",
    "slope_max": "largest slope of p",
}
GAN_COLUMNS = {
    "wasserstein": "Wasserstein distance",
    "share_in_view": "in view, %",
    "share_near": "within 3 σ of a mode, %",
    "modes_covered": "modes covered",
}


def main() -> None:
    """Writes the page: ``python -m experiments.papers.toys``."""
    (RESULTS / "toys.md").write_text(
        PAGE.format(surface=_surface(_figures("decision_surface")), gan=_gan(_figures("gan"))), encoding="utf-8"
    )


def _figures(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["figures"]


def _surface(figures: dict[str, Any]) -> str:
    rows = [["", *figures], ["---"] * (1 + len(figures))]
    for name, words in SURFACE_ROWS.items():
        scale, digits = (100, 1) if name == "accuracy" else (1, 2)
        cells = []
        for method in figures.values():
            low, *_, high = sorted(scale * value for value in method[name]["seeds"])
            cells.append(f"{scale * method[name]['mean']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})")
        rows.append([words, *cells])
    return _table(rows)


def _gan(figures: dict[str, Any]) -> str:
    last = max(int(name.split(", ")[2].split()[0]) for name in figures)
    rows = [["", *GAN_COLUMNS.values()], ["---"] * (1 + len(GAN_COLUMNS))]
    for name, metrics in figures.items():
        if name.endswith(f" {last} steps"):
            value = {key: figure["mean"] for key, figure in metrics.items()}
            rows.append(
                [
                    name,
                    f"{value['wasserstein']:.2f}",
                    f"{100 * value['share_in_view']:.0f}",
                    f"{100 * value['share_near']:.1f}",
                    f"{value['modes_covered']:.0f} of {value['modes']:.0f}",
                ]
            )
    return _table(rows)


def _table(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
