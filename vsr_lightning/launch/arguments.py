"""The command line, made ready for Hydra: flags first, paths that need no quotes, and the folder that is resumed."""

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser  # hydra.main parses by it, and there is no public way to it
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf

from vsr_lightning.launch.folders import check_resumable, newest, was_used
from vsr_lightning.utils.config import CONF

PARSER = OverridesParser.create()


@dataclass
class Arguments:
    """A command line in its parts."""

    flags: list[str]  # what begins with a dash, and its values
    overrides: list[str]  # the others, such as loss=mse
    command: str  # such as train
    sweep: bool  # whether -m is among the flags

    @classmethod
    def parse(cls, argv: list[str], command: str) -> "Arguments":
        """Take the flags from wherever they stand; argparse itself refuses them between the overrides."""
        known = get_args_parser().parse_intermixed_args(argv)
        flags = list(argv)
        for entry in known.overrides:
            flags.remove(entry)
        overrides = [_readable(entry, known.multirun) for entry in known.overrides]
        if command == "evaluate" and _given(overrides, "run=", "ckpt=") and not _given(overrides, "data="):
            # keys of the run's own data and module, which Hydra does not know
            overrides = [f"++{entry}" if entry.startswith(("data.", "module.")) else entry for entry in overrides]
        return cls(flags, overrides, command, known.multirun)

    def resume(self) -> Path | None:
        """Let Hydra go on in the folder of ``resume=``, and return it; ValueError if this command can't go on there."""
        given = _given(self.overrides, "resume=")
        if not given or "resume" not in OmegaConf.load(CONF / f"{self.command}.yaml"):
            return None
        key = "hydra.sweep.dir" if self.sweep else "hydra.run.dir"
        chosen: Any = PARSER.parse_override(given[-1]).value()
        if chosen == "auto":
            if folders := _given(self.overrides, f"{key}="):
                folder = Path(str(PARSER.parse_override(folders[-1]).value()))
                if was_used(folder):
                    check_resumable(folder, self.command, self.sweep)
                return folder  # whether something was started there or not
            if chosen := newest(self.overrides, self.command, self.sweep):
                self.overrides.append(f"resume={_quoted(str(chosen))}")
            else:
                print("resume=auto: no earlier start of this command was found; this is the first", file=sys.stderr)
        if not chosen:
            return None
        folder = Path(str(chosen))
        check_resumable(folder, self.command, self.sweep)
        self.overrides.insert(0, f"{key}={_quoted(str(folder))}")
        return folder

    def leave_files_to_the_first(self) -> None:
        """Give a process that torchrun or srun started no log file, and a folder that nobody looks at."""
        self.overrides.append("hydra/job_logging=console")
        if not _given(self.overrides, "hydra.run.dir="):
            self.overrides.append(f"hydra.run.dir={tempfile.mkdtemp(prefix='vsr_lightning_')}")


def _given(overrides: list[str], *beginnings: str) -> list[str]:
    return [entry for entry in overrides if entry.startswith(beginnings)]


def _readable(override: str, sweep: bool) -> str:
    """Return an override whose value Hydra can read: in quotes where its grammar refuses it, with ``~`` as home."""
    key, equals, value = override.partition("=")
    if not equals or _parses(override) or not _parses(f"{key}=x") or value[0] in "[{'\"" or "${" in value:
        return override  # if it can't be read, Hydra says so
    parts = value.split(",") if sweep else [value]
    return f"{key}={','.join(part if _parses(f'{key}={part}') else _quoted(part) for part in parts)}"


def _parses(override: str) -> bool:
    try:
        return bool(PARSER.parse_override(override))
    except HydraException:
        return False


def _quoted(text: str) -> str:
    return QuotedString(os.path.expanduser(text), Quote.single).with_quotes()
