//! Reads the quantities of a gate: response times, shares, percentage points, factors and scores, each with its unit.

use std::time::Duration;

use crate::domain::gate::criterion::{Ratio, Share};
use crate::domain::gate::scan::{InvalidCriterion, Scanner, nearest, shown};

/// The longest limit of a gate.
const LONGEST: Duration = Duration::from_secs(3600);

/// A unit of time: its name, how many decimals a number of it may have, and how many nanoseconds the last of them is.
type TimeUnit = (&'static str, usize, u64);

/// The units of time, from the longest.
const TIME_UNITS: [TimeUnit; 7] = [("h", 9, 3_600), ("m", 9, 60), ("s", 9, 1), ("ms", 6, 1), ("us", 3, 1), ("µs", 3, 1), ("ns", 0, 1)];

/// What people write for the units of time.
const TIME_WORDS: [(&str, &str); 22] = [
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("msec", "ms"),
    ("msecs", "ms"),
    ("milli", "ms"),
    ("millis", "ms"),
    ("millisecond", "ms"),
    ("milliseconds", "ms"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hr", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("usec", "us"),
    ("micros", "us"),
    ("microseconds", "us"),
    ("nanos", "ns"),
    ("nanoseconds", "ns"),
];

/// A number as it was written, with its unit.
struct Figure<'t> {
    column: usize,
    number: &'t str,
    unit_column: usize,
    unit: &'t str,
}

/// Reads a response time above 0 and at most 1 h, such as `300ms`, `1.5s` or `1m 30s`.
pub(super) fn duration(scanner: &mut Scanner<'_>) -> Result<Duration, InvalidCriterion> {
    let start = scanner.column();
    let from = *scanner;
    let mut total = 0_u64;
    let mut least = usize::MAX;
    loop {
        let figure = figure(scanner, "a response time, such as 300ms or 1s")?;
        let (index, (_, places, nanos)) = time_unit(scanner, &figure)?;
        // The two spellings of a microsecond are one unit.
        let rank = if index > 4 { index - 1 } else { index };
        if least != usize::MAX && rank <= least {
            let reason = format!("'{}' does not follow in a response time", shown(figure.number));
            return Err(scanner.wrong(figure.column, reason, "write the longest unit first and each unit once, such as 1m 30s"));
        }
        least = rank;
        let value = scaled(scanner, &figure, places)?.checked_mul(nanos).and_then(|value| total.checked_add(value));
        total = value.unwrap_or(u64::MAX);
        if !scanner.peek().is_some_and(|c| c.is_ascii_digit()) {
            break;
        }
    }
    let limit = Duration::from_nanos(total);
    if limit.is_zero() || limit > LONGEST {
        let written = from.rest().strip_suffix(scanner.rest()).unwrap_or_default().trim();
        let reason = format!("the limit '{}' is out of range", shown(written));
        return Err(scanner.wrong(start, reason, "it must be above 0 and at most 1h"));
    }
    Ok(limit)
}

/// Reads a share such as `1%`.
pub(super) fn share(scanner: &mut Scanner<'_>) -> Result<Share, InvalidCriterion> {
    let figure = figure(scanner, "a share, such as 1%")?;
    let number = figure.number;
    match figure.unit {
        "%" => percent(scanner, &figure, "errors < 1%"),
        "" => {
            let hint = match number.parse::<f64>() {
                Ok(value) if value > 0.0 && value < 1.0 => format!("write errors < {}% for that share", trimmed(value * 100.0)),
                _ => format!("write errors < {}%", shown(number)),
            };
            Err(scanner.wrong(figure.unit_column, "the percent sign is missing", hint))
        }
        "pp" => {
            let hint = format!("write errors < {number}%, or errors <= stable + {number}pp");
            Err(scanner.wrong(figure.unit_column, "percentage points only make sense above the share of stable", hint))
        }
        unit => Err(wrong_unit(scanner, &figure, unit, "a share of errors is written in percent", "write for example errors < 1%")),
    }
}

/// Reads percentage points such as `0.2pp`.
pub(super) fn points(scanner: &mut Scanner<'_>) -> Result<Share, InvalidCriterion> {
    let figure = figure(scanner, "percentage points, such as 0.2pp")?;
    let number = shown(figure.number);
    match figure.unit {
        "pp" => percent(scanner, &figure, "errors <= stable + 0.2pp"),
        "%" => {
            let hint = format!("write 'stable + {number}pp' for percentage points, or 'stable * 1.1' for a tenth more");
            Err(scanner.wrong(figure.unit_column, "a percentage of what is not said", hint))
        }
        "" => Err(scanner.wrong(figure.unit_column, "the unit is missing", format!("write 'stable + {number}pp'"))),
        unit => {
            Err(wrong_unit(scanner, &figure, unit, "what is added to a share is written in percentage points", "write for example 0.2pp"))
        }
    }
}

fn percent(scanner: &Scanner<'_>, figure: &Figure<'_>, example: &str) -> Result<Share, InvalidCriterion> {
    let ppm = scaled(scanner, figure, 4)?;
    u32::try_from(ppm).ok().and_then(Share::from_ppm).ok_or_else(|| {
        let reason = format!("'{}{}' is not a share above 0% and below 100%", shown(figure.number), figure.unit);
        let hint = match ppm {
            0 => format!("no number of requests shows that there are none at all; write for example {example}"),
            _ => format!("every version keeps to that; write for example {example}"),
        };
        scanner.wrong(figure.column, reason, hint)
    })
}

/// Reads a factor such as `1.1`, from 1 to 1 000.
pub(super) fn ratio(scanner: &mut Scanner<'_>) -> Result<Ratio, InvalidCriterion> {
    let figure = figure(scanner, "a factor, such as 1.1")?;
    match figure.unit {
        "" => {}
        "pp" => {
            let hint = format!("write 'stable + {}pp' to add them, or a factor such as 'stable * 1.1'", shown(figure.number));
            return Err(scanner.wrong(figure.unit_column, "percentage points cannot be multiplied with", hint));
        }
        "%" => {
            let factor = figure.number.parse::<f64>().map_or_else(|_| "1.1".to_owned(), |percent| trimmed(percent / 100.0));
            return Err(scanner.wrong(figure.unit_column, "a factor has no percent sign", format!("write 'stable * {factor}'")));
        }
        unit => return Err(wrong_unit(scanner, &figure, unit, "a factor has no unit", "write for example 'stable * 1.1'")),
    }
    let thousandths = scaled(scanner, &figure, 3)?;
    u32::try_from(thousandths).ok().and_then(Ratio::from_thousandths).ok_or_else(|| {
        let number = shown(figure.number);
        let (reason, hint) = if thousandths < 1_000 {
            let reason = format!("the factor {number} is below 1, so a version just like stable would miss the gate");
            (reason, "write a factor from 1 to 1000, such as 'stable * 1.1' for a tenth more".to_owned())
        } else {
            (format!("the factor {number} is above 1000"), "write a factor from 1 to 1000, such as 'stable * 1.1'".to_owned())
        };
        scanner.wrong(figure.column, reason, hint)
    })
}

/// Reads an Apdex score such as `0.9` and returns the loss it leaves, one minus the score.
pub(super) fn loss(scanner: &mut Scanner<'_>) -> Result<Share, InvalidCriterion> {
    let figure = figure(scanner, "a score between 0 and 1, such as 0.9")?;
    match figure.unit {
        "" => {}
        "%" => {
            let score = figure.number.parse::<f64>().map_or_else(|_| "0.9".to_owned(), |percent| trimmed(percent / 100.0));
            return Err(scanner.wrong(figure.unit_column, "a score has no percent sign", format!("write {score}")));
        }
        unit => return Err(wrong_unit(scanner, &figure, unit, "a score has no unit", "write for example apdex(500ms) > 0.9")),
    }
    let millionths = scaled(scanner, &figure, 6)?;
    1_000_000_u64.checked_sub(millionths).and_then(|loss| u32::try_from(loss).ok()).and_then(Share::from_ppm).ok_or_else(|| {
        let reason = format!("the score {} is not above 0 and below 1", shown(figure.number));
        scanner.wrong(figure.column, reason, "write for example apdex(500ms) > 0.9")
    })
}

/// Reads the digits of a quantile that follow the `p` at a column, and returns the share above it.
pub(super) fn exceedance(scanner: &Scanner<'_>, column: usize, number: &str) -> Result<Share, InvalidCriterion> {
    let figure = Figure { column, number, unit_column: column, unit: "" };
    let range = "a quantile lies between p1 and p99.9999";
    let ppm = scaled(scanner, &figure, 4)?;
    let share = 1_000_000_u64.checked_sub(ppm).filter(|_| ppm >= 10_000);
    share.and_then(|above| u32::try_from(above).ok()).and_then(Share::from_ppm).ok_or_else(|| {
        let hint = if ppm >= 1_000_000 {
            "no number of requests shows what none exceeds; write for example p99.9"
        } else {
            "write for example p95"
        };
        scanner.wrong(column, format!("'p{}' is no quantile, {range}", shown(number)), hint)
    })
}

/// Takes a number and what stands behind it.
fn figure<'t>(scanner: &mut Scanner<'t>, wanted: &str) -> Result<Figure<'t>, InvalidCriterion> {
    let column = scanner.column();
    match scanner.peek() {
        Some(sign @ ('-' | '+')) => {
            scanner.eat(sign);
            let number = scanner.word();
            let reason = if sign == '-' { format!("'-{}' is below 0", shown(number)) } else { "a number here has no sign".to_owned() };
            let hint = if sign == '-' { format!("write {wanted}, above 0") } else { format!("leave the sign out: {}", shown(number)) };
            return Err(scanner.wrong(column, reason, hint));
        }
        Some(c) if c.is_ascii_digit() || matches!(c, '.' | ',') => {}
        Some(_) => {
            let word = scanner.word();
            let lower = word.to_ascii_lowercase();
            let reason = if ["nan", "inf", "infinity"].contains(&lower.as_str()) {
                format!("'{word}' is no limit, every comparison with it would say the same")
            } else {
                format!("'{}' is not a number", shown(if word.is_empty() { scanner.rest() } else { word }))
            };
            return Err(scanner.wrong(column, reason, format!("write {wanted}")));
        }
        None => return Err(scanner.wrong(column, "something is missing at the end", format!("write {wanted}"))),
    }
    let number = scanner.take(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '_'));
    let unit_column = scanner.column();
    let unit = scanner.take(|c| c == '%');
    let unit = if unit.is_empty() { scanner.take(|c| c.is_ascii_alphanumeric() || matches!(c, 'µ' | 'μ' | '/')) } else { unit };
    Ok(Figure { column, number, unit_column, unit })
}

