"""What is shown of addresses and pipelines: never a user, a password or a query's value."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien.cli import enroll, options
from mien.errors import InputError, SourceError
from mien.sources.factory import open_source
from mien.sources.privacy import Secrets, without_secrets


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("rtsp://10.0.0.5:554/a@b", "rtsp://10.0.0.5:554/a@b"),
        ("rtsp://user:pa@ss@host/x", "rtsp://host/x"),
        ("rtsp://user@host:554", "rtsp://host:554"),
        ("http://h/live?user=me&pwd=abc&size=2", "http://h/live?user=***&pwd=***&size=***"),
        ("http://h/live?x7=a b/c?d;k=v#t", "http://h/live?x7=***;k=***#***"),
        ("http://h/live?secret", "http://h/live?***"),
        ("http://cam.local/x?mail=a@b", "http://cam.local/x?mail=***"),
        ("http://proxy.local/rtsp://user:secret@cam/x", "http://proxy.local/rtsp://cam/x"),
        ("rtsp://10.0.0.5/user=me&password=x/y&channel=1", "rtsp://10.0.0.5/user=***&password=***&channel=***"),
        ("rtsp:/user:secret@host/x", "rtsp:/host/x"),
        ("user:secret@host/x", "***@host/x"),
        ("rtsp://user:secret", "rtsp://***"),
        ("rtsp://u:p@h ! decodebin ! appsink", "rtsp://h ! decodebin ! appsink"),
        ("https://[::1]:8080/live", "https://[::1]:8080/live"),
        ("C:/Users/a@b.mp4", "C:/Users/a@b.mp4"),
        ("/home/a@b.mp4", "/home/a@b.mp4"),
        ("rtspsrc location=rtsp://u:p@h/1 user-id=u user-pw=abc latency=0 ! appsink",
         "rtspsrc location=rtsp://h/1 user-id=*** user-pw=*** latency=0 ! appsink"),
        ("rtspsrc location=rtsp://u:my pass#word@h/1 latency=0 ! decodebin ! appsink",
         "rtspsrc location=rtsp://***@h/1 latency=0 ! decodebin ! appsink"),
        ('souphttpsrc location="http://h/1?x=y z" user-pw=a b ! video/x-raw,format=BGR ! appsink',
         'souphttpsrc location="http://h/1?x=***" user-pw=*** ! video/x-raw,format=BGR ! appsink'),
        ("srtsrc uri=srt://h:1 passphrase='a b' ! appsink", "srtsrc uri=srt://h:1 passphrase=*** ! appsink"),
    ],
)  # fmt: skip
def test_secrets_are_not_shown(given: str, shown: str) -> None:
    assert without_secrets(given) == shown


@pytest.mark.parametrize(
    "password", ["se#cret", "se/cret", "se?cret", "se cret", "se@cret", "12/cret", "1?cret", "a://cret", "a ! cret"]
)
@pytest.mark.parametrize("shape", ["rtsp://me:{}@10.0.0.5/x", "rtspsrc location=rtsp://me:{}@10.0.0.5/x ! appsink"])
def test_a_password_of_any_characters_is_hidden_whole(password: str, shape: str) -> None:
    shown = without_secrets(shape.format(password))
    assert "10.0.0.5/x" in shown
    assert not any(part in shown for part in ("me:", "cret", "12"))


def test_what_libraries_say_is_cleaned() -> None:
    secrets = Secrets("rtsp://admin:se%40cret@host/live?id=value7")
    said = "[rtsp] rtsp://admin:se%40cret@host/live?id=value7: 401 for 'admin' with 'se@cret' on /live?id=value7"
    clean = secrets.clean(ValueError(said))
    assert not any(word in clean for word in ("admin", "cret", "value7"))
    assert "401" in clean


@pytest.mark.parametrize(
    "spec",
    [
        "rtsp:/me:secret@host/x",
        "me:secret@host/x",
        "rtsp://127.0.0.1:9/x?id=secret",
        "http://me:se?secret@127.0.0.1:9/",
    ],
)
def test_errors_of_a_source_hold_no_secret(spec: str, tmp_path: Path) -> None:
    for loop in (False, True):
        with pytest.raises((SourceError, InputError)) as caught:
            open_source(spec, loop=loop)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "usage", [["--sauce", "rtsp://me:a secret@h/x"], ["--camera", "rtsp://me:secret-and-longer-than-forty@h/x"]]
)
@pytest.mark.parametrize("program", [options, enroll])
def test_bad_usage_is_told_without_secrets(
    program: object, usage: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        program.parse_args(["--source", "x", *usage] if program is options else usage)  # type: ignore[attr-defined]
    assert "secret" not in capsys.readouterr().err
