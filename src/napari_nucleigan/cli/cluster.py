"""``nucleigan cluster``: workers for whole slides, on this machine or as jobs of Slurm."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nucleigan.base.devices import usable_cores
from napari_nucleigan.base.errors import ExtraError, RunError
from napari_nucleigan.base.files import write_text
from napari_nucleigan.cli.console import handle_errors, print_line, print_message

if TYPE_CHECKING:
    from collections.abc import Iterator

CORES = 4
"""Cores of a worker: the network computes with all of them, and more are used less well."""

MEMORY = 4.0
"""Gigabytes of a worker: a tile takes 2.5, and what is beyond the limit ends the worker and not the machine."""

app = typer.Typer(help="Start workers for whole slides, and say how to use them.", no_args_is_help=True)

File = Annotated[
    Path,
    typer.Option(
        "--file", help="Written while the cluster runs; `nucleigan segment --scheduler FILE` finds it by that."
    ),
]
_FILE = Path("nucleigan-cluster.json")


@app.command()
@handle_errors
def local(
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes, each with a copy of the model. By default one for every four cores."),
    ] = None,
    memory: Annotated[float, typer.Option(min=1, help="Gigabytes that each may take.")] = MEMORY,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the dashboard, which only this machine reaches.")] = (
        8787
    ),
    file: File = _FILE,
) -> None:
    """Start workers on this machine; they run until Ctrl-C."""
    with _extra("distributed", "slides"):
        import dask
        from distributed import LocalCluster

    cores = usable_cores()
    count = workers or max(1, cores // CORES)
    each = max(1, cores // count)
    # dask gives each thread of its own one core of the network, unless it is told.
    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ.OMP_NUM_THREADS": each}),
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            memory_limit=f"{memory}GB",
            dashboard_address=f"127.0.0.1:{port}",
        ) as cluster,
    ):
        _serve(cluster, file, f"{_several(count, 'worker')} of {_several(each, 'core')} and {memory:g} GB each")


@app.command()
@handle_errors
def slurm(
    queue: Annotated[str, typer.Option(help="Partition of Slurm.")] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Jobs at once, at most; as many run as there is work.")] = 8,
    cores: Annotated[int, typer.Option(min=1, help="Cores of each job.")] = CORES,
    memory: Annotated[float, typer.Option(min=1, help="Gigabytes of each job.")] = 2 * MEMORY,
    gpus: Annotated[int, typer.Option(min=0, max=1, help="GPUs of each job.")] = 0,
    hours: Annotated[float, typer.Option(min=0.1, help="Time of each job; one that ends is replaced.")] = 4.0,
    prologue: Annotated[
        list[str] | None,
        typer.Option(help="Line of the job's script before the worker, as `module load python`; may be repeated."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the script of a job, and start nothing.")] = False,
    file: File = _FILE,
) -> None:
    """Start workers as jobs of Slurm; they come and go with the work until Ctrl-C."""
    with _extra("dask_jobqueue", "slurm"):
        from dask_jobqueue import SLURMCluster

    if not show and which("sbatch") is None:
        raise RunError(
            "Slurm's command sbatch is not found here; run this where jobs are submitted from, or with --show."
        )
    minutes = round(60 * hours)
    cluster = SLURMCluster(
        queue=queue or None,
        cores=1,  # tiles that a worker has in hand; its network computes with all cores
        processes=1,
        job_cpu=cores,
        memory=f"{memory}GB",
        walltime=f"{minutes // 60:02d}:{minutes % 60:02d}:00",
        job_extra_directives=[f"--gres=gpu:{gpus}"] if gpus else [],
        job_script_prologue=[*(prologue or ()), f"export OMP_NUM_THREADS={cores}"],
        # A worker ends a few minutes before its job would be ended, and hands back what it has in hand.
        worker_extra_args=["--lifetime", f"{max(1, minutes - 5)}m", "--lifetime-stagger", "2m"],
    )
    with cluster:
        if show:
            for line in cluster.job_script().splitlines():
                print_line(line)
            return
        cluster.adapt(minimum_jobs=0, maximum_jobs=jobs)
        _serve(cluster, file, f"up to {_several(jobs, 'job')} of {_several(cores, 'core')} and {memory:g} GB each")


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _serve(cluster: Any, file: Path, what: str) -> None:
    """Say where a cluster is, and keep it until somebody ends it."""
    if file.exists():
        raise RunError(
            f"{file} is there: another cluster runs, or has ended badly; remove it, or choose another --file."
        )
    write_text(file, json.dumps({"address": cluster.scheduler_address}))
    try:
        print_message(f"{what}; scheduler {cluster.scheduler_address}")
        board = cluster.dashboard_link if find_spec("bokeh") else "needs bokeh: pip install bokeh"
        print_message(f"dashboard: {board}")
        print_message(f"nucleigan segment SLIDE... -o OUT --scheduler {file}")
        while True:
            time.sleep(0.5)
    finally:
        file.unlink(missing_ok=True)


@contextmanager
def _extra(module: str, extra: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ExtraError(
            f'A cluster needs {module}, which is not installed; run: pip install "napari-nucleigan[{extra}]"'
        ) from error