/// Finds the unit of a response time, and its place among the units.
fn time_unit(scanner: &Scanner<'_>, figure: &Figure<'_>) -> Result<(usize, TimeUnit), InvalidCriterion> {
    let unit = if figure.unit == "μs" { "µs" } else { figure.unit };
    if let Some(found) = TIME_UNITS.into_iter().enumerate().find(|(_, (name, ..))| *name == unit) {
        return Ok(found);
    }
    let number = shown(figure.number);
    let (reason, hint) = match unit {
        "" => ("the unit is missing".to_owned(), format!("add the unit: {number}ms are milliseconds, {number}s are seconds")),
        "%" | "pp" => (
            "a response time is not a share".to_owned(),
            "write a number with a unit of time, such as 300ms or 1s; a share of errors is written errors < 1%".to_owned(),
        ),
        _ => {
            let lower = unit.to_ascii_lowercase();
            let meant = TIME_WORDS.into_iter().find(|(word, _)| *word == lower).map(|(_, unit)| unit);
            let meant = meant.or_else(|| ["h", "m", "s", "ms", "us", "ns"].into_iter().find(|known| *known == lower));
            let hint = match meant.or_else(|| nearest(&lower, &["ms", "us", "ns"])) {
                Some(meant) => format!("did you mean {number}{meant}?"),
                None => "the units are ns, us, ms, s, m and h".to_owned(),
            };
            return Err(wrong_unit(scanner, figure, unit, "there is no such unit of time", &hint));
        }
    };
    Err(scanner.wrong(figure.unit_column, reason, hint))
}

