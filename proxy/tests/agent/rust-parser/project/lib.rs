/// The seconds of a time like `1h30m`.
pub fn seconds(text: &str) -> Option<u64> {
    text.strip_suffix('s')?.parse().ok()
}

#[test]
fn times_are_read() {
    assert_eq!(seconds("90s"), Some(90));
    assert_eq!(seconds("1h30m"), Some(5400));
    assert_eq!(seconds("2h5s"), Some(7205));
    for nonsense in ["", "h", "90", "1x", "-1s", "1m1h"] {
        assert_eq!(seconds(nonsense), None, "{nonsense}");
    }
}
