from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from vsr_lightning.inference.chunking import WindowChunks
from vsr_lightning.inference.color import predict_any_color, to_rgb, to_ycbcr
from vsr_lightning.models import Bicubic, Network


def _predict(network):
    return partial(WindowChunks().predict, network)


def test_ycbcr_is_as_pillow_has_it_and_back():
    rgb = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    theirs = torch.from_numpy(np.array(Image.fromarray(rgb).convert("YCbCr"))).permute(2, 0, 1) / 255
    ours = torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255
    ycbcr = to_ycbcr(ours)
    shifted = ycbcr[0] + torch.tensor([0, 128 / 255, 128 / 255])[:, None, None]
    torch.testing.assert_close(shifted, theirs, rtol=0, atol=1.01 / 255)
    torch.testing.assert_close(to_rgb(ycbcr), ours, rtol=0, atol=1e-6)


class Inverse(Network):
    """Bicubic, dark for bright."""

    def forward(self, low_res):
        assert low_res.shape[2] == 1
        return 1 - Bicubic()(low_res)


def test_a_grey_network_changes_luminance_and_keeps_chroma():
    video = 0.25 + 0.5 * torch.rand(7, 3, 8, 8)
    made = to_ycbcr(predict_any_color(_predict(Inverse()), video, 1))
    expected = to_ycbcr(_predict(Bicubic())(video))
    assert made.shape == (3, 3, 16, 16)
    torch.testing.assert_close(made[:, 0], 1 - expected[:, 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(made[:, 1:], expected[:, 1:], rtol=0, atol=1e-5)


class Red(Network):
    """Bicubic, of red alone."""

    def forward(self, low_res):
        assert low_res.shape[2] == 3
        return Bicubic()(low_res) * torch.tensor([1.0, 0, 0])[:, None, None]


def test_a_colour_network_sees_grey_three_times_and_leaves_grey():
    video = torch.rand(5, 1, 8, 8)
    made = predict_any_color(_predict(Red()), video, 3)
    torch.testing.assert_close(made, 0.299 * _predict(Bicubic())(video))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_of_any_colour_gets_what_there_is(channels):
    video = torch.rand(5, channels, 8, 8)
    predict = _predict(Bicubic())
    assert torch.equal(predict_any_color(predict, video, None), predict(video))
