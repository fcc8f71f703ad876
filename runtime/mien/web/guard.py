"""Access to the live page: the token, the host name of requests, and restrictions for other web sites."""

from __future__ import annotations

import html
import re
from hmac import compare_digest

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
OPEN = ("/healthz", "/style.css", "/icon.svg")
"""Paths that need no token: the health check, and the style of the page that asks for the token."""
STRANGER = "mien.stranger"
"""Key in the scope of a request that came without the token to a path that needs none."""
REFUSED = """<!doctype html><html lang="en"><meta charset="utf-8"><title>mien</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="style.css"><link rel="icon" href="icon.svg">
<body class="refused"><main><h1>mien</h1>
<p>{reason} Open the complete address that <code>fer-run --serve</code> printed, which ends in
<code>?token=…</code>, or enter the token here.</p>
<form action="./" method="get"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="off" required autofocus>
<button>Open</button></form></main></body></html>
"""


class Guard:
    """Wraps the application. With a token, every request needs it. Without one, only requests to this machine's names
    are answered, so that no web site can point its own name here and read along (DNS rebinding)."""

    def __init__(self, app: ASGIApp, *, token: str | None, host: str, port: int):
        self._app = app
        self._token = token
        self._names = {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host}
        # Cookies ignore ports, so two pages on one machine would overwrite each other's cookie.
        self._cookie = f"mien_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        refusal = self._refusal(request)
        remember = refusal is None and self._token is not None and "token" in request.query_params

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if remember:
                    cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
                    headers.append("Set-Cookie", cookie)
            await send(message)

        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        site, mode = (request.headers.get(f"sec-fetch-{name}", "") for name in ("site", "mode"))
        if site in ("cross-site", "same-site") and mode != "navigate":
            return PlainTextResponse("other sites may not read this page\n", 403)
        path = request.url.path
        if self._token is None:
            name = re.sub(r":[0-9]*$", "", request.headers.get("host", "localhost")).lower()
            if name in self._names:
                return None
            text = f"this page answers to localhost, not to {name!r}; to serve it under other names, set a token\n"
            return PlainTextResponse(text, 403)
        given = self._given(request)
        if any(compare_digest(item.encode(), self._token.encode()) for item in given):
            return None
        if path in OPEN:
            request.scope[STRANGER] = True
            return None
        reason = "This token is wrong." if given else "This page needs a token."
        if path == "/":
            answer: Response = HTMLResponse(REFUSED.format(reason=html.escape(reason)), 401)
        else:
            answer = PlainTextResponse(
                f"{reason} Give it as ?token=..., or in the header Authorization: Bearer ...\n", 401
            )
        answer.headers["WWW-Authenticate"] = 'Bearer realm="mien"'
        return answer

    def _given(self, request: Request) -> list[str]:
        """The tokens in a request."""
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        found = [request.query_params.get("token"), request.cookies.get(self._cookie)]
        return [item for item in [*found, bearer.strip() if kind.lower() == "bearer" else None] if item]
