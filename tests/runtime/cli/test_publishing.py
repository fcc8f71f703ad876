"""fer-run tells brokers and web addresses, and refuses what cannot work before a source is opened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
from mosquitto_broker import Broker, Subscriber, free_port, needs_mosquitto
from receiving_server import Receiver
from waiting import PATIENCE_S, wait_for

from mien.cli import parse_args
from mien.types import Image

MakeClip = Callable[..., Path]
Run = Callable[..., int]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


@needs_mosquitto
def test_a_video_is_published(
    fer_run: Run, tmp_path: Path, make_clip: MakeClip, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("paho.mqtt.enums", reason="paho-mqtt 2 is not installed")
    clip = make_clip(tmp_path / "in.mp4")
    broker = Broker(tmp_path)
    subscriber = Subscriber(broker)
    lines = tmp_path / "faces.jsonl"
    try:
        assert fer_run(clip, "--mqtt", broker.url(), "--qos", 1, "--json", lines) == 0
        wait_for(lambda: subscriber.bodies["home/mien/availability"] == [b"online", b"offline"], PATIENCE_S)
        (topic,) = (name for name in subscriber.bodies if name.endswith("in-mp4"))
        records = [face for body in subscriber.bodies[topic] for face in json.loads(body)["faces"]]
        assert records == [json.loads(line) for line in lines.read_text().splitlines()]
        assert f"sent: 13 messages to mqtt://127.0.0.1:{broker.port}/home/mien\n" in capsys.readouterr().out

        assert fer_run(clip, "--mqtt", broker.url("house"), "--home-assistant") == 0
        wait_for(lambda: subscriber.bodies["house/availability"] == [b"online", b"offline"], PATIENCE_S)
        assert len(subscriber.bodies[topic.replace("home/mien", "house")]) < 12  # changes alone
        assert sum(name.startswith("homeassistant/") for name in subscriber.bodies) == 5
    finally:
        subscriber.close()
        broker.kill()


@needs_mosquitto
def test_sources_that_are_read_at_once_have_topics_of_their_own(
    fer_run: Run, tmp_path: Path, make_clip: MakeClip, receiver: Receiver
) -> None:
    pytest.importorskip("paho.mqtt.enums", reason="paho-mqtt 2 is not installed")
    clip = make_clip(tmp_path / "in.mp4")
    broker = Broker(tmp_path)
    subscriber = Subscriber(broker)
    try:
        sources = ["--source", f"Front-Door={clip}", "--source", f"yard={clip}"]
        assert fer_run(*sources, "--mqtt", broker.url(), "--webhook", receiver.url(), "--quiet") == 0
        wait_for(lambda: subscriber.bodies["home/mien/availability"] == [b"online", b"offline"], PATIENCE_S)
        for topic, name in (("front-door", "Front-Door"), ("yard", "yard")):
            told = [json.loads(body) for body in subscriber.bodies[f"home/mien/{topic}"]]
            assert [event["frame"] for event in told] == list(range(12))
            assert {event["source"] for event in told} == {name}
        events = [got.event for got in receiver.got]
        assert {event.get("source") for event in events} == {None, "Front-Door", "yard"}
        assert (events[0]["type"], events[-1]["type"]) == ("start", "end")
    finally:
        subscriber.close()
        broker.kill()


def test_changes_of_a_video_are_posted(
    fer_run: Run, tmp_path: Path, make_clip: MakeClip, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    assert fer_run(clip, "--webhook", receiver.url("/secret-hook")) == 0
    assert receiver.types()[:2] == ["start", "change"]
    assert receiver.types()[-1] == "end"
    assert receiver.got[1].event["arrived"] == [receiver.got[1].event["faces"][0]["track"]]
    captured = capsys.readouterr()
    assert f"sent: {len(receiver.got)} messages to http://127.0.0.1:{receiver.port}\n" in captured.out
    assert "secret-hook" not in captured.out + captured.err
    receiver.got.clear()
    assert fer_run(clip, "--webhook", receiver.url(), "--no-on-change", "--quiet") == 0
    assert receiver.types() == ["start", *["frame"] * 12, "end"]


def test_what_cannot_work_is_told_before_work_begins(
    fer_run: Run, tmp_path: Path, make_clip: MakeClip, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = tmp_path / "earlier.jsonl"
    earlier.write_text("of an earlier run")
    clip, nobody = make_clip(tmp_path / "in.mp4"), free_port()
    receiver.answers = [404]
    for option, url, message in (
        ("--mqtt", "ws://host/a", "is not the address of an MQTT broker"),
        ("--mqtt", "mqtt://host", "says no topic"),
        ("--mqtt", "mqtt://host/a/#", "wildcard"),
        ("--mqtt", f"mqtt://me:s3cret@127.0.0.1:{nobody}/a", "nothing listens there"),
        ("--webhook", "ftp://host/a", "must begin with http"),
        ("--webhook", f"http://127.0.0.1:{nobody}/a", "nothing listens there"),
        ("--webhook", receiver.url(), "answers 404"),
    ):
        assert fer_run(clip, "--json", earlier, option, url) == 2, url
        error = capsys.readouterr().err
        assert message in error
        assert error.startswith("fer-run: error: ")
        assert error.count("\n") == 1
        assert "s3cret" not in error
    assert earlier.read_text() == "of an earlier run"


@pytest.mark.parametrize("option", ["--mqtt", "--webhook"])
def test_pictures_are_no_events(
    fer_run: Run, tmp_path: Path, portrait: Image, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), portrait)
    url = "mqtt://127.0.0.1/a" if option == "--mqtt" else "http://127.0.0.1/a"
    assert fer_run(tmp_path / "a.png", option, url) == 2
    assert f"{option} is for videos and cameras, but" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--qos", "1"], "--qos is for --mqtt"),
        (["--home-assistant", "--webhook", "http://h/"], "--home-assistant is for --mqtt"),
        (["--on-change"], "--on-change is for --mqtt and --webhook"),
        (["--mqtt", "mqtt://h/a", "--offline"], "leave one of them out"),
        (["--mqtt", "mqtt://h/a", "--qos", "2"], "invalid choice"),
        (["--mqtt", ""], "--mqtt is empty"),
        (["--webhook", ""], "--webhook is empty"),
    ],
)
def test_options_that_do_not_belong_together(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_args(["a.mp4", *words])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
