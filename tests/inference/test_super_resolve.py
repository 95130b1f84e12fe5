import importlib
import weakref
from itertools import pairwise

import pytest
import torch
from torch import nn

from vsr_lightning.inference.chunking import ClipChunks, WindowChunks
from vsr_lightning.inference.super_resolve import super_resolve
from vsr_lightning.inference.tiling import fitting_tiles, parts, tiles
from vsr_lightning.models import Bicubic, FrameFusion, Network, ResidualFusion

inference = importlib.import_module("vsr_lightning.inference.super_resolve")  # the module, to change its constants


class Clip(Network):
    """Predicts every frame of a clip; its receptive field reaches three frames and three pixels far."""

    takes = "clip"

    def __init__(self, channels=1, width=4, layers=3):
        super().__init__()
        self.channels = channels
        widths = [channels, *[width] * (layers - 1), 4 * channels]
        convs = (nn.Conv3d(before, after, 3, padding=1) for before, after in pairwise(widths))
        self.layers = nn.Sequential(*(layer for conv in convs for layer in (conv, nn.Sigmoid())))

    def forward(self, low_res):
        """(B, T, C, h, w) -> (B, T, C, 2h, 2w)."""
        return nn.functional.pixel_shuffle(self.layers(low_res.movedim(1, 2)).movedim(2, 1), 2)


