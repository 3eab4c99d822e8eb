"""A dashboard that only shows: its page says so, and has no buttons to change things."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hpo.dashboard.pages import is_page

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# By the names that optuna-dashboard's page gives its icons; where another version has others, the buttons answer 403.
STYLE = b"""<style>
button:has([data-testid=AddBoxIcon]), button:has([data-testid=DriveFileRenameOutlineIcon]),
button:has([data-testid=DeleteIcon]), button:has([data-testid=EditIcon]),
.MuiCard-root:has([data-testid=UploadFileIcon]) { display: none !important }
body::after { content: "read-only"; position: fixed; top: 22px; right: 24px; z-index: 2000; color: white;
font: 14px sans-serif; pointer-events: none }
</style>"""
END = b"</head>"


class ReadOnly:
    """A WSGI application around another one, whose pages it changes."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if not is_page(environ.get("PATH_INFO", "")):
            return self._app(environ, start)
        said: list[Any] = []

        def begin(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            said[:] = [status, headers]

        answer = self._app(environ, begin)
        body = b"".join(answer).replace(END, STYLE + END, 1)
        getattr(answer, "close", lambda: None)()
        status, headers = said
        kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
        start(status, [*kept, ("Content-Length", str(len(body)))] if body else kept)
        return [body]
