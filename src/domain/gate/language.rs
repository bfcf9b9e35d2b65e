//! Reads and writes a criterion in the gate language: `p95 < 1s`, `errors < 1%`, `p95 <= stable * 1.1`.
//!
//! One line is one gate; what is written here is read again as the same criterion.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::criterion::{Criterion, Share, Slack, Timing};
use crate::domain::gate::quantity;
use crate::domain::gate::scan::{InvalidCriterion, Scanner, nearest, shown};

/// What a gate may look like, for error messages.
pub const EXAMPLES: &str = "write for example 'p95 < 1s', 'p99(duration) < 3s', 'errors < 1%', 'mean < 300ms', 'apdex(500ms) > 0.9' or \
                            'p95 <= stable * 1.1'";

/// What people write for what is measured, and how it is written here.
const MEANT: [(&str, &str); 22] = [
    ("latency", "write for example 'p95 < 1s'"),
    ("response_time", "write for example 'p95 < 1s'"),
    ("response-time", "write for example 'p95 < 1s'"),
    ("duration", "write for example 'p95(duration) < 1s'"),
    ("request-duration", "write for example 'p99(duration) < 1s'"),
    ("median", "did you mean 'p50'?"),
    ("average", "did you mean 'mean'?"),
    ("avg", "did you mean 'mean'?"),
    ("max", "no number of requests shows what none exceeds; write for example 'p99.9 < 1s'"),
    ("min", "a fast request does no harm; write for example 'p50 < 1s'"),
    ("error", "did you mean 'errors'?"),
    ("error_rate", "did you mean 'errors'?"),
    ("error-rate", "did you mean 'errors'?"),
    ("failures", "did you mean 'errors'?"),
    ("5xx", "write for example 'errors(5xx) < 1%'"),
    ("success", "write what may fail, for example 'errors < 1%'"),
    ("success_rate", "write what may fail, for example 'errors < 1%'"),
    ("request-success-rate", "write what may fail, for example 'errors < 1%'"),
    ("availability", "write what may fail, for example 'errors < 1%'"),
    ("throughput", "it depends on the clients and not on the version alone; write for example 'p95 < 1s'"),
    ("rps", "it depends on the clients and not on the version alone; write for example 'p95 < 1s'"),
    ("score", "did you mean 'apdex'?"),
];

/// What is measured.
enum Subject {
    Quantile { share: Share, timing: Timing },
    Mean { timing: Timing },
    Errors { kinds: ErrorKinds },
    Apdex { satisfied: Duration },
}

impl FromStr for Criterion {
    type Err = InvalidCriterion;

    fn from_str(text: &str) -> Result<Self, InvalidCriterion> {
        let mut scanner = Scanner::new(text, EXAMPLES)?;
        let subject = subject(&mut scanner)?;
        let relative = comparison(&mut scanner, &subject)?;
        let criterion = match (subject, relative) {
            (Subject::Quantile { share, timing }, false) => Self::Latency { share, limit: quantity::duration(&mut scanner)?, timing },
            (Subject::Quantile { share, timing }, true) => {
                times(&mut scanner)?;
                Self::RelativeLatency { share, ratio: quantity::ratio(&mut scanner)?, timing }
            }
            (Subject::Mean { timing }, _) => Self::Mean { limit: quantity::duration(&mut scanner)?, timing },
            (Subject::Errors { kinds }, false) => Self::Errors { share: quantity::share(&mut scanner)?, kinds },
            (Subject::Errors { kinds }, true) => Self::RelativeErrors { kinds, slack: slack(&mut scanner)? },
            (Subject::Apdex { satisfied }, _) => Self::Apdex { satisfied, loss: quantity::loss(&mut scanner)? },
        };
        scanner.end()?;
        Ok(criterion)
    }
}

/// Reads what is measured, with what stands in brackets behind it.
fn subject(scanner: &mut Scanner<'_>) -> Result<Subject, InvalidCriterion> {
    let column = scanner.column();
    let word = scanner.word();
    if let Some(number) = word.strip_prefix('p').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == '.')) {
        let share = quantity::exceedance(scanner, column + 1, number)?;
        return Ok(Subject::Quantile { share, timing: timing(scanner, word)? });
    }
    match word {
        "mean" => Ok(Subject::Mean { timing: timing(scanner, word)? }),
        "errors" => Ok(Subject::Errors { kinds: kinds(scanner)? }),
        "apdex" => {
            let at = scanner.column();
            let hint = "write for example 'apdex(500ms) > 0.9'";
            if !scanner.eat('(') {
                return Err(scanner.wrong(at, "the time within which a client is satisfied is missing", hint));
            }
            let satisfied = quantity::duration(scanner)?;
            close(scanner, hint)?;
            Ok(Subject::Apdex { satisfied })
        }
        "" => Err(scanner.wrong(column, "what is measured is missing", EXAMPLES)),
        _ => Err(scanner.wrong(column, format!("'{}' is not measured", shown(word)), meant(word))),
    }
}

