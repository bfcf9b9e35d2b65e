//! Every metric of this program: its name, its help, its type and its labels.
//!
//! Labels hold what the operator configured or commanded (services, versions, gates) and words of fixed sets (role, class,
//! phase, test, verdict); nothing a client sends ever becomes a label.

use prometheus::core::Desc;
use prometheus::proto::MetricType;

/// One metric family.
pub struct Definition {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: MetricType,
    pub labels: &'static [&'static str],
}

impl Definition {
    /// Describes it to the registry.
    pub fn description(&self) -> prometheus::Result<Desc> {
        let labels = self.labels.iter().map(|label| (*label).to_owned()).collect();
        Desc::new(self.name.to_owned(), self.help.to_owned(), labels, std::collections::HashMap::new())
    }
}

pub(super) const fn define(kind: MetricType, name: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    Definition { name, help, kind, labels }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    define(MetricType::COUNTER, name, labels, help)
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    define(MetricType::GAUGE, name, labels, help)
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    define(MetricType::HISTOGRAM, name, labels, help)
}

const VERSION: &[&str] = &["service", "version", "role"];
const GATE: &[&str] = &["service", "gate"];
const TEST: &[&str] = &["service", "gate", "test"];

pub const REQUESTS: Definition = counter(
    "portcullis_requests_total",
    &["service", "version", "role", "class"],
    "Requests that ended, by status class; error: no complete answer, aborted: the client left.",
);
pub const RESPONSE_TIME: Definition = histogram(
    "portcullis_response_time_seconds",
    VERSION,
    "Time from the request's head read to the response's head sent on; the time that gates judge.",
);
pub const DURATION: Definition =
    histogram("portcullis_request_duration_seconds", VERSION, "Time from the request's head read to the last byte of the response.");
pub const IN_FLIGHT: Definition = gauge("portcullis_requests_in_flight", VERSION, "Requests that have not ended.");
pub const WEIGHT: Definition = gauge("portcullis_split_weight_ratio", VERSION, "Share of new requests, 0 to 1.");
pub const PHASE: Definition =
    gauge("portcullis_rollout_phase", &["service", "phase"], "1 for the phase of the current or last rollout, 0 for the others.");
pub const GATE_REQUESTS: Definition = gauge("portcullis_gate_requests", GATE, "Resolved canary requests since the step began.");
pub const GATE_BREACHES: Definition = gauge("portcullis_gate_breaches", GATE, "Requests among them that violated the gate.");
pub const GATE_VALUE: Definition = gauge(
    "portcullis_gate_value",
    GATE,
    "What the gate measured since the step began: a share of breaches, a mean in seconds or an Apdex score; absent without requests.",
);
pub const GATE_LIMIT: Definition =
    gauge("portcullis_gate_limit", GATE, "What the value is held against, in the same unit; absent while a relative limit is unknown.");
pub const GATE_EVIDENCE: Definition = gauge(
    "portcullis_gate_log_evidence",
    TEST,
    "Natural logarithm of the evidence; test pass: for the version since the step began, brake and confirm: against it.",
);
pub const GATE_THRESHOLD: Definition =
    gauge("portcullis_gate_log_evidence_threshold", TEST, "Natural logarithm of the evidence at which the test decides.");
pub const GATE_VERDICT: Definition =
    gauge("portcullis_gate_verdict", &["service", "gate", "verdict"], "1 for what the gate says of the canary, 0 for the other verdicts.");
pub const ROLLBACKS: Definition = counter("portcullis_rollbacks_total", &["service"], "Rollouts that were rolled back.");
pub const ENDPOINTS: Definition = gauge(
    "portcullis_endpoints",
    &["service", "version", "role", "state"],
    "Endpoints by state; in: gets requests, out: left out for its failures, failing: would be if it were not one too many, unready: fails its check.",
);
pub const UNREACHABLE: Definition =
    gauge("portcullis_version_unreachable", VERSION, "1 while the version has no usable endpoint: a canary gets nothing then.");
pub const STABLE_UNAVAILABLE: Definition =
    gauge("portcullis_stable_unavailable", &["service"], "1 while the version that owns the traffic has no usable endpoint.");
pub const RETRIES: Definition = counter(
    "portcullis_retries_total",
    &["service", "version", "role", "reason"],
    "Second tries of requests; connect: no connection, reset: it ended before the answer, stale: a pooled one had ended, unaffordable: not made, the budget was spent.",
);
pub const RESCUES: Definition =
    counter("portcullis_rescues_total", VERSION, "Requests that the canary failed or held when it tripped, and stable took over.");
pub const VETOES: Definition =
    counter("portcullis_vetoed_requests_total", VERSION, "Requests drawn for a canary without a usable endpoint that went to stable.");
