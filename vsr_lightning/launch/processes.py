"""One job on several devices of this machine: one process per device, started and watched from here.

Lightning would start the command again in each process, which in a sweep would then run the whole sweep, and go on by
itself when another fails (facebookresearch/hydra#2070, Lightning-AI/pytorch-lightning#18175). PyTorch's elastic
launcher starts one job at a time, and ends all of its processes when one fails. Where the system can fork, they come
from a server that has imported PyTorch and has touched no GPU, so that the further jobs of a sweep start at once.
"""

import contextlib
import json
import logging
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import threading
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
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from vsr_lightning.experiment import Job, run_job
from vsr_lightning.launch.cli import print_any_character
from vsr_lightning.runs.read_record import RUN_FILE, read_record
from vsr_lightning.runs.record import lock_folder, write_record
from vsr_lightning.utils.errors import ERROR_FILE, Interrupted, ProcessFailedError, RefusedError

JOB_FILE = "job.yaml"  # the whole config, with Hydra's part
STOPS = (signal.SIGINT, signal.SIGTERM)
START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


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
    for library in ("torch.distributed.elastic", "torch.multiprocessing"):  # error.txt has it in fewer words
        logging.getLogger(library).setLevel(logging.CRITICAL)
    multiprocessing.set_forkserver_preload([__name__])
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=processes, run_id=uuid.uuid4().hex, rdzv_backend="c10d",
        rdzv_endpoint="localhost:0", max_restarts=0, monitor_interval=0.2, start_method=START_METHOD,
    )  # fmt: skip
    handlers = {signum: signal.getsignal(signum) for signum in STOPS}
    with tempfile.TemporaryDirectory(prefix="vsr_lightning_") as shared:
        job, error = Path(shared, JOB_FILE), Path(shared, ERROR_FILE)
        chosen = {"trainer": {"precision": cfg.trainer.precision}}  # by trainer=fast, once for all
        OmegaConf.save(OmegaConf.merge({"hydra": HydraConfig.get()}, cfg, chosen), job)
        try:
            elastic_launch(config, be_one_process)(job, Path.cwd())
        except SignalException as stopped:
            raise Interrupted(stopped.sigval) from None
        except ChildFailedError as failed:
            rank, failure = failed.get_first_failure()
            if error.exists():  # of the process that failed first; the launcher may have seen another one first
                rank, refused, text = json.loads(error.read_text(encoding="utf-8"))
            else:  # the others were ended with SIGTERM when one failed
                if (signum := max(-failure.exitcode, failure.exitcode - 128)) in STOPS:
                    raise Interrupted(signum) from None
                refused, text = False, "it left no traceback"
            last = text.strip().splitlines()[-1]
            if refused:
                raise RefusedError(last) from None
            reason = f"process {rank} of {processes} failed: {last}"
            # the process that writes run.json may have been ended before it could say so
            if (folder / RUN_FILE).exists() and (record := read_record(folder))["status"] == "running":
                write_record(folder, record | {"status": "failed", "error": reason})
            raise ProcessFailedError(reason, text) from None
        finally:
            for signum, handler in handlers.items():
                signal.signal(signum, handler)


def be_one_process(path: Path, cwd: Path) -> None:
    """Run the job whose whole config is in the file ``path``, as one of its processes, from the folder ``cwd``."""
    threading.Thread(target=_end_with_the_command, daemon=True).start()
    print_any_character()
    rank, processes = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    rank_zero_only.rank = rank  # type: ignore[attr-defined]  # set at import, in the server
    setup_globals()
    hydra = OmegaConf.structured(HydraConf, flags={"struct": False})  # the type that HydraConfig asks for
    cfg = OmegaConf.merge({"hydra": hydra}, OmegaConf.load(path))
    assert isinstance(cfg, DictConfig)
    HydraConfig.instance().set_config(cfg)
    os.chdir(cwd)
    os.environ.update(cfg.hydra.job.env_set)  # the server has the environment of the first job
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
        said = json.dumps([rank, refused, " ".join(str(error).split()) if refused else traceback.format_exc()])
        with contextlib.suppress(FileExistsError), path.with_name(ERROR_FILE).open("x", encoding="utf-8") as file:
            file.write(said)  # of the first that fails; the others only lose their connection
        sys.exit(1)


def _end_with_the_command() -> None:
    """Wait for the end of the process that started this one: nobody is to write on when the command is killed."""
    command = multiprocessing.parent_process()
    assert command
    command.join()
    os._exit(1)
