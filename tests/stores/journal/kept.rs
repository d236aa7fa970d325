//! What a journal's folder shows to who does not own it.

use rungs::store::{Finding, journal::Kept};

use super::*;

#[tokio::test]
async fn what_was_taken_out_at_the_end_is_missed_also_beside_a_journal_at_work() {
    let dir = Dir::new("kept");
    assert_eq!(Kept::read(&folder(&dir), &KEY).expect("no folder"), None);
    let (journal, _store) = open(&dir).await;
    assert_eq!(Kept::read(&folder(&dir), &KEY).expect("no row"), None);
    // Some segments, the oldest of which are used again.
    let mut last = Vec::new();
    for n in 0..900_u64 {
        journal.record(LedgerRow {
            user: Some("x".repeat(20_000).into()),
            ..cheap(&format!("req_{n}"))
        });
        if n % 50 == 49 {
            journal.flush().await.expect("shipped");
            let kept = Kept::read(&folder(&dir), &KEY).expect("it is read");
            let kept = kept.expect("rows");
            assert!(kept.beyond(n + 1).is_empty(), "all have arrived");
            last = kept.beyond(0);
        }
    }
    let [
        Finding::Missing {
            first: 1,
            last: gone,
        },
        Finding::Unshipped { first, last: 900 },
    ] = last[..]
    else {
        panic!("{last:?}");
    };
    assert_eq!(gone + 1, first);
    journal.close().await;
    // Whoever has no key adds nothing.
    assert_eq!(
        Kept::read(&folder(&dir), &[8; 32]).expect("it is read"),
        None
    );
}
