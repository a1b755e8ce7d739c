"""The papers of the policies, as BibTeX.

Sources: the proceedings' pages for the papers of mixup and RegMixup, arXiv's listings for the others.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

MIXUP = """@inproceedings{zhang2018mixup,
  title = {mixup: Beyond Empirical Risk Minimization},
  author = {Zhang, Hongyi and Cisse, Moustapha and Dauphin, Yann N. and Lopez-Paz, David},
  booktitle = {International Conference on Learning Representations},
  year = {2018},
  eprint = {1710.09412},
  archivePrefix = {arXiv}
}"""
REGMIXUP = """@inproceedings{pinto2022regmixup,
  title = {Using Mixup as a Regularizer Can Surprisingly Improve Accuracy \\& Out-of-Distribution Robustness},
  author = {Pinto, Francesco and Yang, Harry and Lim, Ser Nam and Torr, Philip and Dokania, Puneet},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {35},
  year = {2022},
  eprint = {2206.14502},
  archivePrefix = {arXiv}
}"""
CUTMIX = """@misc{yun2019cutmix,
  title = {{CutMix}: Regularization Strategy to Train Strong Classifiers with Localizable Features},
  author = {Yun, Sangdoo and Han, Dongyoon and Oh, Seong Joon and Chun, Sanghyuk and Choe, Junsuk and
            Yoo, Youngjoon},
  year = {2019},
  eprint = {1905.04899},
  archivePrefix = {arXiv}
}"""
RESIZEMIX = """@misc{qin2020resizemix,
  title = {{ResizeMix}: Mixing Data with Preserved Object Information and True Labels},
  author = {Qin, Jie and Fang, Jiemin and Zhang, Qian and Liu, Wenyu and Wang, Xingang and Wang, Xinggang},
  year = {2020},
  eprint = {2012.11101},
  archivePrefix = {arXiv}
}"""
MANIFOLD_MIXUP = """@misc{verma2018manifold,
  title = {Manifold Mixup: Better Representations by Interpolating Hidden States},
  author = {Verma, Vikas and Lamb, Alex and Beckham, Christopher and Najafi, Amir and Mitliagkas, Ioannis and
            Courville, Aaron and Lopez-Paz, David and Bengio, Yoshua},
  year = {2018},
  eprint = {1806.05236},
  archivePrefix = {arXiv}
}"""

_OF_POLICY = {
    "mixup": (MIXUP,),
    "input_mixup": (MIXUP,),
    "regmixup": (REGMIXUP, MIXUP),
    "cutmix": (CUTMIX,),
    "resizemix": (RESIZEMIX,),
    "manifold_mixup": (MANIFOLD_MIXUP,),
    "dirichlet_mixup": (MIXUP,),
    "time_cutmix": (CUTMIX,),
}


def citations(policy: dict[str, Any]) -> list[str]:
    """Returns the BibTeX entries for a policy, given as its `to_dict`, and for the policies that it combines."""
    return list(dict.fromkeys(entry for name in _names(policy) for entry in _OF_POLICY.get(name, ())))


def arxiv_ids(entries: Iterable[str]) -> list[str]:
    """Returns the arXiv ids that BibTeX entries name."""
    return re.findall(r"eprint = {([\d.]+)}", "\n".join(entries))


def _names(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("name"), str):
            yield node["name"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _names(child)
