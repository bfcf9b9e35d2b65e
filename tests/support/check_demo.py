"""Checks the JSON report of the demo against what the demo must show: check_demo.py slow|hang|full FILE."""

import json
import sys

COUNTS = ["requests_sent", "requests_harmed", "requests_failed", "breaches_at_trip", "canary_requests_started_after_trip"]
STAGES = {
    "dev": ["0.8.1", "0.8.2", "0.8.3"],
    "staging": ["0.8.1", "0.8.1", "0.8.3"],
    "production": ["0.8.1", "0.8.1", "0.8.3"],
}
TIMES = ["first_slow_sent_to_trip_ms", "breach_to_trip_us"]


def of_the_test(report, full):
    """Lists what is wrong with how many requests of its performance test the slow version was sent."""
    pipeline = report.get("pipeline", {})
    whole, saved = pipeline.get("test_requests"), pipeline.get("test_requests_saved")
    sent = [artifact["test_requests"] for artifact in pipeline.get("artifacts", []) if artifact["tag"] == "0.8.2"]
    if not isinstance(whole, int) or whole < 100 or len(sent) != 1 or sent[0] + saved != whole:
        yield f"of {whole!r} requests {sent!r} were sent to 0.8.2 and {saved!r} saved"
    elif full and saved != 0:
        yield f"{saved} of {whole} requests were saved, though all were to be sent"
    elif not full and not 0 < sent[0] < whole // 2:
        yield f"{sent[0]} of {whole} requests were sent to 0.8.2, though the gate decides early"


def problems(report, kind):
    """Lists what the report lacks or shows wrong, in sentences."""
    hang = kind == "hang"
    for key in COUNTS + TIMES:
        value = report.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            yield f"{key} must be a number of at least 0, not {value!r}"
            return
    if report.get("rolled_back") not in (True, "0.8.2"):
        yield f"0.8.2 must be rolled back; rolled_back is {report.get('rolled_back')!r}"
    if not isinstance(report.get("verdict"), str) or len(report["verdict"].split()) < 4:
        yield f"verdict must be a sentence, not {report.get('verdict')!r}"
    if report["requests_sent"] < 100:
        yield f"only {report['requests_sent']} requests were sent; that is no load"
    if report["canary_requests_started_after_trip"] != 0:
        yield f"{report['canary_requests_started_after_trip']} requests started on the canary after the trip"
    if not 1 <= report["breaches_at_trip"] <= 20:
        yield f"the trip took {report['breaches_at_trip']} breaches, 1 to 20 are allowed"
    if report["first_slow_sent_to_trip_ms"] > 3000:
        yield f"the trip came {report['first_slow_sent_to_trip_ms']} ms after the first slow request, 3000 are allowed"
    if not hang and report["requests_harmed"] < report["breaches_at_trip"]:
        yield f"{report['requests_harmed']} requests were harmed, fewer than the {report['breaches_at_trip']} breaches"
    if not hang and report["requests_failed"] != 0:
        yield f"{report['requests_failed']} client requests failed, none may"
    if not hang and report.get("promoted") not in (True, "0.8.3"):
        yield f"0.8.3 must be promoted; promoted is {report.get('promoted')!r}"
    stages = report.get("stages")
    if stages != STAGES:
        yield f"the stages must serve {STAGES} after the three artifacts, not {stages!r}"
    yield from of_the_test(report, kind == "full")
    users_of = report.get("pipeline", {}).get("users", {})
    if sorted(users_of) != sorted(STAGES):
        yield f"every stage must have had users, not {sorted(users_of)}"
    for stage, users in users_of.items():
        if users["failed"] != 0 or users["requests"] < 100:
            yield f"{users['failed']} of {users['requests']} requests of ordinary users failed in {stage}; none may, of at least 100"


def main():
    kind, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    found = list(problems(report, kind))
    for problem in found:
        print(f"check_demo: {path}: {problem}", file=sys.stderr)
    if not found:
        print(f"the report of the demo ({kind}) holds: {report['verdict']}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
