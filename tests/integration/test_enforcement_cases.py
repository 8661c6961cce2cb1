"""Cases on a real database: opened, acted on, refused, and never rewritten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from alerts.enforcement.commands import act
from alerts.enforcement.documents import case_document, case_documents, case_export
from alerts.enforcement.export import faults_of
from alerts.enforcement.opening import open_case_for_month, open_for_alert, open_for_site, open_for_tip
from case_builders import ALL_AGENCY, LAW, NOW, PACK, REGION, SITE, a_works, an_alert, everything, hours, one
from plant.errors import BadDocument, IllegalTransition, NotFound, Refused, RoleMissing
from plant.packs import pack
from store import cases
from store.pool import Connection, connect
from store.scope import Scope

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]

TRIAL_AT = NOW + timedelta(hours=3)
"""When `walk` permits the trial."""


async def open_one(conn: Connection, alert_id: str = "alert-1") -> str:
    """A works with one alert and the case that it opens."""
    await a_works(conn)
    await an_alert(conn, alert_id)
    case_id = await open_case_for_month(conn, alert_id, now=NOW)
    assert case_id is not None
    await conn.commit()
    return case_id


async def do(
    conn: Connection,
    case_id: str,
    action: str,
    *,
    at: datetime = NOW,
    roles: Collection[str] = ALL_AGENCY,
    reason: str = "because",
    evidence: Collection[Any] = (),
) -> None:
    await act(
        conn,
        case_id=case_id,
        actor="Li",
        roles=roles,
        action=action,
        reason=reason,
        evidence=list(evidence),
        now=at,
    )
    await conn.commit()


async def walk(conn: Connection, case_id: str, *actions: str) -> None:
    """Take *actions* one hour apart, the first at NOW."""
    for n, action in enumerate(actions):
        await do(conn, case_id, action, at=NOW + timedelta(hours=n))


TO_TRIAL = ("verify", "decide", "serve", "permit_trial")


@pytest.fixture
async def conn(database_url: str) -> Any:
    async with await connect(database_url, name="test") as connection:
        yield connection
        await connection.rollback()


async def lists(conn: Connection) -> list[dict[str, Any]]:
    rows = await everything(conn, "SELECT body FROM order_list ORDER BY version")
    return [json.loads(body) for (body,) in rows]


# Opening


async def test_a_breached_month_after_the_deadline_opens_a_case_on_the_track_deadline(conn: Connection) -> None:
    case_id = await open_one(conn)
    document = await case_document(conn, case_id, ["reviewer"])
    assert document["id"] == case_id
    assert (document["site"], document["units"], document["track"]) == ("works", ["S1"], "deadline")
    assert (document["state"], document["opened_at"], document["due"]) == ("detected", "2026-11-20T08:00:00Z", None)
    assert document["actions"] == ["verify", "dismiss"]
    assert [alert["id"] for alert in document["alerts"]] == ["alert-1"]
    (event,) = document["events"]
    assert (event["action"], event["role"], event["actor"], event["number"]) == ("open", "system", "rule stage", 1)
    assert event["numbers"]["alert"]["observed"] == 0.91
    assert event["numbers"]["alert"]["evidence"]["hours_above"] == 60
    assert event["reason"] == "SO2 at DA001 breached 2026-10, after 2025-12-31, without accepted assessment"


async def test_a_case_pins_what_it_began_with_through_edits_of_the_register(conn: Connection) -> None:
    case_id = await open_one(conn)
    await a_works(conn, region=REGION.replace("hours = 3", "hours = 99") + LAW)
    await a_works(conn, site=SITE.replace('name = "Head"', 'name = "Other"'))
    pinned = (await case_document(conn, case_id, []))["pinned"]
    assert pinned["policy"]["lift_after_clean_hours"] == 3
    assert pinned["policy"]["instrument"] == "Hebei, Fictional No. 1, art. 5"
    assert pinned["register"] == {"region": 1, "site": 1, "units": {"S1": 1}, "stacks": {"DA001": 1}}
    assert pinned["packs"] == {PACK: pack(PACK).version}
    assert {item["pollutant"]: item["limit"] for item in pinned["watched"]} == {"pm": 10, "so2": 35, "nox": 50}


async def test_at_an_assessed_site_the_track_is_ule(conn: Connection) -> None:
    await a_works(conn, site=SITE.replace("timezone =", "assessment = { organized = 2026-03-01 }\ntimezone ="))
    await an_alert(conn)
    case_id = await open_case_for_month(conn, "alert-1", now=NOW)
    assert case_id is not None
    assert (await case_document(conn, case_id, []))["track"] == "ule"


async def test_a_month_before_the_deadline_opens_nothing(conn: Connection) -> None:
    await a_works(conn)
    await an_alert(conn, month=datetime(2025, 11, 30, 16, 0, tzinfo=UTC))
    assert await open_case_for_month(conn, "alert-1", now=NOW) is None
    assert await everything(conn, 'SELECT FROM "case"') == []


async def test_the_stage_may_ask_again_and_again_and_there_is_one_case_with_one_record(conn: Connection) -> None:
    case_id = await open_one(conn)
    before = await case_export(conn, case_id)
    for later in range(3):
        assert await open_case_for_month(conn, "alert-1", now=NOW + timedelta(days=later)) == case_id
    assert await case_export(conn, case_id) == before


async def test_a_further_alert_about_the_same_units_joins_as_a_record(conn: Connection) -> None:
    case_id = await open_one(conn)
    await an_alert(conn, "alert-2", pollutant="nox")
    await an_alert(conn, "alert-3", stack="DA002")
    assert await open_case_for_month(conn, "alert-2", now=NOW) == case_id
    other = await open_case_for_month(conn, "alert-3", now=NOW)
    assert other not in (None, case_id)
    document = await case_document(conn, case_id, [])
    assert [event["action"] for event in document["events"]] == ["open", "attach"]
    assert {alert["id"] for alert in document["alerts"]} == {"alert-1", "alert-2"}
    assert document["state"] == "detected"


async def test_after_a_case_has_ended_the_next_alert_opens_another_and_the_old_alert_none(conn: Connection) -> None:
    case_id = await open_one(conn)
    await do(conn, case_id, "dismiss")
    assert await open_case_for_month(conn, "alert-1", now=NOW) == case_id
    await an_alert(conn, "alert-2", pollutant="nox")
    second = await open_case_for_month(conn, "alert-2", now=NOW)
    assert second not in (None, case_id)


async def test_two_that_open_at_once_make_one_case(conn: Connection, database_url: str) -> None:
    await a_works(conn)
    names = [f"alert-{n}" for n in range(6)]
    for name in names:
        await an_alert(conn, name)
    await conn.commit()

    async def opens(name: str) -> str | None:
        async with await connect(database_url, name="test") as mine:
            return await open_case_for_month(mine, name, now=NOW)

    found = await asyncio.gather(*(opens(name) for name in names))
    assert len(set(found)) == 1
    document = await case_document(conn, str(found[0]), [])
    assert len(document["alerts"]) == 6
    assert [event["action"] for event in document["events"]] == ["open", *["attach"] * 5]
    assert document["damage"] is None


async def test_an_alert_that_there_is_not_is_not_found(conn: Connection) -> None:
    with pytest.raises(NotFound):
        await open_case_for_month(conn, "nothing", now=NOW)


async def test_a_person_opens_a_case_on_an_alert_and_gets_the_same_one_again(conn: Connection) -> None:
    await a_works(conn)
    await an_alert(conn, rule="hour_above_limit", month=datetime(2025, 6, 1, tzinfo=UTC))
    first = await open_for_alert(conn, alert_id="alert-1", actor="Li", roles=["reviewer"], now=NOW)
    again = await open_for_alert(conn, alert_id="alert-1", actor="Wu", roles=["decider"], now=NOW)
    assert first == again
    document = await case_document(conn, first, [])
    assert (document["track"], document["events"][0]["role"], document["events"][0]["actor"]) == (
        "ule",
        "reviewer",
        "Li",
    )


async def test_a_person_may_take_up_an_alert_again_whose_case_was_dismissed(conn: Connection) -> None:
    case_id = await open_one(conn)
    await do(conn, case_id, "dismiss")
    again = await open_for_alert(conn, alert_id="alert-1", actor="Li", roles=["reviewer"], now=NOW)
    assert again != case_id
    assert (await case_document(conn, again, []))["state"] == "detected"


async def test_an_alert_of_a_statutory_pack_is_on_the_statutory_track(conn: Connection) -> None:
    await a_works(conn, site=SITE.replace('"cn-steel-ule-2019"', '"cn-steel-ule-2019", "cn-gb28662-special"', 1))
    await an_alert(conn, pack_name="cn-gb28662-special")
    case_id = await open_for_alert(conn, alert_id="alert-1", actor="Li", roles=["reviewer"], now=NOW)
    document = await case_document(conn, case_id, [])
    assert document["track"] == "statutory"
    assert set(document["pinned"]["packs"]) == {"cn-gb28662-special"}


async def test_a_tip_opens_a_case_about_all_units_and_the_next_tip_joins_it(conn: Connection) -> None:
    await a_works(conn)
    first = await open_for_tip(conn, site="works", text="smoke at night", actor="Li", roles=["investigator"], now=NOW)
    second = await open_for_tip(conn, site="works", text="again", actor="Li", roles=["investigator"], now=NOW)
    assert first == second
    document = await case_document(conn, first, [])
    assert (document["track"], document["units"]) == ("evasion", ["K1", "S1"])
    assert [event["numbers"] for event in document["events"]] == [{"tip": "smoke at night"}, {"tip": "again"}]


async def test_a_case_by_hand_is_refused_while_one_is_open_and_names_it(conn: Connection) -> None:
    await a_works(conn)
    case_id = await open_for_site(
        conn, site="works", track="ule", reason="inspection", actor="Li", roles=["decider"], now=NOW
    )
    with pytest.raises(Refused, match=f"{case_id} on the track ule about K1, S1 is open and detected"):
        await open_for_site(conn, site="works", track="ule", reason="x", actor="Li", roles=["decider"], now=NOW)


@pytest.mark.parametrize("role", ["admin", "watch", "operator", "auditor"])
async def test_who_may_not_open_a_case_opens_none(conn: Connection, role: str) -> None:
    await a_works(conn)
    await an_alert(conn)
    with pytest.raises(RoleMissing):
        await open_for_alert(conn, alert_id="alert-1", actor="x", roles=[role], now=NOW)
    with pytest.raises(RoleMissing):
        await open_for_tip(conn, site="works", text="x", actor="x", roles=[role], now=NOW)
    with pytest.raises(RoleMissing):
        await open_for_site(conn, site="works", track="ule", reason="x", actor="x", roles=[role], now=NOW)
    assert await everything(conn, 'SELECT FROM "case"') == []


async def test_bad_requests_to_open_say_what_is_wrong(conn: Connection) -> None:
    await a_works(conn)
    with pytest.raises(BadDocument, match="track: must be one of statutory, evasion, ule, deadline"):
        await open_for_site(conn, site="works", track="x", reason="x", actor="x", roles=["decider"], now=NOW)
    with pytest.raises(BadDocument, match="reason: is required"):
        await open_for_site(conn, site="works", track="ule", reason=" ", actor="x", roles=["decider"], now=NOW)
    with pytest.raises(BadDocument, match="tip: is required"):
        await open_for_tip(conn, site="works", text="", actor="x", roles=["decider"], now=NOW)
    with pytest.raises(NotFound, match="there is no site 'nowhere'"):
        await open_for_tip(conn, site="nowhere", text="x", actor="x", roles=["decider"], now=NOW)


# Acting


async def test_a_case_goes_from_detection_to_the_lift(conn: Connection) -> None:
    case_id = await open_one(conn)
    await walk(conn, case_id, *TO_TRIAL)
    await hours(conn, "ccc", start=TRIAL_AT)
    await do(conn, case_id, "lift", at=TRIAL_AT + timedelta(hours=4))
    document = await case_document(conn, case_id, ["decider"])
    assert document["state"] == "lifted"
    assert document["closed_at"] == "2026-11-20T15:00:00Z"
    assert document["actions"] == []
    assert [event["action"] for event in document["events"]] == ["open", *TO_TRIAL, "lift"]
    assert [event["role"] for event in document["events"]] == [
        "system",
        "investigator",
        "decider",
        "investigator",
        "decider",
        "decider",
    ]
    assert document["damage"] is None


async def test_each_state_has_the_date_by_which_the_law_wants_the_next_act(conn: Connection) -> None:
    case_id = await open_one(conn)
    dues = []
    for n, action in enumerate(TO_TRIAL):
        await do(conn, case_id, action, at=NOW + timedelta(hours=n))
        dues.append((await case_document(conn, case_id, []))["due"])
    assert dues == ["2027-02-18T08:00:00Z", "2026-12-01T09:00:00Z", None, None]


async def test_service_orders_the_unit_to_stop_and_the_trial_ends_the_order(conn: Connection) -> None:
    case_id = await open_one(conn)
    await walk(conn, case_id, "verify", "decide")
    assert await lists(conn) == []
    assert await cases.site_states(conn) == {"works": "operating"}

    await do(conn, case_id, "serve", at=NOW + timedelta(hours=2))
    (issued,) = await lists(conn)
    assert (issued["site"], issued["version"], issued["issued_at"]) == ("works", 1, "2026-11-20T10:00:00Z")
    (order,) = issued["orders"]
    assert (order["case"], order["order"], order["basis"]) == (case_id, "suspend", "Hebei, Fictional No. 1, art. 5")
    assert order["units"] == [{"unit": "S1", "mode": "stop", "value": None}]
    assert (order["effective_from"], order["safe_state_by"], order["until"]) == (
        "2026-11-20T10:00:00Z",
        "2026-11-21T10:00:00Z",
        None,
    )
    assert await cases.site_states(conn) == {"works": "suspended"}

    await do(conn, case_id, "permit_trial", at=TRIAL_AT)
    assert (await lists(conn))[1] == {
        "site": "works",
        "version": 2,
        "issued_at": "2026-11-20T11:00:00Z",
        "orders": [],
    }
    assert await cases.site_states(conn) == {"works": "trial"}
    (shown,) = (await case_document(conn, case_id, []))["orders"]
    assert (shown["order_id"], shown["ended_at"], shown["version"]) == (
        order["order_id"],
        "2026-11-20T11:00:00Z",
        1,
    )

    await hours(conn, "ccc", start=TRIAL_AT)
    await do(conn, case_id, "lift", at=TRIAL_AT + timedelta(hours=4))
    assert len(await lists(conn)) == 2, "nothing was in force any more, so nothing is sent"
    assert await cases.site_states(conn) == {"works": "operating"}


async def test_the_list_owed_to_the_plant_is_committed_with_the_act_or_not_at_all(conn: Connection) -> None:
    case_id = await open_one(conn)
    await walk(conn, case_id, "verify", "decide")
    await act(conn, case_id=case_id, actor="Li", roles=ALL_AGENCY, action="serve", reason="x", now=NOW)
    await conn.rollback()
    assert await everything(conn, "SELECT FROM outgoing") == []
    assert await everything(conn, "SELECT FROM plant_order") == []
    assert (await case_document(conn, case_id, []))["state"] == "decided"

    await do(conn, case_id, "serve")
    row = await one(conn, "SELECT outgoing_id, kind, address, payload, sent_at FROM outgoing")
    body = await one(conn, "SELECT body FROM order_list")
    assert row == ("orders-works-1", "orders", "works/orders", body, None)


async def test_the_deliverer_is_told_when_the_act_commits(conn: Connection, database_url: str) -> None:
    case_id = await open_one(conn)
    await walk(conn, case_id, "verify", "decide")
    async with await connect(database_url, name="listener", autocommit=True) as listener:
        await listener.execute("LISTEN outgoing")
        await do(conn, case_id, "serve")
        told = [notice.channel async for notice in listener.notifies(timeout=10, stop_after=1)]
    assert told == ["outgoing"]


async def test_a_list_always_holds_all_orders_in_force_at_the_site(conn: Connection) -> None:
    first = await open_one(conn)
    await an_alert(conn, "alert-2", stack="DA002")
    second = await open_case_for_month(conn, "alert-2", now=NOW)
    assert second is not None
    await walk(conn, first, "verify", "decide", "serve")
    await walk(conn, second, "verify", "decide", "serve")
    await do(conn, first, "permit_trial")
    in_force = [[unit["unit"] for order in text["orders"] for unit in order["units"]] for text in await lists(conn)]
    assert [sorted(units) for units in in_force] == [["S1"], ["K1", "S1"], ["K1"]]
    assert [text["version"] for text in await lists(conn)] == [1, 2, 3]
    assert (await lists(conn))[2]["orders"][0]["units"][0]["mode"] == "hot_idle"
    assert await cases.site_states(conn) == {"works": "suspended"}


async def test_versions_rise_one_by_one_when_cases_of_one_site_are_served_at_once(
    conn: Connection, database_url: str
) -> None:
    first = await open_one(conn)
    await an_alert(conn, "alert-2", stack="DA002")
    second = await open_case_for_month(conn, "alert-2", now=NOW)
    assert second is not None
    for case_id in (first, second):
        await walk(conn, case_id, "verify", "decide")

    async def serves(case_id: str) -> None:
        async with await connect(database_url, name="test") as mine:
            await do(mine, case_id, "serve")

    await asyncio.gather(serves(first), serves(second))
    issued = await lists(conn)
    assert [text["version"] for text in issued] == [1, 2]
    assert {order["case"] for order in issued[1]["orders"]} == {first, second}


async def test_two_who_act_at_once_do_it_once(conn: Connection, database_url: str) -> None:
    case_id = await open_one(conn)

    async def verifies() -> str:
        async with await connect(database_url, name="test") as mine:
            try:
                await do(mine, case_id, "verify")
            except IllegalTransition:
                return "refused"
            return "done"

    assert sorted(await asyncio.gather(*(verifies() for _ in range(4)))) == ["done", *["refused"] * 3]
    assert len((await case_document(conn, case_id, []))["events"]) == 2


async def test_without_a_legal_instrument_nothing_is_decided_and_nothing_changes(conn: Connection) -> None:
    await a_works(conn, region=REGION + LAW.replace("local_regulation", "plan"))
    await an_alert(conn)
    case_id = await open_case_for_month(conn, "alert-1", now=NOW)
    assert case_id is not None
    await do(conn, case_id, "verify")
    before = await case_export(conn, case_id)
    with pytest.raises(Refused, match=r"no registered legal instrument .*\(a plan cannot create a penalty\)"):
        await do(conn, case_id, "decide")
    assert await case_export(conn, case_id) == before


async def test_service_asks_for_the_instrument_again(conn: Connection) -> None:
    case_id = await open_one(conn)
    await walk(conn, case_id, "verify", "decide")
    await a_works(conn, region=REGION + LAW + "  until = 2026-11-01\n")
    with pytest.raises(Refused, match="in force until 2026-11-01"):
        await do(conn, case_id, "serve")
    assert await lists(conn) == []


async def test_an_instrument_registered_after_the_case_began_can_carry_its_decision(conn: Connection) -> None:
    await a_works(conn, region=REGION)
    await an_alert(conn)
    case_id = await open_case_for_month(conn, "alert-1", now=NOW)
    assert case_id is not None
    await do(conn, case_id, "verify")
    with pytest.raises(Refused, match="Registered: none"):
        await do(conn, case_id, "decide")
    await a_works(conn)
    await do(conn, case_id, "decide")
    decision = (await case_document(conn, case_id, []))["events"][-1]
    assert decision["numbers"]["instrument"]["citation"] == "Hebei, Fictional No. 1, art. 5"
    assert decision["numbers"]["alerts"][0]["observed"] == 0.91


async def test_a_case_whose_alerts_were_withdrawn_can_only_be_dismissed(conn: Connection) -> None:
    case_id = await open_one(conn)
    await do(conn, case_id, "verify")
    await conn.execute("UPDATE alert SET state = 'withdrawn'")
    with pytest.raises(Refused, match=r"was withdrawn \(alert-1\)"):
        await do(conn, case_id, "decide")
    await do(conn, case_id, "dismiss")
    assert (await case_document(conn, case_id, []))["state"] == "dismissed"


async def test_a_lift_before_the_clean_hours_is_refused_with_the_figures(conn: Connection) -> None:
    case_id = await open_one(conn)
    await hours(conn, "ccccc", start=TRIAL_AT - timedelta(hours=5))  # before the trial: they count for nothing
    await walk(conn, case_id, *TO_TRIAL)
    await hours(conn, "ccc", start=TRIAL_AT, pollutants=("pm", "nox"))
    await hours(conn, "cBc", start=TRIAL_AT, pollutants=("so2",))
    await hours(conn, "c", start=TRIAL_AT + timedelta(hours=3), final=False)
    await conn.commit()
    with pytest.raises(Refused) as refused:
        await do(conn, case_id, "lift", at=TRIAL_AT + timedelta(hours=5))
    assert str(refused.value) == (
        "not yet clean: SO2 at DA001: 1 of 3 clean hours since the breach of 2026-11-20T12:00:00Z"
    )
    await conn.rollback()
    document = await case_document(conn, case_id, [])
    assert document["state"] == "trial"
    assert document["trial"]["since"] == "2026-11-20T11:00:00Z"
    assert document["trial"]["may_lift"] is False
    assert {item["pollutant"]: item["clean"] for item in document["trial"]["series"]} == {"pm": 3, "so2": 1, "nox": 3}


async def test_an_hour_that_began_before_the_trial_does_not_count_though_it_ended_in_it(conn: Connection) -> None:
    case_id = await open_one(conn)
    await walk(conn, case_id, *TO_TRIAL[:3])
    await do(conn, case_id, "permit_trial", at=TRIAL_AT + timedelta(minutes=1))
    await hours(conn, "ccc", start=TRIAL_AT)
    await conn.commit()
    with pytest.raises(Refused, match="PM at DA001: 2 of 3 clean hours"):
        await do(conn, case_id, "lift", at=TRIAL_AT + timedelta(hours=5))


async def test_a_superseded_verdict_counts_for_nothing(conn: Connection) -> None:
    case_id = await open_one(conn)
    await walk(conn, case_id, *TO_TRIAL)
    await hours(conn, "ccc", start=TRIAL_AT)
    await conn.execute(
        "UPDATE hour_verdict SET superseded_at = now() WHERE pollutant = 'pm' AND start = %s", [TRIAL_AT]
    )
    await conn.commit()
    with pytest.raises(Refused, match=r"^not yet clean: PM at DA001: 2 of 3 clean hours$"):
        await do(conn, case_id, "lift", at=TRIAL_AT + timedelta(hours=5))


async def test_the_hours_a_lift_stood_on_are_copied_into_its_record(conn: Connection) -> None:
    case_id = await open_one(conn)
    await walk(conn, case_id, *TO_TRIAL)
    await hours(conn, "cBuccxc", start=TRIAL_AT)
    await do(conn, case_id, "lift", at=TRIAL_AT + timedelta(hours=8))
    numbers = (await case_document(conn, case_id, []))["events"][-1]["numbers"]
    assert numbers["required"] == 3
    so2 = next(item for item in numbers["series"] if item["pollutant"] == "so2")
    assert [hour["start"][11:16] for hour in so2["hours"]] == ["14:00", "15:00", "17:00"]
    assert {hour["corrected"] for hour in so2["hours"]} == {17.5}
    assert (so2["limit"], so2["clean"], so2["breached"], so2["undecided"], so2["excluded"]) == (35, 3, 1, 1, 1)
    await conn.execute("ALTER TABLE hour_verdict RENAME TO gone")
    assert (await case_document(conn, case_id, []))["events"][-1]["numbers"] == numbers


async def test_a_stack_withdrawn_from_the_register_is_left_out_and_named(conn: Connection) -> None:
    second = SITE.replace('code = "DA002"', 'code = "DA009"').replace('units = ["K1"]', 'units = ["S1"]')
    await a_works(conn, site=second)
    await an_alert(conn)
    case_id = await open_case_for_month(conn, "alert-1", now=NOW)
    assert case_id is not None
    await walk(conn, case_id, *TO_TRIAL)
    await hours(conn, "ccc", start=TRIAL_AT)
    await conn.commit()
    with pytest.raises(Refused, match="DA009: 0 of 3"):
        await do(conn, case_id, "lift", at=TRIAL_AT + timedelta(hours=5))
    await conn.rollback()
    await a_works(conn, site=second[: second.rindex("  [[site.stack]]")])
    await do(conn, case_id, "lift", at=TRIAL_AT + timedelta(hours=5))
    event = (await case_document(conn, case_id, []))["events"][-1]
    assert event["numbers"]["withdrawn_stacks"] == ["DA009"]


async def test_at_a_simulated_site_acts_are_dated_by_its_own_clock(conn: Connection) -> None:
    await a_works(conn, site=SITE.replace("timezone =", "simulated = true\ntimezone ="))
    await an_alert(conn)
    clock = datetime(2026, 10, 30, tzinfo=UTC)
    case_id = await open_case_for_month(conn, "alert-1", now=clock)
    assert case_id is not None
    for days, action in enumerate(TO_TRIAL):
        await conn.execute(
            """INSERT INTO site_clock SELECT site_id, %s FROM site
               ON CONFLICT (site_id) DO UPDATE SET newest = excluded.newest""",
            [clock + timedelta(days=days)],
        )
        await do(conn, case_id, action, at=NOW)
    document = await case_document(conn, case_id, [])
    assert [event["at"] for event in document["events"][1:]] == [
        f"2026-{day}T00:00:00Z" for day in ("10-30", "10-31", "11-01", "11-02")
    ]
    assert {event["recorded_at"] for event in document["events"][1:]} == {"2026-11-20T08:00:00Z"}
    assert document["orders"][0]["effective_from"] == "2026-11-01T00:00:00Z"
    assert document["trial"]["since"] == "2026-11-02T00:00:00Z"


# Refusals


async def test_the_wrong_role_the_wrong_state_and_the_wrong_case_are_three_refusals(conn: Connection) -> None:
    case_id = await open_one(conn)
    before = await case_export(conn, case_id)
    with pytest.raises(RoleMissing):
        await do(conn, case_id, "verify", roles=["admin", "operator"])
    with pytest.raises(IllegalTransition):
        await do(conn, case_id, "lift")
    with pytest.raises(IllegalTransition, match="does not carry it out"):
        await do(conn, case_id, "hold_for_safety")
    with pytest.raises(NotFound):
        await do(conn, "case-000000000000", "verify")
    with pytest.raises(BadDocument, match="action: must be one of"):
        await do(conn, case_id, "open")
    assert await case_export(conn, case_id) == before


@pytest.mark.parametrize(
    ("reason", "evidence", "message"),
    [
        pytest.param(" \n", [], "reason: is required", id="no_reason"),
        pytest.param("a\0b", [], "reason: holds a character", id="a_nul"),
        pytest.param("\ud800", [], "reason: holds a character", id="a_lone_surrogate"),
        pytest.param("x", [float("nan")], "evidence: is no JSON", id="evidence_that_is_nan"),
        pytest.param("x", ["\udfff"], "evidence: is no JSON", id="evidence_that_is_no_text"),
        pytest.param("x", ["y" * 70_000], "evidence: is 70004 bytes, at most 65536", id="too_much_evidence"),
    ],
)
async def test_what_cannot_become_part_of_a_file_is_bad_input(
    conn: Connection, reason: str, evidence: list[Any], message: str
) -> None:
    case_id = await open_one(conn)
    with pytest.raises(BadDocument, match=message):
        await do(conn, case_id, "verify", reason=reason, evidence=evidence)


async def test_evidence_and_reason_are_kept_as_given(conn: Connection) -> None:
    case_id = await open_one(conn)
    evidence: list[Any] = ["report 7", {"sha256": "00", "value": 0.1}, None, "a\u0000b"]
    await do(conn, case_id, "verify", reason="  核实 \n", evidence=evidence)
    event = (await case_document(conn, case_id, []))["events"][-1]
    assert (event["reason"], event["evidence"]) == ("核实", evidence)


# History


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE case_event SET reason = 'another'",
        "DELETE FROM case_event",
        "TRUNCATE case_event",
    ],
)
async def test_the_database_refuses_to_rewrite_a_history(conn: Connection, statement: Any) -> None:
    await open_one(conn)
    with pytest.raises(psycopg.errors.RestrictViolation, match="case_event is append-only"):
        await conn.execute(statement)


async def tamper(conn: Connection, statement: Any) -> None:
    """What somebody with all rights on the database could do."""
    await conn.execute("ALTER TABLE case_event DISABLE TRIGGER USER")
    await conn.execute(statement)
    await conn.execute("ALTER TABLE case_event ENABLE TRIGGER USER")
    await conn.commit()


@pytest.mark.parametrize(
    ("statement", "damage"),
    [
        pytest.param(
            "UPDATE case_event SET body = replace(body, 'because', 'no reason') WHERE number = 2",
            "record 2: its text does not give its hash",
            id="a_changed_reason",
        ),
        pytest.param(
            "DELETE FROM case_event WHERE number = 2",
            "record 2: does not carry the hash of record 1",
            id="a_removed_record",
        ),
        pytest.param(
            """UPDATE "case" SET pinned = jsonb_set(pinned, '{policy,lift_after_clean_hours}', '1')""",
            "record 1: does not carry the hash of the head of the case",
            id="a_softened_policy",
        ),
    ],
)
async def test_a_rewritten_history_is_shown_as_damaged_and_nobody_builds_on_it(
    conn: Connection, statement: Any, damage: str
) -> None:
    case_id = await open_one(conn)
    await walk(conn, case_id, "verify", "decide")
    await tamper(conn, statement)
    assert (await case_document(conn, case_id, []))["damage"] == damage
    assert faults_of(await case_export(conn, case_id)) == [f"the chain is broken at {damage}"]
    with pytest.raises(Refused, match=f"damaged: {damage}"):
        await do(conn, case_id, "serve")


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE case_event SET body = replace(body, 'SO2', 'PM') WHERE number = 1", id="changed"),
        pytest.param("DELETE FROM case_event WHERE number = 1", id="removed"),
        pytest.param("DELETE FROM case_event", id="emptied"),
    ],
)
async def test_a_damaged_file_does_not_stop_the_rule_stage(conn: Connection, statement: Any) -> None:
    case_id = await open_one(conn)
    await do(conn, case_id, "verify")
    await tamper(conn, statement)
    await an_alert(conn, "alert-2")
    assert await open_case_for_month(conn, "alert-2", now=NOW) == case_id
    document = await case_document(conn, case_id, [])
    assert {alert["id"] for alert in document["alerts"]} == {"alert-1", "alert-2"}
    assert document["damage"] is not None
    with pytest.raises(Refused, match="is damaged"):
        await join_by_hand(conn)


async def join_by_hand(conn: Connection) -> None:
    """A person joining the open case of S1 on its track."""
    await an_alert(conn, "alert-9")
    await open_for_alert(conn, alert_id="alert-9", actor="Li", roles=["reviewer"], now=NOW, track="deadline")


async def test_the_state_in_the_row_is_what_the_records_say_after_every_act(conn: Connection) -> None:
    case_id = await open_one(conn)
    for n, action in enumerate(TO_TRIAL):
        await do(conn, case_id, action, at=NOW + timedelta(hours=n))
        document = await case_document(conn, case_id, [])
        assert document["state"] == document["events"][-1]["after"]


async def test_an_exported_case_is_checked_without_a_database(conn: Connection) -> None:
    case_id = await open_one(conn)
    await walk(conn, case_id, *TO_TRIAL)
    await hours(conn, "ccc", start=TRIAL_AT)
    await do(conn, case_id, "lift", at=TRIAL_AT + timedelta(hours=4))
    exported = json.loads(json.dumps(await case_export(conn, case_id)))
    assert faults_of(exported) == []
    assert [alert["id"] for alert in exported["alerts"]] == ["alert-1"]

    def softened(document: dict[str, Any]) -> None:
        document["state"] = "dismissed"

    def cut(document: dict[str, Any]) -> None:
        document["events"].pop()

    def nothing(document: dict[str, Any]) -> None:
        document["events"].clear()

    def foreign(document: dict[str, Any]) -> None:
        document["format"] = "other"

    changes: list[tuple[Callable[[dict[str, Any]], None], str]] = [
        (softened, "the records lead to lifted, the file says dismissed"),
        (cut, "the records lead to trial, the file says lifted"),
        (nothing, "the chain is broken at record 0"),
        (foreign, "the file is no exported case"),
    ]
    for change, fault in changes:
        document = json.loads(json.dumps(exported))
        change(document)
        assert any(fault in text for text in faults_of(document)), fault


# Reading


async def test_lists_are_newest_first_filtered_scoped_and_paged(conn: Connection) -> None:
    first = await open_one(conn)
    other = SITE.replace('"works"', '"other"')
    await a_works(conn, site=other)
    await an_alert(conn, "alert-2", site="other")
    second = await open_case_for_month(conn, "alert-2", now=NOW + timedelta(hours=1))
    await an_alert(conn, "alert-3", stack="DA002")
    third = await open_case_for_month(conn, "alert-3", now=NOW + timedelta(hours=1))
    await do(conn, first, "verify")

    async def ids(**filters: Any) -> list[str]:
        return [item["id"] for item in await case_documents(conn, ["decider"], **filters)]

    everything_there = await ids()
    assert set(everything_there[:2]) == {second, third}
    assert everything_there[2] == first
    assert await ids(state="verified") == [first]
    assert await ids(site="other") == [second]
    assert await ids(scope=Scope(sites=frozenset({"other"}))) == [second]
    assert await ids(scope=Scope(regions=frozenset({"shanxi"}))) == []

    paged: list[str] = []
    before = None
    while page := await case_documents(conn, [], before=before, limit=1):
        paged.append(page[0]["id"])
        before = (datetime.fromisoformat(page[0]["opened_at"]), page[0]["id"])
    assert paged == everything_there


async def test_a_case_outside_the_scope_is_not_found(conn: Connection) -> None:
    case_id = await open_one(conn)
    scope = Scope(regions=frozenset({"shanxi"}))
    with pytest.raises(NotFound):
        await case_document(conn, case_id, ["decider"], scope=scope)
    with pytest.raises(NotFound):
        await case_export(conn, case_id, scope=scope)


async def test_an_order_shows_which_list_brought_it_and_who_has_seen_it(conn: Connection) -> None:
    case_id = await open_one(conn)
    await walk(conn, case_id, "verify", "decide", "serve")
    (order,) = (await case_document(conn, case_id, []))["orders"]
    assert (order["version"], order["sent_at"], order["acks"]) == (1, None, [])
    await conn.execute("UPDATE outgoing SET sent_at = %s", [NOW])
    await conn.execute(
        "INSERT INTO order_ack SELECT site_id, 'edge-1', %s, 1, %s, 'shift foreman', now() FROM site",
        [order["order_id"], NOW],
    )
    (order,) = (await case_document(conn, case_id, []))["orders"]
    assert order["sent_at"] == "2026-11-20T08:00:00Z"
    assert order["acks"] == [{"edge": "edge-1", "version": 1, "seen_at": "2026-11-20T08:00:00Z", "by": "shift foreman"}]
