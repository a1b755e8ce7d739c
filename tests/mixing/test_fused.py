"""The fused kernel gives what the definition gives: natively on a GPU, elsewhere under Triton's interpreter.

Triton decides when it is imported whether it interprets, so without a GPU the tests marked `cuda` run in a process
of their own, started by `test_under_the_interpreter`.
"""

import os
import re
import subprocess
import sys

import pytest
import torch

from hfmix import CutMix, DirichletMixup, MixPlan, Mixup, OneOf, RegMixup, ResizeMix, TimeCutMix
from hfmix.mixing import kernels
from hfmix.mixing.kernels import functional

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
N, SHAPE = 7, (3, 11, 9)


def needs_gpu(test):
    reason = "needs a GPU; runs under Triton's interpreter in test_under_the_interpreter"
    return pytest.mark.cuda(
        pytest.mark.skipif(not (INTERPRETED or torch.cuda.is_available()), reason=reason)(test)
    )


def needs_real_gpu(test):
    skip = pytest.mark.skipif(INTERPRETED or not torch.cuda.is_available(), reason="needs a GPU")
    return pytest.mark.cuda(skip(test))


@pytest.fixture
def fused(monkeypatch):
    pytest.importorskip("triton")
    from hfmix.mixing.kernels import fused

    if INTERPRETED:
        # which takes programs one by one: a smaller machine's share of them will do
        monkeypatch.setattr(fused, "_processors", lambda device: 6)
    return fused


def crowded_plan() -> MixPlan:
    """Not a permutation: rows that several read, that nobody reads, that stay, and first sources of any kind."""
    source = torch.tensor([[0, 3], [5, 3], [2, 0], [3, 3], [4, 1], [5, 0], [3, 6]])
    m = torch.tensor([0.0, 0.1, 0.25, 0.5, 1.0, 0.9, 0.6])
    weight = torch.stack([1 - m, m], 1)
    return MixPlan(source, weight, weight, torch.ones(N), N)


def odd_plan(box: bool) -> MixPlan:
    """What no policy draws: weights of other sums, boxes empty in one dimension, others' rows around a box."""
    source = torch.tensor([[0, 3], [5, 3], [2, 0], [3, 3], [4, 1], [0, 2], [6, 6]])
    weight = torch.tensor([[1.0, 0.5], [1.0, 0.0], [1.0, 0.5], [0.5, 2.0], [0.7, 0.6], [0.2, 0.1], [1.0, 0.0]])
    boxes = [[0, 2, 0, 5], [3, 1, 11, 9], [4, 7, 9, 7], [0, 0, 11, 9], [1, 1, 2, 2], [10, 8, 11, 9], [2, 2, 2, 2]]
    return MixPlan(source, weight, weight, torch.ones(N), N, box=torch.tensor(boxes) if box else None)


def sample(policy, seed: int = 3) -> MixPlan:
    return policy.sample(N, shape=SHAPE, generator=torch.Generator().manual_seed(seed))


PLANS = {
    "mixup": lambda: sample(Mixup()),
    "mixup per example": lambda: sample(Mixup(granularity="example")),
    "mixup of some": lambda: sample(Mixup(granularity="example", p=0.5)),
    "cutmix": lambda: sample(CutMix()),
    "cutmix per example": lambda: sample(CutMix(granularity="example")),
    "cutmix or mixup": lambda: sample(OneOf([CutMix(), Mixup()], granularity="example")),
    "resizemix": lambda: sample(ResizeMix(granularity="example")),
    "time_cutmix": lambda: sample(TimeCutMix(granularity="example", axis=-1)),
    "time_cutmix of channels": lambda: sample(TimeCutMix(axis=1)),
    "dirichlet": lambda: sample(DirichletMixup(k=3, granularity="example")),
    "regmixup": lambda: sample(RegMixup(alpha=1.0)),
    "regmixup of cutmix": lambda: sample(RegMixup(base=CutMix(), alpha=1.0)),
    "not a permutation": crowded_plan,
    "odd weights": lambda: odd_plan(box=False),
    "odd boxes": lambda: odd_plan(box=True),
}


