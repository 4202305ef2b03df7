"""What can be set about users."""

from pydantic import BaseModel, Field

from shared.languages import LanguageTag


class UsersSettings(BaseModel):
    """Defaults of new users."""

    users_default_locale: LanguageTag | None = Field(
        None,
        description="Language of mails to people who named none, a tag as in BCP 47; by default the templates' own.",
    )
