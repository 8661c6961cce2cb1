"""From the feed to somebody's desk: a real database, real servers, and all of them going away."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from alerts.notify import acts, delivery, router, serve
from alerts.notify.outcomes import Failed, Outcome
from alerts.notify.routes import Route
from alerts.notify.sending import webhooks
from alerts.notify.targets import Mail, Webhook
from alerts.rules import receiver_dead
from case_builders import everything
from fakes.http_receiver import HttpReceiver, an_http_receiver
from fakes.notified import AT_ONCE, Told, told_in, until
from fakes.smtp_relay import a_relay
from store import findings, notices, outgoing, receivers
from store.pool import Connection, connect, open_pool

pytestmark = pytest.mark.anyio


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[Connection]:
    async with await connect(database_url, name="test", autocommit=True) as connection:
        yield connection


@pytest.fixture
async def told(conn: Connection, database_url: str, tmp_path: Path) -> Told:
    return await told_in(conn, database_url, tmp_path)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who failed is asked again soon, and is dead soon."""
    monkeypatch.setattr(delivery, "next_try_s", lambda failures, failed, rng: 0.05)
    monkeypatch.setattr(serve, "POLL_S", 0.05)
    monkeypatch.setattr(receiver_dead, "AFTER", 0)


def news(receiver: HttpReceiver) -> list[tuple[str, str]]:
    """(news, alert) of everything that a receiver was told, in order."""
    return [(alert["news"], alert["id"]) for request in receiver.requests for alert in request.json["data"]["alerts"]]


async def test_an_alert_reaches_its_receivers_in_their_languages(told: Told, conn: Connection, tmp_path: Path) -> None:
    async with an_http_receiver() as hook, a_relay() as relay:
        told.settings = replace(told.settings, mail_url=f"smtp://127.0.0.1:{relay.port}", mail_from="watch@example.com")
        await told.webhook("hook", hook.url, language="zh")
        await told.receiver("post", Mail(to=("duty@example.com",)))
        async with told.telling():
            await told.happens("opened", "al-1")
            await until(lambda: bool(hook.requests and relay.taken), "both are told")
            await until(lambda: nothing_owed(conn), "it is noted")
    assert "Works" in relay.taken[0].mail["Subject"]
    assert "超标告警" in hook.requests[0].json["data"]["subject"]
    assert hook.ids == [await told.one("SELECT outgoing_id FROM outgoing WHERE kind = 'webhook'")]
    assert {row["state"] for row in (await told.states()).values()} == {"well"}


async def test_a_storm_is_one_message_a_site_and_kind(told: Told) -> None:
    async with an_http_receiver() as hook:
        await told.webhook("hook", hook.url, replace(AT_ONCE, wait_s=1))
        await told.happens("opened", *(f"al-{n}" for n in range(400)))
        await told.happens("opened", *(f"lead-{n}" for n in range(100)), rule="constant", pack_name=None)
        async with told.telling():
            await until(lambda: len(hook.requests) >= 2, "both groups are told")
        counts = {
            request.json["data"]["group"]["kind"]: request.json["data"]["counts"]["new"] for request in hook.requests
        }
    assert counts == {"exceedance": 400, "integrity": 100}


async def test_the_end_is_told_to_who_was_told_of_the_beginning_and_withdrawal_too(told: Told) -> None:
    async with an_http_receiver() as hook:
        await told.webhook("hook", hook.url)
        async with told.telling():
            for event in ("opened", "resolved", "reopened", "withdrawn"):
                await told.happens(event, "al-1")
                seen = len(hook.requests)
                await until(lambda seen=seen: len(hook.requests) > seen, event)
    assert news(hook) == [("new", "al-1"), ("over", "al-1"), ("new", "al-1"), ("withdrawn", "al-1")]
    assert len(set(hook.ids)) == 4


async def test_what_became_lighter_ends_where_its_beginning_was_told(told: Told, conn: Connection) -> None:
    grave = replace(AT_ONCE, name="grave", at_least="major")
    rest = replace(AT_ONCE, name="rest", resolved=False)
    async with an_http_receiver() as hook:
        await told.webhook("hook", hook.url, grave, rest)
        async with told.telling():
            await told.happens("opened", "al-1")  # critical
            await until(lambda: bool(hook.requests), "its beginning")
            await conn.execute("UPDATE alert SET severity = 'warning'")
            await told.happens("resolved", "al-1")
            await until(lambda: router_idle(conn), "all is settled")
            await until(lambda: nothing_owed(conn), "and sent")
    assert news(hook) == [("new", "al-1"), ("over", "al-1")]


