//! Claims about the exposition: exact figures, bounded series, only labels from configuration.

use super::*;
use crate::control::status::RolloutStatus;
use crate::control::status::TotalsKey;
use crate::domain::gate::criterion::Unit;
use crate::domain::gate::{Origin, Verdict};
use crate::domain::judge::GateStatus;
use crate::domain::observation::Observation;
use crate::domain::outcome::{Failure, Outcome};
use crate::domain::version::Version;
use crate::domain::weight::Weight;
use crate::proxy::scan::Flood;
use crate::telemetry::figures::SERIES;
use crate::telemetry::versions::MOST;

#[cfg(test)]
#[path = "exposition_reach_tests.rs"]
mod reaches;
#[cfg(test)]
#[path = "exposition_samples_tests.rs"]
mod samples;

use samples::{reach, way_back};

fn version(name: &str) -> Version {
    Version::new(name.parse().unwrap(), vec!["127.0.0.1:1".parse().unwrap()])
}

fn gate(name: &str) -> GateStatus {
    GateStatus {
        gate: name.to_owned(),
        origin: Origin::Written,
        verdict: Verdict::Inconclusive,
        requests: 20,
        breaches: 2,
        log_e: 1.5,
        log_threshold: 6.25,
        basis: None,
        unit: Unit::Share,
        value: Some(0.1),
        limit: Some(0.05),
        lower: None,
        upper: None,
        brake_log_e: 0.5,
        brake_log_threshold: 7.0,
        confirm_log_e: 0.0,
        confirm_log_threshold: None,
        needs: Some(80),
        awaits_stable: None,
    }
}

fn service(phase: Option<Phase>, basis_points: u16) -> ServiceStatus {
    let rollout = phase.map(|phase| RolloutStatus {
        id: 1,
        stable: version("0.8.1"),
        canary: version("0.8.2"),
        phase,
        step: 0,
        steps: 3,
        weight: Weight::from_basis_points(basis_points).unwrap(),
        generation: 2,
        actor: None,
        warned: false,
        reason: "because".to_owned(),
        evidence: None,
        gates: [gate("p95 < 1 s"), gate("errors < 1%")].into(),
        file: None,
        needs: None,
        needs_seconds: None,
        held_seconds: None,
        warm_up_seconds: None,
        plan: None,
        policy: None,
        rate: 0.0,
        brakes: 0,
        canary_requests: 20,
        trip: None,
        durable: true,
    });
    let owner = if phase == Some(Phase::Promoted) { "0.8.2" } else { "0.8.1" };
    ServiceStatus {
        name: "carts".parse().unwrap(),
        owner: version(owner),
        rollout,
        waits: None,
        rejected: Vec::new(),
        endpoints: Vec::new(),
        way_back: None,
    }
}

fn figures(services: Vec<ServiceStatus>) -> Figures {
    let board = Board::default();
    board.show(Snapshot { services: services.into_iter().map(Arc::new).collect(), ..Snapshot::default() });
    Figures {
        board,
        counters: Arc::default(),
        access_log_dropped: None,
        spans: None,
        pressure: Arc::default(),
        reloads: Arc::default(),
        lockouts: Arc::default(),
        certificates: Vec::new(),
        clock: Clock::start(),
        compat: Compat::default(),
    }
}

fn text(figures: &Figures) -> String {
    Exposition::new(figures.clone()).unwrap().text().unwrap()
}

/// Returns the value of the series that is written exactly like this.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn key(version: &str, role: Role) -> TotalsKey {
    ("carts".to_owned(), version.to_owned(), role)
}

fn seen(role: Role, times_us: &[u64]) -> Observation {
    let mut seen = Observation::new(role);
    for us in times_us {
        seen.decided += 1;
        seen.count(Outcome::Answered(200));
        for latencies in [&mut seen.response_time, &mut seen.duration] {
            latencies.count += 1;
            latencies.sum_ns += us * 1_000;
            latencies.cells.push((*us, 1));
        }
    }
    seen
}

fn series(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with("portcullis_")).count()
}