/// Says how to write what was probably meant by a word that names no measure.
fn meant(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    let digits = lower.trim_start_matches('p').trim_end_matches(['%', 't', 'h']);
    if digits.parse::<f64>().is_ok_and(|quantile| (1.0..100.0).contains(&quantile)) {
        return format!("did you mean 'p{}'?", shown(digits));
    }
    if let Some((_, hint)) = MEANT.into_iter().find(|(known, _)| *known == lower) {
        return hint.to_owned();
    }
    nearest(&lower, &["p95", "p99", "mean", "errors", "apdex"])
        .map_or_else(|| EXAMPLES.to_owned(), |known| format!("did you mean '{known}'?"))
}

/// Reads from where to where a response is timed, where that is said.
fn timing(scanner: &mut Scanner<'_>, subject: &str) -> Result<Timing, InvalidCriterion> {
    if !scanner.eat('(') {
        return Ok(Timing::default());
    }
    let column = scanner.column();
    let word = scanner.word();
    let timing = match word {
        "duration" => Timing::Duration,
        "response_time" => Timing::ResponseTime,
        _ => {
            let reason = match word {
                "" => "there is nothing in the brackets".to_owned(),
                _ => format!("'{}' is not timed", shown(word)),
            };
            let hint = match nearest(word, &["duration", "response_time"]) {
                Some(known) => format!("did you mean '{subject}({known})'?"),
                None => format!("write '{subject}' up to the response head, or '{subject}(duration)' up to the last byte"),
            };
            return Err(scanner.wrong(column, reason, hint));
        }
    };
    close(scanner, &format!("write '{subject}({word})'"))?;
    Ok(timing)
}

/// Reads which errors count, where that is said.
fn kinds(scanner: &mut Scanner<'_>) -> Result<ErrorKinds, InvalidCriterion> {
    if !scanner.eat('(') {
        return Ok(ErrorKinds::DEFAULT);
    }
    let names = ErrorKinds::NAMED.map(|(name, _)| name);
    let mut kinds = ErrorKinds::NONE;
    loop {
        let column = scanner.column();
        let word = scanner.word();
        let Some((_, kind)) = ErrorKinds::NAMED.into_iter().find(|(name, _)| *name == word) else {
            let reason = match word {
                "" => "a kind of error is missing in the brackets".to_owned(),
                _ => format!("'{}' is no kind of error", shown(word)),
            };
            let status = word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit());
            let hint = match word.bytes().next() {
                Some(first @ (b'3' | b'4' | b'5')) if status => format!("statuses are counted together: {}xx", char::from(first)),
                _ => match nearest(word, &names) {
                    Some(known) => format!("did you mean '{known}'?"),
                    None => format!("there are {}; without brackets all but 4xx, grpc, 3xx, empty and small count", names.join(", ")),
                },
            };
            return Err(scanner.wrong(column, reason, hint));
        };
        if kinds.meets(kind) {
            return Err(scanner.wrong(column, format!("'{word}' is named twice"), "keep one of the two"));
        }
        kinds = kinds.and(kind);
        if !scanner.eat(',') {
            break;
        }
    }
    close(scanner, "write kinds of errors between brackets, separated by commas, such as 'errors(5xx, grpc) < 1%'")?;
    Ok(kinds)
}

fn close(scanner: &mut Scanner<'_>, hint: &str) -> Result<(), InvalidCriterion> {
    let column = scanner.column();
    if scanner.eat(')') { Ok(()) } else { Err(scanner.wrong(column, "the closing bracket is missing here", hint)) }
}

/// Reads the sign of comparison and, where it follows, the word `stable`; returns whether it does.
fn comparison(scanner: &mut Scanner<'_>, subject: &Subject) -> Result<bool, InvalidCriterion> {
    let left = scanner.rest();
    let before = scanner.before();
    let column = scanner.column();
    let sign = scanner.take(|c| "<>=!~".contains(c));
    let wanted = if matches!(subject, Subject::Apdex { .. }) { ">" } else { "<" };
    if sign.is_empty() {
        let reason = match left {
            "" => format!("there is no '{wanted}' and no limit"),
            _ => format!("there is no '{wanted}' where '{}' stands", shown(left)),
        };
        return Err(scanner.wrong(column, reason, EXAMPLES));
    }
    let right = scanner.rest();
    let bound = scanner.column();
    let relative = relative(scanner, bound)?;
    if relative && !matches!(subject, Subject::Quantile { .. } | Subject::Errors { .. }) {
        let hint = "write for example 'p50 <= stable * 1.1', 'p95 <= stable * 1.1' or 'errors <= stable * 1.5'";
        return Err(scanner.wrong(bound, "a mean or a score is not compared with stable", hint));
    }
    let wanted = if relative { "<=" } else { wanted };
    if sign == wanted {
        return Ok(relative);
    }
    let write = format!("write '{before} {wanted} {}'", shown(right));
    let reason = match sign {
        "<=" if wanted == "<" => "'<=' is not used with a limit, a value exactly at the limit is good with '<' too".to_owned(),
        "<" if relative => "a comparison with stable is written with '<='".to_owned(),
        ">=" if wanted == ">" => "'>=' is not used, a score exactly at the limit is good with '>' too".to_owned(),
        "<" | "<=" if wanted == ">" => "a score must be above its limit, so the sign points the wrong way".to_owned(),
        ">" | ">=" | "=>" => "a gate names the most that is allowed, so the sign points the wrong way".to_owned(),
        _ => format!("'{}' is no comparison that a gate has", shown(sign)),
    };
    Err(scanner.wrong(column, reason, write))
}

