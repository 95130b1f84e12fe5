"""The perceptual loss by itself, forward and backward, against piq's and one by hooks."""

from collections.abc import Callable, Iterator

import piq
import torch
from torch import Tensor, nn

from benchmarks.measure import DEVICE, peak_bytes, side_by_side, small_pages
from benchmarks.plain import HookedLoss, torchvision_network
from benchmarks.rows import Row, faster
from vsr_lightning.losses import Perceptual
from vsr_lightning.losses.vgg import LAYERS, VGG19Features

BATCH = 20


def benchmark(imagenet_size: VGG19Features, repeats: int) -> Iterator[Row]:
    """Measure five and sixteen layers at a batch of 20 frames of 64x64; all three give the same number."""
    network = torchvision_network(imagenet_size).to(DEVICE)
    prediction, target = torch.rand(2, BATCH, 1, 64, 64, device=DEVICE)
    for layers, name in (("published", "5 layers"), ("all", "16 layers")):
        tapped = VGG19Features.presets[layers]
        ours = Perceptual(imagenet_size, layers).to(DEVICE)
        piqs = piq.ContentLoss(
            feature_extractor=network,
            layers=[str(LAYERS[tap].position + 1) for tap in tapped],
            weights=[1 / len(imagenet_size.convolutions[tap][1]) for tap in tapped],  # piq adds channels up
            distance="mae",
        )
        hooked = HookedLoss(network, tapped).to(DEVICE)
        calls = {
            "ours": _call(ours, prediction, target, 1),
            "piq": _call(piqs, prediction, target, 3),
            "hooks": _call(hooked, prediction, target, 1),
        }
        values = [call().detach() for call in calls.values()]
        torch.testing.assert_close(values[0].expand(2), torch.stack(values[1:]), rtol=1e-4, atol=0)
        memory = {key: peak_bytes(call) / 1e6 for key, call in calls.items()}
        seconds = side_by_side(
            {key: call if key == "ours" else small_pages(call) for key, call in calls.items()}, 2 * repeats
        )
        hooked.remove()
        for other in ("piq", "hooks"):
            least, most = (1.3, 0.7) if other == "piq" else (None, None)
            what, rate = f"perceptual loss alone, {name}", {key: 1 / value for key, value in seconds.items()}
            yield faster(f"{what}: speed against {other}", rate["ours"], rate[other], "a second", other, least)
            figures = f"{memory['ours']:.4g} MB", f"{memory[other]:.4g} MB {other}"
            share = memory["ours"] / memory[other]
            yield Row(f"{what}: share of {other}'s peak memory", share, *figures, most, at_most=True)


def _call(loss: nn.Module, prediction: Tensor, target: Tensor, channels: int) -> Callable[[], Tensor]:
    def call() -> Tensor:
        x = prediction.clone().requires_grad_()
        value: Tensor = loss(x.expand(-1, channels, -1, -1), target.expand(-1, channels, -1, -1))
        value.backward()
        return value

    return call
