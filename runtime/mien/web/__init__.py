"""The live page: shows frames and faces in any browser while they are recognized. Needs the extra ``web``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from mien.drawing.faces import COLORS, OTHER, Color
from mien.errors import EngineUnavailable
from mien.types import Face, Frame
from mien.web.address import check_token, is_loopback, listen, url_of
from mien.web.channel import Channel
from mien.web.counters import Watched


class LivePage:
    """A sink that serves what it gets: the page at ``url``, ``/stream`` (MJPEG), ``/events`` (server-sent events),
    ``/healthz`` and ``/metrics`` (Prometheus). If there are several sources, the page shows all of them, and pictures
    are at ``/stream/NAME``.

    ``write`` only stores a reference to the frame, which must not be changed afterwards. Another thread draws and
    encodes, once for all viewers, and only while there are any. Nothing is saved.
    """

    def __init__(
        self,
        address: str,
        source: Watched | Mapping[str, Watched],
        *,
        engine: str,
        labels: Sequence[str],
        affect: bool = True,
        token: str | None = None,
        blur: bool = False,
    ):
        """Start to listen at ``address``, ``[HOST:]PORT``. Without a host only this machine can connect; port 0 takes a
        free one.

        ``source``: what is shown; or several sources by name, whose frames have these names. An address that others
        can reach needs a token: ``token``, or a generated one, which is part of ``url``. ``labels`` are the model's
        classes in order, ``affect`` says whether it has valence and arousal, ``blur`` hides faces. Raises OutputError
        if it cannot listen, InputError for a bad token, EngineUnavailable if the extra is missing.
        """
        try:
            from mien.web.server import Server
        except ImportError as error:
            raise EngineUnavailable(f'the live page needs a server ({error}); run: pip install "mien[web]"') from error
        listener = listen(address)
        try:
            self.token = check_token(token, loopback=is_loopback(listener))
            self.url = url_of(listener, self.token)
            sources = source if isinstance(source, Mapping) else {source.name: source}
            self._channels: dict[str, Channel] = {}
            for name, one in sources.items():
                self._channels[name] = Channel(name, one, self._channels, blur=blur)
            colors = {label: _hex(COLORS.get(label, OTHER)) for label in labels}
            about: dict[str, object] = {"labels": list(labels), "colours": colors, "affect": affect}
            about["blur"] = blur
            build = {"version": version("mien"), "engine": engine}
            self._server = Server(listener, self._channels, token=self.token, about={**about, **build}, build=build)
            for channel in self._channels.values():
                channel.broadcaster.start()
        except BaseException:
            listener.close()
            raise

    def write(self, frame: Frame, faces: Sequence[Face], hidden: Sequence[Face] = ()) -> None:
        """Show this frame, unless the next one comes first. Takes microseconds.

        ``hidden``: faces that a stream expects but does not see, which ``blur`` covers too.
        """
        self._channel(frame.name).write(frame, faces, hidden)

    def note(self, latency: float, source: str = "") -> None:
        """Report the seconds from the arrival of a frame to its written results. ``source``: its name, if there are
        several."""
        self._channel(source).counters.latency(latency)

    def close(self) -> None:
        """Disconnect all viewers and release the port. May be called twice."""
        self._server.close()
        for channel in self._channels.values():
            channel.broadcaster.close()

    def _channel(self, name: str) -> Channel:
        return self._channels[name] if len(self._channels) > 1 else next(iter(self._channels.values()))


def _hex(color: Color) -> str:
    blue, green, red = color
    return f"#{red:02x}{green:02x}{blue:02x}"