/// Reads the word `stable` where it follows; says what is wrong with another word.
fn relative(scanner: &mut Scanner<'_>, column: usize) -> Result<bool, InvalidCriterion> {
    let rest = scanner.rest();
    if !scanner.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
        if rest.contains("stable") {
            return Err(scanner.wrong(column, "'stable' does not come first", "write for example 'p95 <= stable * 1.1'"));
        }
        return Ok(false);
    }
    let mut ahead = *scanner;
    let word = ahead.take(|c| c.is_ascii_alphanumeric() || c == '_');
    if word == "stable" {
        *scanner = ahead;
        return Ok(true);
    }
    let other = ["baseline", "primary", "control", "v1", "production"].contains(&word.to_ascii_lowercase().as_str());
    if other || nearest(word, &["stable"]).is_some() {
        return Err(scanner.wrong(column, format!("'{}' is no version that can be compared with", shown(word)), "did you mean 'stable'?"));
    }
    Ok(false)
}

/// Reads the sign of multiplication after `stable`.
fn times(scanner: &mut Scanner<'_>) -> Result<(), InvalidCriterion> {
    let column = scanner.column();
    if scanner.eat('*') {
        return Ok(());
    }
    let reason = match scanner.peek() {
        None => "it is not said how much worse than stable is allowed",
        Some('+' | '-') => "a response time is compared by a factor",
        Some(_) => "a '*' must follow 'stable'",
    };
    Err(scanner.wrong(column, reason, "write for example 'stable * 1.1' for a tenth more"))
}

/// Reads how many more errors than stable are allowed.
fn slack(scanner: &mut Scanner<'_>) -> Result<Slack, InvalidCriterion> {
    let column = scanner.column();
    if scanner.eat('*') {
        return quantity::ratio(scanner).map(Slack::Times);
    }
    if scanner.eat('+') {
        return quantity::points(scanner).map(Slack::Plus);
    }
    let reason = match scanner.peek() {
        None => "it is not said how much worse than stable is allowed",
        Some('-') => "a version just like stable would miss the gate",
        Some(_) => "a '*' or a '+' must follow 'stable'",
    };
    Err(scanner.wrong(column, reason, "write for example 'stable * 1.5' or 'stable + 0.2pp'"))
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |timing: &Timing| if *timing == Timing::Duration { "(duration)" } else { "" };
        let counted = |kinds: &ErrorKinds| if *kinds == ErrorKinds::DEFAULT { String::new() } else { format!("({kinds})") };
        match self {
            Self::Latency { share, limit, timing } => write!(f, "{}{} < {}", quantile(*share), of(timing), exact(*limit)),
            Self::Errors { share, kinds } => write!(f, "errors{} < {share}", counted(kinds)),
            Self::Mean { limit, timing } => write!(f, "mean{} < {}", of(timing), exact(*limit)),
            Self::Apdex { satisfied, loss } => {
                let score = format!("{:.6}", 1.0 - loss.ratio());
                write!(f, "apdex({}) > {}", exact(*satisfied), score.trim_end_matches('0').trim_end_matches('.'))
            }
            Self::RelativeLatency { share, ratio, timing } => write!(f, "{}{} <= stable * {ratio}", quantile(*share), of(timing)),
            Self::RelativeErrors { kinds, slack: Slack::Times(ratio) } => write!(f, "errors{} <= stable * {ratio}", counted(kinds)),
            Self::RelativeErrors { kinds, slack: Slack::Plus(share) } => {
                write!(f, "errors{} <= stable + {}pp", counted(kinds), share.to_string().trim_end_matches('%'))
            }
        }
    }
}

/// Writes the quantile that allows this share above it: 5 % is p95.
fn quantile(share: Share) -> String {
    let quantile = format!("{:.4}", 100.0 - share.ratio() * 100.0);
    format!("p{}", quantile.trim_end_matches('0').trim_end_matches('.'))
}

/// Writes a duration to the nanosecond, in the longest of s, ms, µs and ns that keeps a whole part: `1.5 s`, `800 ms`.
fn exact(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (size, places, unit) = match nanos {
        1_000_000_000.. => (1_000_000_000, 9, "s"),
        1_000_000.. => (1_000_000, 6, "ms"),
        1_000.. => (1_000, 3, "µs"),
        _ => return format!("{nanos} ns"),
    };
    let text = format!("{}.{:0places$}", nanos / size, nanos % size);
    format!("{} {unit}", text.trim_end_matches('0').trim_end_matches('.'))
}
