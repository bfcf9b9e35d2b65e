//! Evidence says what it rests on, can be computed again, and stays readable.
#![cfg(test)]

use super::*;

fn tripped() -> Evidence {
    let gate = Gate::written("p95 < 1s".parse().unwrap());
    Evidence::of_trip(&gate, &"v2".parse().unwrap(), 0.001, 3, 3, 0)
}

#[test]
fn the_sentence_is_that_of_the_design() {
    assert_eq!(
        tripped().sentence,
        "rolled back after 3 of 3 requests exceeded 1 s; had v2 met the gate, the chance of ever seeing evidence this strong would be below 1 in 2,900"
    );
    let gate = Gate::written("p95 < 1s".parse().unwrap());
    let hung = Evidence::of_trip(&gate, &"v2".parse().unwrap(), 0.001, 3, 3, 3);
    assert!(hung.sentence.contains("3 of 3 requests were still unanswered after 1 s"), "{}", hung.sentence);
}

#[test]
fn odds_are_rounded_down_to_two_digits() {
    for (log_e, text) in
        [(7.979, "2,900"), (5.683_067, "293"), (8.295_4, "4,000"), (21.653_028_3, "2,500,000,000"), (0.0, "1"), (-3.0, "1")]
    {
        assert_eq!(odds(log_e), text);
    }
}

#[test]
fn evidence_is_verified_from_what_was_written() {
    let text = serde_json::to_string(&tripped()).unwrap();
    let read: Evidence = serde_json::from_str(&text).unwrap();
    assert_eq!((&read, read.verify()), (&tripped(), Ok(())));
    let forged: Evidence = serde_json::from_str(&text.replace("\"breaches\":3", "\"breaches\":2")).unwrap();
    assert!(matches!(forged.verify(), Err(Mismatch::Differs { .. })), "{forged:?}");
    let shown = Evidence { breaches: 2, ..tripped() };
    assert_eq!(shown.verify(), Err(Mismatch::Counts { shown: (3, 2), counted: (3, 3) }), "only what is shown was changed");
    let eased = Evidence { log_threshold: Some(1.0), ..tripped() };
    assert!(matches!(eased.verify(), Err(Mismatch::Threshold { .. })), "a threshold is that of its bound");
    let weak = Evidence { log_threshold: Some(99.0), alpha: None, ..tripped() };
    assert!(weak.verify().unwrap_err().to_string().contains("does not reach"));
    let log_e = tripped().log_e.unwrap();
    let short = Evidence { log_threshold: Some(log_e + 0.001), alpha: None, ..tripped() };
    assert_eq!(short.verify(), Err(Mismatch::Insufficient { log_e, threshold: log_e + 0.001 }), "short of it by a trifle");
    assert_eq!(Evidence { log_threshold: Some(log_e), alpha: None, ..tripped() }.verify(), Ok(()), "reaching it suffices");
}

#[test]
fn what_older_programs_wrote_is_still_read() {
    let old = r#"{"gate":"p95 < 1 s","origin":"written","verdict":"fail","requests":3,"breaches":3,"unanswered":0,
        "log_e":7.97,"log_threshold":6.9,"sentence":"rolled back"}"#;
    let read: Evidence = serde_json::from_str(old).unwrap();
    assert_eq!((read.rule, read.tipped_by.len(), read.generation), (Rule::Unrecorded, 0, None));
    assert_eq!(read.verify(), Err(Mismatch::Unverifiable(Unverifiable::NoBasis)));
}
