"""A run becomes a checkpoint's folder that can be pushed, if it can be repeated elsewhere."""

import shutil

import pytest

from experiments.papers.export_checkpoint import ship
from hfmix.hub.upload.run_checks import check_finished_run


@pytest.fixture
def run(finished_run, tmp_path):
    """A finished run as it would be with a relative output folder."""
    shutil.copytree(finished_run, tmp_path / "run")
    recipe = tmp_path / "run" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(str(finished_run), "runs/digits/regmixup"))
    (tmp_path / "run" / "checkpoint-3").mkdir()
    (tmp_path / "run" / "checkpoint-3" / "optimizer.pt").write_bytes(b"a pickle")
    return tmp_path / "run"


def test_a_run_is_shipped_under_its_name_with_what_is_pushed_and_no_more(run, tmp_path):
    folder = ship(run, "digits-one", cards=tmp_path / "cards")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == set(check_finished_run(folder)) and "model.safetensors" in files
    assert not any("checkpoint" in name for name in files)
    assert "\n# digits-one\n" in (folder / "README.md").read_text()
    assert (folder / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_a_checkpoints_figures_stand_beside_and_the_folder_is_replaced(run, tmp_path):
    first = ship(run, "first", cards=tmp_path)
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "old").touch()
    folder = ship(run, "second", baseline=first, cards=tmp_path)
    assert (folder / "baseline.json").is_file() and not (folder / "old").exists()
    assert "first" in (folder / "README.md").read_text()


def test_a_run_that_names_this_machine_is_refused(finished_run, tmp_path):
    with pytest.raises(ValueError, match="no other machine has: train with a relative path"):
        ship(finished_run, "digits-one", cards=tmp_path / "cards")
    assert not (tmp_path / "cards").exists()
