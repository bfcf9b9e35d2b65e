//! The files of the projects: the shipyard, and of each service its tests and gates, looked up as keptn did.
//!
//! A folder per project, which may be a Git work tree: `shipyard.yaml` and files for the whole project; `stages/STAGE/…` for a
//! stage, `services/SERVICE/…` for a service in every stage, `stages/STAGE/services/SERVICE/…` for a service in one stage. What
//! is more particular comes first. A service is onboarded when its folder below `services` is there.
//!
//! What is read of a work tree is what lies in it, committed or not; no commit is looked at, nothing is fetched or checked out. What
//! belongs to Git itself (`.git`, folder or file) is neither read nor written.

use std::cell::RefCell;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::delivery::gate_file::Files;
use crate::delivery::kept::{self, Kept};
use crate::delivery::spot::Spot;
use crate::domain::delivery::shipyard::Mode;
use crate::domain::delivery::{Shipyard, StageName};
use crate::domain::version::Name;
use crate::formats::shipyard;

/// The file that lists the stages.
const SHIPYARD: &str = "shipyard.yaml";
/// The files of a gate of keptn 0.5.
pub(super) const OBJECTIVES: &str = "service-objectives.yaml";
pub(super) const INDICATORS: &str = "service-indicators.yaml";
/// The file that says that a project is delivered as keptn did.
const COMPAT: &str = "compat";
/// Where Git keeps what belongs to a work tree: a folder, or a file that names one.
const GIT: &str = ".git";
/// The largest file of a project, in bytes.
pub(super) const LARGEST: usize = 1 << 20;

/// For whom a file is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) project: &'a Name,
    /// For this stage only.
    pub(super) stage: Option<&'a StageName>,
    /// For this service only.
    pub(super) service: Option<&'a Name>,
}

/// A project as its files say.
#[derive(Clone, Debug)]
pub(super) struct Project {
    pub(super) name: Name,
    pub(super) shipyard: Shipyard,
    pub(super) services: Vec<Name>,
}

/// The folder of all projects.
#[derive(Clone, Debug)]
pub(super) struct Projects {
    folder: PathBuf,
    /// Each project as it could last be read, so that what is live goes on where its files are broken or gone.
    last: Rc<RefCell<Kept>>,
}

/// What of a project is kept: the text of its shipyard, how it is read, and its services.
#[derive(Serialize, Deserialize)]
struct Last {
    shipyard: String,
    keptn: bool,
    services: Vec<Name>,
}

impl Projects {
    /// Begins with what could be read before.
    ///
    /// # Errors
    ///
    /// Says why that itself cannot be read.
    pub(super) fn new(folder: PathBuf, state: &Path) -> Result<Self, String> {
        Ok(Self { folder, last: Rc::new(RefCell::new(Kept::open(state.join("shipyards"))?)) })
    }

    /// Reads every project. One that cannot be read goes on as it last could be, or is left out; both are told. A project whose
    /// folder was taken away is gone; where the folder of all projects cannot be read none of them is.
    pub(super) fn all(&self) -> (Vec<Project>, Vec<String>) {
        let (mut projects, mut problems) = (Vec::new(), Vec::new());
        let known: Vec<Name> = self.last.borrow().names().filter_map(|name| name.parse().ok()).collect();
        let mut all = names(&self.folder).unwrap_or_default();
        problems.extend(odd(&self.folder));
        if let Err(error) = fs::read_dir(&self.folder)
            && !known.is_empty()
        {
            problems.push(format!("the projects cannot be read ({}: {error})", self.folder.display()));
            all = known;
        }
        for name in all {
            match self.read(&name) {
                Ok(project) => projects.push(project),
                Err(why) => match self.as_it_was(&name) {
                    Some(project) => {
                        problems.push(format!("project {name} goes on as it last could be read; mend it and restart: {why}"));
                        projects.push(project);
                    }
                    None => problems.push(format!("project {name} is left out: {why}")),
                },
            }
        }
        (projects, problems)
    }

    /// Returns a project as it last could be read.
    fn as_it_was(&self, name: &Name) -> Option<Project> {
        let last: Last = serde_json::from_str(self.last.borrow().get(name.as_str())?).ok()?;
        let shipyard = read_shipyard(name, SHIPYARD, &last.shipyard, last.keptn).ok()?;
        Some(Project { name: name.clone(), shipyard, services: last.services })
    }

