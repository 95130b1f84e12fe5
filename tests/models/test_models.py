import itertools
import math
import re
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TF
from hydra.utils import instantiate
from scipy.ndimage import map_coordinates
from torchvision.transforms import InterpolationMode

from tests.support import assert_it_learns, compose_train
from vsr_lightning.models import Bicubic, Deformable, FrameFusion, Recurrent, ResidualFusion, TemporalShift
from vsr_lightning.models import onednn_linear as linear
from vsr_lightning.models.basicvsr_weights import our_name
from vsr_lightning.models.blocks import IMAGENET_MEAN, IMAGENET_STD
from vsr_lightning.models.spynet import SPyNet, warp
from vsr_lightning.models.temporal_shift import _Shift
from vsr_lightning.module import SuperResolution
from vsr_lightning.utils.config import CONF

NAMES = sorted({path.stem for path in (CONF / "model").glob("*.yaml")} - {"truth"})  # which sees the target
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


WINDOWS = {
    "residual_fusion": partial(ResidualFusion, width=8, blocks=2, frames=3),
    "deformable": partial(Deformable, width=8, blocks=1, groups=2, frames=3),
}
CLIPS = {
    "recurrent": partial(Recurrent, width=8, blocks=1),
    "recurrent, not coupled": partial(Recurrent, width=8, blocks=1, flow_levels=2, coupled=False),
    "temporal_shift": partial(TemporalShift, width=8, blocks=2),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("size", [(8, 8), (7, 13)])
@pytest.mark.parametrize("name", [*WINDOWS, *CLIPS])
def test_convolutional_networks_take_any_size_scale_and_channels(name, size, scale, channels):
    network = (WINDOWS | CLIPS)[name](scale=scale, channels=channels)
    prediction = network(torch.rand(2, 3, channels, *size))
    frames = (3,) if name in CLIPS else ()
    assert prediction.shape == (2, *frames, channels, scale * size[0], scale * size[1])
    prediction.square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


OTHERS = {
    "frame_fusion": partial(FrameFusion, (4, 8, 512), frames=3, low_res=16),
    "frame_fusion_fig1": partial(FrameFusion, **FIG1, frames=3, low_res=16),
    "basicvsr": partial(Recurrent, width=8, blocks=1, flow_levels=6, flow_width=32, flow_kernel=7, coupled=False),
}


@pytest.mark.parametrize("name", [*OTHERS, *WINDOWS, "recurrent", "temporal_shift"])
def test_each_network_trains_at_another_size_scale_and_channel_count(name):
    size = (16, 16) if name.startswith("frame") else (12, 16)
    frames = (3,) if name in ("recurrent", "basicvsr", "temporal_shift") else ()
    network = (OTHERS | WINDOWS | CLIPS)[name](scale=4, channels=3)
    target = torch.rand(2, *frames, 3, 4 * size[0], 4 * size[1])
    lr = 1e-4 if name.startswith("frame") else 1e-3
    assert_it_learns(SuperResolution(network, torch.nn.MSELoss()), torch.rand(2, 3, 3, *size), target, lr=lr)


@pytest.mark.parametrize("name", NAMES)
def test_each_network_of_the_folder_learns_as_its_file_makes_it(name):
    cfg = compose_train(f"model={name}")
    network, scale, channels = instantiate(cfg.model), cfg.data.degradation.scale, cfg.model.get("channels", 1)
    frames, size = cfg.model.get("frames", 2), cfg.model.get("low_res", 12)
    low_res = torch.rand(1, frames, channels, size, size)
    prediction = network(low_res)
    assert prediction.shape[-3:] == (channels, size * scale, size * scale)
    assert prediction.shape[:-3] == {"window": (1,), "clip": (1, frames)}[network.takes]
    if any(parameter.requires_grad for parameter in network.parameters()):
        target = torch.rand_like(prediction)
        assert_it_learns(SuperResolution(network, torch.nn.MSELoss()), low_res, target, steps=2, lr=1e-4)


@pytest.mark.parametrize("name", [*WINDOWS, *CLIPS])
def test_convolutional_networks_refuse_other_scales(name):
    with pytest.raises(ValueError, match=r"scale=3: choose 2 or 4"):
        (WINDOWS | CLIPS)[name](scale=3)


@pytest.mark.parametrize("name", [*WINDOWS, *CLIPS])
def test_convolutional_networks_say_which_key_does_not_fit_the_data(name):
    with pytest.raises(ValueError, match=r"does not fit the data: model\.channels=1, data gives 3$"):
        (WINDOWS | CLIPS)[name]()(torch.rand(1, 3, 3, 8, 8))


@pytest.mark.parametrize("name", CLIPS)
def test_a_frame_alone_is_a_clip_too(name):
    assert CLIPS[name]()(torch.rand(2, 1, 1, 8, 8)).shape == (2, 1, 1, 16, 16)


@pytest.mark.parametrize("changed", [0, 5])
def test_every_frame_of_a_clip_sees_all_others(changed):
    torch.manual_seed(0)
    network, clip = CLIPS["recurrent"](), torch.rand(1, 6, 1, 8, 8)
    other = clip.clone()
    other[:, changed] = torch.rand(1, 1, 8, 8)
    differences = (network(other) - network(clip)).abs().amax((0, 2, 3, 4))
    assert (differences > 0).all()


@pytest.mark.parametrize("name", CLIPS)
def test_clips_come_out_the_same_without_gradients_in_less_memory(name):
    network, clip = CLIPS[name](), torch.rand(2, 4, 1, 8, 8)
    expected = network(clip)
    with torch.no_grad():
        torch.testing.assert_close(network(clip), expected)


@pytest.mark.parametrize("changed", [0, 3])
def test_a_frame_sees_as_many_frames_to_each_side_as_there_are_shifts(changed):
    torch.manual_seed(0)
    network, clip = CLIPS["temporal_shift"](), torch.rand(1, 7, 1, 8, 8)
    other = clip.clone()
    other[:, changed] = torch.rand(1, 1, 8, 8)
    differences = (network(other) - network(clip)).abs().amax((0, 2, 3, 4))
    assert [int(frame) for frame in differences.nonzero()] == [t for t in range(7) if abs(t - changed) <= 2]


def _shifted_by_slices(clips, count):
    nothing = torch.zeros_like(clips[:, :1])
    before, after = torch.cat([nothing, clips[:, :-1]], 1), torch.cat([clips[:, 1:], nothing], 1)
    return torch.cat([before[:, :, :count], after[:, :, count : 2 * count], clips[:, :, 2 * count :]], 2)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("frames", [1, 4])
def test_the_shift_and_its_gradient_are_those_of_slices(frames, count):
    clips = torch.rand(2, frames, 6, 3, 2, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(_Shift.apply(clips, count), _shifted_by_slices(clips, count))
    assert torch.autograd.gradcheck(lambda it: _Shift.apply(it, count), clips)


@pytest.mark.parametrize("share", [0, 0.6, 0.01])
def test_a_share_that_no_neighbor_can_give_is_refused(share):
    with pytest.raises(ValueError, match=rf"model\.share={share} of model\.width=8 channels: choose"):
        TemporalShift(width=8, share=share)


def test_deformable_encodes_each_frame_once():
    network, low_res = WINDOWS["deformable"](), torch.rand(2, 3, 1, 8, 8)
    encoded = torch.stack([network.encode(low_res[:, t]) for t in range(3)], 1)
    torch.testing.assert_close(network.fuse(encoded), network(low_res))


def test_alignment_by_zero_offsets_is_a_convolution():
    network = WINDOWS["deformable"]()
    for parameter in network.offsets[-1].parameters():
        parameter.data.zero_()
    features = torch.rand(3, 8, 6, 7)
    told = network.offsets(features.repeat(1, 2, 1, 1))
    torch.testing.assert_close(network._aligned(features, told), network.align(features))


def test_deformable_refuses_a_width_that_its_groups_do_not_divide():
    with pytest.raises(ValueError, match=r"model\.width=10 is no multiple of model\.groups=4"):
        Deformable(width=10)


def test_warping_by_whole_pixels_shifts():
    images, flow = torch.rand(2, 3, 6, 7), torch.zeros(2, 2, 6, 7)
    flow[:, 0], flow[:, 1] = 2, -1  # from two to the right, and one up
    warped = warp(images, flow)
    torch.testing.assert_close(warped[:, :, 1:, :-2], images[:, :, :-1, 2:])
    assert warped[:, :, 0].abs().max() < 1e-6


def test_warping_matches_interpolation_by_scipy():
    image = torch.rand(6, 7, dtype=torch.float64)
    flow = torch.rand(2, 6, 7, dtype=torch.float64) - 0.5
    rows, columns = np.mgrid[:6, :7]
    expected = map_coordinates(image, [rows + flow[1].numpy(), columns + flow[0].numpy()], order=1, mode="nearest")
    np.testing.assert_allclose(warp(image[None, None], flow[None], "border")[0, 0], expected, atol=1e-9)


def test_flow_learns_where_things_went():
    torch.manual_seed(0)
    flow = SPyNet(channels=1, levels=2, width=8, kernel=3)
    optimizer = torch.optim.Adam(flow.parameters(), lr=3e-3)
    smooth = torch.nn.functional.interpolate(torch.rand(16, 1, 8, 8), size=(32, 32), mode="bicubic")
    here, there = smooth[..., 1:, 2:], smooth[..., :-1, :-2]  # moved down by 1 and right by 2
    for _ in range(200):
        loss = (warp(there, flow(here, there), "border") - here).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right, down = flow(here, there)[:, :, 8:-8, 8:-8].mean((0, 2, 3)).tolist()
    assert right == pytest.approx(2, abs=0.3)
    assert down == pytest.approx(1, abs=0.3)


def published_checkpoint(blocks, mmediting):
    """Names and shapes of a published BasicVSR checkpoint, as the two projects' code has them; random values."""
    w, shapes = 64, {}
    for level in range(6):
        for number, (before, after) in enumerate(itertools.pairwise((8, 32, 64, 32, 16, 2))):
            layer = f"{number}.conv" if mmediting else 2 * number
            shapes[f"spynet.basic_module.{level}.basic_module.{layer}"] = (after, before, 7, 7)
    trunk = "resblocks" if mmediting else "trunk"
    for way in ("backward", "forward"):
        shapes[f"{way}_{trunk}.main.0"] = (w, w + 3, 3, 3)
        for block in range(blocks):
            shapes |= {f"{way}_{trunk}.main.2.{block}.conv{number}": (w, w, 3, 3) for number in (1, 2)}
    ups = ("upsample1.upsample_conv", "upsample2.upsample_conv") if mmediting else ("upconv1", "upconv2")
    shapes |= {"fusion": (w, 2 * w, 1, 1), **dict.fromkeys(ups, (4 * w, w, 3, 3))}
    shapes |= {"conv_hr": (w, w, 3, 3), "conv_last": (3, w, 3, 3)}
    state = {f"{name}.weight": 0.03 * torch.randn(shape) for name, shape in shapes.items()}
    state |= {f"{name}.bias": 0.03 * torch.randn(shape[0]) for name, shape in shapes.items()}
    state |= {"spynet.mean": torch.zeros(1, 3, 1, 1), "spynet.std": torch.ones(1, 3, 1, 1)}
    if mmediting:
        return {"state_dict": {f"generator.{name}": value for name, value in state.items()} | {"step_counter": 1}}
    return {"params": state}


def _in_basicsrs_words(name):
    name = name.removeprefix("generator.").replace("_resblocks", "_trunk").replace(".upsample_conv", "")
    name = re.sub(r"upsample(\d)", r"upconv\1", name)
    return re.sub(r"(module\.\d\.basic_module)\.(\d)\.conv", lambda match: f"{match[1]}.{2 * int(match[2])}", name)


def _published_network(weights, clip):
    """BasicVSR written out (Chan et al. 2021, section 3), on BasicSR's names: (1, T, 3, h, w) -> (1, T, 3, 4h, 4w)."""

    def convolve(name, x):
        weight = weights[f"{name}.weight"]
        return F.conv2d(x, weight, weights[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def flow(here, there):
        (height, width), mean, std = here.shape[-2:], *map(clip.new_tensor, (IMAGENET_MEAN, IMAGENET_STD))
        large = (32 * math.ceil(height / 32), 32 * math.ceil(width / 32))
        pair = [F.interpolate(image, large, mode="bilinear") for image in (here, there)]
        pair = [(image - mean[:, None, None]) / std[:, None, None] for image in pair]
        total = clip.new_zeros(1, 2, large[0] // 32, large[1] // 32)
        for level in range(6):
            one, two = (F.avg_pool2d(image, 2 ** (5 - level)) for image in pair)
            if level:
                total = 2 * F.interpolate(total, scale_factor=2, mode="bilinear", align_corners=True)
            x = torch.cat([one, warp(two, total, "border"), total], 1)
            for layer in (0, 2, 4, 6, 8):
                x = convolve(f"spynet.basic_module.{level}.basic_module.{layer}", x if layer == 0 else x.relu())
            total = total + x
        total = F.interpolate(total, (height, width), mode="bilinear")
        return total * clip.new_tensor([width / large[1], height / large[0]])[:, None, None]

    def propagate(way, frames):
        features, found = clip.new_zeros(1, 64, *clip.shape[-2:]), []
        for before, frame in zip([None, *frames], frames, strict=False):
            features = features if before is None else warp(features, flow(frame, before))
            features = leaky(convolve(f"{way}_trunk.main.0", torch.cat([frame, features], 1)))
            for block in (0, 1):
                inner = convolve(f"{way}_trunk.main.2.{block}.conv1", features).relu()
                features = features + convolve(f"{way}_trunk.main.2.{block}.conv2", inner)
            found.append(features)
        return found

    leaky = partial(F.leaky_relu, negative_slope=0.1)
    frames, predictions = clip.unbind(1), []
    both_ways = zip(propagate("backward", frames[::-1])[::-1], propagate("forward", frames), strict=True)
    for frame, pair in zip(frames, both_ways, strict=True):
        x = leaky(convolve("fusion", torch.cat(pair, 1)))
        for name in ("upconv1", "upconv2"):
            x = leaky(F.pixel_shuffle(convolve(name, x), 2))
        x = convolve("conv_last", leaky(convolve("conv_hr", x)))
        predictions.append(x + F.interpolate(frame, scale_factor=4, mode="bilinear"))
    return torch.stack(predictions, 1)


@pytest.mark.parametrize("mmediting", [False, True], ids=["BasicSR", "MMEditing"])
def test_a_published_basicvsr_checkpoint_predicts_what_the_published_network_does(tmp_path, mmediting):
    cfg = compose_train("model=basicvsr", "data.degradation.scale=4", "model.blocks=2")
    torch.save(checkpoint := published_checkpoint(2, mmediting), tmp_path / "basicvsr.pth")
    cfg.model.weights = str(tmp_path / "basicvsr.pth")
    network = instantiate(cfg.model)
    clip = torch.rand(1, 2, 3, 20, 12).double()
    published = next(iter(checkpoint.values()))
    plain = {_in_basicsrs_words(name): value.double() for name, value in published.items() if "." in name}
    expected = _published_network(plain, clip)
    torch.testing.assert_close(network.double()(clip), expected)


def test_the_published_size_of_basicvsr_is_the_papers():
    network = instantiate(compose_train("model=basicvsr", "data.degradation.scale=4").model)
    theirs = {our_name(name) for name in published_checkpoint(30, mmediting=False)["params"]} - {""}
    assert theirs == set(network.state_dict())
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(6.3e6, rel=0.01)  # its Table 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing"),
        ({"params": {}}, "is no checkpoint of BasicVSR, or not of this size"),
        (3, "is no checkpoint"),
    ],
)
def test_other_weights_than_basicvsrs_are_one_clear_line(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    if content is not None:
        torch.save(content, path)
    with pytest.raises((ValueError, FileNotFoundError), match=rf"model\.weights=.*weights\.pth {message}"):
        Recurrent(width=8, blocks=1, weights=path)


def test_residual_fusion_starts_close_to_bicubic():
    low_res = torch.rand(3, 5, 1, 32, 32)
    assert (ResidualFusion()(low_res).clamp(0, 1) - Bicubic()(low_res)).abs().max() < 0.02


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


@pytest.mark.skipif(not linear.ONEDNN, reason="needs oneDNN")
def test_the_linear_layer_makes_no_copy_of_its_weight_in_half_precision():
    layer, x = linear.Linear(70, 30), torch.randn(8, 70).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x)
    assert torch.equal(half, layer(x.float()))
    half.sum().backward()
    assert (x.grad.dtype, layer.weight.grad.dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_linear_layer_keeps_to_pytorchs_in_other_precisions(dtype):
    layer, x = linear.Linear(8, 4).to(dtype), torch.rand(2, 8, dtype=dtype)
    assert torch.equal(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))


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


@pytest.mark.parametrize("name", NAMES)
def test_a_network_leaves_the_datas_config_alone(name):
    assert compose_train(f"model={name}").data == compose_train().data
