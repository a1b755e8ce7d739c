"""Each policy is cited by the papers that it is from, in BibTeX that is whole."""

import re

import pytest

from hfmix.hub.card.citations import arxiv_ids, citations


@pytest.mark.parametrize(
    ("policy", "ids"),
    [
        ({"name": "erm"}, []),
        ({"name": "mixup", "alpha": 1.0}, ["1710.09412"]),
        ({"name": "regmixup", "alpha": 20.0}, ["2206.14502", "1710.09412"]),
        ({"name": "one_of", "policies": [{"name": "cutmix"}, {"name": "mixup"}]}, ["1905.04899", "1710.09412"]),
        ({"name": "one_of", "policies": [{"name": "mixup"}, {"name": "mixup"}]}, ["1710.09412"]),
        ({"name": "resizemix"}, ["2012.11101"]),
        ({"name": "manifold_mixup"}, ["1806.05236"]),
    ],
)
def test_the_papers_of_a_policy(policy, ids):
    entries = citations(policy)
    assert arxiv_ids(entries) == ids
    for entry in entries:
        assert entry.count("{") == entry.count("}") and re.match(r"@(inproceedings|misc){\w+,\n", entry)
        fields = re.findall(r"^  (\w+) = {", entry, re.M)
        assert {"title", "author", "year"} <= set(fields) and len(set(fields)) == len(fields)
        assert not re.search(r"(?<!\\)[&%#_]", entry)
