//! The evaluations of each stage as they were made, for the criteria that compare with earlier ones and for whoever asks.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::delivery::spot::Spot;
use crate::domain::gate::Verdict;
use crate::domain::gate::slo::baseline::Earlier;
use crate::formats::slo;
use crate::store::{Limits, Store, Stored};

/// How many evaluations of a stage are kept for comparison, the newest.
const MOST: usize = 100;
/// The largest report that is kept with its evaluation, in bytes.
const LARGEST: usize = 64 * 1024;
/// The most evaluations of one context that are shown.
const SHOWN: usize = 100;

/// One evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evaluation {
    /// The context it belongs to.
    pub(super) context: String,
    /// The run it judged; 0 where nothing was delivered.
    pub(super) run: u64,
    /// The project.
    pub(super) project: String,
    /// The stage.
    pub(super) stage: String,
    /// The service.
    pub(super) service: String,
    /// Where the evaluated span begins, in UTC.
    pub(super) start: String,
    /// Where it ends.
    pub(super) end: String,
    /// What it said.
    pub(super) verdict: Verdict,
    /// Why, one plain sentence.
    pub(super) reason: String,
    /// The report of the gate file's arithmetic; null where it was too large, or a source was not asked.
    pub(super) report: Value,
}

/// The evaluations of a stage, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    evaluations: Vec<Evaluation>,
}

/// The evaluations of all stages.
pub(super) struct Past {
    store: Store<Kept, Evaluation>,
}

impl Past {
    /// Opens the folder they are kept in.
    ///
    /// # Errors
    ///
    /// Says why it cannot be read or written.
    pub(super) fn open(folder: &Path) -> Result<Self, String> {
        let opened = Store::open(folder).map_err(|error| error.to_string())?;
        opened.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(Self { store: opened.store })
    }

    /// Keeps an evaluation; one that was made of the same run before is replaced.
    ///
    /// # Errors
    ///
    /// Says why it is not durable.
    pub(super) fn keep(&self, spot: &Spot, mut evaluation: Evaluation) -> Result<(), String> {
        if evaluation.report.to_string().len() > LARGEST {
            evaluation.report = Value::Null;
        }
        let mut kept = self.kept(spot)?;
        kept.evaluations.retain(|one| (&one.context, one.run) != (&evaluation.context, evaluation.run));
        kept.evaluations.push(evaluation.clone());
        let surplus = kept.evaluations.len().saturating_sub(MOST);
        kept.evaluations.drain(..surplus);
        self.store.put(&spot.name()?, &kept, &evaluation).map(|_| ()).map_err(|error| error.to_string())
    }

    /// Returns what criteria of a stage are compared with, newest first; a run is not compared with itself.
    ///
    /// # Errors
    ///
    /// Says why it cannot be read.
    pub(super) fn earlier(&self, spot: &Spot, (context, run): (&str, u64)) -> Result<Vec<Earlier>, String> {
        let kept = self.kept(spot)?;
        let others = kept.evaluations.iter().rev().filter(|one| (one.context.as_str(), one.run) != (context, run));
        let reports: Vec<&Value> = others.map(|one| &one.report).filter(|report| report.get("result").is_some()).collect();
        let text = serde_json::to_string(&reports).map_err(|error| error.to_string())?;
        slo::read_earlier("earlier evaluations", &text).map_err(crate::delivery::gate_file::told)
    }

    /// Returns the evaluations of a context, oldest first.
    ///
    /// # Errors
    ///
    /// Says why they cannot be read.
    pub(super) fn of_context(&self, context: &str) -> Result<Vec<Evaluation>, String> {
        let of_it = |entry: &Stored<Evaluation>| matches!(entry, Stored::Known(one) if one.context == context);
        let excerpt = self.store.excerpt(Limits { entries: SHOWN, ..Limits::NONE }, of_it).map_err(|error| error.to_string())?;
        Ok(excerpt.entries.into_iter().filter_map(|(_, entry)| entry.known()).collect())
    }

    fn kept(&self, spot: &Spot) -> Result<Kept, String> {
        match self.store.record(&spot.name()?).map_err(|error| error.to_string())? {
            Some(Stored::Known(kept)) => Ok(kept),
            None => Ok(Kept::default()),
            Some(Stored::Unknown { reason }) => Err(format!("earlier evaluations cannot be read: {reason}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spot() -> Spot {
        Spot { project: "sockshop".parse().unwrap(), service: "carts".parse().unwrap(), stage: "staging".parse().unwrap() }
    }

    fn evaluation(context: &str, run: u64, value: f64) -> Evaluation {
        let row = json!({"value": {"metric": "p95", "value": value, "success": true}, "status": "pass"});
        Evaluation {
            context: context.to_owned(),
            run,
            project: "sockshop".to_owned(),
            stage: "staging".to_owned(),
            service: "carts".to_owned(),
            start: String::new(),
            end: String::new(),
            verdict: Verdict::Pass,
            reason: "good".to_owned(),
            report: json!({"result": "pass", "evaluation": {"indicatorResults": [row]}}),
        }
    }

    fn values(past: &Past, of: (&str, u64)) -> Vec<f64> {
        let earlier = past.earlier(&spot(), of).unwrap();
        earlier.iter().map(|one| one.rows[0].value.as_ref().unwrap().value).collect()
    }

    #[test]
    fn earlier_evaluations_come_newest_first_and_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let past = Past::open(folder.path()).unwrap();
        (1..=3).for_each(|run| past.keep(&spot(), evaluation("a", run, run as f64)).unwrap());
        // The same run again, after a kill.
        past.keep(&spot(), evaluation("a", 3, 4.0)).unwrap();
        assert_eq!(values(&past, ("b", 1)), [4.0, 2.0, 1.0]);
        assert_eq!(values(&past, ("a", 3)), [2.0, 1.0], "not compared with itself");
        drop(past);
        let past = Past::open(folder.path()).unwrap();
        assert_eq!(values(&past, ("b", 1)), [4.0, 2.0, 1.0]);
        assert_eq!(past.of_context("a").unwrap().len(), 4);
        assert_eq!(past.of_context("nobody").unwrap(), []);
    }

    #[test]
    fn the_oldest_are_forgotten_and_a_report_that_is_too_large_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let past = Past::open(folder.path()).unwrap();
        (1..=102).for_each(|run| past.keep(&spot(), evaluation("a", run, run as f64)).unwrap());
        let found = values(&past, ("b", 1));
        assert_eq!((found.len(), found[0], found[99]), (100, 102.0, 3.0));
        let mut large = evaluation("c", 1, 1.0);
        large.report = json!({"result": "pass", "text": "x".repeat(LARGEST)});
        past.keep(&spot(), large).unwrap();
        assert_eq!(past.of_context("c").unwrap()[0].report, Value::Null);
        assert_eq!(values(&past, ("b", 1))[0], 102.0, "what was not kept is compared with nothing");
    }
}
