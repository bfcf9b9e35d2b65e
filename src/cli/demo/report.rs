//! What the demo measured, and whether that is what it promises.

use std::fs::File;
use std::io::{self, Seek, Write};

use serde::Serialize;

use crate::cli::demo::admin::Rollout;
use crate::cli::demo::pipeline::{self, Pipeline, Stages};
use crate::cli::demo::scene::Counts;
use crate::domain::gate::Verdict;
use crate::domain::rollout::Phase;

/// The most breaches a trip may need.
pub const MOST_BREACHES: u64 = 20;
/// The longest time from the first slow request being sent to the trip, in milliseconds.
pub const LONGEST_TO_TRIP_MS: f64 = 3000.0;

/// Which faulty version the story is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// 0.8.2 answers a POST of an item 1 s late.
    Slow,
    /// 0.8.2 never answers a POST of an item.
    Hang,
}

/// How often the info page was asked for through the proxy, and how often it showed what it must.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pages {
    /// Asked for.
    pub asked: u64,
    /// Answered with the version expected.
    pub as_expected: u64,
}

/// What was measured; what was not is absent. Written as JSON with these names.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether all of it really happened.
    pub ok: bool,
    /// Which faulty version the story is about.
    pub mode: Mode,
    /// Whether 0.8.2 was rolled back, and that is durable.
    pub rolled_back: bool,
    /// Whether 0.8.3 was promoted, and that is durable.
    pub promoted: bool,
    /// Why 0.8.2 was rolled back, by the proxy.
    pub verdict: Option<String>,
    /// Why 0.8.3 was promoted, by the proxy.
    pub promotion: Option<String>,
    /// Client requests sent.
    pub requests_sent: u64,
    /// Client requests that took longer than 1 s or went wrong because of 0.8.2: at most as many as it got POSTs.
    pub requests_harmed: u64,
    /// Client requests beyond those that took longer than 1 s or went wrong while 0.8.2 ran: the machine was busy.
    pub requests_slow_otherwise: u64,
    /// Client requests with a bad answer or none, without those lost to the hang.
    pub requests_failed: u64,
    /// Client requests that 0.8.2 never answered, so that the proxy gave up on them in the end.
    pub requests_lost_to_hang: u64,
    /// The deciding breach was this many breaches.
    pub breaches_at_trip: Option<u64>,
    /// So many of them were still unanswered then.
    pub breaches_unanswered_at_trip: Option<u64>,
    /// The deciding breach was this canary request.
    pub requests_at_trip: Option<u64>,
    /// From the first breaching request being sent on to 0.8.2 to the trip, in milliseconds.
    pub first_slow_sent_to_trip_ms: Option<f64>,
    /// From the deciding breach being evident to the trip, in microseconds.
    pub breach_to_trip_us: Option<f64>,
    /// From the trip to the beginning of the last canary request, in microseconds; negative when that came before.
    pub trip_to_last_canary_request_us: Option<f64>,
    /// Canary requests that began after the trip, by the proxy.
    pub canary_requests_started_after_trip: Option<u64>,
    /// Requests that began on 0.8.2 in all, by the proxy.
    pub canary_requests: Option<u64>,
    /// Requests that arrived at 0.8.2 in all, by its own books.
    pub canary_requests_arrived: Option<u64>,
    /// Requests that arrived at 0.8.2 after the trip, by its own books.
    pub canary_requests_arrived_after_trip: Option<u64>,
    /// POSTs of items that 0.8.2 had answered by the end, by its own books.
    pub canary_posts_answered: Option<u64>,
    /// The info page before 0.8.2 came: v1.
    pub info_page_at_first: Pages,
    /// The info page after the rollback: v1.
    pub info_page_after_rollback: Pages,
    /// The info page after the promotion: v3.
    pub info_page_after_promotion: Pages,
    /// The generation of the rollback.
    pub generation: Option<u64>,
    /// The gate file's own grade of 0.8.2, over the requests that had ended by the trip.
    pub file_verdict: Option<Verdict>,
    /// The generation of the promotion.
    pub promotion_generation: Option<u64>,
    /// The gate file's own grade of 0.8.3 in its last step.
    pub promotion_file_verdict: Option<Verdict>,
    /// From the start of the rollout of 0.8.2 to its durable rollback, in seconds.
    pub rollback_s: Option<f64>,
    /// From the start of the rollout of 0.8.3 to its durable promotion, in seconds.
    pub promotion_s: Option<f64>,
    /// By stage, the version that serves after each of the three artifacts.
    pub stages: Stages,
    /// What else the pipeline has shown.
    pub pipeline: Pipeline,
    /// The whole story, in seconds.
    pub wall_s: f64,
    /// What is not as promised, one sentence each.
    pub problems: Vec<String>,
}

