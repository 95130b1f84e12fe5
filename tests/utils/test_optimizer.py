import json
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, StepLR

from tests.support import TINY
from vsr_lightning.callbacks.stop_on_nan import StopOnNaN
from vsr_lightning.utils.optimizer import leave_frozen, make_optimizer, parameter_groups, total_steps, warmup_cosine

DATA = [item for item in TINY if not item.startswith("model")]
CLIPS = ("model=recurrent", "model.width=4", "model.blocks=1", "data.clip_frames=3", "data.clip_batch_size=2")


@pytest.mark.parametrize(("total", "warmup"), [(100, 0.1), (50, 0), (7, 0.5)])
def test_the_rate_rises_along_a_line_and_falls_along_half_a_cosine(total, warmup):
    layer = nn.Linear(1, 1)
    optimizer = torch.optim.SGD([{"params": [layer.weight]}, {"params": [layer.bias], "lr": 0.1}], lr=2.0)
    schedule, rising = warmup_cosine(optimizer, total, warmup), round(total * warmup)
    for step in range(total):
        up = 0.01 + 0.99 * step / rising if rising else 1
        down = (1 + math.cos(math.pi * (step - rising) / (total - rising))) / 2
        factor = up if step < rising else down
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([2 * factor, 0.1 * factor], abs=1e-6)
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("warmup", [-0.1, 1])
def test_a_warmup_out_of_range_is_one_line(warmup):
    with pytest.raises(ValueError, match=rf"scheduler\.warmup={warmup} is out of range"):
        warmup_cosine(torch.optim.SGD([nn.Parameter(torch.zeros(1))]), 10, warmup)


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        (warmup_cosine, {"interval": "step"}),
        (partial(OneCycleLR, max_lr=1.0), {"interval": "step"}),
        (partial(StepLR, step_size=3), {}),
        ({"scheduler": partial(StepLR, step_size=3), "interval": "step"}, {"interval": "step"}),
    ],
)
def test_schedules_say_when_they_are_stepped(scheduler, expected):
    layer = nn.Linear(1, 1)
    trainer = SimpleNamespace(
        max_epochs=2, max_steps=-1, limit_train_batches=1.0, accumulate_grad_batches=1,
        datamodule=SimpleNamespace(train_dataloader=lambda: range(5)),
    )  # fmt: skip
    _, (how,) = make_optimizer(layer.parameters(), torch.optim.Adam, scheduler, partial(total_steps, trainer))
    assert isinstance(how.pop("scheduler"), LRScheduler)
    assert how == expected


def test_a_schedule_without_its_keys_is_one_line():
    with pytest.raises(ValueError, match="the scheduler can't be made"):
        make_optimizer([nn.Parameter(torch.zeros(1))], torch.optim.SGD, {"interval": "step"}, None)


def test_a_run_steps_its_schedule_at_every_step(vsr, tmp_path):
    vsr("scheduler=warmup_cosine", "scheduler.warmup=0.5", "optimizer.lr=1", "logger=csv", "hydra.run.dir=run")
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "finished"
    checkpoint = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["lr_schedulers"][0]["last_epoch"] == checkpoint["global_step"] == 4
    assert checkpoint["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(0, abs=1e-6)


def test_groups_hold_each_parameter_once_and_take_their_own_keys():
    network = nn.ModuleDict({"flow": nn.Linear(2, 3), "flower": nn.Linear(3, 2), "rest": nn.Linear(1, 1)})
    groups = parameter_groups(network, {"flow": {"lr": 0.5}, "rest.bias": {"weight_decay": 0.0}})
    optimizer = torch.optim.AdamW(groups, lr=1.0)
    sizes = [[tuple(parameter.shape) for parameter in group["params"]] for group in optimizer.param_groups]
    assert sizes == [[(2, 3), (2,), (1, 1)], [(3, 2), (3,)], [(1,)]]
    assert [group["lr"] for group in optimizer.param_groups] == [1, 0.5, 1]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.01, 0]
    # none that the network as a whole or a discriminator has in charts
    assert [group.get("name") for group in groups] == [None, "network.flow", "network.rest.bias"]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("{flux: {lr: 1}}", "flux is no part of the network, or in another's: choose among flow, backward_trunk"),
        ("{flow: {lr: 1}, flow.levels: {lr: 2}}", "flow.levels is no part of the network, or in another's"),
        ("{flow: {frozen_steps: some}}", "flow.frozen_steps=some: choose a whole number"),
        ("{flow: {frozen_steps: -1}}", "flow.frozen_steps=-1: choose a whole number"),
    ],
)
def test_groups_that_make_no_sense_are_one_line(groups, message, vsr):
    with pytest.raises(SystemExit, match=rf"module\.parameter_groups\.{message}"):
        vsr(*DATA, *CLIPS, f"module.parameter_groups={groups}", tiny=False)