def batch(*shape: int, dtype: torch.dtype = torch.float32, channels_last: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(*shape, generator=generator)
    x = (x * 256).floor() if not dtype.is_floating_point else x - 0.3
    x = x.to(DEVICE, dtype)
    return x.to(memory_format=torch.channels_last) if channels_last else x


def poisoned(plan: MixPlan, x: torch.Tensor) -> torch.Tensor:
    """Rows in `x`'s layout in which nothing is right yet."""
    out = kernels.empty_rows(x, plan.num_rows)
    return out.fill_(torch.nan if x.is_floating_point() else 77)


def check(fused, plan: MixPlan, x: torch.Tensor) -> torch.Tensor:
    """Applies the plan into another tensor, and in place where it can be, against the definition."""
    before, out = x.clone(), poisoned(plan, x)
    assert fused.mix_into(x, plan, out)
    assert torch.equal(x, before)
    exact = functional.mix(x.double(), plan)
    if x.dtype == torch.uint8:
        # rounded from sums whose last bit depends on the order of adding
        assert (out.double() - exact).abs().max() <= 0.5 + 1e-4
    else:
        eps = max(torch.finfo(x.dtype).eps, 2**-23)
        assert (out.double() - exact).abs().max() <= eps * exact.abs().max()
    can = plan.num_rows == len(x) and not (plan.resize and plan.box is not None)
    y = x.clone()
    assert fused.mix_in_place(y, plan) == can
    assert torch.equal(y, out if can else before)
    return out


@needs_gpu
@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("name", PLANS)
def test_every_kind_of_plan(fused, name, channels_last):
    check(fused, PLANS[name](), batch(N, *SHAPE, channels_last=channels_last))


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.uint8])
@pytest.mark.parametrize("name", ["mixup per example", "cutmix or mixup", "resizemix", "dirichlet", "regmixup"])
def test_every_dtype(fused, name, dtype):
    check(fused, PLANS[name](), batch(N, *SHAPE, dtype=dtype))


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("name", ["cutmix per example", "resizemix"])
def test_class_ids_and_masks_are_cut(fused, name, dtype):
    plan, x = PLANS[name](), (batch(N, *SHAPE) * 1000).to(dtype)
    if dtype == torch.int64:
        x += 2**40  # more than a float holds
    out = torch.zeros_like(x)
    assert fused.mix_into(x, plan, out)
    assert torch.equal(out, functional.mix(x, plan))


@needs_gpu
def test_uint8_is_rounded_to_even(fused):
    source = torch.tensor([[0, 1], [0, 1]])
    weight = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    x = torch.tensor([[10, 0, 13, 255, 255], [13, 255, 14, 254, 255]], dtype=torch.uint8, device=DEVICE)
    out = torch.zeros_like(x)
    assert fused.mix_into(x, MixPlan(source, weight, weight, torch.ones(2), 2), out)
    # 11.5, 127.5, 13.5, 254.5, 255 and 12.25, 191.25, 13.75, 254.25, 255
    assert out.tolist() == [[12, 128, 14, 254, 255], [12, 191, 14, 254, 255]]


@needs_gpu
@pytest.mark.parametrize("name", ["mixup of some", "cutmix per example", "resizemix"])
def test_what_has_no_weight_leaves_no_trace(fused, name):
    """Not even infinities, which 0 · x would turn into NaN."""
    plan, x = PLANS[name](), batch(N, *SHAPE)
    selected = (plan.weight.amax(1) == 1) if plan.box is None else torch.ones(N, dtype=torch.bool)
    assert selected.any()
    x[::2] = 1e6
    expected = functional.mix(x, plan)[selected.to(DEVICE)]
    out = poisoned(plan, x)
    assert fused.mix_into(x.where(x < 1e6, torch.inf), plan, out)
    assert torch.equal(out[selected.to(DEVICE)].nan_to_num(nan=-1.0, posinf=1e6), expected)


@needs_gpu
@pytest.mark.parametrize("shape", [(1, 5), (300, 6), (300,), (33, 1), (5, 1, 1, 1), (2, 3, 20, 32)])
def test_sizes(fused, shape):
    """One row, more rows than a tile has, rows of one value, rows of many tiles."""
    n = shape[0]
    check(fused, Mixup(granularity="example").sample(n, generator=torch.Generator().manual_seed(1)), batch(*shape))
    if len(shape) == 4:
        check(
            fused, CutMix().sample(n, shape=shape[1:], generator=torch.Generator().manual_seed(1)), batch(*shape)
        )


@needs_gpu
def test_rows_far_apart(fused):
    """Every second row of a larger tensor, from an odd address."""
    x, plan = batch(2 * N, 31)[1::2], PLANS["mixup per example"]()
    out = torch.full((3 * N, 31), torch.nan, device=DEVICE)
    assert fused.mix_into(x, plan, out[::3])
    torch.testing.assert_close(out[::3], functional.mix(x, plan))
    assert out[1::3].isnan().all() and out[2::3].isnan().all()
    expected, whole = functional.mix(x, plan), batch(2 * N, 31)
    assert fused.mix_in_place(whole[1::2], plan)
    torch.testing.assert_close(whole[1::2], expected)
    assert torch.equal(whole[::2], batch(2 * N, 31)[::2])


