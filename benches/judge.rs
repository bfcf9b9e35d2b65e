//! How long the judge takes for a tenth of a second of traffic: its events and its tick, at ten thousand requests a second.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis::domain::error_kinds::ErrorKinds;
use portcullis::domain::gate::criterion::{Criterion as Line, Ratio, Share, Slack, Timing};
use portcullis::domain::gate::{Gate, Policy};
use portcullis::domain::judge::{Arm, Judge, WireCount};
use portcullis::domain::start_order::{Course, Fate};
use portcullis::domain::time::Timestamp;

/// Requests a second, over both arms.
const RATE: u64 = 10_000;
/// Nanoseconds from tick to tick.
const TICK: u64 = 100_000_000;

fn gates() -> Vec<Gate> {
    let timing = Timing::ResponseTime;
    let one_percent = Share::from_ppm(10_000).expect("a share");
    let lines = [
        Line::Latency { share: Share::FIVE_PERCENT, limit: Duration::from_secs(1), timing },
        Line::Errors { share: one_percent, kinds: ErrorKinds::DEFAULT },
        Line::Mean { limit: Duration::from_millis(300), timing },
        Line::Apdex { satisfied: Duration::from_millis(250), loss: Share::from_ppm(100_000).expect("a share") },
        Line::RelativeLatency { share: Share::FIVE_PERCENT, ratio: Ratio::from_thousandths(1_100).expect("a ratio"), timing },
        Line::RelativeErrors { kinds: ErrorKinds::DEFAULT, slack: Slack::Plus(one_percent) },
    ];
    lines.into_iter().map(Gate::written).collect()
}

/// Traffic of which every thousandth request fails and, where `hang` says so, every hundredth never ends.
struct Traffic {
    judge: Judge,
    now: u64,
    seqs: [u64; 3],
    ends: std::collections::VecDeque<(Arm, u64, Duration, Fate)>,
    weight: u64,
    hang: bool,
}

impl Traffic {
    fn new(weight: u64, hang: bool) -> Self {
        let policy = Policy { alpha: 1e-9, alpha_brake: 1e-9, ..Policy::default() };
        let mut judge = Judge::new("v2".parse().expect("a name"), &gates(), &policy, 5);
        judge.epoch(1, Some(format!("{weight}%").parse().expect("a weight")));
        Self { judge, now: 0, seqs: [0; 3], ends: std::collections::VecDeque::new(), weight, hang }
    }

    /// Reports a tenth of a second and judges; returns what each of both took.
    fn tick(&mut self) -> (Duration, Duration) {
        let (begun, before) = (Instant::now(), self.ends.len());
        for index in 0..RATE / 10 {
            let offset = index * (TICK / (RATE / 10));
            let at = Timestamp::from_nanos(self.now + offset);
            let (arm, lane) = match index % 100 {
                place if place < self.weight => (Arm::Canary, 0),
                place => (Arm::Stable { worker: (place % 2) as usize }, 1 + (place % 2) as usize),
            };
            let Some(seq) = self.seqs.get_mut(lane) else { continue };
            *seq += 1;
            let latency = Duration::from_micros(20_000 + index * 97 % 80_000);
            let errors = if *seq % 1_000 == 1 { ErrorKinds::SERVER } else { ErrorKinds::NONE };
            let fate = Fate::Measured { latency, duration: latency, errors, unanswered: false };
            let hangs = self.hang && *seq % 100 == 0;
            if arm != Arm::Canary && !hangs && Duration::from_nanos(offset) + latency <= Duration::from_nanos(TICK) {
                // It ends in the report that it begins in, as a worker tells those of the stable version.
                let mut course = Course::begun(at);
                course.end(fate);
                self.judge.took_course(arm, 1, *seq, &course);
                continue;
            }
            self.judge.started(arm, 1, *seq, at);
            if !hangs {
                self.ends.push_back((arm, *seq, latency, fate));
            }
        }
        for (arm, seq, latency, fate) in self.ends.drain(..before) {
            self.judge.answered(arm, seq, latency);
            self.judge.ended(arm, seq, fate);
        }
        self.now += TICK;
        let told = begun.elapsed();
        let begun = Instant::now();
        let judgement = self.judge.tick(Timestamp::from_nanos(self.now), &[WireCount::default(); 2]);
        assert!(judgement.brake.is_none() || self.hang, "healthy traffic is measured: {:?}", judgement.brake);
        (told, begun.elapsed())
    }
}

fn tick(criterion: &mut Criterion) {
    for (name, weight, hang) in [("10 %", 10, false), ("50 %", 50, false), ("50 %, one of a hundred hangs", 50, true)] {
        let mut traffic = Traffic::new(weight, hang);
        // Longer than the longest wait for a request that hangs.
        for _ in 0..700 {
            traffic.tick();
        }
        criterion.bench_function(&format!("judge 100 ms of 10,000 requests/s, events, {name}"), |bencher| {
            bencher.iter_custom(|ticks| (0..ticks).map(|_| traffic.tick().0).sum());
        });
        criterion.bench_function(&format!("judge 100 ms of 10,000 requests/s, tick, {name}"), |bencher| {
            bencher.iter_custom(|ticks| (0..ticks).map(|_| traffic.tick().1).sum());
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    targets = tick
}
criterion_main!(benches);
