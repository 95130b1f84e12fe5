"""The command ``predict`` on films: time beside the network's own, half precision, and memory."""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.measure import DEVICE, side_by_side
from benchmarks.rows import Row, faster, slower
from vsr_lightning.inference import write_video
from vsr_lightning.inference.predict_video import predict_video
from vsr_lightning.inference.super_resolve import super_resolve
from vsr_lightning.metrics import frame_scores
from vsr_lightning.models import ResidualFusion
from vsr_lightning.runs.trained import load_run
from vsr_lightning.utils.config import CONF
from vsr_lightning.utils.precision import DTYPES, FULL, HALF, fast_precision

FRAMES, MANY = 10, 8  # of a film, and of the large one, as many as the encoder has in work
ROUNDS = 2  # of many seconds each
ALLOWED, GB = 1.5, 1e9
LOOK = 0.1  # seconds between looks at the memory
TRAINED = Path("docs/runs/findings/natural_x4/start/residual_fusion_small_seed0")


def benchmark(repeats: int) -> Iterator[Row]:
    """Measure ``residual_fusion`` in RGB at scale 2, from 960x540 and from 1920x1080, from film to film."""
    network = ResidualFusion(channels=3).eval().requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run = leave(network, root / "run")
        film = write_film(root / "540.mp4", FRAMES, 540, 960)
        names = (root / f"{number}.mp4" for number in count())
        fast = fast_precision(DEVICE.type)
        candidates: dict[str, Callable[[], object]] = {"bare": bare(network, 540, 960)}
        candidates |= {it: partial(predicted, run, film, names, it) for it in dict.fromkeys((FULL, fast))}
        seconds = side_by_side(candidates, min(repeats, ROUNDS))
        each = {name: seconds[name] / (1 if name == "bare" else FRAMES) for name in seconds}
        what = "predict, 960x540 to 1920x1080, a frame"
        yield slower(f"{what} over the network on a whole frame", each[FULL], each["bare"], "bare network", 1.15)
        if fast != FULL:
            yield faster(f"{what} in {fast}", 1 / each[fast], 1 / each[FULL], "frames/s", f"in {FULL}", 1.6)
        yield loss_of_half()
        if sys.platform == "linux":
            used = peak_of_command(run, write_film(root / "1080.mp4", MANY, 1080, 1920), root / "2160.mp4") / GB
            what = "predict, 1920x1080 to 3840x2160: memory of the whole process"
            yield Row(what, used / ALLOWED, f"{used:.3g} GB", f"{ALLOWED} GB", target=1, at_most=True)


def write_film(path: Path, frames: int, height: int, width: int) -> Path:
    """Write a film of a camera that moves over a photograph."""
    photograph = Image.fromarray(load_sample_images().images[0]).resize((width + 64, height + 64))
    pixels = np.asarray(photograph)
    write_video(path, (pixels[it : it + height, 2 * it : 2 * it + width] for it in range(frames)), 25)
    return path


def leave(network: ResidualFusion, run: Path) -> Path:
    """Leave a network as its training would."""
    settings = {"_target_": "vsr_lightning.models.ResidualFusion", "channels": network.channels}
    data = {"degradation": {"_target_": "vsr_lightning.degradation.Degradation"}}
    record = {"model": "residual_fusion", "loss": "mse", "data": {"frames": 5}}
    (run / "checkpoints").mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({**record, "config": {"model": settings, "data": data}}))
    weights = {f"model.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": weights, "epoch": 0}, run / "checkpoints" / "last.ckpt")
    return run


def bare(network: ResidualFusion, height: int, width: int) -> Callable[[], object]:
    """Return the network's own forward pass: whole frames, inference mode, channels last."""
    window = torch.rand(1, 5, 3, height, width, device=DEVICE)
    fastest = network.to(DEVICE).to(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.inference_mode():
            fastest(window)

    return forward


def predicted(run: Path, film: Path, names: Iterator[Path], precision: str) -> None:
    """Super-resolve a film, as the command does."""
    words = [f"run={run}", f"input={film}", f"output={next(names)}", f"precision={precision}"]
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        cfg = compose("predict", [*words, "temporal_padding=replicate"])
    predict_video(cfg)


def loss_of_half() -> Row:
    """Compare what a trained network scores in half precision and in float32 on a photograph, sharp before."""
    trained = load_run(TRAINED)
    photograph = torch.from_numpy(load_sample_images().images[1][:424, :640].copy()).movedim(-1, 0) / 255
    sharp = torch.stack([photograph[:, it : 416 + it, it : 632 + it] for it in range(7)])
    low_res = instantiate(trained.config.data.degradation)(sharp[None], torch.tensor([0.5]))[0]
    scores = {}
    for precision in (FULL, HALF):
        frames = torch.stack([*super_resolve(trained.network(), low_res, dtype=DTYPES[precision])])
        scores[precision] = float(frame_scores(frames, sharp[2:-2])["psnr"].mean())
    what = f"a trained network in {HALF}: PSNR of its frames differs by so many dB"
    ours, against = (f"{scores[it]:.4f} dB in {it}" for it in (HALF, FULL))
    return Row(what, abs(scores[HALF] - scores[FULL]), ours, against, target=0.05, at_most=True)


def peak_of_command(run: Path, film: Path, output: Path) -> int:
    """Return the most bytes that the command held at once, all of Python with it (Linux)."""
    words = [f"run={run}", f"input={film}", f"output={output}", "temporal_padding=replicate"]
    command = subprocess.Popen([sys.executable, "-m", "vsr_lightning.predict", *words], stdout=subprocess.DEVNULL)
    told, peak = Path(f"/proc/{command.pid}/status"), 0
    while command.poll() is None:
        if found := re.search(r"VmHWM:\s*(\d+) kB", told.read_text(encoding="utf-8")):
            peak = 1024 * int(found[1])
        time.sleep(LOOK)
    if command.returncode:
        raise RuntimeError("predict failed, see above")
    return peak
