import numpy as np
import pytest
import torch

from vsr_lightning.data import MovingMNIST
from vsr_lightning.data.loader import PlanSampler
from vsr_lightning.data.moving_mnist.generated import generate
from vsr_lightning.data.windows import crop_corners, fixed_windows, training_windows, whole_videos
from vsr_lightning.degradation import Batch, Degradation


def _by_video(windows):
    return {video: (start, blur, *place) for video, start, blur, place in zip(*windows, strict=True)}


def _data(**changes):
    chosen = {"source": "generated", "train_videos": 12, "test_videos": 3, "batch_size": 4, "seed": 7, **changes}
    return MovingMNIST(Degradation(), **chosen)


def _epoch(data, epoch=0):
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return [data.on_after_batch_transfer(batch, 0) for batch in loader]


def test_a_training_window_is_a_pure_function_of_seed_epoch_and_video():
    few = _by_video(training_windows(3, seed=1, videos=range(50), starts=16))
    many = _by_video(training_windows(3, seed=1, videos=range(8000), starts=16))
    assert all(many[video] == window for video, window in few.items())
    assert few != _by_video(training_windows(4, seed=1, videos=range(50), starts=16))
    assert few != _by_video(training_windows(3, seed=2, videos=range(50), starts=16))


def test_training_starts_and_blurs_are_uniform():
    windows = training_windows(0, seed=0, videos=range(8000), starts=16)
    assert sorted(windows.video) == list(range(8000))
    counts = np.bincount(windows.start, minlength=16)
    assert len(counts) == 16
    assert counts.min() > 400  # 500 expected, standard deviation 22
    assert windows.blur_level.min() >= 0
    assert windows.blur_level.max() < 1
    assert abs(windows.blur_level.mean() - 0.5) < 0.02


def test_the_test_is_each_video_under_one_blur_the_same_every_time():
    plan = whole_videos(0, videos=range(8000, 8003))
    assert list(plan.video) == [8000, 8001, 8002]
    assert not plan.start.any()
    assert len(set(plan.blur_level)) == 3
    assert np.array_equal(whole_videos(9, videos=range(8001, 8002)).blur_level, plan.blur_level[1:2])


def _tested(data):
    return [data.on_after_batch_transfer(batch, 0) for batch in data.test_dataloader()]


def test_windows_and_clips_are_tested_on_the_same_frames():
    windows, clips = _data(test_videos=12), _data(test_videos=12, takes="clip")
    assert windows.scored == clips.scored == range(2, 18)
    one, two = (_tested(data) for data in (windows, clips))
    assert [batch.low_res.shape for batch in one] == [(80, 5, 1, 32, 32)] * 2 + [(32, 5, 1, 32, 32)]
    assert [batch.low_res.shape for batch in two] == [(5, 20, 1, 32, 32)] * 2 + [(2, 20, 1, 32, 32)]
    for a, b in zip(one, two, strict=True):
        assert b.target.ndim == 5
        assert torch.equal(a.frames, b.frames)
        assert torch.equal(a.video, b.video.flatten())
        assert torch.equal(a.frame, b.frame.flatten())
        torch.testing.assert_close(a.select_targets(a.low_res), b.select_targets(b.low_res))
    shown = torch.cat([batch.low_res for batch in two])
    torch.testing.assert_close(clips.test_windows(12).low_res, shown)
    numbers = [(v, f) for batch in one for v, f in zip(batch.video.tolist(), batch.frame.tolist(), strict=True)]
    assert numbers == [(v, f) for v in range(8000, 8012) for f in range(2, 18)]
    assert two[-1].middle_frames().tolist() == [8, 24]
    assert two[-1].middle_clips(5).tolist() == [[6, 7, 8, 9, 10], [22, 23, 24, 25, 26]]
    assert torch.equal(two[-1].middle_clips(99), torch.arange(32).view(2, 16))


@pytest.mark.parametrize("cache_low_res", [False, True])
def test_a_clip_has_all_its_frames_as_targets(cache_low_res):
    data = _data(clip_frames=7, takes="clip", cache_low_res=cache_low_res)
    plan, batch = next(zip(data.train_dataloader().sampler, _epoch(data), strict=False))
    videos = generate(range(12))
    expected = np.stack([videos[v, s : s + 7] for v, s in zip(plan.video, plan.start, strict=True)])
    assert torch.equal(batch.target[:, :, 0], torch.from_numpy(expected).float() / 255)
    assert batch.low_res.shape == (4, 7, 1, 32, 32)
    assert data.starts == 14


