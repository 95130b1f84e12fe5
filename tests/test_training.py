import csv
import gc
import io
import json
import math
import re
from collections import defaultdict
from importlib.metadata import version

import lightning.pytorch as pl
import numpy as np
import piq
import pytest
import torch
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import nn

from tests.support import compose_train
from vsr_lightning.callbacks.last_checkpoint import LastCheckpoint
from vsr_lightning.callbacks.stop_on_nan import StopOnNaN
from vsr_lightning.callbacks.tensorboard_images import TensorBoardImages
from vsr_lightning.data import MovingMNIST
from vsr_lightning.degradation import Degradation, to_integers
from vsr_lightning.experiment import score, train
from vsr_lightning.images import gif, grid
from vsr_lightning.losses import Perceptual
from vsr_lightning.metrics import METRICS, Metric, frame_scores, score_frames, temporal_error
from vsr_lightning.models import Bicubic, FrameFusion
from vsr_lightning.module import SuperResolution
from vsr_lightning.reporting.figures import comparison_figure
from vsr_lightning.runs.frames import read_frames

SCORES = ("loss", "psnr", "ssim", "psnr_eq2", "ssim_eq1")
TEST_SCORES = (*SCORES, "vgg_distance", "haarpsi", "gmsd", "temporal_error")


def _data(**changes):
    chosen = {"source": "generated", "train_videos": 8, "test_videos": 2, "batch_size": 4, **changes}
    return MovingMNIST(Degradation(), **chosen)


def _network():
    torch.manual_seed(0)
    return FrameFusion((2, 4), (True, False))


def _trainer(tmp_path, **changes):
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "logger": False,
    }
    return pl.Trainer(**{"default_root_dir": tmp_path, "accelerator": "cpu", "max_epochs": 1, **quiet, **changes})


def test_scores_are_the_mean_over_all_test_frames(tmp_path):
    data = _data()
    scores = score(data, SuperResolution(Bicubic(), nn.MSELoss()), _trainer(tmp_path))
    batches = [data.on_after_batch_transfer(batch, 0) for batch in data.test_dataloader()]
    low_res, target, video, frame = (torch.cat(column) for column in zip(*batches, strict=True))
    assert len(target) == 2 * 16
    by_frame = {**frame_scores(Bicubic()(low_res), target), **score_frames(METRICS, Bicubic()(low_res), target)}
    by_frame["temporal_error"] = temporal_error(Bicubic()(low_res), target, video, frame)
    expected = {name: score.nanmean().item() for name, score in by_frame.items()}
    expected["loss"] = nn.functional.mse_loss(Bicubic()(low_res), target).item()
    assert scores == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("named", ["haarpsi", ["haarpsi", "gmsd"]])
def test_validation_and_training_compute_the_early_metrics_too(tmp_path, named):
    data, trainer = _data(val_videos=3), _trainer(tmp_path)
    module = SuperResolution(_network(), nn.MSELoss(), early_metrics=named)
    validation = train(data, module, trainer)
    (batch,) = (data.on_after_batch_transfer(batch, 0) for batch in data.val_dataloader())
    prediction, target = batch.align(module(batch.low_res))
    expected = piq.haarpsi(prediction.detach().clamp(0, 1), target)
    assert validation["haarpsi"] == pytest.approx(expected.item(), rel=1e-4)
    assert "train/haarpsi" in trainer.callback_metrics
    assert ("gmsd" in validation) == ("gmsd" in named)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("psnr", "which is no metric of a test's single frames: choose from haarpsi, gmsd,"),
        ("temporal_error", "which is no metric of a test's single frames: choose from haarpsi"),  # of pairs of frames
        ("lpisp", "which is no metric of a test's single frames: choose from .*, lpips"),
        ("lpips", "which needs .*alexnet.*: fetch it, or leave it out"),
    ],
)
def test_an_early_metric_that_would_not_be_computed_is_refused(name, line):
    with pytest.raises(ValueError, match=rf"module\.early_metrics has '{name}', {line}"):
        SuperResolution(_network(), nn.MSELoss(), early_metrics=[name])


