"""The exceptions that end a run, and what the user reads of an error: one line. No PyTorch here."""

import difflib
import errno
import re
import signal

from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError, MissingMandatoryValue

from vsr_lightning.utils.config import CONF

ERROR_FILE = "error.txt"
UNWRITABLE = (errno.EACCES, errno.EEXIST, errno.EROFS, errno.ENOTDIR, errno.ENOSPC, errno.EFBIG)


class RefusedError(ValueError):
    """The folder belongs to another run, or to another process; nothing is changed there."""


def holds_a_run(folder: object) -> RefusedError:
    """Return the error of a command that would write to a folder in which something was started already."""
    return RefusedError(f"{folder} holds a run already: choose another hydra.run.dir or hydra.sweep.dir")


class Interrupted(BaseException):
    """A signal, ``signum``, asked the run to stop; what it needs to go on is saved."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum


class ProcessFailedError(RuntimeError):
    """A process of a job failed: the message says which one, and why; ``traceback`` is its own."""

    def __init__(self, message: str, traceback: str) -> None:
        super().__init__(message)
        self.traceback = traceback


def one_line(
    error: BaseException,
    config: str = "train",
    folder: str = "hydra.run.dir or hydra.sweep.dir",
    memory: str = "data.batch_size, or take trainer=fast",
) -> str:
    """Return what the user has to know of an error of ours, Hydra's, PyTorch's or the system's, in one line.

    It suggests keys of the command's ``config`` for an unknown one, with what to choose another ``folder``, and what to
    lower where ``memory`` runs out.
    """
    target = None
    if isinstance(error, InstantiationException) and error.__cause__:
        target = re.search(r"in call to target '(?:\w+\.)*(\w+)'", str(error))
        error = error.__cause__
    text = " ".join(str(error).split("Config search path:")[0].split())
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        advice = f"make room, or choose another folder with {folder}"
        return f"can't write {error.filename or ''} ({error.strerror}): {advice}"
    if isinstance(error, OverrideParseException):
        key, _, value = error.override.partition("=")
        return f"{error.override} can't be read: to take the value as it is, put it in quotes, \"{key}='{value}'\""
    if isinstance(error, ConfigCompositionException) and (found := re.match(r"Could not override '(.+?)'\.", text)):
        return _unknown_key(found[1], error.__cause__, config)
    if found := re.search(r"Could not (?:find|load) 'hydra/launcher/(joblib|submitit|ray)", text):
        return f'hydra/launcher needs another package: pip install "vsr_lightning[{found[1]}]"'
    if isinstance(error, (RuntimeError, MemoryError)) and re.search("out of memory|can't allocate|Unable to al", text):
        return f"out of memory: lower {memory} ({text.split('. ')[0]})"
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}= is missing: give it on the command line"
    unexpected = re.search(r"(\w+)(\.__init__)?\(\) got an unexpected keyword argument '(\w+)'", text)
    if isinstance(error, TypeError) and unexpected and (target or unexpected[2]):
        return f"{(target or unexpected)[1]} takes no {unexpected[3]}: correct the key, or leave it out"
    if found := re.match(r"Caught ValueError in DataLoader.* ValueError: (.+)", text):  # after a worker's traceback
        return found[1]
    understood = (ValueError, OSError, ArithmeticError, HydraException)
    return text if isinstance(error, understood) else f"{type(error).__name__}: {text}"


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
