"""Reads what `/metrics` answered in the course of a run with the parser of Prometheus' client
library; then compares the last answer, after the end, with the ledger, figure by figure."""

import json
import sys
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

folder = Path(sys.argv[1])
before, growing = {}, 0
for file in sorted(folder.glob("*.txt")):
    now, kinds = {}, {}
    for family in text_string_to_metric_families(file.read_text()):
        assert family.documentation.endswith("."), f"{family.name}: {family.documentation!r}"
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in now, f"{file.name}: {key} twice"
            now[key], kinds[key] = sample.value, family.type
    for key, value in before.items():
        if kinds.get(key) == "counter":
            assert now[key] >= value, f"{file.name}: {key} went back from {value} to {now[key]}"
            growing += now[key] > value
        assert key in now or not key[0].endswith("_total"), f"{file.name}: {key} is gone"
    before = now
assert growing > 20, "the counters stand still"
assert before.pop(("ringmill_running", frozenset())) == 0, "the last answer came before the end"

ledger, equal = json.loads((folder / "ledger.json").read_text()), 0


def check(value, name, **labels):
    """The metric of this name and labels has this value; none stands for 0."""
    global equal
    labels = {label: str(text) for label, text in labels.items()}
    found = before.pop((f"ringmill_{name}", frozenset(labels.items())), 0)
    assert abs(found - value) <= 1e-9 * max(1, abs(value)), f"{name} {labels}: {found}, not {value}"
    equal += 1


def done(what, fields):
    """Every figure was looked at."""
    assert not fields, f"{what} has figures without a metric: {fields}"


for number, worker in enumerate(ledger.pop("workers")):
    for stage, reasons in worker.pop("dropped").items():
        for reason, count in reasons.items():
            check(count, "dropped_packets_total", worker=number, stage=stage, reason=reason)
    check(worker.pop("received"), "received_packets_total", worker=number)
    check(worker.pop("bytes"), "received_bytes_total", worker=number)
    check(worker.pop("passed"), "passed_packets_total", worker=number)
    check(worker.pop("polls"), "worker_polls_total", worker=number)
    check(worker.pop("busy_polls"), "worker_busy_polls_total", worker=number)
    done("a worker", worker)
for stage in ledger.pop("stages"):
    name = stage.pop("stage")
    for figure in ("rows_in", "rows_out", "rows_failed"):
        check(stage.pop(figure), f"stage_{figure}_total", stage=name)
    for event, count in stage.pop("counters"):
        check(count, "stage_events_total", stage=name, event=event)
    cost = stage.pop("cost")
    check(cost.pop("sampled_packets"), "stage_sampled_packets_total", stage=name)
    for figure in ("sampled", "records", "ticks"):
        check(cost.pop(f"{figure}_ns") / 1e9, f"stage_{figure}_seconds_total", stage=name)
    check(cost.pop("ns_per_packet") / 1e9, "stage_packet_cost_seconds", stage=name)
    check(stage.pop("bypassed", 0), "stage_bypassed_workers", stage=name)
    check("error" in stage and bool(stage.pop("error")), "stage_failed", stage=name)
    stage.pop("ended", None)
    done("a cost", cost)
    done("a stage", stage)
# What a reload has ended counts with what took its place.
sinks = {}
for sink in ledger.pop("sinks"):
    if sink.pop("ended", None) is None:
        sinks[sink["sink"]] = sink
        continue
    if sink["sink"] not in sinks:
        sinks[sink["sink"]] = {**sink, "spilled": 0, "error": None}
        continue
    whole = sinks[sink["sink"]]
    for figure in ("rows", "recovered", "acknowledged", "through_spill", "retries", "circuit_opened"):
        whole[figure] += sink[figure]
    for figure in ("dropped", "dead_lettered"):
        for reason, count in sink[figure].items():
            whole[figure][reason] = whole[figure].get(reason, 0) + count
    counters = dict(whole["counters"])
    for event, count in sink["counters"]:
        counters[event] = counters.get(event, 0) + count
    whole["counters"] = list(counters.items())
reloads = ledger.pop("reloads", {"done": 0, "refused": 0, "longest_pause": 0})
check(reloads.pop("done"), "reloads_total")
check(reloads.pop("refused"), "reloads_refused_total")
check(reloads.pop("longest_pause") / 1e9, "reload_longest_pause_seconds")
if "last" in reloads:
    check(reloads.pop("last") / 1e9, "last_reload_time_seconds")
reloads.pop("last_refused", None)
done("the reloads", reloads)
for name, sink in sinks.items():
    sink.pop("sink")
    check(sink.pop("rows"), "sink_rows_total", sink=name)
    for figure in ("recovered", "acknowledged", "through_spill"):
        check(sink.pop(figure), f"sink_{figure}_rows_total", sink=name)
    for figure in ("retries", "circuit_opened"):
        check(sink.pop(figure), f"sink_{figure}_total", sink=name)
    for figure in ("dropped", "dead_lettered"):
        for reason, count in sink.pop(figure).items():
            check(count, f"sink_{figure}_rows_total", sink=name, reason=reason)
    for event, count in sink.pop("counters"):
        check(count, "sink_events_total", sink=name, event=event)
    check(sink.pop("spilled"), "sink_spilled_rows", sink=name)
    check(sink.pop("error") is not None, "sink_failed", sink=name)
    check(0, "sink_pending_rows", sink=name)
    done("a sink", sink)
inputs = ledger.pop("inputs")
check(sum(one["packets"] for one in inputs), "input_packets_total")
check(sum(one["filtered"] for one in inputs), "input_filtered_packets_total")
check(sum(one["tail_bytes"] for one in inputs), "input_tail_bytes_total")
check(sum(one["complete"] for one in inputs), "inputs_complete_total")
check(sum(one["failed"] for one in inputs), "inputs_failed_total")
check(ledger.pop("rows"), "rows_total")
check(ledger.pop("stopped"), "stopped")
check(len(ledger.pop("imbalances")), "imbalances")
done("the ledger", ledger)
print(f"{equal} figures equal, {growing} times a counter had grown")
