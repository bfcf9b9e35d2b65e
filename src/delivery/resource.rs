//! Checks a file of a project whose meaning is known by its name, before it takes the place of another one.

use std::collections::BTreeMap;
use std::path::Path;

use crate::delivery::engine::Engine;
use crate::delivery::gate_file::{Files, GateFile, told};
use crate::delivery::plane::Shown;
use crate::delivery::projects::{self, INDICATORS, OBJECTIVES, Target};
use crate::delivery::spot::Spot;
use crate::domain::gate::perfspec::Js;
use crate::domain::version::Version;
use crate::formats::kind::{self, Kind};
use crate::formats::yaml::tree as yaml;
use crate::formats::{jmeter_conf, jmx, json, manifest, perfspec, shipyard, slo};

impl Engine {
    /// Checks a file as its reader does, and a gate file also for what the proxy can judge, unless a source may be asked.
    ///
    /// Of a project that is delivered as the original did, where a source may be asked, a gate file need only be one that the original
    /// could read: what it says is known once the source answers.
    ///
    /// # Errors
    ///
    /// Says everything that is wrong with it, with places and hints.
    pub(super) fn check(&self, target: Target<'_>, uri: &str, content: &[u8]) -> Result<(), String> {
        let text = || std::str::from_utf8(content).map_err(|_| format!("{uri} is not UTF-8"));
        let name = uri.rsplit('/').next().unwrap_or(uri);
        let asks = !self.settings.sources.is_empty();
        let keptn = self.projects.get(target.project).is_some_and(|project| projects::is_keptn(&project.shipyard));
        let is_gate = ["perfspec.json", "slo.yaml", "sli.yaml", OBJECTIVES, INDICATORS].contains(&name);
        if is_gate && keptn && asks {
            return readable(name, uri, text()?);
        }
        match name {
            "perfspec.json" if asks => perfspec::load(uri, text()?).map(|_| ()).map_err(told),
            "perfspec.json" => {
                perfspec::load_live(uri, text()?).map_err(told)?;
                self.judges(uri, text()?, &[], |folder| Files::Perfspec(folder.join(name)))
            }
            "slo.yaml" => self.check_slo(target, uri, text()?, asks),
            "sli.yaml" => slo::read_sli(uri, text()?).map(|_| ()).map_err(told),
            OBJECTIVES | INDICATORS => self.check_pair(target, (uri, text()?), name == OBJECTIVES),
            "shipyard.yaml" => shipyard::read(uri, text()?).map(|_| ()).map_err(told),
            _ if uri == "kubernetes/deployment.yaml" => match target.service {
                Some(service) => manifest::read(uri, text()?, service.as_str()).map(|_| ()).map_err(told),
                None => Ok(()),
            },
            "jmeter.conf.yaml" => jmeter_conf::read(uri, text()?).map(|_| ()).map_err(told),
            name if name.ends_with(".jmx") => {
                let options = jmx::Options { properties: &BTreeMap::new(), honour_think_time: false };
                jmx::read(uri, text()?, options).map(|_| ()).map_err(told)
            }
            _ => Ok(()),
        }
    }

    fn check_slo(&self, target: Target<'_>, uri: &str, text: &str, asks: bool) -> Result<(), String> {
        let sli = self.beside(target, uri, "sli.yaml")?;
        let slis = sli.as_ref().map(|sli| slo::read_sli("sli.yaml", sli)).transpose().map_err(told)?;
        let read = slis.as_ref().map_or_else(|| slo::read(uri, text), |slis| slo::read_with(uri, text, slis));
        read.map_err(told)?;
        if asks {
            return Ok(());
        }
        let others: Vec<(&str, &str)> = sli.iter().map(|sli| ("sli.yaml", sli.as_str())).collect();
        let queries = sli.is_some();
        self.judges(uri, text, &others, |folder| Files::Slo { slo: folder.join("slo.yaml"), sli: queries.then(|| folder.join("sli.yaml")) })
    }

    /// Checks one of the pair of keptn 0.5 together with the other one; where that is not there yet, only that it is what it is called.
    fn check_pair(&self, target: Target<'_>, (uri, text): (&str, &str), is_objectives: bool) -> Result<(), String> {
        let (expected, other) = if is_objectives { (Kind::ServiceObjectives, INDICATORS) } else { (Kind::ServiceIndicators, OBJECTIVES) };
        let found = kind::recognise(uri, text).map_err(|found| found.problem.to_string())?;
        if found != expected {
            return Err(format!("{uri} is {}, not {}", found.name(), expected.name()));
        }
        match self.beside(target, uri, other)? {
            None => Ok(()),
            Some(beside) if is_objectives => slo::read_pair((uri, text), (other, &beside)).map(|_| ()).map_err(told),
            Some(beside) => slo::read_pair((other, &beside), (uri, text)).map(|_| ()).map_err(told),
        }
    }

    /// Reads the file that is found beside another one, where there is one.
    fn beside(&self, target: Target<'_>, uri: &str, name: &str) -> Result<Option<String>, String> {
        let beside = uri.rsplit_once('/').map_or_else(|| name.to_owned(), |(folder, _)| format!("{folder}/{name}"));
        let path = self.yard.projects.find_for(target, &beside);
        path.map(|path| std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))).transpose()
    }

    /// Checks that the proxy can judge a gate file from what it measures itself.
    fn judges(&self, uri: &str, text: &str, others: &[(&str, &str)], files: impl FnOnce(&Path) -> Files) -> Result<(), String> {
        let unusable = |error: std::io::Error| format!("{uri} cannot be checked: {error}");
        let folder = std::env::temp_dir().join(format!("portcullis-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&folder).map_err(unusable)?;
        let name = uri.rsplit('/').next().unwrap_or(uri);
        let written = others.iter().chain([&(name, text)]).try_for_each(|(name, text)| std::fs::write(folder.join(name), text));
        let checked = written.map_err(unusable).and_then(|()| {
            let any = || "any".parse().map_err(|_| "no name".to_owned());
            let stage = "any".parse().map_err(|_| "no stage".to_owned())?;
            let spot = Spot { project: any()?, service: any()?, stage };
            let stable = Version::at(any()?, [([127, 0, 0, 1], 1).into()]);
            let gate = GateFile { files: files(&folder), sourced: false };
            self.yard.ground.setup(&spot, &Shown { stable, tested: None, gate: Some(gate), schedule: None })
        });
        // Left behind it would take up a little room, nothing else.
        let _ = std::fs::remove_dir_all(&folder);
        checked.map(|_| ()).map_err(|why| why.replace(&folder.display().to_string(), "."))
    }
}

/// Checks that the original's reader can make something of a gate file; what it cannot read would end no evaluation well.
fn readable(name: &str, uri: &str, text: &str) -> Result<(), String> {
    match name {
        "perfspec.json" => {
            json::parse(uri, text).map_err(|problem| problem.to_string())?;
            match perfspec::load_keptn(text).get("indicators") {
                Ok(Js::List(_)) => Ok(()),
                _ => Err(format!("{uri} has no list of 'indicators', so that the original grades nothing by it")),
            }
        }
        "slo.yaml" => slo::read_keptn(text).map(|_| ()).map_err(|why| format!("{uri}: {why}")),
        "sli.yaml" => slo::read_sli_keptn(uri, text).map(|_| ()).map_err(told),
        _ => yaml::parse(uri, text, yaml::Limits::GATES).map(|_| ()).map_err(|problem| problem.to_string()),
    }
}
