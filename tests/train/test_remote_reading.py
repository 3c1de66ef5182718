"""Samples of a store behind a URL: the same as of the folder, few requests, a cache that stays within its limit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import pytest
from small_store import person, write_shard

from benchmark.problem import Problem
from benchmark.proposers import PROPOSERS
from catalogs.selection import Budget, Selection
from catalogs.store import open, pool
from harmonize.errors import StoreError, UsageError
from train.data import remote
from train.data.cache import Cache
from train.data.members import Members, bind
from train.data.opening import open_feed
from train.data.schedule import State

PW3D = "pw3d/train/pw3d-train-000000"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    write_shard(folder, [person("pw3d", "train", i) for i in range(12)])
    write_shard(folder, [person("pw3d", "train", i) for i in range(12, 20)], number=1)
    write_shard(folder, [person("agora", "train", i) for i in range(10)])
    return folder


def select(store: Path) -> Selection:
    with open(store) as con:
        return PROPOSERS["uniform"](Problem(pool=pool(con), budget=Budget(draws_per_epoch=40, seed=1)))


@dataclass
class Server:
    """A web server of a folder that answers byte ranges. requests: (path, bytes sent)."""

    root: Path
    url: str = ""
    requests: list[tuple[str, int]] = field(default_factory=list)
    num_failing: int = 0
    has_ranges: bool = True

    def num(self, suffix: str) -> int:
        return sum(path.endswith(suffix) for path, _ in self.requests)


@pytest.fixture
def server(store: Path, tmp_path: Path) -> Iterator[Server]:
    served = Server(Path(shutil.copytree(store, tmp_path / "served")))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(is_head=True)

        def do_GET(self) -> None:
            self._answer(is_head=False)

        def _answer(self, *, is_head: bool) -> None:
            path = served.root / self.path.lstrip("/")
            if served.num_failing > 0:
                served.num_failing -= 1
                return self._send(503, b"")
            if not path.is_file():
                return self._send(404, b"")
            data, status, headers = path.read_bytes(), 200, {}
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if served.has_ranges and asked:
                total, start, end = len(data), int(asked[1]), int(asked[2] or len(data) - 1)
                if start >= total:
                    return self._send(416, b"", {"Content-Range": f"bytes */{total}"})
                data, status = data[start : end + 1], 206
                headers = {"Content-Range": f"bytes {start}-{start + len(data) - 1}/{total}"}
            if served.has_ranges:
                headers["Accept-Ranges"] = "bytes"
            if not is_head:
                served.requests.append((self.path, len(data)))
            self._send(status, data, headers, is_head=is_head)

        def _send(self, status: int, data: bytes, headers: Any = None, *, is_head: bool = False) -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if not is_head:
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Nothing on the terminal."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

    http = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield served
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_PAUSE_S", 0.0)


def upload(store: Path) -> str:
    system = fsspec.filesystem("memory")
    url = f"memory://{os.urandom(4).hex()}"
    for path in store.rglob("*"):
        if path.is_file():
            system.pipe_file(f"{url.removeprefix('memory://')}/{path.relative_to(store)}", path.read_bytes())
    return url


def everything(members: Members) -> list[tuple[str, bytes | None]]:
    return [(key, members.sample(i, at).picture) for i, keys in enumerate(members.keys) for at, key in enumerate(keys)]


def held(cache: Cache) -> list[Path]:
    return [path for path in cache.folder.glob("??/*") if path.is_file()]


def held_bytes(cache: Cache) -> int:
    return sum(path.stat().st_size for path in held(cache))


@pytest.mark.parametrize("kind", ["memory", "file", "http"])
def test_remote_samples_are_those_of_the_folder(store: Path, server: Server, kind: str, tmp_path: Path) -> None:
    url = {"memory": upload(store), "file": f"file://{store}", "http": server.url}[kind]
    local = bind(store, select(store))
    found = bind(url, select(store), Cache(tmp_path / "cache"))
    assert [list(keys) for keys in found.keys] == [list(keys) for keys in local.keys]
    assert everything(found) == everything(local)


def test_each_byte_is_fetched_once_and_only_what_is_needed(store: Path, server: Server, tmp_path: Path) -> None:
    selection, cache = select(store), Cache(tmp_path / "cache")
    members = bind(server.url, selection, cache)
    assert Counter(path for path, _ in server.requests) == {
        f"/{ref.shard.split('-')[0]}/train/{ref.shard}{suffix}": 1
        for ref in selection.shards
        for suffix in (".json", ".parquet")
    }
    server.requests.clear()
    members.sample(0, 3)
    ((path, size),) = server.requests
    assert path.endswith("agora-train-000000.tar")
    assert size == members.places[0].of(3)[2]
    everything(members)
    assert server.num(".tar") == 30
    server.requests.clear()
    again = bind(server.url, selection, Cache(tmp_path / "cache"))
    assert everything(again) == everything(bind(store, selection))
    assert server.requests == []


def test_remote_feed_draws_what_the_local_one_draws(store: Path, server: Server, tmp_path: Path) -> None:
    selection = select(store)
    local = open_feed(store, selection, batch_size=8)
    found = open_feed(server.url, selection, batch_size=8, cache=Cache(tmp_path / "cache"))
    for one, other in islice(zip(local.batches(State(0, 2), 1, 2), found.batches(State(0, 2), 1, 2), strict=False), 6):
        assert (one.after, one.keys) == (other.after, other.keys)
        assert one.position.tolist() == other.position.tolist()
        assert [other.read(i).instance.key for i in range(4)] == list(one.keys)


# The cache


def test_cache_smaller_than_a_shard_stays_within_its_limit(store: Path, tmp_path: Path) -> None:
    limit = (store / f"{PW3D}.tar").stat().st_size // 2
    cache = Cache(tmp_path / "cache", limit)
    members = bind(upload(store), select(store), cache)
    expected = everything(bind(store, select(store)))
    places = [(i, at) for i, keys in enumerate(members.keys) for at in range(len(keys))]
    for _ in range(2):
        for place, (_, picture) in zip(places, expected, strict=True):
            assert members.sample(*place).picture == picture
            assert 0 < held_bytes(cache) <= limit
    assert len(held(cache)) > 2


def test_least_recently_used_pieces_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1000)
    names = [f"{i:02x}{i}" for i in range(11)]
    for i, name in enumerate(names[:10]):
        cache.put(name, bytes(100))
        os.utime(tmp_path / name[:2] / name[2:], ns=(i, i))
    assert cache.get(names[0]) == bytes(100)
    cache.put(names[10], bytes(100))
    left = {name for name in names if (tmp_path / name[:2] / name[2:]).exists()}
    assert left == {names[0], *names[3:]}


def test_piece_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 100)
    cache.put("aa1", bytes(60))
    cache.put("ab2", bytes(101))
    assert (cache.get("aa1"), cache.get("ab2")) == (bytes(60), None)


def test_large_cache_makes_room_without_looking_at_every_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.data.cache._NUM_LOOKED_AT", 20)
    cache = Cache(tmp_path, 1500)
    for i in range(300):
        cache.put(f"{i % 256:02x}{i}", bytes(10))
        if i % 10 == 9:
            assert held_bytes(cache) <= 1500
    assert held_bytes(cache) >= 1000


def test_account_survives_what_killed_processes_left(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1000)
    cache.put("aa1", bytes(400))
    (tmp_path / "bb").joinpath("2").write_bytes(bytes(400))  # written, never accounted for
    abandoned = cache.write_aside(bytes(50))
    os.utime(abandoned, (0, 0))
    again = Cache(tmp_path, 1000)
    assert not abandoned.exists()
    again.put("cc3", bytes(300))
    assert held_bytes(again) <= 1000
    Cache(tmp_path, 300)  # a lower limit than the folder was filled under
    assert held_bytes(again) <= 300


FILL = """
import sys
from pathlib import Path
from train.data.cache import Cache

