"""One job on several devices of this machine: one process per device, started and watched from here.

Lightning would start the command again in each process, which in a sweep would then run the whole sweep, and go on by
itself when another fails (facebookresearch/hydra#2070, Lightning-AI/pytorch-lightning#18175). PyTorch's elastic
launcher starts one job at a time, and ends all of its processes when one fails.
"""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import traceback
import uuid
from pathlib import Path

import lightning.pytorch as pl
import torch
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log, setup_globals
from hydra.utils import instantiate
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from omegaconf import DictConfig, OmegaConf
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from vsr_lightning.experiment import Job, run_job
from vsr_lightning.launch.cli import print_any_character
from vsr_lightning.runs.record import RUN_FILE, lock_folder, read_record, write_record
from vsr_lightning.utils.errors import ERROR_FILE, Interrupted, ProcessFailedError, RefusedError

PR_SET_PDEATHSIG = 1  # Linux, <sys/prctl.h>
JOB_FILE = "job.yaml"  # the whole config, with Hydra's part
REFUSED = 3  # exit code of a process that raised RefusedError
STOPS = (signal.SIGINT, signal.SIGTERM)


def processes_to_start(cfg: DictConfig, job: Job) -> int:
    """Return how many processes the job needs that nobody has started yet; 0 if it can run right here.

    Several machines without a launcher that spans them, or a sweep under one, are a ValueError.
    """
    if cfg.trainer.devices in (1, "1") and cfg.trainer.num_nodes == 1:
        return 0
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # no other public way says how many devices "auto" is; SLURM's variables around this process do not count
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer: pl.Trainer = instantiate(cfg.trainer, plugins=[LightningEnvironment()], **quiet)
    processes = trainer.num_devices * trainer.num_nodes
    if processes == 1:
        return 0
    if "TORCHELASTIC_RUN_ID" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        if job.sweep:
            raise ValueError(
                "-m under torchrun or srun would run the sweep once per process: use trainer.devices= alone"
            )
        return 0
    if trainer.num_nodes > 1:
        raise ValueError(f"trainer.num_nodes={trainer.num_nodes} needs torchrun or srun to start the other machines")
    return processes


def take_a_gpu() -> None:
    """In a worker of joblib's, leave one GPU visible: the one with the worker's number, which only its name has.

    The job's number would not do: jobs take different times, so that two of them would come to share a GPU.
    """
    worker = re.fullmatch(r"LokyProcess-(\d+)", multiprocessing.current_process().name)
    if worker and (count := torch.cuda.device_count()) > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[(int(worker[1]) - 1) % count]


def launch(cfg: DictConfig, folder: Path, processes: int) -> None:
    """Run the job in ``processes`` processes and wait for them.

    Raises:
        RefusedError: the folder belongs to another run, or another process is at work there.
        ProcessFailedError: one failed; all have ended.
        Interrupted: a signal came; all have saved and ended.
    """
    if lock := lock_folder(folder):
        lock.release()  # the first process takes it
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # error.txt has it in fewer words
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=processes, run_id=uuid.uuid4().hex, rdzv_backend="c10d",
        rdzv_endpoint="localhost:0", max_restarts=0, monitor_interval=0.2,
    )  # fmt: skip
    handlers = {signum: signal.getsignal(signum) for signum in STOPS}
    with tempfile.TemporaryDirectory(prefix="vsr_lightning_") as shared:
        job, error = Path(shared, JOB_FILE), Path(shared, ERROR_FILE)
        OmegaConf.save(OmegaConf.merge({"hydra": HydraConfig.get()}, cfg), job)
        try:
            elastic_launch(config, sys.executable)("-m", "vsr_lightning.launch.processes", str(job))
        except SignalException as stopped:
            raise Interrupted(stopped.sigval) from None
        except ChildFailedError as failed:
            # the others were ended with SIGTERM when one failed
            exitcodes = {rank: failure.exitcode for rank, failure in failed.failures.items()}
            signums = {rank: -code if code < 0 else code - 128 for rank, code in exitcodes.items()}
            rank = min(signums, key=lambda rank: signums[rank] in STOPS)
            if signums[rank] in STOPS:
                raise Interrupted(signums[rank]) from None
            text = error.read_text(encoding="utf-8") if error.exists() else "it left no traceback"
            last = text.strip().splitlines()[-1]
            if exitcodes[rank] == REFUSED:
                raise RefusedError(last) from None
            reason = f"process {rank} of {processes} failed: {last}"
            # the process that writes run.json may have been ended before it could say so
            if (folder / RUN_FILE).exists() and (record := read_record(folder))["status"] == "running":
                write_record(folder, record | {"status": "failed", "error": reason})
            raise ProcessFailedError(reason, text) from None
        finally:
            for signum, handler in handlers.items():
                signal.signal(signum, handler)


def main(path: Path) -> None:
    """Be one process of the job whose whole config is in the file."""
    if sys.platform == "linux":  # nobody is to write on when the command is killed
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    print_any_character()
    rank, processes = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    setup_globals()
    hydra = OmegaConf.structured(HydraConf, flags={"struct": False})  # the type that HydraConfig asks for
    cfg = OmegaConf.merge({"hydra": hydra}, OmegaConf.load(path))
    assert isinstance(cfg, DictConfig)
    HydraConfig.instance().set_config(cfg)
    if rank == 0:
        configure_log(cfg.hydra.job_logging, cfg.hydra.verbose)
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    if not torch.cuda.is_available() and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
    try:
        run_job(cfg, Job.of_hydra())
    except Interrupted as stopped:
        sys.exit(128 + stopped.signum)
    except BaseException as error:
        refused = isinstance(error, RefusedError)
        with contextlib.suppress(FileExistsError), path.with_name(ERROR_FILE).open("x", encoding="utf-8") as file:
            # of the first that fails; the others only lose their connection
            file.write(" ".join(str(error).split()) if refused else traceback.format_exc())
        sys.exit(REFUSED if refused else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
