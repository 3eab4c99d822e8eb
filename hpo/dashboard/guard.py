"""What stands before the dashboard: who asks, from where, and the headers of each answer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from hpo.dashboard.access import Access
from hpo.dashboard.pages import LINK, LOGIN, LOGOUT, Answer, Headers, dressed, page
from hpo.dashboard.sessions import WITHIN, Sessions, Tries

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

READS, WRITES = ("GET", "HEAD"), ("POST", "PUT", "DELETE")
FORM = 4096  # bytes of a login form
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?")


class Guard:
    """A WSGI application around another one."""

    def __init__(self, app: WSGIApplication, access: Access, port: int) -> None:
        self._app, self._access = app, access
        self._cookie = f"hpo-dashboard-{port}"  # a browser sends a cookie to all ports of a host
        self._sessions, self._tries = Sessions(), Tries()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))

        def begin(status: str, headers: Headers, error: Any = None) -> Any:
            return start(status, dressed(path, headers), error) if error else start(status, dressed(path, headers))

        try:
            self._check(environ, path)
            return self._app(environ, begin)
        except Answer as answer:
            return answer.send(environ, begin)

    def _check(self, environ: WSGIEnvironment, path: str) -> None:
        """Return where the question may pass; raise its Answer otherwise."""
        method = environ["REQUEST_METHOD"]
        self._check_host(environ)
        if method not in READS + WRITES:
            raise Answer(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not answered")
        _check_site(environ, path)
        if method in WRITES:
            _check_origin(environ)
        if path == "/login" and method == "POST":
            raise self._login(environ)
        self._check_who(environ, path)
        if path == "/logout":
            raise self._logout(environ)
        if method in WRITES and not self._access.write:
            raise Answer(HTTPStatus.FORBIDDEN, "read-only: hpo dashboard --write serves one that changes things")

    def _check_host(self, environ: WSGIEnvironment) -> None:
        found = _HOST.fullmatch(environ.get("HTTP_HOST", "").lower())
        if found is None or found[1].strip("[]") not in self._access.hosts:
            said = "this name is not the dashboard's: hpo dashboard --host-name NAME allows another one"
            raise Answer(HTTPStatus.MISDIRECTED_REQUEST, said)

    def _check_who(self, environ: WSGIEnvironment, path: str) -> None:
        access = self._access
        if access.header:
            if not access.vouched(environ.get("REMOTE_ADDR", ""), environ.get(access.header)):
                raise Answer(HTTPStatus.UNAUTHORIZED, "come through the proxy that says who you are")
            return
        if self._sessions.holds(_cookie(environ, self._cookie)):
            return
        given = parse_qs(environ.get("QUERY_STRING", "")).get("token", [""])[0] if path == "/" else ""
        if given and access.token:
            raise self._enter(environ, given)
        if path.startswith(("/api/", "/static/", "/artifacts/", "/csv/")) or environ["REQUEST_METHOD"] in WRITES:
            raise Answer(HTTPStatus.UNAUTHORIZED, "log in first")
        raise self._refused(HTTPStatus.UNAUTHORIZED, "")

    def _refused(self, status: HTTPStatus, said: str, more: Headers | None = None) -> Answer:
        return Answer(status, said, page(LOGIN if self._access.password else LINK, said), more or [])

    def _login(self, environ: WSGIEnvironment) -> Answer:
        if not self._access.password:
            return self._refused(HTTPStatus.NOT_FOUND, "There is no password.")
        try:
            length = int(environ.get("CONTENT_LENGTH") or 0)
        except ValueError:
            length = FORM + 1
        if length > FORM:
            return Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a password is shorter")
        form = environ["wsgi.input"].read(length).decode("utf-8", "replace")
        return self._enter(environ, parse_qs(form).get("password", [""])[0])

    def _enter(self, environ: WSGIEnvironment, given: str) -> Answer:
        """A session for who knows the password or the token."""
        address = environ.get("REMOTE_ADDR", "")
        if not self._tries.allowed(address):
            more = [("Retry-After", str(round(WITHIN)))]
            return self._refused(HTTPStatus.TOO_MANY_REQUESTS, "Too many tries: wait a minute.", more)
        if not self._access.opens(given):
            return self._refused(HTTPStatus.FORBIDDEN, "That was not it.")
        self._tries.right(address)
        secure = "; Secure" if environ.get("HTTP_ORIGIN", "").startswith("https://") else ""
        cookie = f"{self._cookie}={self._sessions.begin()}; Path=/; HttpOnly; SameSite=Strict{secure}"
        # Not a redirect: where another program opened the link, a browser would follow it without the new cookie.
        return Answer(HTTPStatus.OK, "", page("", refresh="/dashboard"), [("Set-Cookie", cookie)])

    def _logout(self, environ: WSGIEnvironment) -> Answer:
        if environ["REQUEST_METHOD"] != "POST":
            return Answer(HTTPStatus.OK, "", page(LOGOUT))
        self._sessions.end(_cookie(environ, self._cookie))
        gone = [("Set-Cookie", f"{self._cookie}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")]
        return self._refused(HTTPStatus.OK, "You are logged out.", gone)


def _check_site(environ: WSGIEnvironment, path: str) -> None:
    """Other sites may link to the dashboard's pages, no more; a browser says where a question comes from."""
    if environ.get("HTTP_SEC_FETCH_SITE", "none") in ("none", "same-origin"):
        return
    opened = environ.get("HTTP_SEC_FETCH_MODE") == "navigate" and environ["REQUEST_METHOD"] in READS
    if not opened or path.startswith(("/api/", "/artifacts/", "/csv/")):
        raise Answer(HTTPStatus.FORBIDDEN, "another site asked for this")


def _check_origin(environ: WSGIEnvironment) -> None:
    """A write must come from a page of the dashboard itself."""
    try:
        origin = urlsplit(environ.get("HTTP_ORIGIN", "")).netloc.lower()
    except ValueError:
        origin = ""
    if not origin or origin != environ["HTTP_HOST"].lower():
        raise Answer(HTTPStatus.FORBIDDEN, "a write needs an Origin header that names this dashboard")


def _cookie(environ: WSGIEnvironment, name: str) -> str:
    try:
        found = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""
