"""What can be set about users."""

from pydantic import BaseModel, Field


class UsersSettings(BaseModel):
    """Defaults of new users."""

    users_default_locale: str | None = Field(
        None,
        description="Language of mails to people who named none, a tag as in BCP 47; by default the templates' own.",
        max_length=35,
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
    )