impl Report {
    /// Begins with nothing measured.
    pub fn new(mode: Mode) -> Self {
        Self {
            ok: false,
            mode,
            rolled_back: false,
            promoted: false,
            verdict: None,
            promotion: None,
            requests_sent: 0,
            requests_harmed: 0,
            requests_slow_otherwise: 0,
            requests_failed: 0,
            requests_lost_to_hang: 0,
            breaches_at_trip: None,
            breaches_unanswered_at_trip: None,
            requests_at_trip: None,
            first_slow_sent_to_trip_ms: None,
            breach_to_trip_us: None,
            trip_to_last_canary_request_us: None,
            canary_requests_started_after_trip: None,
            canary_requests: None,
            canary_requests_arrived: None,
            canary_requests_arrived_after_trip: None,
            canary_posts_answered: None,
            info_page_at_first: Pages { asked: 0, as_expected: 0 },
            info_page_after_rollback: Pages { asked: 0, as_expected: 0 },
            info_page_after_promotion: Pages { asked: 0, as_expected: 0 },
            generation: None,
            file_verdict: None,
            promotion_generation: None,
            promotion_file_verdict: None,
            rollback_s: None,
            promotion_s: None,
            stages: Stages::new(),
            pipeline: Pipeline::default(),
            wall_s: 0.0,
            problems: Vec::new(),
        }
    }

    /// Takes over what the proxy says of the rollback.
    pub fn take_rollback(&mut self, rollout: &Rollout) {
        self.rolled_back = rollout.phase == Phase::RolledBack && rollout.durable;
        self.verdict = Some(rollout.evidence.as_ref().map_or_else(|| rollout.reason.clone(), |e| e.sentence.clone()));
        self.breaches_unanswered_at_trip = rollout.evidence.as_ref().map(|e| e.unanswered);
        self.generation = Some(rollout.generation);
        self.file_verdict = rollout.file.as_ref().map(|file| file.verdict);
        self.canary_requests = Some(rollout.canary_requests);
        let Some(trip) = &rollout.trip else { return };
        self.breaches_at_trip = Some(trip.breaches);
        self.requests_at_trip = Some(trip.requests);
        self.first_slow_sent_to_trip_ms = trip.first_breach_started_ns.map(|sent| nanoseconds(sent, trip.tripped_ns) / 1e6);
        self.breach_to_trip_us = Some(nanoseconds(trip.evident_ns, trip.tripped_ns) / 1e3);
        self.trip_to_last_canary_request_us = trip.last_canary_started_ns.map(|last| nanoseconds(trip.tripped_ns, last) / 1e3);
        self.canary_requests_started_after_trip = Some(trip.started_after_trip);
    }

    /// Takes over what the proxy says of the promotion.
    pub fn take_promotion(&mut self, rollout: &Rollout) {
        self.promoted = rollout.phase == Phase::Promoted && rollout.durable;
        self.promotion = Some(rollout.reason.clone());
        self.promotion_generation = Some(rollout.generation);
        self.promotion_file_verdict = rollout.file.as_ref().map(|file| file.verdict);
    }

