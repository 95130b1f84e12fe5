import hashlib
from copy import deepcopy

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import vgg19

from benchmarks.measure import peak_bytes
from vsr_lightning.losses import Perceptual, perceptual
from vsr_lightning.losses import vgg as features
from vsr_lightning.losses.load_features import load_features
from vsr_lightning.losses.vgg import LAYERS, imagenet_path

with torch.device("meta"):  # its shape alone
    TORCHVISION = vgg19(weights=None).features.eval().requires_grad_(False)
RELU_INDEX = [i for i, layer in enumerate(TORCHVISION) if isinstance(layer, torch.nn.ReLU)]
NAMES = [f"relu{b}_{i}" for b, n in enumerate((2, 2, 4, 4, 4), start=1) for i in range(1, n + 1)]
PUBLISHED = ["relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4"]


@pytest.fixture(scope="module")
def reference():
    """torchvision's own VGG-19 with small seeded weights, and hooks: slow, plain, and none of our code."""
    torch.manual_seed(1)
    network = deepcopy(TORCHVISION).to_empty(device="cpu")
    for layer in network:
        if isinstance(layer, torch.nn.ReLU):
            layer.inplace = False
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
            torch.nn.init.uniform_(layer.bias, -0.1, 0.1)
    return network


@pytest.fixture(scope="module")
def weights_file(reference, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "vgg.safetensors"
    save_file({f"features.{key}": value for key, value in reference.state_dict().items()}, path)
    return path


def _eq5(network, prediction, target, names, power=1):
    activations = []
    hooks = [
        network[RELU_INDEX[NAMES.index(n)]].register_forward_hook(lambda *a: activations.append(a[2])) for n in names
    ]
    for images in (prediction, target):
        mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).to(images.dtype)
        network((images.expand(-1, 3, -1, -1) - mean[None, :, None, None]) / std[None, :, None, None])
    for hook in hooks:
        hook.remove()
    total = 0
    for x, y in zip(activations[: len(names)], activations[len(names) :], strict=True):
        total = total + (x - y).abs().pow(power).sum() / x.numel()
    return total


def test_layers_are_torchvisions():
    assert list(LAYERS) == NAMES
    assert [layer.position + 1 for layer in LAYERS.values()] == RELU_INDEX


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("layers", "names"), [("all", NAMES), ("published", PUBLISHED), (["relu3_4", "relu1_1"], ["relu1_1", "relu3_4"])]
)
def test_values_and_gradients_match_hooks_on_torchvisions_network(reference, weights_file, channels, layers, names):
    ours, target = torch.rand(2, 2, channels, 32, 32)
    loss = Perceptual(str(weights_file), layers)(ours, target)
    torch.testing.assert_close(loss, _eq5(reference, ours, target, names), rtol=1e-5, atol=0)
    # gradients in float64: in float32 a difference of 1e-7 may have either sign
    ours, theirs = (ours.double().requires_grad_() for _ in range(2))
    Perceptual(str(weights_file), layers).double()(ours, target.double()).backward()
    _eq5(deepcopy(reference).double(), theirs, target.double(), names).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-6 * theirs.grad.abs().max().item())


def test_squared_differences_match_hooks_on_torchvisions_network(reference, weights_file):
    ours, target = torch.rand(2, 2, 3, 32, 32).double()
    ours, theirs = (ours.clone().requires_grad_() for _ in range(2))
    loss = Perceptual(str(weights_file), ["relu2_2", "relu3_4"], difference="squared").double()(ours, target)
    expected = _eq5(deepcopy(reference).double(), theirs, target, ["relu2_2", "relu3_4"], power=2)
    for value in (loss, expected):
        value.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_another_difference_is_refused():
    with pytest.raises(
        ValueError, match=r"loss\.difference=cubed is unknown: choose one of absolute, squared, normalized"
    ):
        Perceptual("random", difference="cubed")


def test_one_tap_may_be_a_plain_name(weights_file):
    prediction, target = torch.rand(2, 1, 1, 32, 32)
    assert torch.equal(Perceptual(str(weights_file), "relu2_1")(prediction, target),
                       Perceptual(str(weights_file), ["relu2_1"])(prediction, target))  # fmt: skip


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_a_batch_in_parts_gives_the_same_values_and_gradients(weight, monkeypatch):
    loss, target = Perceptual("random").double(), torch.rand(5, 1, 32, 32).double()
    whole, parts = (torch.linspace(0, 1, 5 * 1024).double().view(5, 1, 32, 32).requires_grad_() for _ in range(2))
    expected = loss.distances(whole, target)
    (weight * expected[1:]).sum().backward()
    monkeypatch.setitem(perceptual.AT_ONCE, "cpu", 2 * 1024 * 75)  # two images of five
    distances = loss.distances(parts, target)
    (weight * distances[1:]).sum().backward()
    torch.testing.assert_close(distances, expected)
    torch.testing.assert_close(parts.grad, whole.grad)
    assert parts.grad[0].abs().max() == 0
    with torch.no_grad():
        torch.testing.assert_close(loss.distances(parts, target), expected)


