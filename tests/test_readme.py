"""What the README shows runs as it stands there, but for the model, which would come from the Hub."""

import re

from conftest import ROOT

from hfmix import load_backbone
from hfmix.backbones import save_backbone

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_ten_lines_of_python(tmp_path, image_folder, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    save_backbone(
        *load_backbone("test_resnet", ["a", "b"], pretrained=False, image_size=32), tmp_path / "backbone"
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_images").symlink_to(image_folder)
    exec(code.replace("timm/resnet18.a1_in1k", "./backbone").replace("num_train_epochs=10", "max_steps=2"), {})
    assert (tmp_path / "runs/mine/robustness.json").exists()


def test_the_commands_are_those_of_the_makefile():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
    for command in ("quickstart", "test", "lint", "help"):
        assert command in targets and f"make {command}" in README
    ci = (ROOT / ".ci/run").read_text()
    assert re.findall(r"^make (.*)$", ci, flags=re.M) == ["lint", "quickstart", "test"]
