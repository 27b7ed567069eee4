"""Bundles: the same release is the same bytes, everything in one has a digest, and what is damaged is said."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import images

from citymote import boards
from citymote.errors import UsageError
from citymote.factory import build, deploy, image, slot
from citymote.update import bundle as bundles
from citymote.update import facts, make, sbom
from citymote.update.bundle import Bundle, BundleError, Target, differences, parse, read
from citymote.update.manifest import Signer, envelope
from citymote.update.version import Version, compare

V1 = Version.parse("1.4.2")
LONG = b"the same words again and again, " * 100


def target(name: str, files: dict[str, bytes], boards_: tuple[str, ...] = (), arch: str = "rv32imc") -> Any:
    made = sorted((slot.file(name, data) for name, data in files.items()), key=lambda file: file.name)
    return Target(name, arch, boards_, slot.index(made)), made


def small(notes: str = "Better.", **files: bytes) -> Bundle:
    common = {"core.mpy": LONG, "node/app.mpy": b"\x01\x02"} | {
        name.replace("__", "/") + ".mpy": data for name, data in files.items()
    }
    two = [target("rv32imc", common), target("x86", {**common, "release.json": b"{}"}, ("virtual",), "x86")]
    return bundles.pack(V1, "1.26", two, notes=notes, sbom=b'{"bomFormat": "CycloneDX"}')


# -- versions ---------------------------------------------------------------------------------------------------------

# Clause 11.4 of SemVer 2.0.0, and around it.
_ORDER = (
    "0.9.10 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 "
    "1.1.1 1.1.9 1.1.10 1.2.0-0 1.2.0-1.0 1.2.0-1.a 1.2.0-a 1.2.0 2.0.0 10.0.0"
)
ASCENDING = _ORDER.split()


def test_versions_compare_as_semver_says() -> None:
    for (i, one), (j, other) in itertools.product(enumerate(ASCENDING), repeat=2):
        a, b = Version.parse(one), Version.parse(other)
        assert ((a < b), (a == b), (a > b)) == (i < j, i == j, i > j), (one, other)


def test_build_metadata_has_no_part_in_it() -> None:
    assert Version.parse("1.0.0+20260101") == Version.parse("1.0.0+exp.sha.5114f85") == Version.parse("1.0.0")
    assert str(Version.parse("1.0.0+a")) == "1.0.0+a"


@pytest.mark.parametrize(
    "text", ["1.1", "1", "01.1.1", "1.1.1-", "1.1.1-01", "1.1.1-a..b", "1.1.1+", "v1.1.1", "1.1.1 ", "١.1.1", "1." * 60]
)
def test_what_is_no_semantic_version_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no semantic version"):
        Version.parse(text)


def test_runtimes_compare_too_and_what_has_no_order_has_none() -> None:
    assert compare("1.26", "1.26.0") == 0
    assert compare("v1.27.0", "1.26.1") == 1
    assert compare("1.27-preview", "1.27") == -1
    assert compare("0.1.0.dev0", "1.0.0") is None


# -- the file ---------------------------------------------------------------------------------------------------------


def test_a_bundle_comes_back_as_it_was_made(tmp_path: Path) -> None:
    made = small()
    made.write(tmp_path / "b.zip")
    assert read(tmp_path / "b.zip") == made


def test_a_bundle_under_a_links_name_is_its_targets_content(tmp_path: Path) -> None:
    (tmp_path / "newest.zip").symlink_to("b.zip")
    made = small()
    made.write(tmp_path / "newest.zip")
    assert (tmp_path / "newest.zip").is_symlink()
    assert read(tmp_path / "b.zip") == made


def test_the_same_release_is_the_same_bytes_in_any_order() -> None:
    one = [target("a", {"x.mpy": b"1"}), target("b", {"y.mpy": b"2"})]
    made = [bundles.pack(V1, "1.26", order, sbom=b"{}").bytes() for order in (one, one[::-1])]
    assert made[0] == made[1]


def test_any_tool_reads_it_and_finds_a_file_by_its_digest(tmp_path: Path) -> None:
    made = small()
    with zipfile.ZipFile(io.BytesIO(made.bytes())) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "bundle.json"
        head = json.loads(archive.read("bundle.json"))
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read(f"files/{hashlib.sha256(bytes([1, 2])).hexdigest()}") == b"\x01\x02"
        assert hashlib.sha256(archive.read("index/x86")).hexdigest() == head["targets"][1]["index"]
        assert len(archive.read(f"files/{hashlib.sha256(LONG).hexdigest()}")) < len(LONG), "deflated where smaller"
    assert head["release"] == "1.4.2"


def test_what_two_targets_share_is_in_it_once() -> None:
    made = small()
    assert len(made.blobs) == 3  # core, app and x86's release.json
    assert sum(len(one.entries()) for one in made.targets) == 5


def test_an_envelope_leaves_the_releases_name_as_it_was() -> None:
    made = small()
    signer = Signer(bytes(6), lambda digest: bytes(64))
    signed = made.with_envelopes({"x86": envelope(made.named("x86").index, 7, slot.class_id("x86"), [signer])})
    assert parse(signed.bytes()) == signed
    assert signed.content == made.content
    assert facts.of(signed)["targets"][1]["signatures"] == [
        {"sequence": 7, "key": "000000000000", "algorithm": "ESP256"}
    ]


def test_an_envelope_for_other_files_has_no_place_in_it() -> None:
    made = small()
    signer = Signer(bytes(6), lambda digest: bytes(64))
    wrong = made.with_envelopes({"x86": envelope(made.named("rv32imc").index, 7, slot.class_id("x86"), [signer])})
    with pytest.raises(BundleError, match="other files"):
        parse(wrong.bytes())


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_damaged_byte_of_its_content_goes_unseen(data: Any) -> None:
    raw = _SMALL
    damaged = bytearray(raw)
    damaged[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = parse(bytes(damaged))
    except BundleError:
        return
    assert found == parse(raw), "what a zip says of dates and rights does not count, all else does"


_SMALL = small().bytes()


@given(st.binary(max_size=200))
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        parse(data)


def test_a_truncated_bundle_is_refused_at_any_length() -> None:
    for size in range(0, len(_SMALL), 7):
        with pytest.raises(BundleError):
            parse(_SMALL[:size])


def rebuilt(change: Any, packed: bool = False) -> bytes:
    """The small bundle with its members changed by somebody who knows the form."""
    with zipfile.ZipFile(io.BytesIO(_SMALL)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members = change(members)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda m: {**m, "evil.sh": b"x"}, "no part of one"),
        (lambda m: {**m, "files/00": b"x"}, "incomplete"),
        (lambda m: {n: d for n, d in m.items() if not n.startswith("files/")}, "incomplete"),
        (lambda m: {n: d for n, d in m.items() if n != "notes.md"}, "no bundle"),
        (lambda m: {**m, "notes.md": b"Worse."}, "damaged"),
        (lambda m: {**m, "sbom.cdx.json": b"{}"}, "damaged"),
        (lambda m: {**m, "index/x86": m["index/rv32imc"]}, "damaged"),
        (lambda m: {**m, "bundle.json": m["bundle.json"].replace(b'"version": 1', b'"version": 2')}, "later version"),
        (lambda m: {**m, "bundle.json": b"[" * 100_000}, "no bundle"),
        (lambda m: {**m, "bundle.json": m["bundle.json"].replace(b"1.4.2", b"1.4")}, "semantic"),
        (lambda m: {**m, "bundle.json": m["bundle.json"].replace(b'"x86"', b'"../x"')}, "no name of a target"),
    ],
)  # fmt: skip
def test_what_has_been_put_together_wrongly_is_refused_with_the_reason(change: Any, why: str) -> None:
    with pytest.raises(BundleError, match=why):
        parse(rebuilt(change))


def test_packed_members_are_refused_so_that_nothing_grows_while_it_is_read() -> None:
    assert parse(rebuilt(lambda members: members)).version == V1
    with pytest.raises(BundleError, match="packed"):
        parse(rebuilt(lambda members: members, packed=True))


def test_a_file_larger_than_a_bundle_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "b.zip").open("wb") as file:
        file.truncate(bundles.LARGEST + 1)
    with pytest.raises(BundleError, match="at most"):
        read(tmp_path / "b.zip")


def test_a_deflate_stream_that_does_not_end_where_it_should_is_no_file() -> None:
    made = small()
    entry = next(entry for entry in made.targets[0].entries() if entry.packed)
    blob = made.blobs[entry.digest.hex()]
    assert bundles.unpacked(blob, entry) == LONG
    assert bundles.unpacked(blob, entry._replace(size=entry.size - 1)) == b""
    assert bundles.unpacked(blob, entry._replace(size=entry.size + 1)) == b""
    assert bundles.unpacked(blob[:-1] + b"\0", entry) != LONG
    assert bundles.unpacked(blob + b"\0", entry) == b""


# -- what is in it for whom -------------------------------------------------------------------------------------------


def test_a_node_gets_the_target_that_names_its_board_before_one_for_all() -> None:
    own = target("rv32imc-x", {"b.mpy": b""}, ("x",))
    other = target("y", {"c.mpy": b""}, ("y",), "x86")
    made = bundles.pack(V1, "1.26", [target("rv32imc", {"a.mpy": b""}), own, other])
    names = {
        pair: found.name if (found := made.target(*pair)) else None
        for pair in (("rv32imc", "x"), ("rv32imc", "other"), ("x86", "y"), ("x86", "x"), ("xtensawin", "x"))
    }
    assert names == {
        ("rv32imc", "x"): "rv32imc-x", ("rv32imc", "other"): "rv32imc", ("x86", "y"): "y", ("x86", "x"): None,
        ("xtensawin", "x"): None,
    }  # fmt: skip


def test_a_node_fetches_only_what_changed() -> None:
    old, new = small(), small(node__extra=b"new")
    changed = list(differences(old.named("rv32imc"), new.named("rv32imc")))
    assert [(entry.name, entry.fetched) for entry in changed] == [("node/extra.mpy", 3)]
    found = facts.of(new, older=old)["targets"][0]
    assert (found["changed"], found["changed_bytes"]) == (1, 3)


def test_boards_of_one_architecture_share_a_target_unless_it_gets_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = make.Kind("rv32imc", ("airgradient-one", "xiao-esp32c3"))
    recipe = make.Recipe(V1, (kind,))
    originals = {name: path.read_bytes() for name, path in build.application_sources()}
    drivers = [name for name in originals if name.startswith("node/drivers/")]
    linked = {"node/app.py": b"import core\n", **dict.fromkeys(["core.py", *drivers], b"")}
    arguments = (recipe, kind, slot_tree(tmp_path, *drivers), linked)
    ((together, _),) = make._targets(*arguments)
    assert together.name == "rv32imc"
    monkeypatch.setattr(make, "LARGEST_INDEX", len(together.index) - 1)
    apart = [made for made, _ in make._targets(*arguments)]
    assert [made.name for made in apart] == ["rv32imc-airgradient-one", "rv32imc-xiao-esp32c3"]
    assert [made.boards for made in apart] == [("airgradient-one",), ("xiao-esp32c3",)]
    monkeypatch.setattr(make, "LARGEST_INDEX", 20)
    with pytest.raises(UsageError, match="--board"):
        make._targets(*arguments)


def slot_tree(folder: Path, *more: str) -> Path:
    for name in ("core.mpy", "node/app.mpy", *(name.removesuffix(".py") + ".mpy" for name in more)):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(b"M\x06")
    return folder


def test_a_release_says_on_the_node_what_it_is_for(tmp_path: Path) -> None:
    recipe = make.Recipe(V1, ())
    made, files = make.target(recipe, make.Kind("rv32imc", ("b", "a")), slot_tree(tmp_path))
    about = json.loads(next(file.data for file in files if file.name == "release.json"))
    assert (about["version"], about["boards"], about["runtime"]) == ("1.4.2", ["a", "b"], "1.26")
    assert bytes.fromhex(about["class"]) == slot.class_id("rv32imc")
    assert made.boards == ("a", "b")


# -- the checkout's own -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The same release twice, compiled in folders that have nothing in common; linked once."""
    build.linked_sources()
    made: list[bytes] = []
    for name in ("one", "some/where/else"):
        folder = tmp_path_factory.mktemp("trees") / name
        shutil.copytree(build.default_output() / ".linked", folder / ".linked")
        recipe = make.Recipe(V1, make.kinds(["airgradient-one"]), notes="Better.")
        made.append(make.make(recipe, output=folder).bytes())
    return made[0], made[1]


