//! What the published kinds of plans resolve to, and that whatever is not supported is named with its line.
#![cfg(test)]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::formats::jmeter_conf::{Workload, Workloads};
use crate::formats::jmx::plan::{Cookies, Group, Loops, OnError, Plan, Sampler};
use crate::formats::jmx::reader::{Options, read};
use crate::formats::problem::Problem;

const BASIC: &str = include_str!("../../../tests/data/compat/jmeter/basiccheck.jmx");
const LOAD: &str = include_str!("../../../tests/data/compat/jmeter/load.jmx");
const CARTS_LOAD: &str = include_str!("../../../tests/data/compat/jmeter/carts_load.jmx");
const PERFCHECK: &str = include_str!("../../../tests/data/compat/jmeter/carts_perfcheck.jmx");

fn started(strategy: &str, url: &str) -> BTreeMap<String, String> {
    let workload: Workload = Workloads::default().of(strategy).unwrap();
    workload.script_properties(&url.parse().unwrap(), &workload.test_name("7"))
}

fn with(text: &str, properties: &BTreeMap<String, String>, honour_think_time: bool) -> Result<Plan, Vec<Problem>> {
    read("plan.jmx", text, Options { properties, honour_think_time })
}

fn alone(text: &str) -> Result<Plan, Vec<Problem>> {
    with(text, &BTreeMap::new(), false)
}

fn only(plan: &Plan) -> (&Group, &Sampler) {
    let [group] = plan.groups.as_slice() else { panic!("{} groups", plan.groups.len()) };
    let [sampler] = group.samplers.as_slice() else { panic!("{} samplers", group.samplers.len()) };
    (group, sampler)
}

fn headers(sampler: &Sampler) -> Vec<(&str, &str)> {
    sampler.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
}

#[test]
fn the_performance_test_sends_5000_posts_through_the_front() {
    for text in [LOAD, CARTS_LOAD, PERFCHECK] {
        let plan = with(text, &started("performance", "http://carts.sockshop-staging.localhost:8000"), false).unwrap();
        let (group, sampler) = only(&plan);
        assert_eq!((group.threads, group.loops, group.requests()), (10, Loops::Times(500), Some(5000)));
        assert_eq!((group.ramp, group.delay, group.duration), (Duration::from_secs(1), Duration::ZERO, None));
        assert_eq!((group.name.as_str(), group.on_error, plan.one_after_another), ("Thread Group", OnError::Continue, false));
        assert_eq!((sampler.name.as_str(), sampler.method.as_str()), ("Add Item to Cart", "POST"));
        assert_eq!(sampler.url.to_string(), "http://carts.sockshop-staging.localhost:8000/carts/1/items");
        assert_eq!(headers(sampler), [("cache-control", "no-cache"), ("content-type", "application/json"), ("json", "true")]);
        let body = " {\r\n    \"itemId\":\"03fef6ac-1896-4ce8-bd69-b798f85c6e0b\",\r\n    \"unitPrice\":\"99.99\"\r\n }";
        assert_eq!(sampler.body.as_deref(), Some(body));
        assert!(sampler.follow_redirects && sampler.keep_alive);
        assert_eq!(sampler.cookies, Some(Cookies { clear_each_iteration: false }));
        let header = sampler.dynatrace_test(&group.name, 3);
        assert_eq!(header.as_deref(), Some("LSN=Test Scenario;TSN=Add Item to Cart;LTN=PerfCheck_7;VU=Thread Group3;"));
    }
}

#[test]
fn the_health_check_asks_once_for_its_path() {
    let plan = with(BASIC, &started("healthcheck", "http://carts.sockshop-dev:80"), false).unwrap();
    let (group, sampler) = only(&plan);
    assert_eq!((group.name.as_str(), group.requests()), ("BasicThreadGroup", Some(1)));
    assert_eq!((sampler.method.as_str(), sampler.url.to_string().as_str()), ("GET", "http://carts.sockshop-dev/health"));
    assert_eq!((sampler.body.as_ref(), headers(sampler)), (None, vec![]));
    let header = sampler.dynatrace_test(&group.name, 0);
    assert_eq!(header.as_deref(), Some("LSN=Test Scenario;TSN=Basic Check;LTN=HealthCheck_7;VU=BasicThreadGroup0;"));
}

