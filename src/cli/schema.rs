//! `portcullis schema`: the JSON schema of the configuration file, for editors and other checkers, and the reference made of it.

use std::io::Write as _;
use std::process::ExitCode;

use crate::cli::exit;
use crate::cli::reference;

/// The schema as it is kept; a test holds it to the reader.
const SCHEMA: &str = include_str!("../../config/schema.json");

/// Prints the JSON schema (2020-12) of the configuration file.
///
/// Exit code: 0 when it was written, 1 when it could not be.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(
    after_help = "Example: portcullis schema > portcullis.schema.json, and in the file:\n  # yaml-language-server: $schema=portcullis.schema.json"
)]
pub struct SchemaArgs {
    /// Prints the reference for people instead, as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// Prints the schema and returns the exit code.
#[must_use]
pub fn run(args: &SchemaArgs) -> ExitCode {
    let text = if args.markdown { serde_json::from_str(SCHEMA).map(|schema| reference::page(&schema)) } else { Ok(SCHEMA.to_owned()) };
    let written = text.map_err(std::io::Error::from).and_then(|text| std::io::stdout().lock().write_all(text.as_bytes()));
    match written {
        Ok(()) => exit::DONE.end(),
        Err(error) => {
            eprintln!("error: cannot write the schema: {error}\n  hint: send the output to a file or a reader that stays");
            exit::FAILED.end()
        }
    }
}
