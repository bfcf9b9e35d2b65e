//! `portcullis simulate --replay`: says whether gates would have fired on recorded traffic, when, and at what cost.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::cli::results::{Stop, open, print, write_json};
use crate::domain::gate::{Criterion, Policy};
use crate::domain::outcome::Role;
use crate::domain::time::human;
use crate::formats::access_log::read_line;
use crate::formats::hlog::{Reader, Unit};
use crate::formats::problem::Problem;
use crate::simulate::chance::{Chance, Stream};
use crate::simulate::replay::{Log, MOST, Replayed};

/// The longest line that is read; a histogram of five digits over all times fits.
const LONGEST_LINE: u64 = 1 << 26;

/// What of `portcullis simulate` only a replay reads.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// Replay the canary's requests of FILE through the gates: an access log of Portcullis, or an interval log of HdrHistogram (.hlog).
    #[arg(long, value_name = "FILE", requires = "gates", conflicts_with_all = ["scenarios", "aa"])]
    pub replay: Option<PathBuf>,
    /// Compare with the stable version's requests of another FILE of either kind.
    #[arg(long, value_name = "FILE", requires = "replay")]
    pub stable: Option<PathBuf>,
    /// The unit of the values of an interval log: ns, us or ms.
    #[arg(long, value_name = "UNIT", default_value_t, requires = "replay")]
    pub unit: Unit,
    /// Replay the intervals of an interval log that have this tag; those without a tag without this.
    #[arg(long, value_name = "TAG", requires = "replay")]
    pub tag: Option<String>,
    /// The same for the interval log of --stable, which may be the same file.
    #[arg(long, value_name = "TAG", requires = "stable")]
    pub stable_tag: Option<String>,
}

/// Replays a log and says whether no gate would have fired.
///
/// # Errors
///
/// The log cannot be read or understood, or a gate cannot be replayed.
pub(super) fn replay(
    path: &Path,
    args: &ReplayArgs,
    (gates, alpha, seed): (&[Criterion], Option<f64>, u64),
    json: Option<&Path>,
) -> Result<bool, Stop> {
    let policy = Policy::default();
    let alpha = alpha.unwrap_or(policy.alpha);
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(Stop::Failed(format!("error: alpha is {alpha}\n  hint: give --alpha a number above 0 and below 1")));
    }
    let output = json.map(|path| open(path).map(|file| (path, file))).transpose()?;
    let reading = |role, tag, stream| Reading { unit: args.unit, tag, role, chance: Chance::new(seed, stream), notes: Vec::new() };
    let (mut log, mut notes) = reading(Role::Canary, args.tag.as_deref(), Stream::Canary).read(path)?;
    if let Some(other) = &args.stable {
        let (stable, more) = reading(Role::Stable, args.stable_tag.as_deref(), Stream::Stable).read(other)?;
        notes.extend(more);
        if let Some((by, later)) = log.compare_with(stable.as_stable()) {
            let (other, path) = (other.display(), path.display());
            let way = if later { "later" } else { "earlier" };
            notes.push(format!(
                "{other} and {path} do not overlap in time: {other} counts as {} {way}, so that both begin together; \
                 what else differed between then and now is held against the canary",
                human(by)
            ));
        }
    }
    let (canary, stable) = log.counts();
    if canary == 0 {
        let what = format!("error: {} has no request of a canary ({stable} of stable)", path.display());
        return Err(Stop::Failed(format!("{what}\n  hint: give a log written while a rollout was under way")));
    }
    let replayed = log.replay(gates, alpha, policy.beta).map_err(|refused| {
        let refused = refused.iter().map(|refused| format!("error: {}: {refused}", path.display()));
        Stop::Failed(refused.collect::<Vec<_>>().join("\n"))
    })?;
    print(&format!("{canary} requests of the canary, {stable} of stable, alpha = {alpha}\n"))?;
    for note in &notes {
        print(&format!("note: {note}\n"))?;
    }
    for gate in &replayed {
        print(&tell(gate))?;
    }
    if let Some((path, file)) = output {
        write_json(path, file, &replayed)?;
    }
    Ok(replayed.iter().all(|gate| gate.fired.is_none()))
}

