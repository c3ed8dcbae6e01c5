"""Django's settings: what `manage.py check` says of wrong ones, and what is made of right ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import djangos  # noqa: F401  # sets Django up
import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.test import Client, override_settings

from totango_sdk.integrations.django import TotangoMiddleware, totango

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = {"SERVICE_ID": "SP-1234-01", "IDENTITY": "django_site.who.who"}
HERE = Path(__file__).parent
WRONG = [
    ({"REGION": "mars"}, "E002", "\"REGION\"]: region='mars' is wrong: it is one of us, eu1, eu, test, such as region='us'"),
    ({"REGIONS": "us"}, "E002", "\"REGIONS\"]: there is no option 'regions': did you mean 'region'?"),
    ({"region": "us"}, "E002", "\"region\"]: there is no option 'region': did you mean 'REGION'?"),
    ({"OUTBOXES": True}, "E002", "\"OUTBOXES\"]: there is no option 'outboxes': did you mean 'outbox'?"),
    ({"OUTBOX": "yes"}, "E002", "\"OUTBOX\"]: OUTBOX='yes' is wrong: it is True or False, such as OUTBOX=True"),
    ({"DATABASE": "x"}, "E002", "\"DATABASE\"]: DATABASE='x' is wrong: it is an alias of settings.DATABASES, such as DATABASE='default'"),
    ({"IDENTITY": "shop.who"}, "E003", "\"IDENTITY\"]='shop.who' cannot be imported: No module named 'shop.who'"),
    ({"IDENTITY": "django_site.who.whom"}, "E003", "\"IDENTITY\"]='django_site.who.whom' cannot be imported: Module \"django_site.who\" does not define a \"whom\" attribute/class"),
    ({"IDENTITY": 42}, "E003", '"IDENTITY"]=42 is wrong: it is a function of the request that returns an Identity or None, or its dotted path'),
    ({"NONCE": 42}, "E003", '"NONCE"]=42 is wrong: it is a function of the request that returns a nonce, or its dotted path'),
    ({"OUTBOX": True, "SPOOL": "memory"}, "E004", "\"OUTBOX\"] needs a spool on disk: SPOOL is 'memory'"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    totango.replace()


def found() -> list[tuple[str, str]]:
    return [(message.id, message.msg) for message in run_checks() if message.id.startswith("totango")]


@pytest.mark.parametrize(("changes", "check", "text"), WRONG)
def test_a_wrong_setting_is_told_by_the_check_the_middleware_and_the_log(
    changes: dict[str, Any], check: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = f"settings.TOTANGO[{text}"
    with override_settings(TOTANGO=SERVICE | changes):
        assert found() == [(f"totango.{check}", text)]
        with pytest.raises(ImproperlyConfigured) as raised:
            TotangoMiddleware(print)
        assert str(raised.value) == text
        assert totango.track("x", account="A", user="U") is None
        assert totango.track("y", account="A", user="U") is None
    (record,) = caplog.records
    assert text in record.getMessage()


def test_every_wrong_option_is_told() -> None:
    with override_settings(TOTANGO=SERVICE | {"REGION": "mars", "TIMEOUT": -1, "SERVICE_ID": "SP-XXXX-XX"}):
        told = found()
        assert {check for check, _ in told} == {"totango.E002"}
        assert {text.split('"')[1] for _, text in told} == {"REGION", "TIMEOUT", "SERVICE_ID"}


def test_settings_may_be_missing_only_where_the_environment_has_a_service_id(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'settings.TOTANGO is missing: add TOTANGO = {"SERVICE_ID": "SP-1234-01"}'
    with override_settings(MIDDLEWARE=[]):
        with override_settings(TOTANGO=None):
            assert found() == [("totango.E001", text)]
            monkeypatch.setenv("TOTANGO_SERVICE_ID", "SP-1-1")
            assert found() == []
            monkeypatch.setenv("TOTANGO_REGION", "mars")
            (wrong,) = found()
            assert wrong[0] == "totango.E002"
            assert "TOTANGO_REGION: region='mars' is wrong" in wrong[1]
        monkeypatch.delenv("TOTANGO_REGION")
        with override_settings(TOTANGO=["SP-1-1"]):
            assert found()[0][1].startswith("settings.TOTANGO=['SP-1-1'] is wrong: it is a dict, such as")


def test_whoever_sends_nothing_needs_no_service_id() -> None:
    with override_settings(TOTANGO={"DISABLED": True, "IDENTITY": "django_site.who.who"}):
        assert found() == []
        assert totango.track("x", account="A", user="U") is None


def test_identity_and_middleware_belong_together() -> None:
    with override_settings(MIDDLEWARE=[]):
        text = 'settings.TOTANGO["IDENTITY"] is set, but TotangoMiddleware is not in MIDDLEWARE: events of a request have no account'
        assert found() == [("totango.W001", text)]
    with override_settings(TOTANGO={"SERVICE_ID": "SP-1-1"}):
        text = 'TotangoMiddleware is installed, but settings.TOTANGO["IDENTITY"] is not set: events of a request have no account'
        assert found() == [("totango.W002", text)]
        assert Client().get("/quiet").status_code == 200
    assert found() == []


def test_settings_that_change_make_another_client() -> None:
    first = totango.client
    assert totango.client is first
    with override_settings(TOTANGO={"SERVICE_ID": "SP-2-2"}):
        assert "SP-2-2" in repr(totango.client)
    assert totango.client is not first


def manage(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / "django_site" / "manage.py"), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | env, cwd=HERE
    )


def test_manage_runs_the_command_line_with_the_settings_of_the_project(tmp_path: Path) -> None:
    ended = manage(
        "totango", "--settings=django_site.settings", "spool", "status", "--json", TOTANGO_SPOOL=str(tmp_path)
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "[]"), ended.stderr
    assert manage("totango", "spool", "nonsense").returncode == 2


def test_the_command_takes_its_settings_from_the_project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOTANGO_SPOOL", "")  # put back afterwards
    monkeypatch.setenv("TOTANGO_SERVICE_ID", "")
    with override_settings(TOTANGO=SERVICE | {"SPOOL": str(tmp_path / "here")}):
        call_command("totango", "spool", "status")
    assert str(tmp_path / "here") in capsys.readouterr().out


def test_importing_without_django_says_what_to_install() -> None:
    code = "import sys; sys.modules['django'] = None; import totango_sdk.integrations.django"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "totango_sdk.integrations.django needs Django: pip install 'totango-sdk[django]'" in ended.stderr