async def test_what_is_suppressed_or_not_routed_is_not_told(told: Told) -> None:
    grave = replace(AT_ONCE, at_least="critical", groups=("exceedance",))
    async with an_http_receiver() as hook:
        await told.webhook("hook", hook.url, grave)
        await told.webhook("elsewhere", hook.url, regions=["shanxi"])
        async with told.telling():
            await told.happens("suppressed", "quiet")
            await told.happens("opened", "other", rule="data_missing")
            await told.happens("opened", "loud")
            await until(lambda: bool(hook.requests), "the one that is routed")
            await told.happens("unsuppressed", "quiet")
            await until(lambda: len(hook.requests) > 1, "the one that is not suppressed any more")
    assert news(hook)[0] == ("new", "loud")
    assert {alert for what, alert in news(hook) if what == "new"} == {"loud", "quiet"}


async def test_what_nobody_acknowledges_is_told_again_under_another_id_and_then_not(
    told: Told, conn: Connection, impatient: None
) -> None:
    async with an_http_receiver() as hook:
        await told.webhook("hook", hook.url, replace(AT_ONCE, repeat_s=1))
        async with told.telling():
            await told.happens("opened", "al-1")
            await until(lambda: len(hook.requests) >= 3, "it is repeated")
            await told.happens("acknowledged", "al-1")
            await until(lambda: router_idle(conn), "nothing is due any more")
    assert {request.json["type"] for request in hook.requests[1:]} == {"alerts.repeated"}
    assert len(set(hook.ids)) == len(hook.ids)


async def router_idle(conn: Connection) -> bool:
    """All is routed, and no group waits."""
    return await everything(
        conn,
        """SELECT (SELECT count(*) FROM notice_group), (SELECT count(*) FROM receiver WHERE disabled_at IS NULL
           AND position < (SELECT coalesce(max(feed_number), 0) FROM alert_event))""",
    ) == [(0, 0)]


async def test_a_dead_receiver_keeps_nobody_waiting_and_is_an_alert_itself_told_to_the_others(
    told: Told, conn: Connection, impatient: None
) -> None:
    async with AsyncExitStack() as stack:
        dead, slow, well, admin = [
            await stack.enter_async_context(an_http_receiver(status)) for status in (500, 0, 204, 204)
        ]
        for name, hook in (("dead", dead), ("slow", slow), ("well", well)):
            await told.webhook(name, hook.url)
        exceedances = Route(name="exceedances", groups=("exceedance",), wait_s=0, interval_s=0)
        await told.webhook("admin", admin.url, exceedances, system=True)
        async with told.telling():
            await told.happens("opened", "al-1")
            await until(lambda: bool(well.requests), "the one who is well does not wait")
            await until(lambda: state_is(told, "dead", "dead"), "it is dead")
            (alert,) = await everything(
                conn, "SELECT alert_id, site_id, state, evidence FROM alert WHERE rule = 'receiver_dead'"
            )
            assert alert[1:3] == (None, "firing")
            assert alert[3]["receiver"] == "dead"
            await number(conn)

            async def administrator_is_told() -> bool:
                await conn.execute("UPDATE notice_group SET due_at = now() WHERE route = 'system'")  # its wait is over
                return ("new", str(alert[0])) in news(admin)

            await until(administrator_is_told, "the administrator is told, without a route for it")
            dead.answers = [204]
            await until(lambda: state_is(told, "dead", "well"), "it lives again")
    assert [row[0] for row in await everything(conn, "SELECT state FROM alert WHERE rule = 'receiver_dead'")] == [
        "resolved"
    ]
    assert len(set(dead.ids)) == 1, "every attempt had the same id"
    assert {
        alert["id"] for request in (*well.requests, *dead.requests) for alert in request.json["data"]["alerts"]
    } == {"al-1"}


async def state_is(told: Told, name: str, state: str) -> bool:
    return bool((await told.states())[name]["state"] == state)


async def number(conn: Connection) -> None:
    async with conn.transaction():
        await findings.number_events(conn, 1_000)


