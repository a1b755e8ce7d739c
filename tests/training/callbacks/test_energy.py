"""The energy of a training, from files like Linux's; without them nothing is reported."""

from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from hfmix.training.callbacks import energy
from hfmix.training.callbacks.energy import EnergyMeter


@pytest.fixture
def rapl(tmp_path) -> Path:
    """Two packages, of which the first has a part that counts in it."""
    for name, joules in {"intel-rapl:0": 90, "intel-rapl:0:0": 50, "intel-rapl:1": 10}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{joules * 10**6}\n")
        (tmp_path / name / "max_energy_range_uj").write_text(f"{100 * 10**6}\n")
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


def count(rapl: Path, package: int, joules: int) -> None:
    (rapl / f"intel-rapl:{package}" / "energy_uj").write_text(str(joules * 10**6))


def train(meter: EnergyMeter, tmp_path: Path, *steps, first: int = 0):
    """Calls what a trainer calls, each of `steps` having happened before the end of a training step."""
    args = TrainingArguments(str(tmp_path), use_cpu=True)
    about = (args, TrainerState(global_step=first), TrainerControl())
    meter.on_train_begin(*about)
    for step in steps:
        step()
        meter.on_step_end(*about)
    meter.on_train_end(*about)
    return meter.used()


def test_it_adds_the_packages_up_and_knows_when_they_start_again(rapl, tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "_SECONDS", 0.0)
    meter = EnergyMeter(rapl)
    found = train(
        meter,
        tmp_path,
        lambda: count(rapl, 0, 20),  # 90 to 100, then to 20
        lambda: count(rapl, 1, 40),
        lambda: count(rapl, 0, 10),  # once around
    )
    assert found["kilowatt_hours"] == pytest.approx((30 + 30 + 90) / 3.6e6)
    assert found["measured"] == "the CPU packages (RAPL)"


def test_between_two_readings_lies_some_time(rapl, tmp_path):
    """The last one counts all the same."""
    found = train(EnergyMeter(rapl), tmp_path, lambda: count(rapl, 0, 95), lambda: count(rapl, 0, 99))
    assert found["kilowatt_hours"] == pytest.approx(9 / 3.6e6)


def test_what_was_not_measured_whole_is_not_said(rapl, tmp_path, monkeypatch):
    assert train(EnergyMeter(tmp_path / "nowhere"), tmp_path) is None
    assert train(EnergyMeter(rapl), tmp_path, first=3) is None  # resumed
    assert train(EnergyMeter(rapl), tmp_path, lambda: (rapl / "intel-rapl:1/energy_uj").write_text("")) is None
    assert EnergyMeter(rapl).used() is None
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")  # of more processes than there are here
    assert train(EnergyMeter(rapl), tmp_path) is None
