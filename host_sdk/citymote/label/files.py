"""Labels as files: drawings become SVG, PDF or PNG, and images or texts become labels again.

SVG and PDF are written here, because a label needs rectangles and one typeface of them. Files of labels are their
owner's alone (mode 0600), and no file is named after what is secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from xml.sax.saxutils import escape

from citymote.errors import UsageError
from citymote.output_files import written

from . import raster
from .code import Label, LabelError, is_payload
from .drawing import Drawing

POINTS = 72 / 25.4
_WEIGHTS = ("normal", "bold")
_FONTS = (b"Courier", b"Courier-Bold")
_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic")


class Graphic(StrEnum):
    """What a drawing can be written as."""

    PNG = "png"
    SVG = "svg"
    PDF = "pdf"


def write(path: Path, pages: Sequence[Drawing], *, dpi: int = 300) -> list[Path]:
    """Write pages in the form that the path's ending names. PNG and SVG have one page a file: more are numbered."""
    try:
        form = Graphic(path.suffix[1:].lower())
    except ValueError:
        raise UsageError(f"{path} names no form", f"it ends in {', '.join(form.value for form in Graphic)}") from None
    if form is Graphic.PDF:
        return [_save(path, pdf(pages))]
    written: list[Path] = []
    for number, page in enumerate(pages, 1):
        one = path if len(pages) == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        written.append(_save(one, svg(page).encode() if form is Graphic.SVG else raster.png(page, dpi)))
    return written


def _save(path: Path, data: bytes) -> Path:
    try:
        with written(path, 0o600) as file:
            file.write(data)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}", error.strerror or str(error), "Check the folder and the disk."
        ) from None
    return path


def load(path: Path) -> list[Label]:
    """Every label in an image, or in a text file with one payload a line. LabelError when there is none."""
    try:
        if path.suffix.lower() in _IMAGES:
            texts = raster.codes(path)
        else:
            texts = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is neither an image nor a text"
        raise UsageError(f"cannot read {path}", why) from None
    labels = [Label.parse(text) for text in texts if is_payload(text)]
    if not labels:
        raise LabelError(
            f"there is no label in {path}",
            "no QR code of a node was found" if path.suffix.lower() in _IMAGES else "no line is a label",
            "Take the photo nearer, straight on and in even light." if path.suffix.lower() in _IMAGES else "",
        )
    return list(dict.fromkeys(labels))


def svg(page: Drawing) -> str:
    """SVG 1.1: one path for all that is black, texts in a typeface of equal widths."""
    path = "".join(f"M{_n(r.x)} {_n(r.y)}h{_n(r.width)}v{_n(r.height)}h{_n(-r.width)}z" for r in page.rectangles)
    texts = "".join(
        f'<text x="{_n(t.x)}" y="{_n(t.y)}" font-size="{_n(t.size)}" font-weight="{_WEIGHTS[t.bold]}" '
        f'textLength="{_n(t.width)}" lengthAdjust="spacingAndGlyphs">{escape(t.text)}</text>\n'
        for t in page.texts
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(page.width)}mm" height="{_n(page.height)}mm" '
        f'viewBox="0 0 {_n(page.width)} {_n(page.height)}">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n<path d="{path}"/>\n'
        f'<g font-family="Courier New, Courier, monospace">\n{texts}</g>\n</svg>\n'
    )


def _n(number: float) -> str:
    return f"{number:.4f}".rstrip("0").rstrip(".") or "0"


def pdf(pages: Sequence[Drawing]) -> bytes:
    """PDF 1.4 (ISO 32000-1) with its own Courier: it prints at the size it says, without a dialogue's scaling."""
    objects: list[bytes] = [b"<</Type/Catalog/Pages 2 0 R/ViewerPreferences<</PrintScaling/None>>>>", b""]
    objects += [b"<</Type/Font/Subtype/Type1/BaseFont/%s/Encoding/WinAnsiEncoding>>" % name for name in _FONTS]
    kids: list[bytes] = []
    for page in pages:
        content = _content(page)
        kids.append(b"%d 0 R" % (len(objects) + 1))
        box = f"{_n(page.width * POINTS)} {_n(page.height * POINTS)}".encode()
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %s]/Resources<</Font<</F1 3 0 R/F2 4 0 R>>>>/Contents %d 0 R>>"
            % (box, len(objects) + 2)
        )
        objects.append(b"<</Length %d>>\nstream\n%s\nendstream" % (len(content), content))
    objects[1] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(kids), b" ".join(kids))
    out, places = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), list[int]()
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def _content(page: Drawing) -> bytes:
    """One page's drawing operators; PDF counts upwards from the lower left corner, in points."""
    lines: list[str] = []
    for r in page.rectangles:
        numbers = (r.x, page.height - r.y - r.height, r.width, r.height)
        lines.append(" ".join(_n(number * POINTS) for number in numbers) + " re")
    lines.append("f")
    for t in page.texts:
        text = t.text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
        place = f"{_n(t.x * POINTS)} {_n((page.height - t.y) * POINTS)}"
        lines.append(f"BT /F{2 if t.bold else 1} {_n(t.size * POINTS)} Tf {place} Td ({text}) Tj ET")
    return "\n".join(lines).encode("cp1252", "replace")