@pytest.mark.timeout(600)
def test_the_same_checkout_gives_the_same_bytes_in_another_folder(built: tuple[bytes, bytes]) -> None:
    assert built[0] == built[1]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_also_when_it_is_linked_again(tmp_path: Path) -> None:
    recipe = make.Recipe(V1, make.kinds(["airgradient-one", "lilygo-t-beam"]))
    assert make.make(recipe, output=tmp_path / "a").bytes() == make.make(recipe, output=tmp_path / "b").bytes()


@pytest.mark.timeout(600)
def test_a_board_gets_its_own_drivers_and_no_others(built: tuple[bytes, bytes]) -> None:
    (made,) = parse(built[0]).targets
    names = {entry.name for entry in made.entries()}
    assert {"node/drivers/sht4x.mpy", "node/drivers/pms5003.mpy", "core.mpy", "release.json", "node/app.mpy"} <= names
    others = {"node/drivers/scd30.mpy", "node/hal/unix.mpy", "citymote_protocol/edhoc_initiator.mpy", "boot.py"}
    assert not others & names
    assert len(made.index) <= make.LARGEST_INDEX
    flashed = deploy.payload("rv32imc", boards.load("airgradient-one")).application
    assert names | {"index"} == set(flashed), "an update is what the factory would write"


