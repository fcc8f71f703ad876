from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

from faces_of_streams import tracked
from tiny_frame import frame

from mien.sinks.events import GONE_S, Changes, event, timestamp
from mien.sinks.outbox import Message, Outbox
from mien.sinks.records import record


def message(text: str) -> Message:
    return Message("to", text.encode(), 0.0)


def test_an_event_is_a_frame_with_the_records_of_its_faces() -> None:
    faces = [tracked(1), tracked(2)]
    told = event(frame(5), faces)
    assert (told["source"], told["frame"], told["time"], told["size"]) == ("a.mp4", 5, 0.2, [64, 48])
    assert told["faces"] == [record(frame(5), 0, faces[0]), record(frame(5), 1, faces[1])]
    odd = event(frame(name="caf\udce9.mp4"), faces)
    assert odd["source"] == odd["faces"][0]["source"] == "caf\\xe9.mp4"
    json.dumps(odd, ensure_ascii=False).encode()


def test_a_timestamp_is_in_utc() -> None:
    seconds = time.time()
    stamp = timestamp()
    assert stamp.startswith(time.strftime("%Y-%m-%dT%H:%M:", time.gmtime(seconds)))
    assert len(stamp) == len("2026-01-01T00:00:00.000Z")


def test_changes_are_arrivals_departures_and_labels() -> None:
    changes = Changes()
    assert changes.of(frame(0), []) == {"arrived": [], "left": [], "changed": []}  # the first says how things are
    assert changes.of(frame(1), []) is None
    assert changes.of(frame(2), [tracked(7)]) == {"arrived": [7], "left": [], "changed": []}
    assert changes.of(frame(3), [tracked(7)]) is None
    assert changes.of(frame(4), [tracked(7, "neutral"), tracked(8)]) == {"arrived": [8], "left": [], "changed": [7]}
    assert changes.of(frame(5, name="b.mp4"), [tracked(7)]) == {"arrived": [7], "left": [], "changed": []}
    assert changes.of(frame(6), [tracked(7, "neutral"), tracked(8)]) is None


def test_a_face_that_is_missed_for_a_moment_has_not_left() -> None:
    changes = Changes()
    changes.of(frame(0), [tracked(7)])
    last = int(GONE_S * 25)
    assert all(changes.of(frame(i), []) is None for i in range(1, last + 1))
    assert changes.of(frame(last + 1), []) == {"arrived": [], "left": [7], "changed": []}
    changes.of(frame(40), [tracked(8)])
    assert changes.of(frame(45), []) is None
    assert changes.of(frame(46), [tracked(8)]) is None


def test_a_clock_that_is_set_back_ends_what_is_not_in_sight() -> None:
    changes = Changes()
    changes.of(frame(100), [tracked(7), tracked(8)])
    assert changes.of(replace(frame(101), time=0.0), [tracked(8)]) == {"arrived": [], "left": [7], "changed": []}


def test_a_full_outbox_drops_the_oldest_and_counts() -> None:
    box = Outbox(limit_bytes=30)
    for i in range(5):
        box.put(message(f"{i}" * 10))
    assert (len(box), box.lost, box.lost_since(), box.lost_since()) == (3, 2, 2, 0)
    first = box.take(0.0)
    assert first is not None
    assert (first.body[:1], len(box)) == (b"2", 3)  # in hand, and not out yet
    box.put_back(first)
    again = box.take(0.0)
    assert again is first
    box.done()
    assert (len(box), box.lost) == (2, 2)
    box.put(message("x" * 31))
    assert (len(box), box.lost) == (0, 5)


def test_clearing_counts_what_waits_and_what_is_in_hand() -> None:
    box = Outbox()
    box.put(message("a"))
    box.put(message("b"))
    box.take(0.0)
    box.clear()
    assert (len(box), box.lost, box.take(0.0)) == (0, 2, None)


def test_taking_waits_for_a_message() -> None:
    box = Outbox()
    threading.Timer(0.05, lambda: box.put(message("a"))).start()
    assert box.take(5.0) is not None
    assert box.take(0.01) is None
