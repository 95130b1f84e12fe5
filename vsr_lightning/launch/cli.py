"""Errors of one line, with the traceback in the run's folder."""

import contextlib
import functools
import logging
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vsr_lightning.utils.errors import ERROR_FILE, one_line

log = logging.getLogger(__name__)


def run_cli(main: Callable[[], None], config: str = "train") -> None:
    """Call Hydra's main function, whose config is ``conf/CONFIG.yaml``.

    It ends in one line where it fails, with frames if ``HYDRA_FULL_ERROR=1``.
    """
    full = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing, so that the decision is made here
    if rank() > 0:
        _leave_files_to_the_first()
    try:
        main()
    except SystemExit as end:
        if full and end.__cause__:
            raise end.__cause__ from None
        raise
    except Exception as error:
        if full:
            raise
        sys.exit(f"error: {one_line(error, config)}")


def rank() -> int:
    """Return which of the processes this is that torchrun or srun started; 0 if it is the only one."""
    names = ("RANK", "LOCAL_RANK", *(("SLURM_PROCID",) if int(os.environ.get("SLURM_NTASKS", "1")) > 1 else ()))
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)


def _leave_files_to_the_first() -> None:
    """Give Hydra a folder of no account, and no log file: the first process writes for all."""
    ours = ["hydra.output_subdir=null", "hydra/job_logging=console"]
    if not any(entry.startswith(("hydra.run.dir=", "resume=")) for entry in sys.argv):
        ours.append(f"hydra.run.dir={tempfile.mkdtemp(prefix='vsr_lightning_')}")
    sys.argv += ours


def record_errors(job: Callable[[DictConfig], None]) -> Callable[[DictConfig], None]:
    """Write a failing job's traceback into its folder at once; in a sweep, let the other jobs go on."""

    @functools.wraps(job)
    def wrapped(cfg: DictConfig) -> None:
        try:
            job(cfg)
        except KeyboardInterrupt:
            raise SystemExit(_stopped(cfg, signal.SIGINT)) from None
        except SystemExit as end:
            if isinstance(end.__context__, KeyboardInterrupt):  # Lightning's way to end on Ctrl-C
                raise SystemExit(_stopped(cfg, signal.SIGINT)) from None
            raise
        except BaseException as error:
            if signum := getattr(error, "signum", None):  # Interrupted, named so to import no PyTorch here
                raise SystemExit(_stopped(cfg, signum)) from None
            hydra = HydraConfig.get()
            path = Path(hydra.runtime.output_dir) / ERROR_FILE
            with contextlib.suppress(OSError):  # the folder may be what failed
                # the one has left its own traceback there, the other has no business there
                if type(error).__name__ not in ("ProcessFailedError", "FolderInUseError"):
                    path.write_text(traceback.format_exc(), encoding="utf-8")
            if cfg.full_traceback:
                traceback.print_exc()
            message = f"{one_line(error)} (traceback: {path})"
            if hydra.mode == RunMode.MULTIRUN and "score_table" in (hydra.callbacks or {}):
                log.error(message)  # the table at the end of the sweep counts the failures and sets the exit code
            else:
                raise SystemExit(f"error: {message}") from error

    return wrapped


def _stopped(cfg: DictConfig, signum: int) -> int:
    """Say how to go on after a signal; return the exit code that shells expect."""
    hydra = HydraConfig.get()
    folder = hydra.sweep.dir if hydra.mode == RunMode.MULTIRUN else hydra.runtime.output_dir
    hint = f": the same command with resume={folder} goes on" if "resume" in cfg else ""
    print(f"\nstopped by {signal.Signals(signum).name}{hint}", file=sys.stderr, flush=True)
    return 128 + signum


class ConsoleHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever ``sys.stdout`` is at the moment: the progress bar redirects it to print above itself."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self):  # type: ignore[no-untyped-def,override]
        return sys.stdout
