//! An event with its attributes, and its structured form in JSON.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// The content type of an event in its structured form.
pub const STRUCTURED: &str = "application/cloudevents+json";

/// The version of CloudEvents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecVersion {
    /// 0.2, which keptn 0.2 to 0.7 speak.
    V0_2,
    /// 1.0, which keptn speaks from 0.8 on.
    V1_0,
}

impl SpecVersion {
    /// Returns the version as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_2 => "0.2",
            Self::V1_0 => "1.0",
        }
    }

    /// Returns the attribute that says what the data are.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::V0_2 => "contenttype",
            Self::V1_0 => "datacontenttype",
        }
    }
}

/// An event whose data are JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The version it was, or is to be, written in.
    pub version: SpecVersion,
    /// Its id; with the source it is the event's own.
    pub id: String,
    /// Who sent it.
    pub source: String,
    /// Its type, such as `sh.keptn.events.new-artifact`.
    pub kind: String,
    /// When it came about.
    pub time: Option<Timestamp>,
    /// The story it belongs to (`shkeptncontext`).
    pub context: Option<String>,
    /// The event it answers (`triggeredid`).
    pub triggered_id: Option<String>,
    /// The version of keptn's specification (`shkeptnspecversion`).
    pub keptn_version: Option<String>,
    /// The commit of the configuration (`gitcommitid`).
    pub git_commit: Option<String>,
    /// All other attributes, as they came.
    pub extensions: Map<String, Value>,
    /// The data, `null` where there are none.
    pub data: Value,
}

impl Event {
    /// Returns the structured form.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        let mut put = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                json.insert(name.to_owned(), Value::String(value.clone()));
            }
        };
        put("specversion", &Some(self.version.as_str().to_owned()));
        put("type", &Some(self.kind.clone()));
        put("source", &Some(self.source.clone()));
        put("id", &Some(self.id.clone()));
        put("time", &self.time.map(|time| time.to_string()));
        put(self.version.content_type(), &Some("application/json".to_owned()));
        put("shkeptncontext", &self.context);
        put("triggeredid", &self.triggered_id);
        put("shkeptnspecversion", &self.keptn_version);
        put("gitcommitid", &self.git_commit);
        for (name, value) in &self.extensions {
            json.entry(name.clone()).or_insert_with(|| value.clone());
        }
        if !self.data.is_null() {
            json.insert("data".to_owned(), self.data.clone());
        }
        Value::Object(json)
    }
}
