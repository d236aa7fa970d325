pub fn longest(words: &[String]) -> &str {
    let mut best = String::new();
    for word in words {
        if word.len() > best.len() {
            best = word.clone();
        }
    }
    &best
}

#[test]
fn the_longest_word() {
    let words = ["a", "ccc", "bb"].map(String::from);
    assert_eq!(longest(&words), "ccc");
    assert_eq!(longest(&[]), "");
}
