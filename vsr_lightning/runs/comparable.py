"""Which runs trained alike, and which may be compared."""

import re
from collections.abc import Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple

WHOLE = "all of each frame"
# the keys of a config that change what a network learns or is scored on: a new key elsewhere needs no entry here
TRAINING = re.compile(
    r"(model|loss|data|module|network|optimizer|scheduler|callbacks\.average_weights)\..+|seed|init_from"
    r"|width"  # of the feature network
    r"|trainer\.(precision|accumulate_grad_batches|overfit_batches|fast_dev_run|(max|min|limit|gradient_clip)_\w+)"
)
SCORING = (
    r"data\.(test_videos|test_frames|val_frames)|module\.(luminance|crop_border)|trainer\.limit_(val|test)_batches"
)
# of these, where files lie and how they are read (their checksums are the identity of data and features), and what is
# scored in addition
NEITHER = re.compile(
    r"data\.(source|root|path|download|cache|cache_low_res|num_workers)|loss(\..+)?\.features"
    r"|module\.(early_)?metrics(\..+)?"
)


def leaves(config: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a config's values with their dotted keys."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def training_key(config: dict[str, Any]) -> dict[str, Any]:
    """Return what of a run's resolved config makes it this training and no other, as dotted keys and their values.

    Folders, loggers, callbacks, devices and the places of files do not count: a run that was moved, or that continues
    on another machine, is the same training. Losses with the weight 0 in ``loss=mixed`` do not count either, so that
    one which joins the list later changes no training. The contents of files are :func:`first_difference`'s to compare.
    """
    unused = [name for name, weight in ((config.get("loss") or {}).get("terms") or {}).items() if not weight]
    without = re.compile(rf"{NEITHER.pattern}|loss\.(terms|losses)\.({'|'.join(map(re.escape, unused))})(\..+)?")
    return {key: value for key, value in leaves(config) if TRAINING.fullmatch(key) and not without.fullmatch(key)}


def first_difference(
    theirs: Mapping[str, Any], mine: Mapping[str, Any], may_differ: str = ""
) -> tuple[str, Any, Any] | None:
    """Return the first key in which two records are not of the same training, with both values; None if there is none.

    A record is a run's, or what a checkpoint has of it. Names of network and loss, and checksums of data, features and
    the weights at the start, are compared where both have them; keys that match ``may_differ`` are not.
    """
    then, now = (training_key(record.get("config") or {}) for record in (theirs, mine))
    one, other = _identity(theirs), _identity(mine)
    for key in one.keys() & other.keys():
        then[key], now[key] = one[key], other[key]
    # names come before the keys that they stand for, and checksums after the keys that explain them
    keys = sorted({*then, *now}, key=lambda key: (key.endswith(".checksum"), key.count("."), key))
    found = ((key, then.get(key), now.get(key)) for key in keys if not re.fullmatch(may_differ, key))
    return next(((key, before, after) for key, before, after in found if before != after), None)


def _identity(record: Mapping[str, Any]) -> dict[str, str]:
    files = {f"{name}.checksum": (record.get(name) or {}).get("checksum") for name in ("data", "features", "init_from")}
    named = {name: record.get(name) for name in ("model", "loss")}
    return {key: value[:12] if key in files else value for key, value in {**named, **files}.items() if value}


class ComparableRuns(NamedTuple):
    """Runs whose scores may be compared."""

    letter: str
    places: list[int]  # where they stand in the list that was grouped
    reason: str  # what sets them apart from the first group, in words


def comparable_runs(records: Sequence[Mapping[str, Any]]) -> list[ComparableRuns]:
    """Group runs that agree in data, scoring, code and length of training.

    A run that trained nothing, such as bicubic, joins every group with its test set; one without data joins none.
    """
    keys = {place: comparison_key(record) for place, record in enumerate(records) if record.get("data")}
    groups: list[dict[str, str]] = []
    for key in sorted(keys.values(), key=len, reverse=True):  # those without training come last, and join
        if all(_differences(key, group) for group in groups):
            groups.append(key)
    members = [(group, [place for place, key in keys.items() if not _differences(key, group)]) for group in groups]
    members.sort(key=lambda member: member[1])
    return [
        ComparableRuns(f"{ascii_uppercase[number % 26]}{number // 26 or ''}", places, _differences(key, members[0][0]))
        for number, (key, places) in enumerate(members)
    ]


def comparison_key(record: Mapping[str, Any]) -> dict[str, str]:
    """Return, in words, what two runs must share to be compared; one that trained nothing has fewer entries."""
    key = test_key(record)
    if trained(record):
        config, features = (record.get(name) or {} for name in ("config", "features"))
        planned = (config.get("trainer") or {}).get("max_epochs")
        key |= {
            "procedure": _procedure(config.get("module") or {}),
            "training videos": str((record.get("data") or {}).get("train_videos")),
            "epochs": str(record.get("epochs") or planned),  # a run may have stopped earlier
            "commit": ", then ".join(map(commit_name, (record, *record.get("resumed", ())))),
        }
        key |= {"features": _named(features)} if features else {}
    return key


def test_key(record: Mapping[str, Any]) -> dict[str, str]:
    """Return, in words, what two runs share if they were scored alike on the same frames, degraded alike."""
    data, config = (record.get(name) or {} for name in ("data", "config"))
    degradation = data.get("degradation") or {}
    size, widths = degradation.get("kernel_size"), " to ".join(map(str, degradation.get("sigma", ())))
    blur = "no blur" if size == 1 else f"{size}x{size} blur of {widths}"
    trainer = config.get("trainer") or {}
    limit = trainer.get("fast_dev_run") or trainer.get("limit_test_batches")
    tested = {"tested frames": "all"}
    if limit is not None and not (isinstance(limit, float) and limit == 1):
        known = record.get("tested_frames") or (record.get("status") == "finished" and f"{limit} batches")
        tested = {"tested frames": str(known)} if known else {}  # one that is not finished has not counted them
    return {
        "data": _named(data),
        "test videos": f"{data.get('test_videos')}{' held out' if data.get('held_out') else ''}",
        "scored frames": str(data.get("scored")),
        **tested,
        "degradation": f"x{degradation.get('scale')} {degradation.get('interpolation')}, {blur}",
        "PSNR and SSIM of": scored_part(record),
        "metric features": str((record.get("metric_features") or {}).get("checksum"))[:12],
        **_functions((config.get("module") or {}).get("metrics") or {}),
    }


def _functions(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return what computes each further metric, in words: ``SlicedWasserstein(patch=7, scales=2)``."""
    own = {name: metric["function"] for name, metric in metrics.items() if metric.get("function")}
    found = {}
    for name, function in own.items():
        given = [f"{key}={value}" for key, value in leaves(function) if key not in ("_target_", "_partial_")]
        found[f"metric {name}"] = f"{str(function.get('_target_')).rpartition('.')[2]}({', '.join(given)})"
    return found


def trained(record: Mapping[str, Any]) -> bool:
    """Return whether the record is of a training: not of bicubic, which has nothing to train, or of an evaluation."""
    return record.get("epochs") != 0 and "checkpoint" not in record


def commit_name(record: Mapping[str, Any]) -> str:
    """Return the first digits of the commit that a run was made by, and whether its files had changes."""
    git = record.get("git") or {}
    return str(git.get("commit"))[:8] + (" with changes" if git.get("dirty") else "")


def scored_part(record: Mapping[str, Any]) -> str:
    """Return, in words, which part of each frame PSNR and SSIM of a run were computed on."""
    scoring = record.get("scoring") or {}
    parts = ["luminance only (BT.601, 16 to 235)"] if scoring.get("luminance") else []
    parts += [f"without {crop_border} pixels at each side"] if (crop_border := scoring.get("crop_border")) else []
    return ", ".join(parts) or WHOLE


def _procedure(module: Mapping[str, Any]) -> str:
    """Return what a run was trained and scored by; an adversarial term is part of the loss, and scored as any."""
    name = str(module.get("_target_", "SuperResolution")).rsplit(".", 1)[-1]
    return "SuperResolution" if name == "Adversarial" else name


def _differences(key: dict[str, str], first: dict[str, str]) -> str:
    differing = [name for name in key if name in first and key[name] != first[name]]
    return "; ".join(f"{name} {key[name]} instead of {first[name]}" for name in differing)


def _named(part: Mapping[str, Any]) -> str:
    name, checksum = str(part.get("name")), str(part.get("checksum"))[:8]
    return name if checksum in name else f"{name} ({checksum})"
