//! Recognises the mean response time in PromQL, as rate of sum by rate of count, and takes such queries apart.

/// The base name of the histogram or summary whose mean is the response time of carts.
pub const RESPONSE_TIME: &str = "requests_latency_seconds";

/// Labels that only say which deployment is meant; the proxy measures exactly that deployment.
const DEPLOYMENT_LABELS: [&str; 7] = ["job", "instance", "service", "namespace", "environment", "app", "pod"];

/// Checks that `query` is `rate(requests_latency_seconds_sum{…}[…]) / rate(requests_latency_seconds_count{…}[…])`.
///
/// Blanks, either kind of quote, `increase` for `rate`, `sum(…)` around both sides and outer parentheses are accepted;
/// so is any range, because the proxy uses the window of the step, and any selector made of labels that name the
/// deployment.
///
/// # Errors
///
/// Returns what is different, one sentence without a full stop.
pub fn is_mean_response_time(query: &str) -> Result<(), String> {
    let packed = without_blanks(query);
    let bare = strip_parentheses(&packed);
    let (above, below) = split_division(bare).ok_or("it is not a division of two rates")?;
    let above = rate(above)?;
    let below = rate(below)?;
    for (operand, suffix) in [(&above, "_sum"), (&below, "_count")] {
        if operand.metric != format!("{RESPONSE_TIME}{suffix}") {
            return Err(format!("it reads \"{}\" where the proxy knows only \"{RESPONSE_TIME}{suffix}\"", operand.metric));
        }
    }
    if above != (Rate { metric: above.metric, ..below.clone() }) {
        return Err("its two halves differ in function, selector or range".to_owned());
    }
    selector(above.selector)
}

/// One half of the division: `rate(metric{selector}[range])`, perhaps within `sum(…)`.
#[derive(Clone, PartialEq)]
pub(crate) struct Rate<'a> {
    pub(crate) summed: bool,
    pub(crate) function: &'a str,
    pub(crate) metric: &'a str,
    pub(crate) selector: &'a str,
    pub(crate) range: &'a str,
}

/// Reads `rate(metric{selector}[range])`.
pub(crate) fn rate(text: &str) -> Result<Rate<'_>, String> {
    let text = strip_parentheses(text);
    let (summed, inner) = match text.strip_prefix("sum(").and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let wrong = || format!("\"{text}\" is not rate(metric{{labels}}[range])");
    let (function, rest) = inner.split_once('(').ok_or_else(wrong)?;
    if function != "rate" && function != "increase" {
        return Err(format!("it uses \"{function}\" where the proxy knows only rate and increase"));
    }
    let body = rest.strip_suffix("])").ok_or_else(wrong)?;
    let (vector, range) = body.rsplit_once('[').ok_or_else(wrong)?;
    let (metric, selector) = match vector.split_once('{') {
        Some((metric, rest)) => (metric, rest.strip_suffix('}').ok_or_else(wrong)?),
        None => (vector, ""),
    };
    if range.is_empty() || !metric.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':') {
        return Err(wrong());
    }
    Ok(Rate { summed, function, metric, selector, range })
}

/// Checks that a selector names only the deployment.
pub(crate) fn selector(text: &str) -> Result<(), String> {
    for matcher in split_outside_quotes(text, ',').into_iter().filter(|m| !m.is_empty()) {
        let end = matcher.find(['=', '!']).ok_or_else(|| format!("\"{matcher}\" is not a label matcher"))?;
        let label = matcher.get(..end).unwrap_or_default();
        if !DEPLOYMENT_LABELS.contains(&label) {
            return Err(format!("it selects by the label \"{label}\", which the proxy does not tell apart"));
        }
    }
    Ok(())
}

/// Removes blanks outside quotes.
pub(crate) fn without_blanks(text: &str) -> String {
    let mut quote = None;
    text.chars()
        .filter(|c| {
            match quote {
                Some(q) if q == *c => quote = None,
                None if matches!(c, '"' | '\'') => quote = Some(*c),
                _ => {}
            }
            quote.is_some() || !c.is_whitespace()
        })
        .collect()
}

