//! Reads figures off Prometheus' text format: sums of counters, and quantiles of histograms.

/// One line of an exposition.
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

/// Sums the samples of one name whose labels all of `wanted` hold, as `key="value"`.
#[must_use]
pub fn sum(text: &str, name: &str, wanted: &[&str]) -> f64 {
    samples(text).filter(|sample| sample.name == name && wanted.iter().all(|label| sample.has(label))).map(|sample| sample.value).sum()
}

/// Estimates a quantile, 0 to 1, of a histogram over all series with the label, by straight lines within buckets as
/// Prometheus does; `None` without observations. The unit is that of the histogram.
#[must_use]
pub fn quantile(text: &str, histogram: &str, label: &str, q: f64) -> Option<f64> {
    let name = format!("{histogram}_bucket");
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for sample in samples(text).filter(|sample| sample.name == name && sample.has(label)) {
        let Some(bound) = sample.label("le").and_then(|le| le.parse().ok()) else { continue };
        match buckets.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, count)) => *count += sample.value,
            None => buckets.push((bound, sample.value)),
        }
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
    let rank = q * total;
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if count >= rank {
            let share = if count > below { (rank - below) / (count - below) } else { 1.0 };
            return Some(if bound.is_finite() { low + (bound - low) * share } else { low });
        }
        (low, below) = (bound, count);
    }
    None
}

fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        Some(Sample { name, labels: labels.strip_suffix('}').unwrap_or(labels), value: value.parse().ok()? })
    })
}

impl<'a> Sample<'a> {
    /// Says whether a label is there, written `key="value"`; values with commas are not told apart.
    fn has(&self, label: &str) -> bool {
        self.labels.split(',').any(|own| own == label)
    }

    fn label(&self, key: &str) -> Option<&'a str> {
        self.labels.split(',').find_map(|own| own.strip_prefix(key)?.strip_prefix("=\"")?.strip_suffix('"'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP n x
n{method=\"GET\",status=\"200\"} 3
n{method=\"POST\",status=\"201\"} 4
n{method=\"POST\",status=\"500\"} 5
plain 7
t_bucket{version=\"a\",role=\"canary\",le=\"0.5\"} 10
t_bucket{version=\"a\",role=\"canary\",le=\"1\"} 10
t_bucket{version=\"a\",role=\"canary\",le=\"2\"} 20
t_bucket{version=\"a\",role=\"canary\",le=\"+Inf\"} 20
t_bucket{version=\"b\",role=\"stable\",le=\"0.5\"} 0
t_bucket{version=\"b\",role=\"stable\",le=\"+Inf\"} 9
";

    #[test]
    fn counters_are_summed_by_label() {
        assert_eq!((sum(TEXT, "n", &[]), sum(TEXT, "n", &["method=\"POST\""]), sum(TEXT, "plain", &[])), (12.0, 9.0, 7.0));
        assert_eq!(sum(TEXT, "n", &["method=\"POST\"", "status=\"500\""]), 5.0);
        assert_eq!(sum(TEXT, "m", &[]), 0.0);
    }

    #[test]
    fn quantiles_are_straight_lines_within_a_bucket() {
        assert_eq!(quantile(TEXT, "t", "version=\"a\"", 0.25), Some(0.25));
        assert_eq!(quantile(TEXT, "t", "version=\"a\"", 0.75), Some(1.5));
        assert_eq!(quantile(TEXT, "t", "version=\"b\"", 0.5), Some(0.5), "beyond the last bound only that bound is known");
        assert_eq!(quantile(TEXT, "t", "version=\"c\"", 0.5), None);
    }
}
