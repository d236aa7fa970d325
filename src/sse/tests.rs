use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::{Decoder, Event, encode_comment, encode_data, encode_event};
use crate::error::Retry;

fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = decoder.next_event().unwrap() {
            events.push(event);
        }
    }
    events.extend(decoder.finish().unwrap());
    events
}

fn event(data: &str) -> Event {
    Event {
        name: None,
        data: Bytes::copy_from_slice(data.as_bytes()),
    }
}

#[test]
fn fields_comments_and_joined_lines() {
    let text = "\u{feff}: hello\nid: 7\nevent: delta\ndata: a\ndata:b\ndata\n\n\n\ndata: [DONE]\n\nretry: 1\n\n";
    assert_eq!(
        decode([text.as_bytes()]),
        [
            Event {
                name: Some("delta".into()),
                data: "a\nb\n".into()
            },
            event("[DONE]")
        ]
    );
}

#[test]
fn the_end_of_the_body_completes_ended_lines_only() {
    assert_eq!(decode([b"data: x\n".as_slice()]), [event("x")]);
    assert_eq!(decode([b"data: x".as_slice()]), []);
    assert_eq!(decode([b"data: x\ndata: y".as_slice()]), [event("x")]);
}

#[test]
fn data_on_one_line_in_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"data: {\"a\":1}\n\n");
    let mut decoder = Decoder::new();
    decoder.push(chunk.clone());
    let data = decoder.next_event().unwrap().unwrap().data;
    assert_eq!(data.as_ptr(), chunk[6..].as_ptr());
}

#[test]
fn an_endless_line_is_an_error() {
    let mut decoder = Decoder::new().max_event(16);
    decoder.push(Bytes::from_static(b"data: 0123456789"));
    assert!(decoder.next_event().unwrap().is_none());
    decoder.push(Bytes::from_static(b"0123456789"));
    assert!(decoder.next_event().is_err());
    let mut decoder = Decoder::new().max_event(16);
    decoder.push(Bytes::from_static(b"data: 01234567\ndata: 01234567\n"));
    assert!(decoder.next_event().is_err());
}

/// R4 at the limit: whether an event is too large does not depend on how it was cut.
#[test]
fn r4_an_event_near_the_limit_is_one_thing_however_it_is_cut() {
    const MAX: usize = 16;
    let read = |chunks: &[&[u8]]| {
        let mut decoder = Decoder::new().max_event(MAX);
        let mut events = Vec::new();
        for chunk in chunks {
            decoder.push(Bytes::copy_from_slice(chunk));
            while let Some(event) = decoder.next_event().map_err(|error| error.retry())? {
                events.push(event);
            }
        }
        events.extend(decoder.finish().map_err(|error| error.retry())?);
        Ok::<_, Retry>(events)
    };
    for len in MAX - 8..MAX + 8 {
        let long = "x".repeat(len);
        for (text, largest) in [
            (format!("data: {long}\n\n"), len + 6),
            (format!("data:{long}\r\n\r\n"), len + 5),
            (format!(": {long}\n\n"), len + 2),
            (format!("data: {long}"), len + 6),
            // Seven bytes of a line are its name and its end.
            (
                format!("data: {0}\ndata: {0}\n\n", &long[..len / 2]),
                len / 2 * 2 + 1,
            ),
        ] {
            let whole = read(&[text.as_bytes()]);
            assert_eq!(whole.is_ok(), largest <= MAX, "{text:?}");
            assert!(whole.is_ok() || whole == Err(Retry::Never), "{text:?}");
            for cut in 0..text.len() {
                let (a, b) = text.as_bytes().split_at(cut);
                assert_eq!(read(&[a, b]), whole, "cut at {cut} in {text:?}");
            }
        }
    }
}

#[test]
fn what_is_encoded_is_decoded() {
    let mut out = BytesMut::new();
    encode_comment(&mut out, "ping\nevil");
    encode_data(&mut out, b"{\n\"a\":\r\n1}\r");
    encode_event(&mut out, "error", b"{}");
    let events = decode([&out[..]]);
    assert_eq!(events[0], event("{\n\"a\":\n1}\n"));
    assert_eq!(events[1].name.as_deref(), Some(b"error".as_slice()));
    assert_eq!(events.len(), 2);
}

/// R4: one stream in many spellings and cuts is one list of events.
#[test]
fn r4_every_split_of_every_spelling_gives_the_same_events() {
    let want = [
        event("{\"t\":\"grüße 🦀\"}"),
        event("two\nlines"),
        event("[DONE]"),
    ];
    for ending in ["\n", "\r\n", "\r"] {
        for space in ["", " "] {
            let text = "\u{feff}: c\ndata:_{\"t\":\"grüße 🦀\"}\n\ndata:_two\ndata:_lines\nid:1\n\n\ndata:_[DONE]\n\n"
            .replace('_', space)
            .replace('\n', ending);
            let bytes = text.as_bytes();
            for cut in 0..=bytes.len() {
                let (a, b) = bytes.split_at(cut);
                assert_eq!(decode([a, b]), want, "cut at {cut} in {text:?}");
            }
            assert_eq!(decode(bytes.chunks(1)), want);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]
    /// R4: any bytes at all, cut anywhere, decode as they do in one piece.
    #[test]
    fn r4_random_bytes_in_random_cuts(
        pieces in prop::collection::vec(prop_oneof![
            Just(b"data: ".to_vec()), Just(b"data:".to_vec()), Just(b"\n".to_vec()), Just(b"\r".to_vec()),
            Just(b"\r\n".to_vec()), Just(b":".to_vec()), Just(b"event: x".to_vec()),
            Just("\u{feff}".as_bytes().to_vec()), Just("é🦀".as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..4),
        ], 0..24),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let bytes = pieces.concat();
        let mut at: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len() + 1)).collect();
        at.sort_unstable();
        let mut chunks = Vec::new();
        let mut from = 0;
        for cut in at { chunks.push(&bytes[from..cut]); from = cut; }
        chunks.push(&bytes[from..]);
        prop_assert_eq!(decode(chunks), decode([&bytes[..]]));
    }
}
