"""`totango doctor` against the ways in which events do not arrive, each by a real server on this machine."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sysconfig
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from servers import Collector, close, drip, mute, refusing_port, response
from test_cli_spool import leave
from test_tls import expired, old_tls, other_host, pump, secured, unknown_authority

from totango_sdk.cli import main
from totango_sdk.doctor.disk import file_system_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

TOTANGO = str(Path(sysconfig.get_path("scripts"), "totango"))
GIF = b"GIF89a\x01\x00\x01\x00"
US, EU = "sdr.totango.com", "sdr-eu1.totango.com"


def date(hours: float = 0) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)


def gif(hours: float = 0) -> bytes:
    return response(200, GIF, Content_Type="image/gif", Date=date(hours))


class Secure(Collector):
    """The tests' collector, behind TLS."""

    def __init__(self, context: ssl.SSLContext, plan: Callable[[Any], Any] = lambda _: gif()) -> None:
        self.context = context
        super().__init__(plan)

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            secure = self.context.wrap_socket(connection, server_side=True)
        except OSError:  # a client that does not trust us
            connection.close()
            return
        super()._serve(secure, number)


class Tunnel(Collector):
    """A proxy whose every way leads to one port of this machine, whatever it was asked for."""

    def __init__(self, port: int, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        def plan(_: Any) -> Any:
            return self.through if b" 200 " in answer else answer

        self.target, self.answer = port, answer
        super().__init__(plan)

    def through(self, taken: socket.socket, ended: threading.Event) -> None:
        with socket.create_connection(("127.0.0.1", self.target)) as onward:
            taken.sendall(self.answer)
            back = threading.Thread(target=pump, args=(onward, taken), daemon=True)
            back.start()
            pump(taken, onward)
            back.join()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked_for(self) -> list[str]:
        return [request.line.split()[1] for request in self.requests]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="The Tests")


