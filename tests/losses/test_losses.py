"""Losses other than Eq. 5: their values against independent references, and every one of them in training."""

import csv
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra.utils import instantiate
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import learned_perceptual_image_patch_similarity
from torchvision.models import alexnet

from tests.support import assert_it_learns, compose_train
from vsr_lightning.losses import FFT, LPIPS, PSNR, SSIM, Charbonnier, Perceptual, WeightedSum
from vsr_lightning.losses.metric_losses import alexnet_path
from vsr_lightning.losses.vgg import VGG19Features
from vsr_lightning.models import Bicubic, FrameFusion, ResidualFusion
from vsr_lightning.module import SuperResolution
from vsr_lightning.runs.record import features_of
from vsr_lightning.utils.config import CONF

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (CONF / "loss").glob("*.yaml"))


@pytest.fixture
def images():
    return torch.rand(2, 3, 3, 24, 20)


@pytest.fixture
def backbone():
    """An AlexNet of random weights where torchvision would cache its own."""
    alexnet_path().parent.mkdir(parents=True)
    torch.save(alexnet(weights=None).state_dict(), alexnet_path())


def test_the_record_names_all_features_that_a_sum_looks_through(small_features):
    other = VGG19Features(
        {name: (2 * weight, bias) for name, (weight, bias) in small_features.convolutions.items()}, "other"
    )
    made = {name: partial(Perceptual, it, "relu1_1") for name, it in {"a": small_features, "b": other}.items()}
    assert features_of(WeightedSum({"a": 1, "b": 0}, made)) == {
        "name": "small",
        "checksum": small_features.checksum,
        "network": "VGG-19",
    }
    both = features_of(WeightedSum({"a": 1, "b": 1}, made))
    assert both["name"] == "small + other"
    assert both["checksum"] not in (small_features.checksum, other.checksum)
    assert features_of(WeightedSum({"mse": 1}, {"mse": torch.nn.MSELoss})) is None
    assert features_of(alexnet(weights=None)) is None  # torchvision's networks have features of another kind


def test_charbonnier_is_the_formula(images):
    prediction, target = images
    expected = np.mean([np.hypot(p - t, 0.01) for p, t in zip(prediction.numpy(), target.numpy(), strict=True)])
    assert Charbonnier(0.01)(prediction, target).item() == pytest.approx(expected, rel=1e-5)


def test_frequency_matches_numpy(images):
    prediction, target = (image.double().numpy() for image in images)
    difference = np.fft.rfft2(prediction, norm="ortho") - np.fft.rfft2(target, norm="ortho")
    expected = (np.abs(difference.real) + np.abs(difference.imag)).mean() / 2
    assert FFT()(*images).item() == pytest.approx(expected, rel=1e-4)


def test_the_psnr_loss_is_minus_skimages_psnr(images):
    expected = [peak_signal_noise_ratio(t, p, data_range=1) for p, t in zip(*(i.numpy() for i in images), strict=True)]
    assert PSNR(eps=0)(*images).item() == pytest.approx(-np.mean(expected), rel=1e-5)
    assert PSNR()(images[1], images[1]).item() == pytest.approx(-60, abs=1e-3)


def test_ssim_matches_skimage(images):
    expected = [
        structural_similarity(
            t, p, data_range=1, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for p, t in zip(*(image.double().numpy() for image in images), strict=True)
    ]
    assert SSIM()(*images).item() == pytest.approx(1 - np.mean(expected), abs=1e-4)


def test_ssim_pulls_back_what_left_the_range(images):
    prediction = (images[0] - 2).requires_grad_()
    SSIM()(prediction, images[1]).backward()
    assert prediction.grad.abs().sum() > 0


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_lpips_matches_torchmetrics_and_stays_out_of_checkpoints(channels, backbone):
    prediction, target = torch.rand(2, 3, channels, 64, 64)
    expected = learned_perceptual_image_patch_similarity(
        *(image.expand(-1, 3, -1, -1) for image in (prediction, target)), net_type="alex", normalize=True
    )
    loss = LPIPS()
    torch.testing.assert_close(loss(prediction, target), expected)
    assert not list(loss.parameters())
    assert not loss.state_dict()
    prediction.requires_grad_()
    loss(prediction - 0.5, target).backward()
    assert prediction.grad.abs().sum() > 0


def test_lpips_without_its_backbone_says_what_to_do():
    with pytest.raises(FileNotFoundError, match=r"LPIPS needs AlexNet's weights: put alexnet-.*\.pth in .*, or choose"):
        LPIPS()


def test_a_mixed_loss_is_the_weighted_sum(images):
    made = {"mse": torch.nn.MSELoss, "l1": torch.nn.L1Loss, "never": lambda: pytest.fail("made without a weight")}
    loss = WeightedSum({"mse": 2, "l1": 0.5, "never": 0}, made)
    prediction, target = (image.numpy() for image in images)
    mse, l1 = np.square(prediction - target).mean(), np.abs(prediction - target).mean()
    assert loss(*images).item() == pytest.approx(2 * mse + 0.5 * l1, rel=1e-5)
    terms = loss.terms(*images)
    assert [*terms] == ["mse", "l1"]
    assert terms["l1"].item() == pytest.approx(l1, rel=1e-5)
    assert loss.total(terms) == loss(*images)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"mse": 0}, r"loss\.terms are all 0: give one a weight, such as loss\.terms\.mse=1"),
        ({"mse": -1}, r"loss\.terms\.mse=-1: give a number, at least 0"),
        ({"mse": float("nan")}, r"loss\.terms\.mse=nan"),
        ({"mse": "abc"}, r"loss\.terms\.mse=abc: give a number"),
        ({"other": 1}, r"loss\.terms\.other is unknown: choose among mse"),
    ],
)
def test_weights_that_make_no_loss_are_refused(terms, message):
    with pytest.raises(ValueError, match=message):
        WeightedSum(terms, {"mse": torch.nn.MSELoss})


