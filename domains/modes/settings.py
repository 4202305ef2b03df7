"""Settings of modes."""

from typing import Literal

from pydantic import BaseModel, Field


class ModesSettings(BaseModel):
    """The mode of a process, and how soon it follows the one in the database."""

    mode: Literal["normal", "read-only", "maintenance"] = Field(
        "normal",
        description="Mode of this process: accept all requests, only reads, or none. `tulou mode set` changes it for"
        " all"
        " processes without a restart; the stricter of both applies.",
    )
    mode_interval: float = Field(
        2, gt=0, le=60, description="Seconds between two queries of the mode that `tulou mode set` has set."
    )