@pytest.mark.timeout(600)
def test_every_module_of_the_release_is_in_its_bill_of_materials(built: tuple[bytes, bytes]) -> None:
    found = {one.name: one for one in sbom.components(parse(built[0]).sbom)}
    assert found["node.drivers.sht4x"] == ("node.drivers.sht4x", "1.4.2", ("rv32imc-airgradient-one",))
    assert found["citymote-firmware"].version == "1.4.2"
    assert "node.drivers.scd30" not in found
    assert "micropython" in found


# -- the bill of materials --------------------------------------------------------------------------------------------


def document(*runtimes: image.Runtime) -> bytes:
    modules = {"node/app.py": ("ab" * 32, ["x86"]), "node/store.py": ("cd" * 32, ["rv32imc", "x86"])}
    imports = {"node/app.py": ["node/store.py"]}
    return sbom.write(V1, modules, imports, runtime="1.26", runtimes=runtimes, compiler="mpy-cross v1.28")


def runtime_image(tmp_path: Path) -> image.Runtime:
    chip = boards.chip("esp32c3")
    path = tmp_path / "runtime.bin"
    path.write_bytes(images.download(chip))
    return image.read(path, chip)


@pytest.mark.parametrize("with_image", [False, True])
def test_the_bill_of_materials_is_cyclonedx(with_image: bool, tmp_path: Path) -> None:
    validation: Any = pytest.importorskip("cyclonedx.validation.json", reason="cyclonedx-python-lib is not installed")
    schema: Any = pytest.importorskip("cyclonedx.schema")
    checker = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    text = document(*([runtime_image(tmp_path)] if with_image else [])).decode()
    assert checker.validate_str(text) is None
    broken = json.loads(text)
    broken["components"][0]["type"] = "nothing that there is"
    assert checker.validate_str(json.dumps(broken)) is not None, "the check can fail"


