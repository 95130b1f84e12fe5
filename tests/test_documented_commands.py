"""Every command in the README and the pages runs, on little of everything."""

import os
import shutil
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.test_frame_folders import write_clip
from tests.models.test_models import published_checkpoint
from tests.test_docs import HYDRA, PAGES, commands, composed, overrides_of
from vsr_lightning.inference import write_video
from vsr_lightning.launch.cli import run_cli
from vsr_lightning.losses.vgg import BUNDLED

pytestmark = pytest.mark.slow
ELSEWHERE = ("trainer=ddp", "hydra/launcher=")  # tests/launch starts several processes and other launchers
SHRUNK = ("data.root", "data.source", "data.test_videos", "data.val_videos", "hydra.run.dir", "hydra.sweep.dir",
          "optimizer.lr", "seed", "trainer.limit_train_batches", "trainer.max_epochs", "trainer.precision")  # fmt: skip


def _distinct():
    """Return the commands of all pages, of those that differ in what is shrunk here only one."""
    found = {}
    for page in PAGES:
        if page.name == "extending.md":  # tests/test_extending.py does what that page says
            continue
        for command, words in commands(page):
            if not any(word.startswith(ELSEWHERE) for word in words):
                last = {key: values[-1] for key, values in overrides_of(words).items() if key not in SHRUNK}
                if "experiment" in last:
                    last.pop("loss", None)
                flags = [word for word in words if "=" not in word]
                found.setdefault((command, *flags, *sorted(last.items())), (command, *words))
    return sorted(found.values())


LITTLE = {
    "train": ["trainer.accelerator=cpu", "data.train_videos=6", "data.test_videos=2", "data.batch_size=3",
              "trainer.limit_train_batches=1", "trainer.limit_val_batches=1"],
    "evaluate": ["trainer.accelerator=cpu", "data.test_videos=2"],
    "pretrain": ["data.train_frames=64", "data.val_frames=32", "data.test_frames=32", "width=0.0625",
                 "trainer.max_epochs=1", "trainer.accelerator=cpu"],
    "preferences": ["frames=4"],
    "predict": ["device=cpu"],
}  # fmt: skip
SMALL = {
    "FrameFusion": ["model.widths=[2,1]", "model.pools=[true,false]"],
    "ResidualFusion": ["model.width=8", "model.blocks=1"],
    "TemporalShift": ["model.width=8", "model.blocks=1", "data.clip_frames=6", "data.clip_batch_size=2"],
    "Recurrent": ["model.width=8", "model.blocks=1", "data.clip_frames=6", "data.clip_batch_size=2"],
}


def run(command, *words):
    module = import_module(f"vsr_lightning.{command}")
    with pytest.MonkeyPatch.context() as context:
        context.setattr(sys, "argv", [command, *words])
        context.delenv("HYDRA_FULL_ERROR", raising=False)
        if command in HYDRA:
            run_cli(module.main, command)
        else:
            module.main()
        context.delenv("HYDRA_FULL_ERROR", raising=False)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A folder with all that the pages' commands name: runs, sweeps, sets of videos, single videos, weights."""
    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as context:
        context.chdir(root)
        run("train", "loss=mse", *_little("train", []), "hydra.run.dir=RUN")
        shutil.copy(BUNDLED, "RUN/digits.safetensors")
        for sweep in ("SWEEP", "OTHER"):
            shutil.copytree("RUN", f"{sweep}/0_frame_fusion_fig1_mse_seed0")
        shutil.copytree("RUN", "OTHER", dirs_exist_ok=True)
        run("evaluate", "run=RUN", *LITTLE["evaluate"], "hydra.run.dir=runs/judged/0")
        run("train", "experiment=residual_fusion", *_little("train", ["experiment=residual_fusion"]),
            "hydra.run.dir=runs/targets/residual_fusion")  # fmt: skip
        shutil.copytree("runs/targets/residual_fusion", "runs/targets/residual_fusion_deep")
        for clip in ("000", "001", "011", "015", "020"):
            write_clip(root / "REDS" / "train_sharp" / clip, 6)
        for part in ("train", "test"):
            write_clip(root / "VIMEO" / "sequences" / "00001" / part, 7, name="im{}.png", first=1)
            Path(f"VIMEO/sep_{part}list.txt").write_text(f"00001/{part}\n")
        np.save("my.npy", rng.integers(0, 256, (8, 20, 64, 64), np.uint8))
        for name in ("video.npy", "video.mp4", "video.gif", "frames"):
            write_video(Path(name), rng.integers(0, 256, (6, 32, 32), np.uint8), 10)
        for name in ("bikes", "bigbuckbunny", "carphone_pristine"):
            write_video(Path(f"clips/{name}.mp4"), rng.integers(0, 256, (15, 64, 64), np.uint8), 10)
        shutil.copytree("clips", "first")
        for name, root_of in {"digits_x4": (), "temporal_shift": (), "natural_x4": ("data.root=clips",)}.items():
            run("train", f"experiment={name}", *root_of, *_little("train", [f"experiment={name}"]),
                f"hydra.run.dir=runs/training/{name}")  # fmt: skip
        torch.save(published_checkpoint(30, mmediting=False), "BasicVSR_REDS4.pth")
    return root


