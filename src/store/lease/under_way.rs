use std::{collections::BTreeMap, time::SystemTime};

use super::Lease;
use crate::store::Hold;

/// What calls under way hold of an account: a lease that comes later is still to know it.
#[derive(Default)]
pub(super) struct UnderWay {
    /// By the serial of the hold.
    calls: BTreeMap<u64, Call>,
}

struct Call {
    at: SystemTime,
    held: i64,
    /// What calls have cost that began after this one and before the next that is under way, and have ended. A lease that counts
    /// this call counts them too: the database asks only when they began.
    ended: i64,
}

impl UnderWay {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.calls.clear();
    }

    /// An account that is named twice holds twice.
    pub(super) fn hold(&mut self, hold: Hold) {
        let call = self.calls.entry(hold.serial).or_insert(Call {
            at: hold.at,
            held: 0,
            ended: 0,
        });
        call.held += hold.amount.nanos();
    }

    pub(super) fn take_back(&mut self, hold: Hold) {
        if let Some(call) = self.calls.get_mut(&hold.serial) {
            call.held -= hold.amount.nanos();
            if call.held == 0 {
                self.settle(hold, 0);
            }
        }
    }

    pub(super) fn settle(&mut self, hold: Hold, spent: i64) {
        let call = self.calls.remove(&hold.serial);
        let ended = spent + call.map_or(0, |call| call.ended);
        if let Some((_, before)) = self.calls.range_mut(..hold.serial).next_back() {
            before.ended += ended;
        } else if let Some(mut next) = self.calls.first_entry()
            && next.get().at == hold.at
        {
            next.get_mut().ended += ended;
        }
    }
}

impl Lease {
    /// Counts what calls under way hold in its window.
    pub(super) fn count(&mut self, under_way: &UnderWay) {
        for (serial, call) in &under_way.calls {
            if self.contains(call.at) {
                self.began = self.began.min(call.at);
                self.used += call.held + call.ended;
                self.held += call.held;
                self.open.insert(*serial, call.held);
            }
        }
    }

    /// Counts what calls under way hold that came while no budget counted over its window. What has ended meanwhile it knows.
    pub(super) fn count_missed(&mut self, under_way: &UnderWay) {
        for (serial, call) in &under_way.calls {
            if self.pays(call.at) && !self.open.contains_key(serial) {
                self.used += call.held;
                self.held += call.held;
                self.open.insert(*serial, call.held);
            }
        }
    }
}