@pytest.mark.timeout(600)
def test_the_releases_own_too(built: tuple[bytes, bytes]) -> None:
    validation: Any = pytest.importorskip("cyclonedx.validation.json", reason="cyclonedx-python-lib is not installed")
    schema: Any = pytest.importorskip("cyclonedx.schema")
    checker = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    assert checker.validate_str(parse(built[0]).sbom.decode()) is None


def test_a_runtime_whose_image_is_given_is_named_with_its_version_and_what_is_beneath(tmp_path: Path) -> None:
    found = {one.name: one.version for one in sbom.components(document(runtime_image(tmp_path)))}
    assert (found["micropython"], found["esp-idf"]) == ("1.27.0", "5.5.1")
    assert {one.version for one in sbom.components(document()) if one.name == "micropython"} == {""}


def test_the_bill_has_no_time_and_no_chance_in_it() -> None:
    assert document() == document()
    assert "timestamp" not in json.loads(document())["metadata"]


@given(st.binary(max_size=50) | st.sampled_from([b"[]", b'{"components": 3}', b'{"components": [{}]}', b"[" * 99999]))
def test_what_is_no_bill_has_no_components(data: bytes) -> None:
    assert list(sbom.components(data)) == []


# -- the command line -------------------------------------------------------------------------------------------------