@pytest.fixture(autouse=True)
def around(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("TOTANGO_SERVICE_ID", "SP-1234-01")


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Run it, and return the exit code, the checks by their name, and everything that it told."""
    code = main(["doctor", *arguments, "--json"])
    told = json.loads(capsys.readouterr().out)
    return code, {check["name"]: check for check in told["checks"]}, told


def the_failed(checks: dict[str, Any]) -> dict[str, Any]:
    [failed] = [check for check in checks.values() if check["verdict"] == "fail"]
    assert failed["advice"] != ""
    return dict(failed)


def serving(plan: Callable[[Any], Any]) -> Collector:
    return Collector(plan)


@pytest.fixture
def well() -> Iterator[Collector]:
    with Collector(lambda _: gif()) as running:
        yield running


def test_where_all_is_well_it_says_so_and_sends_no_event(authority: trustme.CA, capsys: Any) -> None:
    with Secure(secured(authority)) as server:
        code, checks, told = doctor(capsys, "--endpoint", f"https://localhost:{server.port}/pixel.gif/")
    assert (code, told["doctor"], told["ok"], told["sent"]) == (0, 1, True, None)
    names = ["settings", "service id", "region", "token", "proxy", "network", "TLS", "collector", "clock", "spool"]
    assert list(checks) == [*names, "file system", "events", "event"]
    assert {checks[name]["verdict"] for name in names} == {"ok"}
    assert "by The Tests for" in checks["TLS"]["found"]
    assert checks["event"]["found"] == "none was sent"
    assert [(request.line, request.body) for request in server.requests] == [("POST /pixel.gif/ HTTP/1.1", b"")]


def test_a_person_is_told_line_by_line_with_what_to_do(well: Collector, capsys: Any) -> None:
    assert main(["doctor", "--endpoint", well.endpoint, "--spool", "memory"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["ok    settings     TOTANGO_SERVICE_ID in force", "ok    service id   SP-1234-01"]
    at = next(at for at, line in enumerate(lines) if line.startswith("WARN  spool"))
    assert lines[at + 1].strip().startswith("what to do: give a directory")


# -- what it is told


@pytest.mark.parametrize(("given", "said"), [("SP-XXXX-XX", "placeholder"), ("1234", "is not a service id")])
def test_a_wrong_service_id_fails_and_the_rest_is_looked_at(
    given: str, said: str, well: Collector, capsys: Any
) -> None:
    code, checks, _ = doctor(capsys, "--service-id", given, "--endpoint", well.endpoint)
    assert (code, the_failed(checks)["name"], checks["collector"]["verdict"]) == (1, "service id", "ok")
    assert said in checks["service id"]["found"]


def test_a_client_that_is_disabled_is_warned_of_and_sends_nothing(
    well: Collector, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOTANGO_DISABLED", "1")
    who = ("--send", "--account", "a1", "--user", "u1")
    code, checks, told = doctor(capsys, "--endpoint", well.endpoint, *who)
    assert (code, checks["settings"]["verdict"], told["sent"]) == (0, "warn", None)
    assert checks["event"]["found"].endswith("the settings forbid it")


def test_a_setting_that_no_client_starts_with_fails(
    well: Collector, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOTANGO_STRICT", "maybe")
    code, checks, _ = doctor(capsys, "--endpoint", well.endpoint)
    assert (code, the_failed(checks)["name"]) == (1, "settings")
    assert "TOTANGO_STRICT='maybe' is wrong" in checks["settings"]["found"]


def test_a_missing_service_id_fails(well: Collector, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOTANGO_SERVICE_ID")
    code, checks, _ = doctor(capsys, "--endpoint", well.endpoint)
    assert (code, the_failed(checks)["name"]) == (1, "service id")


def test_the_service_id_of_the_examples_is_warned_of(well: Collector, capsys: Any) -> None:
    code, checks, _ = doctor(capsys, "--service-id", "SP-0000-00", "--endpoint", well.endpoint)
    assert (code, checks["service id"]["verdict"]) == (0, "warn")


@pytest.mark.parametrize(
    ("token", "verdict"), [("s3cret-token", "ok"), (" s3cret-token", "fail"), ("s3cret-tokén", "fail")]
)
def test_the_token_is_looked_at_and_never_shown(
    token: str, verdict: str, well: Collector, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOTANGO_API_TOKEN", token)
    _, checks, told = doctor(capsys, "--endpoint", well.endpoint)
    assert checks["token"]["verdict"] == verdict
    assert "s3cret" not in json.dumps(told)


def test_an_unknown_region_fails(capsys: Any) -> None:
    code, checks, _ = doctor(capsys, "--region", "europe", "--endpoint", f"http://127.0.0.1:{refusing_port()}")
    assert (code, checks["region"]["verdict"]) == (1, "fail")
    assert "eu1" in checks["region"]["advice"]


def test_an_endpoint_that_is_none_fails_and_nothing_is_tried(capsys: Any) -> None:
    code, checks, _ = doctor(capsys, "--endpoint", "http://sdr.totango.com/pixel.gif/")
    assert (code, the_failed(checks)["name"], checks["network"]["verdict"]) == (1, "region", "skip")


# -- the wrong region's host


def test_the_host_of_another_region_fails(authority: trustme.CA, capsys: Any) -> None:
    with Secure(secured(authority, US)) as server, Tunnel(server.port) as proxy:
        us = ("--endpoint", f"https://{US}", "--proxy", proxy.address)
        code, checks, _ = doctor(capsys, "--region", "eu1", *us)
        assert (code, the_failed(checks)["name"]) == (1, "region")
        assert f"the endpoint is {US}, the collector of us" in checks["region"]["found"]
        assert checks["collector"]["verdict"] == "ok"  # it answers all the same, which is the trap
        code, checks, _ = doctor(capsys, "--region", "us", *us)
        assert (code, checks["region"]["verdict"]) == (0, "ok")
        assert proxy.asked_for == [f"{US}:443"] * 2


def test_a_name_that_leads_to_the_host_of_another_region_fails(authority: trustme.CA, capsys: Any) -> None:
    with Secure(secured(authority, US)) as server, Tunnel(server.port) as proxy:
        code, checks, _ = doctor(capsys, "--region", "eu1", "--proxy", proxy.address)
        assert proxy.asked_for[0] == f"{EU}:443"
    assert (code, the_failed(checks)["name"]) == (1, "TLS")
    assert checks["TLS"]["found"].endswith("this name leads to the collector of the region us")


def test_a_host_of_totangos_that_is_no_collector_fails(capsys: Any) -> None:
    proxy = f"http://127.0.0.1:{refusing_port()}"
    code, checks, _ = doctor(capsys, "--endpoint", "https://app.totango.com/pixel.gif/", "--proxy", proxy)
    assert (code, checks["region"]["verdict"]) == (1, "fail")
    assert US in checks["region"]["advice"]


# -- the way


def test_where_nobody_listens_the_network_fails_and_the_rest_is_skipped(capsys: Any) -> None:
    code, checks, _ = doctor(capsys, "--endpoint", f"https://127.0.0.1:{refusing_port()}/pixel.gif/")
    assert (code, the_failed(checks)["name"]) == (1, "network")
    assert [checks[name]["verdict"] for name in ("TLS", "collector", "clock")] == ["skip"] * 3
    assert checks["spool"]["verdict"] == "ok"


def test_without_any_network_it_says_so(tmp_path: Path) -> None:
    alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody leave its network")
    done = subprocess.run(
        [*alone, TOTANGO, "doctor", "--service-id", "SP-1234-01", "--json", "--timeout", "5"],
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert (done.returncode, done.stderr) == (1, "")
    assert the_failed(checks)["name"] == "network"
    assert f"no address is found for {US}:443" in checks["network"]["found"]
    assert "HTTPS_PROXY" in checks["network"]["advice"]


def test_a_collector_that_never_answers_fails_in_time(capsys: Any) -> None:
    began = time.monotonic()
    with serving(lambda _: mute) as server:
        code, checks, _ = doctor(capsys, "--endpoint", server.endpoint, "--timeout", "0.3")
    assert (code, the_failed(checks)["name"], checks["clock"]["verdict"]) == (1, "collector", "skip")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_an_answer_that_comes_byte_by_byte_is_not_waited_for(head: bytes, capsys: Any) -> None:
    began = time.monotonic()
    with serving(lambda _: drip(head, 0.02)) as server:
        code, checks, _ = doctor(capsys, "--endpoint", server.endpoint, "--timeout", "0.5")
    assert (code, the_failed(checks)["name"]) == (1, "collector")
    assert "does not answer within 0.5 s" in checks["collector"]["found"]
    assert time.monotonic() - began < 20


def test_a_proxy_that_drips_is_not_waited_for_either(capsys: Any) -> None:
    with serving(lambda _: drip(b"HTTP/1.1 200 OK\r\nX: ", 0.02)) as server:
        code, checks, _ = doctor(capsys, "--proxy", f"http://127.0.0.1:{server.port}", "--timeout", "0.5")
    assert (code, the_failed(checks)["name"]) == (1, "network")
    assert "does not answer within 0.5 s" in checks["network"]["found"]


def test_an_address_of_ipv6_is_one_too(capsys: Any) -> None:
    try:
        six = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with six:
        port = six.getsockname()[1]
        code, checks, _ = doctor(capsys, "--endpoint", f"http://[::1]:{port}", "--timeout", "0.3")
    assert (code, checks["network"]["verdict"], checks["collector"]["verdict"]) == (1, "ok", "fail")


@pytest.mark.parametrize("plan", [close, b"SSH-2.0-OpenSSH_9.2\r\n", drip(b"HTTP/1.1 200 OK\r\nX: ", 5)])
def test_what_is_no_web_server_fails(plan: Any, capsys: Any) -> None:
    with serving(lambda _: plan) as server:
        code, checks, _ = doctor(capsys, "--endpoint", server.endpoint, "--timeout", "0.3")
    assert (code, the_failed(checks)["name"]) == (1, "collector")


# -- proxies


def test_the_page_of_a_proxy_fails_though_it_is_a_200(capsys: Any) -> None:
    page = response(200, b"<html>Please log in</html>", Content_Type="text/html; charset=utf-8", Date=date())
    with serving(lambda _: page) as server:
        code, checks, _ = doctor(capsys, "--endpoint", server.endpoint)
    assert (code, the_failed(checks)["name"]) == (1, "collector")
    assert "a web page" in checks["collector"]["found"]
    assert "are lost" in checks["collector"]["advice"]


@pytest.mark.parametrize(("status", "advice"), [(407, "user and password"), (403, f"let {US}:443 through")])
def test_a_proxy_that_lets_nobody_through_fails(status: int, advice: str, capsys: Any) -> None:
    with Tunnel(0, response(status, b"<html>no</html>", Content_Type="text/html")) as proxy:
        code, checks, _ = doctor(capsys, "--proxy", proxy.address)
    assert (code, the_failed(checks)["name"]) == (1, "network")
    assert f"answers {status} instead of a way to {US}" in checks["network"]["found"]
    assert advice in checks["network"]["advice"]


def test_a_proxys_login_is_given_to_it_and_never_shown(authority: trustme.CA, capsys: Any) -> None:
    with Secure(secured(authority, US)) as server, Tunnel(server.port) as proxy:
        login = proxy.address.replace("//", "//marlo:s3c%40ret@")
        code, checks, told = doctor(capsys, "--proxy", login)
        assert proxy.requests[0].headers["proxy-authorization"] == "Basic bWFybG86czNjQHJldA=="
    assert (code, checks["proxy"]["verdict"]) == (0, "ok")
    assert "with a login, by proxy" in checks["proxy"]["found"]
    assert "s3c" not in json.dumps(told)


def test_a_proxy_that_is_not_there_is_named_with_its_setting(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{refusing_port()}")
    code, checks, _ = doctor(capsys)
    assert (code, the_failed(checks)["name"]) == (1, "network")
    assert checks["proxy"]["found"].endswith("by HTTPS_PROXY")


def test_a_proxy_that_is_no_address_fails(capsys: Any) -> None:
    code, checks, _ = doctor(capsys, "--proxy", "http://no proxy:x")
    assert (code, the_failed(checks)["name"]) == (1, "proxy")


def test_a_proxy_that_is_not_gone_through_step_by_step_is_said(capsys: Any) -> None:
    code, checks, _ = doctor(capsys, "--proxy", "https://127.0.0.1:9")
    assert (code, checks["network"]["verdict"]) == (0, "skip")
    assert "--send" in checks["network"]["advice"]


def test_plain_http_goes_by_a_proxy_too(well: Collector, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTANGO_ALLOW_HTTP", "1")
    proxy = f"http://marlo:x@127.0.0.1:{well.port}"
    code, checks, _ = doctor(capsys, "--endpoint", "http://sandbox.example:8035", "--proxy", proxy)
    assert (code, checks["collector"]["verdict"]) == (0, "ok")
    assert well.requests[0].line == "POST http://sandbox.example:8035/pixel.gif/ HTTP/1.1"
    assert "proxy-authorization" in well.requests[0].headers


# -- TLS


@pytest.mark.parametrize(
    ("fault", "found", "advice"),
    [
        (expired, f"has expired, if today is {datetime.now(UTC):%Y-%m}", "clock"),
        (other_host, "is not for localhost but for collector.example", "/etc/hosts"),
        (unknown_authority, "is not trusted", "SSL_CERT_FILE"),
        (old_tls, "does not speak TLS 1.2 or later", "endpoint's port"),
    ],
)
def test_a_host_that_cannot_be_verified_fails(
    fault: Callable[[trustme.CA], ssl.SSLContext], found: str, advice: str, authority: trustme.CA, capsys: Any
) -> None:
    with Secure(fault(authority)) as server:
        code, checks, _ = doctor(capsys, "--endpoint", f"https://localhost:{server.port}/pixel.gif/")
        assert server.requests == []
    assert (code, the_failed(checks)["name"]) == (1, "TLS")
    assert found in checks["TLS"]["found"]
    assert advice in checks["TLS"]["advice"]
    assert [checks[name]["verdict"] for name in ("collector", "clock")] == ["skip", "skip"]


def test_a_port_without_tls_fails(well: Collector, capsys: Any) -> None:
    code, checks, _ = doctor(capsys, "--endpoint", well.endpoint.replace("http:", "https:"), "--timeout", "0.5")
    assert (code, the_failed(checks)["name"]) == (1, "TLS")


def test_a_certificate_that_ends_soon_is_warned_of(authority: trustme.CA, capsys: Any) -> None:
    soon = secured(authority, not_after=datetime.now(UTC) + timedelta(days=3))
    with Secure(soon) as server:
        code, checks, _ = doctor(capsys, "--endpoint", f"https://localhost:{server.port}/pixel.gif/")
    assert (code, checks["TLS"]["verdict"]) == (0, "warn")


def test_certificates_that_cannot_be_read_fail(capsys: Any, monkeypatch: pytest.MonkeyPatch, well: Collector) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    code, checks, _ = doctor(capsys, "--endpoint", well.endpoint.replace("http:", "https:"))
    assert (code, the_failed(checks)["name"]) == (1, "TLS")
    assert "SSL_CERT_FILE='/nowhere.pem'" in checks["TLS"]["found"]


# -- the answer


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (response(200, b'{"ok": true}', Content_Type="application/json"), "12 bytes (application/json)"),
        (response(200, b""), "0 bytes (no type)"),
        (response(302, Location="https://login.example/?next=x"), "answers 302 and leads to https://login.example"),
        (response(401), "answers 401"),
        (response(404), "answers 404"),
        (response(418), "answers 418"),
        (response(503), "answers 503"),
    ],
)
def test_an_answer_that_is_no_gif_fails(answer: bytes, found: str, capsys: Any) -> None:
    with serving(lambda _: answer) as server:
        code, checks, _ = doctor(capsys, "--endpoint", server.endpoint)
    assert (code, the_failed(checks)["name"], checks["clock"]["verdict"]) == (1, "collector", "skip")
    assert found in checks["collector"]["found"]


@pytest.mark.parametrize(
    ("hours", "verdict", "found"),
    [
        (-1, "fail", "60 minutes ahead of the answer's date"),
        (1, "fail", "60 minutes behind the answer's date"),
        (0.05, "warn", "3 minutes behind"),
        (0, "ok", "within 30 s"),
    ],
)
def test_the_clock_is_compared_with_the_answers_date(hours: float, verdict: str, found: str, capsys: Any) -> None:
    with serving(lambda _: gif(hours)) as server:
        code, checks, _ = doctor(capsys, "--endpoint", server.endpoint)
    assert (code, checks["clock"]["verdict"]) == (1 if verdict == "fail" else 0, verdict)
    assert found in checks["clock"]["found"]


# -- the spool


def a_file(directory: Path) -> Path:
    directory.write_text("x")
    return directory


def open_to_others(directory: Path) -> Path:
    directory.mkdir()
    directory.chmod(0o777)
    return directory


def a_link(directory: Path) -> Path:
    directory.symlink_to(directory.parent)
    return directory


def below_proc(_: Path) -> Path:
    return Path("/proc/totango/spool")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (a_file, "is not a directory"),
        (open_to_others, "can be written by others"),
        (a_link, "is a symbolic link"),
        (below_proc, "cannot be written (No such file or directory)"),
    ],
)
def test_a_spool_that_cannot_be_used_fails(
    made: Callable[[Path], Path], said: str, well: Collector, capsys: Any, tmp_path: Path
) -> None:
    directory = made(tmp_path / "spool")
    code, checks, _ = doctor(capsys, "--endpoint", well.endpoint, "--spool", str(directory))
    assert (code, the_failed(checks)["name"]) == (1, "spool")
    assert said in checks["spool"]["found"]
    assert "file system" not in checks


def test_a_shared_spool_of_another_version_fails(well: Collector, capsys: Any) -> None:
    code, checks, _ = doctor(capsys, "--endpoint", well.endpoint, "--spool", "redis://:s3cret@localhost/0")
    assert (code, the_failed(checks)["name"]) == (1, "spool")
    assert "s3cret" not in json.dumps(checks)


def test_it_leaves_nothing_in_the_spool_and_makes_none(well: Collector, capsys: Any, tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    _, checks, _ = doctor(capsys, "--endpoint", well.endpoint, "--spool", str(directory))
    assert checks["spool"]["verdict"] == "ok"
    assert not directory.exists()
    directory.mkdir(mode=0o700)
    _, checks, _ = doctor(capsys, "--endpoint", well.endpoint, "--spool", str(directory))
    assert checks["spool"]["verdict"] == "ok"
    assert list(directory.iterdir()) == []


def test_what_waits_and_what_is_dead_is_counted(well: Collector, capsys: Any, tmp_path: Path) -> None:
    leave(tmp_path / "spool")
    spool = ("--endpoint", well.endpoint, "--spool", str(tmp_path / "spool"))
    code, checks, _ = doctor(capsys, *spool)
    assert (code, checks["events"]["verdict"]) == (0, "warn")
    assert checks["events"]["found"] == "3 waiting, 2 dead"
    assert "totango spool dead" in checks["events"]["advice"]
    assert main(["spool", "purge", "--yes", *spool[2:]]) == 0
    capsys.readouterr()
    _, checks, _ = doctor(capsys, *spool)
    assert checks["events"]["found"] == "3 waiting, 0 dead, 3 of them left by processes that are gone"
    assert "totango spool drain" in checks["events"]["advice"]


def test_the_file_system_is_the_one_that_is_mounted_nearest(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "23 22 0:21 / /srv rw - nfs4 server:/srv rw\n"
        "24 23 0:22 / /srv/with\\040space rw master:2 - tmpfs tmpfs rw\n"
    )
    assert file_system_of("/var/lib", str(mounts)) == "ext4"
    assert file_system_of("/srv/spool", str(mounts)) == "nfs4"
    assert file_system_of("/srvx", str(mounts)) == "ext4"
    assert file_system_of("/srv/with space/x", str(mounts)) == "tmpfs"
    assert file_system_of("/", str(tmp_path / "nothing")) is None


@pytest.mark.parametrize(
    ("kind", "verdict", "advice"),
    [
        ("nfs4", "warn", "on a disk"),
        ("tmpfs", "warn", "on a disk"),
        ("overlay", "warn", "mount a volume"),
        ("xfs", "ok", ""),
    ],
)
def test_a_file_system_that_keeps_nothing_safe_is_warned_of(
    kind: str, verdict: str, advice: str, well: Collector, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("totango_sdk.doctor.disk.file_system_of", lambda _: kind)
    _, checks, _ = doctor(capsys, "--endpoint", well.endpoint)
    assert checks["file system"]["verdict"] == verdict
    assert advice in checks["file system"]["advice"]


# -- an event, if one is asked for


def test_an_event_is_sent_only_if_asked_for_and_said_which(well: Collector, capsys: Any) -> None:
    who = ("--send", "--account", "a1", "--user", "u1")
    code, checks, told = doctor(capsys, "--endpoint", well.endpoint, *who)
    assert (code, checks["event"]["verdict"]) == (0, "ok")
    assert told["sent"] == {
        "activity": "Doctor", "module": "totango_sdk", "account": "a1", "user": "u1", "outcome": "delivered",
    }  # fmt: skip
    assert [request.names for request in well.requests if request.body] == [
        {"sdr_s": "SP-1234-01", "sdr_o": "a1", "sdr_u": "u1", "sdr_a": "Doctor", "sdr_m": "totango_sdk"}
    ]


def test_an_event_that_is_not_taken_is_a_failure(capsys: Any) -> None:
    with serving(lambda request: 400 if request.body else gif()) as server:
        who = ("--endpoint", server.endpoint, "--send", "--user", "u1")
        code, checks, told = doctor(capsys, *who, "--account", "a1")
        assert (code, the_failed(checks)["name"], told["sent"]["outcome"]) == (1, "event", "dead")
        code, checks, told = doctor(capsys, *who, "--account", "Acme Inc.")
        assert (code, the_failed(checks)["name"], told["sent"]["outcome"]) == (1, "event", "invalid")
        assert "'Acme Inc.' has ' '" in checks["event"]["found"]


def test_with_a_wrong_service_id_no_event_is_sent(well: Collector, capsys: Any) -> None:
    who = ("--send", "--account", "a1", "--user", "u1", "--service-id", "SP-XXXX-XX")
    code, checks, told = doctor(capsys, "--endpoint", well.endpoint, *who)
    assert (code, checks["event"]["verdict"], told["sent"]) == (1, "skip", None)
    assert all(request.body == b"" for request in well.requests)


@pytest.mark.parametrize("wrong", [("--send",), ("--send", "--account", "a1"), ("--timeout", "0")])
def test_wrong_use_ends_with_2(wrong: tuple[str, ...], capsys: Any) -> None:
    assert main(["doctor", *wrong]) == 2
    assert capsys.readouterr().err.startswith("totango: --")
