"""Names in a generated domain, and errors about its fields."""

import pytest

from tools.scaffold.names import NameRefused, singular_of, with_article
from tools.scaffold.plan import plan_domain
from tools.scaffold.public_api import ReferencedEntity, referenced_entity_of

PLURALS = {
    "movies": "movie",
    "cookies": "cookie",
    "categories": "category",
    "countries": "country",
    "statuses": "status",
    "buses": "bus",
    "houses": "house",
    "addresses": "address",
    "boxes": "box",
    "lenses": "lens",
    "licenses": "license",
    "classes": "class",
    "viruses": "virus",
    "gases": "gas",
    "analyses": "analysis",
    "bases": "base",
    "cases": "case",
    "crises": "crisis",
    "axes": "axe",
    "matrices": "matrix",
    "indices": "index",
    "vertices": "vertex",
    "invoices": "invoice",
    "services": "service",
    "prices": "price",
    "criteria": "criterion",
    "media": "medium",
    "heroes": "hero",
    "potatoes": "potato",
    "shoes": "shoe",
    "photos": "photo",
    "videos": "video",
    "knives": "knife",
    "leaves": "leaf",
    "archives": "archive",
    "moves": "move",
    "people": "person",
    "children": "child",
    "women": "woman",
    "mice": "mouse",
    "feet": "foot",
    "purchase_orders": "purchase_order",
    "tax_indices": "tax_index",
    "sales_people": "sales_person",
}


@pytest.mark.parametrize(("plural", "singular"), PLURALS.items())
def test_a_plural_has_its_singular(plural, singular):
    assert singular_of(plural) == singular


@pytest.mark.parametrize("plural", ["series", "species", "news", "sheep", "equipment", "movie", "feedback"])
def test_where_one_and_many_are_the_same_the_singular_is_asked_for(plural):
    with pytest.raises(NameRefused, match=f"--singular {plural}_entry"):
        singular_of(plural)


@pytest.mark.parametrize("text", ["an invoice", "an hour", "a user", "an umbrella", "a purchase order"])
def test_an_article_is_as_it_is_spoken(text):
    assert with_article(text.partition(" ")[2]) == text


def test_what_a_domain_calls_its_own_is_read_not_guessed(tmp_path):
    (tmp_path / "series").mkdir()
    question = (
        "class Shows(Protocol):\n    async def exists(self, show_id: UUID, owner_id: UUID) -> bool: ...\n"
    )
    (tmp_path / "series/public.py").write_text(question)
    assert referenced_entity_of("series", tmp_path) == ReferencedEntity("Shows", "show")
    assert referenced_entity_of("users") == ReferencedEntity("UserDirectory", "user")
    assert referenced_entity_of("emails") is None


@pytest.mark.parametrize(
    ("field", "said", "filters"),
    [
        ("title:str", "Title of the trial movie.", ["Only those whose title is exactly this."]),
        ("seats:int", "Seats of the trial movie.", ["Only those whose seats are exactly this."]),
        (
            "private:bool:optional",
            "Whether the trial movie is private; null: unknown.",
            ["true: those that are private; false: the others."],
        ),
        (
            "has_subtitles:bool",
            "Whether the trial movie has subtitles.",
            ["true: those that have subtitles; false: the others."],
        ),
        (
            "state:enum(made,cut,shown)",
            "State of the trial movie: made, cut or shown.",
            ["Only those whose state is exactly this."],
        ),
        (
            "shown_on:date",
            "Shown on this day.",
            ["Shown on this day or later.", "Shown on this day or earlier."],
        ),
        (
            "released:date",
            "Released on this day.",
            ["Released on this day or later.", "Released on this day or earlier."],
        ),
        (
            "premiere:datetime",
            "Premiere of the trial movie.",
            [
                "Only those whose premiere is this moment or later.",
                "Only those whose premiere is this moment or earlier.",
            ],
        ),
        (
            "director:ref:users:optional",
            "Id of the trial movie's director, one of the users; null: none.",
            ["Only those whose director has this id."],
        ),
        ("notes:text", "Notes of the trial movie.", []),
    ],
)
def test_what_is_said_of_a_field_says_something(field, said, filters):
    plan = plan_domain("trial_movies", [field])
    assert [text.strip('"') for text in plan["meanings"].values()] == [said]
    assert [told["meaning"].strip('"') for told in plan["filters"]] == filters


def test_an_amount_names_its_currency():
    plan = plan_domain("trial_movies", ["price:money"])
    told = {told["name"]: told["meaning"] for told in plan["filters"]}
    assert plan["meanings"] == {
        "price_amount": '"Amount of the trial movie\'s price, in `price_currency`."',
        "price_currency": '"Currency of the trial movie\'s price, a code as in ISO 4217."',
    }
    assert told == {
        "price_amount_from": '"Only those whose price is at least this; needs `price_currency`."',
        "price_amount_to": '"Only those whose price is at most this; needs `price_currency`."',
        "price_currency": '"Only those whose price is in this currency."',
    }
