"""The dashboard over real HTTP: who comes in, what may be changed, what answers look like."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator

import pytest
from conftest import Run
from dashboards import Dashboard, dashboard
from sqlalchemy import create_engine, text

from hpo.config import Config, load
from hpo.dashboard import access, sessions
from hpo.errors import HpoError

PASSWORD = "correct horse battery"
ALL = "0.0.0.0"  # noqa: S104 - that it is refused is what is tested
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@pytest.fixture(scope="module")
def toy_dashboard(toy: Config) -> Iterator[Dashboard]:
    with dashboard(toy) as found:
        yield found.enter()


@pytest.fixture
def shown(toy_dashboard: Dashboard) -> Dashboard:
    """One that only shows, entered by its link."""
    return Dashboard(toy_dashboard.port, toy_dashboard.link, cookie=toy_dashboard.cookie)


@pytest.fixture
def stranger(toy_dashboard: Dashboard) -> Dashboard:
    """The same one, without its cookie."""
    return Dashboard(toy_dashboard.port, toy_dashboard.link)


def test_nothing_is_told_to_who_has_no_token(stranger: Dashboard) -> None:
    paths = ("/api/studies", "/api/studies/1", "/api/meta", "/static/bundle.js", "/csv/1", "/artifacts/1/1/1-c2")
    assert {stranger.ask(path).status for path in (*paths, "/dashboard", "/", "/nothing", "/logout")} == {401}
    assert b"toy" not in b"".join(stranger.ask(path).body for path in paths)
    assert stranger.ask("/?token=wrong").status == 403
    assert stranger.ask("/dashboard?" + stranger.link.partition("?")[2]).status == 401  # at its own place alone
    assert stranger.ask("/api/studies", Cookie="hpo-dashboard-1=x; [=;").status == 401
    forged = f"hpo-dashboard-{stranger.port}=forged"
    assert stranger.ask("/api/studies", Cookie=forged).status == 401


def test_the_link_gives_a_cookie_that_no_script_and_no_other_site_gets(stranger: Dashboard) -> None:
    reply = stranger.ask(stranger.link.removeprefix(stranger.origin))
    cookie, *flags = reply.headers["Set-Cookie"].split("; ")
    assert set(flags) == {"Path=/", "HttpOnly", "SameSite=Strict"}
    assert reply.headers["Cache-Control"] == "no-store"
    token = stranger.link.partition("token=")[2]
    assert token not in cookie + reply.body.decode()
    assert b'content="0;url=/dashboard"' in reply.body
    assert stranger.enter(reply).ask("/api/studies").json["study_summaries"][0]["study_name"] == "toy"


@pytest.mark.parametrize("path", ["/dashboard", "/api/studies", "/static/bundle.js", "/nothing", "/artifacts/1/1/a"])
def test_every_answer_has_the_headers(shown: Dashboard, stranger: Dashboard, path: str) -> None:
    for reply in (shown.ask(path), stranger.ask(path), shown.ask(path, Host="evil.example")):
        assert {name: reply.headers[name] for name in HEADERS} == HEADERS
        assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
        assert "Server" not in reply.headers
        assert "Access-Control-Allow-Origin" not in reply.headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.2", "", "localhost@evil", "[::1"])
def test_a_name_that_is_not_its_own_is_refused(shown: Dashboard, host: str) -> None:
    assert shown.ask("/api/studies", Host=host).status == 421
    assert shown.ask("/api/studies", Host=f"LOCALHOST:{shown.port}").status == 200
    assert shown.raw(b"GET /api/studies HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 421")


def test_writes_are_refused_to_readers_strangers_and_other_sites(shown: Dashboard, stranger: Dashboard) -> None:
    assert stranger.change("/api/studies/1", "DELETE").status == 401
    assert stranger.ask("/api/studies/1", "DELETE").status == 403
    assert shown.change("/api/studies/1", "DELETE").json["reason"].startswith("read-only")
    writes = {("/api/studies", "POST"), ("/api/studies/1/note", "PUT"), ("/incompatible-rdb-schema", "POST")}
    assert {shown.change(path, method).status for path, method in writes} == {403}
    assert [shown.ask("/api/studies", method).status for method in ("OPTIONS", "TRACE", "PATCH")] == [405] * 3


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Origin": ""},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_a_write_of_another_site_changes_nothing(toy: Config, headers: dict[str, str]) -> None:
    with dashboard(toy, "--write") as writing:
        writing.enter()
        assert writing.change("/api/studies/1/note", "PUT", b'{"version": 1, "body": "x"}', **headers).status == 403


def test_with_write_the_page_changes_studies(config: Config, run: Run) -> None:
    with dashboard(config, "--write") as writing:
        writing.enter()
        made = writing.change("/api/studies", "POST", b'{"study_name": "mine", "directions": ["minimize"]}')
        assert made.status == 201
        study = made.json["study_summary"]["study_id"]
        assert writing.change(f"/api/studies/{study}/note", "PUT", b'{"version": 1, "body": "seen"}').status == 204
        assert writing.ask(f"/api/studies/{study}").json["note"] == {"version": 1, "body": "seen"}
        assert writing.change(f"/api/studies/{study}", "DELETE").status == 204
        assert writing.ask(f"/api/studies/{study}").status == 404


def test_other_sites_may_link_to_pages_alone(shown: Dashboard) -> None:
    from_afar = {"Sec_Fetch_Site": "cross-site"}
    assert shown.ask("/dashboard", **from_afar, Sec_Fetch_Mode="navigate").status == 200
    assert shown.ask("/api/studies", **from_afar, Sec_Fetch_Mode="navigate").status == 403
    assert shown.ask("/static/bundle.js", **from_afar, Sec_Fetch_Mode="no-cors").status == 403


def test_logging_out_ends_the_session(stranger: Dashboard) -> None:
    stranger.enter()
    assert b"<button>" in stranger.ask("/logout").body
    assert stranger.ask("/api/studies").status == 200
    assert stranger.change("/logout", "POST").headers["Set-Cookie"].endswith("Max-Age=0")
    assert stranger.ask("/api/studies").status == 401


def test_a_password_opens_it(toy: Config) -> None:
    with dashboard(toy, password=PASSWORD) as found:
        assert b'type="password"' in found.ask("/dashboard").body
        assert found.ask(found.link.removeprefix(found.origin)).status == 401
        assert found.log_in("wrong").status == 403
        assert found.ask("/login", "POST", b"password=" + PASSWORD.encode()).status == 403  # without an Origin
        assert found.ask("/login", "POST", b"x" * 5000, Origin=found.origin).status == 413
        assert found.ask("/login", "POST", b"\xff\xfe", Origin=found.origin).status == 403
        reply = found.log_in(PASSWORD.replace(" ", "+"))
        assert found.enter(reply).ask("/api/studies").status == 200
        https = found.ask("/login", "POST", f"password={PASSWORD}".encode(), Origin=f"https://127.0.0.1:{found.port}")
        assert "; Secure" in https.headers["Set-Cookie"]


def test_guessing_a_password_is_held_up(toy: Config) -> None:
    with dashboard(toy, password=PASSWORD) as found:
        statuses = [found.log_in(f"guess {n}").status for n in range(7)]
        assert statuses == [403] * 5 + [429] * 2
        held = found.log_in(PASSWORD)
        assert (held.status, held.headers["Retry-After"]) == (429, "60")


def test_tries_are_counted_by_address_and_for_all_and_forgotten() -> None:
    now = [0.0]
    tries = sessions.Tries(lambda: now[0])
    assert [tries.allowed("a") for _ in range(6)] == [True] * 5 + [False]
    assert tries.allowed("b")
    tries.right("b")
    others = [tries.allowed(f"{n}") for n in range(200)]
    assert others.count(True) == sessions.ALL_TRIES - 5
    now[0] = 61.0
    assert tries.allowed("a")


def test_a_session_ends_by_itself() -> None:
    now = [0.0]
    kept = sessions.Sessions(lambda: now[0])
    cookie = kept.begin()
    assert kept.holds(cookie)
    now[0] = sessions.LASTING
    assert not kept.holds(cookie)
    first = kept.begin()
    for _ in range(sessions.MOST):
        kept.begin()
    assert not kept.holds(first)


def test_a_proxy_is_believed_and_nobody_else(toy: Config) -> None:
    with dashboard(toy, "--trust-header", "X-Remote-User", "--proxy", "127.0.0.0/8") as found:
        assert found.ask("/api/studies").status == 401
        assert found.ask("/api/studies", X_Remote_User="").status == 401
        assert found.ask("/api/studies", X_Remote_User="ada").status == 200
    with dashboard(toy, "--trust-header", "X-Remote-User", "--proxy", "10.0.0.1") as found:
        assert found.ask("/api/studies", X_Remote_User="ada").status == 401


@pytest.mark.parametrize(
    ("options", "environ", "part"),
    [
        (["--host", ALL], {}, "set HPO_DASHBOARD_PASSWORD"),
        (["--host", "::"], {}, "--host ::: other machines reach this address"),
        ([], {"HPO_DASHBOARD_PASSWORD": "short"}, "HPO_DASHBOARD_PASSWORD: a password takes 12"),
        (["--trust-header", "X-User"], {}, "belong together"),
        (["--proxy", "10.0.0.1"], {}, "belong together"),
        (["--trust-header", "X-User", "--proxy", "here"], {}, "'here' is no address"),
        (["--host", "no.such.host.invalid"], {"HPO_DASHBOARD_PASSWORD": PASSWORD}, "--host no.such.host.invalid: "),
        (["--host", "203.0.113.7"], {"HPO_DASHBOARD_PASSWORD": PASSWORD}, "no address of this machine"),
    ],
)
def test_what_is_not_safe_or_cannot_be_is_refused(
    run: Run, options: list[str], environ: dict[str, str], part: str
) -> None:
    found = run("dashboard", *options, **environ)
    assert (found.code, found.err.count("\n")) == (1, 1)
    assert part in found.err
    assert "short" not in found.err.replace("a password takes", "")


def test_with_a_password_it_may_listen_to_all(toy: Config) -> None:
    with dashboard(toy, "--host", ALL, "--host-name", "Lab.example", password=PASSWORD) as found:
        found.enter(found.log_in(PASSWORD))
        assert found.ask("/api/studies", Host="lab.example").status == 200
        assert found.ask("/api/studies", Host="other.example").status == 421


def test_the_password_reaches_no_process_and_no_picture_of_the_configuration() -> None:
    config = load({"HPO_DASHBOARD_PASSWORD": PASSWORD, "HPO_HOME": "/nowhere"})
    assert config.dashboard_password == PASSWORD
    assert PASSWORD not in repr(config) + repr(config.environ())
    decided = access.decide("127.0.0.1", [], "a token", PASSWORD, None, [], False)
    assert PASSWORD not in repr(decided)
    with pytest.raises(HpoError):
        access.decide("192.0.2.1", [], "a token", None, None, [], False)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../index.html",
        "/static/..%2f..%2f..%2fetc%2fpasswd",
        "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/static//etc/passwd",
        "/artifacts/1/../../../etc/passwd",
        "/artifacts/1/1/..%2f..%2fetc%2fpasswd",
        "/artifacts/1/%2e%2e%2f%2e%2e%2fpasswd",
        "/artifacts/1/2/1-c2",
        "/artifacts/2/1/1-c2",
        "/artifacts/1/1/1-c7",
        "/artifacts/1/1/fffffffff-c2",
        "/artifacts/1/999999999/3b9ac9ff-c2",
        "/artifacts/-1/1/1-c2",
        "/artifacts/1/1/%00",
        "/artifacts/1/1/1-c2%00.svg",
        "/static/%00",
        "/api/studies/999999999999",
        "/api/studies/-1",
    ],
)
def test_there_is_nothing_beside_what_is_served(shown: Dashboard, path: str) -> None:
    reply = shown.ask(path)
    assert reply.status in (403, 404)
    assert b"root:" not in reply.body


def test_what_is_no_number_of_trials_is_said(shown: Dashboard) -> None:
    for after in ("x", "-1", "1%20OR%201", "%D9%A1"):
        reply = shown.ask(f"/api/studies/1?after={after}")
        assert (reply.status, reply.json["reason"].partition(":")[0]) == (400, "after")


def test_a_page_that_only_shows_says_so(shown: Dashboard, toy: Config) -> None:
    reply = shown.ask("/dashboard/studies/1")
    assert b'"read-only"' in reply.body
    assert int(reply.headers["Content-Length"]) == len(reply.body)
    assert shown.ask("/dashboard", "HEAD").body == b""
    with dashboard(toy, "--write") as writing:
        assert b"read-only" not in writing.enter().ask("/dashboard/studies/1").body


def test_head_and_etag_spare_the_body(shown: Dashboard) -> None:
    whole = shown.ask("/api/studies/1?after=0", Accept_Encoding="gzip")
    assert whole.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(whole.body)) == shown.ask("/api/studies/1?after=0").json
    head = shown.ask("/api/studies/1", "HEAD")
    assert (head.status, head.body) == (200, b"")
    same = shown.ask("/api/studies/1?after=0", Accept_Encoding="gzip", If_None_Match=whole.headers["ETag"])
    assert (same.status, same.body) == (304, b"")
    static = shown.ask("/static/bundle.js", Accept_Encoding="gzip")
    assert (static.headers["Cache-Control"], static.headers["Content-Encoding"]) == ("private, max-age=3600", "gzip")


def test_slow_and_huge_clients_hold_nobody_up(shown: Dashboard) -> None:
    slow = [socket.create_connection(("127.0.0.1", shown.port)) for _ in range(20)]
    try:
        for connection in slow:
            connection.sendall(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\npass")
        assert shown.ask("/api/studies").status == 200
    finally:
        for connection in slow:
            connection.close()
    assert shown.ask("/api/studies", X_Huge="x" * 100_000).status == 431
    length = b"POST /api/studies HTTP/1.0\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n"
    assert b" 413 " in shown.raw(length).partition(b"\r\n")[0]
    assert shown.ask("/api/studies").status == 200


def test_artifacts_of_the_best_trials_are_sandboxed(shown: Dashboard, toy: Config) -> None:
    study = shown.ask("/api/studies/1").json
    assert study["objective_names"] == ["val_loss"]
    best = study["best_trials"][0]
    names = {each["filename"]: each["artifact_id"] for each in best["artifacts"]}
    assert set(names) == {"learning-curve.svg", "metrics.json"}
    for name, found in names.items():
        reply = shown.ask(f"/artifacts/1/{best['trial_id']}/{found}")
        assert reply.status == 200
        assert "sandbox" in reply.headers["Content-Security-Policy"], name
        assert "script" not in reply.headers["Content-Security-Policy"]
        assert reply.headers["Content-Disposition"] == "attachment"
    assert [row["step"] for row in reply.json] == [1, 2]
    assert "hpo promote -s toy" in study["note"]["body"]
    assert best["note"]["body"].startswith("Number 1 of the study: `val_loss` ")
    assert [plot["id"] for plot in study["plotly_graph_objects"]] == ["best-curves"]


def test_looking_writes_nothing(toy: Config, shown: Dashboard) -> None:
    def written() -> list[int]:
        engine = create_engine(str(toy.database_url))
        with engine.connect() as connection:
            tables = ("study_system_attributes", "study_user_attributes", "trial_system_attributes", "trials")
            found = [connection.scalar(text(f"SELECT count(*) FROM {table}")) for table in tables]
        engine.dispose()
        return [int(count or 0) for count in found]

    before = written()
    for path in ("/api/studies", "/api/studies/1", "/api/studies/1/param_importances", "/csv/1", "/dashboard"):
        assert shown.ask(path).status == 200
    assert written() == before


def test_a_poll_brings_what_is_new_alone(shown: Dashboard) -> None:
    assert [trial["number"] for trial in shown.ask("/api/studies/1?after=2").json["trials"]] == [2]
