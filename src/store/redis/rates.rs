use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use smallvec::SmallVec;

use super::{
    Redis,
    debt::{Debt, Owed},
    queue::Job,
    script::Script,
};
use crate::{
    error::{Error, ErrorKind},
    store::{
        Alone, Correction, Quota, RateDecision, RateStore, Standing, Standings, StoreFuture, Take,
        memory::MemoryRates,
    },
};

static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("bucket.lua"),
        include_str!("take.lua")
    ))
});
static ADJUST: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("bucket.lua"),
        include_str!("adjust.lua")
    ))
});

/// Whole numbers below this are exact in a script.
const EXACT: u64 = 1 << 53;

/// The longest name that stands as it is in a key; longer ones are hashed.
const LONGEST_NAME: usize = 128;

/// When to try again while a limit cannot be counted.
const AWAY: Duration = Duration::from_secs(1);

/// Token buckets in Redis, the same as [`MemoryRates`] keeps, to the millisecond of the server's clock: processes that share the
/// Redis share the limits.
///
/// A limit of more units a minute than about 37 billion is that many, which is the most that a script counts exactly; over longer
/// periods it is fewer.
///
/// All limits of a call are in one script, so a call takes from all or from none; in a cluster they are in one slot. While the
/// Redis is away each limit is what its [`Alone`] says. A process knows what it has taken itself, so that its share is not a
/// new one when the Redis goes; still, a change between the two may let one share more through.
pub struct RedisRates {
    redis: Arc<Redis>,
    replicas: u64,
    /// This process's share of each limit.
    share: MemoryRates,
    /// What was taken of each limit here and never there, as far as time has not given it back.
    alone: MemoryRates,
    owed: Arc<Owed>,
}

impl RedisRates {
    /// Limits that `replicas` processes share, at least one.
    #[must_use]
    pub fn new(redis: Arc<Redis>, replicas: u32) -> Self {
        Self {
            redis,
            replicas: u64::from(replicas.max(1)),
            share: MemoryRates::new(),
            alone: MemoryRates::new(),
            owed: Arc::default(),
        }
    }