#[test]
fn without_properties_the_defaults_of_the_plans_count() {
    let (basic, load) = (alone(BASIC).unwrap(), alone(LOAD).unwrap());
    assert_eq!(only(&basic).1.url.to_string(), "http://127.0.0.1/");
    assert_eq!(only(&load).1.url.to_string(), "http://127.0.0.1:80/carts/1/items");
    assert_eq!(only(&load).0.requests(), Some(1));
    assert!(only(&load).1.dynatrace_test("g", 0).unwrap().contains("LTN=Default;"));
    let https = with(LOAD, &started("functional", "https://carts.test"), false).unwrap();
    assert_eq!(only(&https).1.url.to_string(), "https://carts.test:443/carts/1/items");
}

#[test]
fn the_slip_in_the_timer_waits_0_ms_unless_the_think_time_is_honoured() {
    let properties = started("performance", "http://a");
    let plan = with(LOAD, &properties, false).unwrap();
    assert_eq!(only(&plan).1.pause, Duration::ZERO);
    let note = plan.notes.iter().find(|note| note.path.ends_with("ConstantTimer.delay")).unwrap();
    assert!(note.message.contains("waits 0 ms") && note.snippet.as_ref().unwrap().contains("{__P(ThinkTime"), "{note}");
    assert_eq!(only(&with(LOAD, &properties, true).unwrap()).1.pause, Duration::from_millis(250));
    let slow = BTreeMap::from([("ThinkTime".to_owned(), "700".to_owned())]);
    assert_eq!(only(&with(LOAD, &slow, true).unwrap()).1.pause, Duration::from_millis(700));
    let mended = LOAD.replace(">{__P(ThinkTime", ">${__P(ThinkTime");
    assert_eq!(only(&with(&mended, &slow, false).unwrap()).1.pause, Duration::from_millis(700));
    let wrong = LOAD.replace(">{__P(ThinkTime,${DefaultThinkTime})}", ">soon");
    assert!(alone(&wrong).unwrap_err()[0].message.contains("\"soon\""));
}

/// Puts an element in front of the timer of the load plan.
fn beside_the_request(element: &str) -> String {
    LOAD.replace("        <ConstantTimer", &format!("        {element}\n        <hashTree/>\n        <ConstantTimer"))
}

#[test]
fn whatever_is_not_supported_is_named_with_its_line() {
    for (element, hint) in [
        ("<ResponseAssertion testname=\"is fast\"/>", "gates"),
        ("<LoopController testname=\"again\"/>", "thread group itself"),
        ("<JDBCSampler testname=\"query\"/>", "only HTTP"),
        ("<TestAction testname=\"pause\"/>", "supported are"),
        ("<JSR223PreProcessor testname=\"groovy\"/>", "the only script"),
        ("<GaussianRandomTimer testname=\"think\"/>", "supported are"),
        ("<RegexExtractor testname=\"id\"/>", "supported are"),
        ("<CSVDataSet testname=\"users\"/>", "supported are"),
    ] {
        let text = beside_the_request(element);
        let line = text.lines().position(|line| line.contains(element)).unwrap() + 1;
        let problems = alone(&text).unwrap_err();
        let errors: Vec<&Problem> = problems.iter().filter(|problem| problem.is_error()).collect();
        let [error] = errors.as_slice() else { panic!("{element}: {errors:#?}") };
        let tag = element.split([' ', '<']).nth(1).unwrap();
        assert!(error.message.starts_with(tag) && error.message.contains("is not supported"), "{error}");
        assert_eq!(error.line, Some(line), "{error}");
        assert!(error.hint.as_ref().unwrap().contains(hint), "{error}");
        let disabled = text.replace(element, &element.replace("/>", " enabled=\"false\"/>"));
        assert_eq!(alone(&disabled).unwrap().groups, alone(LOAD).unwrap().groups, "{element}");
    }
}

#[test]
fn listeners_are_passed_over_and_what_is_below_a_disabled_element_too() {
    let listener = beside_the_request("<ResultCollector testname=\"tree\" guiclass=\"ViewResultsFullVisualizer\"/>");
    assert_eq!(alone(&listener).unwrap().groups, alone(LOAD).unwrap().groups);
    let hidden = "<IfController testname=\"x\" enabled=\"false\"/>\n<hashTree><Arguments testname=\"y\"><collectionProp name=\"Arguments.arguments\"><elementProp name=\"SERVER_URL\"><stringProp name=\"Argument.value\">elsewhere</stringProp></elementProp></collectionProp></Arguments><hashTree/></hashTree><Nothing enabled=\"false\"/>";
    assert_eq!(alone(&beside_the_request(hidden)).unwrap().groups, alone(LOAD).unwrap().groups);
    assert!(
        alone(&LOAD.replace("<ThreadGroup ", "<ThreadGroup enabled=\"false\" ").replace("testname=\"Thread Group\" enabled=\"true\"", ""))
            .unwrap_err()
            .iter()
            .any(|problem| problem.message.contains("no thread group"))
    );
}

