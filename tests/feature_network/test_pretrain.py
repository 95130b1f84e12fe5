import hashlib
import json
import sys
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader
from torchvision.models.vgg import make_layers

from vsr_lightning.experiment import score
from vsr_lightning.feature_network import DigitFrames, pretraining
from vsr_lightning.feature_network.digit_frames import DigitBatch
from vsr_lightning.feature_network.pretraining import export
from vsr_lightning.feature_network.recognition import VGG19, Recognition, read_digits
from vsr_lightning.judges.network import Reader
from vsr_lightning.launch.cli import run_cli
from vsr_lightning.losses.load_features import load_features
from vsr_lightning.losses.vgg import LAYERS
from vsr_lightning.pretrain import main

TINY = (
    "width=0.0625",
    "data.train_frames=64",
    "data.val_frames=32",
    "data.test_frames=64",
    "data.batch_size=16",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
)


def _call(monkeypatch: pytest.MonkeyPatch, folder: Path, *args: str) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setattr(sys, "argv", ["pretrain", *TINY, *args])
    run_cli(main, "pretrain")


def _module(width=1 / 16):
    torch.manual_seed(0)
    return Recognition(
        VGG19(width),
        partial(torch.optim.AdamW, lr=3e-3),
        partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=3e-3),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("pretrain")
    with pytest.MonkeyPatch.context() as patch:
        _call(patch, root, "hydra.run.dir=run")
    return root / "run"


