"""Plans and tables of nodes: what they say, where their secrets may be, and what is wrong with a wrong one."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from citymote.credentials import CommandCredentials, CredentialsError
from citymote.label import Label
from citymote.plan import Plan, PlanError, load, rows
from citymote.provisioning import Outcome, Report

LABEL = Label.parse("CM1:0DNHFMFJW4P44HZRQKKEARX483S7E0VXG4PYPCX0YJGKJHERK319C001081G81860W40J2GB1G6GW3SG3XW0")
PLAN = """
site = "harbour"
trial_seconds = 120
collector = "02aa"
[[network]]
ssid = "city"
key_file = "wifi.key"
[[network]]
ssid = "guest"
[uplink]
url = "mqtts://broker.city:8884"
ca_file = "ca.pem"
[settings]
interval = 60
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wifi.key").write_text("correct horse\n")
    (tmp_path / "wifi.key").chmod(0o600)
    body = base64.encodebytes(bytes(range(100))).decode()
    (tmp_path / "ca.pem").write_text(f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
    return tmp_path


def put(folder: Path, text: str, name: str = "plan.toml", mode: int = 0o600) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_plan_is_settings_of_a_node(folder: Path) -> None:
    plan = load(put(folder, PLAN, mode=0o644))
    assert (plan.site, plan.trial_seconds) == ("harbour", 120)
    assert plan.for_node(None, {"broker_user": "me"}) == {
        "interval": 60,
        "network": {"networks": [{"ssid": "city", "key": "correct horse"}, {"ssid": "guest", "key": ""}]},
        "broker_host": "broker.city", "broker_port": 8884, "broker_tls": True, "broker_ca": bytes(range(100)).hex(),
        "collector_key": "02aa", "site": "harbour", "broker_user": "me",
    }  # fmt: skip
    assert "correct horse" not in repr(plan)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('sites = "x"', "sites is nothing that a plan has"),
        ('[[network]]\nssid = "x"\nkee = "y"', "kee is nothing that a network has"),
        ("[[network]]\nkey = 1", "has an ssid"),
        ("network = 3", "is a list of up to 8"),
        ('[uplink]\nurl = "mqtts://me@x"', "each node gets credentials of its own"),
        ("trial_seconds = 5", "30 to 900"),
        ('[uplink]\nca_file = "wifi.key"', "0 PEM blocks"),
        ('[[network]]\nssid = "x"\nkey_file = "none"', "cannot be read"),
        ('[[network]]\nkey = "correct horse', "is no TOML"),
    ],
)
def test_what_cannot_be_meant_is_said_without_its_secrets(folder: Path, text: str, said: str) -> None:
    with pytest.raises(PlanError, match=said) as told:
        load(put(folder, text))
    assert "correct horse" not in str(told.value)


def test_secrets_are_in_files_of_their_owner_alone(folder: Path) -> None:
    inline = '[[network]]\nssid = "x"\nkey = "correct horse"'
    load(put(folder, inline))
    with pytest.raises(PlanError, match="chmod 600"):
        load(put(folder, inline, mode=0o644))
    (folder / "wifi.key").chmod(0o644)
    with pytest.raises(PlanError, match="chmod 600"):
        load(put(folder, PLAN))


def test_a_table_names_nodes_by_label_key_or_id_and_places_them(folder: Path) -> None:
    text = (
        "label,node,public_key,station,latitude,longitude,height,tags,batch\n"
        f"{LABEL.text()},,,pole-1,37.5665,126.978,3.9,north quay,3\n"
        ",2VNZW-9VSYY-=x,,,,,,,\n"
    )
    with pytest.raises(PlanError, match=":3: no node"):
        rows(put(folder, text, "n.csv"))
    text = text.replace("2VNZW-9VSYY-=x", "0123456789ab")
    first, second = rows(put(folder, text, "n.csv"))
    assert (first.node, first.label, first.station) == (LABEL.node, LABEL, "pole-1")
    assert (first.place, first.coordinates) == ((37566500, 126978000, 4), (37.5665, 126.978, 4.0))
    assert (first.tags, first.settings) == (("north", "quay"), {"batch": 3})
    assert (second.node, second.place, second.settings) == ("0123456789ab", None, {})
    assert LABEL.text() not in repr(first) + str(first.given)
    with pytest.raises(PlanError, match="chmod 600"):
        rows(put(folder, text, "n.csv", 0o644))
    (keyed,) = rows(put(folder, f"public_key\n{LABEL.public.hex()}\n", "k.csv", 0o644))
    assert keyed.node == LABEL.node


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("station\npole-1\n", "names no node"),
        ("node\n0123456789ab\n0123456789ab\n", "is there twice"),
        ("node\n", "has no rows"),
        ("node,latitude,longitude\n0123456789ab,91,0\n", "no place on earth"),
        ("node,latitude,longitude\n0123456789ab,north,0\n", "are degrees"),
        ("node,station\n0123456789ab\n", "another number of fields"),
        (f"label,node\n{LABEL.text()},0123456789ab\n", "is not node 0123456789ab's"),
        (f"label\n{LABEL.text()[:-1]}Z\n", "misread"),
    ],
)
def test_a_wrong_table_says_where(folder: Path, text: str, said: str) -> None:
    with pytest.raises(PlanError, match=said) as told:
        rows(put(folder, text, "n.csv"))
    assert LABEL.secret.hex() not in str(told.value)
    assert "CM1:" not in str(told.value)


def test_what_failed_can_be_given_to_the_next_run(folder: Path) -> None:
    given = rows(put(folder, "node,station,batch\n0123456789ab,pole-1,3\n", "n.csv"))[0].given
    failed = Outcome("0123456789ab", "failed", "known", "trial", 'it says "no", twice', given=given)
    again = rows(put(folder, Report([failed]).csv(), "again.csv"))
    assert [(row.node, row.station, row.settings) for row in again] == [("0123456789ab", "pole-1", {"batch": 3})]


def test_a_plan_of_no_length_is_none() -> None:
    with pytest.raises(PlanError):
        Plan(trial_seconds=29)


# -- credentials by a command ------------------------------------------------------------------------------------------


def command(folder: Path, body: str) -> list[str]:
    return ["sh", str(put(folder, body, "mint.sh"))]


def run(folder: Path, body: str, verb: str = "mint") -> dict[str, str] | None:
    async def main() -> dict[str, str] | None:
        made = CommandCredentials(command(folder, body), timeout=2)
        return await made.mint("0123456789ab") if verb == "mint" else await made.revoke("0123456789ab")

    return asyncio.run(main())


def test_a_command_mints_and_revokes(folder: Path) -> None:
    body = f"""echo "$@" >> {folder}/calls
[ $1 = mint ] && echo '{{"broker_user": "'$2'", "broker_password": "x"}}' || true"""
    assert run(folder, body) == {"broker_user": "0123456789ab", "broker_password": "x"}
    run(folder, body, "revoke")
    assert (folder / "calls").read_text() == "mint 0123456789ab\nrevoke 0123456789ab\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("echo no >&2; exit 3", "failed: no"),
        ("exit 3", "status 3"),
        ("echo hello", "no JSON object"),
        ("echo '{}'", "nothing is no credential"),
        ("""echo '{"update_root": "00"}'""", "update_root is no credential"),
        ("sleep 60", "takes longer than 2 s"),
        ("head -c 40000 /dev/zero", "no JSON object|says more than"),
    ],
)
def test_a_command_that_fails_is_the_reason(folder: Path, body: str, said: str) -> None:
    with pytest.raises(CredentialsError, match=said):
        run(folder, body)
