//! The command: arguments, signals, table, report file and exit code.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::demo::pipeline::{self, Course};
use crate::cli::demo::progress::Progress;
use crate::cli::demo::report::{Mode, Report};
use crate::cli::demo::trouble::Trouble;
use crate::cli::demo::{story, table};
use crate::cli::exit::{self, Exit};

/// Shows the main job with real processes: a slow version is taken back, a mended one is promoted; then artifacts go through the
/// stages of a project.
///
/// Progress goes to stderr, the table to stdout. Exit code: 0 when all of it really happened, 1 when not, 130 after an
/// interrupt and 143 after SIGTERM.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Let 0.8.2 never answer a POST of an item instead of answering it 1 s late
    #[arg(long)]
    pub hang: bool,
    /// Send every request of the performance test to the slow version too, instead of stopping when the gate has decided (about
    /// ten minutes)
    #[arg(long)]
    pub full: bool,
    /// How many requests each of the 10 users of the performance test sends
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u16).range(10..=500))]
    pub requests: u16,
    /// Leave the pipeline running at the end, with its addresses printed, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
    /// Write what was measured to FILE as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// How long a test user thinks before each request, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u16).range(..=500))]
    pub think_time: u16,
}

/// How the telling ended.
enum End {
    Told(Option<String>),
    Stopped(&'static str, Exit),
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &DemoArgs) -> ExitCode {
    match tell(args) {
        Ok(exit) => exit.end(),
        Err(error) => {
            // Where stderr is gone nobody reads this.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            exit::FAILED.end()
        }
    }
}

fn tell(args: &DemoArgs) -> anyhow::Result<Exit> {
    let mut file = args.report.as_deref().map(open).transpose()?;
    let mode = if args.hang { Mode::Hang } else { Mode::Slow };
    let mut report = Report::new(mode);
    let progress = Progress::begin();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let course = Course { full: args.full, keep: args.keep, requests: args.requests };
    let end = runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let think = Duration::from_millis(args.think_time.into());
        tokio::select! {
            told = parts(mode, think, course, &mut report, &progress) => Ok(End::Told(told.err().map(|trouble| trouble.to_string()))),
            _ = interrupt.recv() => Ok(End::Stopped("SIGINT", exit::INTERRUPTED)),
            _ = terminate.recv() => Ok(End::Stopped("SIGTERM", exit::TERMINATED)),
        }
    });
    progress.end();
    let end: End = end.map_err(|problem: io::Error| anyhow::anyhow!("cannot listen for signals: {problem}"))?;
    let (stopped, code) = match end {
        End::Told(stopped) => (stopped, None),
        End::Stopped(name, code) => (Some(format!("the demo was stopped by {name}")), Some(code)),
    };
    report.conclude(stopped, progress.elapsed().as_secs_f64());
    if let (Some(file), Some(path)) = (&mut file, &args.report) {
        report.write(file).map_err(|problem| unwritable(path, &problem))?;
    }
    if let Some(code) = code {
        let _ = writeln!(io::stderr(), "{}; every process has been ended", report.problems.first().map_or("stopped", String::as_str));
        return Ok(code);
    }
    show(&report)?;
    Ok(if report.ok { exit::DONE } else { exit::FAILED })
}

/// Plays both parts: what happens on the request path of one service, and the way of artifacts through the stages of a project.
async fn parts(mode: Mode, think: Duration, course: Course, report: &mut Report, progress: &Progress) -> Result<(), Trouble> {
    story::play(mode, think, report, progress).await?;
    pipeline::play(course, &mut report.stages, &mut report.pipeline, progress).await
}

/// Writes the table to stdout and what is not as promised to stderr.
fn show(report: &Report) -> anyhow::Result<()> {
    let mut text = table::table(report);
    if report.ok {
        text.push_str("\nAll of it really happened.\n");
    }
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(problem) if problem.kind() != io::ErrorKind::BrokenPipe => anyhow::bail!("cannot write the table to stdout: {problem}"),
        _ => {}
    }
    for problem in &report.problems {
        // As above.
        let _ = writeln!(io::stderr(), "error: {problem}");
    }
    Ok(())
}

/// Opens the report before the story begins, so that a wrong path costs no time; what the file holds is kept until then.
fn open(path: &Path) -> anyhow::Result<File> {
    File::options().create(true).append(true).open(path).map_err(|problem| unwritable(path, &problem))
}

fn unwritable(path: &Path, problem: &io::Error) -> anyhow::Error {
    anyhow::anyhow!("cannot write the report {}: {problem}\n  hint: choose a file in a writable folder with --report", path.display())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        demo: DemoArgs,
    }

    #[test]
    fn the_defaults_are_the_seeds_story() {
        let args = Line::try_parse_from(["demo"]).unwrap().demo;
        assert_eq!((args.hang, args.full, args.keep, args.report, args.think_time, args.requests), (false, false, false, None, 20, 500));
        assert!(Line::try_parse_from(["demo", "--think-time", "501"]).is_err());
        assert!(Line::try_parse_from(["demo", "--requests", "9"]).is_err(), "a hundred are the least that is judged");
    }

    #[test]
    fn a_report_that_cannot_be_written_is_told_before_anything_starts() {
        let report = std::env::temp_dir().join(format!("portcullis-{:016x}", rand::random::<u64>())).join("report.json");
        let args = DemoArgs { hang: false, full: false, requests: 500, keep: false, report: Some(report.clone()), think_time: 20 };
        let error = tell(&args).unwrap_err().to_string();
        assert!(error.contains(&report.display().to_string()) && error.contains("hint:"), "{error}");
    }
}