def test_parts_hold_fewer_feature_maps(monkeypatch):
    loss, target = Perceptual("random"), torch.rand(8, 1, 64, 64)
    whole = peak_bytes(lambda: loss(torch.rand(8, 1, 64, 64, requires_grad=True), target).backward())
    monkeypatch.setitem(perceptual.AT_ONCE, "cpu", 2**18)
    parts = peak_bytes(lambda: loss(torch.rand(8, 1, 64, 64, requires_grad=True), target).backward())
    assert parts < 0.3 * whole


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_within_one_percent(dtype):
    loss, target, images = Perceptual("bundled"), torch.rand(4, 1, 64, 64), torch.rand(4, 1, 64, 64)
    exact, half = images.clone().requires_grad_(), images.clone().requires_grad_()
    expected = loss(exact, target)
    expected.backward()
    with torch.autocast("cpu", dtype):
        value = loss(half, target)
    value.backward()
    assert value.dtype == half.grad.dtype == torch.float32
    torch.testing.assert_close(value, expected, rtol=0.01, atol=0)
    assert torch.cosine_similarity(half.grad.flatten(), exact.grad.flatten(), dim=0) > 0.97


def test_identical_images_have_no_distance():
    images = torch.rand(2, 1, 32, 32)
    assert Perceptual("random")(images, images) == 0


def test_the_target_needs_no_graph():
    target = torch.rand(1, 1, 32, 32, requires_grad=True)
    Perceptual("random", "relu1_2")(torch.rand(1, 1, 32, 32, requires_grad=True), target).backward()
    assert target.grad is None


def test_the_network_is_frozen_and_not_saved():
    loss = Perceptual("random", ["relu1_2"])
    assert not list(loss.parameters())
    assert not loss.state_dict()
    assert not any(buffer.requires_grad for buffer in loss.buffers())


def test_layers_below_the_deepest_tap_only_are_computed():
    images = torch.rand(1, 1, 4, 4)  # which the third pool would leave nothing of
    assert Perceptual("random", ["relu2_1"])(images, images) == 0
    with pytest.raises(RuntimeError):
        Perceptual("random")(images, images)


@pytest.mark.parametrize("layers", ["relu6_1", ["relu1_1", "relu1_1"], [], "every"])
def test_bad_taps_name_the_choices(layers):
    with pytest.raises(
        ValueError,
        match=r"loss\.layers=.*is not all, published, or a list of different names, or weights by name, of conv1_1",
    ):
        Perceptual("random", layers)


def test_random_features_are_always_the_same_and_leave_the_generator_alone():
    torch.manual_seed(5)
    first, drawn = load_features("random"), torch.rand(1)
    torch.manual_seed(5)
    assert torch.rand(1) == drawn
    assert load_features("random").checksum == first.checksum


def test_random_features_keep_the_signals_size():
    x = torch.randn(4, 3, 64, 64)
    sizes = []
    for name, (weight, bias) in load_features("random").convolutions.items():
        if LAYERS[name].pool_first:
            x = torch.nn.functional.max_pool2d(x, 2)
        x = torch.relu(torch.nn.functional.conv2d(x, weight, bias, padding=1))
        sizes.append(x.square().mean().sqrt().item())
    assert 0.2 < min(sizes) <= max(sizes) < 10


def test_the_checksum_is_of_the_weights_whatever_the_container(reference, weights_file, tmp_path):
    torch.save({f"features.{k}": v for k, v in reference.state_dict().items()}, tmp_path / "vgg.pth")
    loaded = load_features(str(tmp_path / "vgg.pth"))
    assert loaded.checksum == load_features(str(weights_file)).checksum
    assert loaded.name == f"vgg.pth {loaded.checksum[:8]}"


def test_the_classifier_is_not_kept(reference, tmp_path):
    state = {f"features.{k}": v for k, v in reference.state_dict().items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(1000, 1000)}, tmp_path / "vgg.pth")
    layers = load_features(str(tmp_path / "vgg.pth")).convolutions
    assert list(layers) == NAMES
    # nor through a storage that the convolutions share with it
    assert all(w.untyped_storage().nbytes() == w.numel() * 4 for w, _ in layers.values())


