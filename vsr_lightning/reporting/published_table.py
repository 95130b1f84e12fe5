"""The paper's Table 1 beside the published procedure and the corrected one."""

from collections.abc import Sequence

import numpy as np

from vsr_lightning.published_code import EXPLANATION, PAPER, score_constant
from vsr_lightning.reporting.predictions import load_data
from vsr_lightning.reporting.results import Group, Result
from vsr_lightning.reporting.sections import Section
from vsr_lightning.runs.comparable import test_key
from vsr_lightning.utils.errors import one_line

NONE = "-"
COLUMNS = ("trained on", "paper", "published procedure", "corrected (dB)",
           "SSIM: paper", "SSIM: published procedure", "SSIM: corrected")  # fmt: skip


def compared(groups: Sequence[Group]) -> Section | None:
    """Return the paper's numbers beside those of the first group under its procedure, if any, and of one without."""
    trained = [[result for result in group.results if result.finished and result.trained] for group in groups]
    published = next((runs for runs in trained if runs and "psnr_published" in runs[0].record["scores"]), None)
    if published is None:
        return None
    name = test_key(published[0].record)["data"]
    others = (runs for runs in trained if runs and "psnr_published" not in runs[0].record["scores"])
    corrected = next((runs for runs in others if test_key(runs[0].record)["data"] == name), [])
    rows = []
    for loss, (psnr, ssim) in PAPER.items():
        db = f"{psnr:.2f}", _mean(published, loss, "psnr_published"), _mean(corrected, loss, "psnr")
        of_ssim = _mean(published, loss, "ssim_published", ".3e"), _mean(corrected, loss, "ssim_eq1", ".3f")
        rows.append(dict(zip(COLUMNS, (loss, *db, f"{ssim:.3e}", *of_ssim), strict=True)))
    text = [EXPLANATION]
    try:
        data, frames = load_data(published[0]), published[0].record["config"]["module"]["frames"]
        for value, scores in [(value, score_constant(data, value, frames)) for value in (0.0, 1.0)]:
            found = (f"{scores['psnr_published']:.2f}", NONE, NONE, f"{scores['ssim_published']:.3e}", NONE)
            rows.append(dict(zip(COLUMNS, (f"(a picture that is {value:.0f} everywhere)", NONE, *found), strict=True)))
    except Exception as error:  # the data may be elsewhere by now
        text.append(f"The rows of empty pictures are missing: {one_line(error)}.")
    if not corrected:
        text.append("The corrected column is empty: name a sweep of the paper's experiment on the same data as well.")
    return Section("published_procedure", "What the paper's Table 1 shows", text, rows)


def _mean(results: Sequence[Result], loss: str, score: str, form: str = ".2f") -> str:
    scores = [result.record["scores"][score] for result in results if result.record["loss"] == loss]
    return format(float(np.mean(scores)), form) if scores else NONE
