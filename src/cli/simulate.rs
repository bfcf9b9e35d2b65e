//! `portcullis simulate`: runs scenarios in virtual time, measures false alarms, and replays recorded traffic through a gate.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::exit;
use crate::cli::replay;
use crate::cli::results::{Stop, open, print, write_json};
use crate::domain::gate::Criterion;
use crate::simulate::aa;
use crate::simulate::report::Report;
use crate::simulate::run;
use crate::simulate::scenario::{self, Scenario};
use crate::simulate::world;

/// Runs rollouts in virtual time through the code that judges real ones.
///
/// The table goes to stdout, progress to stderr. The same seed gives the same bytes, whatever the number of threads.
/// Exit code: 0 when every expectation of the scenarios holds, 1 when not, 78 when a file has errors.
#[derive(Clone, Debug, clap::Args)]
pub struct SimulateArgs {
    /// The scenario files (TOML).
    #[arg(value_name = "SCENARIO", required_unless_present_any = ["aa", "replay"])]
    pub scenarios: Vec<PathBuf>,
    /// Run the healthy experiment: a canary exactly at the limit of each gate, rolled back how often?
    #[arg(long)]
    pub aa: bool,
    /// What a replay is to read.
    #[command(flatten)]
    pub replay: replay::ReplayArgs,
    /// The gates of --replay and --aa, such as 'p95 < 1s'; --aa takes p95 < 1s and errors < 1% without them.
    #[arg(long, value_name = "GATE", num_args = 1..)]
    pub gates: Vec<Criterion>,
    /// The bound on false rollbacks of --replay and --aa.
    #[arg(long, value_name = "ALPHA")]
    pub alpha: Option<f64>,
    /// How many runs of each scenario; as many as its file says without this.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: Option<u32>,
    /// The seed of the first run, the others follow; of a replay, the seed of the order inside the intervals of a .hlog.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// How many threads; one per core without this.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Write everything to FILE as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// The α of the healthy experiment, large enough that 2 000 runs can tell.
const AA_ALPHA: f64 = 0.05;

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &SimulateArgs) -> ExitCode {
    match simulate(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => exit::FAILED.end(),
        Err(Stop::BadFile(problems)) => {
            for problem in problems {
                say(&problem.to_string());
            }
            exit::BAD_FILE.end()
        }
        Err(Stop::Failed(message)) => {
            say(&message);
            exit::FAILED.end()
        }
    }
}

fn simulate(args: &SimulateArgs) -> Result<bool, Stop> {
    if let Some(file) = &args.replay.replay {
        return replay::replay(file, &args.replay, (&args.gates, args.alpha, args.seed), args.json.as_deref());
    }
    let mut scenarios = read(&args.scenarios)?;
    if args.aa {
        scenarios.extend(experiments(&args.gates, args.alpha.unwrap_or(AA_ALPHA))?);
    }
    let json = args.json.as_deref().map(|path| open(path).map(|file| (path, file))).transpose()?;
    let threads = args.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let runs_of = |scenario: &Scenario| args.runs.map_or(scenario.runs.0, |runs| runs as usize);
    let total: usize = scenarios.iter().map(|(_, scenario)| runs_of(scenario)).sum();
    let bar = bar(total as u64);
    name_the_seed_of_a_panic();
    let mut reports = Vec::new();
    for (name, scenario) in &scenarios {
        bar.set_message(name.clone());
        let results = run::run(scenario, runs_of(scenario), args.seed, threads, &|| bar.inc(1));
        let report = Report::new(name.clone(), scenario, &results);
        bar.suspend(|| print(&format!("{}\n", report.text())))?;
        reports.push(report);
    }
    bar.finish_and_clear();
    let (held, failed) = count(&reports);
    print(&format!("{} scenarios, {total} runs: {held} expectations hold, {failed} do not\n", reports.len()))?;
    if let Some((path, file)) = json {
        write_json(path, file, &reports)?;
    }
    Ok(reports.iter().all(Report::holds))
}

/// Makes the healthy experiment of each gate.
fn experiments(gates: &[Criterion], alpha: f64) -> Result<Vec<(String, Scenario)>, Stop> {
    let default: Vec<Criterion> = ["p95 < 1s", "errors < 1%"].into_iter().filter_map(|gate| gate.parse().ok()).collect();
    let gates = if gates.is_empty() { &default } else { gates };
    print(&format!("{}\n\n", aa::sentence(alpha)))?;
    let made = gates.iter().map(|gate| aa::scenarios(*gate, alpha).map_err(Stop::BadFile)).collect::<Result<Vec<_>, _>>()?;
    Ok(made.into_iter().flatten().map(|scenario| ("aa".to_owned(), scenario)).collect())
}

fn count(reports: &[Report]) -> (usize, usize) {
    let checks = || reports.iter().flat_map(|report| &report.lines).flat_map(|line| &line.checks);
    (checks().filter(|check| check.holds).count(), checks().filter(|check| !check.holds).count())
}

/// Reads every file before anything runs, so that every problem is shown at once.
fn read(files: &[PathBuf]) -> Result<Vec<(String, Scenario)>, Stop> {
    let (mut scenarios, mut problems) = (Vec::new(), Vec::new());
    for path in files {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Stop::Failed(format!("error: cannot read the scenario {file}: {error}\n  hint: name a UTF-8 text file that this user may read"))
        })?;
        match scenario::load(&file, &text) {
            Ok(loaded) => {
                let stem = path.file_stem().map_or_else(|| file.clone(), |stem| stem.to_string_lossy().into_owned());
                let name = |scenario: &Scenario| match scenario.name.as_str() {
                    "" => stem.clone(),
                    variation => format!("{stem} [{variation}]"),
                };
                scenarios.extend(loaded.into_iter().map(|scenario| (name(&scenario), scenario)));
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(scenarios) } else { Err(Stop::BadFile(problems)) }
}

/// Lets a panic name its run before it ends the process, so that the run can be played again.
fn name_the_seed_of_a_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if let Some(seed) = world::seed_in_progress() {
            say(&format!("error: the run of seed {seed} panicked\n  hint: the same file with --seed {seed} --runs 1 plays it again"));
        }
        usual(panic);
    }));
}

/// A progress bar on stderr, shown only where that is a terminal.
fn bar(total: u64) -> ProgressBar {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} runs, {eta} left  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Writes to the error output; when that is gone too there is nobody left to tell.
fn say(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}
