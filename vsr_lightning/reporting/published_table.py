"""The paper's Table 1 beside the published procedure and the corrected one."""

from collections.abc import Sequence

import numpy as np
from hydra.utils import instantiate
from omegaconf import OmegaConf

from vsr_lightning.published_code import EXPLANATION, PAPER, score_constant
from vsr_lightning.reporting.results import Group, Result
from vsr_lightning.reporting.sections import Section
from vsr_lightning.runs.comparable import test_key
from vsr_lightning.utils.errors import one_line

NONE = "-"


def compared(groups: Sequence[Group]) -> Section | None:
    """Return the paper's numbers beside those of the first group that followed the published procedure, if any.

    The corrected ones are those of the first other group on the same data.
    """
    trained = [[result for result in group.results if result.finished and result.trained] for group in groups]
    published = next((runs for runs in trained if runs and "psnr_published" in runs[0].record["scores"]), None)
    if published is None:
        return None
    data = test_key(published[0].record)["data"]
    others = (runs for runs in trained if runs and "psnr_published" not in runs[0].record["scores"])
    corrected = next((runs for runs in others if test_key(runs[0].record)["data"] == data), [])
    rows = []
    for loss, (psnr, ssim) in PAPER.items():
        row = {
            "trained on": loss,
            "paper": f"{psnr:.2f}",
            "published procedure": _mean(published, loss, "psnr_published"),
        }
        row |= {"corrected (dB)": _mean(corrected, loss, "psnr"), "SSIM: paper": f"{ssim:.3e}"}
        row |= {"SSIM: published procedure": _mean(published, loss, "ssim_published", ".3e")}
        rows.append(row | {"SSIM: corrected": _mean(corrected, loss, "ssim_eq1", ".3f")})
    text = [EXPLANATION]
    try:
        rows += _constants(published[0])
    except Exception as error:  # the data may be elsewhere by now
        text.append(f"The rows of empty pictures are missing: {one_line(error)}.")
    if not corrected:
        text.append("The corrected column is empty: name a sweep of the paper's experiment on the same data as well.")
    return Section("published_procedure", "What the paper's Table 1 shows", text, rows)


def _constants(result: Result) -> list[dict[str, str]]:
    config = result.record["config"]
    data = instantiate(OmegaConf.create(config["data"]))
    if data.videos.checksum != result.record["data"]["checksum"]:
        raise ValueError("the data are not those that the runs saw")
    rows = []
    for value in (0.0, 1.0):
        scores = score_constant(data, value, config["module"]["frames"])
        row = {"trained on": f"(a picture that is {value:.0f} everywhere)", "paper": NONE}
        row |= {"published procedure": f"{scores['psnr_published']:.2f}", "corrected (dB)": NONE, "SSIM: paper": NONE}
        rows.append(row | {"SSIM: published procedure": f"{scores['ssim_published']:.3e}", "SSIM: corrected": NONE})
    return rows


def _mean(results: Sequence[Result], loss: str, score: str, form: str = ".2f") -> str:
    scores = [result.record["scores"][score] for result in results if result.record["loss"] == loss]
    return format(float(np.mean(scores)), form) if scores else NONE
