"""Labels as dots: a drawing becomes a PNG, and a photo becomes the texts of the QR codes in it.

This is the one module that knows Pillow and zxing-cpp; both come with the extra "factory".
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from citymote.errors import MissingExtra, UsageError

from .drawing import Drawing


def _pillow(purpose: str) -> Any:
    try:
        from PIL import Image, ImageDraw, ImageFont, ImageOps
    except ImportError:
        raise MissingExtra("pillow", "factory", purpose) from None
    return Image, ImageDraw, ImageFont, ImageOps


def png(page: Drawing, dpi: int) -> bytes:
    """A black and white PNG of that resolution. Rectangles end at whole dots, so that modules meet without a seam."""
    image_of, draw_on, font_of, _ = _pillow("drawing PNG labels")
    scale = dpi / 25.4
    image = image_of.new("L", (round(page.width * scale), round(page.height * scale)), 255)
    canvas = draw_on.Draw(image)
    for r in page.rectangles:
        right, bottom = round((r.x + r.width) * scale) - 1, round((r.y + r.height) * scale) - 1
        canvas.rectangle((round(r.x * scale), round(r.y * scale), right, bottom), fill=0)
    for t in page.texts:
        # Pillow's own typeface has unequal widths: each character gets its place by itself
        font = font_of.load_default(size=max(1.0, t.size * scale))
        for place, character in enumerate(t.text):
            x = (t.x + (place + 0.5) * t.width / len(t.text)) * scale
            canvas.text((x, t.y * scale), character, fill=0, font=font, anchor="ms", stroke_width=int(t.bold))
    out = io.BytesIO()
    image.save(out, "PNG", dpi=(dpi, dpi), optimize=True)
    return out.getvalue()


def codes(path: Path) -> list[str]:
    """The texts of all QR codes in an image, a photo as it comes from a telephone; OSError where it is no image."""
    image_of, _, _, ops = _pillow("reading labels from images")
    try:
        import zxingcpp
    except ImportError:
        raise MissingExtra("zxing-cpp", "factory", "reading labels from images") from None
    try:
        with image_of.open(path) as opened:
            image = ops.exif_transpose(opened).convert("L")
    except image_of.DecompressionBombError:
        raise UsageError(f"{path} is too large an image", "", "Cut the label out of it.") from None
    found: Any = zxingcpp.read_barcodes(image, formats=zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCode]))
    return [str(one.text) for one in found]