#[test]
fn counts_and_sums_are_exact_and_buckets_cumulate() {
    let figures = figures(vec![service(Some(Phase::Progressing), 1_000)]);
    let mut seen = seen(Role::Canary, &[4_000, 60_000, 1_000_000, 1_234_567, 61_000_000]);
    seen.count(Outcome::Answered(503));
    seen.count(Outcome::Failed(Failure::ConnectionRefused));
    seen.count(Outcome::Failed(Failure::ClientGone));
    seen.in_flight = 3;
    figures.board.totals().add(&key("0.8.2", Role::Canary), 0, 2, &seen);
    figures.board.totals().add(&key("0.8.2", Role::Canary), 1, 2, &Observation { in_flight: 4, ..Observation::new(Role::Canary) });
    let text = text(&figures);
    let labels = r#"service="carts",version="0.8.2",role="canary""#;
    for (class, count) in [("1xx", 0.0), ("2xx", 5.0), ("3xx", 0.0), ("4xx", 0.0), ("5xx", 1.0), ("error", 1.0), ("aborted", 1.0)] {
        let series = format!("portcullis_requests_total{{{labels},class=\"{class}\"}}");
        assert_eq!(value(&text, &series), Some(count), "{series} in\n{text}");
    }
    assert_eq!(value(&text, &format!("portcullis_requests_in_flight{{{labels}}}")), Some(7.0));
    for name in ["portcullis_response_time_seconds", "portcullis_request_duration_seconds"] {
        assert_eq!(value(&text, &format!("{name}_count{{{labels}}}")), Some(5.0));
        let sum = value(&text, &format!("{name}_sum{{{labels}}}")).unwrap();
        assert!((sum - 63.298_567).abs() < 1e-9, "{sum}");
        for (bound, count) in
            [("0.005", 1.0), ("0.05", 1.0), ("0.075", 2.0), ("0.75", 2.0), ("1", 3.0), ("2.5", 4.0), ("10", 4.0), ("+Inf", 5.0)]
        {
            let series = format!("{name}_bucket{{{labels},le=\"{bound}\"}}");
            assert_eq!(value(&text, &series), Some(count), "{series}");
        }
    }
}

#[test]
fn a_version_that_got_nothing_yet_stands_there_with_zeros() {
    let text = text(&figures(vec![service(Some(Phase::Progressing), 1_000)]));
    for labels in [r#"service="carts",version="0.8.1",role="stable""#, r#"service="carts",version="0.8.2",role="canary""#] {
        assert_eq!(value(&text, &format!("portcullis_requests_total{{{labels},class=\"2xx\"}}")), Some(0.0), "{text}");
        assert_eq!(value(&text, &format!("portcullis_response_time_seconds_count{{{labels}}}")), Some(0.0), "{text}");
    }
}

#[test]
fn shares_sum_to_one_and_exactly_the_current_phase_is_set() {
    let weight = |text: &str, version: &str, role: &str| {
        value(text, &format!("portcullis_split_weight_ratio{{service=\"carts\",version=\"{version}\",role=\"{role}\"}}"))
    };
    let cases = [
        (None, Some(1.0), None, None),
        (Some(Phase::Progressing), Some(0.75), Some(0.25), None),
        (Some(Phase::RolledBack), Some(1.0), Some(0.0), None),
        (Some(Phase::Aborted), Some(1.0), Some(0.0), None),
        (Some(Phase::Promoted), Some(0.0), Some(0.0), Some(1.0)),
    ];
    for (phase, stable, canary, promoted) in cases {
        let text = text(&figures(vec![service(phase, 2_500)]));
        let shares = [weight(&text, "0.8.1", "stable"), weight(&text, "0.8.2", "canary"), weight(&text, "0.8.2", "stable")];
        assert_eq!(shares, [stable, canary, promoted], "{phase:?}");
        for each in Phase::ALL {
            let series = format!("portcullis_rollout_phase{{service=\"carts\",phase=\"{}\"}}", each.as_str());
            assert_eq!(value(&text, &series), Some(if phase == Some(each) { 1.0 } else { 0.0 }), "{phase:?}");
        }
    }
}

