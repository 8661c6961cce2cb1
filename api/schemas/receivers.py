"""Receivers of notifications: what may be read of them, and what a person gives. Secrets go in and never come out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, SecretStr

from alerts.notify.routes import INTERVAL_S, MOST_ROUTES, REPEAT_S, WAIT_S
from alerts.rules.catalogue import Group
from api.inputs import Name, Text, Word
from api.schemas.common import Answer, Severity, Time

Track = Literal["statutory", "evasion", "ule", "deadline"]
Language = Literal["en", "zh"]
Secret = Annotated[SecretStr, PlainSerializer(lambda text: text.get_secret_value(), return_type=str, when_used="json")]
"""As JSON it is only ever hashed: the same request is told from another one by it."""
Names = Annotated[list[Name], Field(max_length=200)]


class RouteBody(BaseModel):
    """The first route that matches an alert takes it; an empty list is not narrowed."""

    model_config = ConfigDict(extra="forbid", use_enum_values=True)

    name: Name
    regions: Names = []
    sites: Names = []
    groups: list[Group] = []
    rules: Names = []
    tracks: list[Track] = []
    at_least: Severity = "info"
    wait_s: Annotated[int, Field(ge=0, le=3_600, description="What comes together is told together")] = WAIT_S
    interval_s: Annotated[int, Field(ge=0, le=86_400, description="Between two messages about one group")] = INTERVAL_S
    repeat_s: Annotated[
        int | None, Field(ge=60, le=30 * 86_400, description="After which what nobody acknowledged is told again")
    ] = REPEAT_S
    resolved: Annotated[bool, Field(description="Whether the end of what was told is told, too")] = True


Routes = Annotated[list[RouteBody], Field(min_length=1, max_length=MOST_ROUTES)]


class _NewReceiver(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    language: Language = "zh"
    routes: Routes
    system: Annotated[
        bool | None, Field(description="Told of stackwatch itself, too: an administrator's, and then by default")
    ] = None


class NewWebhook(_NewReceiver):
    kind: Literal["webhook"]
    url: Secret
    secret: Annotated[Secret | None, Field(description="whsec_...; made up, and shown once, if not given")] = None


class NewMail(_NewReceiver):
    kind: Literal["mail"]
    to: list[Word]


class NewService(_NewReceiver):
    kind: Literal["apprise"]
    url: Annotated[Secret, Field(description="As Apprise has them, such as dingtalk://SECRET@TOKEN")]


NewReceiverBody = Annotated[NewWebhook | NewMail | NewService, Field(discriminator="kind")]


class RoutesBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    routes: Routes


class TargetBody(BaseModel):
    """Where a receiver is from now on: a URL, or mail addresses."""

    model_config = ConfigDict(extra="forbid")

    url: Secret | None = None
    to: list[Word] | None = None


class ReasonBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Text


class SecretBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    secret: Secret | None = None
    keep_s: Annotated[int, Field(ge=0, le=7 * 86_400, description="How long the present one signs beside it")] = 86_400


class Receiver(Answer):
    name: str
    kind: Literal["webhook", "mail", "apprise"]
    target: dict[str, Any] = Field(description="What may be read of it: never a secret")
    language: Language
    routes: list[dict[str, Any]]
    system: bool
    sites: list[str]
    regions: list[str]
    state: Literal["well", "failing", "dead", "disabled"]
    failures: int
    failing_since: Time | None
    retry_at: Time | None
    last_error: str | None
    last_sent_at: Time | None
    disabled_at: Time | None
    disabled_why: str | None
    position: int = Field(description="Feed number up to which the feed has been routed to it")
    waiting: int = Field(description="Messages that it is still owed")
    gave_up: int = Field(description="Messages that it never took")
    created_by: str
    created_at: Time


class ReceiverWithSecret(Receiver):
    secret: str | None = Field(description="A webhook's new secret: shown now and never again")


class ReceiverMessage(Answer):
    id: str
    type: str
    subject: str | None
    created_at: Time
    due_at: Time
    attempts: int
    last_error: str | None
    sent_at: Time | None
    gave_up_at: Time | None


class Queued(Answer):
    id: str = Field(description="Of the message: it comes back as `webhook-id`, or in a mail's Message-ID")
