"""A peer: what people put together without stackwatch, a Node-RED flow from MQTT into the same table.

    mqtt in (QoS 1) ──▶ json ──▶ function: one multi-row INSERT through a pool of `pg`

It validates nothing, gives no receipt and acknowledges before it has stored: it is asked for speed alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from signal import SIGTERM
from typing import Any, Final

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import frames, servers
from benchmarks.frames import Load
from benchmarks.publishing import WINDOW, filled, prepared, publishers
from benchmarks.servers import Server
from benchmarks.shape import EDGE, MEANS, ROOT, site_code
from benchmarks.usage import cpu_s, peak_rss_mb
from plant import topics
from plant.broker import broker_address
from stackwatch.local.processes import Command

MOST_ROWS: Final = 200_000  # it takes what the broker has into its memory; the rate is the same
PACKAGES: Final = ("node-red@4", "pg@8")  # Node-RED 4 runs on Node.js 18 and later
_STORED_WITHIN_S: Final = 600.0
_POLL_S: Final = 0.1

_FUNCTION: Final = """
const frame = msg.payload, n = frame.sampled_at.length;
const ids = global.get("ids")[msg.topic.split("/").slice(-3)[0]];
const stacks = frame.stack.map(code => ids[code]);
const times = frame.sampled_at.map(ms => new Date(ms).toISOString());
const values = [stacks, times, frame.interval_s, frame.flag, frame.state];
for (const channel of CHANNELS) values.push(frame[channel]);
global.get("pool").query({ name: "put", text: INSERT, values })
    .then(() => node.done(), error => node.error(error, msg));
"""


def measure(database: Server, load: Load, *, broker_kind: str) -> dict[str, Any] | None:
    """Figures of the flow; None where there is no Node.js."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    home = _installed(npm)
    with ExitStack() as stack:
        load = replace(load, rows=min(load.rows, MOST_ROWS))
        ready = stack.enter_context(prepared(load))
        url, ids = stack.enter_context(filled(database, load))
        broker = stack.enter_context(servers.broker(broker_kind))
        pid = stack.enter_context(_flow(node, home, url, broker, _by_site(load, ids)))
        conn = stack.enter_context(psycopg.connect(url, autocommit=True))
        _warm(conn, broker, load)
        publish = stack.enter_context(publishers(ready, broker, window=WINDOW, by_receipts=False))
        used, begun = cpu_s(pid), time.monotonic()
        publish()
        _until_stored(conn, load.total_rows)
        seconds = time.monotonic() - begun
        return {
            "rows_per_s": round(load.total_rows / seconds),
            "rows": load.total_rows,
            "rss_mb": round(peak_rss_mb(pid), 1),
            "cpu_us_per_row": round((cpu_s(pid) - used) * 1e6 / load.total_rows, 2),
        }


def is_installed() -> bool:
    return all((_home() / "node_modules" / part).exists() for part in ("node-red/red.js", "pg"))