#[test]
fn gates_rollbacks_connections_and_the_build_are_told() {
    let mut status = service(Some(Phase::RolledBack), 0);
    let gates = &mut status.rollout.as_mut().unwrap().gates;
    let mean = GateStatus { unit: Unit::Nanoseconds, value: Some(2.5e8), limit: Some(2e9), ..gate("mean < 2 s") };
    let unmeasured = GateStatus { value: None, limit: None, ..gate("unmeasured") };
    let mean = GateStatus { confirm_log_e: 0.75, confirm_log_threshold: Some(8.0), ..mean };
    let more = [gate("p95 < 1 s"), gate("a \"b\"\\\nc"), unmeasured, mean];
    *gates = gates.iter().cloned().chain(more).collect();
    let mut figures = figures(vec![status]);
    figures.access_log_dropped = Some(Arc::new(AtomicU64::new(9)));
    let [sent, full, refused, undelivered] = [16, 17, 18, 19].map(AtomicU64::new);
    figures.spans = Some(Arc::new(SpanCounts { sent, full, refused, undelivered }));
    figures.board.totals().rollbacks.insert("carts".to_owned(), 2);
    let counters = Arc::clone(&figures.counters);
    for (count, value) in [
        (&counters.open, 1),
        (&counters.resting, 9),
        (&counters.accepted, 5),
        (&counters.handed, 4),
        (&counters.rejected, 2),
        (&counters.refused, 3),
    ] {
        count.store(value, Ordering::Relaxed);
    }
    counters.handshakes_failed.store(4, Ordering::Relaxed);
    let choices = &counters.choices;
    let counts = [
        (&choices.forced, 7),
        (&choices.force_refused, 8),
        (&choices.sticky_forged, 10),
        (&choices.mirrored, 11),
        (&choices.mirror_failed, 12),
        (&choices.mirror_dropped, 13),
    ];
    counts.iter().for_each(|(counter, count)| counter.store(*count, Ordering::Relaxed));
    counters.floods[0].store(6, Ordering::Relaxed);
    counters.tunnels.open.store(14, Ordering::Relaxed);
    counters.tunnels.begun[1].store(15, Ordering::Relaxed);
    let intercepted = [&counters.intercepted.begun[2], &counters.intercepted.refused[2], &counters.intercepted.passed];
    intercepted.iter().zip(20..).for_each(|(counter, count)| counter.store(count, Ordering::Relaxed));
    let text = text(&figures);
    let expected = [
        (r#"portcullis_gate_requests{service="carts",gate="p95 < 1 s"}"#, 20.0),
        (r#"portcullis_gate_breaches{service="carts",gate="errors < 1%"}"#, 2.0),
        (r#"portcullis_gate_log_evidence{service="carts",gate="p95 < 1 s",test="pass"}"#, 1.5),
        (r#"portcullis_gate_log_evidence_threshold{service="carts",gate="a \"b\"\\\nc",test="pass"}"#, 6.25),
        (r#"portcullis_gate_log_evidence{service="carts",gate="p95 < 1 s",test="brake"}"#, 0.5),
        (r#"portcullis_gate_log_evidence_threshold{service="carts",gate="p95 < 1 s",test="brake"}"#, 7.0),
        (r#"portcullis_gate_log_evidence{service="carts",gate="mean < 2 s",test="confirm"}"#, 0.75),
        (r#"portcullis_gate_log_evidence_threshold{service="carts",gate="mean < 2 s",test="confirm"}"#, 8.0),
        (r#"portcullis_gate_value{service="carts",gate="p95 < 1 s"}"#, 0.1),
        (r#"portcullis_gate_limit{service="carts",gate="p95 < 1 s"}"#, 0.05),
        (r#"portcullis_gate_value{service="carts",gate="mean < 2 s"}"#, 0.25),
        (r#"portcullis_gate_limit{service="carts",gate="mean < 2 s"}"#, 2.0),
        (r#"portcullis_gate_verdict{service="carts",gate="p95 < 1 s",verdict="inconclusive"}"#, 1.0),
        (r#"portcullis_gate_verdict{service="carts",gate="p95 < 1 s",verdict="pass"}"#, 0.0),
        (r#"portcullis_gate_verdict{service="carts",gate="p95 < 1 s",verdict="fail"}"#, 0.0),
        (r#"portcullis_gate_verdict{service="carts",gate="p95 < 1 s",verdict="warning"}"#, 0.0),
        (r#"portcullis_rollbacks_total{service="carts"}"#, 2.0),
        ("portcullis_connections_open", 1.0),
        ("portcullis_connections_resting", 9.0),
        ("portcullis_connections_accepted_total", 5.0),
        ("portcullis_connections_handed_over_total", 4.0),
        ("portcullis_connections_rejected_total", 2.0),
        ("portcullis_requests_refused_total", 3.0),
        ("portcullis_tls_handshakes_failed_total", 4.0),
        (r#"portcullis_http2_floods_total{kind="ping"}"#, 6.0),
        (r#"portcullis_forced_requests_total{kind="forced"}"#, 7.0),
        (r#"portcullis_forced_requests_total{kind="refused"}"#, 8.0),
        ("portcullis_sticky_forged_total", 10.0),
        (r#"portcullis_mirrored_requests_total{kind="sent"}"#, 11.0),
        (r#"portcullis_mirrored_requests_total{kind="failed"}"#, 12.0),
        (r#"portcullis_mirrored_requests_total{kind="dropped"}"#, 13.0),
        ("portcullis_tunnels_open", 14.0),
        (r#"portcullis_tunnels_total{kind="websocket"}"#, 0.0),
        (r#"portcullis_tunnels_total{kind="tcp"}"#, 15.0),
        (r#"portcullis_intercepted_connections_total{protocol="opaque"}"#, 20.0),
        (r#"portcullis_intercepted_refused_total{reason="loop"}"#, 21.0),
        ("portcullis_intercepted_passed_requests_total", 22.0),
        ("portcullis_access_log_dropped_total", 9.0),
        ("portcullis_trace_spans_sent_total", 16.0),
        (r#"portcullis_trace_spans_dropped_total{reason="full"}"#, 17.0),
        (r#"portcullis_trace_spans_dropped_total{reason="refused"}"#, 18.0),
        (r#"portcullis_trace_spans_dropped_total{reason="undelivered"}"#, 19.0),
        ("portcullis_series_omitted", 0.0),
        (concat!("portcullis_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
    ];
    for (series, expected) in expected {
        assert_eq!(value(&text, series), Some(expected), "{series} in\n{text}");
    }
    let twice = text.lines().filter(|line| line.starts_with(r#"portcullis_gate_requests{service="carts",gate="p95 < 1 s"}"#));
    assert_eq!(twice.count(), 1, "gates of one name are one series");
    for absent in [r#"gate="p95 < 1 s",test="confirm"}"#, r#"gate="unmeasured"}"#] {
        let known: Vec<&str> = text.lines().filter(|line| line.contains(absent) && !line.contains("_requests{")).collect();
        assert!(known.iter().all(|line| line.starts_with("portcullis_gate_breaches")), "what is unknown has no series: {known:?}");
    }
    assert!(value(&text, "process_open_fds").is_some_and(|open| open >= 1.0), "{text}");
}

#[test]
fn of_all_certificates_the_first_to_expire_is_told_and_none_without_tls() {
    const NAME: &str = "portcullis_certificate_expiry_timestamp_seconds";
    let mut figures = figures(Vec::new());
    assert_eq!(value(&text(&figures), NAME), None);
    figures.certificates = [u64::MAX, 1_800_000_000, 1_795_651_200].map(|expiry| Arc::new(expiry.into())).into();
    assert_eq!(value(&text(&figures), NAME), Some(1_795_651_200.0));
    figures.certificates.truncate(1);
    assert_eq!(value(&text(&figures), NAME), None, "what is unknown has no series");
}

#[test]
fn the_decision_grows_old_while_nobody_judges() {
    let figures = figures(Vec::new());
    let exposition = Exposition::new(figures.clone()).unwrap();
    let age = || value(&exposition.text().unwrap(), "portcullis_decision_age_seconds").unwrap();
    let (first, second) = (age(), age());
    assert!(first >= 0.0 && second > first, "{first} {second}");
    let judged_ns = figures.clock.now().as_nanos() + 60_000_000_000;
    figures.board.show(Snapshot { judged_ns, ..Snapshot::default() });
    assert_eq!(age(), 0.0);
}

#[test]
fn labels_are_those_of_the_house_and_none_comes_from_a_request() {
    let figures = figures(vec![service(Some(Phase::Progressing), 1_000)]);
    figures.board.totals().add(&key("0.8.2", Role::Canary), 0, 2, &seen(Role::Canary, &[1]));
    for line in text(&figures).lines().filter(|line| line.starts_with("portcullis_")) {
        let Some((labels, _)) = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')) else { continue };
        for pair in labels.split("\",") {
            let name = pair.split('=').next().unwrap();
            assert!(
                ["service", "version", "role", "class", "gate", "phase", "test", "verdict", "kind", "protocol", "reason", "le"]
                    .contains(&name),
                "{line}"
            );
        }
    }
}

#[test]
fn series_stay_below_the_limit_and_current_versions_are_never_left_out() {
    let figures = figures(vec![service(Some(Phase::Progressing), 1_000)]);
    figures.board.totals().add(&key("0.8.2", Role::Canary), 0, 2, &seen(Role::Canary, &[7]));
    for old in 0..245 {
        // Of one service only the last versions are kept, so each is of its own.
        let key = (format!("service-{old}"), "0.7.0".to_owned(), Role::Canary);
        figures.board.totals().add(&key, 0, 1, &seen(Role::Canary, &[1]));
    }
    let text = text(&figures);
    assert!(series(&text) <= MOST_SERIES + 1, "{}", series(&text));
    assert_eq!(value(&text, "portcullis_series_omitted"), Some(0.0));
    // Of each gate: requests, breaches, value and limit, two tests with their thresholds, and the verdicts.
    let gate_series = 4 + 2 * 2 + Verdict::ALL.len();
    // Besides: forty-one of the process, its floods and what is redirected to it, the rollbacks, two weights, and how many were left out.
    let others =
        25 + 1 + Spoken::ALL.len() + Refused::ALL.len() + 1 + 5 + 2 + Flood::ALL.len() + 1 + 2 + Phase::ALL.len() + 2 * gate_series + 1 + 1;
    assert_eq!(series(&text), (MOST + 1) * SERIES + others, "what there are too many of is shown together");
    assert_eq!(value(&text, r#"portcullis_label_values_over_limit_total{kind="version"}"#), Some(247.0 - MOST as f64));
    let other = r#"portcullis_requests_total{service="other",version="other",role="canary",class="2xx"}"#;
    assert_eq!(value(&text, other), Some(247.0 - MOST as f64), "one request of each");
    assert_eq!(value(&text, r#"portcullis_requests_total{service="carts",version="0.8.2",role="canary",class="2xx"}"#), Some(1.0));
    assert_eq!(value(&text, r#"portcullis_requests_total{service="carts",version="0.8.1",role="stable",class="2xx"}"#), Some(0.0));
}

#[test]
fn counters_never_go_backwards_also_when_a_version_is_no_longer_on_trial() {
    let figures = figures(vec![service(Some(Phase::Progressing), 1_000)]);
    let exposition = Exposition::new(figures.clone()).unwrap();
    let count =
        || value(&exposition.text().unwrap(), r#"portcullis_requests_total{service="carts",version="0.8.2",role="canary",class="2xx"}"#);
    figures.board.totals().add(&key("0.8.2", Role::Canary), 0, 2, &seen(Role::Canary, &[1, 2]));
    assert_eq!(count(), Some(2.0));
    figures.board.show(Snapshot { services: vec![service(None, 0).into()], ..Snapshot::default() });
    assert_eq!(count(), Some(2.0), "an earlier version is still shown while there is room");
    figures.board.totals().add(&key("0.8.2", Role::Canary), 0, 2, &seen(Role::Canary, &[3]));
    assert_eq!(count(), Some(3.0), "requests that ended late count too");
}

#[test]
fn every_metric_is_registered_once_with_a_help_text() {
    let names: BTreeSet<&str> = m::ALL.iter().map(|definition| definition.name).collect();
    assert_eq!(names.len(), m::ALL.len());
    let (endpoints, way_back) = (vec![reach(Role::Stable)], Some(way_back()));
    let reached = ServiceStatus { endpoints, way_back, ..service(Some(Phase::Progressing), 1_000) };
    let encrypted = Figures { certificates: vec![Arc::new(1.into())], spans: Some(Arc::default()), ..figures(vec![reached]) };
    let text = text(&encrypted);
    for definition in m::ALL {
        assert!(text.contains(&format!("# HELP {} {}", definition.name, definition.help)), "{}", definition.name);
    }
    let known = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let ours: BTreeSet<&str> = known.filter(|name| name.starts_with("portcullis_")).collect();
    assert_eq!(ours, names, "nothing is exposed that is not described");
}

#[path = "versions_tests.rs"]
mod versions;
