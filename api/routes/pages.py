"""The web page: a few files of ours, and nothing from anywhere else (the policy header holds it to that)."""

from __future__ import annotations

from importlib import resources
from typing import Final

from fastapi import APIRouter, Response

from plant.errors import NotFound

router = APIRouter(include_in_schema=False)

FILES: Final = {
    "index.html": "text/html",
    "style.css": "text/css",
    "app.js": "text/javascript",
    "live.js": "text/javascript",
    "view.js": "text/javascript",
    "elements.js": "text/javascript",
    "figures.js": "text/javascript",
    "grouped.js": "text/javascript",
    "marks.js": "text/javascript",
    "edges.js": "text/javascript",
    "reported.js": "text/javascript",
    "rules.js": "text/javascript",
    "words.js": "text/javascript",
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@router.get("/")
def read_index() -> Response:
    return read_file("index.html")


@router.get("/pages/{name}")
def read_file(name: str) -> Response:
    if name not in FILES:
        raise NotFound(f"there is no page {name!r}")
    content = resources.files("api.pages").joinpath(name).read_bytes()
    return Response(content, headers=HEADERS, media_type=FILES[name])