def _home() -> Path:
    """A folder of the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache") / "stackwatch/node-red"


def _installed(npm: str) -> Path:
    home = _home()
    if not is_installed():
        home.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--omit=dev", *PACKAGES]
        subprocess.run(command, cwd=home, check=True, stdout=sys.stderr)
    return home


@contextmanager
def _flow(node: str, home: Path, url: str, broker: Server, ids: Mapping[str, Mapping[str, int]]) -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix="stackwatch-bench-") as name:
        user = Path(name)
        (user / "flows.json").write_text(json.dumps(_nodes(broker)))
        (user / "settings.js").write_text(
            f"const {{ Pool }} = require({json.dumps(str(home / 'node_modules/pg'))});\n"
            f"const pool = new Pool({{ connectionString: {json.dumps(url)}, max: 4 }});\n"
            f"module.exports = {{ flowFile: 'flows.json', disableEditor: true, httpAdminRoot: false,"
            f" functionGlobalContext: {{ pool, ids: {json.dumps(ids)} }} }};\n"
        )
        log = user / "node-red.log"
        command = Command(
            name="node-red",
            argv=[node, str(home / "node_modules/node-red/red.js"), "--userDir", name, "--port", "0"],
            log=log,
            cwd=user,
            environ={"PATH": os.environ.get("PATH", os.defpath), "HOME": name},
            steps=((SIGTERM, 10.0),),
        )
        with servers.running(command, lambda: "Connected to broker" in _text(log)) as pid:
            yield pid


def _text(log: Path) -> str:
    return log.read_text(errors="replace") if log.exists() else ""


def _nodes(broker: Server) -> list[dict[str, Any]]:
    address = broker_address(broker.url)
    channels = list(MEANS)
    columns = ", ".join(channels)
    arrays = ", ".join(f"${6 + number}::float8[]" for number in range(len(channels)))
    insert = (
        "INSERT INTO measurement (stack_id, instrument, sampled_at, interval_s, flag, state, revision, sent_at,"
        f" received_at, batch_id, versions, {columns})"
        " SELECT k.stack_id, 'main', k.sampled_at, $3, $4, $5, 0, k.sampled_at, now(), 0, 1, "
        + columns
        + f" FROM unnest($1::int4[], $2::timestamptz[], {arrays}) AS k (stack_id, sampled_at, {columns})"
        " ON CONFLICT DO NOTHING"
    )
    code = f"const CHANNELS = {json.dumps(channels)}, INSERT = {json.dumps(insert)};\n{_FUNCTION}"
    tab = {"z": "tab"}
    return [
        {"id": "tab", "type": "tab", "label": "rows"},
        {
            "id": "broker",
            "type": "mqtt-broker",
            "broker": address.host,
            "port": str(address.port),
            "clientid": "node-red",
            "autoConnect": True,
            "protocolVersion": "4",
            "keepalive": "60",
            "cleansession": True,
        },
        tab
        | {
            "id": "in",
            "type": "mqtt in",
            "topic": topics.data(ROOT, "+", "+"),
            "qos": "1",
            "datatype": "buffer",
            "broker": "broker",
            "inputs": 0,
            "wires": [["text"]],
        },
        tab | {"id": "text", "type": "json", "property": "payload", "action": "obj", "wires": [["put"]]},
        tab | {"id": "put", "type": "function", "func": code, "outputs": 0, "libs": [], "wires": []},
    ]


def _by_site(load: Load, ids: Mapping[tuple[int, str], int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (edge, code), stack_id in ids.items():
        found.setdefault(site_code(edge), {})[code] = stack_id
    return found


def _warm(conn: psycopg.Connection, broker: Server, load: Load) -> None:
    """Send the first frames until one is stored: the flow is subscribed then. They are taken out again."""
    address = broker_address(broker.url)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="warm")
    client.connect(address.host, address.port)
    client.loop_start()
    try:
        payload = next(frames.payloads(replace(load, rows=load.frame_rows * load.edges), 0))
        end = time.monotonic() + _STORED_WITHIN_S
        while not _stored(conn) and time.monotonic() < end:
            client.publish(topics.data(ROOT, site_code(0), EDGE), payload, qos=1)
            time.sleep(_POLL_S)
    finally:
        client.disconnect()
        client.loop_stop()
    conn.execute("TRUNCATE measurement")


def _until_stored(conn: psycopg.Connection, rows: int) -> None:
    end = time.monotonic() + _STORED_WITHIN_S
    while (stored := _stored(conn)) < rows:
        if time.monotonic() > end:
            raise AssertionError(f"Node-RED stored {stored} of {rows} rows")
        time.sleep(_POLL_S)


def _stored(conn: psycopg.Connection) -> int:
    row = conn.execute("SELECT count(*) FROM measurement").fetchone()
    assert row is not None
    return int(row[0])
