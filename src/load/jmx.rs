//! Turns a JMeter plan into what the load generator sends; what it cannot send is named.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use crate::formats::jmx::{Group as Threads, Loops, Plan, Sampler};
use crate::load::plan::{Accept, Pace, Request};
use crate::load::script::{Group, Numbered, Script, Step};
use crate::load::seed::TEST_HEADER;
use crate::load::target::Origin;

/// On which terms a plan is run.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The server under test.
    pub server: Origin,
    /// Whether requests may be sent to other servers too.
    pub elsewhere: bool,
    /// Headers that every request gets, in place of the plan's own of the same name.
    pub headers: HeaderMap,
    /// How long an answer may take where the plan says nothing; `None` for as long as it takes.
    pub timeout: Option<Duration>,
    /// Whether a group may go on until it is stopped.
    pub endless: bool,
}

impl Terms {
    /// Makes the strictest terms: everything is sent to this server, and every group has an end.
    #[must_use]
    pub fn new(server: Origin) -> Self {
        Self { server, elsewhere: false, headers: HeaderMap::new(), timeout: None, endless: false }
    }
}

/// Something that a plan asks for and that cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The group, and the request where it is about one.
    pub place: String,
    /// What it asks for.
    pub what: String,
    /// How to mend it.
    pub hint: &'static str,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.what, self.hint)
    }
}

/// Makes the script of a plan. An answer is good below 400, as in JMeter.
///
/// A request that names the host of the server under test and no port is sent to that server, whatever its port: the published
/// health check leaves the port out, as keptn's services had port 80.
///
/// # Errors
///
/// Returns everything of the plan that cannot be done on these terms.
pub fn script(plan: &Plan, terms: &Terms) -> Result<Script, Vec<Unsupported>> {
    let mut problems = Vec::new();
    let groups = plan.groups.iter().map(|threads| group(threads, terms, &mut problems)).collect();
    if problems.is_empty() { Ok(Script { groups, one_after_another: plan.one_after_another }) } else { Err(problems) }
}

fn group(threads: &Threads, terms: &Terms, problems: &mut Vec<Unsupported>) -> Group {
    let loops = match threads.loops {
        Loops::Times(times) => Some(times),
        Loops::Forever => None,
    };
    if loops.is_none() && threads.duration.is_none() && !terms.endless {
        problems.push(Unsupported {
            place: format!("the group {:?}", threads.name),
            what: "it never ends".to_owned(),
            hint: "give it a number of loops, or a scheduler with a duration",
        });
    }
    let mut steps = Vec::new();
    let mut origins: Vec<Arc<Origin>> = Vec::new();
    for sampler in &threads.samplers {
        match step(sampler, threads, terms, &mut origins) {
            Ok(step) => steps.push(step),
            Err((what, hint)) => {
                let place = format!("the request {:?} of the group {:?}", sampler.name, threads.name);
                problems.push(Unsupported { place, what, hint });
            }
        }
    }
    let steps: Arc<[Step]> = steps.into();
    Group {
        scripts: vec![steps; usize::try_from(threads.threads).unwrap_or(usize::MAX)],
        pace: Pace::Closed { loops, think: Duration::ZERO, ramp: threads.ramp },
        requests: None,
        delay: threads.delay,
        duration: threads.duration,
        accept: Accept::BelowError,
        timeout: terms.timeout,
        on_error: threads.on_error,
    }
}

