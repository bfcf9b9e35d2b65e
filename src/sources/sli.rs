//! Asks one source for the values of the SLIs of an `slo.yaml`, strictly or as keptn's providers did.

use tokio::time::{Instant, timeout_at};

use crate::domain::gate::occasion::{Dialect, Occasion, Unresolved};
use crate::domain::gate::slo::criterion::go_float;
use crate::domain::gate::slo::provider::{self, Context};
use crate::domain::gate::slo::release::Lighthouse;
use crate::domain::gate::slo::strict::{Reading, Readings};
use crate::domain::gate::slo::value::{Answer, Provider, Value};
use crate::formats::evaluation_window::Window;
use crate::formats::slo::Slis;
use crate::sources::dynatrace::Dynatrace;
use crate::sources::perfspec::WHOLE;
use crate::sources::prometheus::Prometheus;
use crate::sources::trouble::Trouble;

/// The one source of an evaluation, as a project has one provider of SLIs.
#[derive(Clone, Copy, Debug)]
pub enum SliSource<'s> {
    /// Queries in PromQL.
    Prometheus(&'s Prometheus),
    /// Queries of the Metrics API v2.
    Dynatrace(&'s Dynatrace),
}

/// Why an SLI cannot even be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SliRefusal {
    /// A placeholder of its query cannot be replaced.
    #[error("the query of {sli} cannot be sent: {why}")]
    Unresolved {
        /// The SLI.
        sli: String,
        /// Why not.
        why: Unresolved,
    },
    /// There is no query for it.
    #[error("there is no query for {0}")]
    NoQuery(String),
}

impl SliRefusal {
    /// Says how to mend it, one sentence without a full stop.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unresolved { why, .. } => why.hint(),
            Self::NoQuery(sli) => format!("write '{sli}: …' in the file of queries, and give it with --sli"),
        }
    }
}

/// What is asked for: SLIs by name, the queries written for them, and the filters of the `slo.yaml`.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// The names; one that occurs twice is asked for once.
    pub slis: &'w [&'w str],
    /// The queries.
    pub queries: Option<&'w Slis>,
    /// The filters.
    pub filters: &'w [(String, String)],
}

/// Asks for every SLI strictly: what is no single number is unusable, with the reason.
///
/// All queries together take [`WHOLE`] at most.
///
/// # Errors
///
/// Returns every SLI that cannot be asked for, before anything is asked.
pub async fn readings(wanted: Wanted<'_>, source: SliSource<'_>, window: Window, occasion: &Occasion) -> Result<Readings, Vec<SliRefusal>> {
    let mut queries = Vec::new();
    let mut refusals = Vec::new();
    for sli in once(wanted.slis) {
        match strict_query(sli, wanted, source, occasion) {
            Ok(query) => queries.push((sli, query)),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let until = Instant::now() + WHOLE;
    let mut found = Readings::default();
    for (sli, query) in queries {
        let asked = timeout_at(until, reading(source, &query, window)).await;
        let reading = asked.unwrap_or_else(|_| Reading::Unusable(Trouble::Unasked(WHOLE).to_string()));
        found.by_sli.insert(sli.to_owned(), reading);
    }
    Ok(found)
}

fn once<'w>(slis: &[&'w str]) -> Vec<&'w str> {
    let mut seen = std::collections::HashSet::new();
    slis.iter().copied().filter(|sli| seen.insert(*sli)).collect()
}

fn strict_query(sli: &str, wanted: Wanted<'_>, source: SliSource<'_>, occasion: &Occasion) -> Result<String, SliRefusal> {
    let unresolved = |why| SliRefusal::Unresolved { sli: sli.to_owned(), why };
    let dialect = match source {
        SliSource::Prometheus(_) => Dialect::Prometheus,
        SliSource::Dynatrace(_) => Dialect::Dynatrace,
    };
    if let Some(query) = wanted.queries.and_then(|queries| queries.query(sli)) {
        return occasion.resolve(query, dialect, wanted.filters).map_err(unresolved);
    }
    let built_in = if dialect == Dialect::Prometheus { provider::built_in(sli, &context(wanted, occasion)) } else { None };
    let query = built_in.ok_or_else(|| SliRefusal::NoQuery(sli.to_owned()))?;
    if !wanted.filters.iter().any(|(key, _)| key == "job") {
        // The built-in queries name the job after these three, which must stay names.
        occasion.resolve("$SERVICE-$PROJECT-$STAGE", dialect, &[]).map_err(unresolved)?;
    }
    Ok(query)
}

