"""The temporary Prefect server of one process, on a free loopback port.

Prefect can start one itself, but that one shares our process group and outlives us: Ctrl-C ends it before the flow,
which then tries for over a minute to report to it, and after a kill -9 it runs on for ever. Ours ignores Ctrl-C and
ends with us.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from functools import cache

from pipelines.workers import InterruptedRunError

START_S = 120.0
STOP_S = 5.0


@cache
def start_server() -> str:
    """The address of this process's server, started by the first call and stopped at exit.

    Raises:
        InterruptedRunError: it did not come up.
    """
    server = subprocess.Popen(
        [sys.executable, "-m", "pipelines.flow_server"],
        stdin=subprocess.PIPE,  # its end tells the server that we are gone
        stdout=subprocess.PIPE,
        env={**os.environ, "PREFECT_UI_ENABLED": "0"},
        start_new_session=True,  # out of reach of the terminal's Ctrl-C
    )
    # Registered before Prefect registers its own exit handlers, hence run after them: they still have things to report.
    atexit.register(_stop, server)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{server.stdout.readline().decode().strip()}/api"
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=START_S):
            return url
    except (urllib.error.URLError, ValueError, OSError) as error:
        raise InterruptedRunError(
            f"the flow engine's server did not start: {error}",
            fix="run the same command again, or with --runner inline, which needs no server",
        ) from error


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def serve() -> None:
    """Be the server: print the port, then answer until terminated or until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import uvicorn
    from prefect.server.api.server import create_app

    # Callers connect to the open socket and wait there until the application is ready, so nobody has to poll.
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    app = create_app(ephemeral=True, final=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on")).run(sockets=[listener])


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    serve()
