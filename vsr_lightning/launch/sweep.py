"""Around a sweep: a folder of its own before it; after it bicubic, one table, and an exit code that counts failures."""

import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from vsr_lightning.launch.folders import refuse_reuse
from vsr_lightning.utils.config import CONF
from vsr_lightning.utils.errors import ERROR_FILE, one_line


class SweepFolder(Callback):
    """Hydra callback that refuses a sweep in a folder where something was started already."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        subdir = Path(OmegaConf.to_container(config.hydra.sweep)["subdir"])  # type: ignore[call-overload,index,arg-type]
        try:
            if subdir.is_absolute() or ".." in subdir.parts:
                raise ValueError(f"hydra.sweep.subdir={subdir} leads out of the sweep's folder: choose a name in it")
            refuse_reuse(folder, config)
        except ValueError as error:  # Hydra would turn it into a warning
            sys.exit(f"error: {error}")
        for path in folder.glob(f"*.{ERROR_FILE}"):
            path.unlink()  # of an earlier start


class ScoreTable(SweepFolder):
    """Hydra callback that also ends a sweep with its table."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            finish_sweep(Path(config.hydra.sweep.dir).absolute())
        except Exception as error:  # Hydra would turn it into a warning and exit with 0
            sys.exit(f"error: the sweep's table can't be made: {one_line(error)}")


def finish_sweep(folder: Path) -> None:
    """Score bicubic on each test set of the sweep, print and save the table; exit with 1 if a job failed."""
    from vsr_lightning.reporting import REPORT_FOLDER
    from vsr_lightning.reporting.clip_table import write_clip_table
    from vsr_lightning.reporting.report import write_report
    from vsr_lightning.reporting.score_table import write_table
    from vsr_lightning.runs.read_record import read_runs

    score_bicubic(folder)
    for path, record in read_runs(folder):
        write_clip_table(path, record)
    print(f"\n{write_table(folder)}")
    print(f"runs:      {folder}\ntable:     {folder / 'scores.md'} and scores.csv")
    try:
        print(f"report:    {write_report([folder], folder / REPORT_FOLDER)}")
    except Exception as error:  # the scores are there anyhow
        print(f"report:    none ({one_line(error)}); try python -m vsr_lightning.report {folder}")
    print(f"dashboard: {sys.executable} -m tensorboard.main --logdir {folder}")
    failed = [path.parent.name for path in folder.glob(f"*/{ERROR_FILE}")]
    failed += [path.name.removesuffix(f".{ERROR_FILE}") for path in folder.glob(f"*.{ERROR_FILE}")]  # refused ones
    if failed:
        sys.exit(f"error: {len(failed)} of the jobs failed: {', '.join(sorted(failed))}; the files error.txt say why")


def score_bicubic(folder: Path) -> None:
    """Run ``model=bicubic`` once for each test set that the sweep's other runs were scored on."""
    from vsr_lightning.experiment import Job, last_config, run_job
    from vsr_lightning.runs.comparable import test_key, trained
    from vsr_lightning.runs.read_record import RUN_FILE, read_runs

    runs = [(path, record) for path, record in read_runs(folder) if record["status"] == "finished"]
    done = [test_key(record) for _, record in runs if not trained(record)]
    for path, record in runs:
        if test_key(record) in done:
            continue
        done.append(test_key(record))
        place = folder / ("bicubic" if len(done) == 1 else f"bicubic_{len(done)}")
        place.mkdir(exist_ok=True)
        cfg = last_config(path)
        assert isinstance(cfg, DictConfig)
        cfg.update(model=OmegaConf.load(CONF / "model/bicubic.yaml"), loss=OmegaConf.load(CONF / "loss/mse.yaml"))
        cfg.update(ckpt_path=None, init_from=None, resume=str(place) if (place / RUN_FILE).exists() else None)
        cfg.output_dir = str(place)
        cfg.model.takes = record["data"]["takes"]
        cfg.trainer.update(devices=1, num_nodes=1, strategy="auto")  # it runs in this process
        run_job(cfg, Job(place, model="bicubic", loss="", sweep=True))
