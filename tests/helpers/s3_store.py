"""An S3 server on this machine (moto's), for tests of stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def s3_server(buckets: Mapping[str, Mapping[str, Path | bytes]]) -> Iterator[None]:
    """Serves ``buckets`` (name of a bucket -> key -> a file or what it holds) to whoever reads the environment.

    The test is skipped where s3fs or moto is not installed.
    """
    s3fs = pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    running = moto.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        store = s3fs.S3FileSystem(skip_instance_cache=True)
        for bucket, items in buckets.items():
            store.mkdir(bucket)
            for key, item in items.items():
                store.pipe_file(f"{bucket}/{key}", item if isinstance(item, bytes) else item.read_bytes())
        try:
            yield
        finally:
            running.stop()
