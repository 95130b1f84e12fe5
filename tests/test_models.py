import pytest
import torch
import torchvision.transforms.functional as TF
from torchvision.transforms import InterpolationMode

from vsr_lightning.models import Bicubic, FrameFusion, ResidualFusion, linear

FIG1 = {"widths": (8, 32), "pools": (True, False)}


@pytest.mark.parametrize("sizes", [{}, FIG1], ids=["text", "fig1"])
def test_the_papers_sizes(sizes):
    network = FrameFusion(**sizes)
    features = []
    network.encoder.register_forward_hook(lambda layer, args, output: features.append(tuple(output.shape)))
    assert network(torch.rand(2, 5, 1, 32, 32)).shape == (2, 1, 64, 64)
    assert features == [(10, 32, 256)]  # section 3.2: (32, 256) a frame
    assert (network.head.in_features, network.head.out_features) == (8192, 4096)


def test_fig1_has_the_layer_sizes_it_draws():
    shapes = []
    network = FrameFusion(**FIG1)
    for layer in network.encoder:
        layer.register_forward_hook(
            lambda layer, args, output: shapes.append((type(layer).__name__, *output.shape[1:]))
        )
    network(torch.rand(1, 5, 1, 32, 32))
    assert shapes[:5] == [
        ("Conv2d", 8, 32, 32),
        ("MaxPool2d", 8, 16, 16),
        ("ELU", 8, 16, 16),
        ("Conv2d", 32, 16, 16),
        ("ELU", 32, 16, 16),
    ]


@pytest.mark.parametrize(
    "sizes", [{"frames": 3, "channels": 3}, {"low_res": 16, "scale": 4, "widths": (32, 64, 256)}, {"frames": 7}]
)
def test_other_sizes_come_from_the_arguments(sizes):
    network = FrameFusion(**sizes)
    frames, channels, size = sizes.get("frames", 5), sizes.get("channels", 1), sizes.get("low_res", 32)
    prediction = network(torch.rand(2, frames, channels, size, size))
    assert prediction.shape == (2, channels, size * sizes.get("scale", 2), size * sizes.get("scale", 2))


@pytest.mark.parametrize("sizes", [{}, FIG1], ids=["text", "fig1"])
def test_gradients_reach_every_parameter(sizes):
    network = FrameFusion(**sizes)
    network(torch.rand(4, 5, 1, 32, 32)).square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("size", [(8, 8), (7, 13)])
def test_residual_fusion_takes_any_size_scale_and_channels(size, scale, channels):
    network = ResidualFusion(width=8, blocks=2, frames=3, scale=scale, channels=channels)
    prediction = network(torch.rand(2, 3, channels, *size))
    assert prediction.shape == (2, channels, scale * size[0], scale * size[1])
    prediction.square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_residual_fusion_starts_close_to_bicubic():
    low_res = torch.rand(3, 5, 1, 32, 32)
    assert (ResidualFusion()(low_res).clamp(0, 1) - Bicubic()(low_res)).abs().max() < 0.02


def test_residual_fusion_refuses_other_scales():
    with pytest.raises(ValueError, match=r"model\.scale=3: choose 2 or 4"):
        ResidualFusion(scale=3)


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_the_linear_layer_is_pytorchs(bias, onednn, monkeypatch):
    monkeypatch.setattr(linear, "ONEDNN", onednn and linear.ONEDNN)
    plain, ours = torch.nn.Linear(70, 30, bias), linear.Linear(70, 30, bias)
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(8, 70, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    for layer, images in ((plain, x), (ours, y)):
        layer(images).square().sum().backward()
    torch.testing.assert_close(ours(x), plain(x))
    for mine, theirs in zip((y, *ours.parameters()), (x, *plain.parameters()), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-5, atol=1e-4)


def test_the_linear_layer_keeps_to_pytorchs_in_other_precisions():
    layer = linear.Linear(8, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.rand(2, 8)).dtype == torch.bfloat16
    assert layer.double()(torch.rand(2, 8, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"widths": (8, 32, 65)}, r"model\.widths=\[8, 32, 65\] and model\.low_res=32 give 1040 values"),
        ({"low_res": 4}, r"model\.low_res=4 is too small for 3 pools"),
        ({"widths": (8, 32)}, r"model\.widths has 2 layers and model\.pools 3"),
        ({"init": "xavier"}, r"model\.init=xavier is unknown: choose kaiming or torch"),
    ],
)
def test_sizes_that_do_not_fit_say_which(sizes, message):
    with pytest.raises(ValueError, match=message):
        FrameFusion(**sizes)


def test_data_of_another_size_says_which_key_differs():
    with pytest.raises(ValueError, match=r"model\.frames=5, data gives 3; model\.low_res=32, data gives 16$"):
        FrameFusion(**FIG1)(torch.rand(1, 3, 1, 16, 16))


def test_bicubic_matches_torchvision_on_the_middle_frame():
    low_res = torch.rand(3, 5, 1, 32, 32)
    expected = TF.resize(low_res[:, 2], [64, 64], InterpolationMode.BICUBIC, antialias=False).clamp(0, 1)
    torch.testing.assert_close(Bicubic()(low_res), expected, atol=1e-5, rtol=0)
    assert not list(Bicubic().parameters())
