"""The `ehps` command: how a command line becomes a call, and how an error becomes a message and an exit code.

Exit codes: 0 done, 1 the request cannot be carried out as asked, 2 data failed a check, 3 interrupted and resumable.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from cyclopts import App, CycloptsError

from harmonize.errors import EhpsError
from pipelines.commands.adapt import adapt
from pipelines.commands.atlas import atlas
from pipelines.commands.catalog import catalog
from pipelines.commands.compare import compare
from pipelines.commands.datasets import datasets
from pipelines.commands.demo import demo
from pipelines.commands.describe import describe
from pipelines.commands.distance import distance
from pipelines.commands.evaluate import evaluate
from pipelines.commands.export import export
from pipelines.commands.ingest import ingest
from pipelines.commands.miniatures import miniatures
from pipelines.commands.mixtures import mixtures
from pipelines.commands.plot import plot
from pipelines.commands.propose import propose
from pipelines.commands.proxy import proxy
from pipelines.commands.query import query
from pipelines.commands.rank import rank
from pipelines.commands.report import report
from pipelines.commands.scaling import scaling
from pipelines.commands.train import train
from pipelines.commands.verify import verify
from pipelines.commands.view import view

INTERRUPTED = 3

app = App(
    name="ehps",
    help="Expressive human pose and shape data: ingest, verify, query, choose a mixture, train on it.\n\n"
    "Exit codes: 0 done, 1 user error, 2 data failed a check, 3 interrupted and resumable.",
    suppress_keyboard_interrupt=False,
    exit_on_error=False,
)
COMMANDS = (
    *(demo, miniatures, datasets),
    *(ingest, verify, report, export),
    *(describe, catalog, query, view, compare, plot, atlas),
    *(rank, scaling, mixtures, distance, propose),
    *(train, adapt, evaluate, proxy),
)
for command in COMMANDS:
    app.command(command)


def main() -> None:
    """Run the command line of this process and exit with its code."""
    signal.signal(signal.SIGTERM, _as_keyboard_interrupt)
    try:
        app(sys.argv[1:])
    except CycloptsError:
        sys.exit(1)  # its message is on stderr already
    except EhpsError as error:
        _leave(str(error), error.exit_code)
    except KeyboardInterrupt:
        _leave("interrupted; nothing half-written is visible.\n  fix: run the same command again to go on", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone (`ehps query ... | head`): not an error of ours, but Python would complain
        # once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _leave(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), 1)


def _as_keyboard_interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _leave(message: str, code: int) -> NoReturn:
    print(f"ehps: {message}", file=sys.stderr)
    sys.exit(code)
