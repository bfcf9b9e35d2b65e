//! Says which of the proxy's own figures answers an SLI, by its well-known name or by its query, and in which unit.
//!
//! It recognises; it neither measures nor judges. A query that selects only some of a version's requests is refused,
//! because the proxy would answer another question.

use serde::Serialize;

use crate::domain::gate::criterion::Share;
use crate::domain::gate::perfspec::promql::{self, is_mean_response_time};
use crate::domain::gate::slo::provider;

/// One of the figures the proxy measures of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// The mean response time.
    MeanResponseTime,
    /// The response time that this share of the requests exceeds: p95 is 5 %.
    ResponseTime(Share),
    /// The share of the requests that fail.
    ErrorRate(Failure),
    /// Requests per unit of time.
    Throughput,
    /// The number of requests in the window.
    Requests,
}

/// Which requests count as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Every answer whose status is not 2xx, redirects and the client's own mistakes included.
    NotSuccess,
    /// Every answer with a status of 5xx.
    ServerError,
    /// What the source itself calls a failure of the service.
    Service,
}

/// The unit an SLI's values and limits are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Thousandths of a second.
    Milliseconds,
    /// Millionths of a second, as Dynatrace gives response times.
    Microseconds,
    /// A share from 0 to 1.
    Share,
    /// A share from 0 to 100.
    Percent,
    /// Requests per second.
    PerSecond,
    /// A bare number of requests.
    Requests,
}

impl Unit {
    /// Converts from the base unit of its kind: nanoseconds, a share from 0 to 1, requests per second, requests.
    #[must_use]
    pub fn from_base(self, value: f64) -> f64 {
        match self {
            Self::Seconds => value / 1e9,
            Self::Milliseconds => value / 1e6,
            Self::Microseconds => value / 1e3,
            Self::Percent => value * 100.0,
            Self::Share | Self::PerSecond | Self::Requests => value,
        }
    }

    /// Converts a value in this unit to the base unit of its kind; the reverse of [`Unit::from_base`].
    #[must_use]
    pub fn to_base(self, value: f64) -> f64 {
        match self {
            Self::Seconds => value * 1e9,
            Self::Milliseconds => value * 1e6,
            Self::Microseconds => value * 1e3,
            Self::Percent => value / 100.0,
            Self::Share | Self::PerSecond | Self::Requests => value,
        }
    }
}

/// The figure that answers an SLI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Measured {
    /// The figure.
    pub figure: Figure,
    /// The unit of the SLI's values and limits.
    pub unit: Unit,
}

/// The reason why the proxy cannot answer an SLI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the SLI \"{sli}\" cannot be answered from the proxy's own measurements: {reason}")]
pub struct NotMeasured {
    /// The name of the SLI.
    pub sli: String,
    /// What is wrong, one sentence without a full stop.
    pub reason: String,
    /// How to mend it.
    pub hint: String,
}

/// The histograms whose quantiles are the response time, with their units.
const HISTOGRAMS: [(&str, Unit); 3] = [
    ("http_response_time_milliseconds", Unit::Milliseconds),
    ("http_request_duration_seconds", Unit::Seconds),
    (promql::RESPONSE_TIME, Unit::Seconds),
];

/// The counter of requests.
const REQUESTS: &str = "http_requests_total";

/// Finds the figure for an SLI: by its query where there is one, else by the names that keptn's Prometheus provider
/// knows (`throughput`, `error_rate`, `response_time_pNN`, in its units).
///
/// # Errors
///
/// Returns why no figure answers it.
pub fn recognise(sli: &str, query: Option<&str>) -> Result<Measured, NotMeasured> {
    let wrong = |reason: String| {
        NotMeasured {
        sli: sli.to_owned(),
        reason,
        hint: "use response_time_p50, response_time_p95, error_rate or throughput without a query of their own, or judge this SLI with 'portcullis evaluate'"
            .to_owned(),
    }
    };
    match query.map(str::trim) {
        None => by_name(sli).ok_or_else(|| wrong("it has no query and its name is not a well-known one".to_owned())),
        Some(query) if is_dynatrace(query) => dynatrace(query).map_err(wrong),
        Some(query) => by_promql(query).map_err(wrong),
    }
}

