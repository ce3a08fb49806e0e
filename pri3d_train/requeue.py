"""A SLURM job that ends for want of time puts itself back into the queue, to go on where it stopped."""

from __future__ import annotations

import os
import subprocess

from pri3d_data.errors import StorageError, UsageError

#: A controller busy with thousands of jobs answers late; the time limit's warning comes minutes ahead.
_PATIENCE_S = 60


def own_job() -> str:
    """This SLURM job's number.

    Raises:
        UsageError: this process is not part of a job.
    """
    job = os.environ.get("SLURM_JOB_ID", "")
    if not job:
        raise UsageError(
            "--requeue puts a SLURM job back into its queue, and this is none (SLURM_JOB_ID is not set): "
            "leave it out, or start with sbatch."
        )
    return job


def requeue(job: str) -> str:
    """Ask SLURM to run ``job`` again.

    Returns:
        A sentence that says so.

    Raises:
        StorageError: SLURM refused or cannot be asked.
    """
    try:
        done = subprocess.run(
            ["scontrol", "requeue", job], capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
        reason = done.stderr.strip() or f"status {done.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        done, reason = None, str(error)
    if done is None or done.returncode:
        raise StorageError(
            f"The run is saved, but job {job} could not be put back into the queue (scontrol requeue: "
            f"{reason}). Submit it again; it goes on from its last checkpoint."
        )
    return f"Job {job} is back in the queue."
