//! R-01 to R-41: which request heads are refused, which are forwarded and in what form.

use crate::oracle::{BAD, Bench, Case, Expect, ONE, case, get, head, post};

const HELLO: &[u8] = b"5\r\nhello\r\n0\r\n\r\n";
const SECOND: &[u8] = b"GET /smug HTTP/1.1\r\nHost: a.test\r\n\r\n";
const UNSUPPORTED: Expect = Expect::Refused(&[501]);

fn coded(value: &[u8]) -> Vec<u8> {
    post([b"Transfer-Encoding: ", value, b"\r\n"].concat(), HELLO)
}

fn sized(value: &str) -> Vec<u8> {
    post(format!("Content-Length: {value}\r\n"), "hello")
}

#[test]
fn r01_r02_transfer_encoding_wins_over_content_length_and_what_follows_is_no_request() {
    let both = |fields: &str| post(fields, b"0\r\n\r\nG");
    let cases = [
        case("R-01", both("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n"), ONE),
        case("R-02", both("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n"), ONE),
    ];
    Bench::new().judge(&cases);
    let refused: Vec<Case> = cases.into_iter().map(|c| Case { expect: BAD, ..c }).collect();
    Bench::with(|setup| setup.strict()).judge(&refused);
}

#[test]
fn r03_to_r12_content_length_is_one_plain_number_or_400() {
    let mut cases = vec![
        case("R-03", post("Content-Length: 5\r\nContent-Length: 0\r\n", "hello"), BAD),
        case("R-04", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), ONE),
        case("R-05", sized("5, 5"), BAD),
        case("R-06", sized("5, 0"), BAD),
        case("R-10", sized("005"), ONE),
        case("R-11 space", post("Content-Length : 5\r\n", "hello"), BAD),
        case("R-11 tab", post("Content-Length\t: 5\r\n", "hello"), BAD),
        case("R-12", post("Content-Length:\r\n 5\r\n", "hello"), BAD),
    ];
    for value in ["+5", "-1", "0x5", "1_0", "", "5 0", "5.0", "5e0", ",5", "5,", "abc"] {
        cases.push(case(format!("R-07 {value:?}"), sized(value), BAD));
    }
    for value in ["18446744073709551621", &"9".repeat(40)] {
        cases.push(case(format!("R-08 {value}"), sized(value), BAD));
    }
    Bench::new().judge(&cases);
}

#[test]
fn r13_to_r19_transfer_encoding_is_exactly_one_chunked_or_refused() {
    let either = Expect::Refused(&[400, 501]);
    let mut cases = Vec::new();
    for value in ["xchunked", "chunkedx", "identity", "gzip", "chun ked", "\"chunked\"", "chunked;q=1", "cow chunked bar", ""] {
        cases.push(case(format!("R-13 {value:?}"), coded(value.as_bytes()), either));
        let with_length = post(format!("Transfer-Encoding: {value}\r\nContent-Length: 15\r\n"), HELLO);
        cases.push(case(format!("R-13 {value:?} and a length"), with_length, either));
    }
    // hyper answers 400 itself when the last coding is not chunked; where it is, the answer is ours.
    cases.push(case("R-14", coded(b"gzip, chunked"), UNSUPPORTED));
    for value in ["chunked, gzip", "chunked, identity"] {
        cases.push(case(format!("R-15 {value}"), coded(value.as_bytes()), BAD));
    }
    for value in ["chunked, chunked", ",chunked", "chunked,"] {
        cases.push(case(format!("R-16 {value}"), coded(value.as_bytes()), BAD));
    }
    for (first, second) in [("chunked", "chunked"), ("identity", "chunked"), ("chunked", "identity"), ("gzip", "chunked")] {
        let lines = format!("Transfer-Encoding: {first}\r\nTransfer-Encoding: {second}\r\n");
        cases.push(case(format!("R-17 {first} {second}"), post(lines, HELLO), either));
    }
    for value in [&b"\x0bchunked"[..], b"\x0cchunked", b"\xa0chunked", b"chunked\x85", b"chunked\x00", b"\rchunked", b"chunked\rX: y"] {
        cases.push(case(format!("R-18 {value:?}"), coded(value), either));
    }
    for value in ["chunked\t", "chunked ", "cHuNkEd"] {
        cases.push(case(format!("R-18 {value:?}"), coded(value.as_bytes()), ONE));
    }
    cases.push(case("R-19 first", [&b"POST /t HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: a.test\r\n\r\n"[..], HELLO].concat(), BAD));
    cases.push(case("R-19 after", post("X: y\r\n Transfer-Encoding: chunked\r\n", HELLO), BAD));
    cases.push(case("R-19 folded", post("Transfer-Encoding:\r\n chunked\r\n", HELLO), BAD));
    cases.push(case("R-19 blank", post("Transfer-Encoding : chunked\r\n", HELLO), BAD));
    Bench::new().judge(&cases);
}