fn by_name(sli: &str) -> Option<Measured> {
    Some(match sli {
        "throughput" => Measured { figure: Figure::Throughput, unit: Unit::PerSecond },
        "error_rate" => Measured { figure: Figure::ErrorRate(Failure::NotSuccess), unit: Unit::Share },
        _ => {
            let share = Share::from_ppm((100 - provider::percentile_of(sli)?) * 10_000)?;
            Measured { figure: Figure::ResponseTime(share), unit: Unit::Milliseconds }
        }
    })
}

fn by_promql(query: &str) -> Result<Measured, String> {
    let packed = promql::without_blanks(query);
    let bare = promql::strip_parentheses(&packed);
    if let Some(arguments) = bare.strip_prefix("histogram_quantile(").and_then(|rest| rest.strip_suffix(')')) {
        return quantile(arguments);
    }
    if let Some((above, below)) = promql::split_division(bare) {
        if !above.contains(REQUESTS) {
            is_mean_response_time(query)?;
            return Ok(Measured { figure: Figure::MeanResponseTime, unit: Unit::Seconds });
        }
        return error_rate(above, below);
    }
    let rate = promql::rate(bare)?;
    if rate.metric != REQUESTS {
        return Err(format!("it reads \"{}\" where the proxy knows only \"{REQUESTS}\"", rate.metric));
    }
    promql::selector(rate.selector)?;
    Ok(match rate.function {
        "rate" => Measured { figure: Figure::Throughput, unit: Unit::PerSecond },
        _ => Measured { figure: Figure::Requests, unit: Unit::Requests },
    })
}

/// Reads the arguments of `histogram_quantile(0.95, sum by (le) (rate(metric_bucket{…}[…])))`.
fn quantile(arguments: &str) -> Result<Measured, String> {
    let (level, vector) = arguments.split_once(',').ok_or("histogram_quantile needs a quantile and a vector")?;
    let share = level.parse::<f64>().ok().and_then(exceedance).ok_or_else(|| format!("\"{level}\" is not a quantile between 0 and 1"))?;
    let inner = vector.strip_prefix("sumby(le)").or_else(|| vector.strip_suffix("by(le)")?.strip_prefix("sum"));
    let rate = promql::rate(inner.map_or(vector, promql::strip_parentheses))?;
    let known = HISTOGRAMS.into_iter().find(|(base, _)| rate.metric.strip_suffix("_bucket") == Some(*base));
    let (_, unit) = known.ok_or_else(|| {
        let names: Vec<String> = HISTOGRAMS.iter().map(|(base, _)| format!("\"{base}_bucket\"")).collect();
        format!("it reads \"{}\" where the proxy knows only {}", rate.metric, names.join(", "))
    })?;
    promql::selector(rate.selector)?;
    Ok(Measured { figure: Figure::ResponseTime(share), unit })
}

/// Reads `sum(rate(http_requests_total{…,status!~'2..'}[…])) / sum(rate(http_requests_total{…}[…]))`.
fn error_rate(above: &str, below: &str) -> Result<Measured, String> {
    let (failed, all) = (promql::rate(above)?, promql::rate(below)?);
    if failed.metric != REQUESTS || all.metric != REQUESTS {
        return Err(format!("its two halves do not both count \"{REQUESTS}\""));
    }
    if (failed.function, failed.range, failed.summed) != (all.function, all.range, all.summed) {
        return Err("its two halves differ in function or range".to_owned());
    }
    let (status, rest): (Vec<&str>, Vec<&str>) =
        promql::split_outside_quotes(failed.selector, ',').into_iter().partition(|matcher| matcher.starts_with("status"));
    let failure = match status.as_slice() {
        [one] => failure_of(one).ok_or_else(|| format!("it counts {one} as failed, which the proxy does not tell apart"))?,
        _ => return Err("nothing tells failed requests apart, such as status!~'2..'".to_owned()),
    };
    let all_matchers: Vec<&str> = promql::split_outside_quotes(all.selector, ',');
    let kept =
        |matchers: &[&str]| matchers.iter().filter(|matcher| !matcher.is_empty()).map(|matcher| (*matcher).to_owned()).collect::<Vec<_>>();
    if kept(&rest) != kept(&all_matchers) {
        return Err("its two halves differ in more than the status".to_owned());
    }
    promql::selector(all.selector)?;
    Ok(Measured { figure: Figure::ErrorRate(failure), unit: Unit::Share })
}

