"""What can be set about requests that are sent again."""

from pydantic import BaseModel, Field


class IdempotencySettings(BaseModel):
    """How answers are kept for `Idempotency-Key`."""

    idempotency_keep_hours: int = Field(
        24, ge=1, le=720, description="Hours for which a request that is sent again gets its first answer."
    )
    idempotency_lease: float = Field(
        60, ge=1, le=3600, description="Seconds after which a request that never ended may be begun anew."
    )
    idempotency_max_body_bytes: int = Field(
        65_536, ge=0, le=1 << 24, description="Largest body of an answer that is kept."
    )