@needs_gpu
@pytest.mark.parametrize("name", ["mixup", "cutmix per example", "resizemix"])
def test_columns_of_64_bits(fused, monkeypatch, name):
    monkeypatch.setattr(fused, "_INT32_RANGE", 1)
    check(fused, PLANS[name](), batch(N, *SHAPE))


@needs_gpu
def test_what_it_cannot_do_is_left_alone(fused):
    plan, x = PLANS["mixup"](), batch(N, 4, 6, 8)
    out, many = torch.full_like(x, 5.0), batch(10_000, 4)
    assert not fused.mix_into(x.to(memory_format=torch.channels_last), plan, out)
    assert not fused.mix_into(x[..., ::2], plan, out[..., ::2])
    assert not fused.mix_into(x.to(torch.complex64), plan, out.to(torch.complex64))
    assert not fused.mix_into(x, MixPlan(plan.source - 1, *[plan.weight] * 2, plan.row_weight, N), out)
    assert not fused.mix_into(x, MixPlan(plan.source + 1, *[plan.weight] * 2, plan.row_weight, N), out)
    assert not fused.mix_in_place(x[:1].expand(N, -1, -1, -1), plan)
    assert not fused.mix_in_place(many, Mixup().sample(10_000))
    assert (out == 5).all()
    assert fused.mix_into(x[..., :0], plan, out[..., :0])


@needs_gpu
def test_autograd_sees_what_was_overwritten(fused):
    plan, x = PLANS["mixup"](), batch(N, 4)
    parameter = torch.ones(N, 4, device=DEVICE, requires_grad=True)
    product = parameter * x
    assert fused.mix_in_place(x, plan)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()
    with torch.inference_mode():
        assert fused.mix_in_place(batch(N, 4), plan)


@needs_real_gpu
@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_applied_on_the_gpu_without_waiting_for_it(fused, name):
    plan, x = PLANS[name](), torch.randn(N, *SHAPE)
    expected, on_gpu = plan.apply(x), x.cuda()
    for moved in (plan, plan.to("cuda")):
        moved.apply(on_gpu)  # compiles
        torch.cuda.set_sync_debug_mode("error")
        try:
            mixed = moved.apply(on_gpu)
            in_place = moved.apply_(on_gpu.clone()) if plan.num_rows == N else mixed
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.testing.assert_close(mixed.cpu(), expected)
        torch.testing.assert_close(in_place.cpu(), expected)


@needs_real_gpu
def test_gradients_flow_on_the_gpu():
    plan, x = crowded_plan(), torch.randn(N, 5, device="cuda", requires_grad=True)
    plan.apply(x).sum().backward()
    share = torch.zeros(N).index_add_(0, plan.source.flatten(), plan.weight.flatten())
    torch.testing.assert_close(x.grad.cpu(), share[:, None].expand(N, 5))


@needs_real_gpu
def test_the_gpu_falls_back_where_the_kernel_cannot():
    plan, x = PLANS["mixup"](), torch.randn(N, 4, 6, 8)
    torch.testing.assert_close(plan.apply(x.cuda()[..., ::2]).cpu(), plan.apply(x[..., ::2]))
    many, large = Mixup().sample(10_000), torch.randn(10_000, 4)
    torch.testing.assert_close(many.apply_(large.cuda()).cpu(), many.apply(large))


@needs_real_gpu
def test_in_place_has_no_races(fused):
    """Large batches, where programs and warps do run at once; again and again."""
    for rows, columns, dtype in (
        (64, 150528, torch.float32),
        (256, 150528, torch.bfloat16),
        (1000, 3072, torch.uint8),
    ):
        x = batch(rows, columns, dtype=dtype)
        for seed in range(10):
            plan = Mixup(granularity="example").sample(rows, generator=torch.Generator().manual_seed(seed))
            out, y = torch.empty_like(x), x.clone()
            assert fused.mix_into(x, plan, out) and fused.mix_in_place(y, plan)
            assert torch.equal(y, out)


@needs_real_gpu
def test_rows_of_more_than_2_to_the_31_values(fused):
    if torch.cuda.mem_get_info()[0] < 32 * 2**30:
        pytest.skip("needs 32 GiB of the GPU's memory")
    plan = MixPlan(torch.tensor([[0, 1], [1, 0]]), *[torch.tensor([[0.25, 0.75]] * 2)] * 2, torch.ones(2), 2)
    x = torch.randint(0, 256, (2, 2**31 + 48), dtype=torch.uint8, device="cuda")
    out = torch.empty_like(x)
    assert fused.mix_into(x, plan, out)
    for columns in (slice(0, 2**20), slice(-(2**20), None)):
        exact = functional.mix(x[:, columns].double(), plan)
        assert (out[:, columns].double() - exact).abs().max() <= 0.5 + 1e-4