#[test]
fn r20_names_with_underscores_are_dropped_and_frame_nothing() {
    let bench = Bench::new();
    bench.judge(&[case("R-20", post("Transfer_Encoding: chunked\r\nContent_Length: 9\r\nContent-Length: 5\r\n", "hello"), ONE)]);
    let requests = bench.upstream.requests();
    assert_eq!(requests[0].body, b"hello");
    assert!(requests[0].fields.iter().all(|(name, _)| !name.contains('_')), "{:?}", requests[0].fields);
}

#[test]
fn r21_r22_http_1_0_has_no_chunks_and_no_body_without_a_length() {
    let chunked = [&head(b"POST /t HTTP/1.0", b"Transfer-Encoding: chunked\r\n")[..], HELLO].concat();
    let bare = head(b"POST /t HTTP/1.0", b"");
    Bench::new().judge(&[case("R-21", chunked, BAD), case("R-22", bare, ONE)]);
}

#[test]
fn r23_framing_fields_are_not_removed_because_connection_names_them() {
    let bench = Bench::new();
    bench.judge(&[
        case("R-23 length", post("Connection: Content-Length\r\nContent-Length: 5\r\n", "hello"), ONE),
        case("R-23 coding", post("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", HELLO), ONE),
    ]);
    assert_eq!(bench.upstream.requests()[0].body, b"hello");
}

#[test]
fn r24_r25_a_body_goes_with_any_method_and_is_never_a_request() {
    let bench = Bench::new();
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        for (fields, body) in [(format!("Content-Length: {}\r\n", SECOND.len()), SECOND.to_vec()), {
            let chunk = [format!("{:x}\r\n", SECOND.len()).as_bytes(), SECOND, b"\r\n0\r\n\r\n"].concat();
            ("Transfer-Encoding: chunked\r\n".to_owned(), chunk)
        }] {
            let mut client = crate::support::client::Client::connect(bench.proxy.address);
            bench.upstream.forget();
            client.send([&head(format!("{method} /t HTTP/1.1").as_bytes(), fields.as_bytes())[..], &body].concat());
            let answers = client.answers(1, &[method]);
            assert_eq!(answers[0].status(), 200, "{method} {fields}");
            let requests: Vec<_> = bench.upstream.requests();
            assert_eq!(requests.len(), 1, "{method} {fields} {requests:?}");
            assert_eq!((requests[0].body.as_slice(), &requests[0].violations), (SECOND, &vec![]), "{method} {fields}");
        }
    }
}

#[test]
fn r26_r27_without_a_body_the_next_bytes_are_the_next_request() {
    let none = [post("", ""), SECOND.to_vec()].concat();
    let zero = [post("Content-Length: 0\r\n", ""), SECOND.to_vec()].concat();
    Bench::new().judge(&[case("R-26", none, Expect::Forwarded(2)), case("R-27", zero, Expect::Forwarded(2))]);
}

#[test]
fn r28_bare_line_feeds_are_normalised_or_refused_when_strict() {
    let inputs = [
        ("R-28 all", b"GET /t HTTP/1.1\nHost: a.test\n\n".to_vec()),
        ("R-28 one", b"GET /t HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n".to_vec()),
        ("R-28 last", b"GET /t HTTP/1.1\r\nHost: a.test\r\n\n".to_vec()),
    ];
    let all = |expect| inputs.iter().map(|(id, bytes)| case(*id, bytes.clone(), expect)).collect::<Vec<_>>();
    Bench::new().judge(&all(ONE));
    Bench::with(|setup| setup.strict()).judge(&all(BAD));
}

#[test]
fn r29_to_r33_malformed_heads_are_refused() {
    let raw = |lines: &[u8]| [b"GET /t HTTP/1.1\r\nHost: a.test\r\n", lines].concat();
    let mut cases = vec![
        case("R-29 value", get("X: a\rb\r\n"), BAD),
        case("R-29 line", b"GET /t HTTP/1.1\r\nHost: a.test\rX: y\r\n\r\n".as_slice(), BAD),
        case("R-30", raw(b"\r\rX: y\r\n\r\n"), BAD),
        case("R-32 colon", get("XYZ\r\n"), BAD),
        case("R-32 empty", get(": a\r\n"), BAD),
        case("R-32 blank", get("X Y: a\r\n"), BAD),
        case("R-33", b"GET /t HTTP/1.1\r\n \r\nHost: a.test\r\n\r\n".as_slice(), BAD),
        case("R-33 fold", get("X: a\r\n b\r\n"), BAD),
    ];
    for byte in (0..0x20).chain([0x7f]).filter(|b| !b"\t\n\r".contains(b)) {
        cases.push(case(format!("R-31 value {byte:#x}"), get([b"X: a", &[byte][..], b"b\r\n"].concat()), BAD));
    }
    for byte in (0x80..=0xff).step_by(17) {
        cases.push(case(format!("R-31 name {byte:#x}"), get([b"X", &[byte][..], b": a\r\n"].concat()), BAD));
    }
    for byte in b"()<>@,;\\\"/[]?={}" {
        cases.push(case(format!("R-32 {:?}", char::from(*byte)), get([b"X", &[*byte][..], b": a\r\n"].concat()), BAD));
    }
    Bench::new().judge(&cases);
}