fn tell(gate: &Replayed) -> String {
    let passed = gate.passed_at.map_or("would not have passed".to_owned(), |at| format!("would have passed after {at} requests"));
    let Some(fired) = &gate.fired else {
        return format!("{}: would not have fired; {} of {} requests breach it, it {passed}\n", gate.gate, gate.breaches, gate.requests);
    };
    let on = fired.request.map_or("on a tick".to_owned(), |request| format!("on request {request}"));
    format!(
        "{}: would have fired after {:.3} s, {on} ({} breaches); {} bad requests had begun by then, {} would have been spared\n  {}\n",
        gate.gate, fired.after_seconds, fired.breaches, fired.harmed, fired.spared, fired.sentence
    )
}

/// What is needed to read one log.
struct Reading<'a> {
    unit: Unit,
    tag: Option<&'a str>,
    role: Role,
    chance: Chance,
    notes: Vec<String>,
}

impl Reading<'_> {
    /// Reads the log line by line; returns what is to be said of it too.
    fn read(mut self, path: &Path) -> Result<(Log, Vec<String>), Stop> {
        let name = path.display().to_string();
        let unreadable = |error: std::io::Error| {
            Stop::Failed(format!("error: cannot read the log {name}: {error}\n  hint: name a file that exists and that this user may read"))
        };
        let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
        let of_intervals = Reader::knows(reader.fill_buf().map_err(unreadable)?);
        let (mut log, mut bytes, mut number) = (Log::default(), Vec::new(), 0);
        let mut intervals = Intervals { reader: Reader::new(self.unit), ..Intervals::default() };
        loop {
            bytes.clear();
            number += 1;
            if (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut bytes).map_err(unreadable)? == 0 {
                break;
            }
            let line = String::from_utf8_lossy(&bytes);
            let long = (bytes.len() as u64 == LONGEST_LINE).then(|| format!("the line has more than {LONGEST_LINE} bytes"));
            let taken = match long {
                Some(long) => Err(long),
                None if of_intervals => intervals.take(&line, &mut self, &mut log),
                None => read_line(&line).map(|recorded| recorded.is_none_or(|recorded| log.add(&recorded))),
            };
            let taken =
                taken.and_then(|has_room| if has_room { Ok(()) } else { Err(format!("the log has more than {MOST} requests; split it")) });
            taken.map_err(|message| {
                let mut problem = Problem::error(&name, "", message);
                problem.line = Some(number);
                problem.snippet = Some(line.trim_end().chars().take(160).collect());
                Stop::BadFile(vec![problem])
            })?;
        }
        if of_intervals {
            intervals.tell(&name, &mut self)?;
        }
        Ok((log, self.notes))
    }
}

/// An interval log on its way.
#[derive(Default)]
struct Intervals {
    reader: Reader,
    taken: u64,
    longest_ns: u64,
    /// The tags of the intervals that were left out.
    left_out: std::collections::BTreeSet<String>,
}

impl Intervals {
    fn take(&mut self, line: &str, reading: &mut Reading<'_>, log: &mut Log) -> Result<bool, String> {
        let Some(interval) = self.reader.read_line(line)? else { return Ok(true) };
        if interval.tag.as_deref() != reading.tag {
            self.left_out.insert(interval.tag.unwrap_or_else(|| "no tag".to_owned()));
            return Ok(true);
        }
        self.taken += 1;
        self.longest_ns = self.longest_ns.max(interval.values.last().map_or(0, |values| values.at_least_ns));
        Ok(log.add_interval(reading.role, &interval, &mut reading.chance))
    }

    /// Says how the log was understood.
    fn tell(&self, name: &str, reading: &mut Reading<'_>) -> Result<(), Stop> {
        let left_out = self.left_out.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        if self.taken == 0 {
            let wanted = reading.tag.map_or("without a tag".to_owned(), |tag| format!("with the tag {tag}"));
            let (has, hint) = if left_out.is_empty() {
                (String::new(), "give a log that HistogramLogWriter wrote")
            } else {
                (
                    format!(", only some with {left_out}"),
                    "name one of the tags with --tag (--stable-tag for the other log), or leave it out for intervals without one",
                )
            };
            return Err(Stop::Failed(format!("error: {name} has no interval {wanted}{has}\n  hint: {hint}")));
        }
        let Self { taken, longest_ns, .. } = self;
        reading.notes.push(format!(
            "{name} has {taken} intervals of HdrHistogram, read as {} (--unit); the slowest request took {}; the order of the requests \
             inside an interval is unknown and drawn by --seed; in doubt about a time no gate fires and none passes; there are no failures in it",
            reading.unit,
            human(std::time::Duration::from_nanos(*longest_ns))
        ));
        if !left_out.is_empty() {
            reading.notes.push(format!("{name}: left out are intervals with {left_out}"));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
