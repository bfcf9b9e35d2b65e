//! C-01 to C-16: chunked request bodies.

use crate::oracle::{BAD, Bench, Case, Expect, ONE, case, post};

fn chunked(id: &str, body: impl AsRef<[u8]>, expect: Expect) -> Case {
    case(id, post("Transfer-Encoding: chunked\r\n", body), expect)
}

#[test]
fn c01_to_c03_extensions_are_dropped_or_refused() {
    let bench = Bench::new();
    let expected = ["5;a=b", "5;a=\"b;c\"", "5;\0"];
    for size in expected {
        bench.judge(&[chunked(&format!("C-01 {size:?}"), format!("{size}\r\nhello\r\n0\r\n\r\n"), ONE)]);
        assert_eq!(bench.upstream.requests()[0].body, b"hello", "{size}");
    }
    bench.judge(&[
        chunked("C-02 lf", "5;a\nhello\r\n0\r\n\r\n", BAD),
        chunked("C-02 cr", "5;a\rX\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("C-03", format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(20_000)), BAD),
    ]);
}
