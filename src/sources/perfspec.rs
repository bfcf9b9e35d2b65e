//! Asks the sources of a perfspec for the values of its indicators, strictly or as keptn 0.4 and 0.5 did.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::domain::gate::occasion::{Dialect, Occasion, Unresolved};
use crate::domain::gate::perfspec::Js;
use crate::domain::gate::perfspec::spec::{Aggregation, Answer, Answers, Entities, Indicator, Query, Source, SourceResult, Spec};
use crate::formats::evaluation_window::Window;
use crate::sources::dynatrace::{Dynatrace, EntityValue, Relation, Series};
use crate::sources::prometheus::{Instant as Asked, Prometheus};
use crate::sources::trouble::Trouble;

/// How long all queries of one evaluation may take together.
pub const WHOLE: Duration = Duration::from_secs(60);

/// The words of the original for a service that Dynatrace does not know.
pub const NO_ENTITY: &str = "No Dynatrace Service Entity found.";

/// Where values may be had; an indicator of a source that is not here cannot be answered.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The Prometheus server.
    pub prometheus: Option<Prometheus>,
    /// The Dynatrace environment.
    pub dynatrace: Option<Dynatrace>,
}

/// Why an indicator cannot even be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A placeholder of its query cannot be replaced.
    #[error("the query of {indicator:?} cannot be sent: {why}")]
    Unresolved {
        /// The indicator.
        indicator: String,
        /// Why not.
        why: Unresolved,
    },
    /// Nothing says where its source is.
    #[error("{indicator:?} asks {source_name}, and nothing says where that is")]
    NoSource {
        /// The indicator.
        indicator: String,
        /// The source it names.
        source_name: &'static str,
    },
}

impl Refusal {
    /// Says how to mend it, one sentence without a full stop.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unresolved { why, .. } => why.hint(),
            Self::NoSource { source_name, .. } => format!("give --{} with its URL", source_name.to_ascii_lowercase()),
        }
    }
}

/// Asks for the values of every indicator of a perfspec; `dialect` says whose placeholders it has.
///
/// An indicator whose source gives no answer is [`Answer::Unavailable`] with the reason, which is inconclusive strictly.
/// All queries together take [`WHOLE`] at most, beside the wait for a service that Dynatrace does not know yet.
///
/// # Errors
///
/// Returns every indicator that cannot be asked for, before anything is asked.
pub async fn answers(
    spec: &Spec,
    dialect: Dialect,
    sources: &Sources,
    window: Window,
    occasion: &Occasion,
) -> Result<Answers, Vec<Refusal>> {
    let prepared: Vec<Result<(&Indicator, Query), Refusal>> =
        spec.indicators.iter().map(|indicator| Ok((indicator, resolved(indicator, dialect, sources, occasion)?))).collect();
    let refusals: Vec<Refusal> = prepared.iter().filter_map(|one| one.as_ref().err().cloned()).collect();
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let prepared: Vec<(&Indicator, Query)> = prepared.into_iter().flatten().collect();
    let entity = match &sources.dynatrace {
        Some(dynatrace) if prepared.iter().any(|(_, query)| wants_entity(query)) => {
            Some(entity(dynatrace, &tags(dialect, occasion), window).await)
        }
        _ => None,
    };
    let until = Instant::now() + WHOLE;
    let mut answers = Answers::new();
    for (indicator, query) in prepared {
        let asked = timeout_at(until, ask(&query, sources, entity.as_ref(), window)).await;
        let results = asked.unwrap_or_else(|_| Err(Trouble::Unasked(WHOLE).to_string()));
        answers.insert(indicator.id.clone(), results.map_or_else(Answer::Unavailable, Answer::Values));
    }
    Ok(answers)
}