def test_frames_that_an_early_metric_leaves_out_do_not_count(tmp_path):
    def but_the_first(prediction, target):
        return torch.arange(float(len(prediction))).where(torch.arange(len(prediction)) > 0, torch.nan)

    found = []
    for early in ([], ["mine"]):
        module = SuperResolution(_network(), nn.MSELoss(), metrics={"mine": Metric("Mine", True, but_the_first)},
                                 early_metrics=early)  # fmt: skip
        (scores,) = _trainer(tmp_path).test(module, _data(), verbose=False)
        found.append(scores["test/mine"])
    assert found[0] == found[1] > 0


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("haarpsi", r"give module\.early_metrics=\[haarpsi\], too"), ("temporal_error", "choose another")],
)
def test_best_weights_by_a_metric_of_the_test_only_are_refused(tmp_path, name, remedy):
    best = ModelCheckpoint(tmp_path, monitor=f"val/{name}", mode="max")
    trainer = _trainer(tmp_path, callbacks=[best], enable_checkpointing=True)
    line = rf"callbacks\.best\.monitor=val/{name} is not computed in validation: {remedy}$"
    with pytest.raises(ValueError, match=line):
        trainer.fit(SuperResolution(_network(), nn.MSELoss()), _data())


@pytest.mark.parametrize(("monitor", "mode", "right"), [("gmsd", "max", "min"), ("psnr", "min", "max")])
def test_best_weights_that_would_be_the_worst_are_refused(tmp_path, monitor, mode, right):
    best = ModelCheckpoint(tmp_path, monitor=f"val/{monitor}", mode=mode)
    trainer = _trainer(tmp_path, callbacks=[best], enable_checkpointing=True)
    with pytest.raises(ValueError, match=f"keeps the worst epoch's weights: give callbacks.best.mode={right}, too"):
        trainer.fit(SuperResolution(_network(), nn.MSELoss(), early_metrics=["gmsd"]), _data())


def test_an_early_metric_must_be_able_to_score_the_crops_of_the_training():
    def check(*early):
        SuperResolution(_network(), nn.MSELoss(), early_metrics=early).check_sizes((1, 12, 12), (1, 64, 64))

    check()
    with pytest.raises(ValueError, match=r"haarpsi can't be scored on frames of 12x12 \(.*\): give larger ones"):
        check("haarpsi")


@pytest.mark.parametrize("loss", ["mse", "perceptual"])
def test_training_lowers_the_loss(tmp_path, loss, small_features):
    data, loss = _data(), nn.MSELoss() if loss == "mse" else Perceptual(small_features)
    module = SuperResolution(_network(), loss, lambda parameters: torch.optim.Adam(parameters, lr=1e-3))
    before, trainer = score(data, module, _trainer(tmp_path)), _trainer(tmp_path, max_epochs=15)
    train(data, module, trainer)
    assert score(data, module, trainer)["loss"] < 0.95 * before["loss"]


