"""One mail by the installation's relay: `smtplib` in a thread of its own, every wait of it with a deadline.

    smtps://user:password@host:465     TLS from the first byte
    smtp://user:password@host:587      STARTTLS, required; to this machine itself it is used where it is offered
    smtp+plain://host:25               never encrypted, and so never with a password: a relay on one's own wire

A mail's Message-ID follows from the message's id, so that a mail that is sent again after a crash is the same mail.
"""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

from alerts.notify.outcomes import Failed, Outcome
from plant.errors import BadDocument, Fault

logger = logging.getLogger(__name__)

DEADLINE_S: Final = 10.0  #: of each answer of the relay
PORTS: Final = {"smtps": 465, "smtp": 587, "smtp+plain": 25}


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Who takes our mail."""

    scheme: str
    host: str
    port: int
    user: str | None
    password: str | None
    sender: str

    def __repr__(self) -> str:
        return f"Relay({self.scheme}://{self.host}:{self.port})"

    @property
    def here(self) -> bool:
        """On this machine."""
        with suppress(ValueError):
            return ip_address(self.host).is_loopback
        return self.host == "localhost"


def relay_from(url: str, sender: str) -> Relay | None:
    """The relay of `STACKWATCH_MAIL_URL`; None where none is set; `BadDocument` for a wrong one."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    faults = []
    if not host or parts.scheme not in PORTS:
        faults.append(Fault("STACKWATCH_MAIL_URL", "must be smtps://USER:PASSWORD@HOST:PORT, smtp:// or smtp+plain://"))
    elif parts.scheme == "smtp+plain" and parts.password:
        faults.append(Fault("STACKWATCH_MAIL_URL", "a password must not travel unencrypted: use smtp:// or smtps://"))
    if "@" not in sender or any(c.isspace() for c in sender):
        faults.append(Fault("STACKWATCH_MAIL_FROM", "must be the mail address that messages come from"))
    if faults:
        raise BadDocument("environment", faults)
    assert host, "no fault"
    return Relay(
        scheme=parts.scheme,
        host=host,
        port=port or PORTS[parts.scheme],
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        sender=sender,
    )


def letter(relay: Relay, to: Sequence[str], message_id: str, subject: str, body: str, *, now: datetime) -> EmailMessage:
    """The mail itself; line breaks in a subject become spaces."""
    mail = EmailMessage()
    mail["From"] = relay.sender
    mail["To"] = ", ".join(to)
    mail["Subject"] = " ".join(subject.split())
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{message_id}@{relay.sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence note answers it
    mail.set_content(body)
    return mail


def send(relay: Relay, mail: EmailMessage) -> Outcome:
    """Hand *mail* to the relay. Blocks; each step has `DEADLINE_S`.

    It is taken when the relay takes it for anybody: to send it again would give those a second one.
    """
    try:
        with _connected(relay) as smtp:
            if relay.user:
                smtp.login(relay.user, relay.password or "")
            refused = smtp.send_message(mail)
    except smtplib.SMTPResponseException as error:
        return Failed(reason=f"the mail relay answered {error.smtp_code}")
    except smtplib.SMTPRecipientsRefused as error:
        codes = sorted({code for code, _ in error.recipients.values()})
        return Failed(reason=f"the mail relay refused every address: {', '.join(map(str, codes))}")
    except (smtplib.SMTPException, OSError, UnicodeError) as error:  # the last: a password that is not ASCII
        return Failed(reason=f"the mail relay cannot be used: {type(error).__name__}")
    if refused:
        logger.warning("mail_addresses_refused", extra={"mail": mail["Message-ID"], "addresses": len(refused)})
    return None


def _connected(relay: Relay) -> smtplib.SMTP:
    if relay.scheme == "smtps":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(relay.host, relay.port, timeout=DEADLINE_S, context=context)
    smtp = smtplib.SMTP(relay.host, relay.port, timeout=DEADLINE_S)
    try:
        smtp.ehlo()
        if relay.scheme == "smtp" and (not relay.here or smtp.has_extn("starttls")):
            smtp.starttls(context=ssl.create_default_context())
            smtp.ehlo()
    except BaseException:
        smtp.close()
        raise
    return smtp
