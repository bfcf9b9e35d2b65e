//! Shows how the story goes, on stderr: redrawn in place on a terminal, else one plain line for each event.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::domain::gate::evidence::thousands;
use crate::domain::weight::Weight;

/// The width of the bar that shows the split, in characters.
const BAR: usize = 40;
/// Lines of the picture.
const LINES: usize = 6;

/// What is shown of one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What the story waits for.
    pub headline: String,
    /// The version that owns the traffic.
    pub owner: String,
    /// The version on trial and its share.
    pub canary: Option<(String, Weight)>,
    /// Client requests sent so far.
    pub sent: u64,
    /// Client requests per second of late.
    pub rate: f64,
    /// Client requests answered after more than the limit so far.
    pub slow: u64,
    /// Client requests that went wrong so far.
    pub errors: u64,
    /// The latencies of each version that has answered.
    pub latencies: Vec<Latency>,
    /// Where each gate stands.
    pub gates: Vec<String>,
}

/// The latency of one version as the proxy measured it, in seconds, estimated from the buckets of its histogram.
#[derive(Clone, Debug)]
pub struct Latency {
    /// The version.
    pub version: String,
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
}

/// Tells people how the story goes.
#[derive(Debug)]
pub struct Progress {
    begun: Instant,
    colour: bool,
    picture: Option<Picture>,
}

#[derive(Debug)]
struct Picture {
    all: MultiProgress,
    lines: Vec<ProgressBar>,
}

impl Progress {
    /// Begins; a picture is drawn where stderr is a terminal that can move its cursor, in colour unless `NO_COLOR` is set.
    pub fn begin() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let picture = (std::io::stderr().is_terminal() && !dumb).then(Picture::new);
        Self { begun: Instant::now(), colour: picture.is_some() && !set("NO_COLOR"), picture }
    }

    /// Returns the time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Tells one event; the line stays.
    pub fn event(&self, text: &str) {
        let line = format!("{:5.1} s  {text}", self.begun.elapsed().as_secs_f64());
        match &self.picture {
            // A terminal that is gone takes no more lines; the story goes on without them.
            Some(picture) => drop(picture.all.println(line)),
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }

    /// Shows one moment; nothing is shown where there is no terminal.
    pub fn show(&self, view: &View) {
        let Some(picture) = &self.picture else { return };
        let texts = lines(view, self.begun.elapsed(), self.colour);
        for (line, text) in picture.lines.iter().zip(texts.into_iter().chain(std::iter::repeat(String::new()))) {
            line.set_message(text);
            line.tick();
        }
    }

    /// Takes the picture away; the events stay.
    pub fn end(&self) {
        if let Some(picture) = &self.picture {
            picture.lines.iter().for_each(ProgressBar::finish_and_clear);
            // The same terminal as above.
            drop(picture.all.clear());
        }
    }
}

impl Picture {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(15));
        // The template is a constant; the default style would still show the message.
        let style = ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let lines = (0..LINES).map(|_| all.add(ProgressBar::new_spinner().with_style(style.clone()))).collect();
        Self { all, lines }
    }
}

fn lines(view: &View, elapsed: Duration, colour: bool) -> Vec<String> {
    let mut lines = vec![format!("{:5.1} s  {}", elapsed.as_secs_f64(), view.headline)];
    lines.push(format!("         {}", bar(view, colour)));
    lines.push(format!(
        "         {} requests, {:.0}/s; {} slower than 1 s, {} went wrong",
        thousands(view.sent),
        view.rate,
        thousands(view.slow),
        thousands(view.errors)
    ));
    let latency = |l: &Latency| format!("{} p50 {}, p95 {}", l.version, about(l.p50), about(l.p95));
    lines.push(format!("         {}", view.latencies.iter().map(latency).collect::<Vec<_>>().join("   ")));
    lines.extend(view.gates.iter().map(|gate| format!("         {gate}")));
    lines
}

fn bar(view: &View, colour: bool) -> String {
    let (canary, weight) = view.canary.as_ref().map_or(("", Weight::ZERO), |(name, weight)| (name, *weight));
    let share = usize::from(weight.basis_points()) * BAR / 10_000;
    let share = if weight > Weight::ZERO { share.max(1) } else { 0 };
    let (old, new) = ("█".repeat(BAR - share), "░".repeat(share));
    let bar = if colour { format!("\u{1b}[32m{old}\u{1b}[33m{new}\u{1b}[0m") } else { format!("{old}{new}") };
    let mut text = format!("{} {bar}", view.owner);
    if !canary.is_empty() {
        text.push_str(&format!(" {canary}  {} | {weight}", weight.complement()));
    }
    text
}

/// Writes an estimate from the buckets of a histogram with two digits.
fn about(seconds: f64) -> String {
    match seconds {
        s if s < 0.0095 => format!("~{:.1} ms", s * 1e3),
        s if s < 0.995 => format!("~{:.0} ms", s * 1e3),
        s => format!("~{s:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(weight: &str) -> View {
        let latencies = vec![Latency { version: "0.8.1".into(), p50: 0.0012, p95: 0.0123 }];
        let canary = Some(("0.8.2".to_owned(), weight.parse().unwrap()));
        let (headline, owner) = ("waiting".to_owned(), "0.8.1".to_owned());
        View { headline, owner, canary, sent: 1234, rate: 511.6, slow: 3, errors: 0, latencies, gates: vec!["gate: 3 of 4".into()] }
    }

    #[test]
    fn the_picture_shows_split_counts_latency_and_gates() {
        let lines = lines(&view("10%"), Duration::from_millis(12_300), false);
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[0], " 12.3 s  waiting");
        assert_eq!(lines[1].trim(), format!("0.8.1 {}{} 0.8.2  90% | 10%", "█".repeat(36), "░".repeat(4)));
        assert_eq!(lines[2].trim(), "1,234 requests, 512/s; 3 slower than 1 s, 0 went wrong");
        assert_eq!(lines[3].trim(), "0.8.1 p50 ~1.2 ms, p95 ~12 ms");
    }

    #[test]
    fn even_the_smallest_share_is_seen_and_no_share_is_not() {
        let share = |weight| bar(&view(weight), false).matches('░').count();
        assert_eq!((share("0%"), share("0.01%"), share("50%"), share("100%")), (0, 1, 20, 40));
    }

    #[test]
    fn colour_is_only_there_when_wanted() {
        assert!(bar(&view("10%"), true).contains('\u{1b}') && !bar(&view("10%"), false).contains('\u{1b}'));
    }

    #[test]
    fn an_estimate_claims_no_more_digits_than_it_has() {
        assert_eq!([0.0012, 0.0099, 0.25, 1.205].map(about), ["~1.2 ms", "~10 ms", "~250 ms", "~1.2 s"]);
    }

    #[test]
    fn numbers_have_separators() {
        assert_eq!(
            (thousands(0), thousands(999), thousands(1000), thousands(1_234_567)),
            ("0".into(), "999".into(), "1,000".into(), "1,234,567".into())
        );
    }
}
