//! Reads the configuration again when it changes or when it is asked for; what cannot be used changes nothing.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::app::cluster::{self, Ahead, Ending, Mirroring};
use crate::app::plane::Plane;
use crate::app::setup;
use crate::config::{Loaded, Service, Settings};
use crate::control::command::{Accepted, Commands, Wanted};
use crate::control::setup::Origin;
use crate::domain::endpoint::Endpoint;
use crate::domain::way_back::WayBack;
use crate::formats::problem::Problem;
use crate::proxy::rules::SettingsSlot;
use crate::seam::endpoints::Endpoints;
use crate::telemetry::reloads::Reloads;

/// Reads the configuration as the program was started with it.
pub type Source = Box<dyn Fn() -> Result<Loaded, Vec<Problem>> + Send>;

/// How often the files are looked at without being asked to.
const PERIOD: Duration = Duration::from_secs(1);
/// After which time a configuration that could not be used is tried again although its files are the same, because a name may be resolved
/// by then, or a cluster answer; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(60);

/// Whether the process goes on; written by the thread that ends it, before it lets go of what asks for a reload, and read by the one
/// that reloads.
#[derive(Clone, Debug, Default)]
pub(super) struct Course(Arc<AtomicU8>);

impl Course {
    const GOES_ON: u8 = 0;
    const ENDS: u8 = 1;
    const IS_SUCCEEDED: u8 = 2;

    /// Notes that the process is ending, and whether another one goes on in its place.
    pub(super) fn end(&self, is_succeeded: bool) {
        self.0.store(if is_succeeded { Self::IS_SUCCEEDED } else { Self::ENDS }, Ordering::Release);
    }

    fn goes_on(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::GOES_ON
    }

    /// Returns how routes end to follow: a successor lets them follow already.
    fn ending(&self) -> Ending {
        if self.0.load(Ordering::Acquire) == Self::IS_SUCCEEDED { Ending::AsItIs } else { Ending::Farewell }
    }
}

/// What it takes to replace the configuration.
pub(super) struct Reload {
    source: Source,
    /// What is in force.
    current: Settings,
    files: Vec<PathBuf>,
    /// The digest of the files that were tried last.
    tried: u64,
    /// What was wrong with them; nothing where they are in force.
    wrong: Vec<String>,
    commands: Commands,
    settings: SettingsSlot,
    endpoints: Endpoints,
    ahead: Ahead,
    mirroring: Mirroring,
    course: Course,
    pseudonym: String,
    reloads: Arc<Reloads>,
}

impl Reload {
    /// Begins with what is in force, whose files had this digest.
    pub(super) fn new((loaded, tried): (Loaded, u64), source: Source, plane: &Plane, cluster: (Ahead, Mirroring), course: Course) -> Self {
        Self {
            source,
            current: loaded.settings,
            files: loaded.files,
            tried,
            wrong: Vec::new(),
            commands: plane.commands.clone(),
            settings: Arc::clone(&plane.settings),
            endpoints: plane.routes.endpoints().clone(),
            ahead: cluster.0,
            mirroring: cluster.1,
            course,
            pseudonym: plane.pseudonym.clone(),
            reloads: Arc::clone(&plane.figures.reloads),
        }
    }

    /// Reads the configuration and puts it in force; whatever is wrong with it is told, and then nothing changes. The same of the same files
    /// is told and counted once.
    fn attempt(&mut self, is_new: bool) {
        match (self.source)().map_err(|problems| problems.iter().map(ToString::to_string).collect()).and_then(|loaded| self.replace(loaded))
        {
            Ok(told) => {
                self.wrong.clear();
                self.reloads.succeeded();
                tracing::info!("the configuration was read again: {told}");
            }
            Err(problems) if !is_new && problems == self.wrong => tracing::debug!("the configuration still cannot be used"),
            Err(problems) => {
                self.reloads.failed();
                for problem in &problems {
                    tracing::error!("the configuration in force stays: {problem}");
                }
                self.wrong = problems;
            }
        }
    }

    fn replace(&mut self, loaded: Loaded) -> Result<String, Vec<String>> {
        let fixed = fixed(&self.current, &loaded.settings);
        if !fixed.is_empty() {
            let hint = "a process cannot change this while it runs; restart it, or let a new one take over with SIGUSR2";
            return Err(fixed.into_iter().map(|key| format!("{key} has changed, and {hint}")).collect());
        }
        // Before anybody asks for them. Names that nobody uses after all do no harm.
        self.endpoints.learn(loaded.settings.services.iter().flat_map(|service| service.names.clone()));
        let known: Vec<Endpoint> = cluster::endpoints(&self.current.services).collect();
        let new = cluster::endpoints(&loaded.settings.services).filter(|endpoint| !known.contains(endpoint));
        let missing = self.ahead.come(new, || self.course.goes_on());
        if !missing.is_empty() {
            return Err(missing.into_iter().map(|(endpoint, why)| format!("{endpoint} cannot be followed: {why}")).collect());
        }
        let services = wanted(&self.current.services, &loaded.settings.services);
        // What is decided from then on is about other versions than a route knows that follows by the old configuration.
        self.mirroring.withdraw(&loaded.settings.services);
        let told = match self.commands.reconfigure(Origin::Configuration, services, "reload".to_owned()) {
            Ok(Accepted::Done(told) | Accepted::Nothing(told)) => told,
            Err(error) => {
                self.mirroring.follow(&self.current.services);
                return Err(vec![error.to_string()]);
            }
        };
        self.settings.store(Arc::new(setup::data_plane(&loaded.settings, &self.pseudonym)));
        self.mirroring.follow(&loaded.settings.services);
        (self.current, self.files) = (loaded.settings, loaded.files);
        Ok(told)
    }
}

