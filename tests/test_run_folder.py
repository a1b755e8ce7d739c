"""A run is finished or it is not there, and nobody else's files are touched."""

import pytest

from hfmix.run_folder import begin, check_free, finishing, is_finished, training_seconds

BOTH_WAYS = [{"resume": True, "overwrite": False}, {"resume": False, "overwrite": True}]
PLAIN = {"resume": False, "overwrite": False}


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def write_finished(run):
    begin(run, overwrite=False)
    with finishing(run) as stage:
        (stage / "figures").mkdir()
        for name in ("README.md", "robustness.json", "model.safetensors", "figures/a.png"):
            (stage / name).write_text("new")


def names(run):
    return sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())


def test_everything_arrives_and_checkpoints_go(run):
    begin(run, overwrite=False)
    (run / "checkpoint-5").mkdir(parents=True)
    (run / "checkpoint-5" / "optimizer.pt").touch()
    (run / "notes.txt").write_text("mine")
    write_finished(run)
    assert is_finished(run)
    assert names(run) == ["README.md", "figures/a.png", "model.safetensors", "notes.txt", "robustness.json"]


def test_a_failure_half_way_leaves_nothing_that_looks_finished(run):
    begin(run, overwrite=False)
    with pytest.raises(RuntimeError), finishing(run) as stage:
        (stage / "README.md").touch()
        (stage / "robustness.json").touch()
        raise RuntimeError
    assert not is_finished(run)
    with pytest.raises(FileExistsError, match="was interrupted"):
        check_free(run, **PLAIN)
    for way in BOTH_WAYS:
        check_free(run, **way)


def test_a_run_that_has_just_begun_is_not_started_twice(run):
    begin(run, overwrite=False)
    with pytest.raises(FileExistsError, match="still under way"):
        check_free(run, **PLAIN)


def test_a_finished_run_is_replaced_only_when_asked_and_only_at_the_start(run):
    write_finished(run)
    (run / "notes.txt").write_text("mine")
    (run / "figures" / "deep").mkdir()
    (run / "figures" / "deep" / "thesis.pdf").write_text("mine")
    for resume in (True, False):
        with pytest.raises(FileExistsError, match=r"finished run.*--overwrite"):
            check_free(run, resume=resume, overwrite=False)
    check_free(run, resume=False, overwrite=True)
    assert is_finished(run)
    begin(run, overwrite=True)
    assert not is_finished(run)
    assert names(run) == ["figures/deep/thesis.pdf", "notes.txt"]


@pytest.mark.parametrize("way", [PLAIN, *BOTH_WAYS])
def test_files_that_are_not_a_run_s_are_never_replaced(run, way):
    (run / "figures").mkdir(parents=True)
    (run / "figures" / "thesis.pdf").write_text("mine")
    with pytest.raises(FileExistsError, match=r"not a run's folder.*figures/thesis.pdf"):
        check_free(run, **way)
    (run / "figures" / "thesis.pdf").unlink()
    (run / "notes.txt").touch()
    check_free(run, **way)


def test_a_stopped_training_is_continued_or_replaced_only_when_asked(run):
    (run / "checkpoint-3").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="--resume_from_checkpoint"):
        check_free(run, **PLAIN)
    for way in BOTH_WAYS:
        check_free(run, **way)
    begin(run, overwrite=False)
    assert (run / "checkpoint-3").exists()
    begin(run, overwrite=True)
    assert not (run / "checkpoint-3").exists()


@pytest.mark.parametrize(
    ("log", "runtime", "seconds"),
    [
        # resumed after the first of two epochs of 300 examples: the Trainer tells of the second alone
        ([(1.0, 10.0), (2.0, 20.0)], 15.5, 30.0 + 15.0),
        ([(1.0, 10.0), (2.0, 20.0)], 47.0, 47.0),  # in one stretch, with what is before the first step
        ([(1.0, None)], 12.0, 12.0),  # an evaluation's line
    ],
)
def test_the_time_of_a_training_is_that_of_all_its_stretches(log, runtime, seconds):
    entries = [{"epoch": epoch} | ({"examples_per_second": speed} if speed else {}) for epoch, speed in log]
    results = {"log_history": entries, "num_train_samples": 300, "metrics": {"train_runtime": runtime}}
    assert training_seconds(results) == pytest.approx(seconds)
    assert training_seconds(results | {"num_train_samples": None}) == runtime  # streamed
