use bytes::{BufMut, BytesMut};
use memchr::memchr2;

/// Appends one event of the default type: `data: …`, one line per line of `data`, and the blank line.
pub fn encode_data(out: &mut BytesMut, data: &[u8]) {
    out.reserve(data.len() + 8);
    let mut rest = data;
    while let Some(end) = memchr2(b'\n', b'\r', rest) {
        put_line(out, &rest[..end]);
        let both = rest[end..].starts_with(b"\r\n");
        rest = &rest[end + 1 + usize::from(both)..];
    }
    put_line(out, rest);
    out.put_u8(b'\n');
}

/// Appends one event with a name.
pub fn encode_event(out: &mut BytesMut, name: &str, data: &[u8]) {
    out.put_slice(b"event: ");
    out.extend(name.bytes().filter(|b| !matches!(b, b'\n' | b'\r')));
    out.put_u8(b'\n');
    encode_data(out, data);
}

/// Appends a comment, which every client ignores: a ping, or a note for who reads along.
pub fn encode_comment(out: &mut BytesMut, text: &str) {
    out.put_slice(b": ");
    out.extend(text.bytes().filter(|b| !matches!(b, b'\n' | b'\r')));
    out.put_slice(b"\n\n");
}

fn put_line(out: &mut BytesMut, line: &[u8]) {
    out.put_slice(b"data: ");
    out.put_slice(line);
    out.put_u8(b'\n');
}
