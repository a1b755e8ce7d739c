"""Mixing inside torch.compile: one graph without a break, and no new one as λ, partners and boxes change."""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from hfmix import CutMix, DirichletMixup, MixPlan, Mixup, RegMixup, ResizeMix, TimeCutMix
from hfmix.mixing import keyed_generator

N, C, SHAPE = 6, 5, (3, 9, 7)


def mix(x: torch.Tensor, labels: torch.Tensor, plan: MixPlan) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    targets = plan.targets(labels)
    return plan.apply(x), targets.labels, targets.label_weight


@pytest.mark.parametrize(
    "policy",
    [
        Mixup(),
        Mixup(granularity="example", p=0.5),
        CutMix(),
        CutMix(granularity="example", p=0.5),
        ResizeMix(),
        RegMixup(20.0),
        RegMixup(base="cutmix"),
        DirichletMixup(),
        TimeCutMix(),
    ],
    ids=lambda policy: f"{policy.name}-{getattr(policy, 'granularity', '')}",
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_one_graph_serves_every_draw(policy, dtype):
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(mix, fullgraph=True, backend=counter)
    x, labels = (torch.rand(N, *SHAPE) * 255).to(dtype), torch.arange(N) % C
    for key in range(4):
        plan = policy.sample(N, SHAPE, keyed_generator(key))
        mixed, mixed_labels, label_weight = compiled(x, labels, plan)
        difference = (mixed.double() - plan.apply(x).double()).abs().max()
        assert difference <= (1 if dtype == torch.uint8 else 1e-4)
        assert torch.equal(mixed_labels, plan.targets(labels).labels)
        assert torch.equal(label_weight, plan.label_weight)
    assert counter.frame_count == 1


def test_the_gradient_flows_through_the_graph():
    torch._dynamo.reset()
    compiled = torch.compile(lambda x, plan: plan.apply(x), fullgraph=True, backend="aot_eager")
    for key in range(2):
        plan = CutMix(granularity="example").sample(N, SHAPE, keyed_generator(key))
        gradients = []
        for apply in (compiled, lambda x, plan: plan.apply(x)):
            x = torch.ones(N, *SHAPE, requires_grad=True)
            (apply(x, plan) * torch.arange(7.0)).sum().backward()
            gradients.append(x.grad)
        torch.testing.assert_close(*gradients)
