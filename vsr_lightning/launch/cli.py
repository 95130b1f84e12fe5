"""Run a command: errors end in one line, with the traceback in the run's folder."""

import contextlib
import functools
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vsr_lightning.launch.arguments import Arguments
from vsr_lightning.launch.folders import SWEEP_FILE, claim
from vsr_lightning.utils.errors import ERROR_FILE, Interrupted, ProcessFailedError, RefusedError, one_line
from vsr_lightning.utils.files import write_bytes

log = logging.getLogger(__name__)


def run_cli(main: Callable[[], None], config: str = "train") -> None:
    """Call Hydra's main function of ``conf/CONFIG.yaml``; errors end in one line, unless ``HYDRA_FULL_ERROR=1``."""
    full = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing, so that the decision is made here
    print_any_character()
    try:
        arguments = Arguments.parse(sys.argv[1:], config)
        resumed = arguments.resume()
        if rank() > 0:
            arguments.leave_files_to_the_first()
        sys.argv[1:] = arguments.flags + arguments.overrides
        with contextlib.ExitStack() as stack:
            if resumed and (file := resumed / SWEEP_FILE).exists() and (content := file.read_bytes()):
                stack.callback(write_bytes, file, content)  # it stays what was started, whatever command resumes it
            main()
    except SystemExit as end:
        if full and end.__cause__:
            raise end.__cause__ from None
        raise
    except Exception as error:
        if full:
            raise
        sys.exit(f"error: {one_line(error, config)}")


def print_any_character() -> None:
    """Let ``sys.stdout`` show a question mark for what its encoding lacks, where it would end the program."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def rank() -> int:
    """Return the number of this process among those that torchrun or srun started; 0 if it is the only one."""
    names = ("RANK", "LOCAL_RANK", *(("SLURM_PROCID",) if int(os.environ.get("SLURM_NTASKS", "1")) > 1 else ()))
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)


def record_errors(job: Callable[[DictConfig], None]) -> Callable[[DictConfig], None]:
    """Claim the job's folder, and write the traceback there if the job fails; a sweep goes on with its next job."""

    @functools.wraps(job)
    def wrapped(cfg: DictConfig) -> None:
        print_any_character()  # also in the processes of other launchers
        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        goes_on = hydra.mode == RunMode.MULTIRUN and "score_table" in (hydra.callbacks or {})
        try:
            if rank() == 0:
                claim(folder, cfg)
            job(cfg)
        except (KeyboardInterrupt, Interrupted, SystemExit) as end:
            stop = end.__context__ if isinstance(end, SystemExit) else end  # Lightning exits on Ctrl-C
            if not isinstance(stop, KeyboardInterrupt | Interrupted):
                raise
            raise SystemExit(_stopped(cfg, stop)) from None
        except BaseException as error:
            refused = isinstance(error, RefusedError)
            path = folder.with_name(f"{folder.name}.{ERROR_FILE}") if refused else folder / ERROR_FILE
            text = error.traceback if isinstance(error, ProcessFailedError) else traceback.format_exc()
            if cfg.full_traceback:
                print(text, file=sys.stderr)
            message = one_line(error)
            if goes_on or not refused:  # the sweep's table counts these files, and sets the exit code
                message += f" (traceback: {path})"
                with contextlib.suppress(OSError):  # the folder may be what failed
                    path.write_text(text, encoding="utf-8")
            if not goes_on:
                raise SystemExit(f"error: {message}") from error
            if refused:
                print(f"ERROR {message}", file=sys.stderr)  # the log is a file in the folder
            else:
                log.error(message)

    return wrapped


def _stopped(cfg: DictConfig, stop: BaseException) -> int:
    """Print how to go on after a signal; return the exit code that shells expect."""
    signum = stop.signum if isinstance(stop, Interrupted) else signal.SIGINT
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