def citymote(*arguments: str) -> tuple[int, str, str]:
    from typer.testing import CliRunner

    from citymote.cli import application

    done = CliRunner().invoke(application(), ["update", *arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.timeout(600)
def test_what_was_built_can_be_inspected(tmp_path: Path, built: tuple[bytes, bytes]) -> None:
    notes, path, older = tmp_path / "notes.md", tmp_path / "new.zip", tmp_path / "old.zip"
    notes.write_text("Better.")
    older.write_bytes(built[0])
    status, out, _ = citymote(
        "build", "--version", "1.5.0", "--board", "airgradient-one", "--notes", str(notes), "--out", str(path), "--json"
    )
    assert status == 0
    assert json.loads(out)["content"] == read(path).content
    status, out, _ = citymote("inspect", str(path), "--against", str(older), "--files", "--json")
    (found,) = json.loads(out)["targets"]
    assert (status, found["changed"], found["signatures"]) == (0, 1, [])
    assert [file["name"] for file in found["files"]].count("release.json") == 1
    assert citymote("inspect", str(path), "--notes")[1] == "Better."
    assert json.loads(citymote("inspect", str(path), "--sbom")[1])["specVersion"] == "1.6"
    assert "1 files," in citymote("inspect", str(path), "--against", str(older))[1]


def test_a_damaged_bundle_ends_with_status_1_and_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_bytes(_SMALL[:-30])
    status, out, err = citymote("inspect", str(tmp_path / "b.zip"))
    assert (status, out) == (1, "")
    assert "is no bundle" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--version", "1.4"], "semantic version"),
        (["--version", "1.4.0", "--runtime", "new"], "version of MicroPython"),
        (["--version", "1.4.0", "--board", "virtual"], "--arch"),
        (["--version", "1.4.0", "--image", "esp32c3"], "CHIP=FILE"),
        (["--version", "1.4.0", "--notes", "nowhere"], "cannot be read"),
        (["--version", "1.4.0", "--arch", "pdp11"], "no board"),
    ],
)
def test_a_call_that_cannot_be_meant_builds_nothing(arguments: list[str], said: str) -> None:
    status, _, err = citymote("build", *arguments)
    assert status == 1
    assert said in err
