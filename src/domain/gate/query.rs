//! Recognises queries the way Argo's and Flagger's users write them: success rates, other names, percentages.
//!
//! It rewrites a query into the shapes that [`crate::domain::gate::slo::live`] knows and remembers what it turned around.

use crate::domain::gate::perfspec::promql;
use crate::domain::gate::slo::criterion::Operator;
use crate::domain::gate::slo::live::{self, Figure, Measured, Unit};

/// Names of counters, histograms and labels, and the ones they stand for. Labels that name the deployment become
/// `service`: the proxy measures exactly that deployment.
const NAMES: [(&str, &str); 31] = [
    ("irate", "rate"),
    ("istio_requests_total", "http_requests_total"),
    ("envoy_cluster_upstream_rq", "http_requests_total"),
    ("nginx_ingress_controller_requests", "http_requests_total"),
    ("traefik_service_requests_total", "http_requests_total"),
    ("http_server_requests_seconds_count", "http_requests_total"),
    ("http_request_duration_seconds_count", "http_requests_total"),
    ("istio_request_duration_milliseconds_bucket", "http_response_time_milliseconds_bucket"),
    ("istio_request_duration_seconds_bucket", "http_request_duration_seconds_bucket"),
    ("nginx_ingress_controller_request_duration_seconds_bucket", "http_request_duration_seconds_bucket"),
    ("traefik_service_request_duration_seconds_bucket", "http_request_duration_seconds_bucket"),
    ("http_server_requests_seconds_bucket", "http_request_duration_seconds_bucket"),
    ("response_code", "status"),
    ("envoy_response_code", "status"),
    ("status_code", "status"),
    ("code", "status"),
    ("reporter", "service"),
    ("destination_service", "service"),
    ("destination_service_name", "service"),
    ("destination_service_namespace", "service"),
    ("destination_workload", "service"),
    ("destination_workload_namespace", "service"),
    ("destination_app", "service"),
    ("destination_version", "service"),
    ("deployment", "service"),
    ("kubernetes_namespace", "service"),
    ("kubernetes_pod_name", "service"),
    ("exported_service", "service"),
    ("exported_namespace", "service"),
    ("envoy_cluster_name", "service"),
    ("ingress", "service"),
];

/// Matchers of requests that went well, and those of requests that did not.
const GOOD: [(&str, &str); 6] = [
    ("status!~'5..'", "status=~'5..'"),
    ("status!~'5.*'", "status=~'5..'"),
    ("status!~'5[0-9][0-9]'", "status=~'5..'"),
    ("status=~'2..'", "status!~'2..'"),
    ("status=~'2.*'", "status!~'2..'"),
    ("status=~'2[0-9][0-9]'", "status!~'2..'"),
];

/// What a query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The figure; for a success rate the share of errors.
    pub measured: Measured,
    /// The query asks for one minus the figure, such as a success rate.
    pub complement: bool,
}

impl Asked {
    /// Turns a comparison with what the query asks for into one with the figure.
    #[must_use]
    pub fn comparison(&self, operator: Operator, value: f64) -> (Operator, f64) {
        if !self.complement {
            return (operator, value);
        }
        let mirrored = match operator {
            Operator::Below => Operator::Above,
            Operator::AtMost => Operator::AtLeast,
            Operator::Equal => Operator::Equal,
            Operator::AtLeast => Operator::AtMost,
            Operator::Above => Operator::Below,
        };
        (mirrored, self.measured.unit.from_base(1.0) - value)
    }
}

