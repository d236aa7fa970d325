//! Laws of `Usage::cost`, for any tokens and any rates.

use proptest::prelude::*;
use rungs::{
    catalog::{Money, Price, Rates},
    model::Usage,
};

fn usage(of: impl Strategy<Value = u64> + Clone) -> impl Strategy<Value = Usage> {
    let six = [
        of.clone(),
        of.clone(),
        of.clone(),
        of.clone(),
        of.clone(),
        of,
    ];
    six.prop_map(
        |[
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning,
        ]| Usage {
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning,
        },
    )
}

fn rates() -> impl Strategy<Value = Rates> {
    let rate = 0i64..200_000_000_000;
    let own = prop::option::of(rate.clone());
    (
        rate.clone(),
        rate,
        own.clone(),
        own.clone(),
        own.clone(),
        own,
    )
        .prop_map(
            |(input, output, read, write_5m, write_1h, reasoning)| Rates {
                input: Money::from_nanos(input),
                output: Money::from_nanos(output),
                cache_read: read.map(Money::from_nanos),
                cache_write_5m: write_5m.map(Money::from_nanos),
                cache_write_1h: write_1h.map(Money::from_nanos),
                reasoning: reasoning.map(Money::from_nanos),
            },
        )
}

fn flat(rates: Rates) -> Price {
    Price {
        rates,
        ..Price::default()
    }
}

/// Tokens and the rate of each bucket, as the docs of `Rates` say.
fn buckets(usage: &Usage, rates: &Rates) -> [(u64, Money); 6] {
    [
        (usage.input, rates.input),
        (usage.cache_read, rates.cache_read.unwrap_or(rates.input)),
        (
            usage.cache_write_5m,
            rates.cache_write_5m.unwrap_or(rates.input),
        ),
        (
            usage.cache_write_1h,
            rates.cache_write_1h.unwrap_or(rates.input),
        ),
        (usage.output, rates.output),
        (usage.reasoning, rates.reasoning.unwrap_or(rates.output)),
    ]
}

proptest! {
    #[test]
    fn r2_no_tokens_and_no_rates_overflow(usage in usage(any::<u64>()), rates in rates(), more in any::<i64>()) {
        let price = Price { per_request: Money::from_nanos(more.saturating_abs()), ..flat(rates) };
        prop_assert!(usage.cost(&price) >= Money::ZERO);
        prop_assert!(price.worst_case(usage.total_input(), usage.total_output()) >= Money::ZERO);
        let dearest = Price::per_million(Money::MAX, Money::MAX);
        prop_assert!(usage.cost(&dearest) >= usage.cost(&flat(rates)));
        prop_assert!(price.times(i64::MAX).worst_case(1, 1) >= Money::ZERO);
    }

    #[test]
    fn r2_the_sum_of_all_buckets_is_rounded_up_once(usage in usage(0u64..10_000_000), rates in rates()) {
        let exact: i128 = buckets(&usage, &rates)
            .into_iter()
            .map(|(tokens, rate)| i128::from(tokens) * i128::from(rate.nanos()))
            .sum();
        let cost = i128::from(usage.cost(&flat(rates)).nanos()) * 1_000_000;
        prop_assert!((0..1_000_000).contains(&(cost - exact)), "{cost} for {exact}");
    }

    #[test]
    fn r2_two_attempts_cost_what_their_sum_costs(a in usage(0u64..1_000_000), b in usage(0u64..1_000_000), rates in rates()) {
        let price = flat(rates);
        let apart = a.cost(&price) + b.cost(&price);
        let together = (a + b).cost(&price);
        // Each attempt is rounded up, so that two may be a nano-dollar dearer than one.
        prop_assert!(together <= apart && apart <= together + Money::from_nanos(1));
    }

    #[test]
    fn r2_more_tokens_never_cost_less(
        a in usage(0u64..200_000),
        more in usage(0u64..200_000),
        rates in rates(),
        limit in 0u64..1_000_000,
        factor in 1_000_000_000i64..5_000_000_000,
    ) {
        let dearer = flat(rates).times(factor).rates;
        let price = Price { above: Some((limit, dearer)), ..flat(rates) };
        let sum = a + more;
        prop_assert!(a.cost(&price) <= sum.cost(&price));
        prop_assert!(sum.cost(&price) <= price.worst_case(sum.total_input(), sum.total_output()));
        // The bound may be far above what was used, and then reaches rates that the use did not.
        prop_assert!(a.cost(&price) <= price.worst_case(sum.total_input(), sum.total_output()));
    }

    /// Also where a long prompt is cheaper: what is within a bound never costs more than the bound.
    #[test]
    fn r2_the_worst_case_takes_the_dearest_rates_it_can_reach(
        used in usage(0u64..200_000),
        spare in usage(0u64..200_000),
        rates in rates(),
        long in rates(),
        limit in 0u64..1_000_000,
    ) {
        let price = Price { above: Some((limit, long)), ..flat(rates) };
        let bound = used + spare;
        let worst = price.worst_case(bound.total_input(), bound.total_output());
        prop_assert!(used.cost(&price) <= worst);
    }
}
