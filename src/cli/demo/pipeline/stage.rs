//! The files of the seed's project, written into the demo's folder: shipyard, tests, gate and the proxy's configuration.

use std::path::PathBuf;

use crate::cli::demo::folder::{Folder, PERFSPEC, Unwritable};

/// The seed's shipyard; dev has no gate beside its test, and production gives traffic step by step.
pub const SHIPYARD: &str = "\
stages:
  - name: \"dev\"
    deployment_strategy: \"direct\"
    test_strategy: \"functional\"
    gate: none
  - name: \"staging\"
    deployment_strategy: \"blue_green_service\"
    test_strategy: \"performance\"
  - name: \"production\"
    deployment_strategy: \"canary\"
    plan: {start: 10%, factor: 3, hold: 1s}
";

/// The seed's tests.
const TESTS: [(&str, &str); 2] = [
    ("jmeter/basiccheck.jmx", include_str!("../../../../tests/data/compat/jmeter/basiccheck.jmx")),
    ("jmeter/load.jmx", include_str!("../../../../tests/data/compat/jmeter/load.jmx")),
];

/// How many users the performance test has.
pub const USERS: u64 = 10;

/// Where the files are.
pub struct Files {
    /// The configuration of the proxy.
    pub configuration: PathBuf,
    /// The shipyard.
    pub shipyard: PathBuf,
    /// The folder of the service's tests.
    pub resources: PathBuf,
    /// The gate of staging and production.
    pub perfspec: PathBuf,
}

impl Files {
    /// Writes them.
    ///
    /// # Errors
    ///
    /// One cannot be written.
    pub fn write(folder: &Folder, full: bool, requests: u16) -> Result<Self, Unwritable> {
        folder.write("carts/jmeter/jmeter.conf.yaml", &workloads(requests))?;
        for (name, text) in TESTS {
            folder.write(&format!("carts/{name}"), text)?;
        }
        let first = folder.write("shipyard.yaml", SHIPYARD)?;
        Ok(Self {
            configuration: folder.write("pipeline.yaml", &configuration(full))?,
            resources: first.with_file_name("carts"),
            shipyard: first,
            perfspec: folder.write("perfspec.json", PERFSPEC)?,
        })
    }
}

/// The seed's performance test, with so many requests of each of its users.
fn workloads(requests: u16) -> String {
    format!(
        "workloads:
  - {{teststrategy: performance, vuser: {USERS}, loopcount: {requests}, script: jmeter/load.jmx, thinktime: 250, acceptederrorrate: 0.1}}
"
    )
}

fn configuration(full: bool) -> String {
    format!(
        "listen: 127.0.0.1:0
admin: 127.0.0.1:0
state: pipeline
timeouts:
  response: 5s
  drain: 5s
delivery:
  process:
    command: [\"{{portcullis}}\", carts, --tag, \"{{tag}}\", --listen, \"127.0.0.1:{{port}}\", --exit-with-stdin]
    leash: true
    ready: /health
    grace: 5s
  early_stop: {}
  policy: {{burst_tolerance: 0s, watch: 1s}}
",
        !full
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, Surroundings, load};
    use crate::formats::jmeter_conf::{self, Workload};
    use crate::formats::shipyard;

    #[test]
    fn the_files_are_accepted_without_a_note() {
        let folder = Folder::create().unwrap();
        let files = Files::write(&folder, false, 500).unwrap();
        let loaded = load(Some(&files.configuration), &Flags::default(), &Surroundings::real()).unwrap();
        assert!(loaded.settings.delivery.is_some_and(|delivery| delivery.early_stop) && loaded.settings.services.is_empty());
        let read = shipyard::read("shipyard.yaml", SHIPYARD).unwrap();
        assert_eq!((read.shipyard.stages().len(), read.notes.len()), (3, 0), "{:?}", read.notes);
        assert!(files.resources.join("jmeter/load.jmx").is_file());
        let workloads = jmeter_conf::read("jmeter.conf.yaml", &workloads(500)).unwrap();
        let usual = Workload::by_default("performance").unwrap();
        assert_eq!(workloads.of("performance").unwrap(), usual, "unless told otherwise it is the test of the original");
    }
}
