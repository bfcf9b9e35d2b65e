//! Shows how a run goes, on stderr: redrawn in place on a terminal, else a plain line now and then.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::load::table::time;
use crate::domain::gate::evidence::thousands;
use crate::load::{Counters, Snapshot};

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Over how long the rate of late is measured, at least.
const OF_LATE: Duration = Duration::from_secs(1);

/// Tells people how a run goes.
pub(super) struct Progress {
    begun: Instant,
    bar: Option<ProgressBar>,
    told: Duration,
    /// When the rate was last measured, how many answers there were then, and the rate.
    late: (Duration, u64, f64),
}

impl Progress {
    /// Begins; a line is redrawn where stderr is a terminal that can move its cursor.
    pub(super) fn begin() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let bar = (std::io::stderr().is_terminal() && !dumb).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            // The template is a constant; the default style would still show the message.
            bar.with_style(ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self { begun: Instant::now(), bar, told: Duration::ZERO, late: (Duration::ZERO, 0, 0.0) }
    }

    /// Tells one event; the line stays.
    pub(super) fn event(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    /// Shows one moment; without a terminal only where a line is due.
    pub(super) fn show(&mut self, counters: &Counters) {
        let elapsed = self.begun.elapsed();
        let due = elapsed.saturating_sub(self.told) >= LINE_EVERY;
        if self.bar.is_none() && !due {
            return;
        }
        let seen = counters.snapshot();
        let (since, before, rate) = self.late;
        let stretch = elapsed.saturating_sub(since);
        let now = seen.answered().saturating_sub(before) as f64 / stretch.as_secs_f64().max(1e-9);
        if stretch >= OF_LATE {
            self.late = (elapsed, seen.answered(), now);
        }
        let rate = if stretch >= OF_LATE || rate == 0.0 { now } else { rate };
        let text = line(elapsed, rate, &seen, counters);
        match &self.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.tick();
            }
            None => {
                self.told = elapsed;
                say(&text);
            }
        }
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(elapsed: Duration, rate: f64, seen: &Snapshot, counters: &Counters) -> String {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let latency = counters.latency().map_or_else(String::new, |latency| {
        format!("; p50 {}, p95 {}, max {}", time(ms(latency.p50)), time(ms(latency.p95)), time(ms(latency.max)))
    });
    let (answered, wrong, waiting) = (thousands(seen.answered()), thousands(seen.errors()), thousands(seen.in_flight()));
    format!("{:6.1} s  {answered} answers, {rate:.0}/s, {wrong} went wrong, {waiting} in flight{latency}", elapsed.as_secs_f64())
}

/// Writes to the error output; when that is gone too there is nobody left to tell.
fn say(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_how_fast_and_how_bad() {
        let counters = Counters::default();
        let text = line(Duration::from_millis(12_340), 511.6, &counters.snapshot(), &counters);
        assert_eq!(text, "  12.3 s  0 answers, 512/s, 0 went wrong, 0 in flight");
    }
}
