"""The benchmarks of loading and training: they measure what they say, and print it."""

import importlib
import json

import datasets
import numpy as np
import pytest
import torch
from project import ROOT

BATCHES = 2


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments" / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def plain(tmp_path):
    """A folder with pictures of one grey each, from 1 on, whose class is their grey's last digit."""
    greys = np.arange(1, BATCHES * 100 + 1)
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=[str(i) for i in range(10)])}
    )
    images = [np.full((32, 32, 3), grey, dtype=np.uint8) for grey in greys]
    rows = {"image": images, "label": [int(grey) % 10 for grey in greys]}
    datasets.Dataset.from_dict(rows, features).to_parquet(tmp_path / "train-00000-of-00001.parquet")
    return tmp_path


def test_every_pipeline_delivers_each_picture_once_cropped_and_normalised(
    load, plain, monkeypatch, tmp_path_factory
):
    loading = load("loading")
    monkeypatch.setattr(loading, "BATCH", 100)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    _, processor = loading.load_backbone("resnet20_cifar", [str(i) for i in range(10)], pretrained=False)
    mean, std = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
    found = processor.data_config
    assert (tuple(found["mean"]), tuple(found["std"])) == (mean, std)
    source = loading.Source(plain, BATCHES * 100, torch.device("cpu"), mean, std, processor)
    data = loading.as_labelled(source.dataset(), name="train")
    loaders = {
        "stock": loading.stock(source, 0),
        "timm": loading.of_timm(source, 0),
        "timm, decoded": loading.of_timm(source, 0, decoded=True),
        "one by one": loading.one_by_one(source, 0),
        "in memory": loading.in_memory(source, data, source.device),
    }
    torch.manual_seed(0)
    for name, loader in loaders.items():
        batches = [(b["pixel_values"], b["labels"]) if isinstance(b, dict) else b for b in loader]
        assert len(batches) == BATCHES, name
        pixels, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
        assert pixels.dtype == torch.float32, name
        levels = pixels * torch.tensor(std).view(3, 1, 1) + torch.tensor(mean).view(3, 1, 1)
        levels = (255 * levels).round().int()
        greys = levels[:, 0, 16, 16]
        assert sorted(greys.tolist()) == list(range(1, BATCHES * 100 + 1)), name
        assert not torch.equal(greys, greys.sort().values), name
        assert torch.equal(greys % 10, labels.int()), name
        # of a picture is left what its shift leaves: 28 to 32 rows and columns; the rest is padding, 0
        inside = (levels == greys.view(-1, 1, 1, 1)).all(1)
        rows, columns = inside.any(2).sum(1), inside.any(1).sum(1)
        assert torch.equal(inside.sum((1, 2)), rows * columns), name
        assert torch.equal(levels.amax(1) == 0, ~inside), name
        for counts in (rows, columns):  # 1 in 9 is not shifted; each count from 28 to 31 comes twice in 9
            seen = torch.bincount(counts, minlength=33)[28:]
            assert seen.sum() == len(counts) and seen.min() >= 5, name


def test_loading_compares_within_rounds_at_the_best_number_of_workers(load):
    loading = load("loading")
    rates = {
        "transformers' example": {0: [100.0, 100.0, 100.0], 2: [200.0, 100.0, 400.0]},
        "hfmix, in memory on the CPU": {0: [2000.0, 2000.0, 2000.0]},
    }
    lines = loading.tables(rates, "hfmix, in memory on the CPU").splitlines()
    assert lines[2] == "| transformers' example | 2 | 200 | 10.0 × (5.0 to 20.0) | ≥ 10 × |"
    assert lines[-2:] == ["| transformers' example | 100 | 200 |", "| hfmix, in memory on the CPU | 2,000 |  |"]
    told = loading.cost_in_words(9.0, 0.5, 2000, rates, "hfmix, in memory on the CPU")
    assert "takes 10.0 s with the stock pipeline and 1.00 s with" in told and "after 1.0 epochs" in told


def test_loading_says_that_it_made_the_images(load, monkeypatch, capsys, tmp_path):
    loading, pictures = load("loading"), load("inputs")
    monkeypatch.setattr(pictures, "DEFAULT", tmp_path)
    monkeypatch.setattr(loading, "BATCH", 16)
    loading.main(["--images", "32", "--workers", "0", "1", "--repeats", "1"])
    printed = capsys.readouterr().out
    assert "160 synthetic images of 32 pixels, stored as PNG; CIFAR-10 was not at hand" in printed
    assert "timm, images decoded beforehand" in printed and "0.0 images" not in printed
    with pytest.raises(SystemExit, match=r"no train-\*\.parquet in"):
        loading.main(["--data", str(tmp_path)])


def test_the_step_is_compared_pair_by_pair_and_its_parts_add_up(load):
    step = load("step")
    beside = step.Beside(lambda: (0.0, 0.0))
    first = {step.FETCH: 9.0, step.PASSES: 9.0, step.UPDATE: 9.0, step.REST: 9.0}
    later = {step.FETCH: 0.002, step.PASSES: 0.1, step.UPDATE: 0.004, step.REST: 0.004}
    beside.steps = [first] * step.WARM_UP + [later] * 3
    beside.bare_steps = [(1.0, 1.0)] * step.WARM_UP + [(0.1, 0.11), (0.11, 0.2), (0.05, 0.055)]
    lines = step.tables(beside).splitlines()
    assert lines[2] == "| whole step | 110.00 | forward, backward | 100.00 | 1.100 (1.000 to 2.200) | ≤ 1.1 |"
    assert lines[3].startswith("| whole step | 110.00 | forward, backward, optimizer | 110.00 | 1.000 (0.550 ")
    assert lines[8] == f"| {step.FETCH} | 2.00 | 1.8% |"