    /// Takes over what the clients have seen so far.
    pub fn take_counts(&mut self, counts: Counts) {
        self.requests_sent = counts.sent;
        self.requests_failed = (counts.bad + counts.unanswered + counts.abandoned).saturating_sub(self.requests_lost_to_hang);
    }

    /// Ends the report with what is not as promised; `stopped` says why the story broke off, if it did.
    pub fn conclude(&mut self, stopped: Option<String>, wall_s: f64) {
        self.wall_s = wall_s;
        self.problems = stopped.into_iter().collect();
        let broken = self.broken_promises();
        self.problems.extend(broken);
        self.ok = self.problems.is_empty();
    }

    /// Writes the report as JSON over what the file holds.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self, file: &mut File) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut promise = |kept: bool, sentence: &dyn Fn() -> String| {
            if !kept {
                broken.push(sentence());
            }
        };
        let known = |value: Option<u64>| value.map_or_else(|| "an unknown number of".to_owned(), |value| value.to_string());
        promise(self.rolled_back, &|| "0.8.2 was not rolled back for good".to_owned());
        promise(self.breaches_at_trip.is_some_and(|breaches| (1..=MOST_BREACHES).contains(&breaches)), &|| {
            format!("the tripwire took {} breaches, 1 to {MOST_BREACHES} are promised", known(self.breaches_at_trip))
        });
        promise(self.first_slow_sent_to_trip_ms.is_some_and(|ms| (0.0..=LONGEST_TO_TRIP_MS).contains(&ms)), &|| {
            let took = self.first_slow_sent_to_trip_ms.map_or_else(|| "an unknown time".to_owned(), |ms| format!("{ms:.0} ms"));
            format!("the trip came {took} after the first slow request was sent, at most {LONGEST_TO_TRIP_MS:.0} ms are promised")
        });
        promise(self.canary_requests_started_after_trip == Some(0), &|| {
            format!("{} requests to 0.8.2 began after the trip, none may", known(self.canary_requests_started_after_trip))
        });
        promise(self.canary_requests_arrived_after_trip == Some(0), &|| {
            format!(
                "{} requests arrived at 0.8.2 after the trip by its own books, none may",
                known(self.canary_requests_arrived_after_trip)
            )
        });
        if let (Some(arrived), Some(began)) = (self.canary_requests_arrived, self.canary_requests) {
            promise(arrived <= began, &|| format!("{arrived} requests arrived at 0.8.2, but the proxy knows of {began} only"));
        }
        for (pages, when) in [
            (self.info_page_at_first, "at first v1"),
            (self.info_page_after_rollback, "after the rollback v1"),
            (self.info_page_after_promotion, "after the promotion v3"),
        ] {
            promise(pages.asked > 0 && pages.as_expected == pages.asked, &|| {
                format!("the info page showed {when} in {} of {} only", pages.as_expected, pages.asked)
            });
        }
        promise(self.requests_failed == 0, &|| format!("{} client requests failed, none may", self.requests_failed));
        match self.mode {
            Mode::Slow => promise(self.requests_lost_to_hang == 0, &|| {
                format!("{} client requests were lost to a hang, but 0.8.2 is only slow", self.requests_lost_to_hang)
            }),
            Mode::Hang => promise(self.canary_posts_answered == Some(0), &|| {
                format!("0.8.2 answered {} POSTs, but it is to hang", known(self.canary_posts_answered))
            }),
        }
        promise(self.promoted, &|| "0.8.3 was not promoted for good".to_owned());
        broken.extend(pipeline::broken(&self.stages, &self.pipeline));
        broken
    }
}

/// Returns the nanoseconds between two moments, negative when the second came first.
#[expect(clippy::cast_precision_loss, reason = "2^53 ns are 104 days, and the demo takes less than a minute")]
fn nanoseconds(from: u64, to: u64) -> f64 {
    to as f64 - from as f64
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