#[test]
fn r31_bytes_above_ascii_in_values_pass_unchanged() {
    let bench = Bench::new();
    bench.judge(&[case("R-31", get(b"X: caf\xe9\xff\x80\r\n"), ONE)]);
    assert_eq!(bench.upstream.requests()[0].one("x"), "caf\u{e9}\u{ff}\u{80}");
}

#[test]
fn r34_empty_lines_before_a_request_are_skipped() {
    Bench::new().judge(&[case("R-34", [b"\r\n", &get("")[..]].concat(), ONE), case("R-34 lf", [b"\n", &get("")[..]].concat(), ONE)]);
}

#[test]
fn r35_other_versions_and_malformed_request_lines_are_refused() {
    let old = Expect::Refused(&[400, 505]);
    let mut cases = vec![case("R-35 0.9", b"GET /t\r\n\r\n".as_slice(), old)];
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/1.10", "http/1.1", "HTTP/3", "HTTP/1.1x"] {
        cases.push(case(format!("R-35 {version}"), head(format!("GET /t {version}").as_bytes(), b""), old));
    }
    for line in ["GET /t  HTTP/1.1", " GET /t HTTP/1.1", "GET /t HTTP/1.1 ", "GET  /t HTTP/1.1"] {
        cases.push(case(format!("R-35 {line:?}"), head(line.as_bytes(), b""), old));
    }
    Bench::new().judge(&cases);
}

#[test]
fn r36_methods_keep_their_case_and_are_tokens_of_at_most_32_bytes() {
    let bench = Bench::new();
    let line = |method: &str| head(format!("{method} /t HTTP/1.1").as_bytes(), b"");
    bench.judge(&[
        case("R-36 paren", line("G(T"), BAD),
        case("R-36 blank", line("GE T"), BAD),
        case("R-36 long", line(&"A".repeat(33)), BAD),
        case("R-36 300", line(&"A".repeat(300)), BAD),
        case("R-36 32", line(&"A".repeat(32)), ONE),
    ]);
    for method in ["get", "FOO", "M-SEARCH"] {
        bench.judge(&[case(format!("R-36 {method}"), line(method), ONE)]);
        assert_eq!(bench.upstream.requests()[0].line[0], method);
    }
}

#[test]
fn r37_long_lines_and_many_fields_are_refused() {
    let (too_long, too_large) = (Expect::Refused(&[414]), Expect::Refused(&[431]));
    let target = |length: usize| head(format!("GET /{} HTTP/1.1", "a".repeat(length)).as_bytes(), b"");
    let fields = |count: usize| get((0..count).map(|i| format!("X-{i}: y\r\n")).collect::<String>());
    let value = |length: usize| get(format!("X: {}\r\n", "a".repeat(length)));
    Bench::new().judge(&[
        case("R-37 target 8 KiB", target(8 * 1024), too_long),
        case("R-37 target below", target(8 * 1024 - 1), ONE),
        case("R-37 target 70 KiB", target(70_000), Expect::Refused(&[414, 431])),
        case("R-37 101 fields", fields(100), too_large),
        case("R-37 2000 fields", fields(2_000), too_large),
        case("R-37 64 KiB", value(65_536), too_large),
        case("R-37 1 MiB", value(1 << 20), too_large),
        case("R-37 above 16 KiB", value(16 * 1024 + 1), too_large),
        case("R-37 16 KiB", value(16 * 1024), ONE),
    ]);
}

#[test]
fn r38_r39_how_bytes_are_split_never_changes_the_verdict() {
    let bench = Bench::new();
    let cases = [
        case("good", get("X: y\r\n"), ONE),
        case("two", [post("Content-Length: 5\r\n", "hello"), get("")].concat(), Expect::Forwarded(2)),
        case("chunked", post("Transfer-Encoding: chunked\r\n", HELLO), ONE),
        case("refused", get("X : y\r\n"), BAD),
        case("fragment", head(b"GET /a#b HTTP/1.1", b""), BAD),
        case("coding", coded(b"gzip, chunked"), UNSUPPORTED),
    ];
    for case in &cases {
        for pieces in 1..case.bytes.len() {
            bench.judge_in_pieces(case, pieces);
        }
    }
}

#[test]
fn r40_r41_other_protocols_on_the_port_are_refused() {
    let bytes: Vec<u8> = (0..=255).collect();
    let hello = [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[0; 40]].concat();
    let old = Expect::Refused(&[400, 505]);
    Bench::new().judge(&[
        case("R-40 short", b"PRI * HTTP/1.1\r\nHost: a.test\r\n\r\n".as_slice(), old),
        case("R-41 tls", hello, old),
        case("R-41 binary", bytes, old),
    ]);
}