/// Finds the figure that answers a PromQL query.
///
/// # Errors
///
/// Returns what the proxy cannot answer, one sentence without a full stop.
pub fn recognise(query: &str) -> Result<Asked, String> {
    let packed = promql::without_blanks(query).replace('"', "'");
    let mut bare = promql::strip_parentheses(&packed);
    let mut percent = false;
    let mut complement = false;
    if let Some(inner) = bare.strip_suffix("*100").or_else(|| bare.strip_prefix("100*")) {
        percent = true;
        bare = promql::strip_parentheses(inner);
    }
    if let Some(inner) = bare.strip_prefix("1-") {
        complement = true;
        bare = promql::strip_parentheses(inner);
    }
    let mut renamed = renamed(bare);
    if let Some((good, bad)) = GOOD.into_iter().find(|(good, _)| renamed.contains(good)) {
        renamed = renamed.replacen(good, bad, 1);
        complement = !complement;
    }
    let mut measured = live::recognise("", Some(&renamed)).map_err(|error| error.reason)?;
    let is_share = matches!(measured.figure, Figure::ErrorRate(_));
    if (percent || complement) && !is_share {
        return Err("only a share of requests is turned around or written in percent".to_owned());
    }
    if percent {
        measured.unit = Unit::Percent;
    }
    Ok(Asked { measured, complement })
}

/// Replaces names outside quotes by those that they stand for.
fn renamed(query: &str) -> String {
    let mut text = String::with_capacity(query.len());
    for (index, part) in query.split('\'').enumerate() {
        if index > 0 {
            text.push('\'');
        }
        if index % 2 == 1 {
            text.push_str(part);
            continue;
        }
        for word in part.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            let end = word.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(word.len());
            let (name, rest) = word.split_at(end);
            text.push_str(NAMES.into_iter().find(|(known, _)| *known == name).map_or(name, |(_, meant)| meant));
            text.push_str(rest);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gate::criterion::Share;
    use crate::domain::gate::slo::live::Failure;

    const ISTIO: &str =
        "sum(irate(istio_requests_total{reporter=\"source\",destination_service=~\"{{args.service-name}}\",response_code!~\"5.*\"}[5m])) /
         sum(irate(istio_requests_total{reporter=\"source\",destination_service=~\"{{args.service-name}}\"}[5m]))";

    #[test]
    fn success_rates_are_shares_of_errors_turned_around() {
        let asked = recognise(ISTIO).unwrap();
        assert_eq!(asked.measured, Measured { figure: Figure::ErrorRate(Failure::ServerError), unit: Unit::Share });
        assert!(asked.complement);
        let (operator, value) = asked.comparison(Operator::AtLeast, 0.95);
        assert!(operator == Operator::AtMost && (value - 0.05).abs() < 1e-12);
        let percent = recognise(&format!("100 * ({ISTIO})")).unwrap();
        assert_eq!((percent.measured.unit, percent.comparison(Operator::Above, 99.0)), (Unit::Percent, (Operator::Below, 1.0)));
        assert!(!recognise(&format!("1 - ({ISTIO})")).unwrap().complement);
    }

    #[test]
    fn other_names_are_known() {
        for (query, figure, unit) in [
            (
                "sum(rate(http_requests_total{code=~'5..'}[1m])) / sum(rate(http_requests_total[1m]))",
                Figure::ErrorRate(Failure::ServerError),
                Unit::Share,
            ),
            (
                "histogram_quantile(0.95, sum(rate(istio_request_duration_milliseconds_bucket{destination_workload='a'}[1m])) by (le))",
                Figure::ResponseTime(Share::FIVE_PERCENT),
                Unit::Milliseconds,
            ),
            (
                "histogram_quantile(0.95, sum by (le) (rate(http_server_requests_seconds_bucket[1m])))",
                Figure::ResponseTime(Share::FIVE_PERCENT),
                Unit::Seconds,
            ),
        ] {
            assert_eq!(recognise(query), Ok(Asked { measured: Measured { figure, unit }, complement: false }), "{query}");
        }
    }

    #[test]
    fn what_is_not_measured_is_refused() {
        for query in [
            "",
            "up",
            "1-",
            "sum(rate(errors_total[5m]))",
            "100*histogram_quantile(0.95,sum(rate(http_request_duration_seconds_bucket[1m]))by(le))",
        ] {
            assert!(recognise(query).is_err(), "{query}");
        }
    }
}
