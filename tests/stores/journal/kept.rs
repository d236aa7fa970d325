//! What a journal's folder shows to who does not own it.

use rungs::store::{Finding, journal::Kept};

use super::*;

#[tokio::test]
async fn what_was_taken_out_at_the_end_is_missed_also_beside_a_journal_at_work() {
    let dir = Dir::new("kept");
    assert_eq!(Kept::read(&folder(&dir), &KEY).expect("no folder"), None);
    let (journal, _store) = open(&dir).await;
    assert_eq!(Kept::read(&folder(&dir), &KEY).expect("no row"), None);
    // Until the oldest segment is used again.
    let mut missed = false;
    for last in (1_000..=60_000_u64).step_by(1_000) {
        for n in 0..1_000 {
            journal.record(cheap(&format!("req_{n}")));
        }
        journal.flush().await.expect("shipped");
        let kept = Kept::read(&folder(&dir), &KEY).expect("it is read");
        let kept = kept.expect("rows");
        assert!(kept.beyond(last).is_empty(), "all have arrived");
        match kept.beyond(0)[..] {
            [
                Finding::Unshipped {
                    first: 1,
                    last: end,
                },
            ] => assert_eq!(end, last),
            [
                Finding::Missing {
                    first: 1,
                    last: gone,
                },
                Finding::Unshipped { first, last: end },
            ] => {
                assert_eq!((gone + 1, end), (first, last));
                missed = true;
                break;
            }
            ref found => panic!("{found:?}"),
        }
    }
    assert!(missed, "no segment was used again");
    journal.close().await;
    // Whoever has no key adds nothing.
    assert_eq!(
        Kept::read(&folder(&dir), &[8; 32]).expect("it is read"),
        None
    );
}