async def test_who_is_gone_is_disabled_and_told_nothing_more(told: Told, conn: Connection, impatient: None) -> None:
    async with an_http_receiver(410) as hook:
        await told.webhook("hook", hook.url)
        async with told.telling():
            await told.happens("opened", "al-1")
            await until(lambda: state_is(told, "hook", "disabled"), "it is disabled")
            await told.happens("opened", "al-2", rule="constant", pack_name=None)
            async with told.conn.transaction():
                await acts.enable(conn, await receivers.lock_receiver(conn, "hook"))
            hook.answers = [204]
            await told.happens("opened", "al-3", rule="data_missing", pack_name=None)
            await until(lambda: len(hook.requests) > 1, "it is told again")
    assert news(hook)[1:] == [("new", "al-3")], "what happened while it was disabled is not told"
    row = (await told.states())["hook"]
    assert (row["gave_up"], row["state"]) == (1, "well")
    assert await everything(conn, "SELECT state FROM alert WHERE rule = 'receiver_dead'") == [("resolved",)]


async def test_what_nobody_took_for_days_is_given_up_and_kept(told: Told, conn: Connection) -> None:
    async with an_http_receiver() as hook:
        await told.webhook("hook", hook.url)
        async with conn.transaction():
            await acts.try_out(conn, await receivers.lock_receiver(conn, "hook"), "msg_test_old")
            await acts.try_out(conn, await receivers.lock_receiver(conn, "hook"), "msg_test_new")
        await conn.execute(
            "UPDATE outgoing SET created_at = now() - interval '4 days' WHERE outgoing_id = 'msg_test_old'"
        )
        async with told.telling():
            await until(lambda: bool(hook.requests), "the younger one is sent")
    assert hook.ids == ["msg_test_new"]
    assert (await told.states())["hook"]["gave_up"] == 1


async def test_who_asks_for_patience_is_left_alone_for_so_long(told: Told, conn: Connection) -> None:
    async with an_http_receiver(429, 204) as hook:
        hook.headers = {"retry-after": "3000"}
        await told.webhook("hook", hook.url)
        async with told.telling():
            await told.happens("opened", "al-1")
            await until(lambda: state_is(told, "hook", "failing"), "it asked for patience")
    wait_s = await told.one("SELECT extract(epoch FROM retry_at - now())::float8 FROM receiver")
    assert 2_900 < wait_s <= 3_000
    assert len(hook.requests) == 1


async def test_without_the_key_that_sealed_it_a_message_waits_and_says_why(told: Told, tmp_path: Path) -> None:
    async with an_http_receiver() as hook:
        await told.webhook("hook", hook.url)
        told.settings = replace(told.settings, secrets_key_file="")
        async with told.telling():
            await told.happens("opened", "al-1")
            await until(lambda: state_is(told, "hook", "failing"), "it cannot be opened")
    assert "STACKWATCH_SECRETS_KEY_FILE" in (await told.states())["hook"]["last_error"]
    assert hook.requests == []


async def test_several_processes_share_the_receivers_and_nobody_is_told_twice(told: Told, conn: Connection) -> None:
    async with AsyncExitStack() as stack:
        hooks = [await stack.enter_async_context(an_http_receiver()) for _ in range(6)]
        for n, hook in enumerate(hooks):
            await told.webhook(f"hook-{n}", hook.url)
        async with told.telling(processes=3):
            for n in range(10):
                await told.happens("opened", f"al-{n}")
            await until(
                lambda: all({alert for _, alert in news(hook)} == {f"al-{n}" for n in range(10)} for hook in hooks),
                "all",
            )
            await until(lambda: nothing_owed(conn), "nothing is owed")
    for hook in hooks:
        assert len(set(hook.ids)) == len(hook.ids)
        assert Counter(what for what, _ in news(hook) if what == "new") == {"new": 10}


async def nothing_owed(conn: Connection) -> bool:
    return await everything(conn, "SELECT count(*) FROM outgoing WHERE sent_at IS NULL") == [(0,)]


_PROGRAM: Final = """
import asyncio, sys
from alerts.notify import delivery, serve
from plant.settings import Settings
delivery.LEASE_S = 0.5  # a killed process holds nobody up for long
serve.POLL_S = 0.05
asyncio.run(serve.tell(Settings(database_url=sys.argv[1], secrets_key_file=sys.argv[2], notify_networks="127.0.0.0/8")))
"""


