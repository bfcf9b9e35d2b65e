//! `add-resource`: files of a project, a stage or a service.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use http::Method;

use crate::cli::admin::Admin;
use crate::cli::delivery::outcome::{Undone, end};
use crate::domain::delivery::StageName;
use crate::domain::version::Name;

/// The most files that are added with a folder.
const MOST: usize = 1000;

/// Adds a test or a gate to a project, a stage or a service.
#[derive(Clone, Debug, clap::Args)]
pub struct AddResourceArgs {
    /// The project.
    #[arg(long, value_name = "NAME")]
    project: Name,
    /// For this stage only.
    #[arg(long, value_name = "NAME")]
    stage: Option<StageName>,
    /// For this service only.
    #[arg(long, value_name = "NAME")]
    service: Option<Name>,
    /// The file.
    #[arg(long, value_name = "FILE")]
    resource: PathBuf,
    /// Where it is looked for, such as jmeter/load.jmx; absent: the name of the file.
    #[arg(long = "resourceUri", visible_alias = "resource-uri", value_name = "PATH")]
    uri: Option<String>,
    /// Whom to ask.
    #[command(flatten)]
    admin: Admin,
}

/// For whom a file is.
pub(super) struct Target<'a> {
    pub(super) stage: Option<&'a StageName>,
    pub(super) service: Option<&'a Name>,
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn add_resource(args: &AddResourceArgs) -> ExitCode {
    end(add(args))
}

fn add(args: &AddResourceArgs) -> Result<String, Undone> {
    let name = args.resource.file_name().and_then(|name| name.to_str());
    let uri = args.uri.as_deref().or(name).ok_or_else(|| Undone::Here("name the place with --resourceUri".to_owned()))?;
    let content = read(&args.resource)?;
    put(&args.admin, &args.project, Target { stage: args.stage.as_ref(), service: args.service.as_ref() }, uri, content)?;
    Ok(format!("added {uri}\n"))
}

/// Puts a file where it is looked for.
pub(super) fn put(admin: &Admin, project: &Name, target: Target<'_>, uri: &str, content: Vec<u8>) -> Result<(), Undone> {
    let mut path = format!("/v1/projects/{project}/resources?uri={}", escaped(uri));
    if let Some(stage) = target.stage {
        path.push_str(&format!("&stage={stage}"));
    }
    if let Some(service) = target.service {
        path.push_str(&format!("&service={service}"));
    }
    admin.send(Method::PUT, &path, "application/octet-stream", content.into())?;
    Ok(())
}

/// Reads every file below a folder, with its path in it.
pub(super) fn below(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, Undone> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(one) = folders.pop() {
        let entries = fs::read_dir(&one).map_err(|error| Undone::Here(format!("{}: {error}", one.display())))?;
        for entry in entries {
            let path = entry.map_err(|error| Undone::Here(format!("{}: {error}", one.display())))?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let uri = path.strip_prefix(folder).ok().and_then(Path::to_str).unwrap_or_default().to_owned();
            found.push((uri, read(&path)?));
            if found.len() > MOST {
                return Err(Undone::Here(format!(
                    "{} holds more than {MOST} files; name the folder with the tests and gates",
                    folder.display()
                )));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, Undone> {
    fs::read(path).map_err(|error| Undone::Here(format!("{}: {error}", path.display())))
}

/// Escapes what is no plain character of a query (RFC 3986 section 2.3).
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_folder_is_found_under_its_path_and_hidden_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["jmeter/load.jmx", "perfspec/perfspec.json", ".git/config", "slo.yaml"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let found: Vec<String> = below(folder.path()).unwrap().into_iter().map(|(uri, _)| uri).collect();
        assert_eq!(found, ["jmeter/load.jmx", "perfspec/perfspec.json", "slo.yaml"]);
        assert!(below(&folder.path().join("none")).is_err());
    }

    #[test]
    fn what_is_special_in_a_query_is_escaped() {
        assert_eq!(escaped("jmeter/load x&y=ü.jmx"), "jmeter/load%20x%26y%3D%C3%BC.jmx");
    }
}
