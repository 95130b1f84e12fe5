"""Resolvers for ``conf``."""

import os
import re

from omegaconf import OmegaConf


def one_name(text: object) -> str:
    """Return the text as one part of a path: a value such as ``seed=../x`` can't lead out of the folder."""
    return re.sub(r"[^\w.,=+-]", "_", str(text))


def local_devices() -> int:
    """Return how many jobs this machine can run at a time: its GPUs, or where it has none its cores."""
    import torch  # here, so that --help and --cfg need no PyTorch

    return torch.cuda.device_count() or os.cpu_count() or 1


def register() -> None:
    """Let configs use ``${one_name:...}`` and ``${local_devices:}``."""
    for resolver in (one_name, local_devices):
        OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
