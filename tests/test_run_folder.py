"""A run is finished or it is not there."""

import pytest

from hfmix.run_folder import claim, finishing, is_finished


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def write_finished(run):
    with finishing(run) as stage:
        (stage / "figures").mkdir()
        for name in ("README.md", "robustness.json", "model.safetensors", "figures/a.png"):
            (stage / name).write_text("new")


def test_everything_arrives_and_checkpoints_go(run):
    (run / "checkpoint-5").mkdir(parents=True)
    (run / "checkpoint-5" / "optimizer.pt").touch()
    (run / "notes.txt").write_text("mine")
    write_finished(run)
    assert is_finished(run)
    names = sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    assert names == ["README.md", "figures/a.png", "model.safetensors", "notes.txt", "robustness.json"]


def test_a_failure_half_way_leaves_nothing_that_looks_finished(run):
    with pytest.raises(RuntimeError), finishing(run) as stage:
        (stage / "README.md").touch()
        (stage / "robustness.json").touch()
        raise RuntimeError
    assert not is_finished(run)
    with pytest.raises(FileExistsError, match="stopped half way"):
        claim(run, resume=False, overwrite=False)
    claim(run, resume=True, overwrite=False)


def test_a_finished_run_is_replaced_only_when_asked(run):
    write_finished(run)
    (run / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"finished run.*--overwrite"):
        claim(run, resume=False, overwrite=False)
    assert is_finished(run)
    claim(run, resume=False, overwrite=True)
    assert [path.name for path in run.iterdir()] == ["notes.txt"]


def test_a_half_finished_training_is_continued_or_replaced_only_when_asked(run):
    (run / "checkpoint-3").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="--resume_from_checkpoint"):
        claim(run, resume=False, overwrite=False)
    claim(run, resume=True, overwrite=False)
    assert (run / "checkpoint-3").exists()
    claim(run, resume=False, overwrite=True)
    assert not (run / "checkpoint-3").exists()
