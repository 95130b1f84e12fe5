import copy

import pytest
import torch
from torch import nn

from vsr_lightning.utils.muon import Muon, orthogonalized
from vsr_lightning.utils.optimizer import make_optimizer


def _steps(network, optimizer, count=3):
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        images = torch.rand(2, 1, 8, 8, generator=generator)
        optimizer.zero_grad()
        (network(images) - images).square().mean().backward()
        optimizer.step()


def _network():
    torch.manual_seed(0)
    hidden = [nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.Conv2d(32, 16, 1)]
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), *hidden, nn.Conv2d(16, 1, 3, padding=1))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch is from before torch.optim.Muon")
@pytest.mark.parametrize("shape", [(16, 16, 3, 3), (64, 16, 1, 1), (32, 48, 3, 3), (16, 32, 3, 3, 3)])
def test_a_layer_takes_the_steps_of_pytorchs_muon_as_a_matrix(shape):
    generator = torch.Generator().manual_seed(0)
    start = 0.1 * torch.randn(shape, generator=generator)
    weight, matrix = nn.Parameter(start.clone()), nn.Parameter(start.flatten(1).clone())
    ours = Muon([weight], lr=1e-2, weight_decay=0.5)
    theirs = torch.optim.Muon([matrix], lr=1e-2, weight_decay=0.5, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        weight.grad = torch.randn(shape, generator=generator)
        matrix.grad = weight.grad.flatten(1)
        ours.step()
        theirs.step()
    moved = (matrix.view(shape) - start).norm()
    assert moved > 0.03 * start.norm()
    assert (weight - matrix.view(shape)).norm() < 0.02 * moved  # PyTorch's computes the steps in bfloat16


@pytest.mark.parametrize("shape", [(3, 16, 40), (2, 40, 16), (1, 16, 16)])
def test_singular_values_are_brought_near_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, values, v = torch.linalg.svd(matrices, full_matrices=False)
    made = orthogonalized(matrices)
    assert made.shape == matrices.shape
    assert values.max() / values.min() > 3 > torch.linalg.svdvals(made).max() / torch.linalg.svdvals(made).min()
    assert (made * (u @ v)).sum() / (made.norm() * (u @ v).norm()) > 0.97
    assert torch.allclose(orthogonalized(matrices * 7), made)


def test_what_has_few_channels_or_one_dimension_takes_the_steps_of_adam():
    ours, theirs = _network(), _network()
    _steps(ours, Muon(ours.parameters(), lr=1e-2, channels=100))
    _steps(theirs, torch.optim.Adam(theirs.parameters(), lr=1e-2))
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_its_state_goes_into_a_checkpoint_and_back():
    whole, first = _network(), _network()
    optimizer = Muon(whole.parameters(), lr=1e-2)
    _steps(whole, optimizer)
    _steps(whole, optimizer)
    optimizer = Muon(first.parameters(), lr=1e-2)
    _steps(first, optimizer)
    second = copy.deepcopy(first)
    resumed = Muon(second.parameters(), lr=1e-2)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    _steps(second, resumed)
    for one, other in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_gradients_stay_and_groups_have_keys_of_their_own():
    network, start = _network(), _network()
    groups = [
        {"params": [network[1].weight], "lr": 0.0},
        {"params": [network[3].weight], "momentum": 0.0, "weight_decay": 0.1},
        {"params": [network[4].weight], "channels": 100},
        {"params": [network[0].weight, *(layer.bias for layer in network if hasattr(layer, "bias"))]},
    ]
    optimizer = make_optimizer(groups, lambda params: Muon(params, lr=1e-2), None, lambda: 0)
    network(torch.rand(2, 1, 8, 8)).square().mean().backward()
    gradients = {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}
    optimizer.step()
    for name, gradient in gradients.items():
        assert torch.equal(network.get_parameter(name).grad, gradient)
    moved = {name: value - start.get_parameter(name) for name, value in network.named_parameters()}
    assert {name for name, by in moved.items() if not by.any()} == {"1.weight", "5.weight"}  # the latter in no group
    expected = -1e-2 * (0.2 * 144**0.5 * orthogonalized(gradients["3.weight"].flatten(1)[None])[0])
    decayed = moved["3.weight"] + 1e-3 * start[3].weight
    assert torch.allclose(decayed.flatten(1), expected, atol=1e-6)
    assert torch.allclose(moved["4.weight"].abs(), torch.tensor(1e-2), atol=5e-4)  # as Adam's first step


def test_a_gradient_is_taken_from_a_closure():
    network, start = _network(), _network()
    optimizer = Muon(network.parameters(), lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = network(torch.ones(1, 1, 8, 8)).square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == start(torch.ones(1, 1, 8, 8)).square().sum()
    assert all((one - other).any() for one, other in zip(network.parameters(), start.parameters(), strict=True))


@pytest.mark.parametrize("wrong", [{"momentum": 1}, {"momentum": -0.1}, {"channels": 0}])
def test_a_key_out_of_range_is_one_line(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=rf"the optimizer can't be made \({name}={value}: choose at least"):
        make_optimizer(_network().parameters(), lambda params: Muon(params, **wrong), None, lambda: 0)


def test_a_key_that_would_do_nothing_is_refused():
    groups = [{"params": _network().parameters(), "maximize": True}]
    with pytest.raises(ValueError, match="maximize is no key of the optimizer's groups"):
        make_optimizer(groups, lambda params: Muon(params), None, lambda: 0)
