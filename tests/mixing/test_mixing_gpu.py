"""The benchmark of mixing on a GPU, as far as it runs without one: what it compares, and what it prints."""

import importlib.util
import json
import sys

import pytest
import torch
from project import ROOT


@pytest.fixture
def benchmark(monkeypatch):
    path = ROOT / "experiments" / "benchmarks" / "mixing_gpu.py"
    spec = importlib.util.spec_from_file_location("mixing_gpu", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mixing_gpu", module)  # where its dataclasses look for their types
    spec.loader.exec_module(module)
    return module


def test_the_benchmark_says_that_there_is_no_gpu(benchmark, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    benchmark.main(["--out", str(tmp_path / "figures.json")])
    assert capsys.readouterr().out == "mixing_gpu: no GPU here, nothing measured\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_what_the_benchmark_compares_mixes(benchmark, dtype):
    x = (torch.rand(8, 3, 16, 16) * 255).to(dtype)
    cases = benchmark.cases(x, backend="eager")
    assert ("lerp(x, x[p], w)" in cases) == ("torchvision MixUp" in cases) == dtype.is_floating_point
    for name, case in cases.items():
        mixed = case.call()
        mixed = mixed[0] if isinstance(mixed, tuple) else mixed
        assert len(mixed) == case.rows - 8, name
        assert mixed.dtype == dtype and not torch.equal(mixed[-8:], x), name


def test_the_benchmark_prints_what_it_measured(benchmark):
    rows = [
        benchmark.Figure("64", "copy_", 0.08, 20.0, 5.0, 20.0),
        benchmark.Figure("64", "mixup", 0.08, 25.0, 40.0, 20.0),
    ]
    rows.append(benchmark.Figure("64", "other", 0.08, note="refused"))
    assert benchmark.table(rows).splitlines()[2:] == [
        "| 64 | copy_ | 20.0 | 4000 | 100 % | 5 |",
        "| 64 | mixup | 25.0 | 3200 | 80 % | 40 |",
        "| 64 | other | refused | | | |",
    ]
    figure = json.loads(json.dumps(benchmark.as_json(rows[1])))
    assert (figure["method"], figure["gb_per_s"], figure["share_of_copy_bandwidth"]) == ("mixup", 3200.0, 0.8)


def test_a_batch_gets_a_line_for_each_method_and_one_for_what_fails(benchmark, monkeypatch):
    def fail() -> None:
        raise RuntimeError("not for this dtype\nmore")

    calls = []
    monkeypatch.setattr(
        benchmark, "measure", lambda call, iterations, flush: (call(), calls.append(1), (2.0, 1.0))[2]
    )
    monkeypatch.setattr(
        benchmark,
        "cases",
        lambda x: {
            "a": benchmark.Case(lambda: 0, 8),
            "b": benchmark.Case(fail, 8),
            "c": benchmark.Case(lambda: 0, 12),
        },
    )
    lines = benchmark.measure_batch((4, 3, 2, 2), torch.uint8, 1, torch.zeros(1))
    assert [line.method for line in lines] == ["copy_", "a", "b", "c"]
    assert [line.note for line in lines] == ["", "", "not for this dtype", ""]
    assert [line.gigabytes for line in lines] == [96e-9, 96e-9, 96e-9, 144e-9]
    assert len(calls) == 4  # copies of 8 and 12 rows, a and c


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_benchmark_measures(benchmark, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(benchmark, "BATCHES", [((8, 3, 32, 32), torch.float32)])
    monkeypatch.setattr(benchmark, "FLUSH_BYTES", 2**20)
    benchmark.main(["--iterations", "3", "--out", str(tmp_path / "figures.json")])
    assert "| 8×3×32×32 float32 | hfmix mixup, in place |" in capsys.readouterr().out
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert all(figure["device_us"] > 0 for figure in figures if "hfmix" in figure["method"])