    async fn ask(&self, takes: &[Take<'_>]) -> Result<RateDecision, Error> {
        let mut call = TAKE.call(takes.iter().map(|take| key(take.name)).collect());
        let quotas = takes.iter().map(|take| whole(take.quota));
        let quotas: SmallVec<[_; 4]> = quotas.collect::<Result<_, _>>()?;
        let mut debts: SmallVec<[Debt; 4]> = SmallVec::new();
        for (take, (limit, period)) in takes.iter().zip(quotas) {
            let debt = Debt::collect(&self.owed, take.name, take.quota);
            let owed = debt.as_ref().map_or(0, Debt::units);
            debts.extend(debt);
            call = call.number(limit).number(period);
            call = call.number(match take.units > take.quota.limit {
                true => limit + 1,
                false => take.units.min(limit),
            });
            call = call.number(owed.min(EXACT / period));
        }
        let answer = self
            .redis
            .ask(async |c| call.run::<Vec<u64>>(c).await)
            .await;
        match answer.ok().and_then(|numbers| decision(&numbers)) {
            Some(decision) => {
                debts.into_iter().for_each(Debt::paid);
                if matches!(decision, RateDecision::Taken(_)) {
                    self.remember(takes);
                }
                Ok(decision)
            }
            None => self.alone(takes),
        }
    }

    /// What this process took is gone from its share too.
    fn remember(&self, takes: &[Take<'_>]) {
        for take in takes {
            let part = self.part(take);
            self.fill(take.name, take.quota, part.units);
        }
    }

    /// More than the share cannot be gone while the Redis counts, and no more than the whole limit is on its way beyond it.
    fn fill(&self, name: &str, quota: Quota, units: u64) {
        self.share
            .fill(name, self.part_of(quota), units, quota.limit);
    }

    fn alone(&self, takes: &[Take<'_>]) -> Result<RateDecision, Error> {
        if takes.iter().any(|take| take.alone == Alone::Deny) {
            let message =
                "the Redis that counts the rate limits is away, and they may not be passed";
            return Err(Error::new(ErrorKind::Unavailable, message).retry_after(AWAY));
        }
        let parts: Vec<_> = takes.iter().map(|take| self.part(take)).collect();
        let decision = self.share.take_now(&parts);
        if matches!(decision, RateDecision::Taken(_)) {
            for take in takes {
                let units = i64::try_from(take.units).unwrap_or(i64::MAX);
                self.alone.shift(take.name, take.quota, units);
            }
        }
        Ok(decision)
    }

    /// What is left of a correction for the Redis. What was not taken there is not given back there: it would be what others took.
    fn counted(&self, name: &str, quota: Quota, delta: i64) -> i64 {
        if delta >= 0 {
            return delta;
        }
        let alone = i64::try_from(self.alone.used(name, quota)).unwrap_or(i64::MAX);
        let kept = alone.min(delta.saturating_neg());
        if kept > 0 {
            self.alone.shift(name, quota, -kept);
        }
        delta + kept
    }

    fn part<'a>(&self, take: &Take<'a>) -> Take<'a> {
        let quota = self.part_of(take.quota);
        // Nobody asks for more than the whole quota, but its part may be less than one call needs.
        let units = match take.units > take.quota.limit {
            true => take.units,
            false => take.units.min(quota.most()),
        };
        Take {
            quota,
            units,
            ..*take
        }
    }

    fn part_of(&self, quota: Quota) -> Quota {
        Quota {
            limit: quota.limit / self.replicas,
            ..quota
        }
    }
}

impl RateStore for RedisRates {
    fn take<'a>(&'a self, takes: &'a [Take<'a>]) -> StoreFuture<'a, RateDecision> {
        Box::pin(self.ask(takes))
    }

    fn adjust(&self, name: &str, quota: Quota, correction: Correction) {
        let part = self.part_of(quota);
        let of_part = correction.delta(part);
        match u64::try_from(of_part) {
            Ok(more) if self.redis.is_up() => self.fill(name, quota, more),
            _ => self.share.shift(name, part, of_part),
        }
        let Ok((limit, period)) = whole(quota) else {
            return;
        };
        let delta = correction.delta(Quota { limit, ..quota });
        let delta = self.counted(name, quota, delta);
        // Whatever becomes of it from here on, more than was taken stays owed until it is counted.
        let more = u64::try_from(delta).unwrap_or(0);
        let debt = (more > 0).then(|| Debt::new(&self.owed, name, quota, more));
        if delta != 0 && self.redis.is_up() {
            let most = i64::try_from(EXACT / period).unwrap_or(i64::MAX);
            let call = ADJUST.call(vec![key(name)]).number(limit).number(period);
            let call = call.arg(delta.clamp(-most, most).to_string());
            self.redis.later(match debt {
                Some(debt) => Job::Count(call, debt),
                None => Job::Script(call),
            });
        }
    }
}

/// The key of a limit. The braces put all of them into one slot of a cluster.
fn key(name: &str) -> String {
    match name.len() <= LONGEST_NAME {
        true => format!("llm:{{rate}}:{name}"),
        false => format!("llm:{{rate}}:#{}", blake3::hash(name.as_bytes()).to_hex()),
    }
}

/// A quota in the script's numbers: units and milliseconds. A limit above what these hold is the largest that they do: of a
/// minute nobody sees the difference, and who meant no limit at all is not refused for it.
fn whole(quota: Quota) -> Result<(u64, u64), Error> {
    let period = u64::try_from(quota.period.as_millis()).unwrap_or(u64::MAX);
    match (EXACT / 4 - 1).checked_div(period) {
        Some(most @ 1..) => Ok((quota.limit.min(most), period)),
        _ => Err(Error::internal(format!(
            "a limit per {:?} cannot be counted exactly",
            quota.period
        ))),
    }
}

/// Reads the script's answer; `None` if it is none.
fn decision(numbers: &[u64]) -> Option<RateDecision> {
    let ([refused, wait], rest) = numbers.split_first_chunk()?;
    let standings: Standings = rest
        .chunks_exact(2)
        .map(|pair| Standing {
            remaining: pair[0],
            reset: Duration::from_millis(pair[1]),
        })
        .collect();
    Some(match usize::try_from(*refused).ok()?.checked_sub(1) {
        None => RateDecision::Taken(standings),
        Some(limit) => RateDecision::Refused {
            limit,
            retry_after: Duration::from_millis(*wait),
            standings,
        },
    })
}

impl fmt::Debug for RedisRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisRates")
            .field("redis", &self.redis)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}
