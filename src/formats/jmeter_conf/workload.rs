//! Workloads: how many users send what how often, by test strategy, with keptn's defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::formats::jmeter_conf::url::TestUrl;
use crate::formats::problem::Problem;

/// The strategies that have a workload without any file.
const KNOWN: [&str; 3] = ["healthcheck", "functional", "performance"];

/// The path that a health check asks for, and the one every script gets where the URL under test has none.
const HEALTH_PATH: &str = "/health";

/// How one test is run.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// The test strategy it belongs to.
    pub strategy: String,
    /// How many users there are at a time (`vuser`).
    pub users: u32,
    /// How many times each user goes through the script (`loopcount`).
    pub loops: u32,
    /// How long a user thinks between requests (`thinktime`); published scripts ignore it by a slip.
    pub think_time: Duration,
    /// The script, a path in the configuration of the service, such as `jmeter/load.jmx`.
    pub script: String,
    /// The share of the runs that may be errors, 0 to 1 (`acceptederrorrate`).
    pub accepted_error_rate: f64,
    /// The largest average response time (`avgrtvalidation`); `None`, or 0 in the file, for no limit.
    pub average_limit: Option<Duration>,
    /// Further properties for the script.
    pub properties: BTreeMap<String, String>,
}

impl Workload {
    /// Returns the workload of a strategy without any file, `None` for one that has none.
    #[must_use]
    pub fn by_default(strategy: &str) -> Option<Self> {
        let (users, loops, script, accepted_error_rate) = match strategy {
            "healthcheck" => (1, 1, "jmeter/basiccheck.jmx", 0.0),
            "functional" => (1, 1, "jmeter/load.jmx", 0.1),
            "performance" => (10, 500, "jmeter/load.jmx", 0.1),
            _ => return None,
        };
        Some(Self {
            strategy: strategy.to_owned(),
            users,
            loops,
            think_time: Duration::from_millis(250),
            script: script.to_owned(),
            accepted_error_rate,
            average_limit: None,
            properties: BTreeMap::new(),
        })
    }

    /// Says whether a single error fails the test, whatever the accepted error rate.
    #[must_use]
    pub fn allows_no_error(&self) -> bool {
        matches!(self.strategy.as_str(), "healthcheck" | "functional")
    }

    /// Returns how a run of this workload is called: `PerfCheck_<id>` and the like.
    #[must_use]
    pub fn test_name(&self, id: &str) -> String {
        let kind = match self.strategy.as_str() {
            "healthcheck" => "HealthCheck",
            "functional" => "FuncCheck",
            _ => "PerfCheck",
        };
        format!("{kind}_{id}")
    }

    /// Returns the properties that a script is started with, those of the workload last.
    ///
    /// `CHECK_PATH` is `/health` where the URL has no path of its own; `ThinkTime` is in milliseconds.
    #[must_use]
    pub fn script_properties(&self, target: &TestUrl, test_name: &str) -> BTreeMap<String, String> {
        let path = if target.path == "/" { HEALTH_PATH } else { &target.path };
        let scheme = target.scheme.as_str();
        let ours = [
            ("SERVER_URL", target.host.clone()),
            ("SERVER_PORT", target.port.to_string()),
            ("PROTOCOL", scheme.to_owned()),
            ("SERVER_PROTOCOL", scheme.to_owned()),
            ("CHECK_PATH", path.to_owned()),
            ("DT_LTN", test_name.to_owned()),
            ("VUCount", self.users.to_string()),
            ("LoopCount", self.loops.to_string()),
            ("ThinkTime", self.think_time.as_millis().to_string()),
        ];
        let ours = ours.into_iter().map(|(name, value)| (name.to_owned(), value));
        ours.chain(self.properties.clone()).collect()
    }
}

/// Returns the script of the functional and the performance test in 0.4.
#[must_use]
pub fn service_script(service: &str) -> String {
    format!("jmeter/{service}_load.jmx")
}

/// The workloads of a file; those of the known strategies are there without it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workloads {
    /// The workloads in the order of the file.
    pub workloads: Vec<Workload>,
    /// What the reader of the file should know.
    pub notes: Vec<Problem>,
}

impl Workloads {
    /// Returns the workload of a strategy: the first one of the file, else the default.
    ///
    /// # Errors
    ///
    /// Fails for a strategy that has neither.
    pub fn of(&self, strategy: &str) -> Result<Workload, UnknownStrategy> {
        let found = self.workloads.iter().find(|workload| workload.strategy == strategy).cloned();
        found.or_else(|| Workload::by_default(strategy)).ok_or_else(|| {
            let mut known: Vec<String> = self.workloads.iter().map(|workload| workload.strategy.clone()).collect();
            known.extend(KNOWN.map(str::to_owned));
            known.sort();
            known.dedup();
            UnknownStrategy { strategy: strategy.to_owned(), known }
        })
    }
}

/// There is no workload for a test strategy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no workload for the test strategy {strategy:?}; known here: {}", known.join(", "))]
pub struct UnknownStrategy {
    /// The strategy that was asked for.
    pub strategy: String,
    /// Those that there are.
    pub known: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_strategies_have_keptns_workloads() {
        let of = |strategy: &str| Workloads::default().of(strategy).unwrap();
        let figures = |workload: &Workload| (workload.users, workload.loops, workload.think_time.as_millis(), workload.accepted_error_rate);
        let (health, functional, performance) = (of("healthcheck"), of("functional"), of("performance"));
        assert_eq!(figures(&health), (1, 1, 250, 0.0));
        assert_eq!(figures(&functional), (1, 1, 250, 0.1));
        assert_eq!(figures(&performance), (10, 500, 250, 0.1));
        assert_eq!((health.script.as_str(), functional.script.as_str()), ("jmeter/basiccheck.jmx", "jmeter/load.jmx"));
        assert_eq!([&health, &functional, &performance].map(Workload::allows_no_error), [true, true, false]);
        assert_eq!(
            [&health, &functional, &performance].map(|workload| workload.test_name("7")),
            ["HealthCheck_7", "FuncCheck_7", "PerfCheck_7"]
        );
        assert_eq!(service_script("carts"), "jmeter/carts_load.jmx");
    }

    #[test]
    fn an_unknown_strategy_is_an_error_that_names_the_known_ones() {
        let error = Workloads::default().of("perfomance").unwrap_err();
        assert_eq!(error.to_string(), "no workload for the test strategy \"perfomance\"; known here: functional, healthcheck, performance");
    }

    #[test]
    fn a_script_gets_its_properties_and_those_of_the_workload_win() {
        let mut workload = Workload::by_default("performance").unwrap();
        workload.properties.insert("VUCount".to_owned(), "3".to_owned());
        let properties = workload.script_properties(&"https://carts.test".parse().unwrap(), "PerfCheck_1");
        let of = |name: &str| properties.get(name).map(String::as_str);
        assert_eq!((of("SERVER_URL"), of("SERVER_PORT"), of("PROTOCOL")), (Some("carts.test"), Some("443"), Some("https")));
        assert_eq!((of("CHECK_PATH"), of("DT_LTN"), of("ThinkTime")), (Some("/health"), Some("PerfCheck_1"), Some("250")));
        assert_eq!((of("VUCount"), of("LoopCount")), (Some("3"), Some("500")));
        let properties = workload.script_properties(&"http://carts.test/ready".parse().unwrap(), "x");
        assert_eq!(properties.get("CHECK_PATH").map(String::as_str), Some("/ready"));
    }
}
