//! `portcullis completions` and `portcullis man`: what a shell and `man` know of this program, written from its own command line.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use crate::cli::exit;

/// Writes the completions of a shell to the standard output.
///
/// Exit code: 0 when they were written, 1 when they could not be.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: portcullis completions bash > /etc/bash_completion.d/portcullis")]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// Writes the manual page, or with a folder one page for each command.
///
/// Exit code: 0 when they were written, 1 when they could not be.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: portcullis man | man -l -")]
pub struct ManArgs {
    /// The folder for the pages of every command; absent: the main page to the standard output.
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

/// Writes the completions and returns the exit code.
#[must_use]
pub fn completions(args: &CompletionsArgs, mut command: Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "portcullis", &mut script);
    end(io::stdout().lock().write_all(&script), "the completions")
}

/// Writes the manual and returns the exit code.
#[must_use]
pub fn man(args: &ManArgs, command: &Command) -> ExitCode {
    match &args.folder {
        None => end(page(command).and_then(|page| io::stdout().lock().write_all(&page)), "the manual page"),
        Some(folder) => end(clap_mangen::generate_to(command.clone(), folder), &format!("the manual pages to {}", folder.display())),
    }
}

fn end(written: io::Result<()>, what: &str) -> ExitCode {
    match written {
        Ok(()) => exit::DONE.end(),
        Err(error) => {
            eprintln!("error: cannot write {what}: {error}\n  hint: name a folder that exists and may be written to");
            exit::FAILED.end()
        }
    }
}

pub(super) fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}
