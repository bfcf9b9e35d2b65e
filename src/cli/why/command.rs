//! The command itself: finds the journal, tells the story, and sets the exit code.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::admin::journal::Journal;
use crate::cli::admin::Admin;
use crate::cli::exit;
use crate::cli::figures::harmless;
use crate::cli::output::Output;
use crate::cli::why::source::{self, SourceError};
use crate::cli::why::story::{self, Story, Target, Untold};
use crate::cli::why::{check, text};

/// Tells from the journal what became of a rollout and why, and verifies all evidence by computing it again.
///
/// Exit code: 0 when all evidence verifies, 1 when some does not, 2 when there is no such rollout or no journal to read.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: portcullis why carts/0.8.2 --state /var/lib/portcullis")]
pub struct WhyArgs {
    /// The rollout, by its number or the name of the version on trial; absent: the newest of the service, or of every service.
    #[arg(value_name = "SERVICE[/ROLLOUT]")]
    pub target: Option<Target>,
    /// Whom to ask.
    #[command(flatten)]
    pub admin: Admin,
    /// The state folder of a proxy that has ended; it is only read.
    #[arg(long, value_name = "FOLDER", conflicts_with = "admin")]
    pub state: Option<PathBuf>,
    /// How the story is written.
    #[command(flatten)]
    pub output: Output,
}

/// Why there is no story.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Untold(#[from] Untold),
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &WhyArgs) -> ExitCode {
    let (text, verified) = match answer(args) {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("error: {}", harmless(&error.to_string()));
            return exit::REFUSED.end();
        }
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) if verified => ExitCode::SUCCESS,
        Ok(()) => exit::FAILED.end(),
        Err(error) => {
            eprintln!("error: cannot write the story: {error}");
            exit::REFUSED.end()
        }
    }
}

fn answer(args: &WhyArgs) -> Result<(String, bool), Stop> {
    let journal = match &args.state {
        Some(folder) => source::read(folder)?,
        None => source::ask(&args.admin, args.target.as_ref().map(|target| &target.service))?,
    };
    let stories = story::pick(&journal, args.target.as_ref())?;
    Ok(tell(&journal, &stories, args.output.is_json()))
}

/// Writes the stories, and says whether nothing in them is wrong.
fn tell(journal: &Journal, stories: &[Story], as_json: bool) -> (String, bool) {
    let entries = stories.iter().flat_map(|story| &story.entries);
    let broken = entries.flat_map(|(_, entry)| check::all(entry)).filter(|(_, check)| check.is_broken()).count();
    let unreadable = journal.entries.iter().filter(|line| line.unreadable.is_some());
    if as_json {
        return (format!("{:#}\n", text::json(stories, journal.complete, broken == 0)), broken == 0);
    }
    let mut said = stories.iter().map(text::told).collect::<Vec<_>>().join("\n");
    for line in unreadable {
        said.push_str(&format!("\n#{} cannot be read: {}\n", line.sequence, line.unreadable.as_deref().unwrap_or_default()));
    }
    if !journal.complete {
        said.push_str("\nolder entries of the journal are not shown\n");
    }
    if broken > 0 {
        said.push_str(&format!("\n{broken} piece(s) of evidence do NOT verify\n"));
    }
    (harmless(&said), broken == 0)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
