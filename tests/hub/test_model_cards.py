"""What is shipped holds what it claims."""

import pytest
from conftest import ROOT

from hfmix.hub.checks import check_finished_run
from hfmix.hub.verify import verify

SHIPPED = sorted(path.parent for path in (ROOT / "model_cards").glob("*/config.json"))
NAMES = [folder.name for folder in SHIPPED]


@pytest.mark.parametrize("folder", SHIPPED, ids=NAMES)
def test_it_can_be_pushed_as_it_is_and_is_listed(folder):
    assert {"README.md", "model.safetensors", "robustness.json"} < set(check_finished_run(folder))
    assert f"[{folder.name}]({folder.name}/README.md)" in (folder.parent / "README.md").read_text()
    assert (folder / "model.safetensors").stat().st_size <= 2 * 2**20


@pytest.mark.slow
@pytest.mark.parametrize("folder", SHIPPED, ids=NAMES)
def test_its_card_is_true(folder):
    claims = verify(folder, progress=False)
    assert not [claim for claim in claims if claim.verdict == "failed"]
    assert [claim.name for claim in claims if claim.verdict == "holds"].count("clean/accuracy") == 1
