//! Claims about scenario files: what is read, what is refused, and where the error points.
#![cfg(test)]

use super::*;
use crate::simulate::scenario::expectation::Exactly;

const GOOD: &str = r#"
title = "all slow"
runs = 100
length = "60s"
gates = ["p95 < 1s"]
traffic = { rate = 100 }
plan = { fixed = "10%" }

[stable]
latency = { lognormal = { median = "120ms", sigma = 0.5 } }
[canary]
latency = { lognormal = { median = "120ms", sigma = 0.5 } }
slower = "1s"
[expect]
rolled_back = "all"
delay = { median = "1.3s", within = 0.1 }
"#;

fn wrong(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let problems = load("a.toml", &GOOD.replacen(from, to, 1)).unwrap_err();
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_scenario_is_read_with_its_defaults() {
    let [scenario] = load("a.toml", GOOD).unwrap().try_into().unwrap();
    assert_eq!((scenario.runs.0, scenario.workers.0, scenario.expect.rolled_back.unwrap().exactly), (100, 2, Some(Exactly::All)));
    assert_eq!(scenario.expect.delay.unwrap().median.unwrap().0, 1.3);
    assert_eq!(scenario.policy.policy().unwrap(), crate::domain::gate::Policy::default());
}

#[test]
fn a_mistake_is_shown_with_its_line_and_how_to_mend_it() {
    for (from, to, parts) in [
        ("slower =", "slowr =", vec!["a.toml:13:1", "slowr", "did you mean \"slower\"?"]),
        ("sigma = 0.5", "sigma = -0.5", vec!["a.toml:10", "above 0"]),
        ("rate = 100", "rate = nan", vec!["a.toml:6", "above 0"]),
        ("\"60s\"", "\"60\"", vec!["a.toml:4:10", "unit"]),
        ("p95 < 1s", "p95 > 1s", vec!["a.toml:5", "not a gate"]),
        ("fixed = \"10%\"", "fixed = \"110%\"", vec!["a.toml:7", "0% to 100%"]),
        ("runs = 100", "runs = 0", vec!["a.toml:3:8", "1 to a billion"]),
        ("runs = 100\n", "", vec!["runs", "missing"]),
        ("rate = 100", "arrivals = \"poisson\"", vec!["no rate"]),
        ("[expect]", "[policy]\nalpha = 1.0\n[expect]", vec!["alpha is 1", "below 1"]),
        ("[\"p95 < 1s\"]", "[]", vec!["no gate"]),
        ("title = \"all slow\"", "title = ", vec!["a.toml:2"]),
    ] {
        let text = wrong(from, to);
        for part in parts {
            assert!(text.contains(part), "{to}: {part} is missing in\n{text}");
        }
    }
}

#[test]
fn variations_lie_over_the_file_and_name_themselves() {
    let text = format!(
        "{GOOD}\n[[vary]]\nname = \"fast\"\ntraffic = {{ rate = 1000 }}\n[[vary]]\nname = \"pareto\"\n[vary.canary]\nlatency = {{ constant = \"1s\" }}\n"
    );
    let scenarios = load("a.toml", &text).unwrap();
    assert_eq!((scenarios[0].traffic.rate.unwrap().0, scenarios[0].name.as_str()), (1000.0, "fast"));
    assert_eq!(scenarios[1].canary.latency, crate::simulate::scenario::Latency::Constant("1s".parse().unwrap()));
    assert_eq!(scenarios[1].canary.slower, "1s".parse().unwrap(), "what a variation does not name stays");
    let unnamed = load("a.toml", &text.replace("name = \"fast\"", "")).unwrap_err();
    assert!(unnamed[0].to_string().contains("a.toml:18:1") && unnamed[0].to_string().contains("no name"), "{}", unnamed[0]);
    let unknown = load("a.toml", &text.replace("name = \"pareto\"", "name = \"pareto\"\nrnus = 3")).unwrap_err();
    assert!(unknown[0].to_string().contains("a.toml:21:1") && unknown[0].to_string().contains("\"runs\""), "{}", unknown[0]);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(at in 0_usize..400, text in "[\\PC\n\"\\[\\]{}=.,0-9a-z]{0,12}") {
        let cut = GOOD.char_indices().map(|(index, _)| index).nth(at.min(GOOD.len() - 1)).unwrap_or(0);
        let (before, after) = GOOD.split_at(cut);
        let _ = load("a.toml", &format!("{before}{text}{after}"));
    }
}
