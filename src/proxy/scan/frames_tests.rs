//! What frames may do to a connection, and when it must end.
#![cfg(test)]

use super::*;

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

/// Feeds frames after the preface, in pieces of this size; returns the flood and how many frames passed before it.
fn feed(frames: &[Vec<u8>], pieces: usize) -> (FrameScan, Option<(Offence, usize)>) {
    let mut scan = FrameScan::new(0);
    PREFACE.chunks(pieces).for_each(|piece| scan.feed(piece, 0).unwrap());
    for (passed, frame) in frames.iter().enumerate() {
        for piece in frame.chunks(pieces) {
            if let Err(offence) = scan.feed(piece, 0) {
                return (scan, Some((offence, passed)));
            }
        }
    }
    (scan, None)
}

#[test]
fn each_cheap_kind_has_an_end_however_it_arrives() {
    for (flood, frame) in [
        (Flood::Ping, frame(6, 0, &[0; 8])),
        (Flood::Settings, frame(4, 0, &[])),
        (Flood::EmptyData, frame(0, 0, &[])),
        (Flood::Priority, frame(2, 0, &[0; 5])),
        (Flood::Window, frame(8, 0, &[0, 0, 0, 1])),
        (Flood::Window, frame(8, 0, &[0x80, 0, 0, 1])),
        (Flood::Reset, frame(3, 0, &[0; 4])),
        (Flood::Continuation, frame(9, 0, b"x")),
        (Flood::Unknown, frame(0x42, 0, b"xyz")),
        (Flood::Fields, frame(1, 4, &[0xbe; MAX_FIELDS + PSEUDO_FIELDS + 1])),
    ] {
        let frames = vec![frame; 2000];
        for pieces in [1, 2, 7, 1000] {
            let (_, ended) = feed(&frames, pieces);
            assert_eq!(ended, Some((Offence::Flood(flood), flood.burst() as usize)), "in pieces of {pieces}");
        }
    }
}

#[test]
fn answers_of_the_client_and_real_work_are_no_flood() {
    let mut frames = Vec::new();
    for _ in 0..5000 {
        frames.extend([frame(6, 1, &[0; 8]), frame(4, 1, &[]), frame(8, 0, &[0, 1, 0, 0])]);
        frames.extend([frame(1, 4, &[0xbe; MAX_FIELDS + PSEUDO_FIELDS])]);
        frames.extend([frame(1, 4, b"head"), frame(0, 0, b"data"), frame(0, 1, b""), frame(3, 0, &[0; 4]), frame(6, 0, &[0; 8])]);
    }
    assert_eq!(feed(&frames, 1000).1, None);
}

#[test]
fn time_gives_back() {
    let mut scan = FrameScan::new(u32::MAX - 3);
    scan.feed(PREFACE, u32::MAX - 3).unwrap();
    let settings = frame(4, 0, &[]);
    let mut round = u32::MAX - 3;
    // Five per second are paid for, for ever.
    for _ in 0..1000 {
        (0..5).for_each(|_| scan.feed(&settings, round).unwrap());
        round = round.wrapping_add(10);
    }
    assert!((0..101).any(|_| scan.feed(&settings, round).is_err()));
}

#[test]
fn a_block_is_open_from_the_head_of_its_first_frame_to_its_end() {
    let open = |frames: &[Vec<u8>]| feed(frames, 3).0.is_in_block();
    assert!(!open(&[frame(1, 4, b"whole")]));
    assert!(open(&[frame(1, 0, b"begun")]));
    assert!(open(&[frame(1, 0, b"begun"), frame(9, 0, b"more")]));
    assert!(!open(&[frame(1, 0, b"begun"), frame(9, 4, b"end")]));
    let mut scan = FrameScan::new(0);
    scan.feed(PREFACE, 0).unwrap();
    scan.feed(&frame(1, 4, b"cut here")[..12], 0).unwrap();
    assert!(scan.is_in_block());
}

#[test]
fn a_fragment_is_found_in_whatever_frames_the_block_comes() {
    let block = b"\x82\x04\x04/t#f";
    let padded = [&[3], &block[..], &[0; 3]].concat();
    let with_priority = [&[0; 5], &block[..]].concat();
    let both = [&[3, 0, 0, 0, 0, 9], &block[..], &[0; 3]].concat();
    for frames in [
        vec![frame(1, 4, block)],
        vec![frame(1, 0, &block[..3]), frame(9, 0, &block[3..6]), frame(9, 4, &block[6..])],
        vec![frame(1, 4 | 8, &padded)],
        vec![frame(1, 4 | 0x20, &with_priority)],
        vec![frame(1, 4 | 8 | 0x20, &both)],
    ] {
        for pieces in [1, 3, 100] {
            let end = frames.len() - 1;
            assert_eq!(feed(&frames, pieces).1, Some((Offence::Fragment, end)), "in pieces of {pieces}");
        }
    }
    assert_eq!(feed(&[frame(1, 4, b"\x82\x04\x03/tf"), frame(0, 0, block)], 2).1, None);
}

#[test]
fn only_the_first_block_of_a_stream_may_have_pseudo_header_fields() {
    let on = |stream: u8, block: &[u8]| {
        let mut frame = frame(1, 4, block);
        frame[8] = stream;
        frame
    };
    let (get, trailers) = (b"\x82\x84", b"\x00\x01x\x01y");
    let sound = [on(1, get), on(3, get), on(1, trailers), on(3, trailers), on(5, get)];
    assert_eq!(feed(&sound, 3).1, None);
    for block in [&get[..], b"\x00\x01x\x01y\x00\x07:status\x03200"] {
        assert_eq!(feed(&[&sound[..], &[on(3, block)]].concat(), 3).1, Some((Offence::Trailers, 5)), "{block:?}");
    }
    let pieces = [frame(1, 0, &trailers[..3]), frame(9, 4, b"\x01y\x82")];
    assert_eq!(feed(&[&sound[..], &pieces].concat(), 3).1, Some((Offence::Trailers, 6)));
}

#[test]
fn of_a_long_block_as_much_is_looked_at_however_it_arrives() {
    let long = [&b"\x0f\x00\x7f"[..], &[0x80, 0x80, 0x04], &vec![b'x'; MOST_FIELDS + 127], b"\x04\x04/t#f"].concat();
    for pieces in [1, 1000, long.len() + HEAD] {
        let (scan, ended) = feed(&[frame(1, 0, &long), frame(9, 4, b"")], pieces);
        assert_eq!(ended, None, "in pieces of {pieces}");
        assert!(scan.held() <= 2 * MOST_FIELDS);
    }
}

#[test]
fn a_preface_that_goes_on_wrongly_is_noticed_at_its_first_wrong_byte() {
    for at in 0..PREFACE.len() {
        let mut bytes = PREFACE.to_vec();
        bytes[at] ^= 1;
        let mut scan = FrameScan::new(0);
        assert_eq!(scan.feed(&bytes[..at], 0), Ok(()));
        assert_eq!(scan.feed(&bytes[at..=at], 0), Err(Offence::Preface));
        assert_eq!(FrameScan::new(0).feed(&bytes, 0), Err(Offence::Preface));
    }
}