/// Returns the query of an indicator with its placeholders replaced.
fn resolved(indicator: &Indicator, dialect: Dialect, sources: &Sources, occasion: &Occasion) -> Result<Query, Refusal> {
    let there = match indicator.source {
        Source::Prometheus => sources.prometheus.is_some(),
        Source::Dynatrace => sources.dynatrace.is_some(),
    };
    if !there {
        let source_name = if indicator.source == Source::Prometheus { "Prometheus" } else { "Dynatrace" };
        return Err(Refusal::NoSource { indicator: indicator.id.clone(), source_name });
    }
    let unresolved = |why| Refusal::Unresolved { indicator: indicator.id.clone(), why };
    let replace = |text: &String| occasion.resolve(text, dialect, &[]).map_err(unresolved);
    let entities = |of: &Entities| -> Result<Entities, Refusal> {
        let all = |texts: &[String]| texts.iter().map(replace).collect::<Result<Vec<_>, _>>();
        Ok(Entities { ids: all(&of.ids)?, tags: all(&of.tags)? })
    };
    let query = match &indicator.query {
        Query::Promql(query) => Query::Promql(replace(query)?),
        Query::Timeseries { id, aggregation, of } => Query::Timeseries { id: replace(id)?, aggregation: *aggregation, of: entities(of)? },
        Query::Smartscape { entity_type, relation, of } => {
            Query::Smartscape { entity_type: entity_type.clone(), relation: relation.clone(), of: entities(of)? }
        }
    };
    if wants_entity(&query) {
        for (word, value) in [("SERVICE", &occasion.service), ("PROJECT", &occasion.project), ("STAGE", &occasion.stage)] {
            value.as_ref().filter(|value| !value.is_empty()).ok_or_else(|| unresolved(Unresolved::Missing(word.to_owned())))?;
        }
    }
    Ok(query)
}

/// Says whether a query is about the service of the run: it names neither entities nor tags, and no other kind of thing.
fn wants_entity(query: &Query) -> bool {
    match query {
        Query::Promql(_) => false,
        Query::Timeseries { of, .. } => *of == Entities::default(),
        Query::Smartscape { entity_type, of, .. } => *of == Entities::default() && entity_type == "Service",
    }
}

/// Returns the tags by which keptn found the service; 0.5 looked for the one under test only, unless real users were the test.
fn tags(dialect: Dialect, occasion: &Occasion) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut tags =
        vec![format!("service:{}", text(&occasion.service)), format!("environment:{}-{}", text(&occasion.project), text(&occasion.stage))];
    if dialect == Dialect::Pair && occasion.test_strategy.as_deref() != Some("real-user") {
        tags.push("test-subject:true".to_owned());
    }
    tags
}

/// Finds the entity of the service, or says why there is none.
async fn entity(dynatrace: &Dynatrace, tags: &[String], window: Window) -> Result<String, String> {
    match dynatrace.service(tags, window).await {
        Ok(Some(entity)) => Ok(entity),
        Ok(None) => Err(format!("Dynatrace knows no service with the tags {} in that time", tags.join(", "))),
        Err(trouble) => Err(trouble.to_string()),
    }
}

async fn ask(
    query: &Query,
    sources: &Sources,
    entity: Option<&Result<String, String>>,
    window: Window,
) -> Result<Vec<SourceResult>, String> {
    let missing = || "nothing says where the source is".to_owned();
    let ids = |of: &Entities| match entity {
        Some(found) if wants_entity(query) => found.clone().map(|id| vec![id]),
        _ => Ok(of.ids.clone()),
    };
    match query {
        Query::Promql(query) => {
            let prometheus = sources.prometheus.as_ref().ok_or_else(missing)?;
            let answer = prometheus.instant(query, window.end).await.map_err(|trouble| trouble.to_string())?;
            if let Some(doubt) = answer.doubt {
                return Err(format!("the answer may lack data: {doubt}"));
            }
            Ok(of_samples(answer))
        }
        Query::Timeseries { id, aggregation, of } => {
            let dynatrace = sources.dynatrace.as_ref().ok_or_else(missing)?;
            let (aggregation, percentile) = match aggregation {
                Aggregation::Mean => ("AVG", None),
                Aggregation::Min => ("MIN", None),
                Aggregation::Max => ("MAX", None),
                Aggregation::Count => ("COUNT", None),
                Aggregation::Percentile(percent) => ("PERCENTILE", Some(u32::from(*percent))),
            };
            let tags = of.tags.iter().cloned().map(Value::String).collect();
            let series = Series { id: id.clone(), aggregation: aggregation.to_owned(), percentile, entities: ids(of)?, tags };
            dynatrace.series(&series, window).await.map(of_entities).map_err(|trouble| trouble.to_string())
        }
        Query::Smartscape { entity_type, relation, of } => {
            let dynatrace = sources.dynatrace.as_ref().ok_or_else(missing)?;
            let asked = Relation { entity_type, relation, entities: &ids(of)?, tags: &of.tags };
            dynatrace.related(&asked, window).await.map(of_entities).map_err(|trouble| trouble.to_string())
        }
    }
}

fn of_samples(answer: Asked) -> Vec<SourceResult> {
    let result = |sample: crate::sources::prometheus::Sample| SourceResult {
        key: sample.labels.map_or(Js::Undefined, Js::Text),
        value: Js::Text(sample.value),
    };
    answer.samples.into_iter().map(result).collect()
}

