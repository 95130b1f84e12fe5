"""``features=``: a feature network by its name."""

import logging
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from vsr_lightning.losses import vgg
from vsr_lightning.losses.efficientnet_lite import EfficientNetLite
from vsr_lightning.losses.features import Features

log = logging.getLogger(__name__)
BY_NAME: dict[str, Callable[[], Features]] = {
    "imagenet": vgg.imagenet,
    "efficientnet_lite0": partial(EfficientNetLite, 0),
    "efficientnet_lite1": partial(EfficientNetLite, 1),
    "bundled": vgg.bundled,
    "random": lambda: vgg.VGG19Features(vgg.random_layers(vgg.WIDTH), "random"),
}
PREFERRED = ("imagenet", "efficientnet_lite0", "bundled")  # of auto


def load_features(name: str, layers: str | Collection[str] = "all") -> Features:
    """Load the feature network.

    Args:
        name: ``imagenet`` (torchvision's VGG19_Weights.IMAGENET1K_V1, from its cache or downloaded),
            ``efficientnet_lite0`` or ``1`` (trained on ImageNet too, from the extra ``imagenet``), ``bundled`` (VGG-19
            a quarter as wide, trained on handwritten digits, in the package), ``random`` (as wide, Kaiming, always the
            same), ``auto`` (the first of imagenet, efficientnet_lite0 and bundled that can be had and has
            the layers, with a warning unless it is the first), or the path of a state dict (safetensors, or torch with
            tensors only) with torchvision's keys ``features.0.weight`` ...
        layers: that the loss will ask for, see :class:`vsr_lightning.losses.Perceptual`.

    Raises:
        OSError: imagenet can't be had.
        ModuleNotFoundError: efficientnet_lite is not installed.
        ValueError: an unknown name, or a file that is damaged or holds no such weights.
    """
    if name == "auto":
        return _first(layers)
    if name in BY_NAME:
        return BY_NAME[name]()
    path = Path(str(name))
    if not path.is_file():
        raise ValueError(f"features={name} is no file, nor {', '.join(BY_NAME)} or auto")
    return vgg.from_file(path)


def _first(layers: str | Collection[str]) -> Features:
    *others, last = PREFERRED
    reasons = []
    for name in others:
        try:
            found = BY_NAME[name]()
        except (OSError, ModuleNotFoundError, ValueError) as error:
            reasons.append(str(error))
            continue
        if {*found.named(layers)} <= {*found.layers}:
            break
        reasons.append(f"{name} has no layers {layers}")
    else:
        name, found = last, BY_NAME[last]()
    if reasons:
        instead = {"bundled": "the BUNDLED network, a small one trained on digits"}.get(name, name.upper())
        strict = f"features={PREFERRED[0]} makes this an error"
        log.warning("FEATURES: the loss uses %s, since %s. %s.", instead, "; ".join(reasons), strict)
    return found
