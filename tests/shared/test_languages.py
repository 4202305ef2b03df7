import pytest

from shared.languages import canonical_tag


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("EN", "en"),
        ("de-at", "de-AT"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("ar-eg-u-nu-latn", "ar-EG-u-nu-latn"),
        ("th-TH-U-CA-Buddhist-nu-thai", "th-TH-u-ca-buddhist-nu-thai"),
        ("sl-rozaj-biske-1994", "sl-rozaj-biske-1994"),
        ("es-419", "es-419"),
        ("sgn-BE-FR".replace("-FR", ""), "sgn-BE"),
        ("zh-yue-HK", "zh-yue-HK"),
        ("de-CH-x-Phonebk-a-a", "de-CH-x-phonebk-a-a"),
        ("x-Whatever", "x-whatever"),
        ("en-a-bbb-x-a-ccc", "en-a-bbb-x-a-ccc"),
        ("en-t-es-u-nu-latn", "en-t-es-u-nu-latn"),
        ("hy-Latn-IT-arevela", "hy-Latn-IT-arevela"),
    ],
)
def test_a_tag_gets_its_canonical_case(given, kept):
    assert canonical_tag(given) == kept
    assert canonical_tag(kept) == kept


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "e",
        "english language",
        "en_US",
        "en-",
        "en-u",
        "ar-EG-u",
        "en-a-bb-a-cc",
        "de-DE-1901-1901",
        "x",
        "a-DE",
        "en--US",
        "en\n",
        "\uff45\uff4e",
        "x" + "-abcdefgh" * 12,
    ],
)
def test_what_is_no_tag_is_refused(tag):
    with pytest.raises(ValueError, match=r"a language tag|twice"):
        canonical_tag(tag)
