"""Settings of users."""

from pydantic import BaseModel, Field

from shared.languages import LanguageTag


class UsersSettings(BaseModel):
    """Defaults of new users."""

    users_default_locale: LanguageTag | None = Field(
        None,
        description="Language of mails to people without a language, as a BCP 47 tag; by default that of the"
        " templates.",
    )
