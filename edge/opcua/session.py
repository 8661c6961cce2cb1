"""One session with an OPC UA server, by asyncua: opened, subscribed, closed. Nothing here can write to a node.

The library's own reconnection is off: values that were held must be forgotten with the connection, so who keeps the
source opens a new session.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.subscription import DataChangeEvent, StatusChangeEvent, Subscription
from asyncua.crypto import security_policies
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError
from cryptography import x509

from edge.fieldbus.rows import Heard
from edge.opcua.gathering import Told
from edge.opcua.quality import flag_of, is_bad, overflowed
from edge.opcua.tables import OpcuaPlan, Security, split_node
from plant.errors import Unavailable

_SESSION_MS: Final = 60_000  # a session that we lost is the server's for so long
_LIFETIME_S: Final = 60.0  # of a subscription without us
_KEEP_ALIVE_S: Final = 10.0  # the server speaks at least so often
_PER_PUBLISH: Final = 10_000
_LEAVE_S: Final = 5.0


class Session:
    """A live subscription. `missing` names nodes that the server does not give, with its reason."""

    def __init__(self, plan: OpcuaPlan, subscription: Subscription) -> None:
        self._plan = plan
        self._subscription = subscription
        self._nodes: dict[int, str] = {}  # by our handle
        self.missing: dict[str, str] = {}

    async def values(self) -> AsyncIterator[tuple[str, ua.DataValue]]:
        """Each value that the server tells, with the node it is of; `Unavailable` when it tells no more."""
        async for event in self._subscription:
            if isinstance(event, StatusChangeEvent):
                raise Unavailable(f"{self._plan.url}: the subscription ended: {event.notification.Status.name}")
            if isinstance(event, DataChangeEvent):
                handle = event.data.subscription_data.client_handle
                if handle in self._nodes:
                    yield self._nodes[handle], event.data.monitored_item.Value
        raise Unavailable(f"{self._plan.url}: the subscription ended")

    async def watch(self, client: Client) -> None:
        requests = []
        for handle, node in enumerate(self._plan.nodes, start=1):
            node_id = await _node_id(client, node)
            if node_id is None:
                self.missing[node] = "its namespace is not known"
            else:
                self._nodes[handle] = node
                requests.append(_request(self._plan, handle, node_id))
        results = await self._subscription.create_monitored_items(requests)
        for request, result in zip(requests, results, strict=True):
            if isinstance(result, ua.StatusCode):
                self.missing[self._nodes[request.RequestedParameters.ClientHandle]] = result.name


@asynccontextmanager
async def open_session(plan: OpcuaPlan) -> AsyncIterator[Session]:
    """A session that watches the nodes of *plan* while it is entered; `Unavailable` where it cannot be had."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # it tells there, at length, what we say in a word
    client = Client(plan.url, timeout=plan.timeout_s, watchdog_intervall=plan.timeout_s)
    client.name = "stackwatch"
    client.session_timeout = _SESSION_MS
    try:
        with _unavailable(plan):
            await _identify(client, plan)
            await client.connect()
            subscription = await client.create_subscription(
                _parameters(plan), queue_maxsize=2 * _PER_PUBLISH + len(plan.nodes)
            )
            session = Session(plan, subscription)
            await session.watch(client)
        yield session
    finally:
        await _leave(client)


async def _leave(client: Client) -> None:
    """Say goodbye, but not for long: a server that fell silent does not answer it, and its socket must not stay."""
    protocol = client.uaclient.protocol
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                await client.disconnect()
    finally:
        client.disconnect_socket()
        if protocol is not None and protocol.transport is not None:  # after a loss the library leaves it open
            protocol.transport.close()


