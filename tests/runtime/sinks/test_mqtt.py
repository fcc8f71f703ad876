"""The sink for MQTT with a real broker: what it publishes, and what it refuses before work begins."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from faces_of_streams import LABELS, tracked
from mosquitto_broker import (
    PROGRAM,
    Broker,
    Subscriber,
    free_port,
    login_settings,
    needs_mosquitto,
    tls_settings,
)
from tiny_frame import frame
from waiting import PATIENCE_S, wait_for

from mien.errors import EngineUnavailable, OutputError
from mien.sinks import mqtt_connection
from mien.sinks.mqtt import Mqtt

pytest.importorskip("paho.mqtt.enums", reason="paho-mqtt 2 is not installed")
STATE = "home/mien/a-mp4"
AVAILABILITY = "home/mien/availability"
KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from faces_of_streams import LABELS, tracked
from tiny_frame import frame
from mien.sinks.mqtt import Mqtt
sink = Mqtt(sys.argv[1], LABELS)
sink.write(frame(0), [tracked(1)])
while sink.sent < 2: pass
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if PROGRAM is None:
        pytest.skip("the broker mosquitto is not installed")
    running = Broker(tmp_path_factory.mktemp("mosquitto"))
    yield running
    running.kill()


@pytest.fixture
def subscriber(broker: Broker, request: pytest.FixtureRequest) -> Iterator[Subscriber]:
    listening = Subscriber(broker)
    yield listening
    listening.close()


@pytest.mark.parametrize("qos", [0, 1])
def test_every_frame_is_published_and_the_newest_is_kept(broker: Broker, subscriber: Subscriber, qos: int) -> None:
    sink = Mqtt(broker.url(f"q{qos}"), LABELS, qos=qos)
    for i in range(50):
        sink.write(frame(i), [tracked(1)])
    sink.write(frame(7, name="/data/My Talk.mp4"), [])
    wait_for(
        lambda: len(subscriber.frames(f"q{qos}/a-mp4")) == 50 and subscriber.bodies[f"q{qos}/data-my-talk-mp4"],
        PATIENCE_S,
    )
    assert subscriber.frames(f"q{qos}/a-mp4") == list(range(50))
    late = Subscriber(broker, f"q{qos}/+")
    wait_for(lambda: len(late.retained) == 3, PATIENCE_S)
    assert late.retained[f"q{qos}/availability"] == b"online"
    told = json.loads(late.retained[f"q{qos}/a-mp4"])
    assert (told["frame"], told["source"], told["faces"][0]["track"]) == (49, "a.mp4", 1)
    assert json.loads(late.retained[f"q{qos}/data-my-talk-mp4"])["faces"] == []
    assert told["timestamp"].endswith("Z")
    assert "arrived" not in told
    sink.close()
    sink.close()
    sink.write(frame(99), [])
    wait_for(lambda: late.bodies[f"q{qos}/availability"][-1] == b"offline", PATIENCE_S)
    late.close()
    assert (sink.sent, sink.lost) == (52, 0)  # with "online"


def test_only_changes_are_published_on_request(broker: Broker, subscriber: Subscriber) -> None:
    sink = Mqtt(broker.url("changes"), LABELS, on_change=True)
    for i in range(40):
        sink.write(frame(i), [tracked(1, "neutral" if i < 10 else "happiness")])
    sink.close()
    wait_for(lambda: len(subscriber.bodies["changes/a-mp4"]) == 2, PATIENCE_S)
    first, second = (json.loads(body) for body in subscriber.bodies["changes/a-mp4"])
    assert (first["frame"], first["arrived"]) == (0, [1])
    assert (second["frame"], second["changed"], second["left"]) == (10, [1], [])


def test_sources_whose_names_look_alike_get_topics_of_their_own(broker: Broker, subscriber: Subscriber) -> None:
    sink = Mqtt(broker.url("alike"), LABELS)
    for name in ("cam 1", "cam-1", "availability", "???"):
        sink.write(frame(name=name), [])
    sink.close()
    wait_for(lambda: sum(topic.startswith("alike/") for topic in subscriber.bodies) == 5, PATIENCE_S)
    assert {topic for topic in subscriber.bodies if topic.startswith("alike/")} == {
        f"alike/{name}" for name in ("cam-1", "cam-1-2", "availability", "availability-2", "source")
    }


@pytest.mark.parametrize("affect", [True, False])
def test_home_assistant_can_read_what_is_announced(broker: Broker, subscriber: Subscriber, affect: bool) -> None:
    """Its templates are Jinja's."""
    topic = f"ha{affect}"
    sink = Mqtt(broker.url(topic), LABELS, home_assistant=True, affect=affect)
    sink.write(frame(0, name="camera 0"), [tracked(1, affect=affect)])
    sink.write(frame(1, name="camera 0"), [])
    sink.close()
    wait_for(lambda: len(subscriber.bodies[f"{topic}/camera-0"]) == 2, PATIENCE_S)
    one, none = (json.loads(body) for body in subscriber.bodies[f"{topic}/camera-0"])
    configs = [
        json.loads(bodies[0])
        for to, bodies in subscriber.bodies.items()
        if to.startswith("homeassistant/sensor/") and json.loads(bodies[0])["state_topic"] == f"{topic}/camera-0"
    ]
    read = {
        config["name"]: [jinja2.Template(config["value_template"]).render(value_json=told) for told in (one, none)]
        for config in configs
    }
    expected = {"Faces": ["1", "0"], "Expression": ["happiness", "none"], "Confidence": ["75.0", "None"]}
    if affect:
        expected |= {"Valence": ["0.5", "None"], "Arousal": ["-0.25", "None"]}
    assert read == expected
    assert len({config["unique_id"] for config in configs}) == len(configs)
    assert {config["device"]["name"] for config in configs} == {"mien camera 0"}
    assert {config["availability_topic"] for config in configs} == {f"{topic}/availability"}
    options = next(config["options"] for config in configs if config["name"] == "Expression")
    assert {*LABELS, "uncertain", "none"} == set(options)


