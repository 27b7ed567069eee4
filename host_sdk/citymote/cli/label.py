"""`citymote label`: a node's label as a picture, many as a sheet for label paper, and back again from a photo.

A label's text is a secret until the node has an owner: it comes from files or standard input, never from the command
line, and is shown only where `--text` asks for it.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citymote.cli.common import JsonOption, guarded, say
from citymote.errors import UsageError

if TYPE_CHECKING:
    from citymote.label import Label

SourcesArgument = Annotated[
    list[Path],
    typer.Argument(
        help="Images with labels, text files with one label a line; - is standard input.", show_default=False
    ),
]
TitleOption = Annotated[str, typer.Option("--title", help="The product's name, printed on each label.")]


def register(app: typer.Typer) -> None:
    """Add the verb's group."""
    group = typer.Typer(help="Labels of nodes: make, sheet, read, check.", no_args_is_help=True)
    group.command("make")(guarded(make))
    group.command("sheet")(guarded(sheet))
    group.command("read")(guarded(read))
    group.command("check")(guarded(check))
    app.add_typer(group, name="label")


def make(
    sources: SourcesArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures, one a node, named by its id.")] = Path(),
    form: Annotated[str, typer.Option("--format", help="svg, png or pdf.")] = "svg",
    title: TitleOption = "",
    width: Annotated[float, typer.Option("--width", min=15, max=300, help="Millimetres.")] = 50,
    height: Annotated[float, typer.Option("--height", min=10, max=300, help="Millimetres.")] = 25,
    dpi: Annotated[int, typer.Option("--dpi", min=100, max=2400, help="Of a PNG: dots an inch.")] = 300,
    as_json: JsonOption = False,
) -> int:
    """Draw labels, one file each.

    Example: citymote label make labels.txt --format png --out labels
    """
    from citymote import label as labels

    out.mkdir(parents=True, exist_ok=True)
    found, wrong = _gather(sources)
    for one in found:
        path = out / f"{one.node}.{form}"
        labels.write(path, [labels.draw(one, title=title, width=width, height=height)], dpi=dpi)
        print(json.dumps({"node": one.node, "path": str(path)}) if as_json else path)
    return wrong


def sheet(
    sources: SourcesArgument,
    out: Annotated[Path, typer.Option("--out", help="A .pdf, or .svg or .png (then a file a page).")],
    paper: Annotated[
        str, typer.Option("--paper", help="a4-24, a4-21, a4-65 or letter-30: labels on a page.")
    ] = "a4-24",
    skip: Annotated[int, typer.Option("--skip", min=0, help="Places of the first sheet that are used already.")] = 0,
    title: TitleOption = "",
    as_json: JsonOption = False,
) -> int:
    """Put many labels on sheets of label paper. Print at 100 %, without fitting to the page.

    Example: citymote label sheet labels/*.png --out sheet.pdf
    """
    from citymote import label as labels

    found, wrong = _gather(sources)
    paths = labels.write(out, labels.sheets([(one, title) for one in found], paper, skip=skip))
    for path in paths:
        print(json.dumps({"path": str(path), "labels": len(found)}) if as_json else path)
    return wrong


def read(
    sources: SourcesArgument,
    text: Annotated[bool, typer.Option("--text", help="Show the label's text too: a secret.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Read labels from photos or text: node, short code, public key.

    Example: citymote label read photo.jpg
    """
    found, wrong = _gather(sources)
    for one in found:
        if as_json:
            facts: dict[str, Any] = {"node": one.node, "short_code": one.short_code, "public_key": one.public.hex()}
            print(json.dumps(facts | ({"text": one.text()} if text else {})))
        else:
            print(one.text() if text else f"{one.node} {one.short_code} {one.public.hex()}")
    return wrong


def check(
    codes: Annotated[list[str], typer.Argument(help="Short codes as on labels.", show_default=False)],
    as_json: JsonOption = False,
) -> int:
    """Check short codes and say whose they are. Exit status 0 when all are right.

    Example: citymote label check 014D2-PF2DB-A
    """
    from citymote import label as labels

    wrong = 0
    for code in codes:
        try:
            if labels.is_payload(code):
                raise UsageError(
                    "a label's text is a secret and does not belong on a command line", "", "Put it into a file."
                )
            node = labels.node_of_short_code(code)
        except labels.LabelError as error:
            wrong = 1
            if as_json:
                print(json.dumps({"short_code": code, "error": str(error)}))
            say(f"citymote: {error}")
            continue
        print(json.dumps({"short_code": labels.short_code(node), "node": node}) if as_json else node)
    return wrong


def _gather(sources: list[Path]) -> tuple[list["Label"], int]:
    """All labels of these files; 1 where one could not be read, which is said."""
    from citymote import label as labels

    found: dict[Label, None] = {}
    wrong = 0
    for source in sources:
        if labels.is_payload(str(source)):
            raise UsageError(
                "a label's text is a secret and does not belong on a command line", "", "Put it into a file."
            )
        try:
            if str(source) == "-":
                read = [labels.Label.parse(line) for line in sys.stdin if line.strip()]
            else:
                read = labels.load(source)
        except (labels.LabelError, UsageError) as error:
            say(f"citymote: {source}: {error}" if isinstance(error, labels.LabelError) else f"citymote: {error}")
            wrong = 1
            continue
        found |= dict.fromkeys(read)
    if not found:
        raise UsageError("no label was found")
    return list(found), wrong
