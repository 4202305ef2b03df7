"""Each alert fires by its cause, and is quiet afterwards."""

import time

from tools.drill.alerts import CAUSES
from tools.drill.drill import drill
from tools.drill.prometheus import rules
from tools.drill.register import Finding, rehearsal
from tools.faults.harness import Harness


@rehearsal(
    "alerts",
    "Each alert fires by its cause, and stops when the cause is removed",
    expected="it fires, it stops afterwards, and no other alert is left firing",
)
async def each_alert_fires(_harness: Harness) -> Finding:
    finding = Finding()
    async with drill() as running:
        for name in rules():
            begun = time.monotonic()
            try:
                async with CAUSES[name](running):
                    silence = await running.wait_until_firing(name)
                    fired = time.monotonic() - begun
                await running.until_quiet(name)
            except (AssertionError, TimeoutError) as error:
                silence = error
            if silence is not None:
                finding.expect(False, f"{name}: {silence}")  # it has failed
                continue
            finding.note(f"{name} fired after {fired:.0f} s, stopped after {time.monotonic() - begun:.0f} s")
        left = sorted(running.prometheus.firing)
    finding.expect(not left, f"{len(rules())} alerts, left firing: {left}")
    return finding