def test_a_prediction_meets_the_frames_that_it_is_of():
    low_res, target = torch.rand(2, 6, 1, 4, 4), torch.rand(2, 2, 1, 8, 8)
    prediction = torch.rand(2, 6, 1, 8, 8)
    numbers = torch.zeros(2, 2, dtype=torch.int64)
    ours, theirs = Batch(low_res, target, numbers, numbers).align(prediction)
    assert torch.equal(ours, torch.cat([prediction[0, 2:4], prediction[1, 2:4]]))
    assert torch.equal(theirs, torch.cat([target[0], target[1]]))
    with pytest.raises(ValueError, match="predicts one frame of what it is given: let its class say takes = 'window'"):
        Batch(low_res, target, numbers, numbers).align(prediction[:, 0])
    with pytest.raises(ValueError, match="predicts every frame of what it is given: let its class say takes = 'clip'"):
        Batch(low_res, target[:, 0], numbers[:, 0], numbers[:, 0]).align(prediction)


def test_validation_is_one_window_a_video_the_same_in_every_epoch():
    windows = fixed_windows(0, videos=range(8000, 8020), starts=16)
    assert list(windows.video) == list(range(8000, 8020))
    assert all(
        np.array_equal(a, b)
        for a, b in zip(windows, fixed_windows(5, videos=range(8000, 8020), starts=16), strict=True)
    )


@pytest.mark.parametrize("world_size", [2, 3])
def test_devices_share_the_batches_of_one_device(world_size):
    def plan(epoch):
        return training_windows(epoch, seed=0, videos=range(21), starts=16)

    alone = [list(batch.video) for batch in PlanSampler(plan, 6)]
    shares = [PlanSampler(plan, 6, rank, world_size) for rank in range(world_size)]
    together = [sorted(v for share in step for v in share.video) for step in zip(*shares, strict=True)]
    assert together == [sorted(batch) for batch in alone]
    assert len(shares[0]) == len(alone)


@pytest.mark.parametrize("changes", [{"num_workers": 2}, {"batch_size": 5}])
def test_workers_and_batch_size_do_not_change_the_windows(changes):
    plain, changed = _epoch(_data(), 2), _epoch(_data(**changes), 2)
    for field in range(4):
        assert torch.equal(torch.cat([b[field] for b in plain]), torch.cat([b[field] for b in changed]))


@pytest.mark.parametrize(
    "changes", [{}, {"val_videos": 5}, {"frame_range": (3, 15), "frames": 3}, {"clip_frames": 6, "takes": "clip"}]
)
def test_frames_shrunk_once_make_the_same_batches(changes):
    each_time, once = (_data(cache_low_res=once, **changes) for once in (False, True))
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        for a, b in zip(getattr(each_time, name)(), getattr(once, name)(), strict=True):
            expected, batch = each_time.on_after_batch_transfer(a, 0), once.on_after_batch_transfer(b, 0)
            assert all(torch.equal(a, b) for a, b in zip(batch[1:], expected[1:], strict=True))
            torch.testing.assert_close(batch.low_res, expected.low_res, rtol=0, atol=1e-6)


def test_the_target_is_the_sharp_middle_frame_of_the_window():
    data = _data()
    (windows, batch) = next(zip(data.train_dataloader().sampler, _epoch(data), strict=False))
    videos = generate(range(12))
    expected = np.stack([videos[video, start + 2] for video, start in zip(windows.video, windows.start, strict=True)])
    assert torch.equal(batch.target[:, 0], torch.from_numpy(expected).float() / 255)
    assert batch.low_res.shape == (4, 5, 1, 32, 32)


def test_videos_held_out_for_validation_are_not_trained_on():
    data = _data(val_videos=5)
    assert (data.train_videos, data.val_videos, data.test_videos) == (range(7), range(7, 12), range(8000, 8003))
    assert _data().val_videos == range(8000, 8003)


@pytest.mark.parametrize(
    ("key", "value"),
    [("train_videos", 8001), ("train_videos", 0), ("test_videos", 2001), ("val_videos", 12), ("batch_size", 0),
     ("frames", 21), ("frames", 4), ("clip_batch_size", 0), ("unscored_frames", -1), ("seed", -1),
     ("train_videos", "many"), ("num_workers", -1)],
)  # fmt: skip
def test_a_count_out_of_range_names_the_key_and_the_choices(key, value):
    with pytest.raises(ValueError, match=rf"data\.{key}={value}.*choose"):
        _data(**{key: value})


