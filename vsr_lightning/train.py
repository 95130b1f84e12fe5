"""Train and score one network under one loss, or sweep over them.

python -m vsr_lightning.train -m loss=mse,perceptual
python -m vsr_lightning.train model=frame_fusion_fig1 loss=mse trainer.max_epochs=8
"""

import gc

import hydra
from omegaconf import DictConfig

from vsr_lightning.launch.cli import rank, record_errors, run_cli
from vsr_lightning.launch.folders import check_inside
from vsr_lightning.utils.config import CONF


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
@record_errors
def main(cfg: DictConfig) -> None:
    """Run one job; numbers go to its folder, nothing is returned, so that a sweep holds no network in memory."""
    from vsr_lightning.experiment import Job, keep_precision, run_job  # here, so that --help and --cfg need no PyTorch
    from vsr_lightning.launch.processes import launch, processes_to_start, take_a_gpu
    from vsr_lightning.reporting.clip_table import write_clip_table
    from vsr_lightning.reporting.score_table import write_table
    from vsr_lightning.runs.read_record import read_record

    job = Job.of_hydra()
    if job.sweep:
        check_inside(cfg, job.folder)
    take_a_gpu()
    keep_precision(cfg, job.folder)
    if processes := processes_to_start(cfg, job):
        launch(cfg, job.folder, processes)
    else:
        run_job(cfg, job)
    gc.collect()  # data and trainer hold each other: the next job of a sweep would load its frames beside these
    if not job.sweep and rank() == 0:
        table, clips = write_table(job.folder), write_clip_table(job.folder, read_record(job.folder))
        print("", *filter(None, [clips, table]), f"run: {job.folder}", sep="\n")


if __name__ == "__main__":
    run_cli(main)
