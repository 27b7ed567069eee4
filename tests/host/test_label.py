"""Labels: what is written is what is read, in text and in pictures; what is misread is refused; secrets stay inside."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citymote import label as labels
from citymote.crypto import HostCrypto
from citymote.errors import UsageError
from citymote.label import Label, LabelError
from citymote.label.code import ALPHABET, CHECK, crc24
from citymote_protocol import p256

VECTORS = Path(__file__).resolve().parents[2] / "protocol" / "vectors"
GOOD: list[dict[str, Any]] = json.loads((VECTORS / "label.json").read_text())["cases"]
BAD: list[dict[str, str]] = json.loads((VECTORS / "label-bad.json").read_text())["cases"]
NODES = st.binary(min_size=6, max_size=6).map(bytes.hex)
SECRETS = st.binary(min_size=16, max_size=16)


def made(number: int = 0) -> Label:
    return Label(bytes.fromhex(GOOD[number]["public_key"]), bytes.fromhex(GOOD[number]["claim_secret"]))


def drawn(seed: int, secret: bytes) -> Label:
    crypto = HostCrypto()
    return Label(crypto.compressed(p256.run(crypto.public_steps(seed.to_bytes(32, "big")))), secret)


# -- the text ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", GOOD, ids=[case["node"] for case in GOOD])
def test_published_labels_are_written_and_read_back(case: dict[str, Any]) -> None:
    label = Label(bytes.fromhex(case["public_key"]), bytes.fromhex(case["claim_secret"]))
    assert (label.text(), label.node, label.short_code) == (case["payload"], case["node"], case["short_code"])
    for text in (case["payload"], *case["spellings"]):
        assert Label.parse(text) == label
    assert labels.node_of_short_code(case["short_code"]) == case["node"]


@pytest.mark.parametrize("case", BAD, ids=[case["why"] for case in BAD])
def test_what_is_no_label_is_refused_without_repeating_it(case: dict[str, str]) -> None:
    with pytest.raises(LabelError) as raised:
        if "payload" in case:
            Label.parse(case["payload"])
        else:
            labels.node_of_short_code(case["short_code"])
    if "payload" in case:
        assert case["payload"][4:20] not in str(raised.value)


def test_the_checksum_is_openpgps() -> None:
    assert crc24(b"123456789") == 0x21CF02  # the published check value of CRC-24/OPENPGP


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2**255), SECRETS)
def test_any_label_comes_back(seed: int, secret: bytes) -> None:
    label = drawn(seed, secret)
    assert Label.parse(label.text()) == label
    assert labels.node_of_short_code(label.short_code) == label.node


@settings(max_examples=150, deadline=None)
@given(NODES)
def test_every_wrong_symbol_of_a_short_code_is_caught(node: str) -> None:
    code = labels.short_code(node).replace("-", "")
    for place, right in enumerate(code):
        for wrong in CHECK:
            if wrong != right:
                with pytest.raises(LabelError):
                    labels.node_of_short_code(code[:place] + wrong + code[place + 1 :])


@settings(max_examples=150, deadline=None)
@given(NODES)
def test_every_exchange_of_neighbours_in_a_short_code_is_caught(node: str) -> None:
    code = labels.short_code(node).replace("-", "")
    for place in range(len(code) - 1):
        if code[place] != code[place + 1]:
            with pytest.raises(LabelError):
                labels.node_of_short_code(code[:place] + code[place + 1] + code[place] + code[place + 2 :])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_wrong_symbol_of_a_payload_is_caught(data: st.DataObject) -> None:
    label = made(data.draw(st.integers(0, len(GOOD) - 1)))
    text = label.text()
    place = data.draw(st.integers(4, len(text) - 1))
    wrong = data.draw(st.sampled_from([symbol for symbol in ALPHABET if symbol != text[place]]))
    with pytest.raises(LabelError):
        Label.parse(text[:place] + wrong + text[place + 1 :])


@given(st.text(max_size=120))
def test_no_text_makes_reading_fail_otherwise(text: str) -> None:
    for read in (Label.parse, labels.node_of_short_code, lambda one: Label.parse("CM1:" + one)):
        try:
            read(text)
        except LabelError:
            continue


def test_a_label_tells_nobody_its_secret() -> None:
    label = made(3)
    said = f"{label!r} {label} {[label]}"
    assert label.secret.hex() not in said
    assert label.text()[4:] not in said
    assert label.node in said


# -- pictures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def readers() -> None:
    pytest.importorskip("segno")
    pytest.importorskip("zxingcpp")
    pytest.importorskip("PIL")


@pytest.mark.usefixtures("readers")
@pytest.mark.parametrize(("width", "height"), [(50, 25), (38.1, 21.2), (70, 36), (20, 20)])
def test_a_png_of_any_size_is_read_back(width: float, height: float, tmp_path: Path) -> None:
    path = tmp_path / "label.png"
    labels.write(path, [labels.draw(made(), title="A product with a long name", width=width, height=height)])
    assert labels.load(path) == [made()]


@pytest.mark.usefixtures("readers")
def test_a_turned_blurred_and_dim_photo_is_read_back(tmp_path: Path) -> None:
    from PIL import Image, ImageFilter

    labels.write(tmp_path / "label.png", [labels.draw(made(3))], dpi=400)
    with Image.open(tmp_path / "label.png") as opened:
        photo = opened.convert("RGB").rotate(17, expand=True, fillcolor=(200, 190, 180)).resize((700, 500))
    photo = photo.filter(ImageFilter.GaussianBlur(1.2)).point(lambda value: int(value * 0.6) + 20)
    photo.save(tmp_path / "photo.jpg", quality=70)
    assert labels.load(tmp_path / "photo.jpg") == [made(3)]


@pytest.mark.usefixtures("readers")
@pytest.mark.parametrize("paper", labels.SHEETS)
def test_every_label_of_a_sheet_is_read_from_the_printed_page(paper: str, tmp_path: Path) -> None:
    pdfium = pytest.importorskip("pypdfium2")
    wanted = [drawn(seed, bytes([seed]) * 16) for seed in range(1, 31)]
    pages = labels.sheets([(label, "Product") for label in wanted], paper, skip=3)
    (path,) = labels.write(tmp_path / "sheet.pdf", pages)
    document: Any = pdfium.PdfDocument(path)
    found: list[Label] = []
    for number in range(len(document)):
        document[number].render(scale=300 / 72).to_pil().save(tmp_path / "page.png")
        found += labels.load(tmp_path / "page.png")
    assert {label.node for label in found} == {label.node for label in wanted}
    width, height = document[0].get_size()
    assert (round(width * 25.4 / 72, 1), round(height * 25.4 / 72, 1)) == (pages[0].width, pages[0].height)
    text = document[0].get_textpage().get_text_range()
    assert wanted[0].short_code in text
    document.close()


@pytest.mark.usefixtures("readers")
def test_labels_stay_inside_their_places_and_off_each_other(tmp_path: Path) -> None:
    sheet = labels.SHEETS["a4-24"]
    (page,) = labels.sheets([(made(0), "x" * 80), (made(1), "y" * 80)], "a4-24")
    assert all(r.x >= 0 and r.x + r.width <= page.width for r in page.rectangles)
    left = [t for t in page.texts if t.x < sheet.across]
    assert max(t.x + t.width for t in left) <= sheet.left + sheet.label_width
    assert len(left) == len(page.texts) / 2


@pytest.mark.usefixtures("readers")
def test_an_svg_is_well_formed_and_draws_the_same_code() -> None:
    import xml.etree.ElementTree as ET

    from citymote.label.drawing import modules
    from citymote.label.files import svg

    text = svg(labels.draw(made(), title="A & B <C>"))
    tree = ET.fromstring(text)
    said = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert said == ["A & B <C>", made().short_code, f"id {made().node}", "citymote"]
    path = next(iter(tree.iter("{http://www.w3.org/2000/svg}path"))).attrib["d"]
    runs = [tuple(float(n) for n in m) for m in re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)", path)]
    side = runs[0][3]
    left, top = min(run[0] for run in runs), min(run[1] for run in runs)
    cells = [[False] * 33 for _ in range(33)]
    for x, y, width, _ in runs:
        row, column = round((y - top) / side), round((x - left) / side)
        for step in range(round(width / side)):
            cells[row][column + step] = True
    assert cells == modules(made().text())


@pytest.mark.usefixtures("readers")
def test_files_of_labels_are_their_owners_alone(tmp_path: Path) -> None:
    for form in labels.Graphic:
        (path,) = labels.write(tmp_path / f"label.{form}", [labels.draw(made())])
        assert path.stat().st_mode & 0o077 == 0
        assert made().text().encode()[4:] not in path.read_bytes()


def test_a_label_under_a_links_name_is_in_its_target_for_its_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "label.svg").symlink_to("real.svg")
    (tmp_path / "real.svg").write_text("old")
    labels.write(tmp_path / "label.svg", [labels.draw(made())])
    assert (tmp_path / "label.svg").is_symlink()
    assert "<svg" in (tmp_path / "real.svg").read_text()
    assert (tmp_path / "real.svg").stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("readers")
def test_an_image_without_a_label_says_so(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("L", (200, 100), 255).save(tmp_path / "empty.png")
    with pytest.raises(LabelError, match="no QR code of a node"):
        labels.load(tmp_path / "empty.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match="neither an image nor a text"):
        labels.load(tmp_path / "broken.png")
    with pytest.raises(UsageError, match="cannot write"):
        labels.write(tmp_path / "nowhere" / "label.svg", [labels.draw(made())])


def test_a_text_file_holds_one_label_a_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(f"delivery 7\n{made(0).text()}\n\n{made(1).text().lower()}\n{made(0).text()}\n")
    assert labels.load(path) == [made(0), made(1)]


# -- the command line -------------------------------------------------------------------------------------------------


def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "citymote", "label", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=60, check=False)


@pytest.mark.usefixtures("readers")
def test_labels_are_made_put_on_a_sheet_and_read_from_the_command_line(tmp_path: Path) -> None:
    text = f"{made(0).text()}\n{made(1).text()}\n"
    done = run("make", "-", "--format", "png", "--out", tmp_path, "--title", "Node", "--json", stdin=text)
    assert done.returncode == 0, done.stderr
    pictures = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert [Path(path).stem for path in pictures] == [made(0).node, made(1).node]
    done = run("sheet", *pictures, "--out", tmp_path / "sheet.pdf", "--json")
    assert json.loads(done.stdout) == {"path": str(tmp_path / "sheet.pdf"), "labels": 2}
    done = run("read", *pictures, "--json")
    assert [json.loads(line)["short_code"] for line in done.stdout.splitlines()] == [
        made(0).short_code,
        made(1).short_code,
    ]
    assert made(0).text()[4:] not in done.stdout + done.stderr
    assert run("read", pictures[0], "--text").stdout.strip() == made(0).text()


def test_short_codes_are_checked_from_the_command_line() -> None:
    done = run("check", made(0).short_code.lower(), "--json")
    assert json.loads(done.stdout) == {"short_code": made(0).short_code, "node": made(0).node}
    done = run("check", made(0).short_code, BAD[-1]["short_code"])
    assert done.returncode == 1
    assert done.stdout.strip() == made(0).node


@pytest.mark.parametrize("verb", [("read",), ("make",), ("check",), ("sheet", "--out", "x.pdf")])
def test_a_labels_text_is_refused_on_the_command_line_and_not_repeated(verb: tuple[str, ...]) -> None:
    done = run(*verb, made(0).text())
    assert done.returncode == 1
    assert "does not belong on a command line" in done.stderr
    assert made(0).text()[4:20] not in done.stdout + done.stderr


def test_reading_leaves_nothing_of_a_secret_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        Label.parse(made(3).text())
        with pytest.raises(LabelError):
            Label.parse(made(3).text()[:-1])
    assert caplog.text == ""
