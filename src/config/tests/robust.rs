//! No input makes the reader panic, and every refusal has a reason.

use proptest::prelude::*;

use super::*;

/// Loads any bytes; a refusal must hold at least one error.
fn survives(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Err(problems) = load_text(bytes) {
        prop_assert!(problems.iter().any(Problem::is_error), "refused without an error: {problems:?}");
        for problem in problems {
            prop_assert!(!problem.to_string().is_empty());
        }
    }
    Ok(())
}

fn example() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/example.yaml")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(&bytes)?;
    }

    #[test]
    fn any_yaml_like_text_is_read_or_refused(text in "[a-z0-9:{}\\[\\]\"',&*!|>%#<~ \n-]{0,120}") {
        survives(text.as_bytes())?;
    }

    #[test]
    fn the_example_cut_short_or_changed_is_read_or_refused(cut in 0_usize..4000, place in 0_usize..4000, byte in any::<u8>()) {
        let mut text = example();
        if let Some(found) = text.get_mut(place) {
            *found = byte;
        }
        text.truncate(cut);
        survives(&text)?;
    }

    #[test]
    fn any_value_in_any_place_is_read_or_refused(line in 0_usize..80, value in "([^\n]{0,30}|[0-9.]{1,12}|-?[0-9]{1,25}(s|ms|%)?)") {
        let text = String::from_utf8(example()).unwrap();
        let lines = text.lines().enumerate().map(|(number, old)| match old.split_once(": ") {
            Some((key, _)) if number == line => format!("{key}: {value}\n"),
            _ => format!("{old}\n"),
        });
        survives(lines.collect::<String>().as_bytes())?;
    }
}
