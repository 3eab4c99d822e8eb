"""What the guard itself answers: a login form, refusals, and headers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Headers = list[tuple[str, str]]

# What optuna-dashboard's page needs: its bundle makes styles as it runs, and compiles shaders' code (regl).
PAGE = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self'",
        "font-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
NOTHING = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
FILE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'; sandbox"
SAFE = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
OURS = {name.lower() for name, _ in SAFE} | {"content-security-policy", "access-control-allow-origin"}

_HEAD = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>hpo dashboard</title>{refresh}'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><style>body{{font-family:sans-serif;'
    "max-width:26rem;margin:20vh auto;padding:0 1rem;color:#222}}input,button{{font-size:1rem;padding:.5rem}}"
    "</style></head><body><h1>hpo dashboard</h1>"
)
LOGIN = (
    '<p>{said}</p><form method="post" action="/login"><input type="password" name="password" aria-label="Password" '
    'autocomplete="current-password" required autofocus> <button>Log in</button></form>'
)
LOGOUT = '<p>Log out of this browser?</p><form method="post" action="/logout"><button>Log out</button></form>'
LINK = "<p>{said}</p><p>Open the link that <code>hpo dashboard</code> printed when it started.</p>"


def page(body: str, said: str = "", refresh: str = "") -> str:
    """A whole page of ours; `said` is shown as text."""
    head = _HEAD.format(refresh=f'<meta http-equiv="refresh" content="0;url={refresh}">' if refresh else "")
    return f"{head}{body.format(said=escape(said))}</body></html>"


class Answer(Exception):  # noqa: N818 - raised to end a question early, good or bad
    """An answer of the guard's own."""

    def __init__(self, status: HTTPStatus, said: str, html: str | None = None, more: Iterable[tuple[str, str]] = ()):
        super().__init__(said)
        self.status, self.said, self.html, self.more = status, said, html, list(more)

    def send(self, environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        """As a page for people, as JSON for the page's own questions."""
        body, kind = self.html, "text/html; charset=utf-8"
        if body is None and environ.get("PATH_INFO", "").startswith("/api/"):
            body, kind = json.dumps({"reason": self.said}), "application/json"
        elif body is None:
            body, kind = self.said + "\n", "text/plain; charset=utf-8"
        headers = [("Content-Type", kind), ("Content-Length", str(len(body.encode()))), ("Cache-Control", "no-store")]
        start(f"{self.status.value} {self.status.phrase}", [*headers, *self.more])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body.encode()]


def is_page(path: str) -> bool:
    """Whether optuna-dashboard answers this path with its page."""
    return path == "/dashboard" or path.startswith("/dashboard/")


def dressed(path: str, headers: Headers) -> Headers:
    """The headers of an answer with ours in the place of those that say less."""
    kept: list[Any] = [(name, value) for name, value in headers if name.lower() not in OURS]
    policy = NOTHING
    if is_page(path):
        policy = PAGE
    elif path.startswith("/artifacts/"):
        policy = FILE
        kept = [(name, value) for name, value in kept if name.lower() != "content-disposition"]
        kept.append(("Content-Disposition", "attachment"))
    if "cache-control" not in {name.lower() for name, _ in kept}:
        kept.append(("Cache-Control", "private, max-age=3600" if path.startswith("/static/") else "no-store"))
    return [*kept, *SAFE, ("Content-Security-Policy", policy)]
