//! Asks a Prometheus server for the value of a query at one moment (HTTP API v1, `/api/v1/query`).

use http::Method;
use jiff::Timestamp;
use serde_json::Value;

use crate::sources::endpoint::{Endpoint, Question, encoded};
use crate::sources::trouble::{Trouble, tamed};

/// The path of an instant query below the server's URL.
const PATH: &str = "/api/v1/query";

/// A Prometheus server, or anything that answers as one.
#[derive(Clone, Debug)]
pub struct Prometheus {
    endpoint: Endpoint,
}

/// One value of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The label set as JSON, as the server wrote it; `None` for a scalar, which has none.
    pub labels: Option<String>,
    /// The number as text, which may be `NaN` or `+Inf`.
    pub value: String,
}

/// What a server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instant {
    /// The values, perhaps none, in the order of the server.
    pub samples: Vec<Sample>,
    /// The server's own doubt, such as a part of the data that could not be read.
    pub doubt: Option<String>,
}

impl Prometheus {
    /// Takes the server at this place.
    #[must_use]
    pub const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// Asks for the value of a query at a moment.
    ///
    /// keptn 0.4 asked `/api/v1/query` for the value now, at the end of its test; here the end is said.
    ///
    /// # Errors
    ///
    /// Fails when there is no answer, an error, or one that is neither a vector nor a scalar.
    pub async fn instant(&self, query: &str, at: Timestamp) -> Result<Instant, Trouble> {
        let milliseconds = at.as_millisecond();
        let time = format!("{}.{:03}", milliseconds.div_euclid(1000), milliseconds.rem_euclid(1000));
        let asked = Question {
            method: Method::GET,
            path: PATH.to_owned(),
            query: format!("query={}&time={time}", encoded(query)),
            ..Question::default()
        };
        let reply = self.endpoint.ask(&asked).await?;
        let place = self.endpoint.place(PATH);
        let answer = serde_json::from_slice::<Value>(&reply.body);
        if !reply.status.is_success() {
            let said = answer.ok().as_ref().and_then(complaint);
            return Err(Trouble::Refused { place, status: reply.status.as_u16(), said });
        }
        let odd = |why: String| Trouble::Odd { place: place.clone(), why };
        let answer = answer.map_err(|error| odd(format!("it is no JSON ({error})")))?;
        if answer.get("status").and_then(Value::as_str) != Some("success") {
            let said = complaint(&answer);
            return Err(said.map_or_else(|| odd("its status is not success".to_owned()), |said| odd(format!("it says {said}"))));
        }
        let samples = samples(&answer).map_err(odd)?;
        let warnings = answer.get("warnings").and_then(Value::as_array).filter(|warnings| !warnings.is_empty());
        let doubt = warnings.map(|all| tamed(&all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")));
        Ok(Instant { samples, doubt })
    }
}

/// Returns the type and the text of an error, in one short line.
fn complaint(answer: &Value) -> Option<String> {
    let kind = answer.get("errorType").and_then(Value::as_str)?;
    let text = answer.get("error").and_then(Value::as_str).unwrap_or_default();
    Some(tamed(&format!("{kind}: {text}")))
}

fn samples(answer: &Value) -> Result<Vec<Sample>, String> {
    let data = answer.get("data").ok_or("it has no data")?;
    let result = data.get("result").and_then(Value::as_array).ok_or("it has no list of results")?;
    match data.get("resultType").and_then(Value::as_str) {
        Some("vector") => {
            let sample = |one: &Value| {
                let labels = one.get("metric").filter(|metric| metric.is_object()).map(Value::to_string);
                let value = one.get("value").and_then(number).ok_or("a result has no value")?;
                Ok(Sample { labels: Some(labels.ok_or("a result has no labels")?), value })
            };
            result.iter().map(sample).collect()
        }
        Some("scalar") => {
            let value = data.get("result").and_then(number).ok_or("the scalar has no value")?;
            Ok(vec![Sample { labels: None, value }])
        }
        Some(other) => Err(format!("it is a {}, where a query must give a vector: one value for each series", tamed(other))),
        None => Err("it does not say what kind of result it is".to_owned()),
    }
}

/// Returns the number of a pair of a time and a number, both as the server writes them.
fn number(pair: &Value) -> Option<String> {
    match pair.as_array()?.as_slice() {
        [Value::Number(_), Value::String(value)] => Some(value.clone()),
        _ => None,
    }
}
