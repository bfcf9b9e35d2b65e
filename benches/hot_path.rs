//! What the hot path costs: record, pick, trip check, breach, sanitise, evidence, and a whole request through the proxy on loopback.

// Each bench uses a part of the support.
#[expect(dead_code, reason = "what only the other bench uses")]
mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method, Request};
use portcullis::domain::outcome::Role;
use portcullis::domain::route::{Asked, Rule};
use portcullis::domain::split::Draw;
use portcullis::domain::stats::censored::CensoredExceedance;
use portcullis::domain::stats::chained::{Block, ChainedBlocks};
use portcullis::domain::stats::counts::Counts;
use portcullis::domain::stats::exceedance::log_e_breach;
use portcullis::domain::stats::two_arm::{Comparison, Guess, TwoArm};
use portcullis::domain::time::Timestamp;
use portcullis::proxy::sanitise::{self, Outgoing, Peer, Policy, WireNotes};
use portcullis::seam::clock::Clock;
use portcullis::seam::recorder::Recorder;
use portcullis::seam::report;
use portcullis::seam::routes::Routes;
use portcullis::seam::sample::Sample;
use portcullis::seam::table::{Epoch, Route, Table};
use portcullis::seam::tripwire::{Tables, Trial};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use support::client::Client;
use support::plane::Plane;
use support::upstream::{Manner, Upstream};

const LIMIT: Duration = Duration::from_secs(1);
const HOST: &str = "carts.sockshop.localhost";

fn armed(weight: &str) -> Arc<Epoch> {
    let nobody = ([127, 0, 0, 1], 9).into();
    support::epoch(1, &support::version("v1", nobody), &support::version("v2", nobody), weight, LIMIT)
}

/// An epoch that gives its canary nothing but probes, of which the first has been taken.
fn probing() -> Epoch {
    let mut epoch = Arc::into_inner(armed("10%")).expect("one owner");
    epoch.canary.as_mut().expect("a canary").probe_spacing = Some(Duration::from_millis(500));
    let probing = Epoch::new(epoch.service, 1, 1, epoch.stable, epoch.canary, Timestamp::NEVER);
    assert_eq!(probing.pick(Role::Canary, Timestamp::from_nanos(1)), Role::Canary);
    probing
}

fn alone() -> Arc<Epoch> {
    let v1 = support::version("v1", ([127, 0, 0, 1], 9).into());
    Arc::new(Epoch::new("carts".parse().expect("a name"), 0, 1, v1, None, Timestamp::NEVER))
}

/// A request's whole measurement, the handing over of what was seen included.
fn record(c: &mut Criterion) {
    let cases = [
        ("record: stable, nothing on trial", Role::Stable, alone()),
        ("record: stable beside a canary", Role::Stable, armed("50%")),
        ("record: canary", Role::Canary, armed("50%")),
    ];
    for (name, role, epoch) in cases {
        let (sender, reports) = report::channel();
        let (clock, mut recorder) = (Clock::start(), Recorder::new(0, sender));
        let books = recorder.open(&epoch);
        let mut count = 0_u32;
        c.bench_function(name, |b| {
            b.iter(|| {
                let mut sample = Sample::begin(&books, clock, role, clock.now(), 7);
                sample.head(black_box(200));
                black_box(sample.complete());
                count = count.wrapping_add(1);
                if count.is_multiple_of(4096) {
                    recorder.report(clock.now());
                    reports.try_iter().for_each(|report| drop(black_box(report)));
                }
            });
        });
    }
}

fn asked<'a>(host: &'a str, path: &'a str, headers: &'a HeaderMap) -> Asked<'a> {
    Asked { host, method: &Method::GET, path, query: None, headers }
}

/// Finding the route of a request among few and many: a tenth are hosts, each with prefixes, templates and exact paths.
fn route(c: &mut Criterion) {
    let epoch = armed("10%");
    for count in [1_usize, 10, 1_000, 10_000] {
        let rules: Vec<Rule> = (0..count)
            .map(|number| {
                let path = match number % 10 {
                    0..4 => format!("/area-{number}/carts"),
                    4..8 => format!("/area-{number}/{{id}}/items"),
                    _ => format!("=/area-{number}/health"),
                };
                Rule {
                    path: path.parse().expect("a path"),
                    ..Rule::for_host(format!("shop-{}.example.com", number / 10).parse().expect("a host"))
                }
            })
            .collect();
        let routes = rules.into_iter().map(|rule| Route::new([rule], Arc::clone(&epoch))).collect();
        let (table, headers) = (Table::new(1, routes), HeaderMap::new());
        // Asked in turn, so that not always the same part of the index is at hand.
        let wanted: Vec<(String, String)> = (0..1_000)
            .map(|turn| turn * 7_919 % count)
            .map(|number| {
                let path = match number % 10 {
                    0..4 => format!("/area-{number}/carts/17"),
                    4..8 => format!("/area-{number}/17/items"),
                    _ => format!("/area-{number}/health"),
                };
                (format!("shop-{}.example.com", number / 10), path)
            })
            .collect();
        let mut turn = wanted.iter().cycle();
        c.bench_function(&format!("route: one of {count}"), |b| {
            b.iter(|| {
                let (host, path) = turn.next().expect("a cycle");
                let found = table.route(&asked(black_box(host), black_box(path), &headers));
                assert!(matches!(found, Ok(Some(_))));
                found
            });
        });
    }
}

