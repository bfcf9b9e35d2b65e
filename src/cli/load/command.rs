//! Runs `portcullis load` from its arguments to its exit code.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use crate::cli::exit::{self, Exit};
use crate::cli::load::args::LoadArgs;
use crate::cli::load::hlog::Log;
use crate::cli::load::job::Job;
use crate::cli::load::report::{Asked, Report, Verdict};
use crate::cli::load::table::table;
use crate::cli::load::work::{Around, work};
use crate::domain::transport::Protocol;
use crate::load::{Pace, Patience, reach};

/// Why there is no report: how it ends, and what is wrong and how to mend it.
type Refusal = (Exit, String);

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &LoadArgs) -> ExitCode {
    match load(args) {
        Ok(Verdict::Pass) => ExitCode::SUCCESS,
        Ok(Verdict::Fail | Verdict::Inconclusive) => exit::FAILED.end(),
        Err((exit, message)) => {
            say(&message);
            exit.end()
        }
    }
}

fn load(args: &LoadArgs) -> Result<Verdict, Refusal> {
    let usage = |message| (exit::REFUSED, message);
    let failed = |message| (exit::FAILED, message);
    let job = Job::new(args).map_err(usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(format!("error: cannot start: {error}")))?;
    let report = args.report.as_deref().map(|path| open(path).map(|file| (path, file))).transpose().map_err(usage)?;
    job.notes.iter().for_each(|note| say(note));
    let sent = runtime.block_on(async {
        let address = reach(&job.origin, Patience::ONCE).await.map_err(|error| failed(format!("error: {error}")))?;
        let begun = SystemTime::now();
        let log = args.hlog.as_deref().map(|path| Log::begin(path, begun)).transpose().map_err(usage)?;
        let target = job.target(address);
        let around = Around { announcement: announcement(args, &job), log, begun };
        work(target, job.script.clone(), asked(args, &job), around).await.map_err(failed)
    })?;
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let text = table(&sent, colour);
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| {
        failed(format!("error: cannot write the result: {error}\n  hint: send the output to a file or a reader that stays"))
    })?;
    if let Some((path, file)) = report {
        write(path, file, &sent).map_err(failed)?;
    }
    Ok(sent.verdict)
}

fn asked(args: &LoadArgs, job: &Job) -> Asked {
    let paced = job.script.groups.iter().find_map(|group| match group.pace {
        Pace::Constant { rate, .. } => Some(rate.as_f64()),
        Pace::Closed { .. } => None,
    });
    Asked {
        url: args.url.to_string(),
        plan: args.jmx.as_ref().map(|path| path.display().to_string()),
        protocol: if job.protocol == Protocol::Http2 { "HTTP/2" } else { "HTTP/1.1" },
        users: job.script.users(),
        planned: job.script.requests(),
        intended_per_s: paced,
        accepted_error_share: args.accept_errors,
    }
}

/// Says what is about to be sent.
fn announcement(args: &LoadArgs, job: &Job) -> String {
    let Asked { users, planned, intended_per_s, .. } = asked(args, job);
    let pace = intended_per_s.map_or_else(String::new, |rate| format!(" at {rate}/s"));
    let length = job.script.groups.iter().filter_map(|group| group.duration).max();
    let until = match (planned, length) {
        (Some(planned), None) => format!("{planned} requests"),
        (None, Some(length)) => format!("requests for {}", crate::domain::time::human(length)),
        (Some(planned), Some(length)) => format!("{planned} requests in at most {}", crate::domain::time::human(length)),
        (None, None) => "requests until interrupted".to_owned(),
    };
    let what = args.jmx.as_ref().map_or_else(String::new, |path| format!(" of {}", path.display()));
    format!("{users} users send {until}{pace}{what} to {}", args.url)
}

/// Opens the file before anything is sent, so that a wrong path costs no time; what it holds is kept until then.
fn open(path: &Path) -> Result<File, String> {
    File::options().create(true).append(true).open(path).map_err(|error| unwritable(path, &error))
}

fn write(path: &Path, mut file: File, report: &Report) -> Result<(), String> {
    let text = serde_json::to_string_pretty(report).map_err(|error| unwritable(path, &error.into()))?;
    file.set_len(0).and_then(|()| writeln!(file, "{text}")).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &io::Error) -> String {
    format!("error: cannot write {}: {error}\n  hint: choose a file in a writable folder with --report", path.display())
}

/// Writes to the error output; when that is gone too there is nobody left to tell.
fn say(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}
