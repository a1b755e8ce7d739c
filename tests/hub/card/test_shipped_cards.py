"""The shipped checkpoints hold what their cards claim."""

import subprocess
import sys

import pytest
import yaml
from project import ROOT

from hfmix.hub.upload.run_checks import check_finished_run
from hfmix.hub.verification.verify import verify

SHIPPED = sorted(path.parent for path in (ROOT / "model_cards").glob("*/config.json"))
NAMES = [folder.name for folder in SHIPPED]


@pytest.mark.parametrize("folder", SHIPPED, ids=NAMES)
def test_it_can_be_pushed_as_it_is_and_is_listed(folder):
    assert {"README.md", "model.safetensors", "robustness.json"} < set(check_finished_run(folder))
    assert f"[{folder.name}]({folder.name}/README.md)" in (folder.parent / "README.md").read_text()
    assert (folder / "model.safetensors").stat().st_size <= 2 * 2**20


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("folder", SHIPPED, ids=NAMES)
def test_its_card_is_true(folder, request, monkeypatch, tmp_path):
    """Of data in files, on a part of the test set: `hfmix verify` takes minutes for the whole."""
    reads_files = yaml.safe_load((folder / "recipe.yaml").read_text()).get("train_file") is not None
    if reads_files:
        (tmp_path / "data").symlink_to(request.getfixturevalue("shared_data").resolve())
        monkeypatch.chdir(tmp_path)
    claims = verify(folder, max_samples=500 if reads_files else None, progress=False)
    assert not [claim for claim in claims if claim.verdict == "failed"]
    assert [claim.name for claim in claims if claim.verdict == "holds"].count("clean/accuracy") == 1


IMPORTS = {
    "hfmix first": ["import hfmix", "from transformers import AutoModelForImageClassification"],
    "hfmix last": ["from transformers import AutoModelForImageClassification", "import hfmix"],
}
LOAD = """
import sys, torch
for folder in sys.argv[1:]:
    model = AutoModelForImageClassification.from_pretrained(folder)
    print(tuple(model(torch.zeros(1, 3, 32, 32)).logits.shape))
"""


@pytest.mark.parametrize("imports", IMPORTS.values(), ids=IMPORTS)
def test_nets_that_timm_lacks_load_as_any_other_once_hfmix_is_imported(imports):
    folders = [str(folder) for folder in SHIPPED if "resnet20" in folder.name]
    command = [sys.executable, "-c", "\n".join([*imports, LOAD]), *folders]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.split("\n")[:-1] == ["(1, 10)"] * len(folders) and folders
