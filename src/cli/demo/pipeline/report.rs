//! What the pipeline has shown, and what of it is not as promised.

use std::collections::BTreeMap;

use serde::Serialize;

/// What one artifact met on its way.
#[derive(Clone, Debug, Serialize)]
pub struct Delivered {
    /// Its tag.
    pub tag: String,
    /// How it ended in each stage it came to.
    pub outcomes: BTreeMap<String, String>,
    /// How long its way took, in seconds.
    pub seconds: f64,
    /// Requests of its performance test that were sent.
    pub test_requests: u64,
    /// Why it ended where it did, by the pipeline.
    pub reason: String,
}

/// What the ordinary users of a stage have met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Users {
    /// Requests sent.
    pub requests: u64,
    /// Requests with a bad answer or none.
    pub failed: u64,
}

/// What the pipeline has shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pipeline {
    /// The artifacts in the order in which they were sent.
    pub artifacts: Vec<Delivered>,
    /// What ordinary users of each stage have met.
    pub users: BTreeMap<String, Users>,
    /// Requests of one whole performance test.
    pub test_requests: u64,
    /// Requests of the slow version's test that were not sent, because the gate had decided.
    pub test_requests_saved: u64,
    /// Where each stage is reached, while the pipeline runs.
    pub urls: BTreeMap<String, String>,
}

/// Which version serves in a stage after each artifact: what the seed's story promises.
pub const PROMISED: [(&str, [&str; 3]); 3] =
    [("dev", ["0.8.1", "0.8.2", "0.8.3"]), ("staging", ["0.8.1", "0.8.1", "0.8.3"]), ("production", ["0.8.1", "0.8.1", "0.8.3"])];

/// The stages by name, with the tag that serves after each artifact.
pub type Stages = BTreeMap<String, Vec<String>>;

/// Says what of the pipeline is not as promised.
pub fn broken(stages: &Stages, pipeline: &Pipeline) -> Vec<String> {
    let mut broken = Vec::new();
    for (stage, promised) in PROMISED {
        let served = stages.get(stage).cloned().unwrap_or_default();
        if served != promised {
            broken.push(format!("{stage} served {} after the three artifacts, {} is promised", served.join(", "), promised.join(", ")));
        }
        let users = pipeline.users.get(stage).copied().unwrap_or_default();
        if users.failed > 0 {
            broken.push(format!("{} of {} requests of ordinary users failed in {stage}, none may", users.failed, users.requests));
        }
        if users.requests == 0 {
            broken.push(format!("no ordinary user asked for anything in {stage}"));
        }
    }
    if pipeline.artifacts.iter().find(|one| one.tag == "0.8.2").is_none_or(|slow| slow.outcomes.contains_key("production")) {
        broken.push("0.8.2 came to production, or never came at all".to_owned());
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> (Stages, Pipeline) {
        let stages = PROMISED.iter().map(|(stage, tags)| ((*stage).to_owned(), tags.map(str::to_owned).to_vec())).collect();
        let artifact = |tag: &str, stages: &[&str]| Delivered {
            tag: tag.to_owned(),
            outcomes: stages.iter().map(|stage| ((*stage).to_owned(), "passed".to_owned())).collect(),
            seconds: 1.0,
            test_requests: 1,
            reason: "why".to_owned(),
        };
        let users = ["dev", "staging", "production"].map(|stage| (stage.to_owned(), Users { requests: 9, failed: 0 })).into();
        let artifacts = vec![artifact("0.8.1", &["dev"]), artifact("0.8.2", &["dev", "staging"]), artifact("0.8.3", &["production"])];
        (stages, Pipeline { artifacts, users, ..Pipeline::default() })
    }

    #[test]
    fn a_pipeline_that_kept_its_promises_is_good_and_every_breach_is_named() {
        let (stages, pipeline) = good();
        assert_eq!(broken(&stages, &pipeline), Vec::<String>::new());
        let mut other = stages.clone();
        other.insert("production".to_owned(), vec!["0.8.1".to_owned(), "0.8.2".to_owned(), "0.8.3".to_owned()]);
        assert!(broken(&other, &pipeline)[0].contains("production served 0.8.1, 0.8.2, 0.8.3"));
        let mut harmed = pipeline.clone();
        harmed.users.insert("dev".to_owned(), Users { requests: 9, failed: 2 });
        harmed.artifacts[1].outcomes.insert("production".to_owned(), "failed".to_owned());
        let told = broken(&stages, &harmed);
        assert!(told.len() == 2 && told[0].contains("2 of 9") && told[1].contains("0.8.2 came to production"), "{told:?}");
        assert_eq!(broken(&Stages::new(), &Pipeline::default()).len(), 7);
    }
}
