use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn usd(text: &str) -> Money {
    text.parse().unwrap()
}

#[test]
fn money_reads_and_prints_exact_decimals() {
    for (text, nanos) in [
        ("0", 0),
        ("0.15", 150_000_000),
        ("12.5", 12_500_000_000),
        (".000000001", 1),
        ("-3", -3_000_000_000),
        ("1.1000000000", 1_100_000_000),
    ] {
        assert_eq!(usd(text).nanos(), nanos);
    }
    for wrong in [
        "",
        ".",
        "-",
        "1e3",
        "0.0000000001",
        "99999999999",
        "1.2.3",
        "+1",
        "NaN",
    ] {
        assert!(wrong.parse::<Money>().is_err(), "{wrong}");
    }
    assert_eq!(serde_json::from_str::<Money>("0.15").unwrap(), usd("0.15"));
    assert_eq!(
        serde_json::from_str::<Money>("\"0.15\"").unwrap(),
        usd("0.15")
    );
    assert_eq!(serde_json::from_str::<Money>("3").unwrap(), usd("3"));
}

proptest! {
    #[test]
    fn money_survives_its_text(nanos in any::<i64>().prop_filter("i64::MIN has no positive", |n| *n != i64::MIN)) {
        let money = Money::from_nanos(nanos);
        prop_assert_eq!(money.to_string().parse::<Money>().unwrap(), money);
    }

    /// The bound holds for every way to split the tokens into buckets.
    #[test]
    fn the_worst_case_is_a_bound(
        rates in prop::array::uniform5(0i64..100_000_000_000),
        split in prop::array::uniform5(0u64..1_000_000),
        limit in 0u64..2_000_000,
    ) {
        let [input, output, read, write, reasoning] = rates.map(Money::from_nanos);
        let base = Rates { input, output, cache_read: Some(read), ..Rates::default() };
        let long = Rates { input, output, cache_write_5m: Some(write), reasoning: Some(reasoning), ..Rates::default() };
        let price = Price { rates: base, above: Some((limit, long)), per_request: Money::from_nanos(7) };
        let [plain, cached, written, out, thought] = split;
        let total = plain + cached + written;
        let r = price.rates_for(total);
        let cost = price.per_request + price::amount([
            (plain, r.input), (cached, r.cache_read.unwrap_or(r.input)), (written, r.cache_write_5m.unwrap_or(r.input)),
            (out, r.output), (thought, r.reasoning.unwrap_or(r.output)),
        ]);
        prop_assert!(cost <= price.worst_case(total, out + thought));
    }
}

#[test]
fn costs_round_up_once() {
    // 1 token at 0.15 $/M is 150 nano-dollars exactly; 1 token at 0.0000005 $/M is half a nano-dollar.
    assert_eq!(price::amount([(1, usd("0.15"))]).nanos(), 150);
    assert_eq!(
        price::amount([(1, usd("0.0000005")), (1, usd("0.0000005"))]).nanos(),
        1
    );
    assert_eq!(price::amount([(3, usd("0.0000005"))]).nanos(), 1);
    assert_eq!(price::amount([(u64::MAX, Money::MAX)]), Money::MAX);
}

#[test]
fn r2_the_price_of_a_class_is_its_own_or_the_usual() {
    let one = |text| Price::per_million(usd(text), usd(text));
    let class_prices = ClassPrices {
        batch: Some(one("0.5")),
        ..ClassPrices::default()
    };
    let mut deployment = Deployment::new("p", "m").price(one("1"));
    deployment.class_prices = class_prices;
    let price = |class| deployment.price_for(class).copied();
    assert_eq!(price(ServiceClass::Standard), Some(one("1")));
    assert_eq!(price(ServiceClass::Batch), Some(one("0.5")));
    assert_eq!(price(ServiceClass::Flex), Some(one("1")));
    // Nobody knows how much more it is.
    assert_eq!(price(ServiceClass::Priority), None);
    let free = Deployment::new("p", "m").price(Price::FREE);
    assert_eq!(free.price_for(ServiceClass::Priority), Some(&Price::FREE));
    let unknown = Deployment::new("p", "m");
    assert_eq!(unknown.price_for(ServiceClass::Batch), None);
}

#[test]
fn a_factor_is_exact_and_rounds_up() {
    let price = Price {
        above: Some((
            7,
            Rates {
                input: usd("0.3"),
                output: usd("1"),
                ..Rates::default()
            },
        )),
        per_request: Money::from_nanos(3),
        ..Price::per_million(usd("0.1"), usd("2.5"))
    };
    let half = price.times(500_000_000);
    assert_eq!(
        (half.rates.input, half.rates.output),
        (usd("0.05"), usd("1.25"))
    );
    assert_eq!(
        half.above.map(|(limit, rates)| (limit, rates.input)),
        Some((7, usd("0.15")))
    );
    assert_eq!(half.per_request.nanos(), 2);
    assert_eq!(price.times(1_000_000_000), price);
}

#[test]
fn tiers_are_ordered_names() {
    assert_eq!("l2".parse::<Tier>().unwrap(), Tier::L2);
    assert!("2".parse::<Tier>().is_err());
    assert!(Tier::L0 < Tier::L3);
    assert_eq!(Tier::MAX.up(), None);
    assert_eq!(Tier::L1.up().unwrap().to_string(), "L2");
}

#[test]
fn targets_are_sorted_and_their_fingerprint_tells_them_apart() {
    let d = |m: &str, t| Arc::new(Deployment::new("p", m).tier(t));
    let targets = Targets::new([d("b", Tier::L2), d("a", Tier::L0), d("c", Tier::L0)]);
    let names: Vec<_> = targets.first().iter().map(|d| &*d.model).collect();
    assert_eq!(names, ["a", "c", "b"]);
    assert_eq!(targets.tiers().collect::<Vec<_>>(), [Tier::L0, Tier::L2]);
    assert_eq!(targets.tier_above(Tier::L0, Tier::L3), Some(Tier::L2));
    assert_eq!(targets.tier_above(Tier::L0, Tier::L1), None);
    let other = Targets::new([d("a", Tier::L0), d("c", Tier::L0)]);
    assert_ne!(targets.fingerprint(), other.fingerprint());
    assert_ne!(
        other.fingerprint(),
        other.or_else([d("b", Tier::L2)]).fingerprint()
    );
}