@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_anywhere_everything_is_told_and_no_message_has_a_second_id(
    told: Told, conn: Connection, seed: int
) -> None:
    """The process is killed again and again while things happen; each message comes, perhaps again, under one id."""
    rng = Random(seed)
    arguments = (sys.executable, "-c", _PROGRAM, told.settings.database_url, told.settings.secrets_key_file)
    async with an_http_receiver() as hook:
        await told.webhook("hook", hook.url)
        happened = 0
        for _ in range(6):
            process = await asyncio.create_subprocess_exec(*arguments)
            begun = len(hook.requests)
            await told.happens("opened", f"al-{happened}")
            happened += 1
            await until(lambda begun=begun: len(hook.requests) > begun, "it has begun to tell")
            for _ in range(rng.randrange(1, 12)):
                await told.happens("opened", f"al-{happened}")
                happened += 1
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        async with told.telling():
            await until(lambda: {alert for _, alert in news(hook)} == {f"al-{n}" for n in range(happened)}, "all of it")
            await until(lambda: nothing_owed(conn), "nothing is owed")
    texts: dict[str, set[bytes]] = {}
    for request in hook.requests:
        texts.setdefault(request.message_id, set()).add(request.body)
    assert all(len(bodies) == 1 for bodies in texts.values()), "one id, one message"
    told_as_new = Counter(
        alert["id"]
        for bodies in texts.values()
        for body in bodies
        for alert in json.loads(body)["data"]["alerts"]
        if alert["news"] == "new"
    )
    assert set(told_as_new.values()) == {1}, "and nothing is news twice"
    assert await told.one("SELECT count(*) FROM outgoing") == len(texts)