def told_of(value: ua.DataValue, time: str, now_ms: int, tolerated: Counter[str]) -> Told:
    """*value* at the time of the clock that is to be believed; what that clock does not say is counted."""
    code = StatusCodes.Good if value.StatusCode is None else value.StatusCode.value
    if overflowed(code):
        tolerated["server_queue_overflowed"] += 1
    stamps = {"source": (value.SourceTimestamp, value.ServerTimestamp), "server": (value.ServerTimestamp,), "edge": ()}
    stamp = next((at for at in stamps[time] if at is not None), None)
    if time != "edge" and (stamp is None or (time == "source" and value.SourceTimestamp is None)):
        tolerated["source_time_missing"] += 1
    at_ms = now_ms if stamp is None else _epoch_ms(stamp)
    number = None if is_bad(code) else _number(value)
    if number is None and not is_bad(code):
        tolerated["not_a_number"] += 1
    return Told(at_ms, Heard(number, flag_of(code)))


def _number(value: ua.DataValue) -> float | None:
    """The number of *value*; None where it is an array, a text or nothing."""
    found = None if value.Value is None else value.Value.Value
    return float(found) if isinstance(found, int | float) else None


def _epoch_ms(at: datetime) -> int:
    """asyncua gives UTC without saying so."""
    aware = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return int(aware.timestamp() * 1000)


async def _identify(client: Client, plan: OpcuaPlan) -> None:
    security = plan.security
    if security is not None:
        client.application_uri = security.application_uri or _uri_in(security)
        await client.set_security(
            getattr(security_policies, f"SecurityPolicy{security.policy}"),
            security.certificate,
            security.key,
            server_certificate=str(security.server_certificate),
            mode=ua.MessageSecurityMode[security.mode],
        )
    if plan.user is not None:
        client.set_user(plan.user)
        client.set_password(plan.password)


def _uri_in(security: Security) -> str:
    """The application that the certificate is made out to."""
    data = security.certificate.read_bytes()
    try:
        read = x509.load_pem_x509_certificate if data.startswith(b"-----") else x509.load_der_x509_certificate
        names = read(data).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return names.get_values_for_type(x509.UniformResourceIdentifier)[0]
    except (ValueError, IndexError, x509.ExtensionNotFound) as error:
        raise Unavailable("the certificate names no application: write application_uri") from error


def _parameters(plan: OpcuaPlan) -> ua.CreateSubscriptionParameters:
    publish_s = plan.publish_ms / 1000
    keep_alive = max(1, int(_KEEP_ALIVE_S / publish_s))
    return ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=ua.Duration(plan.publish_ms),
        RequestedLifetimeCount=ua.UInt32(max(3 * keep_alive, int(_LIFETIME_S / publish_s))),
        RequestedMaxKeepAliveCount=ua.UInt32(keep_alive),
        MaxNotificationsPerPublish=ua.UInt32(_PER_PUBLISH),
        PublishingEnabled=True,
        Priority=ua.Byte(0),
    )


def _request(plan: OpcuaPlan, handle: int, node: ua.NodeId) -> ua.MonitoredItemCreateRequest:
    """A node that tells each new value, status or time: no dead band, which would hide what was measured."""
    everything = ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp)
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=ua.UInt32(handle),
            SamplingInterval=ua.Duration(plan.sampling_ms),
            Filter=everything,
            QueueSize=ua.UInt32(plan.queue_size),
            DiscardOldest=True,
        ),
    )


async def _node_id(client: Client, text: str) -> ua.NodeId | None:
    uri, node = split_node(text)
    node_id = ua.NodeId.from_string(node)
    if uri is None:
        return node_id
    try:
        index = await client.get_namespace_index(uri)
    except ValueError:
        return None
    return ua.NodeId(node_id.Identifier, ua.Int16(index), node_id.NodeIdType)


@contextmanager
def _unavailable(plan: OpcuaPlan) -> Iterator[None]:
    """Errors of network, server and trust as the one that asks for another try."""
    try:
        yield
    except (OSError, TimeoutError, UaError, ValueError) as error:
        words = str(error) or type(error).__name__
        raise Unavailable(f"{plan.url}: {words}") from error
