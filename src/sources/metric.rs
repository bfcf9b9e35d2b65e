//! Asks Dynatrace for the value of an SLI (Metrics API v2), with queries as keptn's Dynatrace provider read them.

use http::Method;
use serde_json::Value;

use crate::formats::evaluation_window::Window;
use crate::sources::dynatrace::Dynatrace;
use crate::sources::endpoint::{Question, encoded};
use crate::sources::trouble::{Trouble, tamed};

/// The path of a query below the environment's URL.
const PATH: &str = "/api/v2/metrics/query";

/// Why a metric has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoValue {
    /// Dynatrace gave no answer.
    #[error("{0}")]
    Trouble(#[from] Trouble),
    /// The query is none of the kinds that are understood.
    #[error("the query {query:?} cannot be asked: {why}")]
    Query {
        /// The query.
        query: String,
        /// Why not.
        why: &'static str,
    },
    /// There is no single value; the text says what there is.
    #[error("{0}")]
    NotOne(String),
}

/// What a query says once it has been taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    selector: String,
    /// The other parameters, names and values as they are meant.
    others: Vec<(String, String)>,
    /// What the value is divided by.
    divisor: u32,
}

impl Dynatrace {
    /// Returns the value of a query: `selector?scope=…` or `metricSelector=…&entitySelector=…`, with `MV2;MicroSecond;` or
    /// `MV2;Byte;` before it where its unit is to be changed. Response times come in milliseconds, as keptn gave them.
    ///
    /// # Errors
    ///
    /// Fails when the query is of another kind, there is no answer, or there is no single value in it.
    pub async fn metric(&self, query: &str, window: Window) -> Result<f64, NoValue> {
        let parts = parts(query).map_err(|why| NoValue::Query { query: tamed(query), why })?;
        let mut sent = format!("metricSelector={}", encoded(&parts.selector));
        for (name, value) in &parts.others {
            sent.push_str(&format!("&{}={}", encoded(name), encoded(value)));
        }
        // One value for the whole window.
        sent.push_str(&format!("&resolution=Inf&from={}&to={}", window.start.as_millisecond(), window.end.as_millisecond()));
        let question = Question { method: Method::GET, path: PATH.to_owned(), query: sent, ..Question::default() };
        let answer = self.json(&question).await?;
        let odd = |why: &str| Trouble::Odd { place: self.endpoint.place(PATH), why: why.to_owned() };
        let results = answer.get("result").and_then(Value::as_array).ok_or_else(|| odd("it has no result"))?;
        let of_selector = |one: &&Value| one.get("metricId").and_then(Value::as_str) == Some(parts.selector.as_str());
        // Dynatrace may write the selector in another way; one result can only be the one asked for.
        let result = match results.as_slice() {
            [one] => Some(one),
            many => many.iter().find(of_selector),
        };
        let result = result.ok_or_else(|| NoValue::NotOne("no values".to_owned()))?;
        let rows = result.get("data").and_then(Value::as_array).ok_or_else(|| odd("a result has no data"))?;
        let values = |row: &Value| row.get("values").and_then(Value::as_array).cloned();
        let values: Option<Vec<Vec<Value>>> = rows.iter().map(values).collect();
        match values.ok_or_else(|| odd("a row has no values"))?.concat().as_slice() {
            [] => Err(NoValue::NotOne("no values".to_owned())),
            [Value::Number(value)] => Ok(value.as_f64().unwrap_or(f64::NAN) / f64::from(parts.divisor)),
            [_] => Err(NoValue::NotOne("the value is null".to_owned())),
            many => Err(NoValue::NotOne(format!("{} values where one is wanted; end the selector with :merge(0)", many.len()))),
        }
    }
}

/// Takes a query apart.
fn parts(query: &str) -> Result<Parts, &'static str> {
    let (unit, bare) = match query.strip_prefix("MV2;").map(|rest| rest.split_once(';')) {
        None => (None, query),
        Some(Some((unit, bare))) => (Some(unit), bare),
        Some(None) => return Err("MV2 needs a unit and a query, as in MV2;MicroSecond;metricSelector=…"),
    };
    if ["USQL;", "SLO;", "PV2;", "SECPV2;"].iter().any(|kind| bare.starts_with(kind)) {
        return Err("only metrics are asked for, no user sessions, SLOs or problems");
    }
    let (old, parameters) = match bare.strip_prefix('?').unwrap_or(bare).split_once('?') {
        Some((selector, parameters)) => (Some(selector), parameters),
        None => (None, bare.strip_prefix('?').unwrap_or(bare)),
    };
    let mut selector = old.map(str::to_owned);
    let mut others = Vec::new();
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or("it is neither selector?scope=… nor metricSelector=…&entitySelector=…")?;
        let value = decoded(value);
        match name {
            "metricSelector" if selector.is_none() => selector = Some(value),
            "metricSelector" => return Err("it has two selectors"),
            // The scope of the first interface is the selector of entities of today's, which must say of what type.
            "scope" if value.contains("type(") => others.push(("entitySelector".to_owned(), value)),
            "scope" => others.push(("entitySelector".to_owned(), format!("{value},type(SERVICE)"))),
            "resolution" | "from" | "to" => return Err("the window and its resolution are not the query's to say"),
            _ => others.push((name.to_owned(), value)),
        }
    }
    let selector = selector.filter(|selector| !selector.is_empty()).ok_or("it has no metric selector")?;
    let divisor = match unit {
        None if selector.contains("builtin:service.response.time") => 1000,
        None => 1,
        Some("MicroSecond") => 1000,
        Some("Byte") => 1024,
        Some(_) => return Err("the unit of MV2 is MicroSecond or Byte"),
    };
    Ok(Parts { selector, others, divisor })
}

/// Decodes what a writer has encoded; a percent sign that begins no code stands for itself.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|code| std::str::from_utf8(code).ok()).and_then(|code| u8::from_str_radix(code, 16).ok());
        match (first, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