def test_the_bundled_weights_are_the_ones_on_their_card():
    card = features.BUNDLED.with_suffix(".md").read_text()
    assert hashlib.sha256(features.BUNDLED.read_bytes()).hexdigest() == features.BUNDLED_SHA256
    assert f"`{features.BUNDLED_SHA256}`" in card
    assert features.BUNDLED.stat().st_size <= 4e6


def test_the_bundled_network_is_vgg19_a_quarter_as_wide():
    bundled = load_features("bundled")
    assert bundled.name == "bundled"
    assert list(bundled.convolutions) == NAMES
    assert [len(bias) for _, bias in bundled.convolutions.values()] == [layer.width // 4 for layer in LAYERS.values()]
    assert all(weight.dtype == torch.float32 for weight, _ in bundled.convolutions.values())


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-1] + bytes([b[-1] ^ 1])])
def test_damaged_bundled_weights_give_one_clear_error(tmp_path, monkeypatch, damage):
    (tmp_path / "digits.safetensors").write_bytes(damage(features.BUNDLED.read_bytes()))
    monkeypatch.setattr(features, "BUNDLED", tmp_path / "digits.safetensors")
    with pytest.raises(ValueError, match=r"the bundled weights are damaged: .*; install vsr_lightning anew") as error:
        load_features("bundled")
    assert "\n" not in str(error.value)


def test_a_truncated_file_of_ones_own_gives_one_clear_error(weights_file, tmp_path):
    (tmp_path / "half.safetensors").write_bytes(weights_file.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="is not a readable state dict of tensors"):
        load_features(str(tmp_path / "half.safetensors"))


def test_distances_are_the_loss_image_by_image(small_features):
    prediction, target = torch.rand(2, 3, 1, 32, 32)
    loss = Perceptual(small_features)
    alone = [loss(prediction[i : i + 1], target[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(loss.distances(prediction, target), torch.stack(alone))
    torch.testing.assert_close(loss(prediction, target), torch.stack(alone).mean())


def test_imagenet_is_strict_about_the_cached_file(reference, monkeypatch):
    path = imagenet_path()
    path.parent.mkdir(parents=True)
    torch.save({f"features.{k}": v for k, v in reference.state_dict().items()}, path)
    with pytest.raises(ValueError, match="expected one that starts with dcbb9e9d"):
        load_features("imagenet")
    monkeypatch.setattr(features, "verify", lambda path, **checks: None)
    assert load_features("imagenet").name == "imagenet"


def test_imagenet_without_a_network_fails_and_auto_falls_back_loudly(caplog, monkeypatch):
    monkeypatch.setattr("vsr_lightning.losses.efficientnet_lite.find_spec", lambda name: None)
    with pytest.raises(OSError, match="can't be reached"):
        load_features("imagenet")
    assert load_features("auto").name == "bundled"
    assert "features=imagenet makes this an error" in caplog.text
    assert len(caplog.text.strip().splitlines()) == 1


class _RunsCode:
    def __reduce__(self):
        return (print, ("this must not run",))


def _not_tensors(path):
    path.write_bytes(b"not a state dict")


def _code(path):
    torch.save({"features.0.weight": _RunsCode()}, path)


def _empty(path):
    path.write_bytes(b"")


def _other_kind(path):
    save_file({"features.0.weight": torch.zeros(1)}, path) if path.suffix == ".pth" else torch.save({}, path)


@pytest.mark.parametrize("write", [_not_tensors, _code, _empty, _other_kind])
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_damaged_or_hostile_file_gives_one_clear_error(tmp_path, write, name, capsys):
    write(tmp_path / name)
    with pytest.raises(ValueError, match="is not a readable state dict of tensors") as error:
        load_features(str(tmp_path / name))
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)
    assert "this must not run" not in capsys.readouterr().out


def test_a_file_without_the_right_layers_names_the_first_one(tmp_path):
    save_file(
        {"features.0.weight": torch.zeros(8, 3, 3, 3), "features.0.bias": torch.zeros(8)}, tmp_path / "a.safetensors"
    )
    with pytest.raises(ValueError, match=r"has no features\.2\.weight"):
        load_features(str(tmp_path / "a.safetensors"))
    save_file(
        {"features.0.weight": torch.zeros(8, 1, 3, 3), "features.0.bias": torch.zeros(8)}, tmp_path / "b.safetensors"
    )
    with pytest.raises(ValueError, match=r"features\.0\.weight is \(8, 1, 3, 3\), expected \(8, 3, 3, 3\)"):
        load_features(str(tmp_path / "b.safetensors"))


def test_an_unknown_name_says_what_there_is():
    names = "imagenet, efficientnet_lite0, efficientnet_lite1, bundled, random or auto"
    for name in ("vgg", None, "."):
        with pytest.raises(ValueError, match=f"features={name} is no file, nor {names}"):
            load_features(name)
