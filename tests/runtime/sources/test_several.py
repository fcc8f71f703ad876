"""Names of sources that are read at the same time: given, made, refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien.errors import InputError, SourceError
from mien.sources.base import Source
from mien.sources.factory import open_source
from mien.sources.several import by_name, default_name, open_all, split_name


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("front=0", "front", "0"),
        ("front=rtsp://a:b@10.0.0.5/x?c=d", "front", "rtsp://a:b@10.0.0.5/x?c=d"),
        ("yard.2=day=1.mp4", "yard.2", "day=1.mp4"),
        ("pipe=videotestsrc num-buffers=3 ! appsink", "pipe", "videotestsrc num-buffers=3 ! appsink"),
        ("videotestsrc num-buffers=3 ! appsink", None, "videotestsrc num-buffers=3 ! appsink"),
        ("rtsp://10.0.0.5/user=admin", None, "rtsp://10.0.0.5/user=admin"),
        ("/data/run=3/a.mp4", None, "/data/run=3/a.mp4"),
        ("./run=3.mp4", None, "./run=3.mp4"),
        ("a.mp4", None, "a.mp4"),
        ("réception=1", "réception", "1"),
    ],
)
def test_a_name_stands_before_its_source(text: str, name: str | None, source: str) -> None:
    assert split_name(text) == (name, source)


def test_a_file_with_an_equals_sign_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "day=1.mp4").touch()
    monkeypatch.chdir(tmp_path)
    assert split_name("day=1.mp4") == (None, "day=1.mp4")


@pytest.mark.parametrize("text", ["a/b=0", "=0", "front=", "-x=0", f"{'n' * 65}=0", "a\\b=0"])
def test_a_name_that_no_file_could_have_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"cannot be the name|is empty"):
        split_name(text)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (0, "camera-0"),
        ("/dev/video2", "video2"),
        ("camera 0", "camera-0"),
        ("/data/day one.mp4", "day-one"),
        ("rtsp://me:secret@10.0.0.5:554/live/1?token=abc", "10.0.0.5-554-live-1"),
        ("https://example.org/a.jpg#b", "example.org-a.jpg"),
        ("v4l2src device=/dev/video0 ! appsink", "pipeline"),
        ("...", "source"),
    ],
)
def test_a_source_without_a_name_gets_one_without_secrets(source: str | int, name: str) -> None:
    assert default_name(source) == name


def test_two_of_one_name_are_refused() -> None:
    assert by_name([("a", 1), ("b", 2)]) == {"a": 1, "b": 2}
    with pytest.raises(InputError, match="two sources have the name 'FRONT'"):
        by_name([("front", 1), ("FRONT", 2)])


def test_where_one_cannot_be_opened_the_others_are_closed(tmp_path: Path) -> None:
    opened: list[Source] = []

    class Plain(Source):
        kind, name = "video", "plain"

        def __iter__(self):  # type: ignore[no-untyped-def]
            return iter(())

    def plain() -> Source:
        opened.append(Plain())
        return opened[-1]

    with pytest.raises(SourceError, match="no file or folder"):
        open_all({"a": plain, "b": lambda: open_source(tmp_path / "none.mp4"), "c": plain})
    assert [source.state for source in opened] == ["ended", "ended"]