@pytest.mark.parametrize("command", _distinct(), ids=" ".join)
def test_every_documented_command_runs(world, command, tmp_path, monkeypatch, request):
    if command[0] == "train":
        request.getfixturevalue("no_report")  # the command that makes one is among these
    monkeypatch.chdir(tmp_path)
    for path in world.iterdir():
        if path.name != "runs":
            os.symlink(path, path.name)
    Path("runs").mkdir()
    for folder in ("judged", "targets", "training"):
        os.symlink(world / "runs" / folder, f"runs/{folder}")
    name, *words = command
    if name not in HYDRA or "--cfg" in words:
        run(name, *words)
        return
    folder, where = "made", "hydra.sweep.dir" if "-m" in words else "hydra.run.dir"
    flags = [word for word in words if word.startswith("-")]
    kept = [f"{key}={values[-1]}" for key, values in overrides_of(words).items() if key not in (where, "resume")]
    little = [*kept, *_little(name, kept)]
    if name == "predict":
        run(name, *little)
        assert Path(next(word for word in words if word.startswith("output=")).removeprefix("output=")).exists()
        return
    run(name, *flags, *little, f"{where}={folder}")
    if any(word.startswith("resume=") for word in words):
        run(name, *flags, *little, f"resume={folder}")
    assert list(Path(folder).rglob("*.json")) or list(Path(folder).rglob("*.md"))


def _little(command, given):
    """Return the overrides that make a command take seconds."""
    little = list(LITTLE[command])
    keys = {word.partition("=")[0]: word.partition("=")[2] for word in given}
    if command == "train":
        little += ["data.val_videos=2"] if "data.val_videos" in keys else []
        little.append(f"trainer.max_epochs={2 if 'ckpt_path' in keys else 1}")
        if not {"model", "experiment"} & {*keys}:
            given = [*given, "model=frame_fusion_fig1"]
            little.append("model=frame_fusion_fig1")
        groups = tuple(word for word in given if word.startswith(("model=", "experiment=")))
        config = composed("train", groups)
        little += SMALL[config.model._target_.rpartition(".")[2]]
        features = keys.get("features", config.features)
        little += ["features=random"] if features in ("auto", "bundled", "imagenet") else []
    if keys.get("experiment", "").startswith("natural"):
        little = [item for item in little if not item.startswith(("data.train_videos", "data.test_videos"))]
        return [*little, "data.crop=16", "data.windows_per_clip=1", "data.cache=null", "data.clip_frames=5"]
    if keys.get("data") == "frames":
        little += ["data.crop=16", "data.num_workers=0", "data.train_videos=1", "data.test_videos=1"]
    elif keys.get("data") == "videos":
        little = [item for item in little if not item.startswith(("data.train_videos", "data.test_videos"))]
        little += ["data.crop=16", "data.windows_per_clip=1", "data.cache=null"]
    elif "data.source" in keys or (command == "train" and "data" not in keys):
        little.append("data.source=generated")
    return little