#[test]
fn values_that_are_out_of_range_or_unknown_are_named_with_their_property() {
    for (from, to, path, message) in [
        ("${__P(VUCount,1)}", "0", "ThreadGroup.num_threads", "\"0\""),
        ("${__P(VUCount,1)}", "", "ThreadGroup.num_threads", "missing"),
        ("${__P(VUCount,1)}", "${__Random(1,5)}", "ThreadGroup.num_threads", "__Random"),
        ("${__P(VUCount,1)}", "${USERS}", "ThreadGroup.num_threads", "no variable \"USERS\""),
        ("${__P(LoopCount,1)}", "many", "LoopController.loops", "\"many\""),
        (">continue<", ">explode<", "on_sample_error", "\"explode\""),
        (">POST<", ">BREW<", "HTTPSampler.method", "\"BREW\""),
        ("${__P(PROTOCOL,${PROTOCOL})}", "ftp", "HTTPSampler.protocol", "\"ftp\""),
        ("${__P(SERVER_URL,${SERVER_URL})}", "", "HTTPSampler.domain", "no server"),
        ("${__P(SERVER_PORT,${SERVER_PORT})}", "99999", "HTTPSampler.path", "port"),
        ("/carts/1/items", "/carts/1 2", "HTTPSampler.path", "no URL"),
        ("/carts/1/items", "http://b/", "HTTPSampler.path", "whole URL"),
        (">Cache-Control<", ">Content-Length<", "Header.name", "content-length"),
        (">Cache-Control<", ">a b<", "Header.name", "no name of a header"),
        ("contentEncoding\"><", "contentEncoding\">latin1<", "HTTPSampler.contentEncoding", "latin1"),
        (
            "name=\"HTTPSampler.DO_MULTIPART_POST\">false",
            "name=\"HTTPSampler.DO_MULTIPART_POST\">true",
            "DO_MULTIPART_POST",
            "not supported",
        ),
        ("user_define_classpath\"><", "user_define_classpath\">x.jar<", "user_define_classpath", "not supported"),
        ("sampler.getName()", "sampler.setPath(1)", "script", "setPath"),
        (
            "name=\"filename\"></stringProp>\n          <stringProp name=\"script",
            "name=\"filename\">x.bsh</stringProp>\n          <stringProp name=\"script",
            "filename",
            "in a file",
        ),
    ] {
        let text = LOAD.replacen(from, to, 1);
        assert_ne!(text, LOAD, "{from}");
        let problems = alone(&text).unwrap_err();
        let found = problems.iter().find(|problem| problem.is_error() && problem.path.contains(path) && problem.message.contains(message));
        let found = found.unwrap_or_else(|| panic!("{to}: {problems:#?}"));
        assert!(found.hint.is_some() && found.line.is_some(), "{found}");
        assert_eq!(problems.iter().filter(|problem| problem.is_error()).count(), 1, "{to}: {problems:#?}");
    }
}

