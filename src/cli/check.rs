//! `portcullis check`: says everything that is wrong with configurations and gate files, without running anything.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::{self, Flags, Surroundings};
use crate::formats::perfspec;
use crate::formats::problem::Problem;

/// The exit code when a file has errors (`EX_CONFIG` of sysexits).
const BAD_FILE: u8 = 78;
/// The exit code when the findings cannot be written.
const UNWRITABLE: u8 = 1;

/// Checks configurations (YAML) and gate files (perfspec, JSON) and shows every problem at once.
///
/// A file whose name ends in .json, or whose content begins with '{', is a perfspec; any other is a configuration.
/// Host names in a configuration are resolved, and the perfspec it names is checked too.
/// Exit code: 0 when every file can be used, 78 when one has errors.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The files to check.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &CheckArgs) -> ExitCode {
    let (findings, good) = check(&args.files, &Surroundings::real());
    match std::io::stdout().lock().write_all(findings.as_bytes()) {
        Ok(()) if good => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(BAD_FILE),
        Err(error) => {
            eprintln!("error: cannot write the findings: {error}\n  hint: send the output to a file or a reader that stays");
            ExitCode::from(UNWRITABLE)
        }
    }
}

/// Returns what there is to say of each file, and whether all of them can be used.
fn check(files: &[PathBuf], around: &Surroundings<'_>) -> (String, bool) {
    let mut findings = String::new();
    let mut good = true;
    for file in files {
        let problems = problems_of(file, around);
        let errors = problems.iter().filter(|problem| problem.is_error()).count();
        good &= errors == 0;
        for problem in &problems {
            // Writing to a String cannot fail.
            let _ = writeln!(findings, "{problem}\n");
        }
        let _ = writeln!(findings, "{}: {}", file.display(), summary(errors, problems.len().saturating_sub(errors)));
    }
    (findings, good)
}

fn problems_of(file: &Path, around: &Surroundings<'_>) -> Vec<Problem> {
    let text = match config::read_text(file) {
        Ok(text) => text,
        Err(problem) => return vec![*problem],
    };
    if is_perfspec(file, &text) {
        return perfspec::check(&file.display().to_string(), &text);
    }
    match config::load(Some(file), &Flags::default(), around) {
        Ok(loaded) => loaded.notes,
        Err(problems) => problems,
    }
}

/// Tells a gate file from a configuration by its name, else by how it begins.
fn is_perfspec(file: &Path, text: &str) -> bool {
    let extension = file.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("json") => true,
        Some("yaml" | "yml") => false,
        _ => text.trim_start().starts_with('{'),
    }
}

fn summary(errors: usize, notes: usize) -> String {
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    match (errors, notes) {
        (0, 0) => "ok".to_owned(),
        (0, _) => format!("ok, {}", count(notes, "note")),
        (_, 0) => count(errors, "error"),
        _ => format!("{}, {}", count(errors, "error"), count(notes, "note")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const GOOD: &str = "listen: 127.0.0.1:8080\nservices:\n  - {name: a, stable: {version: v1, endpoints: ['127.0.0.1:1']}}\n";

    fn around() -> Surroundings<'static> {
        Surroundings { cores: 1, variable: &|_| Some("/home/u".into()), resolve: &|_| Ok(Vec::new()) }
    }

    fn found(files: &[(&str, &str)]) -> (String, bool) {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = files.iter().map(|(name, _)| folder.path().join(name)).collect();
        for (path, (_, text)) in paths.iter().zip(files) {
            fs::write(path, text).unwrap();
        }
        let (findings, good) = check(&paths, &around());
        (findings.replace(&format!("{}/", folder.path().display()), ""), good)
    }

    fn seed_file(name: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/compat").join(name)).unwrap()
    }

    #[test]
    fn good_files_are_ok_and_their_notes_are_shown() {
        assert_eq!(found(&[("a.yaml", GOOD)]), ("a.yaml: ok\n".to_owned(), true));
        let (text, good) = found(&[("p.json", &seed_file("perfspec_dynatrace.json")), ("q", &seed_file("perfspec_prometheus.json"))]);
        assert!(good && text.contains("note: ") && text.contains("\np.json: ok, ") && text.contains("\nq: ok, "), "{text}");
    }

    #[test]
    fn every_problem_of_every_file_is_shown() {
        let broken = format!("zzz: 1\nworkers: 0\n{GOOD}");
        let (text, good) = found(&[("a.yaml", &broken), ("b", &broken), ("c.json", "{\"spec_version\": 7}"), ("d.yaml", GOOD)]);
        assert!(!good);
        for part in ["a.yaml:1:1 (zzz)", "a.yaml:2:10 (workers)", "a.yaml: 2 errors\n", "b:1:1 (zzz)", "c.json: ", "d.yaml: ok\n"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(text.contains("c.json:1:"), "{text}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_problem_with_a_hint() {
        let (text, good) = check(&[PathBuf::from("missing.yaml")], &around());
        assert!(
            !good && text.contains("cannot read the file") && text.contains("hint: ") && text.ends_with("missing.yaml: 1 error\n"),
            "{text}"
        );
    }

    #[test]
    fn the_problems_of_a_named_perfspec_are_shown_in_its_own_lines() {
        let config = format!("{}    perfspec: p.json\n", GOOD.replace("{name: a, ", "name: a\n    ").replace("}}", "}"));
        let (text, good) = found(&[("p.json", "{\n  \"indicatorss\": []\n}"), ("a.yaml", &config)]);
        assert!(!good, "{text}");
        assert_eq!(text.matches("p.json:2:").count(), 2, "once for each file that leads there:\n{text}");
    }
}
