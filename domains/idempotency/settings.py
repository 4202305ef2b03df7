"""Settings of idempotency."""

from pydantic import BaseModel, Field


class IdempotencySettings(BaseModel):
    """Settings of responses stored for `Idempotency-Key`."""

    idempotency_keep_hours: int = Field(
        24, ge=1, le=720, description="Hours for which a repeated request gets the stored response."
    )
    idempotency_lease: float = Field(
        60, ge=1, le=3600, description="Seconds after which an interrupted request can be repeated."
    )
    idempotency_max_body_bytes: int = Field(
        65_536, ge=0, le=1 << 24, description="Largest stored body of a response in bytes."
    )