fn failure_of(matcher: &str) -> Option<Failure> {
    match matcher.replace('"', "'").strip_prefix("status")? {
        "!~'2..'" | "!~'2.*'" => Some(Failure::NotSuccess),
        "=~'5..'" | "=~'5.*'" => Some(Failure::ServerError),
        _ => None,
    }
}

/// Turns a quantile such as 0.95 into the share above it.
fn exceedance(level: f64) -> Option<Share> {
    let above = ((1.0 - level) * 1e6).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    (0.0 < level && level < 1.0 && above >= 1.0).then(|| Share::from_ppm(above as u32))?
}

fn is_dynatrace(query: &str) -> bool {
    query.starts_with("builtin:")
        || query.starts_with("metricSelector=")
        || query.starts_with("MV2;")
        || query.starts_with("com.dynatrace.")
}

/// Reads a Dynatrace metric selector, such as `builtin:service.response.time:merge(0):percentile(95)?scope=tag(…)`.
/// The scope and the entities are not looked at: they name the deployment, which the proxy measures anyway.
fn dynatrace(query: &str) -> Result<Measured, String> {
    let (unit_word, query) = match query.strip_prefix("MV2;") {
        Some(rest) => rest.split_once(';').map(|(unit, rest)| (Some(unit), rest)).ok_or("MV2 needs a unit and a query")?,
        None => (None, query),
    };
    let query = query.strip_prefix("metricSelector=").unwrap_or(query);
    let selector = query.split(['?', '&']).next().unwrap_or(query);
    let parts = split_outside_parentheses(selector);
    let mut parts = parts.into_iter();
    if parts.next() != Some("builtin") {
        return Err("it is not a built-in series".to_owned());
    }
    let metric = parts.next().unwrap_or_default();
    let mut aggregation = None;
    for part in parts {
        let (name, argument) = part.strip_suffix(')').and_then(|part| part.split_once('(')).unwrap_or((part, ""));
        match name {
            "merge" | "splitBy" | "names" => {}
            "avg" | "count" | "value" | "percentile" => aggregation = Some((name, argument)),
            _ => return Err(format!("it uses \"{part}\", which the proxy cannot follow")),
        }
    }
    // MV2 converts microseconds to milliseconds and bytes to kilobytes.
    let time = if unit_word == Some("MicroSecond") { Unit::Milliseconds } else { Unit::Microseconds };
    match (metric, aggregation) {
        ("service.response.time", Some(("avg", _)) | None) => Ok(Measured { figure: Figure::MeanResponseTime, unit: time }),
        ("service.response.time", Some(("percentile", percent))) => {
            let share = percent.parse::<f64>().ok().and_then(|percent| exceedance(percent / 100.0));
            let share = share.ok_or_else(|| format!("\"{percent}\" is not a percentile between 0 and 100"))?;
            Ok(Measured { figure: Figure::ResponseTime(share), unit: time })
        }
        ("service.requestCount.total" | "service.requestCount.server", Some(("count" | "value", _)) | None) => {
            Ok(Measured { figure: Figure::Requests, unit: Unit::Requests })
        }
        ("service.errors.total.rate" | "service.errors.server.rate", Some(("avg", _)) | None) => {
            Ok(Measured { figure: Figure::ErrorRate(Failure::Service), unit: Unit::Percent })
        }
        ("service.errors.total.count" | "service.errors.server.count", _) => {
            Err(format!("\"builtin:{metric}\" counts failures; the proxy answers their share, \"builtin:service.errors.total.rate:avg\""))
        }
        (metric, None) => Err(format!("the proxy does not measure the series \"builtin:{metric}\"")),
        (metric, Some((how, _))) => Err(format!("the proxy does not measure the series \"builtin:{metric}\" as {how}")),
    }
}

