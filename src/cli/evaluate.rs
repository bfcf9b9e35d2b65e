//! `portcullis evaluate`: grades a file of measured values by a perfspec and prints the result as JSON.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::domain::gate::perfspec::spec::Compat;
use crate::domain::gate::perfspec::{Js, Report, keptn, strict};
use crate::domain::gate::verdict::Verdict;
use crate::formats::perfspec;
use crate::formats::problem::Problem;

/// The exit code when a file cannot be read or the result cannot be written.
const UNREADABLE: u8 = 1;
/// The exit code of a fail, the original's `failed` included.
const FAIL: u8 = 3;
/// The exit code when the evidence does not suffice.
const INCONCLUSIVE: u8 = 4;
/// The exit code when a file has errors (`EX_CONFIG` of sysexits).
const BAD_FILE: u8 = 78;

/// Grades measured values by a perfspec and prints the result as JSON.
///
/// Exit code: 0 pass or warning, 3 fail, 4 inconclusive, 78 when a file has errors, 1 when a file cannot be read.
#[derive(Clone, Debug, clap::Args)]
pub struct EvaluateArgs {
    /// The gate file.
    #[arg(long, value_name = "FILE")]
    pub perfspec: PathBuf,
    /// The measured values: {"indicator id": [{"key": "…", "value": 1.0}]}.
    #[arg(long, value_name = "FILE")]
    pub values: PathBuf,
    /// How mistakes and missing data are treated.
    #[arg(long, value_enum, default_value_t = Mode::Strict)]
    pub compat: Mode,
}

/// The two behaviours, as the command line names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Mistakes are errors, missing data is inconclusive.
    Strict,
    /// As keptn and pitometer did, to the bit.
    Keptn,
}

impl From<Mode> for Compat {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Strict => Self::Strict,
            Mode::Keptn => Self::Keptn,
        }
    }
}

/// Why there is no result.
enum Stop {
    /// A file cannot be read.
    Unreadable(String),
    /// Files have errors.
    BadFile(Vec<Problem>),
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &EvaluateArgs) -> ExitCode {
    match evaluate(args) {
        Ok(report) => print(&report),
        Err(Stop::Unreadable(message)) => {
            say(&message);
            ExitCode::from(UNREADABLE)
        }
        Err(Stop::BadFile(problems)) => {
            tell(&problems);
            ExitCode::from(BAD_FILE)
        }
    }
}

fn evaluate(args: &EvaluateArgs) -> Result<Report, Stop> {
    let spec = read(&args.perfspec, "gate file")?;
    let values = read(&args.values, "file of values")?;
    let (spec_name, values_name) = (args.perfspec.display().to_string(), args.values.display().to_string());
    match Compat::from(args.compat) {
        Compat::Strict => evaluate_strictly((&spec_name, &spec), (&values_name, &values)),
        Compat::Keptn => {
            let spec = perfspec::load_keptn(&String::from_utf8_lossy(&spec));
            let values =
                text(&values_name, &values).and_then(|text| perfspec::load_values_keptn(&values_name, text)).map_err(Stop::BadFile)?;
            Ok(keptn::evaluate(&spec, &|id| match values.get(id)? {
                Js::Undefined => Ok(Js::List(Vec::new())),
                results => Ok(results.clone()),
            }))
        }
    }
}

/// Loads both files before it gives up, so that every problem is shown at once.
fn evaluate_strictly(spec: (&str, &[u8]), values: (&str, &[u8])) -> Result<Report, Stop> {
    let loaded = match text(spec.0, spec.1).and_then(|text| perfspec::load(spec.0, text)) {
        Ok(loaded) => loaded,
        Err(mut problems) => {
            // Without a spec the ids are unknown; what can still be told is whether the values are JSON at all.
            let also = text(values.0, values.1).and_then(|text| perfspec::load_values_keptn(values.0, text));
            problems.extend(also.err().into_iter().flatten());
            return Err(Stop::BadFile(problems));
        }
    };
    tell(&loaded.notes);
    let answers = text(values.0, values.1).and_then(|text| perfspec::load_values(values.0, text, &loaded.spec)).map_err(Stop::BadFile)?;
    Ok(strict::evaluate(&loaded.spec, &answers))
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>, Stop> {
    std::fs::read(path).map_err(|error| {
        Stop::Unreadable(format!(
            "error: cannot read the {what} {}: {error}\n  hint: name a file that exists and that this user may read",
            path.display()
        ))
    })
}

fn text<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, Vec<Problem>> {
    std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes.iter().take(error.valid_up_to()).filter(|b| **b == b'\n').count() + 1;
        let mut problem =
            Problem::error(name, "", format!("byte {} is not UTF-8 text", error.valid_up_to() + 1)).with_hint("save the file as UTF-8");
        problem.line = Some(line);
        vec![problem]
    })
}

fn print(report: &Report) -> ExitCode {
    let code = match report.verdict {
        Verdict::Pass | Verdict::Warning => ExitCode::SUCCESS,
        Verdict::Fail => ExitCode::from(FAIL),
        Verdict::Inconclusive => ExitCode::from(INCONCLUSIVE),
    };
    let json = serde_json::to_string_pretty(report).map_err(std::io::Error::from);
    match json.and_then(|json| writeln!(std::io::stdout().lock(), "{json}")) {
        Ok(()) => code,
        Err(error) => {
            say(&format!("error: cannot write the result: {error}\n  hint: send the output to a file or a reader that stays"));
            ExitCode::from(UNREADABLE)
        }
    }
}

fn tell(problems: &[Problem]) {
    for problem in problems {
        say(&problem.to_string());
    }
}

/// Writes to the error output; when that is gone too there is nobody left to tell.
fn say(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{message}");
}
