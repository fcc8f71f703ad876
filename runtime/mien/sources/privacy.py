"""Addresses and pipelines in a form that may be shown: without users, passwords and other secrets."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import quote, unquote

SCHEME = re.compile(r"\b[a-z][a-z0-9+.-]+:/+", re.IGNORECASE)
"""At least two letters, because C:/ starts a path. With one slash too few it is still an address, just misspelled."""
PROPERTY = re.compile(
    r"""([\w:.-]*(?:user|login|account|pw|pass|psk|secret|token|key|auth|cred|cookie|header|session|sign|cert|pin\b|-id\b)
        [\w:.-]*\s*=\s*)                              # user-pw= of rtspsrc, passphrase= of srtsrc, extra-headers=
        ("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|(?:\\.|[^\s\\])+)
    """,
    re.IGNORECASE | re.VERBOSE,
)
STRAY = re.compile(r"(?:\s+[^\s=!]+(?=\s|$))*")
"""Words after a value that are not properties: the rest of a value with spaces that should have been quoted."""
HIDDEN = "***"
MIN_SECRET_LENGTH = 4
"""Shorter parts of a secret are not searched for in the messages of libraries."""


def without_secrets(text: str) -> str:
    """An address or pipeline, or a message that contains one, without its user part and without the values of queries.

    A password may contain characters that should have been escaped, such as ``#``, ``/``, ``?``, ``@`` and spaces: if
    in doubt, too much is hidden. In pipelines, properties with users, passwords and keys are hidden too.
    """
    return Secrets(text).shown


class Secrets:
    """The secrets of an address or pipeline. ``shown``: the address without them."""

    def __init__(self, text: str):
        self._text = text
        self._hidden: list[str] = []
        if SCHEME.match(text):  # also a pipeline that starts with an address, or a password that contains " ! "
            self.shown = self._address(text)
        elif " ! " in text:
            self.shown = " ! ".join(self._segment(part, STRAY) for part in text.split(" ! "))
        elif re.match(r"[\w.+-]{2,}:.*@", text):  # an address without its scheme
            self.shown = self._hide(text[: (at := text.rfind("@"))]) + text[at:]
        else:
            self.shown = "\n".join(self._segment(line) for line in text.split("\n"))

    def clean(self, message: object) -> str:
        """A library's message, which may repeat the address or parts of it, without the secrets."""
        text = str(message).replace(self._text, self.shown)
        parts = {part for secret in self._hidden for part in (secret, *secret.split(":"))}
        for part in sorted(parts | {unquote(part) for part in parts}, key=len, reverse=True):
            if len(part) >= MIN_SECRET_LENGTH:
                text = text.replace(part, HIDDEN)
        return without_secrets(text)

    def _hide(self, secret: str) -> str:
        self._hidden.append(secret)
        return HIDDEN

    def _segment(self, text: str, tail: re.Pattern[str] | None = None) -> str:
        """One element of a pipeline, or one line of a message. ``tail``: what may still belong to a value."""
        scheme = SCHEME.search(text)
        if not scheme and tail and (rest := re.match(r"\s*\S*[^\s=]@", text)):  # the end of a password with " ! "
            return self._hide(rest[0]) + self._properties(text[rest.end() :], tail)
        if not scheme:
            return self._properties(text, tail)
        start, quote = scheme.start(), text[scheme.start() - 1 : scheme.start()]
        end = text.find(quote, scheme.end()) if quote in ("'", '"') and quote else -1
        if end < 0:
            at = text.rfind("@", start)
            first = text[scheme.end() :].split(maxsplit=1)[0] if text[scheme.end() :].strip() else ""
            known = at < 0 or ("@" not in first and _is_host(re.split(r"[/?#]", first)[0]))
            word = re.compile(r"\S*").match(text, scheme.end() if known else max(at, scheme.end()))
            end = word.end() if word else len(text)
            if tail and (stray := tail.match(text, end)):
                end = stray.end()
        return self._properties(text[:start], tail) + self._address(text[start:end]) + self._segment(text[end:], tail)

    def _properties(self, text: str, tail: re.Pattern[str] | None) -> str:
        if tail is None:
            return text
        shown, place = "", 0
        while found := PROPERTY.search(text, place):
            stray = tail.match(text, found.end())
            end = stray.end() if stray and found[2][:1] not in ("'", '"') else found.end()
            shown += text[place : found.start()] + found[1] + self._hide(text[found.start(2) : end])
            place = end
        return shown + text[place:]

    def _address(self, text: str) -> str:
        scheme = SCHEME.match(text)
        if not scheme:
            return text
        rest, mark = text[scheme.end() :], ""
        at = rest.rfind("@")
        authority = re.split(r"[/?#]", rest)[0]
        if at >= len(authority) and _is_host(authority.rpartition("@")[2]):
            at = authority.rfind("@")  # the later one belongs to the path
        if at >= 0:
            self._hide(rest[:at])
            # If it was not clearly a user part, it may have been the host: show that something is missing.
            mark, rest = ("" if at < len(authority) else f"{HIDDEN}@"), rest[at + 1 :]
        elif re.search(r":\D", authority) and not authority.startswith("["):  # a password in place of the port
            return scheme[0] + self._hide(rest)
        path, question, query = rest.partition("?")
        path, sharp, fragment = path.partition("#")
        if sharp:
            query, question = self._hide(fragment + question + query), "#"
        elif question:
            query = self._query(query)
        inner = SCHEME.search(path)
        if inner:  # for example of a proxy: http://proxy/rtsp://user:password@camera
            path = path[: inner.start()] + self._address(path[inner.start() :])
        else:  # some cameras have paths such as /user=admin&password=secret
            path = re.sub(r"(?<==)[^&;]+", lambda value: self._hide(value[0]), path)
        return scheme[0] + mark + path + question + query

    def _query(self, query: str) -> str:
        query, sharp, fragment = query.partition("#")
        shown = re.sub(
            r"(^|[&;])([^=&;]*=)?([^&;]+)", lambda pair: f"{pair[1]}{pair[2] or ''}{self._hide(pair[3])}", query
        )
        return shown + (f"#{self._hide(fragment)}" if sharp else "")


def escaped(address: str) -> str:
    """The address with its user part escaped, if it could not be parsed otherwise: if the text before the first ``/``,
    ``?`` or ``#`` does not end in a port, it must be a password that contains this character."""
    scheme = SCHEME.match(address)
    if not scheme:
        return address
    rest = address[scheme.end() :]
    host = re.split(r"[/?#]", rest)[0]
    at = rest.find("@", len(host))
    if at < 0 or "@" in host or not re.search(r":[^@]*\D[^@]*$", host):
        return address
    at += re.split(r"[/?#]", rest[at:])[0].rfind("@")
    user, _, password = rest[:at].partition(":")
    return f"{scheme[0]}{quote(user, safe='%')}:{quote(password, safe='%')}{rest[at:]}"


def _is_host(text: str) -> bool:
    """Whether it cannot be the start of a user part: an IP address, a dotted name without a port, or this machine."""
    name, colon = re.sub(r":\d*$", "", text), bool(re.search(r":\d*$", text))
    if name.lower() == "localhost" or (not colon and re.fullmatch(r"[a-z0-9.-]+\.[a-z]{2,}", name, re.IGNORECASE)):
        return True
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
