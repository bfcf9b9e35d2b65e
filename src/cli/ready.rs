//! `portcullis ready`: whether a running proxy may get traffic, for probes and hooks of containers without a shell.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::admin::Admin;
use crate::cli::exit;
use crate::cli::figures::harmless;
use crate::cli::remote::{Remote, RemoteError};

/// How long after an answer it is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest that is waited, in seconds.
const LONGEST: u64 = 3600;

/// Says whether the proxy may get traffic.
///
/// As a probe: portcullis ready. As a hook after the start of a container, which holds those behind it back: portcullis ready --wait 60s.
/// As a hook before its stop, where there is no sleep: portcullis ready --linger 5s.
/// Exit code: 0 when it may, 2 when it may not or nobody answers.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: portcullis ready --wait 60s --admin unix:/run/portcullis/admin.sock")]
pub struct ReadyArgs {
    /// Asks again until it may, for so long at most.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    wait: Option<Duration>,
    /// Stays so long before it ends, whatever the answer.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    linger: Option<Duration>,
    /// Whom to ask.
    #[command(flatten)]
    admin: Admin,
}

fn duration(text: &str) -> Result<Duration, String> {
    let read = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    read.filter(|duration| duration.as_secs() <= LONGEST).ok_or_else(|| "write a duration such as 5s or 1m 30s, an hour at most".to_owned())
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &ReadyArgs) -> ExitCode {
    let begun = Instant::now();
    let answer = args.admin.remote().and_then(|remote| asked(&remote, || args.wait.is_some_and(|wait| begun.elapsed() < wait)));
    if let Some(linger) = args.linger {
        thread::sleep(linger);
    }
    match answer {
        Ok(()) => exit::DONE.end(),
        Err(error) => {
            eprintln!("error: {}", harmless(&error.to_string()));
            exit::REFUSED.end()
        }
    }
}

/// Asks until the proxy may get traffic, or it is late.
fn asked(remote: &Remote, again: impl Fn() -> bool) -> Result<(), RemoteError> {
    loop {
        match remote.text("/readyz") {
            Ok(_) => return Ok(()),
            Err(error) if !again() => return Err(error),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_an_end() {
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for text in ["", "5", "-5s", "2h", "x"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn it_asks_again_only_while_there_is_time() {
        let nobody: Remote = "unix:/nonexistent/admin.sock".parse().unwrap();
        let left = std::cell::Cell::new(3);
        let again = || left.replace(left.get() - 1) > 1;
        assert!(asked(&nobody, again).is_err());
        assert_eq!(left.get(), 0);
    }
}
