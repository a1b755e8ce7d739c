"""Logits are found in every form of output, and a model is put back as it was, module by module."""

from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hfmix.utils.model_calls import call_model, evaluating, input_gradients, logits_of

LOGITS = torch.randn(3, 2)


@pytest.mark.parametrize(
    "outputs",
    [
        LOGITS,
        {"loss": None, "logits": LOGITS},
        SimpleNamespace(logits=LOGITS),
        namedtuple("Output", "loss logits")(None, LOGITS),
        (LOGITS, "hidden states"),
        [LOGITS],
    ],
    ids=lambda outputs: type(outputs).__name__,
)
def test_logits_are_found_in_every_form_of_output(outputs):
    assert logits_of(outputs) is LOGITS


def test_logits_are_found_in_an_output_of_transformers():
    from transformers.modeling_outputs import ImageClassifierOutput

    assert torch.equal(logits_of(ImageClassifierOutput(logits=LOGITS)), LOGITS)
    with pytest.raises(ValueError, match="have no 'logits', but loss"):
        logits_of(ImageClassifierOutput(loss=torch.zeros(())))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"loss": 1, "features": 2}, "no 'logits', but loss, features"),
        (None, "gives NoneType"),
        ((), "gives tuple"),
    ],
)
def test_outputs_without_logits_are_refused(outputs, message):
    with pytest.raises(ValueError, match=message):
        logits_of(outputs)


def test_a_single_input_may_have_any_name():
    net = nn.Linear(4, 2)
    x = torch.randn(3, 4)
    assert torch.equal(call_model(net, {"pixel_values": x}), net(x))
    by_name = lambda *, input_values, attention_mask: SimpleNamespace(logits=LOGITS)  # noqa: E731
    assert call_model(by_name, {"input_values": x, "attention_mask": x}) is LOGITS


class Fused(nn.Linear):
    """A layer that does more in `train` than set a flag, as LoRA layers do that merge their weights."""

    fused = False

    def train(self, mode: bool = True) -> "Fused":
        self.fused = not mode
        return super().train(mode)


def partly_frozen(training: bool) -> nn.Module:
    head = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))
    net = nn.Sequential(Fused(4, 4), nn.BatchNorm1d(4), nn.Dropout(), head)
    net.train(training)
    net[1].train(not training)  # a frozen normalisation, or one that adapts to the test data
    net[3][1].weight.requires_grad_(False)
    return net


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("context", [evaluating, input_gradients])
def test_a_model_is_put_back_as_it_was_also_after_an_exception(context, training):
    net = partly_frozen(training)
    modes = [module.training for module in net.modules()]
    learnt = [parameter.requires_grad for parameter in net.parameters()]
    for error in (None, ZeroDivisionError()):
        try:
            with context(net):
                assert not any(module.training for module in net.modules()) and net[0].fused
                if error:
                    raise error
        except ZeroDivisionError:
            pass
        assert [module.training for module in net.modules()] == modes and net[0].fused is not training
        assert [parameter.requires_grad for parameter in net.parameters()] == learnt


@pytest.mark.parametrize("around", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_gradients_are_for_the_inputs_alone_or_for_nothing(around):
    net, x = partly_frozen(True), torch.randn(3, 4)
    with around():
        with evaluating(net):
            kept = net(x)
        with input_gradients(net):
            given = x.clone().requires_grad_()
            (net(given) + kept).sum().backward()  # of inference mode, what was kept could not take part
    assert not kept.requires_grad and not kept.is_inference()
    assert given.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_function_is_taken_for_a_model():
    with torch.no_grad(), input_gradients(torch.sin):
        assert torch.sin(torch.ones(1, requires_grad=True)).requires_grad
