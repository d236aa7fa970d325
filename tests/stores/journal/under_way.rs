//! What a program beside the gateway sees of the attempts under way.

use rungs::store::journal::under_way;

use super::*;

/// The calls under way, and what they can cost together.
fn seen(dir: &Dir) -> (Vec<String>, Money) {
    let rows = under_way(&folder(dir)).expect("it can be read");
    let mut calls: Vec<_> = rows.iter().map(|row| row.request.to_string()).collect();
    calls.sort();
    (calls, rows.iter().map(|row| row.cost).sum())
}

#[tokio::test]
async fn what_is_under_way_is_seen_beside_the_gateway_until_it_has_ended() {
    let dir = Dir::new("under_way");
    assert_eq!(seen(&dir), (vec![], Money::ZERO), "there is no journal yet");
    let (journal, _store) = open(&dir).await;
    assert_eq!(seen(&dir), (vec![], Money::ZERO));
    let intents: Vec<_> = [("req_a", 5), ("req_b", 7), ("req_c", 11)]
        .into_iter()
        .map(|(request, nanos)| {
            let row = row(request, 1, nanos, Duration::ZERO);
            (journal.begin(&row).expect("it is written down"), row)
        })
        .collect();
    let all = ["req_a", "req_b", "req_c"].map(String::from).to_vec();
    assert_eq!(seen(&dir), (all, Money::from_nanos(23)));
    // Other rows than theirs, and another attempt of the same call.
    journal.record(cheap("req_d"));
    journal.record(row("req_a", 2, 1, Duration::ZERO));
    safe(&journal).await;
    assert_eq!(seen(&dir).1, Money::from_nanos(23));

    let mut intents = intents.into_iter();
    let (intent, ended) = intents.next().expect("the first");
    journal.end(intent, ended);
    safe(&journal).await;
    let rest = ["req_b", "req_c"].map(String::from).to_vec();
    assert_eq!(seen(&dir), (rest.clone(), Money::from_nanos(18)));

    // As the next start will find them, should this process be killed now.
    let copy = killed(&dir, "under_way_killed");
    assert_eq!(seen(&copy).0, rest);
    let (again, _store) = open(&copy).await;
    again.close().await;
    assert_eq!(seen(&copy), (vec![], Money::ZERO), "they were charged");

    for (intent, ended) in intents {
        journal.end(intent, ended);
    }
    journal.close().await;
    assert_eq!(seen(&dir), (vec![], Money::ZERO));
}

#[tokio::test]
async fn a_slot_that_is_being_written_is_left_out() {
    let dir = Dir::new("under_way_torn");
    let (journal, _store) = open(&dir).await;
    for request in ["req_a", "req_b"] {
        let row = row(request, 1, 5, Duration::ZERO);
        let _intent = journal.begin(&row).expect("it is written down");
    }
    let copy = killed(&dir, "under_way_torn_copy");
    let file = folder(&copy).join("open");
    let mut bytes = std::fs::read(&file).expect("there are slots");
    bytes[20] ^= 1;
    std::fs::write(&file, &bytes).expect("it is written");
    assert_eq!(seen(&copy).0, ["req_b"]);
    // And one of which not all is there.
    std::fs::write(&file, &bytes[..1024 + 30]).expect("it is written");
    assert_eq!(seen(&copy).0, [""; 0]);
}

/// Slots that say what is over are emptied only when a segment is done with; rows by the thousand turn some over.
#[tokio::test]
async fn what_has_ended_stays_so_over_the_turns_of_segments() {
    let dir = Dir::new("under_way_turns");
    let (journal, _store) = open(&dir).await;
    let first = row("req_first", 1, 3, Duration::ZERO);
    let _first = journal.begin(&first).expect("it is written down");
    for round in 0..40 {
        for n in 0..500 {
            let row = row(&format!("req_{round}_{n}"), 1, 1, Duration::ZERO);
            let intent = journal.begin(&row).expect("it is written down");
            journal.end(intent, row);
        }
        safe(&journal).await;
        assert_eq!(seen(&dir).0, ["req_first"]);
    }
}