def test_the_broker_says_offline_for_a_killed_process(broker: Broker, subscriber: Subscriber) -> None:
    helpers = str(Path(__file__).parents[2] / "helpers")
    done = subprocess.run([sys.executable, "-c", KILLED, broker.url("killed"), helpers], check=False)
    assert done.returncode == -signal.SIGKILL
    wait_for(lambda: subscriber.bodies["killed/availability"] == [b"online", b"offline"], PATIENCE_S)
    assert subscriber.frames("killed/a-mp4") == [0]


@needs_mosquitto
def test_a_broker_that_wants_a_login(tmp_path: Path) -> None:
    broker = Broker(tmp_path, login_settings(tmp_path, "me", "p@ss"))
    try:
        with pytest.raises(OutputError, match=r"wants a user and a password; .*MIEN_MQTT_USER"):
            Mqtt(broker.url(), LABELS, environment={})
        with pytest.raises(OutputError, match="refuses the user 'me' or the password") as raised:
            Mqtt(broker.url(login="me:wrong@"), LABELS)
        assert "wrong" not in str(raised.value)
        subscriber = Subscriber(broker, login=("me", "p@ss"))
        sink = Mqtt(broker.url(), LABELS, environment={"MIEN_MQTT_USER": "me", "MIEN_MQTT_PASSWORD": "p@ss"})
        sink.write(frame(3), [])
        sink.close()
        wait_for(lambda: subscriber.frames(STATE) == [3], PATIENCE_S)
        subscriber.close()
    finally:
        broker.kill()


@needs_mosquitto
def test_tls_wants_a_certificate_that_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = tmp_path / "certificate.pem"
    broker = Broker(tmp_path, f"allow_anonymous true\n{tls_settings(tmp_path, certificate)}")
    try:
        with pytest.raises(OutputError, match=r"not trusted .*SSL_CERT_FILE"):
            Mqtt(broker.url(scheme="mqtts"), LABELS)
        with pytest.raises(OutputError, match="mqtts:// only if"):
            Mqtt(broker.url(), LABELS)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        sink = Mqtt(broker.url(scheme="mqtts"), LABELS, qos=1)
        sink.write(frame(3), [])
        sink.close()
        assert (sink.sent, sink.lost) == (2, 0)
    finally:
        broker.kill()


def test_tls_with_a_broker_that_has_none(broker: Broker) -> None:
    with pytest.raises(OutputError, match="check"):
        Mqtt(broker.url(scheme="mqtts"), LABELS)


def test_an_unreachable_broker_is_told_at_the_start() -> None:
    with pytest.raises(OutputError, match="nothing listens there"):
        Mqtt(f"mqtt://127.0.0.1:{free_port()}/a", LABELS)
    with pytest.raises(OutputError, match=r"the host 'no-such-host\.invalid' cannot be found"):
        Mqtt("mqtt://no-such-host.invalid/a", LABELS)


@needs_mosquitto
def test_a_broker_that_says_nothing_is_told_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_connection, "TIMEOUT_S", 0.5)
    broker = Broker(tmp_path)
    broker.freeze()
    started = time.monotonic()
    with pytest.raises(OutputError, match=r"does not answer within 0\.5 s"):
        Mqtt(broker.url(), LABELS)
    assert time.monotonic() - started < 15
    broker.kill()


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.enums", None)
    with pytest.raises(EngineUnavailable, match=r'pip install "mien\[mqtt\]"'):
        Mqtt("mqtt://127.0.0.1/a", LABELS)
