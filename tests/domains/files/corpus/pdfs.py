"""PDFs written by hand: numbered objects, a cross-reference table, and fonts without glyphs but with text."""

import zlib
from collections.abc import Mapping

CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"


def pdf(objects: Mapping[int, bytes], *, trailer: bytes = b"") -> bytes:
    """Return a PDF of these objects; number 1 is its catalog."""
    out, offsets = bytearray(b"%PDF-1.7\n"), {}
    for number, body in objects.items():
        offsets[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start, size = len(out), max(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n" % size
    for number in range(1, size):
        out += b"%010d 00000 %c \n" % (offsets.get(number, 0), b"n" if number in offsets else b"f")
    out += b"trailer<</Root 1 0 R/Size %d%s>>\nstartxref\n%d\n%%%%EOF\n" % (size, trailer, start)
    return bytes(out)


def stream(content: bytes, entries: bytes = b"") -> bytes:
    """Return the body of a stream object."""
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (entries, len(content), content)


def page(
    content: bytes,
    *,
    box: bytes = b"0 0 600 800",
    resources: bytes = b"",
    more: Mapping[int, bytes] | None = None,
    entries: bytes = b"",
    catalog: bytes = CATALOG,
    trailer: bytes = b"",
) -> bytes:
    """Return a PDF of one page; objects from number 5 on are free."""
    leaf = b"<</Type/Page/Parent 2 0 R/MediaBox[%s]/Contents 4 0 R/Resources<<%s>>%s>>" % (
        box,
        resources,
        entries,
    )
    objects = {1: catalog, 2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>", 3: leaf, 4: stream(content)}
    return pdf(objects | dict(more or {}), trailer=trailer)


def pages(contents: list[bytes], resources: bytes = b"", more: Mapping[int, bytes] | None = None) -> bytes:
    """Return a PDF with a page for each content; objects from 5 to 99 are free."""
    objects = {1: CATALOG, **dict(more or {})}
    kids = []
    for number, content in enumerate(contents):
        leaf, body = 100 + 2 * number, 101 + 2 * number
        kids.append(b"%d 0 R" % leaf)
        entries = b"/Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents %d 0 R/Resources<<%s>>" % (
            body,
            resources,
        )
        objects |= {leaf: b"<<%s>>" % entries, body: stream(content)}
    objects[2] = b"<</Type/Pages/Kids[%s]/Count %d>>" % (b" ".join(kids), len(kids))
    return pdf(objects)


def written(*lines: str, visual: bool = False) -> bytes:
    """Return a PDF with these lines in a font that maps glyphs to characters; `visual` puts them from left to right."""
    shown = [line[::-1] if visual else line for line in lines]
    characters = {character: number for number, character in enumerate(sorted(set("".join(shown))), 1)}

    def glyph(character: str) -> str:
        return f"{characters[character]:04x}"

    drawn = b"".join(
        b"BT /F 12 Tf 50 %d Td <%s> Tj ET\n"
        % (700 - 16 * number, b"".join(b"%04x" % characters[each] for each in line))
        for number, line in enumerate(shown)
    )
    return page(drawn, resources=b"/Font<</F 5 0 R>>", more=font({n: c for c, n in characters.items()}))


def font(characters: Mapping[int, str]) -> dict[int, bytes]:
    """Return objects 5 to 8: a font whose glyph `n` is a character."""
    pairs = b" ".join(
        b"<%04x><%s>" % (number, character.encode("utf-16-be").hex().encode())
        for number, character in characters.items()
    )
    table = (
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /T def 1 begincodespacerange <0000>"
        b"<ffff> endcodespacerange %d beginbfchar %s endbfchar endcmap end end" % (len(characters), pairs)
    )
    return {
        5: b"<</Type/Font/Subtype/Type0/BaseFont/F/Encoding/Identity-H/DescendantFonts[6 0 R]/ToUnicode 7 0 R>>",
        6: b"<</Type/Font/Subtype/CIDFontType2/BaseFont/F/DW 600/FontDescriptor 8 0 R"
        b"/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>",
        7: stream(table),
        8: b"<</Type/FontDescriptor/FontName/F/Flags 4/FontBBox[0 -200 1000 900]/ItalicAngle 0/Ascent 800/Descent -200"
        b"/CapHeight 700/StemV 80>>",
    }


def form(value: bytes, *, appearance: bool, actions: bytes = b"", entries: bytes = b"") -> bytes:
    """Return a PDF whose one text field was filled in, with or without a stream that draws it.

    `actions` are entries of the field, `entries` those of the document's form. Object 8 is an XFA form.
    """
    fonts = b"/Resources<</Font<</Helv 7 0 R>>>>"
    drawing = b"/Tx BMC q BT /Helv 40 Tf 4 30 Td (%s) Tj ET Q EMC" % value
    shown = b"/AP<</N 6 0 R>>" if appearance else b""
    more = {
        5: b"<</Type/Annot/Subtype/Widget/FT/Tx/F 4/T(name)/V(%s)/DA(/Helv 40 Tf 0 g)/P 3 0 R/Rect[50 100 350 200]%s>>"
        % (value, shown + actions),
        6: stream(drawing, b"/Type/XObject/Subtype/Form/BBox[0 0 300 100]" + fonts),
        7: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        8: stream(b"<xdp:xdp xmlns:xdp='http://ns.adobe.com/xdp/'><template/></xdp:xdp>"),
    }
    fields = (
        b"/AcroForm<</DA(/Helv 40 Tf 0 g)/DR<</Font<</Helv 7 0 R>>>>/Fields[5 0 R]/NeedAppearances %s%s>>"
        % (b"false" if appearance else b"true", entries)
    )
    catalog = b"<</Type/Catalog/Pages 2 0 R%s>>" % fields
    return page(b"", box=b"0 0 400 300", entries=b"/Annots[5 0 R]", catalog=catalog, more=more)


def no_pages() -> bytes:
    """Return a sound PDF with nothing in it."""
    return pdf({1: CATALOG, 2: b"<</Type/Pages/Kids[]/Count 0>>"})


def deep(levels: int) -> bytes:
    """Return a PDF whose only page lies this many folders deep."""
    objects = {1: CATALOG}
    for number in range(2, levels + 2):
        objects[number] = b"<</Type/Pages/Kids[%d 0 R]/Count 1/Parent %d 0 R>>" % (number + 1, number - 1)
    objects[levels + 2] = b"<</Type/Page/Parent %d 0 R/MediaBox[0 0 10 10]>>" % (levels + 1)
    return pdf(objects)


def multiplied(levels: int) -> bytes:
    """Return a PDF that draws a drawing ten times, each of which draws another one ten times, and so on."""
    drawing = b"/Type/XObject/Subtype/Form/BBox[0 0 600 800]"
    drawings = {
        number: stream(b"/F Do " * 10, drawing + b"/Resources<</XObject<</F %d 0 R>>>>" % (number + 1))
        for number in range(5, 5 + levels)
    }
    last = {5 + levels: stream(b"0 0 1 1 re f", drawing)}
    return page(b"/F Do", resources=b"/XObject<</F 5 0 R>>", more=drawings | last)


def inflated(megabytes: int) -> bytes:
    """Return a PDF whose compressed page writes so much text."""
    packer = zlib.compressobj(9)
    piece = b"BT /F 9 Tf 1 1 Td (x) Tj ET " * 37_000
    content = b"".join(packer.compress(piece) for _ in range(megabytes)) + packer.flush()
    more = {4: stream(content, b"/Filter/FlateDecode"), 5: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"}
    return page(b"", resources=b"/Font<</F 5 0 R>>", more=more)


def tiles(step: bytes) -> bytes:
    """Return a PDF of 1 KiB whose page is filled with a pattern of tiny tiles, over and over."""
    pattern = b"/Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 1 1]/Resources<<>>"
    steps = b"/XStep %s/YStep %s" % (step, step)
    return page(
        b"/Pattern cs /P scn 0 0 600 800 re f " * 50,
        resources=b"/Pattern<</P 5 0 R>>",
        more={5: stream(b"0 0 1 1 re f", pattern + steps)},
    )
