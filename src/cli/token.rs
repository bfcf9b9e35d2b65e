//! `portcullis token`: makes a token that forces a version of a service for whoever sends it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use crate::cli::exit;
use crate::cli::remote::{Remote, RemoteError};
use crate::config::{self, Flags, Surroundings};
use crate::control::status::ServiceStatus;
use crate::domain::version::Name;
use crate::seam::clock::unix_seconds;
use crate::seam::token;

/// The longest a token lives.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Makes a token that forces a version of a service for whoever sends it.
///
/// The token goes into the header or cookie of the service's `force`. It is signed with the first of its keys, and good for one
/// rollout: the next one makes it worthless, and while the canary has no share it forces no canary. Requests it forces are counted
/// for their version and judged by no gate.
/// Exit code: 0 when the token was made, 2 when the proxy did not answer or the service has no `force`, 78 when the configuration
/// has errors.
#[derive(Clone, Debug, clap::Args)]
pub struct TokenArgs {
    /// The configuration file that the proxy runs with.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The service.
    #[arg(long, value_name = "NAME")]
    service: Name,
    /// The version: stable, the canary or one of the others.
    #[arg(long, value_name = "NAME")]
    version: Name,
    /// How long the token is good, 30 days at most.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    ttl: Ttl,
    /// The rollout it is good for; absent: the current or last one, which the running proxy is asked for.
    #[arg(long, value_name = "NUMBER")]
    rollout: Option<u64>,
}

/// How long a token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ttl(Duration);

/// Why a text is not a [`Ttl`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("write a number with a unit from 1s to 720h, such as 1h")]
struct InvalidTtl;

impl FromStr for Ttl {
    type Err = InvalidTtl;
    fn from_str(text: &str) -> Result<Self, InvalidTtl> {
        let parsed: jiff::SignedDuration = text.parse().map_err(|_| InvalidTtl)?;
        let ttl = Duration::try_from(parsed).map_err(|_| InvalidTtl)?;
        if (Duration::from_secs(1)..=LONGEST).contains(&ttl) { Ok(Self(ttl)) } else { Err(InvalidTtl) }
    }
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &TokenArgs) -> ExitCode {
    let loaded = match config::load(Some(&args.config), &Flags::default(), &Surroundings::real()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{problem}\n"));
            return exit::BAD_FILE.end();
        }
    };
    let written = make(args, &loaded.settings).and_then(|token| {
        std::io::stdout().lock().write_all(format!("{token}\n").as_bytes()).map_err(|error| format!("cannot write the token: {error}"))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            exit::REFUSED.end()
        }
    }
}

fn make(args: &TokenArgs, settings: &config::Settings) -> Result<String, String> {
    let (name, version) = (&args.service, &args.version);
    let Some(service) = settings.services.iter().find(|service| service.name == *name) else {
        let known: Vec<&str> = settings.services.iter().map(|service| service.name.as_str()).collect();
        return Err(format!("there is no service {name}; there is {}", known.join(", ")));
    };
    let Some(force) = service.choice.as_ref().and_then(|choice| choice.force.as_ref()) else {
        return Err(format!("no version of {name} can be forced; write 'force' with its keys for the service"));
    };
    let rollout = match args.rollout {
        Some(rollout) => rollout,
        None => rollout_of(name, settings).map_err(|why| format!("{why}\n  hint: start the proxy, or give the rollout with --rollout"))?,
    };
    Ok(token::force(&force.keys, name, rollout, version, unix_seconds().saturating_add(args.ttl.0.as_secs())))
}

/// Asks the running proxy for the current or last rollout of a service; 0 before the first one.
fn rollout_of(service: &Name, settings: &config::Settings) -> Result<u64, RemoteError> {
    let remote = settings.admin.listen.first().map_or_else(Remote::usual, |one| Remote::of(&one.address, one.tls.is_some()));
    let status: ServiceStatus = remote.get(&format!("/v1/rollouts/{service}"))?;
    Ok(status.rollout.map_or(0, |rollout| rollout.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_from_a_second_to_thirty_days() {
        assert_eq!("1h".parse::<Ttl>().unwrap().0, Duration::from_secs(3600));
        assert_eq!("720h".parse::<Ttl>().unwrap().0, LONGEST);
        for text in ["", "1", "0s", "-1h", "721h", "soon"] {
            assert!(text.parse::<Ttl>().is_err(), "{text}");
        }
    }
}
