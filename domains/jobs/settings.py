"""Settings of jobs."""

from pydantic import BaseModel, Field


class JobsSettings(BaseModel):
    """Times in seconds."""

    jobs_lease: float = Field(60, ge=2, le=3600, description="Seconds for which a silent worker keeps a job.")
    jobs_longest_timeout: float = Field(
        900,
        ge=1,
        le=86_400,
        description="Longest timeout that a job may declare; the program refuses to start with a longer one.",
    )
    jobs_heartbeat: float = Field(15, ge=0.5, le=600, description="Seconds between two renewals of a lease.")
    jobs_max_crashes: int = Field(3, ge=1, le=10, description="Deaths of workers in a job until it fails.")
    jobs_retry_base: float = Field(
        10, gt=0, le=3600, description="Seconds of pause after the first failed attempt."
    )
    jobs_retry_limit: float = Field(
        21_600, gt=0, le=86_400, description="Longest pause in seconds between two attempts."
    )
    jobs_cancel_grace: float = Field(
        10, ge=0, le=600, description="Seconds for a cancelled job to stop by itself."
    )
    jobs_unknown_limit: float = Field(
        86_400,
        ge=1,
        le=2_592_000,
        description="Seconds for which a job waits when no worker has its kind.",
    )
    jobs_relay_interval: float = Field(
        0.5, ge=0.05, le=60, description="Pause in seconds between two rounds of the relay."
    )
    # "Hint" is an older word for wake-up; names of settings are never changed.
    jobs_hint_grace: float = Field(
        1,
        ge=0,
        le=60,
        description="Seconds after a commit before the relay sends a wake-up too.",
    )
    jobs_look_interval: float = Field(
        10,
        ge=1,
        le=600,
        description="Seconds after which an idle worker looks for due jobs without a wake-up.",
    )
    jobs_hint_repeat: float = Field(
        30, ge=1, le=3600, description="Age in seconds at which a wake-up is sent again."
    )
    jobs_hint_window: int = Field(
        64, ge=1, le=10_000, description="Largest number of waiting wake-ups in a queue."
    )
    jobs_drain_limit: int = Field(
        500, ge=1, le=100_000, description="Due jobs that a worker runs after one wake-up."
    )
    jobs_drain_seconds: float = Field(
        5, ge=0, le=600, description="Seconds for which a worker claims jobs after one wake-up."
    )
    jobs_child_hints: int = Field(
        500,
        ge=1,
        le=1_000_000,
        description="Wake-ups after which a worker's child process is replaced; each is for many jobs.",
    )
    jobs_child_memory_bytes: int = Field(
        500 << 20,
        ge=64 << 20,
        le=1 << 40,
        description="Memory in bytes above which a worker's child process is replaced after its job.",
    )
    jobs_keep_succeeded_days: int = Field(7, ge=1, le=3650, description="Days that succeeded jobs are kept.")
    jobs_keep_cancelled_days: int = Field(30, ge=1, le=3650, description="Days that cancelled jobs are kept.")
    jobs_keep_failed_days: int = Field(90, ge=1, le=3650, description="Days that failed jobs are kept.")
    jobs_late_alarm: float = Field(
        30, ge=1, le=86_400, description="Age in seconds of the oldest due job at which the log warns."
    )
    jobs_owner_waiting: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="Largest number of waiting jobs of one owner; more are refused with 429.",
    )
    jobs_payload_bytes: int = Field(32_768, ge=1024, le=1 << 20, description="Largest payload in bytes.")