async fn reading(source: SliSource<'_>, query: &str, window: Window) -> Reading {
    let prometheus = match source {
        SliSource::Prometheus(prometheus) => prometheus,
        SliSource::Dynatrace(dynatrace) => {
            return dynatrace.metric(query, window).await.map_or_else(|why| Reading::Unusable(why.to_string()), Reading::Value);
        }
    };
    let answer = match prometheus.instant(query, window.end).await {
        Ok(answer) => answer,
        Err(trouble) => return Reading::Unusable(trouble.to_string()),
    };
    if let Some(doubt) = answer.doubt {
        return Reading::Unusable(format!("the answer may lack data: {doubt}"));
    }
    match answer.samples.as_slice() {
        [] => Reading::Unusable("no values".to_owned()),
        [one] => one.value.parse().map_or_else(|_| Reading::Unusable(format!("the value {:?} is not a number", one.value)), Reading::Value),
        many => Reading::Unusable(format!("{} values where one is wanted", many.len())),
    }
}

/// Asks for every SLI as the provider of a release did.
///
/// The newer Prometheus provider says of its own event that it failed when every SLI did, and warns when some did.
pub async fn answer_keptn(wanted: Wanted<'_>, source: SliSource<'_>, window: Window, occasion: &Occasion, release: Lighthouse) -> Answer {
    let newer = release.separates_targets();
    let context = context(wanted, occasion);
    let until = Instant::now() + WHOLE;
    let mut answer = Answer::default();
    for sli in once(wanted.slis) {
        let written = wanted.queries.and_then(|queries| queries.query(sli));
        let value = match provider::query(sli, written, &context) {
            Some(query) if written.is_some() || matches!(source, SliSource::Prometheus(_)) => {
                let asked = timeout_at(until, value(sli, source, &query, window, newer)).await;
                asked.unwrap_or_else(|_| Value::failed(sli, Trouble::Unasked(WHOLE).to_string()))
            }
            _ => Value::failed(sli, "unsupported SLI"),
        };
        answer.values.push(value);
    }
    let failed: Vec<&Value> = answer.values.iter().filter(|value| !value.success).collect();
    if newer && !failed.is_empty() {
        answer.result = if failed.len() == answer.values.len() { "fail" } else { "warning" }.to_owned();
        answer.message = failed.iter().map(|value| value.message.as_str()).collect::<Vec<_>>().join("; ");
    }
    answer
}

async fn value(sli: &str, source: SliSource<'_>, query: &str, window: Window, newer: bool) -> Value {
    match source {
        SliSource::Dynatrace(dynatrace) => {
            dynatrace.metric(query, window).await.map_or_else(|why| Value::failed(sli, why.to_string()), |value| Value::new(sli, value))
        }
        SliSource::Prometheus(prometheus) => match prometheus.instant(query, window.end).await {
            Ok(answer) => {
                let provider = if newer { Provider::Newer } else { Provider::Older };
                let samples: Option<Vec<f64>> = answer.samples.iter().map(|sample| go_float(&sample.value)).collect();
                samples.map_or_else(|| Value::failed(sli, "query did not return valid values"), |samples| provider.value(sli, &samples))
            }
            Err(trouble) => Value::failed(sli, trouble.to_string()),
        },
    }
}

fn context(wanted: Wanted<'_>, occasion: &Occasion) -> Context {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Context {
        project: text(&occasion.project),
        stage: text(&occasion.stage),
        service: text(&occasion.service),
        deployment: text(&occasion.deployment),
        labels: occasion.labels.clone(),
        filters: wanted.filters.to_vec(),
        seconds: occasion.seconds,
    }
}