@pytest.mark.parametrize("way", ["transformers' Trainer and example", "and channels last"])
def test_images_a_second_are_those_of_the_steps_after_the_first(load, monkeypatch, capsys, tmp_path, way):
    epoch, inputs = load("epoch"), load("inputs")
    monkeypatch.setattr(inputs, "DEFAULT", tmp_path)
    for module, name, value in ((epoch, "BATCH", 4), (epoch, "WARM_UP", 2)):
        monkeypatch.setattr(module, name, value)
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr(epoch.time, "perf_counter", lambda: float(next(clock)))
    epoch.main(["--steps", "3", "--way", way])
    assert float(capsys.readouterr().out.splitlines()[-1]) == 2.0  # four images in two seconds


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_step_runs(load, capsys):
    load("step").main(["--steps", "2", "--batch_size", "4"])
    printed = capsys.readouterr().out
    assert "preact_resnet18, 4×3×32×32" in printed and "| whole step |" in printed


def test_training_on_a_gpu_needs_one(load, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    load("training_gpu").main(["--out", str(tmp_path / "figures.json")])
    assert capsys.readouterr().out == "training_gpu: no GPU here, nothing measured\n"
    assert not list(tmp_path.iterdir())


def test_kernels_are_grouped_by_the_range_around_them_and_by_their_name(load):
    gpu = load("training_gpu")
    ranges = [
        gpu.Kernel("enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", 0, 10),
        gpu.Kernel("Optimizer.step#SGD.step", 90, 100),
        gpu.Kernel("Torch-Compiled Region: 0/0", 0, 100),
    ]
    for name, start, group in (
        ("void at::native::index_elementwise_kernel<128, 4>", 1, gpu.DATA),
        ("void at::native::index_elementwise_kernel<128, 4>", 50, gpu.NORM),
        ("void at::native::vectorized_elementwise_kernel<4>", 95, gpu.OPTIMIZER),
        ("mix_tile", 50, gpu.DATA),
        ("sm90_xmma_wgrad_implicit_gemm_indexed_bf16", 50, gpu.CONV),
        ("nvjet_hsh_64x32_64x16_4x2_h_bz_coopA_NTN", 50, gpu.CONV),
        ("triton_poi_fused__native_batch_norm_legit_convolution_relu_3", 50, gpu.NORM),
        ("triton_tem_fused_mm_2", 50, gpu.CONV),
        ("void cudnn::bn_fw_tr_1C11_kernel_NCHW<float>", 50, gpu.NORM),
        ("Memcpy HtoD (Pinned -> Device)", 50, gpu.COPIES),
        ("something_else", 50, gpu.OTHER),
    ):
        assert gpu.group_of(gpu.Kernel(name, start, start + 1), ranges) == group, name
    kernels = [gpu.Kernel("a", 0, 4), gpu.Kernel("b", 2, 3), gpu.Kernel("c", 3, 6), gpu.Kernel("d", 8, 9)]
    assert gpu.busy(reversed(kernels)) == 7


def test_training_is_measured_and_written_cell_by_cell(load, monkeypatch, capsys, tmp_path):
    gpu, pictures = load("training_gpu"), load("inputs")
    monkeypatch.setattr(pictures, "DEFAULT", tmp_path)
    out = tmp_path / "figures.json"
    trial = ["--device", "cpu", "--steps", "2", "--batch_size", "4", "--modes", "eager", "--out", str(out)]
    gpu.main([*trial, "--nets", "preact_resnet18", "--epochs", "1"])
    assert "A trial on the CPU: no result below is from a GPU." in capsys.readouterr().out
    figures = json.loads(out.read_text())
    (cell,) = figures["cells"]
    assert cell["note"] == "" and (cell["images"], cell["steps"], len(cell["seconds_per_epoch"])) == (8, 2, 1)
    assert cell["ms_per_step"][gpu.CONV] > cell["ms_per_step"][gpu.DATA] > 0 < cell["ms_per_step"][gpu.OPTIMIZER]
    assert cell["peak_share"] > 0 and sum(share for _, share in cell["top"]) <= 1
    # the net's multiplications, 3 times 2 of each but for the gradient of the images themselves
    stem, stages = 32 * 32 * 64 * 27, []
    for i, width in enumerate((64, 128, 256, 512)):
        before, area = max(64, width // 2), (32 >> i) ** 2
        stages.append(area * 9 * (before * width + 3 * width**2) + (i > 0) * area * before * width)
    expected = 6 * (stem + sum(stages) + 5120) - 2 * stem
    assert cell["gflop_per_image"] * 1e9 == pytest.approx(expected, rel=1e-9)


def test_a_net_that_fails_is_a_line_and_time_that_is_over_another(load, monkeypatch, capsys, tmp_path):
    gpu, pictures = load("training_gpu"), load("inputs")
    monkeypatch.setattr(pictures, "DEFAULT", tmp_path)
    out = tmp_path / "figures.json"
    trial = ["--device", "cpu", "--steps", "2", "--batch_size", "4", "--modes", "eager", "--out", str(out)]
    gpu.main([*trial, "--nets", "preact_resnet18", "--optim", "nothing"])
    assert json.loads(out.read_text())["cells"][0]["note"].startswith("failed: ")
    gpu.main([*trial, "--minutes", "0"])
    assert [cell["note"] for cell in json.loads(out.read_text())["cells"]] == ["left out: 0 minutes are over"] * 2
    assert "| wrn28_10 | eager | left out: 0 minutes are over |" in capsys.readouterr().out