/// Table, route, draw and pick, as a worker does them.
fn pick(c: &mut Criterion) {
    let routes = Routes::default();
    routes.publish(support::table(1, &armed("10%")));
    let (mut reader, mut rng, headers) = (routes.reader(), SmallRng::seed_from_u64(7), HeaderMap::new());
    let mut draw = Draw::new(rng.random());
    let now = Timestamp::from_nanos(1);
    c.bench_function("pick: load, route, draw, pick", |b| {
        b.iter(|| {
            let table = reader.load();
            let index = table.route(&asked(black_box(HOST), "/carts/1/items", &headers)).ok().flatten().unwrap_or_default();
            let epoch = table.routes.get(index).map(|route| &route.epoch).expect("the route");
            let weight = epoch.canary.as_ref().map(|canary| canary.weight).unwrap_or_default();
            let drawn = draw.next(weight, rng.random());
            black_box(epoch.pick(drawn, now))
        });
    });
    let epoch = armed("10%");
    c.bench_function("trip check: a canary pick of an armed epoch", |b| {
        b.iter(|| black_box(&epoch).pick(black_box(Role::Canary), black_box(now)));
    });
    let probes = probing();
    c.bench_function("trip check: a canary pick where no probe is due", |b| {
        b.iter(|| black_box(&probes).pick(black_box(Role::Canary), black_box(now)));
    });
}

/// One breach that does not trip.
fn breach(c: &mut Criterion) {
    const ENTRIES: u64 = 60_000;
    for (name, min_clients) in [("breach: both counts compared, not tripped", 1), ("breach: the same with the clients known", 8)] {
        c.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                let (mut left, mut spent) = (iterations, Duration::ZERO);
                while left > 0 {
                    let table: Box<[u64]> = vec![0; 60_000].into();
                    let trial = Trial::new(vec![Tables { cumulative: table.clone(), step: table }], min_clients);
                    let round = left.min(ENTRIES);
                    let start = Instant::now();
                    for seq in 1..=round {
                        black_box(trial.breach(black_box(0), seq, seq % 8, false));
                    }
                    spent += start.elapsed();
                    left -= round;
                }
                spent
            });
        });
    }
}

/// The head of an ordinary request of a browser behind nobody, cleaned and written for its version.
fn clean(c: &mut Criterion) {
    let request = Request::get("/carts/1/items?sort=price")
        .header("host", HOST)
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
        .header("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
        .header("accept-language", "en-US,en;q=0.5")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .header("cookie", "session=0123456789abcdef; theme=dark")
        .header("connection", "keep-alive")
        .body(())
        .expect("a request");
    let (head, ()) = request.into_parts();
    let peer = Peer::new(([127, 0, 0, 1], 40_000).into(), 8080, &[]);
    let policy = Policy::new(true, "portcullis-bench");
    c.bench_function("sanitise and write: a browser's request", |b| {
        b.iter_batched(
            || head.clone(),
            |mut head| {
                let clean = sanitise::request(&mut head, WireNotes::default(), &peer, &policy).expect("a clean request");
                Outgoing::new(head, clean.framing, &peer, &policy)
            },
            BatchSize::SmallInput,
        );
    });
}

/// The evidence of the controller's tick, beside the path but on the same machine.
fn evidence(c: &mut Criterion) {
    for n in [3, 10_000, 1_000_000] {
        c.bench_function(&format!("evidence: breach test after {n} requests"), |b| {
            b.iter(|| log_e_breach(black_box(n), black_box(3 + n / 20), black_box(0.05)));
        });
    }
    let block = |index| Block { index, p0: None, canary: Counts::new(20, 2), stable: Counts::new(180, 9) };
    let mut chained = ChainedBlocks::new(0.05, 5).expect("a share");
    for index in 0..100 {
        chained.update(&block(index)).expect("blocks in order");
    }
    let open: Vec<Block> = (100..108).map(block).collect();
    c.bench_function("evidence: chained peek over 8 open blocks", |b| b.iter(|| chained.peek(black_box(&open))));
    let mut two_arm = TwoArm::new(Comparison::Ratio(1.1), Guess::of(0.05)).expect("a margin");
    c.bench_function("evidence: two-arm update", |b| {
        b.iter(|| two_arm.update(black_box(0.1), black_box(Counts::new(20, 1)), black_box(Counts::new(180, 9))));
    });
    let mut censored = CensoredExceedance::new(0.05).expect("a share");
    c.bench_function("evidence: one request of an error gate, 1 of 20 a breach, 4 096 in flight", |b| {
        b.iter(|| {
            let seq = censored.start();
            if seq.is_multiple_of(20) {
                censored.breach(seq);
            }
            // A breach was reported before, and stands.
            black_box(censored.good(seq.saturating_sub(4096)))
        });
    });
}

/// One request at a time over kept connections; the same without the proxy says what the network and the upstream take.
fn whole_request(c: &mut Criterion) {
    let clock = Clock::start();
    let (stable, canary) = (Upstream::start(clock, Manner::Fast), Upstream::start(clock, Manner::Fast));
    let (stable, canary) = (stable.expect("an upstream"), canary.expect("an upstream"));
    let plane = Plane::start(clock, 1).expect("a data plane");
    let (v1, v2) = (support::version("v1", stable.address), support::version("v2", canary.address));
    plane.routes.publish(support::table(1, &support::epoch(1, &v1, &v2, "10%", LIMIT)));
    let mut through = Client::connect(*plane.addresses.first().expect("one worker")).expect("a connection");
    let mut direct = Client::connect(stable.address).expect("a connection");
    for (name, client) in [("request: straight to the upstream", &mut direct), ("request: through the proxy", &mut through)] {
        c.bench_function(name, |b| {
            b.iter(|| {
                assert_eq!(client.get().expect("an answer"), 200);
                // What waits in the channel is read here, since no controller runs.
                while plane.reports.try_recv().is_ok() {}
            });
        });
    }
    assert!(canary.arrivals().0 > 0, "the canary had its share");
    drop(through);
    plane.stop();
}

criterion_group!(benches, record, route, pick, breach, clean, evidence, whole_request);
criterion_main!(benches);