@pytest.mark.skipif(INTERPRETED, reason="is what starts the interpreter")
def test_under_the_interpreter():
    """Every test marked `cuda` above that asks for no real GPU."""
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "pytest", __file__, "-m", "cuda", "-p", "no:cacheprovider", "--no-header"]
    run = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert int(re.search(r"(\d+) passed", run.stdout)[1]) >= 50


@pytest.mark.skipif(INTERPRETED, reason="nothing is compiled under the interpreter")
@pytest.mark.parametrize("box", [False, True], ids=["mixup", "cutmix"])
@pytest.mark.parametrize("kind", ["fp32", "bf16", "u8"])
def test_an_h200_gets_wide_loads_that_all_precede_the_writes(fused, kind, box):
    """Compiled for it without one, in place for a batch of 64×3×224×224; what is read in 16 bytes at a time."""
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    itemsize = {"fp32": 4, "bf16": 2, "u8": 1}[kind]
    rows, columns, warps = fused.tile_shape(64, 3 * 224 * 224, itemsize, 132, in_place=True, box=box)
    chosen = {"num_sources": 2, "num_axes": 2 * box, "resize": False, "in_place": True, "select": False}
    chosen |= {"sum_dtype": tl.float32, "wide": False, "tile_rows": rows, "tile_columns": columns}
    names = fused.mix_tile.arg_names
    types = {"x": f"*{kind}", "out": f"*{kind}", "table": "*i32"}
    signature = {name: "constexpr" if name in chosen else types.get(name, "i32") for name in names}
    aligned = {
        (names.index(name),): [["tt.divisibility", 16]] for name in (*types, "x_stride", "out_stride", "row_size")
    }
    kernel = compile(
        ASTSource(fused.mix_tile, signature, chosen, aligned),
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": warps, "enable_fp_fusion": True},
    )
    steps = re.findall(r"ld\.global\S*|st\.global\S*|bar\.sync", kernel.asm["ptx"])
    first_write = next(i for i, step in enumerate(steps) if step.startswith("st."))
    assert steps[first_write - 1] == "bar.sync"
    assert not any(step.startswith("ld.") for step in steps[first_write:])
    in_flight = rows * columns * itemsize // (16 * 32 * warps)
    assert steps.count("ld.global.v4.b32") == 2 * in_flight
    assert steps.count("st.global.v4.b32") == in_flight


@pytest.mark.parametrize("rows", [1, 7, 64, 256, 1000, 4096, 100_000])
@pytest.mark.parametrize("row_size", [1, 10, 3072, 150_528])
@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
def test_tiles(fused, rows, row_size, itemsize):
    for in_place in (False, True):
        tile = fused.tile_shape(rows, row_size, itemsize, 132, in_place)
        if tile is None:
            assert in_place and rows > 2048
            continue
        height, width, warps = tile
        assert height & (height - 1) == width & (width - 1) == warps & (warps - 1) == 0
        assert not in_place or height >= rows
        assert 4 <= warps <= 32 and height * width * max(4, itemsize) <= 128 * 32 * warps
        programs = -(-rows // height) * -(-row_size // width)
        assert programs >= 132 or width * itemsize <= 32 or not in_place


def test_nothing_imports_triton_before_a_gpu_needs_it():
    code = (
        "import sys, torch, hfmix.mixing as m\n"
        "m.RegMixup().sample(4).apply(torch.randn(4, 3)); m.Mixup().sample(4).apply_(torch.randn(4, 3))\n"
        "assert 'hfmix.mixing.kernels.fused' not in sys.modules and 'triton' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_triton_nothing_is_said(monkeypatch, recwarn):
    monkeypatch.delattr(kernels, "fused", raising=False)
    monkeypatch.setitem(sys.modules, "hfmix.mixing.kernels.fused", None)
    kernels._fused.cache_clear()
    assert kernels._fused(torch.device("cuda", 7)) is None
    assert not recwarn


def test_a_gpu_on_which_triton_fails_is_named_once(fused, monkeypatch):
    def fail(device: torch.device) -> None:
        raise RuntimeError("Failed to find C compiler.\nSet CC.")

    monkeypatch.setattr(fused, "try_out", fail)
    kernels._fused.cache_clear()
    with pytest.warns(UserWarning, match=r"does not run on cuda:7, .*: Failed to find C compiler\.$"):
        assert kernels._fused(torch.device("cuda", 7)) is None
    assert kernels._fused(torch.device("cuda", 7)) is None
    kernels._fused.cache_clear()


@needs_gpu
def test_trying_it_out(fused):
    fused.try_out(torch.device(DEVICE))