/// Sums up the contents of files; one that cannot be read counts as such.
pub(super) fn digest(files: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in files {
        std::fs::read(path).map_err(|error| error.kind()).hash(&mut hasher);
    }
    hasher.finish()
}

/// Returns the keys that differ although a running process cannot change them.
fn fixed(old: &Settings, new: &Settings) -> Vec<&'static str> {
    [
        ("listen", old.listen != new.listen),
        ("admin", old.admin != new.admin),
        ("state", old.state != new.state),
        ("workers", old.workers != new.workers),
        ("access_log", old.access_log != new.access_log || old.access_log_format != new.access_log_format),
        ("metrics", old.metrics != new.metrics),
        ("traces", old.traces != new.traces),
        ("notifications", old.notifications != new.notifications),
        ("delivery", old.delivery != new.delivery),
        ("kubernetes", old.kubernetes != new.kubernetes),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}

/// Says of each service what is wanted of it, and whether it differs from before in more than where its requests come from.
fn wanted(old: &[Service], new: &[Service]) -> Vec<Wanted> {
    let judged = |service: &Service| Service {
        rules: Vec::new(),
        choice: None,
        expected_traffic: None,
        way_back: WayBack::AtOnce,
        http_route: None,
        names: Vec::new(),
        ..service.clone()
    };
    let is_same = |service: &Service| old.iter().any(|before| before.name == service.name && judged(before) == judged(service));
    new.iter().map(|service| Wanted { setup: setup::service(service), anew: !is_same(service) }).collect()
}

/// Reads the configuration again whenever its files have changed and rest, or when asked to, until nobody can ask any more, and one that
/// could not be used from time to time, because what stood in its way may pass;
/// `refresh` is told when the certificates are to be read again too.
pub(super) fn watch(mut reload: Reload, asks: &Receiver<()>, refresh: &Sender<()>) {
    let (mut seen, mut pause, mut due) = (reload.tried, FIRST, Instant::now());
    loop {
        let asked = match asks.recv_timeout(PERIOD) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return reload.mirroring.end(reload.course.ending()),
        };
        if asked {
            // Its thread lives as long as this one.
            let _ = refresh.send(());
        }
        let now = digest(&reload.files);
        // What changes between two looks is still being written.
        let rests = std::mem::replace(&mut seen, now) == now;
        let is_new = asked || (rests && now != reload.tried);
        if is_new {
            pause = FIRST;
        }
        if is_new || (rests && !reload.wrong.is_empty() && Instant::now() >= due) {
            reload.tried = now;
            reload.attempt(is_new);
            (due, pause) = (Instant::now() + pause, (pause * 2).min(LONGEST));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Surroundings, load_text};

    const TEXT: &str = "\
listen: 127.0.0.1:8080
state: s
services:
  - {name: a, hosts: [a.test], stable: {version: v1, endpoints: ['127.0.0.1:1']}}
  - name: b
    hosts: [b.test]
    stable: {version: v1, endpoints: ['127.0.0.1:1']}
    canary: {version: v2, endpoints: ['127.0.0.1:2']}
    gates: [\"p95 < 1s\"]
";

    fn settings(text: &str) -> Settings {
        load_text("p.yaml", text, Path::new(""), &Surroundings::real()).unwrap().settings
    }

    #[test]
    fn only_what_is_judged_otherwise_begins_anew() {
        let anew =
            |text: &str| -> Vec<bool> { wanted(&settings(TEXT).services, &settings(text).services).iter().map(|w| w.anew).collect() };
        assert_eq!(anew(TEXT), [false, false]);
        assert_eq!(anew(&TEXT.replace("b.test", "c.test")), [false, false]);
        assert_eq!(anew(&TEXT.replace("name: a,", "name: a, way_back: {policy: shed},")), [false, false]);
        assert_eq!(anew(&TEXT.replace("p95 < 1s", "p95 < 2s")), [false, true]);
        assert_eq!(anew(&TEXT.replace("v2", "v3")), [false, true]);
        assert_eq!(anew(&TEXT.replace("name: a,", "name: c,")), [true, false]);
    }

    #[test]
    fn what_a_process_is_made_of_is_told_apart() {
        assert!(fixed(&settings(TEXT), &settings(&TEXT.replace("p95", "p99"))).is_empty());
        let other = TEXT
            .replace("8080", "8081")
            .replace("state: s", "state: t\nadmin: 127.0.0.1:1\nworkers: 99\naccess_log: stdout\nmetrics: {compat: istio}");
        assert_eq!(fixed(&settings(TEXT), &settings(&other)), ["listen", "admin", "state", "workers", "access_log", "metrics"]);
    }
}
