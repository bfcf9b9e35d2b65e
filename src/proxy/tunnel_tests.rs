//! Tunnels in memory: order, half-close, silence, and what a client is told.
#![cfg(test)]

use std::future::pending;

use tokio::io::{DuplexStream, duplex};

use super::*;

/// A tunnel of this kind with its two ends in the hands of a test, and what ends it early.
struct Bench {
    client: DuplexStream,
    version: DuplexStream,
    cut: tokio::sync::oneshot::Sender<()>,
    carrying: tokio::task::JoinHandle<io::Result<Ended>>,
}

fn bench(kind: Kind, early: &'static [u8], room: usize) -> Bench {
    let ((client, mut near), (version, mut far)) = (duplex(room), duplex(room));
    let (cut, cutting) = tokio::sync::oneshot::channel::<()>();
    let carrying = tokio::spawn(async move {
        let cutting = async {
            if cutting.await.is_err() {
                pending::<()>().await;
            }
        };
        carry(&mut near, Bytes::from_static(early), &mut far, kind, (Patience::default(), &Passed::default()), cutting).await
    });
    Bench { client, version, cut, carrying }
}

#[tokio::test]
async fn bytes_pass_both_ways_at_once_in_order_and_early_ones_first() {
    let Bench { client, version, carrying, cut: _cut } = bench(Kind::Tcp, b"early", 1000);
    let patterned = |seed: u32| (0..1_000_000_u32).map(|i| (i.wrapping_mul(seed) >> 7) as u8).collect::<Vec<u8>>();
    let (up, down) = (patterned(2_654_435_761), patterned(40_503));
    let pass = async |end: DuplexStream, out: Vec<u8>| {
        let (mut reader, mut writer) = tokio::io::split(end);
        let (mut seen, writing) = (Vec::new(), async {
            writer.write_all(&out).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let (read, ()) = tokio::join!(reader.read_to_end(&mut seen), writing);
        read.unwrap();
        seen
    };
    let (at_client, at_version) = tokio::join!(pass(client, up.clone()), pass(version, down.clone()));
    assert!(at_client == down && at_version == [b"early".to_vec(), up].concat());
    assert_eq!(carrying.await.unwrap().unwrap(), Ended::Both);
}

#[tokio::test]
async fn where_one_side_has_ended_the_other_may_go_on() {
    let Bench { mut client, mut version, carrying, cut: _cut } = bench(Kind::Tcp, b"", 64);
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut seen = Vec::new();
    version.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, b"question");
    version.write_all(b"answer").await.unwrap();
    drop(version);
    seen.clear();
    client.read_to_end(&mut seen).await.unwrap();
    assert_eq!((seen.as_slice(), carrying.await.unwrap().unwrap()), (&b"answer"[..], Ended::Both));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_tunnel_and_every_byte_puts_that_off() {
    let Bench { client: _client, mut version, carrying, cut: _cut } = bench(Kind::Tcp, b"", 64);
    let began = Instant::now();
    for _ in 0..3 {
        tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
        version.write_all(b"x").await.unwrap();
    }
    let last = began.elapsed();
    assert_eq!(carrying.await.unwrap().unwrap(), Ended::Idle);
    assert!((IDLE..IDLE + Duration::from_secs(1)).contains(&(began.elapsed() - last)), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn half_a_tunnel_is_waited_for_less_long() {
    let Bench { client: _client, mut version, carrying, cut: _cut } = bench(Kind::Tcp, b"", 64);
    version.shutdown().await.unwrap();
    let began = Instant::now();
    assert_eq!(carrying.await.unwrap().unwrap(), Ended::Idle);
    assert!((HALF_OPEN..HALF_OPEN + Duration::from_secs(1)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

/// What the client sees after this was sent by the version, the tunnel was cut, and that was sent too.
async fn cut(kind: Kind, before: &[u8], after: &[u8]) -> Vec<u8> {
    let Bench { mut client, mut version, carrying, cut } = bench(kind, b"", 64);
    version.write_all(before).await.unwrap();
    let mut seen = vec![0; before.len()];
    client.read_exact(&mut seen).await.unwrap();
    cut.send(()).unwrap();
    tokio::task::yield_now().await;
    let _ = version.write_all(after).await;
    assert_eq!(carrying.await.unwrap().unwrap(), Ended::Cut);
    client.read_to_end(&mut seen).await.unwrap();
    seen
}

#[tokio::test(start_paused = true)]
async fn the_client_of_a_websocket_that_is_cut_is_told_between_two_frames() {
    let frame = [0x82, 5, 1, 2, 3, 4, 5];
    let told = |bytes: &[u8]| [bytes, &RESTARTS].concat();
    assert_eq!(cut(Kind::WebSocket, b"", b"").await, RESTARTS);
    assert_eq!(cut(Kind::WebSocket, &frame, b"").await, told(&frame));
    for split in 1..frame.len() {
        let (begun, rest) = frame.split_at(split);
        assert_eq!(cut(Kind::WebSocket, begun, &[rest, &frame].concat()).await, told(&frame), "cut behind byte {split}");
        assert_eq!(cut(Kind::WebSocket, begun, b"").await, begun, "a frame that does not end");
    }
    assert_eq!(cut(Kind::WebSocket, &[0x88, 0], b"").await, [0x88, 0], "it was told already that nothing comes");
    assert_eq!(cut(Kind::Tcp, &frame, b"").await, frame);
}

/// A version that has reset its connection, which the system tells once: whoever reads after that finds an end.
struct Reset;

impl AsyncRead for Reset {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Reset {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_that_a_write_has_met_is_no_end() {
    for early in [&b"early"[..], b""] {
        let (mut client, mut near) = duplex(64);
        client.write_all(b"more").await.unwrap();
        let (early, passed) = (Bytes::from_static(early), Passed::default());
        let ended = carry(&mut near, early, &mut Reset, Kind::Tcp, (Patience::default(), &passed), pending()).await;
        assert_eq!(ended.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionReset));
        let told = tokio::time::timeout(Duration::from_secs(1), client.read(&mut [0])).await;
        assert!(told.is_err(), "the client is told of an end: {told:?}");
    }
}
