//! The gate language: what it writes it reads, and every refusal says what is wrong, where, and how to mend it.
#![cfg(test)]

use std::time::Duration;

use proptest::prelude::*;

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::criterion::{Criterion, Ratio, Share, Slack, Timing};

fn read(text: &str) -> Criterion {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn reads_gates_as_people_write_them() {
    let p95 = Criterion::Latency { share: Share::FIVE_PERCENT, limit: Duration::from_secs(1), timing: Timing::ResponseTime };
    for text in ["p95 < 1s", "p95<1000ms", " p95  <  1 s ", "p95(response_time) < 1s", "p95.0 < 1.000s"] {
        assert_eq!(read(text), p95, "{text}");
    }
    let share = |percent: u32| Share::from_ppm(percent).unwrap();
    let ratio = |thousandths: u32| Ratio::from_thousandths(thousandths).unwrap();
    let server_and_grpc = ErrorKinds::SERVER.and(ErrorKinds::GRPC);
    for (text, criterion) in [
        ("p99(duration) < 3s", Criterion::Latency { share: share(10_000), limit: Duration::from_secs(3), timing: Timing::Duration }),
        (
            "p95 <= stable * 1.1",
            Criterion::RelativeLatency { share: Share::FIVE_PERCENT, ratio: ratio(1_100), timing: Timing::ResponseTime },
        ),
        (
            "p95(duration)<=stable*1.2",
            Criterion::RelativeLatency { share: Share::FIVE_PERCENT, ratio: ratio(1_200), timing: Timing::Duration },
        ),
        ("errors < 1%", Criterion::Errors { share: share(10_000), kinds: ErrorKinds::DEFAULT }),
        ("errors(grpc,5xx) < 0.1 %", Criterion::Errors { share: share(1_000), kinds: server_and_grpc }),
        ("errors <= stable + 0.2pp", Criterion::RelativeErrors { kinds: ErrorKinds::DEFAULT, slack: Slack::Plus(share(2_000)) }),
        ("errors(5xx) <= stable * 1.5", Criterion::RelativeErrors { kinds: ErrorKinds::SERVER, slack: Slack::Times(ratio(1_500)) }),
        ("mean < 300ms", Criterion::Mean { limit: Duration::from_millis(300), timing: Timing::ResponseTime }),
        ("mean(duration) < 1m 30s", Criterion::Mean { limit: Duration::from_secs(90), timing: Timing::Duration }),
        ("apdex(500ms) > 0.9", Criterion::Apdex { satisfied: Duration::from_millis(500), loss: share(100_000) }),
    ] {
        assert_eq!(read(text), criterion, "{text}");
    }
    for text in ["p95 < 250us", "p95 < 250µs", "p95 < 250μs", "p95 < 250000ns"] {
        assert_eq!(read(text).to_string(), "p95 < 250 µs");
    }
}

#[test]
fn a_name_is_short_and_never_rounded() {
    for (text, name) in [
        ("p95 < 1s", "p95 < 1 s"),
        ("p99.9 < 3s", "p99.9 < 3 s"),
        ("p99.9999 < 0.000000001h", "p99.9999 < 3.6 µs"),
        ("mean < 1.234567891s", "mean < 1.234567891 s"),
        ("p50 < 1h", "p50 < 3600 s"),
        ("errors(timeout, connect) < 0.0001%", "errors(connect, timeout) < 0.0001%"),
        ("errors(5xx, connect, reset, timeout, invalid) < 1%", "errors < 1%"),
        ("apdex(0.5s) > 0.95", "apdex(500 ms) > 0.95"),
        ("errors <= stable + 10pp", "errors <= stable + 10pp"),
        ("errors <= stable * 1", "errors <= stable * 1"),
    ] {
        assert_eq!(read(text).to_string(), name);
    }
}

/// Claims that a text is refused at this column, with these words in what is wrong and in how to mend it.
#[track_caller]
fn refused(text: &str, column: usize, reason: &str, hint: &str) {
    let error = text.parse::<Criterion>().expect_err(text);
    assert_eq!(error.column(), column, "{error}");
    assert!(error.message().contains(reason), "{reason:?} is not in {error}");
    assert!(error.hint().contains(hint), "{hint:?} is not in the hint of {error}");
}

#[test]
fn refuses_what_is_not_measured_and_offers_what_was_meant() {
    for (text, column, reason, hint) in [
        ("", 1, "empty", "p95 < 1s"),
        ("  ", 1, "empty", "p95 < 1s"),
        ("< 1s", 1, "what is measured is missing", "p95 < 1s"),
        ("p95", 4, "no '<'", "p95 < 1s"),
        ("p95 1s", 5, "no '<' where '1s' stands", "p95 < 1s"),
        ("latency < 1s", 1, "'latency' is not measured", "p95 < 1s"),
        ("p < 1s", 1, "not measured", "p95"),
        ("P95 < 1s", 1, "not measured", "did you mean 'p95'?"),
        ("95% < 1s", 1, "not measured", "did you mean 'p95'?"),
        ("99th < 1s", 1, "not measured", "did you mean 'p99'?"),
        ("Mean < 1s", 1, "not measured", "did you mean 'mean'?"),
        ("avg < 1s", 1, "not measured", "did you mean 'mean'?"),
        ("eror < 1%", 1, "not measured", "did you mean 'errors'?"),
        ("erorrs < 1%", 1, "not measured", "did you mean 'errors'?"),
        ("apdx(1s) > 0.9", 1, "not measured", "did you mean 'apdex'?"),
        ("throughput < 9", 1, "not measured", "clients"),
        ("max < 1s", 1, "not measured", "p99.9"),
        ("zebra < 1s", 1, "not measured", "mean < 300ms"),
        ("p100 < 1s", 2, "between p1 and p99.9999", "p99.9"),
        ("p0 < 1s", 2, "between p1 and p99.9999", "p95"),
        ("p99.99999 < 1s", 2, "finer", "4 decimals"),
        ("p95% < 1s", 2, "not a number", "digits"),
        ("p95(durration) < 1s", 5, "'durration' is not timed", "p95(duration)"),
        ("p95() < 1s", 5, "nothing in the brackets", "p95(duration)"),
        ("p95(duration < 1s", 14, "closing bracket", "p95(duration)"),
        ("mean(5xx) < 1s", 6, "not timed", "mean(duration)"),
        ("errors() < 1%", 8, "kind of error is missing", "5xx"),
        ("errors(5xxx) < 1%", 8, "no kind of error", "did you mean '5xx'?"),
        ("errors(503) < 1%", 8, "no kind of error", "5xx"),
        ("errors(5xx, timeouts) < 1%", 13, "no kind of error", "did you mean 'timeout'?"),
        ("errors(zebra) < 1%", 8, "no kind of error", "5xx, 4xx, connect"),
        ("errors(5xx, 5xx) < 1%", 13, "named twice", "keep one"),
        ("errors(5xx grpc) < 1%", 12, "closing bracket", "commas"),
        ("apdex > 0.9", 7, "satisfied is missing", "apdex(500ms)"),
        ("apdex() > 0.9", 7, "not a number", "300ms"),
    ] {
        refused(text, column, reason, hint);
    }
}

#[test]
fn refuses_comparisons_that_say_something_else_and_writes_the_right_one() {
    for (text, column, reason, hint) in [
        ("p95 > 1s", 5, "wrong way", "'p95 < 1s'"),
        ("errors >= 1%", 8, "wrong way", "'errors < 1%'"),
        ("p95 <= 1s", 5, "exactly at the limit is good", "'p95 < 1s'"),
        ("p95 == 1s", 5, "'==' is no comparison", "'p95 < 1s'"),
        ("p95 = 1s", 5, "no comparison", "'p95 < 1s'"),
        ("p95 =< 1s", 5, "no comparison", "'p95 < 1s'"),
        ("p95 << 1s", 5, "no comparison", "'p95 < 1s'"),
        ("apdex(1s) < 0.9", 11, "above its limit", "'apdex(1s) > 0.9'"),
        ("apdex(1s) >= 0.9", 11, "exactly at the limit", "'apdex(1s) > 0.9'"),
        ("p95 < stable * 1.1", 5, "written with '<='", "'p95 <= stable * 1.1'"),
        ("p95 > stable * 1.1", 5, "wrong way", "<="),
        ("mean <= stable * 1.1", 9, "not compared with stable", "p50 <= stable"),
        ("apdex(1s) > stable", 13, "not compared with stable", "errors <= stable"),
        ("p95 <= stabel * 1.1", 8, "'stabel' is no version", "did you mean 'stable'?"),
        ("p95 <= baseline * 1.1", 8, "no version", "did you mean 'stable'?"),
        ("p95 <= 1.1 * stable", 8, "does not come first", "stable * 1.1"),
        ("p95 <= stable", 14, "how much worse", "stable * 1.1"),
        ("p95 <= stable + 100ms", 15, "by a factor", "stable * 1.1"),
        ("p95 <= stable 1.1", 15, "must follow 'stable'", "stable * 1.1"),
        ("errors <= stable", 17, "how much worse", "stable + 0.2pp"),
        ("errors <= stable - 1pp", 18, "just like stable", "stable + 0.2pp"),
        ("errors <= stable / 2", 18, "'*' or a '+'", "stable * 1.5"),
    ] {
        refused(text, column, reason, hint);
    }
}

#[test]
fn refuses_quantities_that_cannot_be_meant() {
    for (text, column, reason, hint) in [
        ("p95 <", 6, "missing at the end", "300ms"),
        ("p95 < 100", 10, "unit is missing", "100ms are milliseconds"),
        ("p95 < 1sec", 8, "no such unit", "did you mean 1s?"),
        ("p95 < 1MS", 8, "no such unit", "did you mean 1ms?"),
        ("p95 < 1%", 8, "not a share", "300ms"),
        ("p95 < 1 parsec", 9, "no such unit", "ns, us, ms, s, m and h"),
        ("p95 < 0s", 7, "out of range", "above 0"),
        ("p95 < 0.0000000001s", 7, "finer", "9 decimals"),
        ("p95 < 61m", 7, "out of range", "at most 1h"),
        ("p95 < 99999999999999999999999s", 7, "too large", "limit"),
        ("p95 < 18446744073709551615h", 7, "too large", "limit"),
        ("p95 < 1844674407h", 7, "out of range", "at most 1h"),
        ("p95 < -1s", 7, "'-1s' is below 0", "above 0"),
        ("p95 < +1s", 7, "no sign", "1s"),
        ("p95 < 1e3s", 8, "powers of ten", "write the number out"),
        ("p95 < 1,5s", 7, "not a number", "1.5"),
        ("p95 < 1_000ms", 7, "not a number", "without signs"),
        ("p95 < 1.2.3s", 7, "not a number", "one point"),
        ("p95 < .5s", 7, "not a number", "0.5"),
        ("p95 < 5.s", 7, "not a number", "point"),
        ("p95 < 30s 1m", 11, "does not follow", "1m 30s"),
        ("p95 < 1s 1s", 10, "does not follow", "1m 30s"),
        ("p95 < NaN", 7, "no limit", "300ms"),
        ("errors < nan", 10, "no limit", "1%"),
        ("p95 < inf", 7, "no limit", "300ms"),
        ("p95 < -inf", 7, "below 0", "300ms"),
        ("mean < Infinity", 8, "no limit", "300ms"),
        ("p95 < fast", 7, "'fast' is not a number", "300ms"),
        ("errors < 1", 11, "percent sign is missing", "errors < 1%"),
        ("errors < 0.01", 14, "percent sign is missing", "errors < 1%"),
        ("errors < 0%", 10, "above 0%", "none at all"),
        ("errors < 100%", 10, "below 100%", "every version keeps to that"),
        ("errors < 0.00001%", 10, "finer", "4 decimals"),
        ("errors < 1pp", 11, "above the share of stable", "errors < 1%"),
        ("errors < 1s", 11, "'s' does not belong", "errors < 1%"),
        ("errors <= stable + 0.2%", 23, "percentage of what", "stable + 0.2pp"),
        ("errors <= stable + 0.2", 23, "unit is missing", "stable + 0.2pp"),
        ("errors <= stable + 0pp", 20, "above 0%", "0.2pp"),
        ("errors <= stable * 0.2pp", 23, "cannot be multiplied", "stable + 0.2pp"),
        ("errors <= stable * 150%", 23, "no percent sign", "stable * 1.5"),
        ("errors <= stable * 0.9", 20, "below 1", "1 to 1000"),
        ("p95 <= stable * 0", 17, "below 1", "1 to 1000"),
        ("p95 <= stable * 1001", 17, "above 1000", "1 to 1000"),
        ("p95 <= stable * 1.0001", 17, "finer", "3 decimals"),
        ("p95 <= stable * 1.1x", 20, "no unit", "stable * 1.1"),
        ("p95 <= stable * NaN", 17, "no limit", "1.1"),
        ("apdex(1s) > 90%", 15, "no percent sign", "0.9"),
        ("apdex(1s) > 1", 13, "below 1", "0.9"),
        ("apdex(1s) > 0", 13, "above 0", "0.9"),
        ("apdex(0s) > 0.9", 7, "out of range", "above 0"),
        ("apdex(500) > 0.9", 10, "unit is missing", "500ms"),
    ] {
        refused(text, column, reason, hint);
    }
}

#[test]
fn refuses_what_follows_the_end_and_characters_that_only_look_right() {
    for (text, column, reason, hint) in [
        ("p95 < 1s please", 10, "'please' follows", "write 'p95 < 1s'"),
        ("p95 < 1s and errors < 1%", 10, "follows", "an item of its own"),
        ("p95 < 1s, errors < 1%", 9, "follows", "an item of its own"),
        ("errors < 1%%", 11, "'%%' does not belong", "errors < 1%"),
        ("p95 < 1s)", 9, "')' follows", "p95 < 1s"),
        ("p95 ＜ 1s", 5, "U+FF1C", "plain '<'"),
        ("p95 ≤ stable * 1.1", 5, "U+2264", "plain '<='"),
        ("p95 <= stable × 1.1", 15, "U+00D7", "plain '*'"),
        ("р95 < 1s", 1, "U+0440", "plain 'p'"),
        ("p95 < −1s", 7, "U+2212", "plain '-'"),
        ("p95\u{a0}< 1s", 4, "U+00A0", "plain blank"),
        ("p９5 < 1s", 2, "U+FF19", "plain '9'"),
        ("p95 < ∞", 7, "U+221E", "limit"),
        ("p95 < 1s\u{0}", 9, "U+0000", "plain letters"),
        ("🚦 < 1s", 1, "U+1F6A6", "plain letters"),
    ] {
        refused(text, column, reason, hint);
    }
    let long = format!("p95 < {}s", "1".repeat(1_000_000));
    refused(&long, 201, "longer than 200", "one gate");
    assert!(long.parse::<Criterion>().unwrap_err().to_string().len() < 500);
}

fn kinds() -> impl Strategy<Value = ErrorKinds> {
    let some = prop::sample::subsequence(ErrorKinds::NAMED.to_vec(), 1..=ErrorKinds::NAMED.len());
    some.prop_map(|named| named.into_iter().fold(ErrorKinds::NONE, |kinds, (_, kind)| kinds.and(kind)))
}

fn share(most: u32) -> impl Strategy<Value = Share> {
    prop_oneof![1..=most, (1..=most / 100).prop_map(|hundredths| hundredths * 100)].prop_map(|ppm| Share::from_ppm(ppm).unwrap())
}

fn limit() -> impl Strategy<Value = Duration> {
    let nanos = prop_oneof![1..=3_600_000_000_000_u64, 1..=1_000_000_u64, (1..=3_600_000_u64).prop_map(|millis| millis * 1_000_000)];
    nanos.prop_map(Duration::from_nanos)
}

fn criterion() -> impl Strategy<Value = Criterion> {
    let ratio = || (1_000..=1_000_000_u32).prop_map(|thousandths| Ratio::from_thousandths(thousandths).unwrap());
    let timing = || prop_oneof![Just(Timing::ResponseTime), Just(Timing::Duration)];
    let slack = prop_oneof![ratio().prop_map(Slack::Times), share(999_999).prop_map(Slack::Plus)];
    prop_oneof![
        (share(990_000), limit(), timing()).prop_map(|(share, limit, timing)| Criterion::Latency { share, limit, timing }),
        (share(999_999), kinds()).prop_map(|(share, kinds)| Criterion::Errors { share, kinds }),
        (limit(), timing()).prop_map(|(limit, timing)| Criterion::Mean { limit, timing }),
        (limit(), share(999_999)).prop_map(|(satisfied, loss)| Criterion::Apdex { satisfied, loss }),
        (share(990_000), ratio(), timing()).prop_map(|(share, ratio, timing)| Criterion::RelativeLatency { share, ratio, timing }),
        (kinds(), slack).prop_map(|(kinds, slack)| Criterion::RelativeErrors { kinds, slack }),
    ]
}

/// Reads any text; a refusal names a place in the text, or just behind it, and a way out.
fn survives(text: &str) -> Result<(), TestCaseError> {
    if let Err(error) = text.parse::<Criterion>() {
        prop_assert!((1..=text.chars().count() + 1).contains(&error.column()), "{text:?}: {error}");
        prop_assert!(!error.hint().is_empty() && !error.message().is_empty());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_it_writes_it_reads(criterion in criterion()) {
        let text = criterion.to_string();
        prop_assert_eq!(text.parse::<Criterion>(), Ok(criterion), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        survives(&text)?;
    }

    #[test]
    fn any_words_of_the_language_are_read_or_refused(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "p95", "p", "errors", "mean", "apdex", "(", ")", "duration", "5xx", ",", "<", "<=", ">", "stable", "*", "+", "1", "0.2",
                "1.1", "s", "ms", "%", "pp", " ", "-", ".", "NaN", "µs", "＜", "é", "\t", "9999999999999999999", "m",
            ]),
            0..12,
        )
    ) {
        survives(&words.concat())?;
    }

    #[test]
    fn a_gate_with_one_character_changed_is_read_or_refused(criterion in criterion(), place in any::<prop::sample::Index>(), c in any::<char>()) {
        let mut characters: Vec<char> = criterion.to_string().chars().collect();
        let place = place.index(characters.len());
        characters[place] = c;
        survives(&characters.into_iter().collect::<String>())?;
    }
}
