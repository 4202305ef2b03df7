"""Language tags (BCP 47: RFC 5646), with extensions (`ar-EG-u-nu-latn`, RFC 6067) and private use."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

MAX_TAG = 100
"""Characters of a tag. RFC 5646 (section 4.4.1) asks for 35 without extensions, and has no limit for those with."""

_PRIVATE = "[xX](-[A-Za-z0-9]{1,8})+"
_TAG = (
    "^(([A-Za-z]{2,3}(-[A-Za-z]{3}){0,3}|[A-Za-z]{4,8})"  # language, extended
    "(-[A-Za-z]{4})?"  # script
    "(-([A-Za-z]{2}|[0-9]{3}))?"  # region
    "(-([A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*"  # variants
    "(-[0-9A-WY-Za-wy-z](-[A-Za-z0-9]{2,8})+)*"  # extensions
    f"(-{_PRIVATE})?|{_PRIVATE})$"
)
_FORM = re.compile(_TAG)
_REGION, _SCRIPT = 2, 4


def canonical_tag(tag: str) -> str:
    """Return a tag in the case that RFC 5646 (section 2.1.1) recommends: `zh-Hant-TW`, `ar-EG-u-nu-latn`.

    Raises:
        ValueError: it is no well-formed tag, or names a variant or an extension twice.
    """
    if len(tag) > MAX_TAG or not _FORM.fullmatch(tag):
        message = "must be a language tag as in BCP 47, like `en` or `de-AT`"
        raise ValueError(message)
    first, *others = tag.lower().split("-")
    in_extension, seen, parts = first == "x", set[str](), [first]
    for part in others:
        if len(part) == 1 and "x" not in parts:
            in_extension = True
        repeatable = in_extension and (len(part) > 1 or "x" in parts)
        if not repeatable and part in seen:
            message = "must not name a variant or an extension twice"
            raise ValueError(message)
        seen.add("" if repeatable else part)
        parts.append(part if in_extension else _cased(part))
    return "-".join(parts)


def _cased(part: str) -> str:
    if len(part) == _REGION:
        return part.upper()
    return part.title() if len(part) == _SCRIPT and part.isalpha() else part


LanguageTag = Annotated[
    str,
    Field(
        max_length=MAX_TAG,
        json_schema_extra={"pattern": _TAG},
        description="The language for mails, a tag as in BCP 47.",
        examples=["en", "de-AT"],
    ),
    AfterValidator(canonical_tag),
]
