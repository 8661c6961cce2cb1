"""`make chaos`: run seeds one after the other, a line each, and tell all of those that fail."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from chaos.plan import Plan, Report
from chaos.run import run
from chaos.schedule import BROKERS, FAULTS, PROFILES, schedule
from chaos.stand import ground
from stackwatch import running


def main() -> int:
    arguments = _arguments()
    if arguments.show:
        for seed in _seeds(arguments):
            _say(f"seed {seed}", *map(str, schedule(seed, PROFILES[arguments.profile], faults=arguments.faults)))
        return 0
    try:
        failed = running.run(_run_all(arguments))  # a signal ends it with its servers and mounts
    except running.Stopped:
        return 1
    if failed:
        _say("", f"{len(failed)} seeds failed:", *(report.plan.command() for report in failed))
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one")
    parser.add_argument("--seeds", type=int, default=20, help="run so many, from --first on")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--profile", choices=PROFILES, default="everything")
    parser.add_argument("--broker", choices=BROKERS, help="the seed chooses")
    parser.add_argument("--faults", type=int, default=FAULTS, help="in one run")
    parser.add_argument("--keep", type=Path, help="folder for the logs of runs that fail")
    parser.add_argument("--show", action="store_true", help="say what would be done, and leave")
    return parser.parse_args()


def _seeds(arguments: argparse.Namespace) -> list[int]:
    first: int = arguments.first
    return [arguments.seed] if arguments.seed is not None else list(range(first, first + arguments.seeds))


async def _run_all(arguments: argparse.Namespace) -> list[Report]:
    failed: list[Report] = []
    for seed in _seeds(arguments):
        plan = Plan(
            seed=seed,
            profile=arguments.profile,
            broker=arguments.broker,
            faults=arguments.faults,
            keep=arguments.keep,
        )
        try:
            async with ground() as on:
                report = await run(on, plan)
        except Exception as error:
            error.add_note(f"Again: {plan.command()}")
            raise
        _say(report.story() if report.faults else report.line())
        if report.faults:
            failed.append(report)
    return failed


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
