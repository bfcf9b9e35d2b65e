"""What is said of the admin API beside schemathesis: which statuses each operation may have, and what the stream of events holds.

Usage: described.py statuses DOCUMENT FILE, described.py harmless DOCUMENT FILE, described.py taken DOCUMENT, or described.py events DOCUMENT ADMIN TOKEN EVENT…"""

import http.client
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import jsonschema_rs

# Seconds until the stream has told everything that it begins with.
PATIENCE = 30
# A follower more than the proxy takes.
FOLLOWERS = 17
# What a well-formed request of whoever may do everything may be refused with: for what is there, and for how things stand.
ELSEWISE = {404, 409, 412, 422}
# What a malformed one may be refused with, one without a token among them; it may also be refused for its method.
MALFORMED = {400, 401, 404, 409, 412, 413, 415, 422, 428}


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def statuses(document, file):
    """Writes for each operation what it may answer, as it is described and not as any operation may."""
    lines = []
    for _, _, operation in operations(document):
        declared = {int(status) for status in operation["responses"]}
        good = {status for status in declared if status < 400}
        lists = {
            "positive_data_acceptance": good | (declared & ELSEWISE),
            "negative_data_rejection": (declared & MALFORMED) | {405},
            "missing_required_header": declared & MALFORMED,
        }
        lines += ["[[operations]]", f"include-operation-id = {json.dumps(operation['operationId'])}"]
        lines += [f"checks.{check}.expected-statuses = {json.dumps(sorted(of))}" for check, of in lists.items()]
    with open(file, "a", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")


def harmless(document, file):
    """Writes the description with endpoints at which nobody listens: whatever is drawn for one is connected to."""
    document["components"]["schemas"]["Endpoint"] = {"enum": ["127.0.0.1:9", "127.0.0.1:19", "[::1]:9", "unix:/nobody"]}
    with open(file, "w", encoding="utf-8") as out:
        json.dump(document, out)


def taken(document):
    """Holds the patterns to values that the proxy takes, as its own tests say, and to some that it does not."""
    ask = lambda text: {"actor": text, "reason": text}
    rollout = lambda endpoint: {"service": "carts", "canary": {"name": "v2", "endpoints": [endpoint]}}
    endpoints = ["10.0.0.11:8080", "[::1]:81", "carts.internal:80", "unix:/run/carts.sock", "kubernetes:shop/carts:http?version=v2"]
    samples = [
        ("Ask", True, map(ask, ["ann", "J\u00f6rg \u00c5", "\u00f8", " a ", "\U0001f642"])),
        ("Ask", False, map(ask, ["", " \u2003", "a\nb", "a\u202eb", "\ufeff", "\u0085", "x" * 501])),
        ("Decision", True, map(ask, ["\u00f8", None])),
        ("Start", True, map(rollout, endpoints)),
        ("Start", False, map(rollout, ["10.0.0.11", "http://carts:80/", "a b:80", "carts:http", "unix:", ""])),
        ("Weight", True, ["0%", "2.5%", "33.33 %", "100%", " 007.10%"]),
        ("Weight", False, ["10", "101%", "1e2%", ".5%", "33.333%", "-1%", "%"]),
        ("Tag", True, ["*", '"3.17.progressing"', '"0", "1"', '""', '\t"0" ,"1"', ", ".join(['"0"'] * 16)]),
        ("Tag", False, ['W/"0"', "0", '*, "0"', '"', "", ", ".join(['"0"'] * 17), '"0",\u00a0"1"', "\u0085*"]),
        ("Uri", True, ["jmeter/load.jmx", "\u00f8 b.yaml", "-a"]),
        ("Uri", False, ["/a", "a/", "a\\b", "a\nb", ""]),
    ]
    for shape, good, values in samples:
        validator = jsonschema_rs.validator_for({"$ref": f"#/components/schemas/{shape}", "components": document["components"]})
        for value in values:
            if validator.is_valid(value) != good:
                sys.exit(f"tests/openapi/described.py: {shape} {'does not take' if good else 'takes'} {value!r}")


class Wrong(Exception):
    """What the description says otherwise."""


def hold(holds, told):
    if not holds:
        raise Wrong(told)


class Stream:
    """A question for the events, with a token."""

    def __init__(self, admin, token, query="", fields=()):
        self.connection = http.client.HTTPConnection(urlsplit(admin).netloc, timeout=PATIENCE)
        self.connection.request("GET", f"/v1/events{query}", headers={"authorization": f"Bearer {token}", **dict(fields)})
        self.answer = self.connection.getresponse()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def events(self):
        """Reads one event after the other: its fields by name."""
        fields = {}
        for line in self.answer:
            text = line.decode("utf-8").rstrip("\n")
            if text == "" and fields:
                yield fields
                fields = {}
            elif text:
                name, _, value = text.partition(": ")
                hold(name in ("event", "id", "data", "retry"), f"a line that is no field of an event: {text[:80]!r}")
                fields[name] = value


def follow(document, admin, token, wanted):
    """Follows until everything that is wanted has come, and holds each event to its shape; returns the ids of transitions."""
    described = document["paths"]["/v1/events"]["get"]["responses"]["200"]
    shapes = {
        event: jsonschema_rs.validator_for({**shape, "components": document["components"]}) for event, shape in described["x-events"].items()
    }
    hold(set(wanted) <= set(shapes), f"{wanted} are not all described; there are {sorted(shapes)}")
    missing, ids = set(wanted), []
    with Stream(admin, token, "?after=0") as stream:
        kind = stream.answer.headers["content-type"]
        hold((stream.answer.status, kind) == (200, *described["content"]), f"{stream.answer.status} with {kind}")
        for event in stream.events():
            if set(event) == {"retry"}:
                continue
            name = event.get("event")
            hold(name in shapes, f"an event that is not described: {name}")
            hold(("id" in event) == (name == "transition"), f"only a transition has an id, and each has: {name}")
            data = json.loads(event["data"])
            wrong = [f"{list(error.instance_path)}: {error.message[:200]}" for error in shapes[name].iter_errors(data)]
            hold(not wrong, f"{name} is not as described: {wrong[:3]}")
            if name == "transition":
                hold(int(event["id"]) == data["sequence"], f"the id {event['id']} of entry {data['sequence']}")
                ids.append(int(event["id"]))
            missing.discard(name)
            if not missing:
                return ids
    raise Wrong(f"the stream ended before {missing}")


def refusals(document, admin, token):
    """Provokes each refusal of the stream that a client can: all of them are problems, and described."""
    described = document["paths"]["/v1/events"]["get"]["responses"]

    def refused(status, question):
        with question as stream:
            kind, text = stream.answer.headers["content-type"], stream.answer.read()
            hold(stream.answer.status == status, f"{stream.answer.status} where {status} was to come: {text[:200]}")
            hold(str(status) in described and [kind] == list(described[str(status)]["content"]), f"{status} with {kind} is not described")
            hold(json.loads(text)["status"] == status, text)

    refused(400, Stream(admin, token, "?after=newest"))
    refused(400, Stream(admin, token, fields=[("last-event-id", "newest")]))
    refused(403, Stream(admin, token, fields=[("sec-fetch-site", "cross-site")]))
    refused(401, Stream(admin, "nobody's"))
    with ThreadPoolExecutor(FOLLOWERS) as pool:
        followers = list(pool.map(lambda _: Stream(admin, token), range(FOLLOWERS)))
    turned_away = [stream for stream in followers if stream.answer.status == 503]
    hold(len(turned_away) == 1, f"{len(turned_away)} of {FOLLOWERS} followers were turned away")
    refused(503, turned_away[0])
    for stream in followers:
        stream.connection.close()


def main(what, document, *arguments):
    with open(document, encoding="utf-8") as file:
        document = json.load(file)
    if what == "statuses":
        return statuses(document, *arguments)
    if what == "harmless":
        return harmless(document, *arguments)
    if what == "taken":
        return taken(document)
    admin, token, *wanted = arguments
    try:
        ids = follow(document, admin, token, wanted)
        hold(ids == sorted(set(ids)), f"transitions come in their order, each once: {ids}")
        with Stream(admin, token, fields=[("last-event-id", str(ids[-1] - 1))]) as stream:
            first = next(event for event in stream.events() if event.get("event") == "transition")
            hold(int(first["id"]) == ids[-1], f"after {ids[-1] - 1} comes {ids[-1]}, not {first['id']}")
        refusals(document, admin, token)
    except Wrong as wrong:
        print(f"tests/openapi/described.py: GET /v1/events: {wrong}", file=sys.stderr)
        return 1
    print(f"{len(ids)} transitions and {', '.join(wanted)} are as described")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
