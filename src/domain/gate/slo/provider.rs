//! The queries of keptn's Prometheus provider: built-in ones by SLI name, filters, and placeholders in written ones.

use std::collections::BTreeMap;

/// What a query is made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The project.
    pub project: String,
    /// The stage.
    pub stage: String,
    /// The service.
    pub service: String,
    /// The deployment, such as `canary`.
    pub deployment: String,
    /// Labels of the evaluation.
    pub labels: BTreeMap<String, String>,
    /// The filters of the `slo.yaml` in their order.
    pub filters: Vec<(String, String)>,
    /// The length of the window in seconds, rounded up.
    pub seconds: u64,
}

/// The placeholders that stand for something of the context, without their dollar sign.
pub const PLACEHOLDERS: [&str; 5] = ["PROJECT", "STAGE", "SERVICE", "DEPLOYMENT", "DURATION_SECONDS"];

/// The percentile in the name of a built-in response time, such as 95 in `response_time_p95`.
#[must_use]
pub fn percentile_of(sli: &str) -> Option<u32> {
    let digits = sli.strip_prefix("response_time_p")?;
    let whole = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|percent| whole && (1..100).contains(percent))
}

/// Says whether the provider has a query of its own for an SLI.
#[must_use]
pub fn is_built_in(sli: &str) -> bool {
    sli == "throughput" || sli == "error_rate" || percentile_of(sli).is_some()
}

/// Returns the built-in query of an SLI; `None` where the original says "unsupported SLI".
#[must_use]
pub fn built_in(sli: &str, context: &Context) -> Option<String> {
    let filter = filter_expression(context);
    let window = format!("{}s", context.seconds);
    let rate = |filter: &str| format!("sum(rate(http_requests_total{{{filter}}}[{window}]))");
    match sli {
        "throughput" => Some(rate(&filter)),
        "error_rate" => Some(format!("{}/{}", rate(&format!("{filter},status!~'2..'")), rate(&filter))),
        _ => {
            let percent = percentile_of(sli)?;
            Some(format!(
                "histogram_quantile(0.{percent:02},sum(rate(http_response_time_milliseconds_bucket{{{filter}}}[{window}]))by(le))"
            ))
        }
    }
}

/// Returns the label matchers of the context: the job, which a filter of that name replaces, and every filter, with the
/// operator that its value begins with or `=`.
#[must_use]
pub fn filter_expression(context: &Context) -> String {
    let matcher = |(key, value): &(String, String)| {
        let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| value.starts_with(operator));
        let bare = unquoted(operator.map_or(value.as_str(), |operator| value.get(operator.len()..).unwrap_or_default()));
        format!("{key}{}'{bare}'", operator.unwrap_or("="))
    };
    let job = || format!("job='{}-{}-{}-canary'", context.service, context.project, context.stage);
    let own_job = context.filters.iter().any(|(key, _)| key == "job");
    (!own_job).then(job).into_iter().chain(context.filters.iter().map(matcher)).collect::<Vec<_>>().join(",")
}

/// Replaces placeholders as the original does, as plain text: `$SERVICE` is also found in `$SERVICEX`.
#[must_use]
pub fn resolve(query: &str, context: &Context) -> String {
    let mut text = query.to_owned();
    for (key, value) in &context.filters {
        let value = unquoted(value);
        text = text.replace(&format!("${key}"), value).replace(&format!("${}", key.to_uppercase()), value);
    }
    let fixed =
        [("PROJECT", &context.project), ("STAGE", &context.stage), ("SERVICE", &context.service), ("DEPLOYMENT", &context.deployment)];
    for (name, value) in fixed {
        text = text.replace(&format!("${name}"), value);
    }
    for (key, value) in &context.labels {
        text = text.replace(&format!("$LABEL.{key}"), value);
    }
    text.replace("$DURATION_SECONDS", &format!("{}s", context.seconds))
}

/// Returns the query the original sends for an SLI: the written one, else the built-in one.
#[must_use]
pub fn query(sli: &str, written: Option<&str>, context: &Context) -> Option<String> {
    written.map_or_else(|| built_in(sli, context), |written| Some(resolve(written, context)))
}

/// Returns the placeholders of a query that nothing will replace: whole words after a dollar sign that are neither
/// known nor the key of a filter. Labels are known only when an evaluation begins.
#[must_use]
pub fn unresolved<'q>(query: &'q str, filters: &[(String, String)]) -> Vec<&'q str> {
    let word = |rest: &'q str| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len());
        rest.get(..end).map(|word| word.trim_end_matches('.'))
    };
    let known = |word: &str| {
        PLACEHOLDERS.contains(&word)
            || word.starts_with("LABEL.")
            || filters.iter().any(|(key, _)| key == word || key.to_uppercase() == word)
    };
    let words = query.split('$').skip(1).filter_map(word);
    words.filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()) && !known(word)).collect()
}

fn unquoted(value: &str) -> &str {
    value.trim_matches(['\'', '"'])
}
