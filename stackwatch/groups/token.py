"""`token`: who may call the API."""

from __future__ import annotations

from typing import Annotated

import typer

from stackwatch import running
from stackwatch.groups.options import AsJson, Data, DatabaseUrl

app = typer.Typer(help="Bearer tokens of the API.", no_args_is_help=True, rich_markup_mode=None)


@app.command("create")
def token_create(
    role: Annotated[list[str], typer.Option("--role", help="May be given several times.")],
    site: Annotated[list[str] | None, typer.Option("--site", help="Narrow to a site; several times.")] = None,
    region: Annotated[list[str] | None, typer.Option("--region", help="Narrow to a region; several times.")] = None,
    name: Annotated[str | None, typer.Option(help="Who gets it.")] = None,
    expires: Annotated[str | None, typer.Option(help="A time with its offset.")] = None,
    database_url: DatabaseUrl = None,
    data: Data = None,
) -> None:
    """Print a new token, alone on the last line; it is stored hashed and shown this once."""
    from stackwatch.commands import admin

    running.guarded(
        admin.create_token(role, site or [], region or [], name, expires, database_url=database_url, data=data)
    )


@app.command("list")
def token_list(database_url: DatabaseUrl = None, data: Data = None, as_json: AsJson = False) -> None:
    """The tokens there are, without their secrets."""
    from stackwatch.commands import admin

    running.guarded(admin.list_tokens(database_url, data, as_json=as_json))


@app.command("revoke")
def token_revoke(
    token_id: Annotated[int, typer.Argument(help="As `token list` shows it.")],
    database_url: DatabaseUrl = None,
    data: Data = None,
) -> None:
    """End a token."""
    from stackwatch.commands import admin

    running.guarded(admin.revoke_token(token_id, database_url, data))
