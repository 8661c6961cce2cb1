"""The codec in an agent of small memory: no heavy library comes with it."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import sys
import edge.hj212.assembly, edge.hj212.messages, edge.hj212.rows
print(sorted({"numpy", "cryptography", "pydantic", "psycopg"} & sys.modules.keys()))
"""


def test_importing_the_codec_brings_no_heavy_library() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
