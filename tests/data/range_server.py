"""A web server on this machine that serves a folder, knows range requests, counts them, and can fail."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Served:
    """What was asked for: (file, first byte, one past the last); `failing` names files that are answered with 503."""

    url: str = ""
    asked: list[tuple[str, int, int]] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    knows_ranges: bool = True

    def of_shards(self) -> list[tuple[str, int, int]]:
        return [one for one in self.asked if one[0].endswith(".tar")]

    @property
    def num_bytes(self) -> int:
        return sum(end - begin for _, begin, end in self.of_shards())


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            file = folder / name
            if name in served.failing or not file.is_file():
                served.asked.append((name, 0, 0))
                self.send_response(503 if name in served.failing else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            size = file.stat().st_size
            ranges = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            begin, end = 0, size
            if ranges and served.knows_ranges:
                begin, end = int(ranges[1]), min(int(ranges[2]) + 1, end)
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
            else:
                self.send_response(200)
            served.asked.append((name, begin, end))
            self.send_header("Content-Length", str(end - begin))
            self.end_headers()
            with file.open("rb") as content:
                content.seek(begin)
                self.wfile.write(content.read(end - begin))

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