@pytest.mark.parametrize("channels", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_each_loss_is_lowest_at_the_truth_and_trains(name, channels, request):
    if name == "lpips":
        request.getfixturevalue("backbone")
    loss = instantiate(compose_train(f"loss={name}", "features=random").loss)
    low_res, target = torch.rand(2, 3, channels, 16, 20), torch.rand(2, channels, 64, 80)
    for share in (0.01, 0.1, 1):
        assert loss(target, target) < loss(torch.rand_like(target).lerp(target, 1 - share), target) < torch.inf
    network = ResidualFusion(width=8, blocks=1, frames=3, scale=4, channels=channels)
    assert_it_learns(SuperResolution(network, loss), low_res, target)


def test_a_weighted_sum_takes_each_loss_in_the_folder():
    cfg = compose_train("loss=mixed", "features=random").loss
    assert {*cfg.terms} == {*cfg.losses} == {*NAMES} - {"mixed"}
    assert {name: weight for name, weight in cfg.terms.items() if weight} == {"mse": 1, "perceptual": 0.01}


EDGE = "_target_: my_losses.Edge\nreach: 1 # pixels"
OTHERS = {
    "edge": EDGE,
    "of_others": "defaults: [mixed]",  # a sum is no term of a sum
    "edge.v2": EDGE,  # Hydra takes the dot for a level
}


@pytest.mark.parametrize("place", ["here", "searchpath", "package", "config_dir"])
def test_a_loss_of_ones_own_joins_the_sum_wherever_hydra_finds_it(place, tmp_path, monkeypatch):
    conf = tmp_path / ("conf" if place == "here" else "my_conf")
    (conf / "loss").mkdir(parents=True)
    (conf / "__init__.py").touch()
    for name, text in OTHERS.items():
        (conf / "loss" / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    argument = {
        "here": [],
        "searchpath": [f"hydra.searchpath=[file://{conf}]"],
        "package": ["hydra.searchpath=['pkg://my_conf']"],
        "config_dir": ["--config-dir", "my_conf"],
    }[place]
    command = [sys.executable, "-m", "vsr_lightning.train", "--cfg", "job", "--package", "loss", *argument]
    done = subprocess.run(
        [*command, "loss=mixed", "loss.terms.edge=0.1", "loss.losses.edge.reach=2"],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}, capture_output=True, text=True, check=True
    )  # fmt: skip
    cfg = yaml.safe_load(done.stdout)
    assert {*cfg["terms"]} == {*NAMES, "edge"} - {"mixed"}
    assert (cfg["terms"]["edge"], cfg["terms"]["mse"]) == (0.1, 1)
    assert cfg["losses"]["edge"] == {"_target_": "my_losses.Edge", "reach": 2, "_partial_": True}


def test_a_mixed_loss_trains_and_logs_its_terms(vsr, tmp_path):
    vsr("loss=mixed", "loss.terms.l1=0.5", "loss.losses.perceptual.layers=[relu1_1]", "logger=csv", "hydra.run.dir=run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    scores = record["scores"]
    total = scores["loss_mse"] + 0.5 * scores["loss_l1"] + 0.01 * scores["loss_perceptual"]
    assert scores["loss"] == pytest.approx(total, rel=1e-5)
    assert record["features"]["name"] == "random"
    (table,) = (tmp_path / "run").rglob("metrics.csv")
    titles = csv.DictReader(table.open()).fieldnames
    assert {f"{stage}/loss_{term}" for stage in ("train", "val") for term in ("mse", "l1", "perceptual")} <= {*titles}


def test_a_sweep_over_a_weight_labels_its_runs_by_it(vsr, tmp_path):
    vsr("-m", "loss=mixed", "loss.terms.perceptual=0,0.1", "loss.losses.perceptual.layers=[relu1_1]",
        "trainer.max_epochs=1", "hydra.sweep.dir=sweep")  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "sweep" / "report" / "table_1.csv").open()))
    assert [row["condition"] for row in rows] == [
        "mixed loss.terms.perceptual=0", "mixed loss.terms.perceptual=0.1", "bicubic",
    ]  # fmt: skip


def test_the_papers_fusion_starves_under_pytorchs_initialisation_and_not_under_ours():
    """One channel into the last ReLU: where it starts below zero everywhere, nothing before it can learn."""
    low_res = torch.rand(2, 5, 1, 16, 16) * (torch.rand(2, 5, 1, 16, 16) < 0.1)  # mostly black, as digits are
    starved = {}
    for init in ("torch", "kaiming"):
        counts = []
        for seed in range(20):
            torch.manual_seed(seed)
            network = FrameFusion(widths=(8, 16), pools=(True, False), low_res=16, init=init)
            network(low_res).square().mean().backward()
            counts.append(network.encoder[0].weight.grad.abs().sum() == 0)
        starved[init] = sum(counts)
    assert starved["torch"] > 0
    assert starved["kaiming"] == 0


def test_a_sum_of_ones_own_has_a_curve_for_each_term():
    class Both(torch.nn.Module):
        def terms(self, prediction, target):
            return {"bias": (prediction - target).mean(), "size": prediction.abs().mean()}

        def total(self, terms):
            return terms["bias"] + 2 * terms["size"]

    found = SuperResolution(Bicubic(), Both()).objective(torch.full((1, 1, 8, 8), 0.5), torch.zeros(1, 1, 8, 8))
    assert {name: float(value) for name, value in found.items()} == {"loss": 1.5, "loss_bias": 0.5, "loss_size": 0.5}
