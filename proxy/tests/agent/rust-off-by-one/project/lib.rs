pub fn last(items: &[u32]) -> Option<u32> {
    if items.is_empty() {
        return None;
    }
    Some(items[items.len()])
}

#[test]
fn the_last_item() {
    assert_eq!(last(&[1, 2, 3]), Some(3));
    assert_eq!(last(&[]), None);
}