fn wrong_unit(scanner: &Scanner<'_>, figure: &Figure<'_>, unit: &str, reason: &str, hint: &str) -> InvalidCriterion {
    let mut letters = unit.chars();
    let exponent = matches!(letters.next(), Some('e' | 'E')) && letters.next().is_none_or(|c| c.is_ascii_digit());
    if exponent {
        return scanner.wrong(figure.unit_column, "powers of ten are not read", "write the number out");
    }
    scanner.wrong(figure.unit_column, format!("'{}' does not belong here, {reason}", shown(unit)), hint)
}

/// Reads a plain decimal number with at most `places` decimals and returns it times 10^places.
fn scaled(scanner: &Scanner<'_>, figure: &Figure<'_>, places: usize) -> Result<u64, InvalidCriterion> {
    let number = figure.number;
    let wrong = |reason: String, hint: String| scanner.wrong(figure.column, reason, hint);
    let not_a_number = || format!("'{}' is not a number", shown(number));
    if number.contains('_') || number.matches(',').count() > 1 {
        return Err(wrong(not_a_number(), "write the digits without signs between them".to_owned()));
    }
    if number.contains(',') {
        return Err(wrong(not_a_number(), format!("decimals follow a point: {}", shown(&number.replace(',', ".")))));
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() && !fraction.is_empty() && digits(fraction) {
        return Err(wrong(not_a_number(), format!("write 0.{}", shown(fraction))));
    }
    if whole.is_empty() || number.ends_with('.') || !digits(whole) || !digits(fraction) {
        return Err(wrong(not_a_number(), "write digits with at most one point between them".to_owned()));
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > places {
        let hint = match places {
            0 => "write a whole number".to_owned(),
            _ => format!("write at most {places} decimals"),
        };
        return Err(wrong(format!("'{}' is finer than can be told apart", shown(number)), hint));
    }
    let too_large =
        |_| wrong(format!("'{}' is too large a number", shown(number)), "write a limit that a bad version can exceed".to_owned());
    format!("{whole}{fraction:0<places$}").parse().map_err(too_large)
}

/// Writes a number without superfluous decimals.
fn trimmed(number: f64) -> String {
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
