pub fn mean(a: u32, b: u32) -> u32 {
    (a + b) / 2
}

#[test]
fn the_mean_of_large_numbers() {
    assert_eq!(mean(2, 4), 3);
    assert_eq!(mean(u32::MAX, u32::MAX), u32::MAX);
    assert_eq!(mean(1, 2), 1);
}
