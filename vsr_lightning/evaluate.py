"""Score a trained network on all test windows, by its run's own config; or bicubic, without a run.

python -m vsr_lightning.evaluate run=runs/SWEEP/0_frame_fusion_mse_seed0
python -m vsr_lightning.evaluate ckpt=RUN/checkpoints/best.ckpt data.source=published data.root=data
"""

import hydra
from omegaconf import DictConfig

from vsr_lightning.launch.cli import rank, record_errors, run_cli
from vsr_lightning.utils.config import CONF


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="evaluate")
@record_errors
def main(cfg: DictConfig) -> None:
    """Print the table; leave it in the folder with metrics.json and frames.csv."""
    from dataclasses import replace
    from pathlib import Path

    from vsr_lightning.evaluation import evaluate  # here, so that --help and --cfg need no PyTorch
    from vsr_lightning.experiment import Job

    text = evaluate(cfg, replace(Job.of_hydra(), folder=Path(cfg.output_dir)))
    if rank() == 0:
        print(f"\n{text}\nscores: {cfg.output_dir}")


if __name__ == "__main__":
    run_cli(main, "evaluate")
