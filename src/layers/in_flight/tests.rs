use std::time::Duration;

use futures_util::StreamExt;
use proptest::prelude::*;
use tower::{Layer, ServiceExt};

use super::*;
use crate::{
    error::{Error, ErrorKind},
    testing::{Reply, Scripted, ask, ask_stream, layer_contract},
};

#[tokio::test(start_paused = true)]
async fn keeps_the_contract() {
    layer_contract(|probe| InFlightLayer::new(1).layer(probe)).await;
}

#[tokio::test]
async fn r11_a_permit_lives_as_long_as_the_body() {
    let permits = Permits::new(2);
    let service = InFlightLayer::shared(permits.clone()).layer(Scripted::new(Reply::text("a b c")));
    let mut first = service.clone().oneshot(ask_stream("q")).await.unwrap();
    let second = service.clone().oneshot(ask_stream("q")).await.unwrap();
    let shed = service.clone().oneshot(ask_stream("q")).await.unwrap_err();
    assert_eq!(shed.kind(), ErrorKind::Overloaded);
    assert!(
        shed.message().starts_with("2 calls are under way"),
        "{shed}"
    );
    while first.body.next().await.is_some() {}
    assert_eq!(permits.in_use(), 1, "an end frees a permit before the drop");
    drop(second);
    assert_eq!(permits.in_use(), 0);
    assert!(service.oneshot(ask("q")).await.is_ok());
    drop(first);
    assert_eq!(permits.in_use(), 0, "given back once");
}

#[tokio::test]
async fn layers_share_permits_with_their_clones_and_new_sizes_apply_at_once() {
    let permits = Permits::new(1);
    let layer = InFlightLayer::shared(permits.clone());
    let one = layer.layer(Scripted::new(Reply::text("a")));
    let other = layer.clone().layer(Scripted::new(Reply::text("b")));
    let held = one.oneshot(ask_stream("q")).await.unwrap();
    assert!(other.clone().oneshot(ask("q")).await.is_err());
    permits.resize(2);
    assert!(other.clone().oneshot(ask("q")).await.is_ok());
    permits.resize(0);
    assert!(other.oneshot(ask("q")).await.is_err());
    drop(held);
    assert_eq!((permits.in_use(), permits.max()), (0, 0));
}

/// How a call goes: what the provider does, and when the reader leaves.
#[derive(Debug, Clone)]
struct Fate {
    fails: bool,
    breaks_off: bool,
    polls: usize,
    frames: usize,
}

fn fate() -> impl Strategy<Value = Fate> {
    (any::<bool>(), any::<bool>(), 0..3usize, 0..6usize).prop_map(
        |(fails, breaks_off, polls, frames)| Fate {
            fails,
            breaks_off,
            polls,
            frames,
        },
    )
}

impl Fate {
    fn reply(&self) -> Reply {
        if self.fails {
            return Reply::error(Error::new(ErrorKind::Upstream, "no"));
        }
        let reply = Reply::text("a b c").after(Duration::from_millis(1));
        match self.breaks_off {
            true => reply.stop_after(2),
            false => reply,
        }
    }

    async fn play(self, permits: &Permits) {
        let service = InFlightLayer::shared(permits.clone()).layer(Scripted::new(self.reply()));
        let call = service.oneshot(ask_stream("q"));
        if self.polls < 2 {
            let patience = Duration::from_micros(self.polls as u64);
            let _ = tokio::time::timeout(patience, call).await;
        } else if let Ok(mut answer) = call.await {
            for _ in 0..self.frames {
                let _ = answer.body.next().await;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// 100 cases of 100 calls each: 10 000 ends of all kinds.
    #[test]
    fn r11_no_end_of_a_call_loses_a_permit(fates in prop::collection::vec(fate(), 100)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let permits = Permits::new(100);
            futures_util::future::join_all(fates.into_iter().map(|fate| fate.play(&permits))).await;
            assert_eq!(permits.in_use(), 0);
            let next = InFlightLayer::shared(permits).layer(Scripted::new(Reply::text("served")));
            assert!(next.oneshot(ask("q")).await.is_ok());
        });
    }
}