pub const LIMITED: Definition =
    counter("portcullis_limited_requests_total", VERSION, "Requests turned away because the version held as many as it may.");
pub const WAY_BACK_SHED: Definition = counter(
    "portcullis_way_back_shed_requests_total",
    VERSION,
    "Requests refused because the version had got everything back and held as much as it could take.",
);
pub const WAY_BACK_LIMIT: Definition = gauge(
    "portcullis_way_back_in_flight_limit",
    &["service"],
    "How many requests the version that got everything back may hold now; absent where that is not bounded.",
);
pub const WAY_BACK_ROOM: Definition = gauge(
    "portcullis_way_back_room",
    &["service", "room"],
    "1 for whether the owner can take everything, while a canary has a share or as it was when everything came back: enough, unproven, short or unknown.",
);
pub const EJECTIONS: Definition = counter("portcullis_ejections_total", VERSION, "How often an endpoint was left out for its failures.");
pub const DISCOVERY_STALE: Definition = gauge(
    "portcullis_discovery_stale",
    VERSION,
    "1 while the endpoints that a cluster tells of the version cannot be followed: the last that were heard of stay.",
);
pub const DECISION_AGE: Definition = gauge("portcullis_decision_age_seconds", &[], "Time since the controller last judged.");
pub const OPEN: Definition = gauge("portcullis_connections_open", &[], "Client connections that are open.");
pub const RESTING: Definition =
    gauge("portcullis_connections_resting", &[], "Client connections that wait for a request and hold no memory for one.");
pub const ACCEPTED: Definition = counter("portcullis_connections_accepted_total", &[], "Client connections that were accepted.");
pub const HANDED: Definition = counter(
    "portcullis_connections_handed_over_total",
    &[],
    "Client connections that one worker accepted and another one with fewer took.",
);
pub const REJECTED: Definition =
    counter("portcullis_connections_rejected_total", &[], "Client connections that were turned away or could not be accepted.");
pub const REFUSED: Definition =
    counter("portcullis_requests_refused_total", &[], "Requests that were refused before a version was picked.");
pub const HANDSHAKES_FAILED: Definition =
    counter("portcullis_tls_handshakes_failed_total", &[], "TLS handshakes with clients that failed.");
pub const FLOODS: Definition = counter(
    "portcullis_http2_floods_total",
    &["kind"],
    "HTTP/2 connections that were cut off for a flood of cheap frames, by the kind of frame.",
);
pub const PRESSURE: Definition = gauge(
    "portcullis_overload_level",
    &[],
    "0: normal, 1: connections end after their next answer, 2: requests are answered with 503, for want of memory or descriptors.",
);
pub const SHED: Definition =
    counter("portcullis_requests_shed_total", &[], "Requests that were answered with 503 for want of memory or descriptors.");
pub const OVER_SOURCE: Definition = counter(
    "portcullis_connections_over_source_limit_total",
    &[],
    "Client connections that were turned away because their source had as many as it may.",
);
pub const WRONG_TOKENS: Definition = counter("portcullis_admin_wrong_tokens_total", &[], "Wrong tokens that came to the admin listener.");
pub const LOCKOUTS: Definition = counter(
    "portcullis_admin_lockouts_total",
    &[],
    "How often the admin listener locked a source out for a while, because of its wrong tokens.",
);
pub const LOCKED_OUT: Definition = counter(
    "portcullis_admin_locked_out_requests_total",
    &[],
    "Requests to the admin listener that were answered with 429, because their source was locked out.",
);
pub const RELOADS: Definition =
    counter("portcullis_config_reloads_total", &["class"], "How often the configuration was read again; class: success or failure.");
pub const RELOAD_GOOD: Definition =
    gauge("portcullis_config_last_reload_successful", &[], "1 unless the last configuration that was read could not be used.");
pub const RELOAD_TIME: Definition = gauge(
    "portcullis_config_last_reload_success_timestamp_seconds",
    &[],
    "When the configuration in force was read or confirmed, in seconds since 1970.",
);
pub const CERTIFICATE_EXPIRY: Definition = gauge(
    "portcullis_certificate_expiry_timestamp_seconds",
    &[],
    "When the first of the listeners' certificates in use expires, in seconds since 1970; absent without TLS.",
);
pub const FORCED: Definition = counter(
    "portcullis_forced_requests_total",
    &["kind"],
    "Requests with a token: forced, or refused and left to the draw because it was forged, had expired or was for something else.",
);
pub const STICKY_FORGED: Definition =
    counter("portcullis_sticky_forged_total", &[], "Cookies that were to keep a user on a version and were not signed here.");
pub const MIRRORED: Definition =
    counter("portcullis_mirrored_requests_total", &["kind"], "Copies of requests: sent, failed of these, or dropped instead of sent.");