@pytest.mark.parametrize(("key", "value"), [("clip_frames", 21), ("unscored_frames", 10)])
def test_a_clip_longer_than_the_videos_names_the_key_and_the_choices(key, value):
    with pytest.raises(ValueError, match=rf"data\.{key}={value} needs 21 frames, a video has 20: choose a smaller"):
        _data(takes="clip", **{key: value})


@pytest.mark.parametrize("videos", [10_001, 25_000])
def test_more_than_ten_thousand_videos_have_windows_of_their_own_and_change_none(videos):
    few, many = (fixed_windows(0, videos=range(count), starts=16) for count in (10_000, videos))
    for before, after in zip(few, many, strict=True):
        assert np.array_equal(before, after[:10_000])
    assert set(many.start) == set(range(16))
    assert len(np.unique(many.blur_level)) > 0.99 * videos  # no block repeats another
    epoch = training_windows(0, seed=0, videos=range(videos), starts=16)
    assert sorted(epoch.video) == [*range(videos)]


@pytest.mark.parametrize("takes", ["window", "clip"])
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("cache_low_res", [False, True])
def test_a_crop_is_cut_out_of_the_degraded_window(takes, scale, cache_low_res):
    chosen = {"takes": takes, "clip_frames": 5, "cache_low_res": cache_low_res, "source": "generated", "seed": 7}
    whole, cropped = (
        MovingMNIST(Degradation(scale), train_videos=12, test_videos=3, crop=crop, **chosen) for crop in (None, 24)
    )
    assert (cropped.train_size, cropped.test_size) == ((1, 24, 24), (1, 64, 64))
    side, corners = 24 // scale, []
    loader = zip(whole.train_dataloader(), cropped.train_dataloader(), strict=True)
    for uncut, served in loader:
        large, batch = whole.on_after_batch_transfer(uncut, 0), cropped.on_after_batch_transfer(served, 0)
        corners += served.corner.tolist()
        for row, (top, left) in enumerate(served.corner.tolist()):
            assert top % scale == left % scale == 0
            low_res = large.low_res[row, ..., top // scale :, left // scale :][..., :side, :side]
            assert torch.equal(batch.low_res[row], low_res)
            assert torch.equal(batch.target[row], large.target[row, ..., top:, left:][..., :24, :24])
        assert torch.equal(batch.video, large.video)
        assert torch.equal(batch.frame, large.frame)
    assert len({tuple(corner) for corner in corners}) > 6
    for a, b in zip(whole.test_dataloader(), cropped.test_dataloader(), strict=True):
        assert b.corner is None
        assert torch.equal(a.target, b.target)


def test_crops_are_drawn_around_what_is_bright():
    target = torch.zeros(400, 3, 1, 64, 64, dtype=torch.uint8)
    target[:, 1, :, 10, 50], target[:, 1, :, 40, 20], target[:, 0] = 60, 180, 255  # only the middle frame counts
    place = torch.from_numpy(training_windows(0, seed=0, videos=range(400), starts=16).place)
    top, left = crop_corners(target, place, 16, 2).unbind(1)
    first, second = (10 - top, 50 - left), (40 - top, 20 - left)
    inside = [((y >= 4) & (y < 12 + 2) & (x >= 4) & (x < 12 + 2)) for y, x in (first, second)]
    assert (inside[0] ^ inside[1]).all()  # one of the two, in the middle half but for the multiple
    assert 0.68 < inside[1].double().mean() < 0.82  # three times as bright: 75 % expected, standard deviation 2 %
    assert len(set(top.tolist())) > 6


def test_a_crop_of_a_black_window_lies_within_the_frame():
    place = torch.rand(50, 3)
    corner = crop_corners(torch.zeros(50, 5, 1, 20, 30, dtype=torch.uint8), place, 16, 4)
    assert (corner >= 0).all()
    assert (corner <= torch.tensor([4, 14])).all()


@pytest.mark.parametrize(
    ("crop", "message"),
    [(15, r"data\.crop=15 can't be divided by data\.degradation\.scale=2"), (0, r"data\.crop=0.*choose"),
     (66, r"data\.crop=66 is larger than the frames of the videos, 64x64: lower it")],
)  # fmt: skip
def test_a_crop_that_does_not_fit_is_refused(crop, message):
    with pytest.raises(ValueError, match=message):
        _ = _data(crop=crop).train_size
