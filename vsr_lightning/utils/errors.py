"""The exceptions that end a run, and what the user reads of an error: one line. No PyTorch here."""

import difflib
import errno
import re
import signal

from hydra.errors import ConfigCompositionException, HydraException, InstantiationException
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError, InterpolationResolutionError, MissingMandatoryValue

from vsr_lightning.utils.config import CONF

ERROR_FILE = "error.txt"
UNWRITABLE = (errno.EACCES, errno.EEXIST, errno.EROFS, errno.ENOTDIR, errno.ENOSPC, errno.EFBIG)


class RefusedError(ValueError):
    """The command does not belong to the run in its folder, in which nothing is changed."""


class FolderInUseError(RefusedError):
    """Two processes would write into one run's folder."""


class Interrupted(BaseException):
    """A signal asked the run to stop; what it needs to go on is saved.

    Args:
        signum: the signal, SIGINT or SIGTERM.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum


class ProcessFailedError(RuntimeError):
    """A process of a job failed; its traceback is in the job's ``error.txt``."""


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