    /// Keeps a project as it is now, for a time when it cannot be read.
    fn remember(&self, name: &Name, last: &Last) {
        let kept = serde_json::to_string(last).map_err(|error| error.to_string());
        if let Err(why) = kept.and_then(|text| self.last.borrow_mut().put(name.as_str(), &text)) {
            tracing::warn!("project {name} will not go on where it cannot be read after a restart: {why}");
        }
    }

    /// Makes a project of its shipyard.
    ///
    /// # Errors
    ///
    /// Says what is wrong; then nothing was made.
    pub(super) fn create(&self, name: &Name, text: &str, keptn: bool) -> Result<Project, String> {
        read_shipyard(name, SHIPYARD, text, keptn)?;
        let folder = self.folder.join(name.as_str());
        if folder.exists() {
            return Err(format!("there is a project {name} already"));
        }
        // Under its name only when it is complete: a kill in between leaves no half project.
        let fresh = self.folder.join(format!(".new-{name}"));
        let _ = fs::remove_dir_all(&fresh);
        make(&fresh)?;
        write(&fresh.join(SHIPYARD), text.as_bytes())?;
        if keptn {
            write(&fresh.join(COMPAT), b"keptn\n")?;
        }
        fs::rename(&fresh, &folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        self.read(name)
    }

    /// Makes a service known.
    ///
    /// # Errors
    ///
    /// Says what the disk says.
    pub(super) fn onboard(&self, project: &Name, service: &Name) -> Result<(), String> {
        make(&self.folder.join(project.as_str()).join("services").join(service.as_str()))?;
        // Read again, so that it is known how it could be read with this service.
        self.read(project).map(|_| ())
    }

    /// Says whether a file may stand at a place of a project.
    ///
    /// # Errors
    ///
    /// Says what is wrong with its name or its size.
    pub(super) fn check_place(&self, target: Target<'_>, uri: &str, size: usize) -> Result<(), String> {
        let plain = is_plain(uri);
        if Path::new(uri).components().any(|part| part.as_os_str().eq_ignore_ascii_case(GIT)) {
            return Err(format!("{uri:?} belongs to Git; write a place beside {GIT}"));
        }
        if uri.is_empty() || uri.len() > 200 || !plain || uri.ends_with('/') || uri.bytes().any(|byte| byte < b' ' || byte == b'\\') {
            return Err(format!("{uri:?} is no place for a file: write a relative path such as jmeter/load.jmx"));
        }
        if size > LARGEST {
            return Err(format!("{uri} is larger than 1 MiB"));
        }
        let (own, folders) = ([SHIPYARD, COMPAT], ["stages", "services"]);
        let of_project = target.stage.is_none() && target.service.is_none();
        if of_project && (own.contains(&uri) || folders.contains(&uri.split('/').next().unwrap_or_default())) {
            return Err(format!("{uri} is kept for the project itself; name a stage or a service"));
        }
        Ok(())
    }

    /// Puts a file where a stage, a service or both look for it.
    ///
    /// # Errors
    ///
    /// Says what is wrong with its name, or what the disk says; then nothing has changed.
    pub(super) fn add(&self, target: Target<'_>, uri: &str, content: &[u8]) -> Result<(), String> {
        self.check_place(target, uri, content.len())?;
        let path = self.folder_of(target.project, target.stage, target.service).join(uri);
        if let Some(folder) = path.parent() {
            make(folder)?;
            // A work tree may hold links; nothing is written through one that leads out of the project.
            let home = fs::canonicalize(self.folder.join(target.project.as_str())).map_err(|error| error.to_string())?;
            let real = fs::canonicalize(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            if !real.starts_with(&home) {
                return Err(format!("{uri} leads out of the project by a link"));
            }
        }
        write(&path, content)
    }

    fn folder_of(&self, project: &Name, stage: Option<&StageName>, service: Option<&Name>) -> PathBuf {
        let mut folder = self.folder.join(project.as_str());
        if let Some(stage) = stage {
            folder = folder.join("stages").join(stage.as_str());
        }
        if let Some(service) = service {
            folder = folder.join("services").join(service.as_str());
        }
        folder
    }

    /// Finds a file: of the service in the stage, of the service, of the stage, of the project.
    pub(super) fn find(&self, spot: &Spot, uri: &str) -> Option<PathBuf> {
        let Spot { project, stage, service } = spot;
        self.find_for(Target { project, stage: Some(stage), service: Some(service) }, uri)
    }

    /// Finds a file as whoever is meant finds it.
    pub(super) fn find_for(&self, target: Target<'_>, uri: &str) -> Option<PathBuf> {
        let Target { project, stage, service } = target;
        let places = [(stage, service), (None, service), (stage, None), (None, None)];
        // The name may stand in a file of the project, and leads to nothing outside of it.
        let mut found = places.into_iter().map(|(stage, service)| self.folder_of(project, stage, service).join(uri));
        found.find(|path| is_plain(uri) && path.is_file())
    }

    /// Finds the files of the gate of a service in a stage.
    pub(super) fn gate(&self, spot: &Spot) -> Option<Files> {
        let perfspec = self.find(spot, "perfspec/perfspec.json").or_else(|| self.find(spot, "perfspec.json"));
        let pair = || {
            let objectives = self.find(spot, OBJECTIVES)?;
            Some(Files::Pair { objectives, indicators: self.find(spot, INDICATORS)? })
        };
        let slo = || Some(Files::Slo { slo: self.find(spot, "slo.yaml")?, sli: self.find(spot, "sli.yaml") });
        perfspec.map(Files::Perfspec).or_else(pair).or_else(slo)
    }

    fn read(&self, name: &Name) -> Result<Project, String> {
        let folder = self.folder.join(name.as_str());
        let path = folder.join(SHIPYARD);
        let text = fs::read_to_string(&path).map_err(|error| match bare(&folder) {
            Some(why) => why,
            None => format!("{}: {error}", path.display()),
        })?;
        let keptn = fs::read_to_string(folder.join(COMPAT)).is_ok_and(|text| text.trim() == "keptn");
        let shipyard = read_shipyard(name, &path.display().to_string(), &text, keptn)?;
        let services = names(&folder.join("services"))?;
        self.remember(name, &Last { shipyard: text, keptn, services: services.clone() });
        Ok(Project { name: name.clone(), shipyard, services })
    }
}

/// Says whether a text is a label of a host name: small letters, digits and hyphens, beginning with a letter.
pub(super) fn is_label(text: &str) -> bool {
    text.parse::<StageName>().is_ok()
}

/// Says whether a project is delivered as keptn did.
pub(super) fn is_keptn(shipyard: &Shipyard) -> bool {
    shipyard.mode() == Mode::Keptn
}

fn read_shipyard(name: &Name, file: &str, text: &str, keptn: bool) -> Result<Shipyard, String> {
    let read = if keptn { shipyard::read_keptn(file, text) } else { shipyard::read(file, text) };
    let read = read.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    read.notes.iter().for_each(|note| tracing::info!(project = %name, "{note}"));
    Ok(read.shipyard)
}

/// Says whether a path leads down from where it begins and nowhere else.
fn is_plain(uri: &str) -> bool {
    Path::new(uri).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Says what is wrong with a folder that is a bare Git repository: it holds commits, and no file that could be read.
fn bare(folder: &Path) -> Option<String> {
    let is_bare = folder.join("HEAD").is_file() && folder.join("objects").is_dir() && folder.join("refs").is_dir();
    let path = folder.display();
    is_bare.then(|| {
        format!("{path} is a bare Git repository, which has no files to read; put a work tree in its place: git clone {path} NAME")
    })
}

/// Says which folders beside those of the projects look as if they were meant for one.
fn odd(folder: &Path) -> Vec<String> {
    let folders = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| (entry.path(), entry.file_name()));
    let unlike = |name: &str| !is_label(name) && !name.starts_with('.');
    let others = folders.filter_map(|(path, name)| name.into_string().ok().filter(|name| unlike(name)).map(|name| (path, name)));
    let no_name = |name: &str| format!("{name:?} is no name of a project: use small letters, digits and '-', beginning with a letter");
    let told = others.filter_map(|(path, name)| bare(&path).or_else(|| path.join(SHIPYARD).is_file().then(|| no_name(&name))));
    let mut told: Vec<String> = told.collect();
    told.sort();
    told
}

/// Returns the names of the folders in a folder that are labels, in their order; none where there is no folder.
fn names(folder: &Path) -> Result<Vec<Name>, String> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{}: {error}", folder.display())),
    };
    let folders = entries.flatten().filter(|entry| entry.path().is_dir()).filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<Name> = folders.filter(|name| is_label(name)).filter_map(|name| name.parse().ok()).collect();
    names.sort();
    Ok(names)
}

/// Makes a folder that only its owner enters.
pub(super) fn make(folder: &Path) -> Result<(), String> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Writes a file under another name first, so that nobody ever reads half of it.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), String> {
    let written = kept::replace(path, content);
    written.map_err(|error| match error.kind() {
        ErrorKind::NotADirectory => format!("{}: a part of the path is a file", path.display()),
        _ => format!("{}: {error}", path.display()),
    })
}

#[cfg(test)]
#[path = "projects_tests.rs"]
mod tests;