async def test_a_router_that_fails_between_its_steps_has_done_a_step_or_has_not(
    told: Told, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_http_receiver() as hook:
        receiver_id = await told.webhook("hook", hook.url)
        await told.happens("opened", "al-1", "al-2")

        async def dies(*_: Any, **__: Any) -> None:
            raise ConnectionError("killed")

        with monkeypatch.context() as patch:
            patch.setattr(notices, "put_groups", dies)
            with pytest.raises(ConnectionError):
                async with conn.transaction():
                    await router.route_some(conn)
        assert await told.one("SELECT count(*) FROM notice_alert") == 0
        assert await told.one("SELECT position FROM receiver WHERE receiver_id = %s", receiver_id) == 0
        async with conn.transaction():
            assert await router.route_some(conn) == 1
        with monkeypatch.context() as patch:
            patch.setattr(router, "_keep", dies)
            with pytest.raises(ConnectionError):
                async with conn.transaction():
                    await router.settle_some(conn, "")
        assert await told.one("SELECT count(*) FROM outgoing") == 0
        async with told.telling():
            await until(lambda: bool(hook.requests), "it is told in the end")
    assert news(hook) == [("new", "al-1"), ("new", "al-2")]


async def test_a_receiver_that_was_made_later_is_not_told_of_the_past(told: Told) -> None:
    async with an_http_receiver() as hook:
        await told.happens("opened", "old")
        await told.webhook("hook", hook.url)
        async with told.telling():
            await told.happens("opened", "new", rule="constant", pack_name=None)
            await until(lambda: bool(hook.requests), "the new one")
    assert news(hook) == [("new", "new")]


async def test_a_route_that_was_taken_away_is_silent_at_once(told: Told, conn: Connection, impatient: None) -> None:
    async with an_http_receiver() as hook:
        receiver_id = await told.webhook("hook", hook.url, replace(AT_ONCE, repeat_s=1))
        async with told.telling():
            await told.happens("opened", "al-1")
            await until(lambda: bool(hook.requests), "it is told")
            await receivers.put_routes(
                conn, receiver_id, [replace(AT_ONCE, name="other", rules=("constant",)).document()]
            )
            await until(lambda: router_idle(conn), "the group is forgotten")
            assert await told.one("SELECT count(*) FROM notice_alert") == 0


async def test_sixty_receivers_of_one_storm_get_one_message_each(told: Told, conn: Connection) -> None:
    async with an_http_receiver() as hook:
        for n in range(60):
            await told.webhook(f"hook-{n}", hook.url, replace(AT_ONCE, wait_s=1))
        await told.happens("opened", *(f"al-{n}" for n in range(200)))
        async with told.telling(processes=2):
            await until(lambda: len(hook.requests) >= 60, "all are told")
            await until(lambda: nothing_owed(conn), "nothing is owed")
    assert len(set(hook.ids)) == len(hook.ids) == 60
    assert {request.json["data"]["counts"]["new"] for request in hook.requests} == {200}


async def test_messages_are_let_go_after_a_year_and_a_month_and_no_sooner(told: Told, conn: Connection) -> None:
    async with an_http_receiver() as hook:
        await told.webhook("hook", hook.url)
    async with conn.transaction():
        for name in ("old", "waiting", "young"):
            await acts.try_out(conn, await receivers.lock_receiver(conn, "hook"), f"msg_test_{name}")
        await conn.execute("UPDATE outgoing SET sent_at = now() WHERE outgoing_id <> 'msg_test_waiting'")
        await conn.execute(
            "UPDATE outgoing SET created_at = now() - interval '401 days' WHERE outgoing_id <> 'msg_test_young'"
        )
    assert await outgoing.let_go(conn, kept_s=400 * 86_400, limit=10) == 1
    left = await everything(conn, "SELECT outgoing_id FROM outgoing ORDER BY outgoing_id")
    assert left == [("msg_test_waiting",), ("msg_test_young",)]


async def test_who_disables_a_dead_receiver_knows_about_it_and_its_alert_is_over(
    told: Told, conn: Connection, impatient: None
) -> None:
    async with an_http_receiver(500) as hook:
        await told.webhook("hook", hook.url)
        async with told.telling():
            await told.happens("opened", "al-1")
            await until(lambda: state_is(told, "hook", "dead"), "it is dead")
    async with conn.transaction():
        await acts.disable(conn, await receivers.lock_receiver(conn, "hook"), "we know")
    assert await everything(conn, "SELECT state FROM alert WHERE rule = 'receiver_dead'") == [("resolved",)]
    row = (await told.states())["hook"]
    assert (row["state"], row["waiting"], row["gave_up"]) == ("disabled", 0, 1)


async def test_a_mistake_of_ours_with_one_receiver_ends_neither_the_process_nor_the_others(
    told: Told, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = webhooks.post

    async def breaks(http: Any, target: Webhook, *more: Any, **named: Any) -> Outcome:
        if target.url.endswith("/odd"):
            raise RuntimeError("T0KEN")
        return await post(http, target, *more, **named)

    monkeypatch.setattr(webhooks, "post", breaks)
    async with an_http_receiver() as hook:
        await told.webhook("odd", hook.url + "/odd")
        await told.webhook("well", hook.url)
        async with told.telling():
            await told.happens("opened", "al-1")
            await until(lambda: state_is(told, "odd", "failing"), "one cannot be told")
            await until(lambda: bool(hook.requests), "the other is told")
    assert (await told.states())["odd"]["last_error"] == "a mistake of ours: RuntimeError"


@pytest.mark.parametrize("act", [acts.disable, acts.retire])
@pytest.mark.parametrize("outcome", [Failed(reason="answered 410 Gone", gone=True), None], ids=["gone", "taken"])
async def test_who_is_taken_out_of_service_while_it_is_asked_is_not_called_dead_afterwards(
    told: Told, conn: Connection, act: Any, outcome: Outcome
) -> None:
    """That alert would stay open for ever: no message that is taken could end it."""

    async def meanwhile(*_: Any) -> Outcome:
        async with conn.transaction():
            await act(conn, await receivers.lock_receiver(conn, "hook"), "we know")
        return outcome

    receiver_id = await told.webhook("hook", "http://127.0.0.1:9/hook")
    async with conn.transaction():
        await acts.try_out(conn, await receivers.lock_receiver(conn, "hook"), "msg_test_1")
    async with open_pool(told.settings.database_url, name="test") as pool, asyncio.TaskGroup() as tasks:
        deliverer = delivery.Deliverer(pool=pool, send=meanwhile, seal=told.seal, name="test")
        assert await deliverer.start_some(tasks) == 1
    assert await everything(conn, "SELECT state FROM alert WHERE rule = 'receiver_dead'") == []
    assert await told.one("SELECT dead_alert FROM receiver WHERE receiver_id = %s", receiver_id) is None
    taken = await everything(conn, "SELECT sent_at IS NOT NULL, gave_up_at IS NOT NULL FROM outgoing")
    assert taken == [(outcome is None, outcome is not None)], "what was taken was not given up"
