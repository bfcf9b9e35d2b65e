//! Loads a configuration from a file, from flags, or from a file with flags on top.

use std::path::{Path, PathBuf};

use crate::config::compile;
use crate::config::file::read_text;
use crate::config::flags::Flags;
use crate::config::settings::Settings;
use crate::config::spec::Spec;
use crate::config::surroundings::Surroundings;
use crate::formats::problem::Problem;
use crate::formats::yaml::place::Report;
use crate::formats::yaml::tree::{self, Limits};

/// A configuration that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What the operator should know.
    pub notes: Vec<Problem>,
    /// The files it was read from: its own, if it has one, and the files with gates and keys it names.
    pub files: Vec<PathBuf>,
}

/// Loads a configuration. With a file, the flags about the process (`--listen`, `--admin`, `--state`, `--workers`,
/// `--access-log`) replace its values, and those about a service are refused. Paths in the file are relative to its
/// folder, paths in flags to the working directory. Host names of endpoints are resolved, which may block.
///
/// # Errors
///
/// Fails with every problem at once, notes included.
pub fn load(file: Option<&Path>, flags: &Flags, around: &Surroundings<'_>) -> Result<Loaded, Vec<Problem>> {
    let Some(path) = file else {
        let report = Report::new("", "");
        let spec = flags.spec(&report);
        return finish(&spec, None, Path::new(""), around, report);
    };
    let name = path.display().to_string();
    let text = read_text(path).map_err(|problem| vec![*problem])?;
    let root = tree::parse(&name, &text, Limits::CONFIGURATION).map_err(|problem| vec![*problem])?;
    let report = Report::new(&name, &text);
    let mut spec = Spec::read(&root, &report);
    flags.override_file(&mut spec, &report);
    finish(&spec, Some(path), path.parent().unwrap_or(Path::new("")), around, report)
}

/// Loads a configuration from a text as if it were the file `name` in the folder `base`.
///
/// # Errors
///
/// Fails with every problem at once, notes included.
pub fn load_text(name: &str, text: &str, base: &Path, around: &Surroundings<'_>) -> Result<Loaded, Vec<Problem>> {
    let root = tree::parse(name, text, Limits::CONFIGURATION).map_err(|problem| vec![*problem])?;
    let report = Report::new(name, text);
    let spec = Spec::read(&root, &report);
    finish(&spec, None, base, around, report)
}

fn finish(spec: &Spec, file: Option<&Path>, base: &Path, around: &Surroundings<'_>, report: Report<'_>) -> Result<Loaded, Vec<Problem>> {
    let settings = compile::compile(spec, base, around, &report);
    let failed = report.has_errors();
    let notes = report.into_problems();
    match settings {
        Some(settings) if !failed => {
            Ok(Loaded { settings, notes, files: file.map(Path::to_owned).into_iter().chain(spec.files(base)).collect() })
        }
        _ => Err(notes),
    }
}
