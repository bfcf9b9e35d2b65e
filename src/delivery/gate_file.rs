//! The gate file of a service in a stage: which files it is, what they say, and whom they ask.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::domain::gate::perfspec::spec::Spec;
use crate::domain::gate::slo::baseline::Earlier;
use crate::formats::problem::Problem;
use crate::formats::{perfspec, slo};
use crate::sources::judgement;

/// Which files a gate is written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// `perfspec/perfspec.json` or `perfspec.json`.
    Perfspec(PathBuf),
    /// `service-objectives.yaml` with its `service-indicators.yaml`, of keptn 0.5.
    Pair { objectives: PathBuf, indicators: PathBuf },
    /// `slo.yaml` with its `sli.yaml`.
    Slo { slo: PathBuf, sli: Option<PathBuf> },
}

/// A gate file of a service in a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GateFile {
    /// Its files.
    pub(super) files: Files,
    /// Whether a source of its own answers it, so that the proxy need not be able to.
    pub(super) sourced: bool,
}

impl GateFile {
    /// Returns how a configuration names it; the pair of keptn 0.5 has no name there.
    pub(super) fn key(&self) -> Option<(&'static str, Value)> {
        match &self.files {
            Files::Perfspec(path) => Some(("perfspec", json!(path))),
            Files::Slo { slo, sli: Some(sli) } => Some(("slo", json!({"file": slo, "sli": sli}))),
            Files::Slo { slo, sli: None } => Some(("slo", json!({"file": slo}))),
            Files::Pair { .. } => None,
        }
    }

    /// Returns the file itself.
    pub(super) fn path(&self) -> &Path {
        match &self.files {
            Files::Perfspec(path) | Files::Slo { slo: path, .. } | Files::Pair { objectives: path, .. } => path,
        }
    }

    /// Reads the pair of keptn 0.5 as the perfspec it stands for; nothing where this is another kind.
    ///
    /// # Errors
    ///
    /// Says everything that is wrong with it.
    pub(super) fn pair(&self) -> Result<Option<Spec>, String> {
        let Files::Pair { objectives, indicators } = &self.files else { return Ok(None) };
        let (one, other) = (Text::read(objectives)?, Text::read(indicators)?);
        let read = slo::read_pair((&one.name, &one.text), (&other.name, &other.text));
        read.map(|(spec, _)| Some(spec)).map_err(told)
    }
}

/// A file that was read.
struct Text {
    name: String,
    text: String,
}

impl Text {
    fn read(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { name, text })
    }

    fn file(&self) -> judgement::File<'_> {
        judgement::File { name: &self.name, text: &self.text }
    }
}

/// What the files of a gate say.
pub(super) struct Texts {
    main: Text,
    /// The indicators of the pair, or the queries of an `slo.yaml`.
    queries: Option<Text>,
    pair: bool,
    slo: bool,
}

impl Texts {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Says which cannot be read.
    pub(super) fn read(files: &Files) -> Result<Self, String> {
        let (main, queries) = match files {
            Files::Perfspec(path) => (path, None),
            Files::Pair { objectives, indicators } => (objectives, Some(indicators)),
            Files::Slo { slo, sli } => (slo, sli.as_ref()),
        };
        let queries = queries.map(|path| Text::read(path)).transpose()?;
        let (pair, slo) = (matches!(files, Files::Pair { .. }), matches!(files, Files::Slo { .. }));
        Ok(Self { main: Text::read(main)?, queries, pair, slo })
    }

    /// Returns the sources that its indicators name; those of an `slo.yaml` name none.
    pub(super) fn sources(&self) -> Vec<String> {
        match &self.queries {
            _ if self.slo => Vec::new(),
            Some(indicators) => judgement::sources_of(&slo::read_pair_keptn(&self.main.text, &indicators.text)),
            None => judgement::sources_of(&perfspec::load_keptn(&self.main.text)),
        }
    }

    /// Says whether one provider answers everything, because no indicator names its own.
    pub(super) const fn has_one_source(&self) -> bool {
        self.slo
    }

    /// Returns it as it is graded.
    pub(super) fn graded<'t>(&'t self, earlier: &'t [Earlier]) -> judgement::GateFile<'t> {
        match &self.queries {
            queries if self.slo => judgement::GateFile::Slo { slo: self.main.file(), sli: queries.as_ref().map(Text::file), earlier },
            Some(indicators) if self.pair => judgement::GateFile::Pair { objectives: self.main.file(), indicators: indicators.file() },
            _ => judgement::GateFile::Perfspec(self.main.file()),
        }
    }

    /// Checks the files strictly.
    ///
    /// # Errors
    ///
    /// Says everything that is wrong with them.
    pub(super) fn check(&self) -> Result<(), String> {
        let Text { name, text } = &self.main;
        match &self.queries {
            None if self.slo => slo::read(name, text).map(|_| ()),
            Some(queries) if self.slo => {
                let slis = slo::read_sli(&queries.name, &queries.text);
                slis.and_then(|slis| slo::read_with(name, text, &slis)).map(|_| ())
            }
            Some(queries) => slo::read_pair((name, text), (&queries.name, &queries.text)).map(|_| ()),
            None => perfspec::load(name, text).map(|_| ()),
        }
        .map_err(told)
    }
}

/// Puts what is wrong into one text; notes are nothing wrong.
pub(super) fn told(problems: Vec<Problem>) -> String {
    problems.iter().filter(|problem| problem.is_error()).map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