def test_the_command_leaves_weights_that_the_loss_loads(finished):
    loaded = load_features(str(finished / "digits.safetensors"))
    assert [len(bias) for _, bias in loaded.convolutions.values()] == [layer.width // 16 for layer in LAYERS.values()]
    assert all(value.dtype == torch.float16 for value in load_file(finished / "digits.safetensors").values())
    checkpoint = torch.load(finished / "checkpoints" / "last.ckpt", weights_only=True)
    network = VGG19(1 / 16)
    network.load_state_dict({key.removeprefix("network."): value for key, value in checkpoint["state_dict"].items()})
    values = [value for layer in loaded.convolutions.values() for value in layer]
    for value, expected in zip(values, network.folded().values(), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-6)


def test_the_card_and_run_json_tell_what_the_weights_are(finished):
    card, run = (finished / "digits.md").read_text(), json.loads((finished / "run.json").read_text())
    assert (run["status"], run["epochs"], run["seed"]) == ("finished", 1, 0)
    assert hashlib.sha256((finished / "digits.safetensors").read_bytes()).hexdigest() == run["weights"]["sha256"]
    assert load_features(str(finished / "digits.safetensors")).checksum == run["weights"]["checksum"]
    assert f"`{run['weights']['sha256']}`" in card
    assert f"`{run['weights']['checksum']}`" in card
    assert f"{100 * run['scores']['accuracy']:.2f} % on 64 frames of held-out digits" in card
    assert f"`python -m vsr_lightning.pretrain {' '.join(TINY)}" in card
    assert all(f"{digit}: {100 * run['scores'][f'digit_{digit}']:.1f} %" in card for digit in range(10))


def test_the_dashboard_has_curves_with_one_point_per_epoch(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    points = {}
    for file in finished.glob("tensorboard/events*"):
        events = EventAccumulator(str(file)).Reload()
        for tag in events.Tags()["scalars"]:
            points[tag] = points.get(tag, 0) + len(events.Scalars(tag))
    assert {tag: count for tag, count in points.items() if tag != "epoch" and count != 1} == {}
    assert set(points) >= {
        "train/loss",
        "train/accuracy",
        "val/accuracy",
        "val/sharp",
        "val/distorted",
        "test/accuracy",
    }


def test_folded_weights_are_a_plain_vgg19_that_gives_the_same_features():
    network = VGG19(1 / 8)
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.uniform_(norm.bias, -0.5, 0.5)
    for images in (torch.rand(8, 1, 64, 64) for _ in range(3)):
        network(images)  # gives the normalisation something to fold
    network.eval()
    shape = [8, 8, "M", 16, 16, "M", *[32] * 4, "M", *[64] * 4, "M", *[64] * 4]
    plain = make_layers(shape, batch_norm=False)
    plain.load_state_dict({key.removeprefix("features."): value for key, value in network.folded().items()})
    x = network.normalize(torch.rand(2, 1, 64, 64))
    expected = plain(x)
    for block in network.blocks:
        x = block(x)
    torch.testing.assert_close(x, expected, rtol=1e-3, atol=1e-4)
    assert expected.std() > 0.01


def test_two_of_a_digit_are_told_from_two_digits():
    shares = torch.full((3, 10), 1e-4)
    shares[0, 7] = 1
    shares[1, 3] = shares[1, 8] = 0.5
    shares[2, 1], shares[2, 4] = 0.7, 0.3
    found = read_digits(shares.log()).sort(1).values.tolist()
    assert found == [[7, 7], [3, 8], [1, 4]]


def test_accuracy_is_per_digit_in_whatever_order_and_by_the_true_digit(tmp_path):
    class Fixed(VGG19):
        def forward(self, images):
            logits = torch.full((len(images), 10), -20.0)
            logits[:, 3] = logits[:, 8] = 5.0
            return logits, torch.zeros(len(images), 4)

    module = _module()
    module.network = Fixed(1 / 64)
    digits = torch.tensor([[8, 3], [3, 3], [3, 1], [5, 6]])
    level = torch.tensor([[0.0] * 4, [0.4, 0, 0, 0], [0.0] * 4, [0.0] * 4])
    loader = DataLoader([DigitBatch(torch.rand(4, 1, 64, 64), digits, level)], batch_size=None)
    (scores,) = _trainer(tmp_path).test(module, loader, verbose=False)
    assert scores["test/accuracy"] == pytest.approx((1 + 0.5 + 0.5 + 0) / 4)
    assert scores["test/sharp"] == pytest.approx(1.5 / 3)
    assert scores["test/distorted"] == pytest.approx(0.5)
    assert scores["test/digit_3"] == pytest.approx(3 / 4)
    assert (scores["test/digit_8"], scores["test/digit_1"]) == (1, 0)
    assert scores["test/level_error"] == pytest.approx(0.4 / 16)


def test_training_learns_both_tasks(tmp_path):
    data = DigitFrames(train_frames=16, val_frames=16, test_frames=16, batch_size=16)
    frames = next(iter(data.train_dataloader()))  # the same sixteen in every epoch, to be learned by heart
    data.train_dataloader = data.test_dataloader = lambda: DataLoader([frames], batch_size=None)
    module = _module()
    (before,) = _trainer(tmp_path).test(module, data, verbose=False)
    trainer = _trainer(tmp_path, max_epochs=40, limit_val_batches=0)
    trainer.fit(module, data)
    after = score(data, module, trainer)
    assert after["accuracy"] > 0.5 > before["test/accuracy"]
    assert after["level_error"] < 0.7 * before["test/level_error"]


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(tmp_path):
    class Interrupt(pl.Callback):
        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch == 1:
                raise InterruptedError

    def trainer(*callbacks):
        return _trainer(tmp_path, max_epochs=2, callbacks=list(callbacks), enable_checkpointing=bool(callbacks))

    data = DigitFrames(train_frames=32, val_frames=16, test_frames=16, batch_size=16)
    at_once, resumed = _module(), _module()
    trainer().fit(at_once, data)
    keep = pl.callbacks.ModelCheckpoint(tmp_path, "last")
    with pytest.raises(InterruptedError):
        trainer(keep, Interrupt()).fit(_module(), data)
    trainer().fit(resumed, data, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert all(torch.equal(value, resumed.state_dict()[key]) for key, value in at_once.state_dict().items())


def test_a_checkpoint_of_another_recipe_is_refused(finished, tmp_path, monkeypatch):
    last = f"ckpt_path={finished}/checkpoints/last.ckpt"
    cases = (
        (["trainer.max_epochs=2"], r"made with trainer\.max_epochs=1: choose the same, or start anew"),
        (["trainer.limit_train_batches=0.5"], r"made with trainer\.limit_train_batches=1"),
        (["data.batch_size=8"], r"made with data\.batch_size=16"),
        (["width=0.125"], r"made with width=0\.0625"),
        (["data.val_frames=8"], "has finished its 1 epoch, and a cycle of rates can't be made longer: start anew"),
    )
    for i, (changes, message) in enumerate(cases):
        with pytest.raises(SystemExit, match=message):
            _call(monkeypatch, tmp_path, last, *changes, f"hydra.run.dir={i}")


def test_a_checkpoint_to_look_at_or_of_another_command_is_refused(finished, tmp_path, monkeypatch, vsr):
    with pytest.raises(SystemExit, match=r"best\.ckpt holds weights only, nothing to go on from: take last\.ckpt"):
        _call(monkeypatch, tmp_path, f"ckpt_path={finished}/checkpoints/best.ckpt", "hydra.run.dir=a")
    vsr("hydra.run.dir=other", "trainer.max_epochs=1")
    with pytest.raises(SystemExit, match=r"was not made by vsr_lightning\.pretrain"):
        _call(monkeypatch, tmp_path, "ckpt_path=other/checkpoints/last.ckpt", "hydra.run.dir=b")


@pytest.mark.parametrize("change", ["optimizer.lr=abc", "optimizer.lr=-1", "scheduler.pct_start=2", "width=abc"])
def test_values_that_can_not_be_used_name_their_key(tmp_path, monkeypatch, change):
    key = change.split("=")[0].split(".")[0]
    with pytest.raises(SystemExit, match=f"^error: [^\n]*{key}[^\n]*$"):
        _call(monkeypatch, tmp_path, change, "hydra.run.dir=run")


def test_weights_are_kept_where_the_test_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "score", lambda *args: 1 // 0)
    with pytest.raises(SystemExit, match="division or modulo by zero"):
        _call(monkeypatch, tmp_path, "hydra.run.dir=run")
    assert load_features("run/digits.safetensors").convolutions


def test_another_network_may_learn_to_read_only(tmp_path, monkeypatch):
    _call(monkeypatch, tmp_path, "network=reader", "hydra.run.dir=run")
    reader, card = Reader(1 / 16), Path("run/reader.md").read_text()
    reader.load_state_dict(load_file("run/reader.safetensors"))
    assert reader(torch.zeros(1, 1, 64, 64)).shape == (1, 10)
    assert "distortion levels" not in card
    assert "Residual network with 2, 2, 4, 5 channels" in card
    assert json.loads(Path("run/run.json").read_text())["seed"] == 100


def test_a_width_without_channels_is_refused(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r"error: width=0\.001 is out of range: choose 0\.016"):
        _call(monkeypatch, tmp_path, "width=0.001", "hydra.run.dir=run")


def test_a_misspelt_key_is_answered_from_this_commands_config(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r"there is no key wdith: did you mean width\?"):
        _call(monkeypatch, tmp_path, "wdith=1")


def test_weights_beyond_half_precision_are_not_written(tmp_path):
    network = VGG19(1 / 16)
    with torch.no_grad():
        network.blocks[0][1].weight.fill_(1e9)
    with pytest.raises(ValueError, match="beyond half precision"):
        export(network, tmp_path / "digits.safetensors")
    assert not list(tmp_path.iterdir())


def _trainer(tmp_path, **changes):
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger"), False)
    return pl.Trainer(default_root_dir=tmp_path, accelerator="cpu", **{**quiet, "num_sanity_val_steps": 0, **changes})