/// Splits at colons outside parentheses.
fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_i64;
    text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ':' && depth == 0
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: Figure = Figure::ResponseTime(Share::FIVE_PERCENT);

    #[test]
    fn well_known_names_are_answered_in_the_units_of_the_provider() {
        for (sli, figure, unit) in [
            ("throughput", Figure::Throughput, Unit::PerSecond),
            ("error_rate", Figure::ErrorRate(Failure::NotSuccess), Unit::Share),
            ("response_time_p95", FIVE, Unit::Milliseconds),
        ] {
            assert_eq!(recognise(sli, None), Ok(Measured { figure, unit }));
        }
        for sli in ["custom", "response_time_p00", "response_time_p999", "response_time_p+5", "response_time_p", ""] {
            assert!(recognise(sli, None).is_err(), "{sli}");
        }
    }

    #[test]
    fn queries_are_answered_by_what_they_ask() {
        let total = |selector: &str| format!("sum(rate(http_requests_total{{{selector}}}[$DURATION_SECONDS]))");
        for (query, figure, unit) in [
            (total("job='a'"), Figure::Throughput, Unit::PerSecond),
            (total("").replace("rate", "increase"), Figure::Requests, Unit::Requests),
            (format!("{}/{}", total("job='a',status!~'2..'"), total("job='a'")), Figure::ErrorRate(Failure::NotSuccess), Unit::Share),
            (format!("{} / {}", total("status=~\"5..\""), total("")), Figure::ErrorRate(Failure::ServerError), Unit::Share),
            ("histogram_quantile(0.95, sum by(le) (rate(http_response_time_milliseconds_bucket{job=\"$SERVICE\"}[1m])))".into(), FIVE, Unit::Milliseconds),
            ("histogram_quantile(0.95,sum(rate(http_request_duration_seconds_bucket[1m]))by(le))".into(), FIVE, Unit::Seconds),
            ("rate(requests_latency_seconds_sum[1m])/rate(requests_latency_seconds_count[1m])".into(), Figure::MeanResponseTime, Unit::Seconds),
            ("builtin:service.response.time:merge(0):percentile(95)?scope=tag(a:b)".into(), FIVE, Unit::Microseconds),
            ("MV2;MicroSecond;metricSelector=builtin:service.response.time:merge(\"dt.entity.service\"):avg&entitySelector=type(SERVICE)".into(), Figure::MeanResponseTime, Unit::Milliseconds),
            ("builtin:service.errors.total.rate:avg".into(), Figure::ErrorRate(Failure::Service), Unit::Percent),
            ("builtin:service.requestCount.total:merge(0):count?scope=x".into(), Figure::Requests, Unit::Requests),
        ] {
            assert_eq!(recognise("x", Some(&query)), Ok(Measured { figure, unit }), "{query}");
        }
    }

    #[test]
    fn other_queries_are_refused_with_the_difference() {
        for (query, part) in [
            ("up", "rate(metric"),
            ("histogram_quantile(0.95,sum(rate(my_metric_bucket[1m]))by(le))", "my_metric_bucket"),
            ("histogram_quantile(1.5,sum(rate(http_response_time_milliseconds_bucket[1m]))by(le))", "1.5"),
            ("histogram_quantile(0.5,sum(rate(http_response_time_milliseconds_bucket{handler='x'}[1m]))by(le))", "handler"),
            ("sum(rate(http_requests_total{code='x'}[1m]))", "code"),
            ("sum(rate(http_requests_total[1m]))/sum(rate(http_requests_total[1m]))", "tells failed requests apart"),
            ("sum(rate(http_requests_total{status!~'2..'}[1m]))/sum(rate(http_requests_total[2m]))", "differ"),
            ("sum(rate(http_requests_total{job='a',status!~'2..'}[1m]))/sum(rate(http_requests_total{job='b'}[1m]))", "differ"),
            ("sum(rate(http_requests_total{status=~'4..'}[1m]))/sum(rate(http_requests_total[1m]))", "'4..'"),
            ("builtin:service.errors.total.count:merge(0):avg?scope=x", "share"),
            ("builtin:host.cpu.usage", "host.cpu.usage"),
            ("builtin:service.response.time:filter(x):avg", "filter(x)"),
        ] {
            let error = recognise("x", Some(query)).unwrap_err();
            assert!(error.reason.contains(part), "{query}: {error}");
        }
    }
}
