//! `portcullis audit`: verifies the chain of the journal and names the first place where it is broken.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::admin::Admin;
use crate::cli::exit;
use crate::cli::figures::harmless;
use crate::store::{self, Chain, StoreError};

/// Verifies that no entry of the journal was changed, left out or put in between.
///
/// Each entry holds the SHA-256 of the one before it. The number and the sum of the newest are printed: whoever keeps them elsewhere
/// can compare them later, which also tells whether somebody has written the whole file anew.
/// Exit code: 0 when the chain is whole, 1 when it is broken or stands in the place of a journal that was lost and that --known-loss does
/// not name, 2 when there is no journal to read.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: portcullis audit --state /var/lib/portcullis")]
pub struct AuditArgs {
    /// The state folder of a proxy that has ended; it is only read.
    #[arg(long, value_name = "FOLDER", conflicts_with = "admin")]
    state: Option<PathBuf>,
    /// The file that a lost journal is kept as, once its loss was looked into: that one is told and fails nothing any more, another one does.
    /// Let the file stay where it is: a name that is free is used for the next loss.
    #[arg(long, value_name = "FILE")]
    known_loss: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Whom to ask.
    #[command(flatten)]
    admin: Admin,
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &AuditArgs) -> ExitCode {
    let found = match &args.state {
        Some(folder) => store::audit(folder).map_err(|error| match error {
            StoreError::InUse { .. } => "the state folder is in use by a running proxy; ask that with --admin URL".to_owned(),
            other => other.to_string(),
        }),
        None => args.admin.get::<Chain>("/v1/journal").map_err(|error| error.to_string()),
    };
    match found {
        Ok(chain) => {
            let shown = if args.json { serde_json::to_string_pretty(&chain).unwrap_or_default() } else { told(&chain) };
            println!("{}", harmless(&shown));
            if fails(&chain, args.known_loss.as_deref()) { exit::FAILED.end() } else { exit::DONE.end() }
        }
        Err(why) => {
            eprintln!("error: {}", harmless(&why));
            exit::REFUSED.end()
        }
    }
}

/// Says whether somebody must look: the chain is broken, or a journal was lost and nobody has said that this loss is known.
fn fails(chain: &Chain, known: Option<&Path>) -> bool {
    let kept_as = |lost: &str| lost.rsplit_once(" kept as ").and_then(|(_, file)| Path::new(file).file_name().map(ToOwned::to_owned));
    let is_known = |lost: &str| known.and_then(Path::file_name).is_some_and(|name| kept_as(lost).is_some_and(|file| file == name));
    chain.broken.is_some() || chain.lost.as_deref().is_some_and(|lost| !is_known(lost))
}

/// Tells what was found, a sentence a line.
fn told(chain: &Chain) -> String {
    let mut lines = Vec::new();
    match (&chain.broken, chain.oldest, &chain.newest) {
        (Some(broken), ..) => lines.push(format!("the chain is broken at entry {}: {}", broken.sequence, broken.reason)),
        (None, Some(oldest), Some(newest)) => {
            lines.push(format!("the chain is whole: {} entries, {oldest} to {}", chain.entries, newest.sequence))
        }
        (None, ..) => lines.push("the journal is empty".to_owned()),
    }
    if let Some(lost) = &chain.lost {
        lines.push(format!("an earlier journal was lost: {lost}; compare its newest number and sum, if they were kept elsewhere"));
    }
    if chain.unlinked > 0 {
        lines.push(format!("the oldest {} were written by an earlier release, which linked nothing", chain.unlinked));
    }
    if let Some(newest) = &chain.newest {
        lines.push(format!("newest: {} {}", newest.sequence, newest.sha256));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Broken, Sealed};

    #[test]
    fn a_loss_fails_until_it_is_said_to_be_known_and_another_one_fails_again() {
        let whole = Chain { entries: 0, oldest: None, newest: None, unlinked: 0, lost: None, broken: None };
        let kept = "/var/lib/portcullis/state.redb.unreadable-1";
        let lost =
            Chain { lost: Some(format!("the state file was unreadable (it is kept as it was) and is kept as {kept}")), ..whole.clone() };
        assert!(!fails(&whole, None) && !fails(&whole, Some(Path::new(kept))) && fails(&lost, None));
        for (known, still) in
            [(kept, false), ("state.redb.unreadable-1", false), ("state.redb.unreadable-2", true), ("", true), ("/", true)]
        {
            assert_eq!(fails(&lost, Some(Path::new(known))), still, "{known}");
        }
        let broken = Chain { broken: Some(Broken { sequence: 4, reason: "it is missing".to_owned() }), ..lost };
        assert!(fails(&broken, Some(Path::new(kept))));
    }

    #[test]
    fn a_loss_is_told_beside_what_there_is() {
        let newest = Some(Sealed { sequence: 5, sha256: "ab".to_owned() });
        let whole = Chain { entries: 2, oldest: Some(4), newest, unlinked: 0, lost: None, broken: None };
        assert_eq!(told(&whole), "the chain is whole: 2 entries, 4 to 5\nnewest: 5 ab");
        let lost = Chain { lost: Some("the state file was unreadable".to_owned()), ..whole };
        assert!(told(&lost).contains("4 to 5\nan earlier journal was lost: the state file was unreadable;"), "{}", told(&lost));
        let broken = Chain { broken: Some(Broken { sequence: 4, reason: "it is missing".to_owned() }), ..lost };
        assert!(
            told(&broken).starts_with("the chain is broken at entry 4: it is missing\nan earlier journal was lost"),
            "{}",
            told(&broken)
        );
    }
}
