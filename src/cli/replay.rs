//! `portcullis simulate --replay`: says whether gates would have fired on recorded traffic, when, and at what cost.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::cli::results::{Stop, open, print, write_json};
use crate::domain::gate::{Criterion, Policy};
use crate::formats::access_log::read_line;
use crate::formats::problem::Problem;
use crate::simulate::replay::{Log, MOST, Replayed};

/// The longest line that is read.
const LONGEST_LINE: u64 = 1 << 20;

/// Replays a log and says whether no gate would have fired.
///
/// # Errors
///
/// The log cannot be read or understood, or a gate cannot be replayed.
pub(super) fn replay(path: &Path, gates: &[Criterion], alpha: Option<f64>, json: Option<&Path>) -> Result<bool, Stop> {
    let policy = Policy::default();
    let alpha = alpha.unwrap_or(policy.alpha);
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(Stop::Failed(format!("error: alpha is {alpha}\n  hint: give --alpha a number above 0 and below 1")));
    }
    let output = json.map(|path| open(path).map(|file| (path, file))).transpose()?;
    let log = read(path)?;
    let (canary, stable) = log.counts();
    if canary == 0 {
        let what = format!("error: {} has no request of a canary ({stable} of stable)", path.display());
        return Err(Stop::Failed(format!("{what}\n  hint: give a log written while a rollout was under way")));
    }
    let replayed = log.replay(gates, alpha, policy.beta).map_err(|why| Stop::Failed(format!("error: {why}")))?;
    print(&format!("{canary} requests of the canary, {stable} of stable, alpha = {alpha}\n"))?;
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
    match &gate.fired {
        None => format!("{}: would not have fired; {} of {} requests breach it, it {passed}\n", gate.gate, gate.breaches, gate.requests),
        Some(fired) => format!(
            "{}: would have fired after {:.3} s, on request {} ({} breaches); {} bad requests had begun by then, {} would have been spared\n  {}\n",
            gate.gate, fired.after_seconds, fired.request, fired.breaches, fired.harmed, fired.spared, fired.sentence
        ),
    }
}

/// Reads the log line by line; what is kept of a request does not grow with its line.
fn read(path: &Path) -> Result<Log, Stop> {
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| {
        Stop::Failed(format!("error: cannot read the log {name}: {error}\n  hint: name a file that exists and that this user may read"))
    };
    let wrong = |number: usize, line: &str, message: String| {
        let mut problem = Problem::error(&name, "", message);
        problem.line = Some(number);
        problem.snippet = Some(line.chars().take(160).collect());
        Stop::BadFile(vec![problem])
    };
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let (mut log, mut bytes, mut number) = (Log::default(), Vec::new(), 0);
    loop {
        bytes.clear();
        number += 1;
        if (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut bytes).map_err(unreadable)? == 0 {
            return Ok(log);
        }
        let line = String::from_utf8_lossy(&bytes);
        if bytes.len() as u64 == LONGEST_LINE {
            return Err(wrong(number, &line, format!("the line has more than {LONGEST_LINE} bytes, which the proxy never writes")));
        }
        if let Some(recorded) = read_line(&line).map_err(|message| wrong(number, &line, message))?
            && !log.add(&recorded)
        {
            return Err(wrong(number, &line, format!("the log has more than {MOST} requests of the canary; split it")));
        }
    }
}
