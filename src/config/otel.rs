//! What the environment says of traces, in OpenTelemetry's variables: what holds where the configuration writes nothing.
//!
//! Read are those of the specification's "Environment Variable Specification" and "OTLP Exporter Configuration" that there is a choice
//! about. `OTEL_EXPORTER_OTLP_PROTOCOL` is not: what is sent is JSON over HTTP.

use http::{HeaderName, HeaderValue, header};

use crate::config::surroundings::Surroundings;
use crate::domain::weight::Weight;
use crate::formats::yaml::place::{At, Place, Report};

/// Where signals go, and where traces do; the second goes before the first, and is the whole URL.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// What is sent along; those of the second are added to those of the first.
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"];
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const DISABLED: &str = "OTEL_SDK_DISABLED";
/// By which exporters traces go, separated by commas; without a word by OTLP.
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";

/// The fields that say how a message is to be read; nobody else sets them.
const OURS: [HeaderName; 5] = [header::HOST, header::CONTENT_TYPE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION];

/// A field that is sent along. Its value may be a secret: it is marked as one, so that it is never shown.
pub(super) type Field = (HeaderName, HeaderValue);

/// Returns where the environment sends traces, and whether the path of traces is still to be put behind it; `None` where it sends none.
pub(super) fn endpoint(around: &Surroundings<'_>) -> Option<(At<String>, bool)> {
    if said(around, DISABLED).is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        return None;
    }
    // Whoever sends metrics alone says so here.
    if said(around, EXPORTER).is_some_and(|names| !names.split(',').any(|name| name.trim() == "otlp")) {
        return None;
    }
    let at = |name: &str| said(around, name).map(|text| At::new(text, Place::flag(name)));
    at(TRACES_ENDPOINT).map(|url| (url, false)).or_else(|| at(ENDPOINT).map(|url| (url, true)))
}

/// Returns the name of the service that the environment gives this process.
pub(super) fn service(around: &Surroundings<'_>) -> Option<String> {
    said(around, SERVICE_NAME)
}

/// Returns the share of requests that are recorded and whether a caller's decision holds, as far as the environment says; the outer
/// `None` where what it says cannot be.
pub(super) fn sampling(around: &Surroundings<'_>, report: &Report<'_>) -> Option<Option<(Weight, bool)>> {
    let Some(name) = said(around, SAMPLER) else { return Some(None) };
    let (follow, kind) = name.strip_prefix("parentbased_").map_or((false, &*name), |kind| (true, kind));
    let share = match kind {
        "always_on" => Weight::FULL,
        "always_off" => Weight::ZERO,
        "traceidratio" => ratio(around, report)?,
        _ => {
            let hint = "write always_on, always_off or traceidratio, each perhaps with parentbased_ before it";
            report.error(&Place::flag(SAMPLER), format!("there is no sampler {name:?} here"), hint);
            return None;
        }
    };
    Some(Some((share, follow)))
}

/// Reads the share of a sampler, from 0 to 1; everything where nothing is said. Shares are kept in hundredths of a percent; what is less
/// but more than nothing is the smallest.
fn ratio(around: &Surroundings<'_>, report: &Report<'_>) -> Option<Weight> {
    let Some(text) = said(around, SAMPLER_ARG) else { return Some(Weight::FULL) };
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    let Some(share) = share else {
        report.error(
            &Place::flag(SAMPLER_ARG),
            format!("{text:?} is no share of all requests"),
            "write a number from 0 to 1, such as 0.01",
        );
        return None;
    };
    let points = (share * 10_000.0).round().max(if share > 0.0 { 1.0 } else { 0.0 });
    // At most 10,000, which fits.
    Weight::from_basis_points(points as u16).ok()
}

/// Returns what is to be sent along to the endpoint of the environment; `None` where it cannot be read. No message holds a value.
pub(super) fn fields(around: &Surroundings<'_>, report: &Report<'_>) -> Option<Vec<Field>> {
    let mut fields: Vec<Field> = Vec::new();
    let mut readable = true;
    for variable in HEADERS {
        let text = said(around, variable).unwrap_or_default();
        for (index, entry) in text.split(',').enumerate().filter(|(_, entry)| !entry.trim().is_empty()) {
            match field(entry) {
                Some(field) => {
                    fields.retain(|(name, _)| *name != field.0);
                    fields.push(field);
                }
                None => {
                    let hint = "write NAME=VALUE,NAME=VALUE, with %2C for a comma in a value";
                    report.error(&Place::flag(variable), format!("its entry {} is no field that can be sent", index + 1), hint);
                    readable = false;
                }
            }
        }
    }
    readable.then_some(fields)
}

/// Reads `NAME=VALUE`, where the value is percent-encoded (W3C Baggage, section 3.3.1).
fn field(entry: &str) -> Option<Field> {
    let (name, value) = entry.split_once('=')?;
    let name: HeaderName = name.trim().parse().ok().filter(|name| !OURS.contains(name))?;
    let mut value = HeaderValue::from_bytes(&decoded(value.trim())?).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(if byte == b'%' { digit(rest.next())? * 16 + digit(rest.next())? } else { byte });
    }
    Some(bytes)
}

/// Returns what a variable says; an empty one says nothing, and neither does one that is no text.
fn said(around: &Surroundings<'_>, name: &str) -> Option<String> {
    (around.variable)(name)?.into_string().ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}
