import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from tests.support import compose_train
from vsr_lightning.models.blocks import FrameConv


def _faint(*shape):
    """Frames whose pixels differ by less than a step of bfloat16, which is 1/256 there."""
    return 0.9 + 0.002 * torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("features", [0, 3])
def test_half_precision_sees_frames_as_they_are(features):
    layer = FrameConv(2, 8, features)
    with torch.no_grad():
        layer.bias.zero_()
        layer.weight[:, :2] -= layer.weight[:, :2].mean((1, 2, 3), keepdim=True)  # what is equal everywhere is not seen
    x = torch.cat([_faint(1, 2, 9, 9), torch.zeros(1, features, 9, 9)], 1)
    expected = nn.functional.conv2d(x.double(), layer.weight.double(), padding=1)[..., 1:-1, 1:-1]
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x)
        plain = nn.functional.conv2d(x, layer.weight, padding=1)
    assert half.dtype == plain.dtype == torch.bfloat16
    errors = [(found[..., 1:-1, 1:-1] - expected).norm() / expected.norm() for found in (half, plain)]
    assert errors[0] < 0.01
    assert errors[1] > 0.3


def test_features_beside_the_frames_count():
    layer, x = FrameConv(1, 4, 3), torch.rand(1, 4, 9, 9, generator=torch.Generator().manual_seed(0))
    expected = layer(x)
    assert torch.equal(expected, nn.Conv2d.forward(layer, x))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(layer(x).float(), expected, atol=0.02)


@pytest.mark.parametrize("name", ["residual_fusion", "deformable", "temporal_shift", "recurrent", "basicvsr"])
def test_networks_get_their_frames_through_such_a_layer(name):
    network = instantiate(compose_train(f"model={name}", "model.width=8", "model.blocks=1", "model.channels=1").model)
    frames, seen = _faint(1, 5, 1, 64, 64), []
    layers = [layer for layer in network.modules() if isinstance(layer, FrameConv)]
    for layer in layers:
        layer.register_forward_hook(lambda layer, given, _: seen.append(given[0][:, : layer.frames]))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        network(frames)
    assert layers
    pixels = frames.flatten()
    assert all(torch.isin(given, pixels).all() for given in seen)
    assert sum(given.numel() for given in seen) == frames.numel() * len(layers)
