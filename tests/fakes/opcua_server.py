"""A plant's OPC UA server, by asyncua: nodes of a namespace of its own, with values and codes as a test sets them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.common.node import Node
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.server import Server
from asyncua.server.user_managers import UserManager
from asyncua.ua.status_codes import StatusCodes

URI = "urn:stackwatch:test:plant"


class OnlyReader(UserManager):
    """Lets in `reader` with the password `secret-word`, and nobody else."""

    def get_user(self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None) -> Any:
        known = username == "reader" and password == "secret-word"
        return User(role=UserRole.User, name=username) if known else None


class Plant:
    """A running server. `tell` gives a node a value at a time of its source."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = nodes

    async def tell(
        self, name: str, value: float | None, *, at: datetime | None = None, code: int = StatusCodes.Good
    ) -> None:
        stamp: Any = (at or datetime.now(UTC)).replace(tzinfo=None)
        data: Any = ua.DataValue(
            ua.Variant(value, ua.VariantType.Double) if value is not None else None,
            StatusCode=ua.StatusCode(ua.UInt32(code)),
            SourceTimestamp=stamp,
        )
        await self._nodes[name].write_value(data)


@asynccontextmanager
async def a_plant(
    port: int,
    *names: str,
    users: bool = False,
    trust: tuple[Path, Path] | None = None,
) -> AsyncIterator[Plant]:
    """A server at *port* with the variables *names*; with *trust*, its certificate and key, it wants encryption."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    server = Server(user_manager=OnlyReader() if users else None)
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    if trust is None:
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    else:
        await server.load_certificate(str(trust[0]))
        await server.load_private_key(str(trust[1]))
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    index = await server.register_namespace(URI)
    nodes = {
        name: await server.nodes.objects.add_variable(ua.NodeId.from_string(f"ns={index};s={name}"), name, 0.0)
        for name in names
    }
    async with server:
        yield Plant(nodes)
