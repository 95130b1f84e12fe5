import json
import signal

import pytest
import torch
from torch import nn

from tests.support import TINY, train_in
from vsr_lightning.callbacks import AverageWeights, LastCheckpoint, TensorBoardImages
from vsr_lightning.callbacks.stop_on_nan import StopOnNaN
from vsr_lightning.module import SuperResolution
from vsr_lightning.runs.trained import load_run
from vsr_lightning.utils.errors import Interrupted

EMA = ("callbacks=ema", "callbacks.average_weights.decay=0.6", "scheduler=warmup_cosine", "optimizer.lr=1e-2")


def _load(run, name="last"):
    return torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """A run, and its network's weights after each of its four steps."""
    root, steps = tmp_path_factory.mktemp("averaged"), []

    def keep(self, trainer, module, *_):
        steps.append({name: value.clone() for name, value in module.state_dict().items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StopOnNaN, "on_train_batch_end", keep)
        train_in(root, *TINY, *EMA, "hydra.run.dir=run")
    return root / "run", steps


def test_the_average_is_the_one_that_a_plain_loop_finds(averaged):
    run, steps = averaged
    average = steps[0]
    for number, weights in enumerate(steps[1:], start=1):
        kept = min(0.6, (1 + number) / (10 + number))
        average = {name: kept * average[name] + (1 - kept) * value for name, value in weights.items()}
    checkpoint = _load(run)
    assert len(steps) == checkpoint["global_step"] == 4
    for name, value in average.items():
        torch.testing.assert_close(checkpoint["state_dict"][name], value)
        assert torch.equal(checkpoint["current_model_state"][name], steps[-1][name])
        assert not torch.equal(checkpoint["state_dict"][name], steps[-1][name])


def test_what_is_shown_after_a_validation_is_of_the_average(vsr, tmp_path, monkeypatch):
    shown = []

    def keep(self, trainer, module):
        shown.append({name: value.clone() for name, value in module.state_dict().items()})

    monkeypatch.setattr(TensorBoardImages, "on_validation_end", keep)
    vsr(*EMA, "callbacks=ema", "hydra.run.dir=run")
    checkpoint = _load(tmp_path / "run")
    for name, value in checkpoint["state_dict"].items():
        assert torch.equal(shown[-1][name], value)
        assert not torch.equal(checkpoint["current_model_state"][name], value)


def test_the_average_lies_on_the_device_of_the_network():
    module = SuperResolution(nn.Conv2d(1, 1, 1), nn.MSELoss())
    callback = AverageWeights()
    callback.setup(None, module, "fit")
    callback.on_fit_start(None, module.to("meta"))  # as the strategy moves it after the callbacks' setup
    assert {value.device.type for value in callback._average_model.parameters()} == {"meta"}


def test_best_and_last_and_what_is_made_of_them_have_the_average(averaged, vsr, tmp_path):
    run, _ = averaged
    assert "averaged weights (decay 0.6) are validated, tested and kept" in (run / "train.log").read_text()
    last, best = _load(run)["state_dict"], _load(run, "best")
    assert best["global_step"] == 4  # or the next line compares another step
    assert all(torch.equal(best["state_dict"][name], value) for name, value in last.items())
    network = load_run(run).network()
    assert all(torch.equal(value, last[f"model.{name}"]) for name, value in network.state_dict().items())
    train_in(tmp_path, f"run={run}", "trainer.accelerator=cpu", "hydra.run.dir=scored", command="evaluate")
    scored = json.loads((tmp_path / "scored/metrics.json").read_text())["scores"]
    assert scored == pytest.approx(json.loads((run / "run.json").read_text())["scores"], abs=1e-6)
    vsr(f"init_from={run}/checkpoints/last.ckpt", "optimizer.lr=0", "hydra.run.dir=from")
    assert all(torch.equal(_load(tmp_path / "from")["state_dict"][name], value) for name, value in last.items())


@pytest.mark.parametrize("when", ["step 1", "step 3", "the test"])
def test_a_run_that_was_stopped_ends_with_the_same_average(when, averaged, vsr, tmp_path, monkeypatch):
    run, _ = averaged

    def stop(self, trainer, *_):
        if when == "the test" and trainer.testing:
            raise Interrupted(signal.SIGTERM)
        if when == f"step {trainer.global_step}":
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        callback, hook = (
            (LastCheckpoint, "on_test_start") if when == "the test" else (StopOnNaN, "on_train_batch_start")
        )
        patch.setattr(callback, hook, stop)
        with pytest.raises(SystemExit):
            vsr(*EMA, "hydra.run.dir=run")
    vsr(*EMA, "resume=run")
    for name in ("last", "best"):
        resumed, whole = _load(tmp_path / "run", name), _load(run, name)
        for part in ("state_dict", "current_model_state", "averaging_state"):
            assert all(torch.equal(value, whole[part][key]) for key, value in resumed[part].items())
    assert (tmp_path / "run/frames.csv").read_bytes() == (run / "frames.csv").read_bytes()


def test_an_average_makes_another_training(averaged, vsr):
    run, _ = averaged
    with pytest.raises(SystemExit, match=r"callbacks\.average_weights"):
        vsr(*EMA[2:], f"ckpt_path={run}/checkpoints/last.ckpt", "trainer.max_epochs=3")


@pytest.mark.parametrize("decay", [1, -0.1])
def test_a_decay_out_of_range_is_one_line(decay):
    with pytest.raises(ValueError, match=rf"average_weights\.decay={decay}: choose"):
        AverageWeights(decay)