class Middle(Network):
    """Predicts the center frame of a window, and says otherwise."""

    takes = "clip"

    def forward(self, low_res):
        """(B, T, C, h, w) -> (B, C, h, w)."""
        return low_res[:, low_res.shape[1] // 2]


class Recurrent(Network):
    """As wide and as hungry as a bidirectional network of the field: it keeps the features of all frames."""

    takes = "clip"

    def __init__(self, width=64, channels=3):
        super().__init__()
        self.width = width
        self.ways = nn.ModuleList(nn.Conv2d(channels + width, width, 3, padding=1) for _ in range(2))
        self.up = nn.Conv2d(2 * width, 4 * channels, 3, padding=1)

    def forward(self, low_res):
        """(B, T, C, h, w) -> (B, T, C, 2h, 2w)."""
        features = []
        for way, frames in zip(self.ways, (low_res, low_res.flip(1)), strict=True):
            state, states = low_res.new_zeros(len(low_res), self.width, *low_res.shape[-2:]), []
            for frame in frames.unbind(1):
                state = way(torch.cat([frame, state], 1)).tanh()
                states.append(state)
            features.append(states)
        both = zip(features[0], features[1][::-1], strict=True)
        return torch.stack([nn.functional.pixel_shuffle(self.up(torch.cat(pair, 1)), 2) for pair in both], 1)


def _network():
    torch.manual_seed(0)
    return FrameFusion((2, 4), (True, False)).eval()


def _all(*args, **how):
    return torch.stack([*super_resolve(*args, **how)])


@pytest.mark.parametrize("network", [_network(), Bicubic()], ids=["split", "by windows"])
@pytest.mark.parametrize("temporal_padding", ["crop", "replicate"])
@pytest.mark.parametrize("length", [5, 11, 20])
def test_a_video_is_predicted_as_its_windows_are(monkeypatch, network, temporal_padding, length):
    monkeypatch.setattr(inference, "CHUNK", 4)  # smaller than a window, and no divisor of the length
    video = torch.rand(length, 1, 32, 32)
    padded = video[[0, 0, *range(length), -1, -1]] if temporal_padding == "replicate" else video
    windows = torch.stack([padded[start : start + 5] for start in range(len(padded) - 4)])
    expected = network(windows).clamp(0, 1)
    prediction = _all(network, video, temporal_padding=temporal_padding)
    assert len(prediction) == (length if temporal_padding == "replicate" else length - 4)
    torch.testing.assert_close(prediction, expected, rtol=0, atol=1e-6)


class Encoded(Bicubic):
    """Bicubic, with a method of its own that is called like one half of what a split network has."""

    def encode(self, frames):
        return 0 * frames


def test_a_network_is_split_only_where_it_has_both_halves():
    video = torch.rand(6, 1, 8, 8)
    assert torch.equal(_all(Encoded(), video), _all(Bicubic(), video))


def test_each_frame_of_a_chunk_is_encoded_once(monkeypatch):
    network, seen = _network(), []
    monkeypatch.setattr(
        network, "encode", lambda frames: seen.append(len(frames)) or FrameFusion.encode(network, frames)
    )
    _all(network, torch.rand(20, 1, 32, 32))
    assert seen == [20]
    monkeypatch.setattr(inference, "CHUNK", 8)
    _all(network, torch.rand(20, 1, 32, 32))
    assert seen[1:] == [12, 12]  # of sixteen windows eight at a time


@pytest.mark.parametrize("size", [(40, 53), (16, 70), (9, 9)])
@pytest.mark.parametrize("tile", [8, 16, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_leave_no_seam_where_the_overlap_reaches_as_far_as_the_network(size, tile, channels):
    network = ResidualFusion(width=8, blocks=2, channels=channels)  # looks 1 + 2 * 2 + 1 pixels around
    nn.init.normal_(network.up[0].weight)  # at first it adds next to nothing
    video = torch.rand(7, channels, *size)
    whole = _all(network, video, finish=nn.Identity())
    cut_up = _all(network, video, tile=tile, tile_overlap=7, finish=nn.Identity())
    torch.testing.assert_close(cut_up, whole, rtol=0, atol=1e-5)
    if tile < max(size) // 2:
        seams = _all(network, video, tile=tile, tile_overlap=2, finish=nn.Identity())
        assert (seams - whole).abs().max() > 1e-3


def test_tiles_of_a_clip_leave_no_seam():
    network, video = Clip(), torch.rand(6, 1, 30, 21)
    made = _all(network, video, tile=8, tile_overlap=3)
    torch.testing.assert_close(made, network(video[None])[0], rtol=0, atol=1e-5)


def test_a_side_is_cut_in_parts_of_about_the_same_length():
    assert parts(10, 3) == [(0, 3), (3, 6), (6, 10)]
    assert parts(4, 1) == [(0, 4)]


@pytest.mark.parametrize("length", [1, 9, 10, 11, 13, 14, 15, 33])
def test_a_clip_in_chunks_is_as_the_whole_one_where_the_context_reaches_as_far_as_the_network(length):
    network, video, lengths = Clip(), torch.rand(length, 1, 8, 8), []
    network.register_forward_pre_hook(lambda _, given: lengths.append(given[0].shape[1]))
    made = _all(network, video, clip_frames=10, clip_overlap=3)
    seen = tuple(lengths)
    torch.testing.assert_close(made, network(video[None])[0], rtol=0, atol=1e-5)
    assert max(seen) == min(length, 10)
    assert len(seen) == ClipChunks(10, 3).count(length)


@pytest.mark.parametrize("temporal_padding", ["crop", "replicate"])
@pytest.mark.parametrize("length", [5, 11, 12, 13])
def test_chunks_are_foretold(temporal_padding, length):
    cut = WindowChunks(5, temporal_padding, at_once=4)
    assert cut.count(length) == len([*cut.chunks(torch.rand(length, 1, 2, 2))])


@pytest.mark.parametrize(
    ("network", "how", "at_most"), [(Bicubic(), {}, 9), (Clip(), {"clip_frames": 10, "clip_overlap": 3}, 11)]
)
def test_few_frames_are_in_memory_at_a_time_however_long_the_video(monkeypatch, network, how, at_most):
    monkeypatch.setattr(inference, "CHUNK", 4)
    alive, most, number = set(), 0, 0

    def frames():
        nonlocal most, number
        for number in range(200):
            frame = torch.rand(1, 8, 8)
            alive.add(number)
            weakref.finalize(frame, alive.discard, number)
            most = max(most, len(alive))
            yield frame

    made = super_resolve(network, frames(), tile=4, **how)
    next(made)
    assert number < at_most  # the rest has not been read
    assert sum(1 for _ in made) >= 190
    assert most <= at_most


def test_the_memory_of_a_clip_is_bounded_by_the_tile():
    network, seen = Recurrent(width=8), []
    network.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    frames = _all(network, torch.rand(9, 3, 64, 96), clip_frames=6, clip_overlap=1, tile=16, tile_overlap=4)
    assert frames.shape == (9, 3, 128, 192)
    assert max(shape.numel() for shape in seen) == 6 * 3 * 24 * 24


def test_a_network_that_predicts_otherwise_than_it_says_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="the network predicts one frame of what it is given"):
        _all(Middle(), torch.rand(5, 1, 8, 8))
    network = Clip()
    monkeypatch.setattr(network, "takes", "window")
    with pytest.raises(ValueError, match="the network predicts every frame of what it is given"):
        _all(network, torch.rand(5, 1, 8, 8))


def test_a_long_video_shows_its_progress(monkeypatch, capsys):
    assert len(_all(Bicubic(), torch.rand(20, 1, 8, 8), length=20)) == 16
    assert not capsys.readouterr().out
    monkeypatch.setattr(inference, "LONG", 20)
    assert len(_all(Bicubic(), torch.rand(20, 1, 8, 8), length=20)) == 16
    out = capsys.readouterr().out
    assert "super-resolving" in out
    assert "100%" in out


def test_few_large_frames_are_long_too(capsys):
    _all(Bicubic(), torch.rand(2, 1, 1440, 1440), 1, tile=256, length=2)
    assert "super-resolving" in capsys.readouterr().out


@pytest.mark.parametrize(("height", "width"), [(540, 960), (1080, 1920), (144, 176), (3, 5000)])
def test_tiles_are_as_large_as_fits_and_small_where_several_frames_are_in_work(height, width):
    for network, most in ((ResidualFusion(width=8, blocks=1), 250_000), (Clip(), 2**16)):
        made = fitting_tiles(network, height, width)
        frame = torch.empty(1, height, width)
        sizes = [tile.cut(frame).numel() for tile in made]
        assert max(sizes) <= most
        assert sum(tile.pixels for tile in made) == height * width
        by_side = [tile.cut(frame).numel() for tile in tiles(height, width, int(most**0.5) - 32)]
        assert sum(sizes) <= sum(by_side)
        if height * width <= most:
            assert len(made) == 1
    assert len(fitting_tiles(ResidualFusion(width=8, blocks=1), 540, 960)) == 3


def test_tiles_beyond_all_surroundings_are_as_small_as_gets():
    made = fitting_tiles(ResidualFusion(width=8, blocks=1), 1080, 1920, overlap=400)
    assert len(made) > 1
    assert max(tile.cut(torch.empty(1, 1080, 1920)).numel() for tile in made) < 900 * 900