def test_a_part_is_frozen_at_first_and_then_trains_at_its_own_rate(vsr, tmp_path):
    def flow(*overrides):
        frozen = "module.parameter_groups={flow: {frozen_steps: 3, lr: 1e-5}}"
        vsr(*DATA, *CLIPS, frozen, "trainer.max_epochs=1", *overrides, tiny=False)
        state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        return {name: value for name, value in state.items() if name.startswith("model.flow")}

    start = flow("optimizer.lr=0", "hydra.run.dir=run", "module.parameter_groups={flow: {lr: 0}}")
    for steps, changes in ((3, False), (4, True)):
        (tmp_path / "run").rename(tmp_path / f"before_{steps}")
        trained = flow("hydra.run.dir=run", "data.train_videos=8", f"trainer.limit_train_batches={steps}")
        largest = max(float((trained[name] - start[name]).abs().max()) for name in start)
        assert largest <= 1.01e-5  # Adam's first step is its rate, less where gradients are tiny
        assert changes == (largest > 0)
    log = (tmp_path / "run/train.log").read_text()
    assert all(name in log for name in ("lr-Adam/network.flow ", "lr-Adam/network "))


def test_only_frozen_groups_lose_their_gradients():
    one, other = (nn.Parameter(torch.ones(1)) for _ in range(2))
    optimizer = torch.optim.Adam([{"params": [one]}, {"params": [other], "frozen_steps": 2}])
    for step, expected in ((0, False), (1, False), (2, True)):
        (one * other).backward()
        leave_frozen(optimizer, step)
        assert (one.grad is not None, other.grad is not None) == (True, expected)


@pytest.mark.parametrize(
    "keys",
    [
        (),
        ("trainer.limit_train_batches=3",),
        ("trainer.limit_train_batches=0.6", "trainer.max_epochs=3"),
        ("trainer.accumulate_grad_batches=2",),
        ("trainer.max_steps=3",),
        ("trainer.max_epochs=null", "trainer.max_steps=3"),
        ("debug=one_batch",),
        ("debug=limit",),
    ],
)
def test_the_steps_of_a_training_are_those_that_lightning_counts(keys, vsr, monkeypatch):
    asked = []

    def both(self, trainer, module):
        asked.append((total_steps(trainer), int(trainer.estimated_stepping_batches)))

    monkeypatch.setattr(StopOnNaN, "on_train_start", both, raising=False)
    vsr("data.train_videos=15", *keys)
    ((ours, lightnings),) = asked
    assert ours == lightnings > 0


def test_a_schedule_over_an_endless_training_is_one_line(vsr):
    with pytest.raises(SystemExit, match=r"the scheduler needs the length of the training: set trainer\.max_epochs"):
        vsr("scheduler=warmup_cosine", "trainer.max_epochs=null", "trainer.max_time=00:00:00:01")


def test_a_key_that_the_optimizer_does_not_have_is_one_line():
    layer = nn.Linear(1, 1)
    groups = [{"params": [layer.weight]}, {"params": [layer.bias], "frozen_step": 3}]
    with pytest.raises(ValueError, match="frozen_step is no key of the optimizer's groups of parameters: choose of lr"):
        make_optimizer(groups, torch.optim.Adam, None, lambda: 1)


@pytest.mark.parametrize(("rates", "fits"), [([1e-3, 1e-4], False), ([1e-3, 1e-3], True)])
def test_a_schedule_that_overwrites_the_groups_rates_is_one_line(rates, fits):
    layer = nn.Linear(1, 1)
    groups = [{"params": [value], "lr": rate} for value, rate in zip(layer.parameters(), rates, strict=True)]
    one_rate, each = partial(OneCycleLR, max_lr=0.1), partial(OneCycleLR, max_lr=[0.1, 0.2])
    made, _ = make_optimizer([dict(group) for group in groups], torch.optim.Adam, each, lambda: 10)
    assert [group["max_lr"] for group in made[0].param_groups] == [0.1, 0.2]
    if fits:
        make_optimizer(groups, torch.optim.Adam, one_rate, lambda: 10)
    else:
        with pytest.raises(ValueError, match="sets one rate for all groups of parameters: give it a list"):
            make_optimizer(groups, torch.optim.Adam, one_rate, lambda: 10)


def test_a_schedule_that_knows_its_length_is_not_told_another():
    def asked():
        raise AssertionError

    own = {"scheduler": partial(warmup_cosine, total_steps=7), "interval": "epoch"}
    _, (how,) = make_optimizer(nn.Linear(1, 1).parameters(), torch.optim.Adam, own, asked)
    assert how["interval"] == "epoch"


def test_an_error_of_the_data_is_not_laid_on_the_schedule():
    def steps():
        raise ValueError("7 windows in batches of 2 leave some devices nothing to do")

    with pytest.raises(ValueError, match=r"^7 windows"):
        make_optimizer(nn.Linear(1, 1).parameters(), torch.optim.Adam, warmup_cosine, steps)