#[test]
fn arguments_go_into_the_query_or_the_form_and_timers_add_up() {
    let argument = |name: &str, value: &str, encode: bool| {
        format!(
            "<elementProp name=\"{name}\" elementType=\"HTTPArgument\"><boolProp name=\"HTTPArgument.always_encode\">{encode}</boolProp><stringProp name=\"Argument.name\">{name}</stringProp><stringProp name=\"Argument.value\">{value}</stringProp></elementProp>"
        )
    };
    let plan = |method: &str| {
        format!(
            "<jmeterTestPlan><hashTree><TestPlan testname=\"p\"/><hashTree><ConstantTimer><stringProp name=\"ConstantTimer.delay\">100</stringProp></ConstantTimer><hashTree/><ThreadGroup testname=\"g\"><intProp name=\"ThreadGroup.num_threads\">2</intProp><boolProp name=\"ThreadGroup.scheduler\">true</boolProp><stringProp name=\"ThreadGroup.duration\">60</stringProp><elementProp name=\"ThreadGroup.main_controller\"><intProp name=\"LoopController.loops\">-1</intProp></elementProp></ThreadGroup><hashTree><HTTPSamplerProxy testname=\"a\"><stringProp name=\"HTTPSampler.domain\">h</stringProp><stringProp name=\"HTTPSampler.path\">x?y=1</stringProp><stringProp name=\"HTTPSampler.method\">{method}</stringProp><stringProp name=\"HTTPSampler.response_timeout\">5000</stringProp><elementProp name=\"HTTPsampler.Arguments\"><collectionProp name=\"Arguments.arguments\">{}{}</collectionProp></elementProp></HTTPSamplerProxy><hashTree><ConstantTimer><stringProp name=\"ConstantTimer.delay\">20</stringProp></ConstantTimer><hashTree/><HeaderManager><collectionProp name=\"HeaderManager.headers\"><elementProp><stringProp name=\"Header.name\">A</stringProp><stringProp name=\"Header.value\">inner</stringProp></elementProp></collectionProp></HeaderManager></hashTree><HeaderManager><collectionProp name=\"HeaderManager.headers\"><elementProp><stringProp name=\"Header.name\">a</stringProp><stringProp name=\"Header.value\">outer</stringProp></elementProp></collectionProp></HeaderManager></hashTree></hashTree></hashTree></jmeterTestPlan>",
            argument("q", "a b&amp;c", true),
            argument("r", "1%2F2", false),
        )
    };
    let read = alone(&plan("GET")).unwrap();
    let (group, sampler) = only(&read);
    assert_eq!(sampler.url.to_string(), "http://h/x?y=1&q=a+b%26c&r=1%2F2");
    assert_eq!((group.loops, group.requests(), group.duration), (Loops::Forever, None, Some(Duration::from_secs(60))));
    assert_eq!((sampler.pause, sampler.response_timeout), (Duration::from_millis(120), Some(Duration::from_secs(5))));
    assert_eq!((headers(sampler), sampler.cookies, sampler.dynatrace.as_ref()), (vec![("a", "inner")], None, None));
    let read = alone(&plan("POST")).unwrap();
    let (_, sampler) = only(&read);
    assert_eq!((sampler.url.path.as_str(), sampler.body.as_deref()), ("/x?y=1", Some("q=a+b%26c&r=1%2F2")));
    assert_eq!(headers(sampler), [("a", "inner"), ("content-type", "application/x-www-form-urlencoded")]);
}

#[test]
fn a_plan_with_nothing_but_problems_is_refused_in_time() {
    let inner = "<stringProp name=\"x\">1</stringProp>".repeat(50_000);
    let text =
        LOAD.replace("<boolProp name=\"TestPlan.functional_mode\">", &format!("{inner}<boolProp name=\"TestPlan.functional_mode\">"));
    let problems = alone(&text).unwrap_err();
    assert!((400..=501).contains(&problems.len()), "{}", problems.len());
}

#[test]
fn a_property_that_occurs_twice_is_an_error() {
    let method = "<stringProp name=\"HTTPSampler.method\">POST</stringProp>";
    let problems = alone(&LOAD.replace(method, &format!("{method}{}", method.replace("POST", "GET")))).unwrap_err();
    assert!(problems.iter().any(|problem| problem.message.contains("HTTPSampler.method occurs twice")), "{problems:#?}");
}

#[test]
fn what_is_no_plan_is_refused_at_its_place() {
    let laughs = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]><jmeterTestPlan>&b;</jmeterTestPlan>";
    let deep = format!("<jmeterTestPlan>{}{}</jmeterTestPlan>", "<hashTree>".repeat(20_000), "</hashTree>".repeat(20_000));
    let wide = format!("<jmeterTestPlan>{}</jmeterTestPlan>", "<a/>".repeat(300_000));
    let many = format!("<jmeterTestPlan>{}</jmeterTestPlan>", "<HTTPSamplerProxy/>".repeat(1001));
    for (text, message) in [
        ("", "not XML"),
        ("<a>", "not XML"),
        ("<a></b>", "not XML"),
        ("<a/>", "begins with <a>"),
        ("<jmeterTestPlan/>", "0 test plans"),
        ("<jmeterTestPlan><hashTree><TestPlan/><hashTree/></hashTree></jmeterTestPlan>", "no thread group"),
        (laughs, "not XML"),
        (&deep, "0 test plans"),
        (&wide, "not XML"),
        (&" ".repeat(3 << 20), "more than"),
        (&many, "more than 1000 requests"),
    ] {
        let problems = alone(text).unwrap_err();
        assert!(problems.iter().any(|problem| problem.message.contains(message)), "{problems:#?}");
        assert!(problems.iter().all(|problem| problem.hint.is_some()), "{problems:#?}");
    }
}