def test_each_epoch_draws_its_own_windows_also_under_lightning(tmp_path):
    seen = []

    class Spy(pl.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            seen.append((trainer.current_epoch, batch.target.sum().item()))

    train(_data(), SuperResolution(_network(), nn.MSELoss()), _trainer(tmp_path, max_epochs=3, callbacks=[Spy()]))
    data = _data()
    expected = []
    for epoch in range(3):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        expected += [(epoch, data.on_after_batch_transfer(batch, 0).target.sum().item()) for batch in loader]
    assert seen == expected
    assert len({total for _, total in seen}) == 6


@pytest.mark.parametrize("stop", [{"max_epochs": 3}, {"max_epochs": -1, "max_steps": 5}])
def test_the_curves_of_the_training_need_no_callback_and_are_means_over_frames(tmp_path, stop):
    seen = defaultdict(list)

    class Module(SuperResolution):
        def objective(self, prediction, target):
            losses = super().objective(prediction, target)
            if self.trainer.training:
                seen[self.current_epoch].append((float(losses["loss"].detach()), len(target)))
            return losses

    logger = CSVLogger(tmp_path)
    train(_data(batch_size=3), Module(_network(), nn.MSELoss()), _trainer(tmp_path, logger=logger, **stop))
    with open(logger.experiment.metrics_file_path) as file:
        points = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert [int(row["epoch"]) for row in points] == list(seen)
    for row, batches in zip(points, seen.values(), strict=True):
        losses, frames = zip(*batches, strict=True)
        expected = np.average(losses, weights=frames)
        assert float(row["train/loss"]) == pytest.approx(expected)
        assert all(math.isfinite(float(row[f"train/{name}"])) for name in SCORES)


def test_the_means_of_an_unfinished_epoch_go_through_a_checkpoint_to_the_bit(recwarn):
    sums = {"loss": torch.tensor([0.1, 3.0]), "loss_mse": torch.tensor([1e8 + 1, 7.0])}  # as older checkpoints have it
    module, checkpoint = SuperResolution(_network(), nn.MSELoss()), {}
    module.on_load_checkpoint({"sums": sums, "state_dict": {}})
    module.on_save_checkpoint(checkpoint)
    assert {name: value.tolist() for name, value in checkpoint["sums"].items()} == {
        name: value.tolist() for name, value in sums.items()
    }
    assert float(module.means["train/loss"].compute()) == float(torch.tensor(0.1) / 3)
    assert set(module.state_dict()) == {f"model.{name}" for name in module.model.state_dict()}
    assert not recwarn.list


def test_the_frozen_network_is_in_no_optimiser_and_not_switched_by_train():
    module = SuperResolution(_network(), Perceptual("random", "relu1_1"))
    optimized = {id(p) for group in module.configure_optimizers().param_groups for p in group["params"]}
    assert optimized == {id(p) for p in module.model.parameters()}
    assert set(module.state_dict()) == {f"model.{name}" for name in module.model.state_dict()}


class _Lost(nn.Module):
    def __init__(self, good_steps):
        super().__init__()
        self.left = good_steps

    def forward(self, prediction, target):
        if torch.is_grad_enabled():  # count training steps
            self.left -= 1
        return nn.functional.mse_loss(prediction, target) * (1 if self.left >= 0 else math.nan)


def test_a_loss_that_becomes_nan_stops_training_and_keeps_the_last_good_checkpoint(tmp_path):
    checkpoint = LastCheckpoint(tmp_path)
    trainer = _trainer(tmp_path, max_epochs=5, callbacks=[StopOnNaN(), checkpoint], enable_checkpointing=True)
    with pytest.raises(FloatingPointError, match=r"NaN or infinite in epoch 2, .*: lower optimizer\.lr .*last\.ckpt"):
        train(_data(), SuperResolution(_network(), _Lost(3)), trainer)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 0


@pytest.fixture
def slow_denormals():
    """Begin as a process does, and end so."""
    torch.set_flush_denormal(False)
    yield
    torch.set_flush_denormal(False)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_averages_of_gradients_that_ended_do_not_slow_a_training_down(vsr, optimizer, slow_denormals):
    vsr("trainer.max_epochs=1", "hydra.run.dir=run")  # which leaves the process as it was while it trained
    weight = nn.Parameter(torch.ones(16, 16, 3, 3))
    instance = instantiate(compose_train(f"optimizer={optimizer}").optimizer)([weight])
    for gradient in [1e-3] + [0] * 2000:
        weight.grad = torch.full_like(weight, gradient)
        instance.step()
    averages = instance.state[weight]
    first = averages["exp_avg" if optimizer == "adam" else "momentum_buffer"]
    assert not first.view(torch.int32).any()  # their bits, since a number below 1e-38 would be read as 0 now


def test_event_files_hold_every_score_and_the_learning_rate(finished):
    tags = set()
    for file in finished.glob("tensorboard/events*"):
        events = EventAccumulator(str(file)).Reload()
        tags |= set(events.Tags()["scalars"])
        for tag in events.Tags()["scalars"]:
            assert all(math.isfinite(event.value) for event in events.Scalars(tag))
            if tag.startswith(("train/", "val/")):
                assert [event.step for event in events.Scalars(tag)] == [1, 3]
    assert tags >= {f"{stage}/{score}" for stage in ("train", "val") for score in SCORES} | {"lr-Adam"}
    assert tags >= {f"test/{score}" for score in TEST_SCORES}


@pytest.mark.parametrize("model", ["truth", "bicubic"])
def test_what_has_nothing_to_learn_is_scored_and_pictured_by_the_command_that_trains(vsr, tmp_path, model):
    little = ("data.source=generated", "data.train_videos=6", "data.test_videos=2", "trainer.accelerator=cpu")
    vsr(f"model={model}", "model.channels=1", *little, "hydra.run.dir=run", tiny=False)
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "finished"
    events = EventAccumulator(str(tmp_path / "run/tensorboard"), {"images": 0}).Reload()
    assert len(events.Tags()["images"]) == 2


def test_event_files_hold_pictures_a_clip_and_the_scores_beside_the_choices(finished):
    events = EventAccumulator(str(finished / "tensorboard"), {"images": 0, "scalars": 0}).Reload()
    kinds = "low-res, bicubic, prediction, truth, error"
    assert set(events.Tags()["images"]) == {f"test videos/{kinds}", f"clip/{kinds}"}
    pictures, clips = (events.Images(f"{name}/{kinds}") for name in ("test videos", "clip"))
    assert [picture.step for picture in pictures] == [clip.step for clip in clips] == [1, 2]
    rows = 2  # videos
    assert (pictures[0].width, pictures[0].height) == (2 * (5 * 66 + 2), 2 * (rows * 66 + 2))
    clip = Image.open(io.BytesIO(clips[-1].encoded_image_string))
    assert (clip.format, clip.n_frames) == ("GIF", 4)
    layout = Layout.FromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    tags = [tag for category in layout.category for chart in category.chart for tag in chart.multiline.tag]
    drawn = {
        "perceptual loss/training": "train/loss",
        "perceptual loss/validation": "val/loss",
        "validation/PSNR (dB)": "val/psnr",
        "validation/SSIM": "val/ssim",
    }
    found = {tag for pattern in tags for tag in events.Tags()["scalars"] if re.match(pattern, tag)}
    assert found == set(drawn)
    for tag, name in drawn.items():
        points = events.Scalars(tag)
        assert [point.step for point in points] == [1, 2]  # epochs, in all of the charts
        assert [point.value for point in points] == [point.value for point in events.Scalars(name)]
    hparams = {
        tag: HParamsPluginData.FromString(content) for tag, content in events.PluginTagToContent("hparams").items()
    }
    shown = {metric.name.tag for metric in hparams["_hparams_/experiment"].experiment.metric_infos}
    assert shown == {"test/psnr", "test/ssim", "test/vgg_distance", "test/haarpsi", "test/gmsd", "test/temporal_error"}
    chosen = hparams["_hparams_/session_start_info"].session_start_info.hparams
    assert (chosen["loss"].string_value, chosen["epochs"].number_value, chosen["train_batch_size"].number_value) == (
        "perceptual", 2, 3
    )  # fmt: skip
    assert sorted(chosen)[:5] == ["epochs", "loss", "lr", "model", "seed"]  # the five that the tab shows at first
    scores = json.loads((finished / "run.json").read_text())["scores"]
    for tag in shown:
        assert events.Scalars(tag)[-1].value == pytest.approx(scores[tag.removeprefix("test/")])


def test_the_hyperparameters_of_a_network_that_is_not_trained_name_no_training(tmp_path):
    module, logger = SuperResolution(Bicubic(), nn.MSELoss()), TensorBoardLogger(tmp_path, default_hp_metric=False)
    config = {"optimizer": {"lr": 1e-4}, "trainer": {"max_epochs": 50}}
    module.provenance = {"model": "bicubic", "data": {"name": "generated", "batch_size": 20}, "config": config}
    score(_data(), module, _trainer(tmp_path, logger=logger, callbacks=[TensorBoardImages()]))
    content = EventAccumulator(logger.log_dir).Reload().PluginTagToContent("hparams")["_hparams_/session_start_info"]
    chosen = HParamsPluginData.FromString(content).session_start_info.hparams
    assert {name: value.string_value for name, value in chosen.items()} == {"model": "bicubic", "videos": "generated"}


@pytest.mark.parametrize("provenance", [{}, None, {"model": "mine"}, {"loss": "edge", "features": None}])
def test_the_dashboard_does_without_a_provenance(tmp_path, provenance):
    module = SuperResolution(_network(), nn.MSELoss())
    module.provenance = provenance
    logger = TensorBoardLogger(tmp_path, default_hp_metric=False)
    train(_data(), module, _trainer(tmp_path, logger=logger, callbacks=[TensorBoardImages()]))
    events = EventAccumulator(logger.log_dir).Reload()
    loss = (provenance or {}).get("loss", "the")
    assert [point.step for point in events.Scalars(f"{loss} loss/training")] == [1]
    assert events.Tags()["images"]


def test_the_frames_table_has_a_row_a_test_frame_and_the_means_of_the_run(finished):
    frames = read_frames(finished / "frames.csv")
    assert frames["video"].tolist() == [8000] * 4 + [8001] * 4
    assert frames["frame"].tolist() == 2 * list(range(2, 6))
    scores = json.loads((finished / "run.json").read_text())["scores"]
    for name in set(scores) - {"loss"}:
        assert np.nanmean(frames[name]) == pytest.approx(scores[name], rel=1e-5)


@pytest.mark.parametrize("name", ["last", "best"])
def test_checkpoints_load_safely_and_hold_no_feature_weight(finished, name):
    checkpoint = torch.load(finished / "checkpoints" / f"{name}.ckpt", weights_only=True)
    assert set(checkpoint["state_dict"]) == {f"model.{key}" for key in _network().state_dict()}
    assert checkpoint["provenance"]["data"]["name"] == "generated"
    assert checkpoint["provenance"]["features"]["name"] == "random"


def test_run_json_tells_what_the_run_was_made_from(finished):
    run = json.loads((finished / "run.json").read_text())
    assert run["status"] == "finished"
    assert (run["model"], run["loss"], run["seed"], run["epochs"]) == ("frame_fusion_fig1", "perceptual", 0, 2)
    assert set(run["scores"]) == set(TEST_SCORES)
    assert (run["features"]["name"], run["metric_features"]["name"]) == ("random", "bundled")
    assert run["data"]["checksum"]
    assert run["features"]["checksum"]
    assert run["versions"]["torch"] == version("torch")
    assert run["wall_time_s"] > 0
    assert run["tested_frames"] == 2 * 4
    assert run["config"]["loss"]["layers"] == ["relu1_1"]


def test_the_log_file_has_one_plain_line_an_epoch(finished):
    lines = (finished / "train.log").read_text().splitlines()
    epochs = [line for line in lines if " epoch " in line]
    assert [line.split(" epoch ")[1].split()[0] for line in epochs] == ["1/2", "2/2"]
    assert all("val/psnr" in line and "per epoch" in line and "\x1b" not in line for line in epochs)


def test_a_finished_job_leaves_no_videos_in_memory(vsr):
    def held():
        return {id(thing) for thing in gc.get_objects() if type(thing) is MovingMNIST}

    gc.collect()
    before = held()
    gc.disable()  # as in a short job, where Python has no reason to look for cycles
    try:
        vsr("trainer.max_epochs=1")
        assert held() <= before
    finally:
        gc.enable()


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_the_fast_trainer_trains_and_scores_in_what_the_device_is_fast_in(precision, vsr, tmp_path, monkeypatch):
    monkeypatch.setattr("vsr_lightning.utils.precision.fast_precision", lambda accelerator: precision)
    vsr("trainer=fast", "loss=perceptual", "loss.layers=[relu1_1]", "hydra.run.dir=run")
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["precision"] == run["config"]["trainer"]["precision"] == precision
    assert all(math.isfinite(score) for score in run["scores"].values())


def test_a_resumed_run_goes_on_where_the_checkpoint_stopped(finished, vsr):
    vsr("loss=perceptual", "loss.layers=[relu1_1]", "trainer.max_epochs=4",
        f"ckpt_path={finished}/checkpoints/last.ckpt", "hydra.run.dir=resumed")  # fmt: skip
    vsr("loss=perceptual", "loss.layers=[relu1_1]", "trainer.max_epochs=4", "hydra.run.dir=at_once")
    resumed, at_once = (
        torch.load(f"{name}/checkpoints/last.ckpt", weights_only=True)["state_dict"] for name in ("resumed", "at_once")
    )
    assert all(torch.equal(resumed[key], at_once[key]) for key in at_once)


def test_the_same_seed_gives_the_same_weights_and_seed_zero_counts(vsr):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        vsr(f"seed={seed}", "trainer.max_epochs=1", f"hydra.run.dir={name}")
    a, b, c = (torch.load(f"{n}/checkpoints/last.ckpt", weights_only=True)["state_dict"] for n in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a["model.head.weight"], c["model.head.weight"])


@pytest.mark.parametrize(("channels", "size", "enlarged"), [(1, 64, 128), (3, 64, 128), (3, 200, 200)])
def test_pictures_and_clips_keep_their_colours(channels, size, enlarged):
    images = torch.zeros(2, channels, size, size)
    images[:, 0] = 1  # red, or white
    color = (255, 0, 0) if channels == 3 else (255, 255, 255)
    clip = Image.open(io.BytesIO(gif(images)))
    assert (clip.size, clip.convert("RGB").getpixel((9, 9))) == ((enlarged, enlarged), color)
    picture = to_integers(grid({"truth": images}))
    assert tuple(picture[:, 9, 9].tolist()) == color
    drawn = comparison_figure({"truth": images}).axes[0].images[0]
    assert tuple(drawn.to_rgba(drawn.get_array(), bytes=True)[9, 9, :3].tolist()) == color
