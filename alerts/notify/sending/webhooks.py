"""One POST to a webhook: signed, to an address that was looked at, without redirects, within a deadline.

The name is resolved and judged first, and the connection is made to the very address that was judged: between the
two no other answer can slip in. TLS and the header `Host` still go by the name. The answer's body is not read.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime
from ipaddress import IPv6Address
from typing import Final

import httpx

from alerts.notify import standard_webhooks
from alerts.notify.addresses import Unresolvable, addresses_of
from alerts.notify.destinations import Address, Allowed, Forbidden, check_url
from alerts.notify.outcomes import Failed, Outcome, of_status
from alerts.notify.targets import Webhook

DEADLINE_S: Final = 20.0  #: of one attempt; Standard Webhooks recommends 15 to 30 s
TIMEOUT: Final = httpx.Timeout(DEADLINE_S, connect=5.0)  #: an address that does not answer leaves time for the next
USER_AGENT: Final = "stackwatch"
MOST_ADDRESSES: Final = 4  #: of one name that are tried


def client() -> httpx.AsyncClient:
    """For all webhooks of a process: certificates are checked, the environment's proxies are not asked."""
    return httpx.AsyncClient(
        verify=ssl.create_default_context(), follow_redirects=False, trust_env=False, timeout=TIMEOUT
    )


async def post(
    http: httpx.AsyncClient, target: Webhook, message_id: str, payload: str, *, allowed: Allowed, now: datetime
) -> Outcome:
    """Send one message; *now* is stamped and signed."""
    body = payload.encode()
    try:
        async with asyncio.timeout(DEADLINE_S):
            parts = check_url(target.url, allowed)
            encrypted = parts.scheme == "https"
            port = parts.port or (443 if encrypted else 80)
            assert parts.hostname is not None, "checked"
            found = await addresses_of(parts.hostname, port, allowed, encrypted=encrypted)
            url = httpx.URL(target.url)
            signed = standard_webhooks.headers(
                message_id, body, target.secrets_at(now.timestamp()), at_s=int(now.timestamp())
            )
            return await _post_to_any(http, url, found, body, signed, now=now)
    except TimeoutError:
        return Failed(reason=f"no answer within {DEADLINE_S:g} s")
    except Forbidden as error:
        return Failed(reason=f"the URL {error}")
    except (httpx.InvalidURL, UnicodeError):
        return Failed(reason="the URL cannot be used")
    except Unresolvable as error:
        return Failed(reason=str(error))


async def _post_to_any(
    http: httpx.AsyncClient,
    url: httpx.URL,
    found: Sequence[Address],
    body: bytes,
    signed: Mapping[str, str],
    *,
    now: datetime,
) -> Outcome:
    """Take the first address that lets us in: where none does, nothing was sent to any."""
    failed: Outcome = None
    for address in found[:MOST_ADDRESSES]:
        try:
            return await _post_to(http, url, address, body, signed, now=now)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            failed = Failed(reason=f"cannot be reached: {type(error).__name__}")
        except httpx.HTTPError as error:
            return Failed(reason=f"did not answer: {type(error).__name__}")
    return failed


async def _post_to(
    http: httpx.AsyncClient, url: httpx.URL, address: Address, body: bytes, signed: Mapping[str, str], *, now: datetime
) -> Outcome:
    host = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
    headers = {
        "Host": url.netloc.decode("ascii"),
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        **signed,
    }
    request = http.build_request(
        "POST", url.copy_with(host=host), content=body, headers=headers, extensions={"sni_hostname": url.host}
    )
    answer = await http.send(request, stream=True)
    try:
        return of_status(answer.status_code, answer.headers.get("retry-after"), now=now)
    finally:
        await answer.aclose()
