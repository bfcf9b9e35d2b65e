//! Asks a Dynatrace environment for the values of a series and for related entities (API v1).
//!
//! The paths, bodies and answers are those of Dynatrace's documentation of "Timeseries API v1 - POST data points" and
//! "Smartscape API v1"; which of them a gate file needs, and how, is keptn's.

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};

use crate::formats::evaluation_window::Window;
use crate::sources::credential::Credential;
use crate::sources::endpoint::{Endpoint, NoEndpoint, Question, encoded};
use crate::sources::trouble::{Trouble, tamed};

/// A Dynatrace environment.
#[derive(Clone, Debug)]
pub struct Dynatrace {
    pub(super) endpoint: Endpoint,
    pub(super) patience: Patience,
}

/// How long a service may be unknown to Dynatrace, which learns of it only some time after its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long it is looked for.
    pub limit: Duration,
    /// The pause after each look.
    pub pause: Duration,
}

impl Default for Patience {
    /// As keptn waited: ten looks, 20 s apart.
    fn default() -> Self {
        Self { limit: Duration::from_secs(200), pause: Duration::from_secs(20) }
    }
}

/// One value of one entity; `None` where Dynatrace has a place for it and nothing to put there.
pub type EntityValue = (String, Option<f64>);

/// A series that is asked for: one value for each entity, over the whole window.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Series {
    pub(super) id: String,
    /// The aggregation as Dynatrace names it.
    pub(super) aggregation: String,
    pub(super) percentile: Option<u32>,
    pub(super) entities: Vec<String>,
    pub(super) tags: Vec<Value>,
}

/// A relation whose entities are counted, such as `toRelationships:calls`.
pub(super) struct Relation<'a> {
    /// `Service`, `Application` or `Process`.
    pub(super) entity_type: &'a str,
    pub(super) relation: &'a str,
    pub(super) entities: &'a [String],
    pub(super) tags: &'a [String],
}

impl Dynatrace {
    /// Takes the environment at this place, such as `https://abc12345.live.dynatrace.com`; the token needs the right to read
    /// metrics (`DataExport` for v1, `metrics.read` for v2).
    ///
    /// # Errors
    ///
    /// Fails when the token would go in clear text to another machine.
    pub fn new(endpoint: Endpoint, token: Credential) -> Result<Self, NoEndpoint> {
        Ok(Self { endpoint: endpoint.with_credential(token).confidential()?, patience: Patience::default() })
    }

    /// Waits this long for a service that Dynatrace does not know yet.
    #[must_use]
    pub const fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Returns the values of a series, in the order of Dynatrace.
    pub(super) async fn series(&self, series: &Series, window: Window) -> Result<Vec<EntityValue>, Trouble> {
        let path = format!("/api/v1/timeseries/{}", encoded(&series.id));
        let mut body = Map::new();
        body.insert("timeseriesId".to_owned(), json!(series.id));
        body.insert("aggregationType".to_owned(), json!(series.aggregation));
        if let Some(percentile) = series.percentile {
            body.insert("percentile".to_owned(), json!(percentile));
        }
        body.insert("queryMode".to_owned(), json!("TOTAL"));
        body.insert("startTimestamp".to_owned(), json!(window.start.as_millisecond()));
        body.insert("endTimestamp".to_owned(), json!(window.end.as_millisecond()));
        if !series.entities.is_empty() {
            body.insert("entities".to_owned(), json!(series.entities));
        }
        if !series.tags.is_empty() {
            body.insert("tags".to_owned(), json!(series.tags));
        }
        let question = Question { method: Method::POST, path, body: Some(Value::Object(body).to_string()), ..Question::default() };
        let answer = self.json(&question).await?;
        let odd = |why: String| Trouble::Odd { place: self.endpoint.place(&question.path), why };
        let points = answer.get("result").or_else(|| answer.get("dataResult")).and_then(|result| result.get("dataPoints"));
        let points = points.and_then(Value::as_object).ok_or_else(|| odd("it has no result.dataPoints".to_owned()))?;
        let value = |(entity, points): (&String, &Value)| {
            let point = points.as_array().and_then(|points| points.first()).and_then(Value::as_array).map(Vec::as_slice);
            match point {
                Some([_, Value::Number(value)]) => Ok((entity.clone(), value.as_f64())),
                Some([_, Value::Null]) => Ok((entity.clone(), None)),
                _ => Err(odd(format!("{} has no data point [time, value]", tamed(entity)))),
            }
        };
        points.iter().map(value).collect()
    }

    /// Returns for each entity how many others stand in a relation to it.
    pub(super) async fn related(&self, asked: &Relation<'_>, window: Window) -> Result<Vec<EntityValue>, Trouble> {
        let kind = match asked.entity_type {
            "Application" => "applications",
            "Process" => "infrastructure/processes",
            _ => "services",
        };
        let mut query = format!("startTimestamp={}&endTimestamp={}", window.start.as_millisecond(), window.end.as_millisecond());
        for (name, texts) in [("entity", asked.entities), ("tag", asked.tags)] {
            texts.iter().for_each(|text| query.push_str(&format!("&{name}={}", encoded(text))));
        }
        let question = Question { method: Method::GET, path: format!("/api/v1/entity/{kind}"), query, ..Question::default() };
        let answer = self.json(&question).await?;
        let odd = |why: &str| Trouble::Odd { place: self.endpoint.place(&question.path), why: why.to_owned() };
        let (direction, name) = asked.relation.split_once(':').unwrap_or((asked.relation, ""));
        let count = |entity: &Value| {
            let id = entity.get("entityId").and_then(Value::as_str).ok_or_else(|| odd("an entity has no entityId"))?;
            let related = entity.get(direction).and_then(|relations| relations.get(name)).and_then(Value::as_array);
            #[expect(clippy::cast_precision_loss, reason = "an answer of 1 MiB names far fewer than 2^53 entities")]
            let count = related.map_or(0, Vec::len) as f64;
            Ok((id.to_owned(), Some(count)))
        };
        answer.as_array().ok_or_else(|| odd("it is no list of entities"))?.iter().map(count).collect()
    }

    /// Asks, and reads the answer as JSON.
    pub(super) async fn json(&self, question: &Question) -> Result<Value, Trouble> {
        let reply = self.endpoint.ask(question).await?;
        let place = self.endpoint.place(&question.path);
        let answer = serde_json::from_slice::<Value>(&reply.body);
        if !reply.status.is_success() {
            let message = answer.as_ref().ok().and_then(|answer| answer.get("error")?.get("message")?.as_str());
            return Err(Trouble::Refused { place, status: reply.status.as_u16(), said: message.map(tamed) });
        }
        answer.map_err(|error| Trouble::Odd { place, why: format!("it is no JSON ({error})") })
    }
}