/// Makes a step, or says what cannot be done and how to mend it. Servers that were seen before are shared.
fn step(sampler: &Sampler, threads: &Threads, terms: &Terms, origins: &mut Vec<Arc<Origin>>) -> Result<Step, (String, &'static str)> {
    let origin = Origin::of(&sampler.url).map_err(|error| (format!("{} is no server: {error}", sampler.url.host), "write its name"))?;
    let server = &terms.server;
    let portless = !sampler.url.names_port() && (origin.scheme(), origin.name()) == (server.scheme(), server.name());
    let origin = if portless || origin == *server {
        None
    } else if !terms.elsewhere {
        let what = format!("it is sent to {origin} and not to {server}, the server under test");
        return Err((what, "use ${__P(SERVER_URL)}, ${__P(SERVER_PORT)} and ${__P(PROTOCOL)}"));
    } else if let Some(known) = origins.iter().find(|known| ***known == origin) {
        Some(Arc::clone(known))
    } else {
        let new = Arc::new(origin);
        origins.push(Arc::clone(&new));
        Some(new)
    };
    let path = sampler.url.path.parse();
    let path = path.map_err(|error| (format!("{:?} is no path: {error}", sampler.url.path), "write blanks as %20"))?;
    let mut headers = HeaderMap::new();
    for (name, value) in sampler.headers.iter().filter(|(name, _)| !terms.headers.contains_key(name)) {
        headers.append(name.clone(), value.clone());
    }
    let ours = terms.headers.iter();
    headers.extend(ours.map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<(HeaderName, _)>>());
    let numbered = numbered(sampler, threads);
    if let Some(unwritable) = numbered.iter().find(|header| header.value(0).is_none()) {
        let what = format!("{}{}{} cannot stand in the header {TEST_HEADER}", unwritable.before, 0, unwritable.behind);
        return Err((what, "leave line breaks out of names"));
    }
    let request = Request { method: sampler.method.clone(), path, headers, body: Bytes::from(sampler.body.clone().unwrap_or_default()) };
    Ok(Step {
        request,
        origin,
        numbered,
        pause: sampler.pause,
        follow_redirects: sampler.follow_redirects,
        keep_alive: sampler.keep_alive,
        cookies: sampler.cookies,
        connect_timeout: sampler.connect_timeout,
        timeout: sampler.response_timeout,
    })
}