cache, first = Cache(Path(sys.argv[1]), 5000), int(sys.argv[2])
for i in range(first, first + 60):
    cache.put(f"{i % 256:02x}{i}", bytes([i % 251]) * 100)
    cache.put(f"{i % 7:02x}shared", bytes(100))
    assert cache.get(f"{i % 256:02x}{i}") in (None, bytes([i % 251]) * 100)
"""


def test_processes_share_a_cache(tmp_path: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", FILL, tmp_path, str(60 * i)]) for i in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    cache = Cache(tmp_path, 5000)
    assert 3000 <= held_bytes(cache) <= 5000
    assert list((tmp_path / "new").iterdir()) == []


def test_damaged_copies_are_found_and_fetched_again(store: Path, server: Server, tmp_path: Path) -> None:
    selection, cache = select(store), Cache(tmp_path / "cache")
    everything(bind(server.url, selection, cache))
    for path in held(cache)[:5]:
        path.write_bytes(path.read_bytes()[:-700])
    for path in held(cache)[5:10]:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    kept = sorted(path for path in (cache.folder / "stores").rglob("*") if path.suffix in (".json", ".parquet"))
    assert len(kept) == 6
    for path in kept[::2]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    server.requests.clear()
    again = bind(server.url, selection, Cache(tmp_path / "cache"))
    assert everything(again) == everything(bind(store, selection))
    assert server.num(".tar") == 10
    assert server.num(".json") + server.num(".parquet") == 3


# What is refused


def test_truncated_and_altered_shards_are_named_with_sizes(store: Path, server: Server, tmp_path: Path) -> None:
    members = bind(server.url, select(store), Cache(tmp_path / "cache"))
    tar = server.root / f"{PW3D}.tar"
    whole = tar.read_bytes()
    tar.write_bytes(whole[:3000])
    pattern = f"{PW3D}.tar: expected {len(whole)} bytes as in its manifest, found 3000"
    for at in range(len(members.keys[1])):
        if members.shards[int(members.places[1].shard[at])].name.endswith("000000"):
            with pytest.raises(StoreError, match=pattern):
                members.sample(1, at)
    tar.write_bytes(whole.replace(b"\xff\xd8", b"\xff\xd9"))
    with pytest.raises(StoreError, match=r"pw3d-train-000000\.tar: sample pw3d.*sha256"):
        members.sample(1, 0)
    assert held(Cache(tmp_path / "cache")) == []  # what was refused is not kept
    tar.unlink()
    with pytest.raises(StoreError, match=r"pw3d-train-000000\.tar: cannot be read \(no such file\)(?s:.*)fix: "):
        members.sample(1, 0)


def test_missing_and_altered_index_and_manifest_are_named(store: Path, server: Server, tmp_path: Path) -> None:
    index, manifest = server.root / f"{PW3D}.parquet", server.root / f"{PW3D}.json"
    whole = index.read_bytes()
    index.write_bytes(whole[:-1])
    with pytest.raises(StoreError, match=r"pw3d-train-000000\.parquet: its \d+ bytes are not those its manifest"):
        bind(server.url, select(store), Cache(tmp_path / "cache"))
    index.unlink()
    with pytest.raises(StoreError, match=r"pw3d-train-000000\.parquet: cannot be read \(no such file\)"):
        bind(server.url, select(store), Cache(tmp_path / "cache"))
    manifest.unlink()
    with pytest.raises(StoreError, match=r"pw3d-train-000000: expected plan .* found no such shard"):
        bind(server.url, select(store), Cache(tmp_path / "other"))


def test_failing_answers_are_tried_again_and_then_reported(store: Path, server: Server, tmp_path: Path) -> None:
    members = bind(server.url, select(store), Cache(tmp_path / "cache"))
    server.num_failing = 2
    assert members.sample(0, 0).instance.key == members.keys[0][0]
    server.num_failing = 100
    with pytest.raises(UsageError, match=r"agora-train-000000\.tar: cannot be reached: .*503(?s:.*)fix: check"):
        members.sample(0, 1)


def test_server_that_is_not_there_is_reported(store: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"http://127\.0\.0\.1:9: .*cannot be reached: .*(?s:.*)fix: check the address"
    ):
        bind("http://127.0.0.1:9", select(store), Cache(tmp_path / "cache"))


def test_server_without_ranges_is_reported(store: Path, server: Server, tmp_path: Path) -> None:
    members = bind(server.url, select(store), Cache(tmp_path / "cache"))
    server.has_ranges = False
    with pytest.raises(UsageError, match="byte ranges are not served"):
        members.sample(0, 1)


def test_unknown_protocols_and_missing_packages_are_reported(store: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    with pytest.raises(UsageError, match="expected a cache for a remote store"):
        bind("memory://x", select(store))
    with pytest.raises(UsageError, match=r"nonsense://x: .*(?s:.*)fix: give a folder, or a URL"):
        bind("nonsense://x", select(store), cache)
    with pytest.raises(UsageError, match="max_bytes: expected at least 1, found 0"):
        Cache(tmp_path, 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="a cache cannot be kept there"):
        Cache(tmp_path / "file")


def test_package_to_install_is_named(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", lacking)
    with pytest.raises(UsageError, match=r"s3://bucket/store: Install s3fs(?s:.*)fix: pip install s3fs"):
        bind("s3://bucket/store", select(store), Cache(tmp_path / "cache"))