pub const TUNNELS_OPEN: Definition =
    gauge("portcullis_tunnels_open", &[], "Client connections that carry WebSocket frames or TCP without HTTP.");
pub const TUNNELS: Definition =
    counter("portcullis_tunnels_total", &["kind"], "Client connections that began to carry WebSocket frames or TCP without HTTP.");
pub const INTERCEPTED: Definition = counter(
    "portcullis_intercepted_connections_total",
    &["protocol"],
    "Redirected connections by what their clients speak: http1, http2, or opaque, which goes where it was going.",
);
pub const INTERCEPTED_REFUSED: Definition = counter(
    "portcullis_intercepted_refused_total",
    &["reason"],
    "Redirected connections not carried on: called direct, to a listener of our own, in a loop, or to where nobody is (unreachable).",
);
pub const INTERCEPTED_PASSED: Definition = counter(
    "portcullis_intercepted_passed_requests_total",
    &[],
    "Requests on redirected connections that no service answers, passed on to where they were going and not judged.",
);
pub const DROPPED: Definition =
    counter("portcullis_access_log_dropped_total", &[], "Lines of the access log that were dropped instead of waiting.");
pub const SPANS_SENT: Definition =
    counter("portcullis_trace_spans_sent_total", &[], "Spans of sampled requests that a collector has taken.");
pub const SPANS_DROPPED: Definition = counter(
    "portcullis_trace_spans_dropped_total",
    &["reason"],
    "Spans that were lost; full: the queue was, refused: by the collector, undelivered: it could not be reached in time.",
);
pub const RUNTIME_WORKERS: Definition =
    gauge("portcullis_runtime_workers", &[], "Threads that carry traffic, each with a runtime of its own.");
pub const RUNTIME_BUSY: Definition = counter(
    "portcullis_runtime_busy_seconds_total",
    &[],
    "Time in which the workers were not parked, over all of them; its rate by the number of workers is how busy they are.",
);
pub const RUNTIME_PARKS: Definition =
    counter("portcullis_runtime_parks_total", &[], "How often a worker had nothing to do, over all of them.");
pub const RUNTIME_TASKS: Definition = gauge("portcullis_runtime_tasks", &[], "Tasks of the workers' runtimes that have not ended.");
pub const OVER_LIMIT: Definition = counter(
    "portcullis_label_values_over_limit_total",
    &["kind"],
    "Values of a label that are shown together as other, because there were as many as may be shown.",
);
pub const OMITTED: Definition =
    gauge("portcullis_series_omitted", &[], "Series left out of this exposition because of its limit; 0 as a rule.");
pub const BUILD: Definition = gauge("portcullis_build_info", &["version"], "The program's version; always 1.");

/// All of them.
pub const ALL: [&Definition; 63] = [
    &REQUESTS,
    &RESPONSE_TIME,
    &DURATION,
    &IN_FLIGHT,
    &WEIGHT,
    &PHASE,
    &GATE_REQUESTS,
    &GATE_BREACHES,
    &GATE_VALUE,
    &GATE_LIMIT,
    &GATE_EVIDENCE,
    &GATE_THRESHOLD,
    &GATE_VERDICT,
    &ROLLBACKS,
    &ENDPOINTS,
    &UNREACHABLE,
    &STABLE_UNAVAILABLE,
    &RETRIES,
    &RESCUES,
    &VETOES,
    &LIMITED,
    &WAY_BACK_SHED,
    &WAY_BACK_LIMIT,
    &WAY_BACK_ROOM,
    &EJECTIONS,
    &DISCOVERY_STALE,
    &DECISION_AGE,
    &OPEN,
    &RESTING,
    &ACCEPTED,
    &HANDED,
    &REJECTED,
    &REFUSED,
    &HANDSHAKES_FAILED,
    &FLOODS,
    &PRESSURE,
    &SHED,
    &OVER_SOURCE,
    &WRONG_TOKENS,
    &LOCKOUTS,
    &LOCKED_OUT,
    &RELOADS,
    &RELOAD_GOOD,
    &RELOAD_TIME,
    &CERTIFICATE_EXPIRY,
    &FORCED,
    &STICKY_FORGED,
    &MIRRORED,
    &TUNNELS_OPEN,
    &TUNNELS,
    &INTERCEPTED,
    &INTERCEPTED_REFUSED,
    &INTERCEPTED_PASSED,
    &DROPPED,
    &SPANS_SENT,
    &SPANS_DROPPED,
    &RUNTIME_WORKERS,
    &RUNTIME_BUSY,
    &RUNTIME_PARKS,
    &RUNTIME_TASKS,
    &OVER_LIMIT,
    &OMITTED,
    &BUILD,
];
