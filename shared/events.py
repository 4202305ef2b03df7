"""Facts that other domains may react to: past tense, frozen, carrying ids only."""

from typing import ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Resource(BaseModel):
    """The entity that an event or a job is about: the name of its type and its id."""

    model_config = ConfigDict(frozen=True)

    type: str
    id: UUID


class Event(BaseModel):
    """Base of events. `Outbox.publish` writes one job row for each `JobType(..., on=...)`, in the open transaction."""

    model_config = ConfigDict(frozen=True)
    about: ClassVar[str] = ""
    """Type of the entity that it is about. With `file`, the id is in the field `file_id`."""

    owner_id: UUID | None = None

    @property
    def resource(self) -> Resource | None:
        """What the event is about; jobs that it causes are listed with it."""
        return Resource(type=self.about, id=getattr(self, f"{self.about}_id")) if self.about else None


class OwnedEvent(Event):
    """Base of an event about something that always has an owner."""

    owner_id: UUID