/// Splits the header of Dynatrace, which ends in the number of the user.
fn numbered(sampler: &Sampler, threads: &Threads) -> Option<Numbered> {
    let first = sampler.dynatrace_test(&threads.name, 0)?;
    let before = first.strip_suffix("0;")?.to_owned();
    Some(Numbered { name: TEST_HEADER, before, behind: ";".to_owned() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::formats::jmeter_conf::Workload;
    use crate::formats::jmx::{Cookies, OnError, Options, read};

    const PUBLISHED: [(&str, &str); 4] = [
        ("basiccheck.jmx", include_str!("../../tests/data/compat/jmeter/basiccheck.jmx")),
        ("carts_load.jmx", include_str!("../../tests/data/compat/jmeter/carts_load.jmx")),
        ("carts_perfcheck.jmx", include_str!("../../tests/data/compat/jmeter/carts_perfcheck.jmx")),
        ("load.jmx", include_str!("../../tests/data/compat/jmeter/load.jmx")),
    ];

    fn plan(file: &str, text: &str) -> Plan {
        let workload = Workload::by_default("performance").unwrap();
        let properties: BTreeMap<_, _> = workload.script_properties(&"http://carts.test:8080/".parse().unwrap(), "PerfCheck_1");
        read(file, text, Options { properties: &properties, honour_think_time: false }).unwrap()
    }

    fn terms() -> Terms {
        let headers = HeaderMap::from_iter([("x-force".parse().unwrap(), "v2".parse().unwrap())]);
        Terms { headers, ..strict() }
    }

    fn strict() -> Terms {
        Terms::new(Origin::of(&"http://carts.test:8080/".parse().unwrap()).unwrap())
    }

    #[test]
    fn every_published_plan_becomes_a_script() {
        for (file, text) in PUBLISHED {
            let script = script(&plan(file, text), &terms()).unwrap();
            assert_eq!((script.users(), script.requests()), (10, Some(5000)), "{file}");
            let step = &script.groups[0].scripts[9][0];
            assert_eq!(step.request.headers["x-force"], "v2");
            assert!(step.follow_redirects && step.keep_alive, "{file}");
            assert_eq!(step.cookies, Some(Cookies { clear_each_iteration: false }), "{file}");
            assert!(step.origin.is_none(), "{file} is sent to the server under test");
        }
    }

    #[test]
    fn the_performance_test_is_the_seeds() {
        let (file, text) = PUBLISHED[3];
        let script = script(&plan(file, text), &strict()).unwrap();
        let seed = crate::load::seed::performance(10, 500, "PerfCheck_1");
        for user in [0, 9] {
            let (step, seeded) = (&script.groups[0].scripts[user][0], &seed.scripts[user][0]);
            let mut headers = step.request.headers.clone();
            let numbered = step.numbered.as_ref().unwrap();
            headers.insert(numbered.name.clone(), numbered.value(user).unwrap());
            assert_eq!((&headers, &step.request.body, &step.request.method), (&seeded.headers, &seeded.body, &seeded.method));
        }
        assert_eq!(script.groups[0].pace, seed.pace);
    }

    #[test]
    fn what_a_plan_asks_beyond_the_terms_is_named() {
        let (file, text) = PUBLISHED[3];
        let mut plan = plan(file, text);
        plan.groups[0].loops = Loops::Forever;
        plan.groups[0].samplers[0].url = "https://other.test/x".parse().unwrap();
        let mut second = plan.groups[0].samplers[0].clone();
        (second.url, second.name) = ("http://carts.test:8080/".parse().unwrap(), "a\nb".to_owned());
        plan.groups[0].samplers.push(second);
        let problems: Vec<String> = script(&plan, &terms()).unwrap_err().iter().map(ToString::to_string).collect();
        let [endless, elsewhere, unwritable] = &problems[..] else { panic!("{problems:#?}") };
        assert!(endless.contains("Thread Group") && endless.contains("never ends"), "{endless}");
        assert!(elsewhere.contains("Add Item to Cart") && elsewhere.contains("https://other.test:443"), "{elsewhere}");
        assert!(unwritable.contains("x-dynatrace-test"), "{unwritable}");
        plan.groups[0].samplers.truncate(1);
        let free = script(&plan, &Terms { endless: true, elsewhere: true, ..strict() }).unwrap();
        assert_eq!(free.requests(), None);
        assert_eq!(free.groups[0].scripts[0][0].origin.as_ref().unwrap().to_string(), "https://other.test:443");
    }

    #[test]
    fn everything_else_of_a_plan_is_carried_over() {
        let (file, text) = PUBLISHED[3];
        let mut plan = plan(file, text);
        plan.one_after_another = true;
        let group = &mut plan.groups[0];
        (group.on_error, group.delay) = (OnError::StopThread, Duration::from_secs(2));
        (group.duration, group.ramp) = (Some(Duration::from_secs(60)), Duration::from_secs(3));
        let sampler = &mut group.samplers[0];
        (sampler.pause, sampler.keep_alive, sampler.follow_redirects) = (Duration::from_millis(250), false, false);
        (sampler.cookies, sampler.connect_timeout) = (None, Some(Duration::from_secs(1)));
        sampler.response_timeout = Some(Duration::from_secs(4));
        let script = script(&plan, &Terms { timeout: Some(Duration::from_secs(60)), ..strict() }).unwrap();
        let group = &script.groups[0];
        assert!(script.one_after_another);
        assert_eq!((group.on_error, group.delay.as_secs(), group.timeout), (OnError::StopThread, 2, Some(Duration::from_secs(60))));
        assert_eq!(group.duration, Some(Duration::from_secs(60)));
        assert_eq!(group.pace, Pace::Closed { loops: Some(500), think: Duration::ZERO, ramp: Duration::from_secs(3) });
        let step = &group.scripts[0][0];
        assert_eq!((step.pause.as_millis(), step.keep_alive, step.follow_redirects, step.cookies), (250, false, false, None));
        assert_eq!((step.connect_timeout, step.timeout), (Some(Duration::from_secs(1)), Some(Duration::from_secs(4))));
    }
}
