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

/// Loads a text where the environment says this.
fn load_with(text: &str, said: &[(&str, &str)]) -> Result<Option<Traces>, String> {
    let variable = |name: &str| {
        let found = said.iter().find(|(said, _)| *said == name).map(|(_, value)| value.into());
        found.or_else(|| variable(name))
    };
    let around = Surroundings { variable: &variable, ..around() };
    load_named("portcullis.yaml", text, Path::new(""), &around).map(|loaded| loaded.settings.traces).map_err(|told| shown(&told))
}

const AT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

#[test]
fn the_environment_says_where_traces_go_where_the_configuration_does_not() {
    let traces = |said: &[(&str, &str)]| load_with(SMALL, said).unwrap();
    let usual = traces(&[AT]).unwrap();
    assert_eq!((usual.url.as_str(), usual.sample.basis_points(), usual.follow), ("http://collector:4318/v1/traces", 100, true));
    assert_eq!((usual.fields.len(), usual.service), (0, None));
    let exact = traces(&[AT, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://c/otlp"), ("OTEL_SERVICE_NAME", "edge")]).unwrap();
    assert_eq!((exact.url.as_str(), exact.service.as_deref()), ("https://c/otlp", Some("edge")));
    for (said, traced) in [("true", false), ("TRUE", false), ("false", true), ("", true), ("1", true)] {
        assert_eq!(traces(&[AT, ("OTEL_SDK_DISABLED", said)]).is_some(), traced, "{said}");
    }
    for (said, traced) in [("none", false), ("zipkin", false), ("otlp", true), ("console, otlp", true), ("", true)] {
        assert_eq!(traces(&[AT, ("OTEL_TRACES_EXPORTER", said)]).is_some(), traced, "{said}");
    }
    assert_eq!(traces(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " "), ("OTEL_TRACES_SAMPLER", "always_on")]), None);
    for (sampler, argument, share, follow) in [
        ("always_on", "", 10_000, false),
        ("always_off", "0.5", 0, false),
        ("traceidratio", "", 10_000, false),
        ("parentbased_traceidratio", "0.25", 2_500, true),
        ("parentbased_traceidratio", "0.000001", 1, true),
        ("parentbased_always_on", "", 10_000, true),
        ("parentbased_always_off", "", 0, true),
    ] {
        let found = traces(&[AT, ("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", argument)]).unwrap();
        assert_eq!((found.sample.basis_points(), found.follow), (share, follow), "{sampler} {argument}");
    }
}

#[test]
fn the_configuration_goes_before_the_environment_which_is_told_no_secret_of_elsewhere() {
    let said = [
        AT,
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cret"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
        ("OTEL_SERVICE_NAME", "edge"),
    ];
    let some = load_with(&with("{endpoint: 'http://other'}"), &said).unwrap().unwrap();
    assert_eq!((some.url.as_str(), some.sample.basis_points(), some.follow), ("http://other/v1/traces", 10_000, false));
    assert_eq!((some.fields.len(), some.service.as_deref()), (0, Some("edge")), "the fields are for the environment's collector");
    let all = load_with(&with("{endpoint: 'http://other', sample: 5%, parent: follow}"), &said).unwrap().unwrap();
    assert_eq!((all.sample.basis_points(), all.follow), (500, true));
    let unused = [("OTEL_TRACES_SAMPLER", "xray")];
    let all = load_with(&with("{endpoint: 'http://other', sample: 5%, parent: ignore}"), &unused).unwrap().unwrap();
    assert_eq!((all.sample.basis_points(), all.follow), (500, false), "what nobody uses stops nothing");
    assert!(load_with(&with("{endpoint: 'http://other', sample: 5%}"), &unused).unwrap_err().contains("OTEL_TRACES_SAMPLER"));
}

#[test]
fn fields_of_the_environment_are_sent_and_never_shown() {
    let said =
        [AT, ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3%63ret, tenant=1"), ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "tenant=s3cret%2C2")];
    let traces = load_with(SMALL, &said).unwrap().unwrap();
    let fields: Vec<(&str, &[u8])> = traces.fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(fields, [("api-key", b"s3cret".as_slice()), ("tenant", b"s3cret,2")]);
    assert!(!format!("{traces:?}").contains("s3cret"), "{traces:?}");
    for bad in ["s3cret", "a b=s3cret", "host=s3cret", "Content-Type=s3cret", "key=s3cret%0a", "key=s3cret%4", "key=s3cret%zz"] {
        let told = load_with(SMALL, &[AT, ("OTEL_EXPORTER_OTLP_HEADERS", bad)]).unwrap_err();
        assert!(told.contains("OTEL_EXPORTER_OTLP_HEADERS") && told.contains("entry 1") && told.contains("NAME=VALUE"), "{bad}: {told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
}

#[test]
fn what_the_environment_says_wrongly_is_told_by_its_variable() {
    for (name, value, hint) in [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318", "http://127.0.0.1:4318"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "1%", "from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "NaN", "from 0 to 1"),
    ] {
        let mut said = vec![AT, (name, value)];
        if name == "OTEL_TRACES_SAMPLER_ARG" {
            said.push(("OTEL_TRACES_SAMPLER", "traceidratio"));
        }
        let told = load_with(SMALL, &said).unwrap_err();
        assert!(told.contains(name) && told.contains(hint), "{name}: {told}");
        assert_eq!(
            load_with(SMALL, &said[1..]).is_ok(),
            name != "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "without an endpoint nothing is sent"
        );
    }
    let around = Surroundings {
        variable: &|name: &str| (name == AT.0).then(|| "nonsense".into()).or_else(|| variable(name)),
        sends_traces: false,
        watches_clusters: false,
        ..around()
    };
    assert!(load_named("portcullis.yaml", SMALL, Path::new(""), &around).unwrap().settings.traces.is_none(), "it is said to every program");
}
