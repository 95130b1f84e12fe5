"""Errors of one line, with the traceback in the run's folder."""

import contextlib
import difflib
import errno
import functools
import logging
import os
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, InterpolationResolutionError, MissingMandatoryValue

from vsr_lightning.config import CONF

log = logging.getLogger(__name__)
ERROR_FILE = "error.txt"
UNWRITABLE = (errno.EACCES, errno.EEXIST, errno.EROFS, errno.ENOTDIR, errno.ENOSPC, errno.EFBIG)


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


def one_line(error: BaseException, config: str = "train") -> str:
    """Return what the user of ``conf/CONFIG.yaml`` has to know of an error, in one line."""
    if isinstance(error, InstantiationException) and error.__cause__:
        error = error.__cause__
    if isinstance(error, InterpolationResolutionError) and (
        found := re.match(r"ValueError raised while resolving interpolation: (.+)$", str(error), re.MULTILINE)
    ):
        return found[1]
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        choice = "output" if config == "predict" else "hydra.run.dir or hydra.sweep.dir"
        return (
            f"can't write {error.filename or ''} ({error.strerror}): make room, or choose another folder with {choice}"
        )
    if isinstance(error, ConfigCompositionException) and (
        found := re.match(r"Could not override '(.+)'\.", str(error))
    ):
        return _unknown_key(found[1], error.__cause__, config)
    if found := re.search(r"Could not find 'hydra/launcher/(joblib|submitit_\w+|ray)'", str(error)):
        return f'hydra/launcher needs a package more: pip install "vsr_lightning[{found[1].split("_")[0]}]"'
    # PyTorch's own class goes by its name, to import no PyTorch here
    if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error):
        choice = "lower tile or clip_frames" if config == "predict" else "lower data.batch_size, or take trainer=fast"
        return f"out of memory: {choice} ({str(error).split('. ')[0].strip()})"
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}= is missing: give it on the command line"
    in_worker = r"Caught ValueError in DataLoader.*^ValueError: (.+)"  # PyTorch puts a worker's traceback before it
    if found := re.match(in_worker, str(error), re.MULTILINE | re.DOTALL):
        return " ".join(found[1].split())
    understood = (ValueError, OSError, ArithmeticError, HydraException)
    kind = "" if isinstance(error, understood) else f"{type(error).__name__}: "
    return kind + " ".join(str(error).split("Config search path:")[0].split())


def _unknown_key(full_key: str, error: BaseException | None, config: str) -> str:
    cfg = OmegaConf.load(CONF / f"{config}.yaml")
    groups = [group for entry in cfg.defaults if not isinstance(entry, str) for group in entry if " " not in group]
    top = list(dict.fromkeys([*groups, *(str(key) for key in cfg if key != "defaults")]))
    *parents, key = full_key.split(".")
    if isinstance(error, ConfigAttributeError) and error.parent_node is not None and parents:
        beside = [str(name) for name in error.parent_node if not str(name).startswith("_")]
    else:
        beside, key = top, full_key.split(".")[0]
    if close := difflib.get_close_matches(key, beside, n=1):
        hint = f"did you mean {close[0]}?"
    elif key in top:
        hint = f"what was chosen there does not have it; {key}= stands at the top"
    else:
        hint = f"choose among {', '.join(beside) or 'none'}"
    return f"there is no key {full_key}: {hint}"