fn of_entities(values: Vec<EntityValue>) -> Vec<SourceResult> {
    let result = |(entity, value): EntityValue| SourceResult { key: Js::Text(entity), value: value.map_or(Js::Null, Js::Number) };
    values.into_iter().map(result).collect()
}

/// Asks for the values of every indicator that the original would have asked for, of a perfspec whose placeholders are
/// replaced; [`crate::domain::gate::perfspec::keptn::fetch_from`] hands them to the grader.
///
/// What the original could not have got is unavailable in its words; of a service that Dynatrace does not know every
/// indicator is, for the original looks for it first.
pub async fn answers_keptn(spec: &Js, dialect: Dialect, sources: &Sources, window: Window, occasion: &Occasion) -> Answers {
    let Ok(Js::List(indicators)) = spec.get("indicators") else { return Answers::new() };
    let field = |value: &Js, key: &str| value.get(key).cloned().unwrap_or_default();
    let asks_dynatrace = indicators.iter().any(|one| field(one, "source").to_text().eq_ignore_ascii_case("dynatrace"));
    let entity = match (&sources.dynatrace, asks_dynatrace) {
        (_, false) => Ok(String::new()),
        (None, true) => Err("Error while fetching Dynatrace data: Error: no Dynatrace credentials available in the cluster.".to_owned()),
        (Some(dynatrace), true) => entity_keptn(dynatrace, &tags(dialect, occasion), window).await,
    };
    let until = Instant::now() + WHOLE;
    let mut answers = Answers::new();
    // Of two with the same id the later one counts.
    for indicator in indicators.iter().rev() {
        let id = field(indicator, "id").to_text();
        let Some(source) = Source::from_name(&field(indicator, "source").to_text()).filter(|_| !answers.contains_key(&id)) else {
            continue;
        };
        let query = field(indicator, "query");
        let results = match &entity {
            Err(why) => Err(why.clone()),
            Ok(entity) => {
                let asked = timeout_at(until, ask_keptn(source, &query, sources, entity, window)).await;
                asked.unwrap_or_else(|_| Err(Trouble::Unasked(WHOLE).as_keptn()))
            }
        };
        answers.insert(id, results.map_or_else(Answer::Unavailable, Answer::Values));
    }
    answers
}

async fn entity_keptn(dynatrace: &Dynatrace, tags: &[String], window: Window) -> Result<String, String> {
    let found = dynatrace.service(tags, window).await;
    let found = found.map_err(|trouble| format!("Error while fetching Dynatrace data: {}", trouble.as_keptn()))?;
    found.ok_or_else(|| NO_ENTITY.to_owned())
}

async fn ask_keptn(source: Source, query: &Js, sources: &Sources, entity: &str, window: Window) -> Result<Vec<SourceResult>, String> {
    let Source::Dynatrace = source else {
        let prometheus = sources.prometheus.as_ref().ok_or("Error: nothing says where Prometheus is")?;
        let answer = prometheus.instant(&query.to_text(), window.end).await.map_err(|trouble| trouble.as_keptn())?;
        if answer.samples.iter().any(|sample| sample.labels.is_none()) {
            return Err("TypeError: Cannot read property '1' of undefined".to_owned());
        }
        return Ok(of_samples(answer));
    };
    let dynatrace = sources.dynatrace.as_ref().ok_or("Error: nothing says where Dynatrace is")?;
    let text = |key: &str| query.get(key).map(Js::to_text).unwrap_or_default();
    let (id, aggregation) = (query.get("timeseriesId")?, text("aggregation"));
    let entities = vec![entity.to_owned()];
    let tags: Vec<Value> = match query.get("tags") {
        Ok(Js::List(tags)) => tags.iter().filter_map(|tag| serde_json::to_value(tag).ok()).collect(),
        _ => Vec::new(),
    };
    let values = if id.truthy() {
        let percentile = percentile_of(&aggregation);
        let aggregation = if percentile.is_some() { "percentile".to_owned() } else { aggregation };
        dynatrace.series(&Series { id: id.to_text(), aggregation, percentile, entities, tags }, window).await
    } else {
        let (entity_type, relation) = (text("entityType"), text("smartscape"));
        let tags: Vec<String> = tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
        let asked = Relation { entity_type: &entity_type, relation: &relation, entities: &entities, tags: &tags };
        dynatrace.related(&asked, window).await
    };
    values.map(of_entities).map_err(|trouble| trouble.as_keptn())
}

/// Returns the number after the first lower-case `p` that has one.
fn percentile_of(aggregation: &str) -> Option<u32> {
    aggregation.split('p').skip(1).find_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    })
}
