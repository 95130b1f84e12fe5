import json
import math
import re
import signal

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from torch import nn
from torch.nn import functional as F

from tests.support import TINY, compose_train, train_in
from vsr_lightning.adversarial import Adversarial
from vsr_lightning.callbacks.stop_on_nan import StopOnNaN
from vsr_lightning.experiment import make_module
from vsr_lightning.models import ResidualFusion
from vsr_lightning.models.discriminators import PatchDiscriminator, UNetDiscriminator
from vsr_lightning.runs.trained import load_run

DISCRIMINATORS = [PatchDiscriminator, UNetDiscriminator]
SMALL = ("module=adversarial", "module.discriminator.width=2", "optimizer.lr=1e-3")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An adversarial run of four steps."""
    root = tmp_path_factory.mktemp("adversarial")
    train_in(root, *TINY, *SMALL, "logger=[tensorboard,csv]", "hydra.run.dir=run")
    return root / "run"


def _load(run):
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)


@pytest.mark.parametrize("kind", DISCRIMINATORS)
@pytest.mark.parametrize("size", [(8, 8), (64, 64), (36, 50)])
@pytest.mark.parametrize("channels", [1, 3])
def test_discriminators_judge_frames_of_any_size(kind, size, channels):
    network = kind(channels, width=4)
    logits = network(torch.rand(2, channels, *size))
    expected = size if kind is UNetDiscriminator else (size[0] // 8, size[1] // 8)
    assert logits.shape == (2, 1, *expected)
    logits.sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_spectral_norm_bounds_each_convolution(kind):
    network = kind(1, width=4)
    for _ in range(50):
        network(torch.rand(1, 1, 16, 16))  # each pass in training refines the estimate
    bounded = [module for module in network.modules() if hasattr(module, "parametrizations")]
    assert len(bounded) >= 5
    for module in bounded:
        largest = torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2)
        assert largest == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_discriminators_learn_to_tell_blurred_from_sharp(kind):
    torch.manual_seed(0)
    network = kind(1, width=8)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(60):
        sharp = torch.rand(8, 1, 16, 16).round()
        blurred = F.avg_pool2d(sharp, 3, 1, 1)
        loss = F.relu(1 - network(sharp)).mean() + F.relu(1 + network(blurred)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert network(sharp).mean() > network(blurred).mean() + 0.5


def _plain_steps(network, discriminator, batches, objective, steps):
    """Two Adams, one after the other, as ESRGAN's training is written everywhere: none of our module's code."""
    g, d = torch.optim.Adam(network.parameters(), 1e-3), torch.optim.Adam(discriminator.parameters(), 4e-3)
    bce = F.binary_cross_entropy_with_logits
    for low_res, target in batches[:steps]:
        prediction = network(low_res)
        for parameter in discriminator.parameters():
            parameter.requires_grad_(False)
        fake, real = discriminator(prediction), discriminator(target)
        if objective == "hinge":
            adversarial = -fake.mean()
        else:
            adversarial = bce(fake - real.mean(), torch.ones_like(fake)) / 2
            adversarial += bce(real - fake.mean(), torch.zeros_like(fake)) / 2
        g.zero_grad()
        ((prediction - target).square().mean() + 0.3 * adversarial).backward()
        for parameter in discriminator.parameters():
            parameter.requires_grad_(True)
        fake, real = discriminator(prediction.detach()), discriminator(target)
        if objective == "hinge":
            loss = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        else:
            loss = (
                bce(real - fake.mean(), torch.ones_like(real)) / 2 + bce(fake - real.mean(), torch.zeros_like(fake)) / 2
            )
        d.zero_grad()
        loss.backward()
        g.step()
        d.step()


@pytest.mark.parametrize("objective", ["hinge", "relativistic"])
def test_steps_are_those_of_two_optimizers_one_after_the_other(objective):
    def pair():
        torch.manual_seed(3)
        plain = nn.Sequential(nn.Conv2d(1, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 3, bias=False))
        return ResidualFusion(4, 1).double(), plain.double()

    batches = [(torch.rand(2, 5, 1, 8, 8).double(), torch.rand(2, 1, 16, 16).double()) for _ in range(4)]
    network, discriminator = pair()
    _plain_steps(network, discriminator, batches, objective, 4)
    ours = Adversarial(
        *pair()[:1], nn.MSELoss(), pair()[1], 0.3, objective, {"lr": 4e-3},
        optimizer=lambda groups: torch.optim.Adam(groups, 1e-3),
    )  # fmt: skip
    optimizer = ours.configure_optimizers()
    for low_res, target in batches:
        loss, _ = ours.training_losses(ours(low_res), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for expected, found in ((network, ours.model), (discriminator, ours.discriminator)):
        for theirs, mine in zip(expected.parameters(), found.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs)


def test_each_networks_gradients_are_clipped_by_themselves():
    module = Adversarial(ResidualFusion(4, 1), nn.MSELoss(), PatchDiscriminator(1, 2))
    for scale, network in ((100.0, module.model), (1e-4, module.discriminator)):
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, scale)
    before = [parameter.grad.clone() for parameter in module.discriminator.parameters()]
    module.trainer = trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    assert trainer.scaler is None
    module.configure_gradient_clipping(torch.optim.SGD(module.parameters()), 1.0)
    norm = torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in module.model.parameters()]))
    assert norm == pytest.approx(1, rel=1e-3)
    assert all(torch.equal(p.grad, g) for p, g in zip(module.discriminator.parameters(), before, strict=True))


def test_a_fused_optimizer_is_not_clipped_before_its_gradients_are_scaled_back(monkeypatch):
    monkeypatch.setattr(pl.Trainer, "scaler", object())
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    module = Adversarial(ResidualFusion(4, 1), nn.MSELoss(), PatchDiscriminator(1, 2))
    module.trainer = trainer
    with pytest.raises(ValueError, match=r"set optimizer\.fused=false"):
        module.configure_gradient_clipping(torch.optim.Adam(module.parameters(), fused=True), 1.0)


def test_the_network_starts_from_the_weights_of_its_seed_beside_a_discriminator():
    starts = []
    for overrides in ((), ("module=adversarial",)):
        torch.manual_seed(0)
        starts.append(make_module(compose_train(*TINY, *overrides)).model.state_dict())
    for name, value in starts[0].items():
        assert torch.equal(starts[1][name], value)


def test_a_sweep_scores_bicubic_and_trains_no_discriminator_for_it(vsr, tmp_path, no_report):
    vsr("-m", *SMALL, "trainer.max_epochs=1", "hydra.sweep.dir=sweep")
    record = json.loads((tmp_path / "sweep/bicubic/run.json").read_text())
    assert (record["status"], record["epochs"]) == ("finished", 0)
    assert not [*(tmp_path / "sweep/bicubic").rglob("*.ckpt")]


def test_a_run_logs_each_term_and_is_scored_as_any(made):
    record = json.loads((made / "run.json").read_text())
    assert record["status"] == "finished"
    header = (made / "csv/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/loss", "train/loss_adversarial", "train/loss_discriminator", "val/psnr"} <= {*header}
    weights = _load(made)["state_dict"]
    assert any(name.startswith("discriminator.") for name in weights)
    groups = _load(made)["optimizer_states"][0]["param_groups"]
    assert [group["name"] for group in groups] == ["network", "discriminator"]
    assert [group["lr"] for group in groups] == [1e-3, 1e-4]


def test_evaluate_and_predict_take_the_network_alone(made, tmp_path):
    train_in(tmp_path, f"run={made}", "trainer.accelerator=cpu", "hydra.run.dir=scored", command="evaluate")
    scored = json.loads((tmp_path / "scored/metrics.json").read_text())["scores"]
    assert scored == pytest.approx(json.loads((made / "run.json").read_text())["scores"], abs=1e-6)
    train_in(tmp_path, f"run={made}", "module=super_resolution", "trainer.accelerator=cpu", "hydra.run.dir=plain",
             command="evaluate")  # fmt: skip
    assert json.loads((tmp_path / "plain/metrics.json").read_text())["scores"] == scored
    np.save(tmp_path / "in.npy", np.zeros((6, 32, 32), np.uint8))
    train_in(tmp_path, f"run={made}", "input=in.npy", "output=out.npy", "device=cpu", command="predict")
    assert np.load(tmp_path / "out.npy").shape == (2, 64, 64)
    assert not any(name.startswith("discriminator") for name, _ in load_run(made).network().named_parameters())


def test_it_starts_from_a_network_trained_on_pixels_and_back(finished, made, vsr, tmp_path):
    for start, command in ((finished, SMALL), (made, ())):
        folder = f"from_{start.parent.name}"
        vsr(*command, f"init_from={start}/checkpoints/last.ckpt", "optimizer.lr=0", f"hydra.run.dir={folder}",
            *(["module.discriminator_optimizer.lr=1e-4"] if command else []))  # fmt: skip
        before, after = (_load(run)["state_dict"] for run in (start, tmp_path / folder))
        shared = [name for name in after if name.startswith("model.")]
        assert shared
        assert all(torch.equal(after[name], before[name]) for name in shared)
        assert json.loads((tmp_path / folder / "run.json").read_text())["init_from"]["loss"]


def _stops(monkeypatch, vsr, steps, *command):
    """Run the command, killed within each of the steps, and resume it each time."""

    def stop(self, trainer, *_):
        if trainer.global_step == steps[0]:
            steps.pop(0)
            signal.raise_signal(signal.SIGTERM)

    first = True
    while steps:
        with monkeypatch.context() as patch:
            patch.setattr(StopOnNaN, "on_train_batch_start", stop)
            with pytest.raises(SystemExit):
                vsr(*command, "hydra.run.dir=run" if first else "resume=run")
        first = False
    vsr(*command, "resume=run")


@pytest.mark.parametrize("extra", [(), ("callbacks=ema", "scheduler=warmup_cosine", "trainer.gradient_clip_val=1.0")])
def test_killed_ten_times_it_ends_bit_by_bit_as_it_would_have(extra, vsr, tmp_path, monkeypatch):
    command = (*SMALL, *extra, "data.train_videos=12", "trainer.max_epochs=3")
    vsr(*command, "hydra.run.dir=whole")
    _stops(monkeypatch, vsr, [0, 1, 2, 3, 5, 6, 7, 9, 10, 11], *command)
    resumed, whole = _load(tmp_path / "run"), _load(tmp_path / "whole")
    assert resumed["global_step"] == whole["global_step"] == 12
    for part in ("state_dict", "current_model_state") if "callbacks=ema" in extra else ("state_dict",):
        assert not [name for name, value in whole[part].items() if not torch.equal(resumed[part][name], value)], part
    one, other = (state["optimizer_states"][0] for state in (resumed, whole))
    assert one["param_groups"] == other["param_groups"]
    assert all(
        torch.equal(one["state"][n][key], it) for n, state in other["state"].items() for key, it in state.items()
    )
    assert (tmp_path / "run/frames.csv").read_bytes() == (tmp_path / "whole/frames.csv").read_bytes()


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(vsr, tmp_path):
    how = ("module.discriminator.width=2", "module=adversarial", "data.batch_size=4", "data.train_videos=8")
    optimizer = ("optimizer=adam", "optimizer._target_=torch.optim.SGD", "~optimizer.fused", "optimizer.lr=0.1")
    for name, devices in (("one", ()), ("two", ("trainer=ddp", "trainer.devices=2"))):
        vsr(*how, *optimizer, *devices, "trainer.accelerator=cpu", f"hydra.run.dir={name}")
    one, two = (_load(tmp_path / name)["state_dict"] for name in ("one", "two"))
    for name, value in one.items():
        if not re.search(r"\.(_u|_v)$|\.0\._[uv]$", name):
            torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("module.objective=wasserstein", r"module\.objective=wasserstein is unknown: choose hinge or relativistic"),
        ("module.weight=0", r"module\.weight=0 is out of range"),
    ],
)
def test_what_makes_no_sense_is_one_line(override, message, vsr):
    with pytest.raises(SystemExit, match=message):
        vsr(*SMALL, override)


def test_it_is_another_training_than_without(made, vsr):
    with pytest.raises(SystemExit, match=r"does not fit this network|was trained with module"):
        vsr("optimizer.lr=1e-3", f"ckpt_path={made}/checkpoints/last.ckpt", "trainer.max_epochs=3")


class OwnsItsLoss(ResidualFusion):
    """A network whose loss is of its own."""

    def training_loss(self, low_res, target):
        return self(low_res).sub(0.5).square().mean()


def test_a_network_that_owns_its_loss_is_trained_on_it_and_scored_as_any(vsr, tmp_path):
    data = [item for item in TINY if not item.startswith("model")]
    cfg = compose_train(*data, "model=residual_fusion")
    assert instantiate(cfg.model).training_loss(torch.rand(1), torch.rand(1)) is None
    vsr(*data, "model=residual_fusion", "model._target_=tests.test_adversarial.OwnsItsLoss", "model.width=4",
        "model.blocks=1", "optimizer.lr=1e-2", "logger=csv", "data.train_videos=30", "trainer.max_epochs=4",
        "hydra.run.dir=run", tiny=False)  # fmt: skip
    scores = json.loads((tmp_path / "run/run.json").read_text())["scores"]
    assert math.isfinite(scores["psnr"])
    rows = (tmp_path / "run/csv/metrics.csv").read_text().splitlines()
    header = rows[0].split(",")
    losses = [float(value) for row in rows[1:] if (value := row.split(",")[header.index("train/loss")])]
    assert losses[-1] < losses[0]
    assert "train/psnr" not in header
    with pytest.raises(ValueError, match="has a training loss of its own: leave module=adversarial out"):
        Adversarial(OwnsItsLoss(4, 1), nn.MSELoss(), PatchDiscriminator(1, 2))


def test_a_sweep_compares_it_with_the_loss_alone_and_with_averaged_weights(vsr, tmp_path):
    vsr("-m", "module=super_resolution,adversarial", "callbacks=super_resolution,ema", "trainer.max_epochs=1")
    (sweep,) = (tmp_path / "runs").glob("*_sweep")
    table, report = (sweep / "scores.md").read_text(), (sweep / "report/report.md").read_text()
    assert "Do not compare" not in table
    assert "mse + adversarial" in table
    header, *rows = (sweep / "report/losses.csv").read_text().splitlines()
    assert header == "condition,mse"  # the adversarial term is no loss of pixels that a column could have
    losses = [row.split(",")[0] for row in rows]
    assert len({*losses}) == 5  # and bicubic
    assert sum(name.startswith("mse + adversarial") for name in losses) == 2
    assert sum(name.startswith("mse") for name in losses) == 4
    assert "adversarial" in report