/// Removes parentheses that enclose the whole text.
pub(crate) fn strip_parentheses(text: &str) -> &str {
    let mut text = text;
    while let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        if !balanced(inner) {
            break;
        }
        text = inner;
    }
    text
}

/// Says whether every parenthesis outside quotes closes one that was opened before it.
fn balanced(text: &str) -> bool {
    let mut depth = 0_i64;
    for (_, c) in outside_quotes(text) {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

/// Splits at the one division outside quotes and parentheses.
pub(crate) fn split_division(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_i64;
    let mut found = None;
    for (at, c) in outside_quotes(text) {
        match c {
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            '/' if depth == 0 => {
                if found.is_some() {
                    return None;
                }
                found = Some(at);
            }
            _ => {}
        }
    }
    let at = found?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Splits at a character outside quotes.
pub(crate) fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, c) in outside_quotes(text) {
        if c == separator {
            parts.extend(text.get(from..at));
            from = at + c.len_utf8();
        }
    }
    parts.extend(text.get(from..));
    parts
}

/// Walks the characters that stand outside quotes, with their byte positions.
fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    let mut quote = None;
    text.char_indices().filter(move |(_, c)| match quote {
        Some(q) => {
            if q == *c {
                quote = None;
            }
            false
        }
        None if matches!(c, '"' | '\'') => {
            quote = Some(*c);
            false
        }
        None => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARTS: &str = "rate(requests_latency_seconds_sum{job='carts-$ENVIRONMENT'}[$DURATION_MINUTESm])/rate(requests_latency_seconds_count{job='carts-$ENVIRONMENT'}[$DURATION_MINUTESm])";

    #[test]
    fn the_seeds_query_and_its_published_variants_are_recognised() {
        let variants = [
            CARTS.to_owned(),
            CARTS.replace("carts-$", "carts-sockshop-$").replace("$DURATION_MINUTESm", "$DURATION"),
            CARTS.replace("carts-$ENVIRONMENT", "carts-ENV_PLACEHOLDER").replace("$DURATION_MINUTESm", "3m"),
            CARTS.replace('\'', "\"").replace('/', " / ").replace("{job=", "{ job = "),
            CARTS.replace("rate(", "sum(rate(").replace("])", "]))"),
            format!("({CARTS})"),
            CARTS.replace("{job='carts-$ENVIRONMENT'}", ""),
            CARTS.replace("rate(", "increase("),
            CARTS.replace("carts-$ENVIRONMENT'", "carts/$ENVIRONMENT,x',namespace=~\"a(b\""),
        ];
        for query in variants {
            assert_eq!(is_mean_response_time(&query), Ok(()), "{query}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_difference() {
        for (query, part) in [
            ("up", "division"),
            ("", "division"),
            ("rate(requests_latency_seconds_sum[1m])", "division"),
            ("a/b/c", "division"),
            ("rate(a_seconds_sum[1m])/rate(a_seconds_count[1m])", "a_seconds_sum"),
            ("rate(requests_latency_seconds_count[1m])/rate(requests_latency_seconds_sum[1m])", "requests_latency_seconds_sum"),
            ("rate(requests_latency_seconds_sum[1m])/rate(requests_latency_seconds_count[2m])", "differ"),
            ("rate(requests_latency_seconds_sum{job='a'}[1m])/rate(requests_latency_seconds_count{job='b'}[1m])", "differ"),
            ("rate(requests_latency_seconds_sum{path='/'}[1m])/rate(requests_latency_seconds_count{path='/'}[1m])", "path"),
            ("irate(requests_latency_seconds_sum[1m])/irate(requests_latency_seconds_count[1m])", "irate"),
            ("requests_latency_seconds_sum/requests_latency_seconds_count", "rate(metric"),
            ("rate(requests_latency_seconds_sum[1m])*1000/rate(requests_latency_seconds_count[1m])", "rate(metric"),
        ] {
            let error = is_mean_response_time(query).unwrap_err();
            assert!(error.contains(part), "{query}: {error}");
        }
    }
}
