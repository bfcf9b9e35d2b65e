//! Where traces go, and what a program says that cannot send any.

use super::*;
use crate::config::{Traces, load_text as load_named};

fn with(traces: &str) -> String {
    format!("traces: {traces}\n{SMALL}")
}

fn read(traces: &str) -> Traces {
    loaded(&with(traces)).settings.traces.unwrap()
}

#[test]
fn traces_are_read_and_have_defaults() {
    assert_eq!(loaded(SMALL).settings.traces, None);
    let small = read("{endpoint: 'http://127.0.0.1:4318'}");
    assert_eq!((small.url.as_str(), small.sample.to_string().as_str(), small.follow), ("http://127.0.0.1:4318/v1/traces", "1%", true));
    assert_eq!((small.token_file, small.ca), (None, None));
    for (endpoint, url) in [
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://collector/otlp", "https://collector/otlp/v1/traces"),
        ("https://collector/v1/traces", "https://collector/v1/traces"),
    ] {
        assert_eq!(read(&format!("{{endpoint: '{endpoint}'}}")).url, url);
    }
    let folder = tempfile::tempdir().unwrap();
    let whole = with("{endpoint: 'https://c', sample: 0.01%, parent: ignore, token_file: t, ca: a/ca.pem}");
    let whole = load_in(folder.path(), whole, &Flags::default()).unwrap().settings.traces.unwrap();
    assert_eq!((whole.sample.basis_points(), whole.follow), (1, false));
    assert_eq!((whole.token_file, whole.ca), (Some(folder.path().join("t")), Some(folder.path().join("a/ca.pem"))));
}

#[test]
fn what_cannot_be_is_refused_with_what_to_write() {
    for (traces, path, message, hint) in [
        ("{}", "traces.endpoint", "is missing", "http://127.0.0.1:4318"),
        ("{endpoint: 127.0.0.1:4318}", "traces.endpoint", "no URL that traces can be sent to", "http://127.0.0.1:4318"),
        ("{endpoint: 'http://me:secret@c'}", "traces.endpoint", "no URL that traces can be sent to", "token_file"),
        ("{endpoint: 'http://c/?a=b'}", "traces.endpoint", "no URL that traces can be sent to", "http://127.0.0.1:4318"),
        ("{endpoint: 'http://c', sample: 0.01}", "traces.sample", "is a share without its %", "write 1%"),
        ("{endpoint: 'http://c', sample: 101%}", "traces.sample", "is not a share", "10%"),
        ("{endpoint: 'http://c', parent: always}", "traces.parent", "\"always\" is not what can be done", "follow"),
    ] {
        let told = refused(&with(traces));
        let found = told.iter().find(|p| p.path == path).unwrap_or_else(|| panic!("{traces}: {}", shown(&told)));
        assert!(found.message.contains(message) && found.hint.as_deref().unwrap().contains(hint), "{traces}: {}", shown(&told));
    }
}

#[test]
fn a_program_without_the_feature_says_so_and_takes_everything_else() {
    let around = Surroundings { sends_traces: false, ..around() };
    let load = |text: &str| load_named("portcullis.yaml", text, Path::new(""), &around);
    assert!(load(SMALL).is_ok());
    let told = load(&with("{endpoint: 'http://c', sample: 7}")).unwrap_err();
    let told: Vec<_> = told.iter().map(|p| (p.path.as_str(), p.hint.as_deref().unwrap_or_default().contains("--features otlp"))).collect();
    assert_eq!(told, [("traces", true), ("traces.sample", false)]);
    let told = load(&with("{endpoint: 'http://c'}")).unwrap_err();
    assert_eq!((told.len(), told[0].line, told[0].column), (1, Some(1), Some(9)));
}
