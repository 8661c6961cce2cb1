"""The pytest plugin: `stackwatch_site`, a simulated works in a test. Loads nothing else until a test asks for it.

@pytest.mark.stackwatch_site(scenario="faults", seed=7)
def test_my_rule_finds_the_leak(stackwatch_site):
    rows = stackwatch_site.play(days=5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from edge.simulator.played import SimulatedSite

MARKER = "stackwatch_site(scenario='one-stack', site='', seed=None, start=None): which works the fixture plays"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def stackwatch_site(request: pytest.FixtureRequest) -> SimulatedSite:
    """A simulated works that stands at its beginning: see `edge.simulator.played.SimulatedSite`."""
    from edge.simulator.played import SimulatedSite

    marker = request.node.get_closest_marker("stackwatch_site")
    return SimulatedSite(*(marker.args if marker else ()), **(marker.kwargs if marker else {}))
