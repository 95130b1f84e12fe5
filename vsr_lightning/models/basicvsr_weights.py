"""Read a published checkpoint of BasicVSR into :class:`vsr_lightning.models.Recurrent`.

Two exist: BasicSR's (``BasicVSR_*.pth``, weights under ``params``) and MMEditing's (``basicvsr_*.pth``, under
``state_dict`` with ``generator.`` before each name). They hold the same network: ``model=basicvsr``, 30 residual blocks
of width 64, x4, RGB, SPyNet. Names were taken from the two projects' public code.
"""

import re
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import nn

NAMES = (  # theirs, ours; BasicSR's and MMEditing's in one pattern
    (r"spynet\.basic_module\.(\d+)\.basic_module\.(\d+)\.(weight|bias)", r"flow.levels.\1.\2.\3"),
    (r"backward_(?:trunk|resblocks)\.main\.0\.(.+)", r"backward_trunk.0.\1"),
    (r"forward_(?:trunk|resblocks)\.main\.0\.(.+)", r"forward_trunk.0.\1"),
    (r"fusion\.(.+)", r"fusion.0.\1"),
    (r"(?:upconv1|upsample1\.upsample_conv)\.(.+)", r"up.0.\1"),
    (r"(?:upconv2|upsample2\.upsample_conv)\.(.+)", r"up.3.\1"),
    (r"conv_hr\.(.+)", r"up.6.\1"),
    (r"conv_last\.(.+)", r"up.8.\1"),
)
BLOCK = re.compile(r"(backward|forward)_(?:trunk|resblocks)\.main\.2\.(\d+)\.conv([12])\.(weight|bias)")
NO_WEIGHT = re.compile(r"(spynet\.(mean|std)|step_counter)")  # constants that the network has anyway


def read_weights(network: nn.Module, path: Path) -> None:
    """Give the network a published checkpoint's weights; FileNotFoundError, or ValueError where it does not fit."""
    if not path.is_file():
        raise FileNotFoundError(f"model.weights={path} is missing: give a published checkpoint of BasicVSR")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        state = loaded.get("params", loaded.get("state_dict", loaded))
        ours = {name: value for key, value in state.items() if (name := our_name(key))}
        network.load_state_dict(ours)
    except (OSError, RuntimeError, AttributeError, TypeError, EOFError, UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        wrong = f"model.weights={path} is no checkpoint of BasicVSR, or not of this size: take model=basicvsr"
        raise ValueError(f"{wrong} ({reason})") from error


def our_name(theirs: str) -> str:
    """Return a weight's name in our network, as it is where unknown; empty for what is no weight."""
    theirs = theirs.removeprefix("generator.")
    if NO_WEIGHT.fullmatch(theirs):
        return ""
    if block := BLOCK.fullmatch(theirs):
        way, number, convolution, kind = block.groups()
        return f"{way}_trunk.{2 + int(number)}.layers.{2 * (int(convolution) - 1)}.{kind}"
    layer = r"(basic_module\.\d+\.basic_module)\.(\d+)\.conv\."  # MMEditing counts one with its ReLU as one layer
    theirs = re.sub(layer, lambda match: f"{match[1]}.{2 * int(match[2])}.", theirs)
    for pattern, ours in NAMES:
        if match := re.fullmatch(pattern, theirs):
            return match.expand(ours)
    return theirs
